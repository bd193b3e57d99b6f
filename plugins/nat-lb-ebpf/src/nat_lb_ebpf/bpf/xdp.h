/* SPDX-License-Identifier: MIT */
/* The XDP front end: before the stack, where the driver has it. Only what leaves by a device that takes XDP frames is
 * handled, and only when the next hop is known; what goes up meets the TC program, which does the rest.
 *
 * The stack takes VLAN tags off (802.1Q, QinQ) before TC sees a packet, on the VLAN's own device. Here they are still on:
 * tags lead to the VLAN's device, and the way out leads back to tags. A frame that would leave with more tags or fewer
 * than it came with goes up. */
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

/* VLAN devices by their tags on a carrier, and the other way round; how many there are, which is mostly none. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct trunk);
	__type(value, __u32);
} vlans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct trunk);
} trunks SEC(".maps");

struct {
	ARRAY_OF(__u32, 1, 0);
} vlan_count SEC(".maps");

#define VLAN 0x8100
#define PROVIDER_VLAN 0x88a8
#define VLAN_ID 0x0fff

struct tag {
	__be16 control, type; /* the type is that of what follows */
};

/* The tags that a frame came with, and where they are. */
struct tags {
	struct tag *outer, *inner;
	__u32 count;
};

static __always_inline __u16 vlan_of(const struct tag *tag)
{
	return bpf_ntohs(tag->control) & VLAN_ID;
}

static __always_inline void set_vlan(struct tag *tag, __u16 vlan)
{
	tag->control = (tag->control & bpf_htons(~VLAN_ID & 0xffff)) | bpf_htons(vlan);
}

static __always_inline bool is_tagged(__be16 type)
{
	return type == bpf_htons(VLAN) || type == bpf_htons(PROVIDER_VLAN);
}

/* Return the device that the stack would say a frame came by; 0 for tags that no device has. */
static __always_inline __u32 device_of(const struct tags *tags, __u32 carrier)
{
	struct trunk trunk = { .carrier = carrier };
	__u32 *device;

	if (!tags->count)
		return carrier;
	trunk.outer = vlan_of(tags->outer);
	if (tags->count > 1)
		trunk.inner = vlan_of(tags->inner);
	device = bpf_map_lookup_elem(&vlans, &trunk);
	return device ? *device : 0;
}

/* Find the device that a frame really leaves by, and its tags there; false if it has other than `count` of them. */
static __always_inline bool way_out(__u32 device, __u32 count, struct trunk *trunk)
{
	__u32 zero = 0;
	__u32 *vlan_devices = bpf_map_lookup_elem(&vlan_count, &zero);
	struct trunk *found;

	trunk->carrier = device;
	trunk->outer = trunk->inner = 0;
	if (vlan_devices && *vlan_devices) {
		found = bpf_map_lookup_elem(&trunks, &device);
		if (found)
			*trunk = *found;
	}
	return count == (__u32)!!trunk->outer + !!trunk->inner;
}

static __always_inline void fix_frame_checksum(struct packet *packet, const struct match *match)
{
	__u16 address = match->binding->address_change[match->direction & 1];
	__u16 port = match->binding->port_change[match->direction & 1];
	__u16 *check = packet->protocol == TCP ? &packet->tcp->check : &packet->udp->check;
	__u16 result = adjust(adjust(*check, address), port);

	*check = packet->protocol == UDP && !result ? 0xffff : result; /* 0 says that there is none (RFC 768) */
}

static __always_inline int forward_frame(struct xdp_md *frame, struct ethernet *ethernet, void *end, const struct tags *tags,
					 __u32 family)
{
	void *at = tags->count ? (void *)(tags->inner + 1) : (void *)(ethernet + 1);
	struct bpf_fib_lookup fib;
	struct trunk out;
	struct flow_key key = {};
	struct packet packet;
	struct match match;
	long found;

	if (!parse(&packet, &key, at, end, end - at, family) ||
	    !match_packet(&packet, &key, &match, family))
		return UP_FRAME;
	ask_fib(&fib, &packet, &key, &match, family);
	fib.ifindex = device_of(tags, frame->ingress_ifindex);
	if (!fib.ifindex)
		return UP_FRAME;
	fib.tot_len = packet.length;
	found = bpf_fib_lookup(frame, &fib, sizeof(fib), 0);
	if (found != BPF_FIB_LKUP_RET_SUCCESS) {
		increment(found == BPF_FIB_LKUP_RET_NO_NEIGH ? UP_NEIGHBOR : UP_ROUTE);
		return UP_FRAME;
	}
	if (!way_out(fib.ifindex, tags->count, &out) ||
	    bpf_redirect_map(&devices, out.carrier, UP_FRAME) != XDP_REDIRECT) {
		increment(UP_DEVICE);
		return UP_FRAME;
	}
	note(&match, packet.octet, 1, packet.length);
	if (packet.protocol != GRE)
		fix_frame_checksum(&packet, &match);
	translate(&packet, &match, family);
	address_frame(ethernet, &fib);
	if (tags->count)
		set_vlan(tags->outer, out.outer);
	if (tags->count > 1)
		set_vlan(tags->inner, out.inner);
	return XDP_REDIRECT;
}

/* Step over the tags of a frame; return the type of what follows them, which is at the end of `tags`, or 0. */
static __always_inline __be16 take_tags(struct ethernet *ethernet, void *end, struct tags *tags)
{
	struct tag *tag = (void *)(ethernet + 1);

	tags->outer = tags->inner = tag;
	tags->count = 0;
	if (!is_tagged(ethernet->type))
		return ethernet->type;
	if ((void *)(tag + 1) > end)
		return 0;
	tags->count = 1;
	if (!is_tagged(tag->type))
		return tag->type;
	tags->inner = tag + 1;
	if ((void *)(tags->inner + 1) > end)
		return 0;
	tags->count = 2;
	return tags->inner->type;
}

static __always_inline int handle_frame(struct xdp_md *frame)
{
	void *end = (void *)(long)frame->data_end;
	struct ethernet *ethernet = (void *)(long)frame->data;
	struct tags tags;
	__be16 type;

	if ((void *)(ethernet + 1) > end || ethernet->destination[0] & 1)
		return UP_FRAME; /* sent to a group of link addresses */
	type = take_tags(ethernet, end, &tags);
	if (type == bpf_htons(ETHERTYPE_IPV4))
		return forward_frame(frame, ethernet, end, &tags, INET);
	if (type == bpf_htons(ETHERTYPE_IPV6))
		return forward_frame(frame, ethernet, end, &tags, INET6);
	return UP_FRAME;
}
