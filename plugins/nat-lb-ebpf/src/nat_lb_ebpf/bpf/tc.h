/* SPDX-License-Identifier: MIT */
/* The TC front end: on the ingress of any device that has Ethernet frames. It keeps segmentation and checksum offload:
 * the transport checksum is changed by the kernel's helper, which knows what a half-done one means. */
#pragma once

#include "nat.h"

#include <linux/pkt_cls.h>

#define UP_SKB TC_ACT_UNSPEC /* to the next filter, then up the stack */
#define HEADERS (sizeof(struct ethernet) + sizeof(struct ipv6) + sizeof(struct tcp))

static __always_inline void fix_skb_checksum(struct __sk_buff *skb, const struct packet *packet, const struct match *match,
					 __u32 family)
{
	const struct binding *binding = match->binding;
	__u32 direction = match->direction;
	bool tcp = packet->protocol == TCP;
	__u32 at = sizeof(struct ethernet) + (family == INET ? sizeof(struct ipv4) : sizeof(struct ipv6)) +
		   (tcp ? __builtin_offsetof(struct tcp, check) : __builtin_offsetof(struct udp, check));
	__u16 address = binding->address_change[direction & 1], port = binding->port_change[direction & 1];
	__u64 flags = tcp ? 0 : BPF_F_MARK_MANGLED_0;

	bpf_l4_csum_replace(skb, at, 0, address, flags | BPF_F_PSEUDO_HDR);
	if (port)
		bpf_l4_csum_replace(skb, at, 0, port, flags);
	/* A sum over the whole packet, if the device gave one: the helper takes the change of an address as if there
	 * were an IPv4 header whose checksum makes up for it; the hop limit has nothing that makes up for it either. */
	if (family == INET6)
		bpf_csum_update(skb, (__u32)address + bpf_htons(0xfeff));
}

static __always_inline int redirect_skb(const struct bpf_fib_lookup *fib, long found)
{
	struct bpf_redir_neigh next = { .nh_family = fib->family };

	if (found == BPF_FIB_LKUP_RET_SUCCESS)
		return bpf_redirect(fib->ifindex, 0);
	__builtin_memcpy(next.ipv6_nh, fib->ipv6_dst, sizeof(next.ipv6_nh));
	return bpf_redirect_neigh(fib->ifindex, &next, sizeof(next), 0);
}

static __always_inline int forward_skb(struct __sk_buff *skb, __u32 family)
{
	struct ethernet *frame = (void *)(long)skb->data;
	__u32 packets = skb->gso_segs ?: 1;
	struct bpf_fib_lookup fib;
	struct flow_key key = {};
	struct packet packet;
	struct match match;
	__u32 octets;
	long found;

	if (!parse(&packet, &key, frame + 1, (void *)(long)skb->data_end, skb->len - sizeof(*frame), family) ||
	    !match_packet(&packet, &key, &match, family))
		return UP_SKB;
	octets = packet.length;
	if (skb->gso_size) {
		if (packet.protocol == GRE)
			return UP_SKB; /* what is inside will be segmented, too */
		octets = packet.headers + skb->gso_size;
		packet.length += (packets - 1) * packet.headers;
	}
	ask_fib(&fib, &packet, &key, &match, family);
	fib.ifindex = skb->ifindex;
	fib.tot_len = octets;
	found = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH) {
		increment(UP_ROUTE);
		return UP_SKB;
	}
	note(&match, packet.octet, packets, packet.length);
	translate(&packet, &match, family);
	address_frame(frame, &fib);
	if (packet.protocol != GRE)
		fix_skb_checksum(skb, &packet, &match, family);
	return redirect_skb(&fib, found);
}

static __always_inline int handle_skb(struct __sk_buff *skb)
{
	__u32 headers = skb->len < HEADERS ? skb->len : HEADERS;

	if (skb->vlan_present)
		return UP_SKB; /* the VLAN's own device has the program too */
	if ((void *)(long)skb->data + headers > (void *)(long)skb->data_end && bpf_skb_pull_data(skb, headers))
		return UP_SKB;
	if (skb->protocol == bpf_htons(ETHERTYPE_IPV4))
		return forward_skb(skb, INET);
	if (skb->protocol == bpf_htons(ETHERTYPE_IPV6))
		return forward_skb(skb, INET6);
	return UP_SKB;
}
