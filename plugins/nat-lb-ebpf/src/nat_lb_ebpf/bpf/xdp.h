/* SPDX-License-Identifier: MIT */
/* The XDP front end: before the stack, where the driver has it. Only what leaves by a device that takes XDP frames is
 * handled, and only when the next hop is known; what goes up meets the TC program, which does the rest. */
#pragma once

#include "nat.h"

#define UP_FRAME XDP_PASS

/* Devices that take frames, by their index. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps");

static __always_inline void fix_frame_checksum(struct packet *packet, const struct match *match)
{
	__u16 address = match->binding->address_change[match->direction & 1];
	__u16 port = match->binding->port_change[match->direction & 1];
	__u16 *check = packet->protocol == TCP ? &packet->tcp->check : &packet->udp->check;
	__u16 result = adjust(adjust(*check, address), port);

	*check = packet->protocol == UDP && !result ? 0xffff : result; /* 0 says that there is none (RFC 768) */
}

static __always_inline int forward_frame(struct xdp_md *frame, struct ethernet *ethernet, void *end, __u32 family)
{
	struct bpf_fib_lookup fib;
	struct flow_key key = {};
	struct packet packet;
	struct match match;
	long found;

	if (!parse(&packet, &key, ethernet + 1, end, end - (void *)(ethernet + 1), family) ||
	    !match_packet(&packet, &key, &match, family))
		return UP_FRAME;
	ask_fib(&fib, &packet, &key, &match, family);
	fib.ifindex = frame->ingress_ifindex;
	fib.tot_len = packet.length;
	found = bpf_fib_lookup(frame, &fib, sizeof(fib), 0);
	if (found != BPF_FIB_LKUP_RET_SUCCESS) {
		increment(found == BPF_FIB_LKUP_RET_NO_NEIGH ? UP_NEIGHBOR : UP_ROUTE);
		return UP_FRAME;
	}
	if (bpf_redirect_map(&devices, fib.ifindex, UP_FRAME) != XDP_REDIRECT) {
		increment(UP_DEVICE);
		return UP_FRAME;
	}
	note(&match, packet.octet, 1, packet.length);
	if (packet.protocol != GRE)
		fix_frame_checksum(&packet, &match);
	translate(&packet, &match, family);
	address_frame(ethernet, &fib);
	return XDP_REDIRECT;
}

static __always_inline int handle_frame(struct xdp_md *frame)
{
	void *end = (void *)(long)frame->data_end;
	struct ethernet *ethernet = (void *)(long)frame->data;

	if ((void *)(ethernet + 1) > end || ethernet->destination[0] & 1)
		return UP_FRAME; /* sent to a group of link addresses */
	if (ethernet->type == bpf_htons(ETHERTYPE_IPV4))
		return forward_frame(frame, ethernet, end, INET);
	if (ethernet->type == bpf_htons(ETHERTYPE_IPV6))
		return forward_frame(frame, ethernet, end, INET6);
	return UP_FRAME;
}
