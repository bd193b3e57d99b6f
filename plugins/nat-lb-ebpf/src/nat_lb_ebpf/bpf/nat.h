/* SPDX-License-Identifier: MIT */
/* Routing and translation of one parsed packet. Nothing is written before it is known that the packet will go out:
 * whatever goes up the stack goes as it came. */
#pragma once

#include "checksum.h"
#include "schedule.h"

/* Fill in what the FIB is asked: the way of the packet as the stack would route it, that is with a client's packet
 * translated and a real server's not yet. The device and the size that must fit are the caller's to fill in. */
static __always_inline void ask_fib(struct bpf_fib_lookup *fib, const struct packet *packet, const struct flow_key *key,
				    const struct match *match, __u32 family)
{
	const struct binding *binding = match->binding;
	bool original = match->direction == ORIGINAL;

	__builtin_memset(fib, 0, sizeof(*fib));
	fib->l4_protocol = packet->protocol;
	if (packet->protocol != GRE) {
		fib->sport = key->source_port;
		fib->dport = original ? binding->real_port : key->destination_port;
	}
	if (family == INET) {
		fib->family = INET;
		fib->tos = packet->ipv4->service & 0x1c;
		fib->ipv4_src = key->v4.source;
		fib->ipv4_dst = original ? binding->real_address[0] : key->v4.destination;
		return;
	}
	fib->family = INET6;
	fib->flowinfo = packet->ipv6->flow & bpf_htonl(0x0fffffff);
	__builtin_memcpy(fib->ipv6_src, key->v6.source, sizeof(fib->ipv6_src));
	if (original)
		__builtin_memcpy(fib->ipv6_dst, binding->real_address, sizeof(fib->ipv6_dst));
	else
		__builtin_memcpy(fib->ipv6_dst, key->v6.destination, sizeof(fib->ipv6_dst));
}

/* Write addresses, ports, the hop limit and the IPv4 header's checksum; the transport's checksum is the caller's. */
static __always_inline void translate(struct packet *packet, const struct match *match, __u32 family)
{
	const struct binding *binding = match->binding;
	__u32 direction = match->direction;

	if (family == INET) {
		struct ipv4 *ip = packet->ipv4;

		/* The hop limit is the upper octet of its word on the wire, the lower one as it is loaded here. */
		ip->check = adjust(adjust(ip->check, binding->address_change[direction & 1]), bpf_htons(0xfeff));
		ip->hops = packet->hops - 1;
		if (direction == ORIGINAL)
			ip->destination = binding->real_address[0];
		else
			ip->source = binding->virtual_address[0];
	} else {
		struct ipv6 *ip = packet->ipv6;

		ip->hops = packet->hops - 1;
		if (direction == ORIGINAL)
			__builtin_memcpy(ip->destination, binding->real_address, sizeof(ip->destination));
		else
			__builtin_memcpy(ip->source, binding->virtual_address, sizeof(ip->source));
	}
	if (packet->protocol == GRE) {
		if (direction == ORIGINAL)
			packet->gre->call = binding->real_port;
	} else if (direction == ORIGINAL) {
		packet->ports->destination = binding->real_port;
	} else {
		packet->ports->source = binding->virtual_port;
	}
}

static __always_inline void address_frame(struct ethernet *frame, const struct bpf_fib_lookup *fib)
{
	__builtin_memcpy(frame->destination, fib->dmac, sizeof(frame->destination));
	__builtin_memcpy(frame->source, fib->smac, sizeof(frame->source));
}

enum fitness { FIT, LAST_HOP, NO_CHECKSUM };

static __always_inline enum fitness fitness_of(const struct packet *packet)
{
	if (packet->hops < 2)
		return LAST_HOP;
	if (packet->protocol == UDP && !packet->udp->check)
		return NO_CHECKSUM; /* gets one, which needs the whole payload */
	return FIT;
}

/* Find or open the connection of a packet, and say whether the packet may be handled here; counts why not. */
static __always_inline bool match_packet(const struct packet *packet, const struct flow_key *key, struct match *match,
					 __u32 family)
{
	enum fitness fitness = fitness_of(packet);

	if (find(key, family, match)) {
		if (match->connection->flags & SLOW) {
			increment(UP_SLOW);
			return false;
		}
		if (fitness != FIT) {
			increment(fitness == LAST_HOP ? UP_HOPS : UP_CHECKSUM);
			return false;
		}
		if (!reopens(match, packet->octet))
			return true;
		if (!close_for_another(key, family, match)) {
			increment(UP_REOPENED);
			return false;
		}
	}
	return fitness == FIT && admit(key, family, packet->octet) && find(key, family, match);
}
