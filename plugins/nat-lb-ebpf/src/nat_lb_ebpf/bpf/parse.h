/* SPDX-License-Identifier: MIT */
/* What a frame holds. The contract of parse(): it returns true only for a plain packet - an IP header without options or
 * extension headers, not a fragment, that says no more octets than there are, followed by a whole TCP or UDP header,
 * or one of PPTP's GRE - and then everything in struct packet is set and may be read and written, and the key is the flow's. All else is for
 * the stack. */
#pragma once

#include "structs.h"

#include <bpf/bpf_endian.h>

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define INET 2   /* AF_INET */
#define INET6 10 /* AF_INET6 */
#define TCP 6
#define UDP 17
#define GRE 47
#define FRAGMENT_BITS 0x3fff /* more fragments, and the offset */

struct ethernet {
	__u8 destination[6], source[6];
	__be16 type;
} __attribute__((packed));

struct ipv4 {
	__u8 version_and_length, service;
	__be16 length, identification, fragment;
	__u8 hops, protocol;
	__u16 check;
	__be32 source, destination;
};

struct ipv6 {
	__be32 flow; /* version, traffic class, flow label */
	__be16 payload;
	__u8 next, hops;
	__be32 source[4], destination[4];
};

/* The beginning that TCP and UDP share, and where TCP's flags and both checksums are. */
struct ports {
	__be16 source, destination;
};

struct udp {
	struct ports ports;
	__be16 length;
	__u16 check;
};

struct tcp {
	struct ports ports;
	__be32 sequence, acknowledgement;
	__u8 offset, flags;
	__be16 window;
	__u16 check;
	__be16 urgent;
};

/* GRE version 1 as PPTP has it (RFC 2637 4.1). The call is the receiver's number; the sender's is not there. */
struct gre {
	__u8 flags, version;
	__be16 protocol, length, call;
};

#define GRE_FLAGS 0x20 /* a key and nothing else, whether or not there is a sequence number */
#define GRE_PPP 0x880b

struct packet {
	union {
		struct ipv4 *ipv4; /* family INET */
		struct ipv6 *ipv6;
	};
	union {
		struct ports *ports;
		struct tcp *tcp;
		struct udp *udp;
		struct gre *gre;
	};
	__u32 length;    /* of the IP packet, header included */
	__u8 protocol;
	__u8 hops;
	__u8 octet;      /* tells the tracker the event */
	__u8 headers;    /* octets of both headers: what each packet that segmentation makes begins with */
};

static __always_inline bool parse_gre(struct packet *packet, struct flow_key *key, void *at, void *end, __u32 octets)
{
	struct gre *gre = at;

	if (octets < sizeof(*gre) || at + sizeof(*gre) > end || (gre->flags & 0xef) != GRE_FLAGS ||
	    (gre->version & 0x7f) != 1 || gre->protocol != bpf_htons(GRE_PPP))
		return false;
	packet->gre = gre;
	packet->protocol = GRE;
	packet->octet = 0;
	packet->headers = 0;
	key->protocol = GRE;
	key->source_port = 0;
	key->destination_port = gre->call;
	return true;
}

static __always_inline bool parse_transport(struct packet *packet, struct flow_key *key, void *at, void *end,
					     __u8 protocol, __u32 octets)
{
	__u32 header = protocol == TCP ? sizeof(struct tcp) : sizeof(struct udp);

	if (protocol == GRE)
		return parse_gre(packet, key, at, end, octets);
	if ((protocol != TCP && protocol != UDP) || octets < header)
		return false;
	packet->ports = at;
	packet->octet = 0;
	packet->headers = packet->length - octets + sizeof(struct udp);
	if (protocol == TCP) {
		if (at + sizeof(struct tcp) > end)
			return false;
		packet->octet = packet->tcp->flags;
		packet->headers = packet->length - octets + (packet->tcp->offset >> 4) * 4;
	} else if (at + sizeof(struct udp) > end) {
		return false;
	}
	packet->protocol = protocol;
	key->protocol = protocol;
	key->source_port = packet->ports->source;
	key->destination_port = packet->ports->destination;
	return true;
}

static __always_inline bool parse_ipv4(struct packet *packet, struct flow_key *key, void *at, void *end,
					__u32 octets)
{
	struct ipv4 *ip = at;

	if (at + sizeof(*ip) > end || ip->version_and_length != 0x45)
		return false;
	packet->length = bpf_ntohs(ip->length);
	if (packet->length > octets || packet->length < sizeof(*ip) || ip->fragment & bpf_htons(FRAGMENT_BITS))
		return false;
	packet->ipv4 = ip;
	packet->hops = ip->hops;
	key->v4.source = ip->source;
	key->v4.destination = ip->destination;
	return parse_transport(packet, key, at + sizeof(*ip), end, ip->protocol, packet->length - sizeof(*ip));
}

static __always_inline bool parse_ipv6(struct packet *packet, struct flow_key *key, void *at, void *end,
					__u32 octets)
{
	struct ipv6 *ip = at;

	if (at + sizeof(*ip) > end || (*(__u8 *)at >> 4) != 6)
		return false;
	packet->length = bpf_ntohs(ip->payload) + sizeof(*ip);
	if (packet->length > octets)
		return false;
	packet->ipv6 = ip;
	packet->hops = ip->hops;
	__builtin_memcpy(key->v6.source, ip->source, sizeof(ip->source));
	__builtin_memcpy(key->v6.destination, ip->destination, sizeof(ip->destination));
	return parse_transport(packet, key, at + sizeof(*ip), end, ip->next, packet->length - sizeof(*ip));
}

/* Parse the IP packet of a family from `at` to end, of which so many octets are on the wire. The family is a constant
 * wherever this is used: the code of one does not ask for the other, and the verifier sees what was checked for which. */
static __always_inline bool parse(struct packet *packet, struct flow_key *key, void *at, void *end, __u32 octets,
				   __u32 family)
{
	return family == INET ? parse_ipv4(packet, key, at, end, octets) : parse_ipv6(packet, key, at, end, octets);
}
