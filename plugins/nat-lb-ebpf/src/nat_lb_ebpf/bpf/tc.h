/* SPDX-License-Identifier: MIT */
/* The TC front end: on the ingress of any device that has Ethernet frames. It keeps segmentation and checksum offload:
 * the transport checksum is changed by the kernel's helper, which knows what a half-done one means. */
#pragma once

#include "nat.h"

#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#define UP_SKB TC_ACT_UNSPEC /* to the next filter, then up the stack */
#define HEADERS (sizeof(struct ethernet) + sizeof(struct ipv6) + sizeof(struct tcp))

/* A checksum of 0 means in a datagram that there is none: a computed one is written as its other form (RFC 768). */
static __always_inline __u16 written(__u16 check, bool datagram)
{
	return datagram && !check ? 0xffff : check;
}

/* The kernel's helper knows a whole checksum from one that is only begun, over the addresses, for the device to finish.
 * It changes either by an address, and the first only by a port. A call for each is dear: what the helper made of the
 * address shows which of the two it is, unless the address changes nothing, and then the port is changed here. */
static __always_inline void fix_skb_checksum(struct __sk_buff *skb, const struct packet *packet, const struct match *match,
					     __u32 family)
{
	__u16 address = match->binding->address_change[match->direction & 1];
	__u16 port = match->binding->port_change[match->direction & 1];
	bool datagram = packet->protocol == UDP;
	__u16 before = datagram ? packet->udp->check : packet->tcp->check;
	__u32 at = sizeof(struct ethernet) + (family == INET ? sizeof(struct ipv4) : sizeof(struct ipv6)) +
		   (datagram ? __builtin_offsetof(struct udp, check) : __builtin_offsetof(struct tcp, check));
	__u64 flags = datagram ? BPF_F_MARK_MANGLED_0 : 0;
	__u16 *check;

	bpf_l4_csum_replace(skb, at, 0, address, flags | BPF_F_PSEUDO_HDR);
	/* A sum over the whole packet, if the device gave one: the helper takes the change of an address as if there
	 * were an IPv4 header whose checksum makes up for it; the hop limit has nothing that makes up for it either. */
	if (family == INET6)
		bpf_csum_update(skb, (__u32)address + bpf_htons(0xfeff));
	if (!port)
		return;
	if (!address) {
		bpf_l4_csum_replace(skb, at, 0, port, flags);
		return;
	}
	check = (void *)(long)skb->data + at;
	if ((void *)(check + 1) <= (void *)(long)skb->data_end && *check == written(adjust(before, address), datagram))
		*check = written(adjust(*check, port), datagram);
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

	if (skb->vlan_present || skb->pkt_type != PACKET_HOST)
		return UP_SKB; /* the VLAN's own device has the program too; what is not sent to us is not ours */
	if ((void *)(long)skb->data + headers > (void *)(long)skb->data_end && bpf_skb_pull_data(skb, headers))
		return UP_SKB;
	if (skb->protocol == bpf_htons(ETHERTYPE_IPV4))
		return forward_skb(skb, INET);
	if (skb->protocol == bpf_htons(ETHERTYPE_IPV6))
		return forward_skb(skb, INET6);
	return UP_SKB;
}
