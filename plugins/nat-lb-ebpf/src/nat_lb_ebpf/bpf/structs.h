/* SPDX-License-Identifier: MIT */
/* What the maps hold, and what the control program is asked. layout.py says the same in Python; a test holds the two
 * against each other, and LAYOUT in layout.py changes with any of it. */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#define STATES 16 /* of one tracker, at most */
#define EVENTS 8  /* of one tracker, at most */
#define NS_PER_SECOND 1000000000ULL

enum direction { ORIGINAL, REPLY, DIRECTIONS };

/* A flow in one direction; of IPv4's, the first 16 octets count. Ports and addresses in network order. */
struct flow_key {
	__u32 protocol;
	__be16 source_port, destination_port;
	union {
		struct {
			__be32 source, destination;
		} v4;
		struct {
			__be32 source[4], destination[4];
		} v6;
	};
};

#define PLACES 8 /* for flows in a bucket */

/* One cache line of the table of flows. A place is 0, or half of the flow's hash, never 0, above the connection's slot
 * and, in the lowest bit, the direction. A flow is in one of two buckets. */
struct bucket {
	__u64 places[PLACES];
};

enum connection_flag {
	SLOW = 1,    /* Python handles every packet: a helper, or a sequence adjustment */
	REPLIED = 2, /* the real server has answered */
	ASSURED = 4, /* the client has answered that, or packets came for a while: no flood evicts it */
};

/* One cache line. Which service, real server and translation it is: the binding says. */
struct connection {
	__u64 last_seen; /* ns, coarse monotonic clock, as opened */
	__u64 opened;
	__u32 generation; /* 0: the slot is free */
	__u32 binding;
	__u32 state;
	__u32 flags;
	__be32 client[4];
	__be16 client_port;
	__u16 family; /* AF_INET, AF_INET6 */
	__u32 unused[2];
};

/* One virtual endpoint and one real endpoint, and what exchanging them does to checksums: what is to be added to the
 * ones' complement sum, in the order that the host loads the words, by direction. */
struct binding {
	__be32 virtual_address[4], real_address[4];
	__be16 virtual_port, real_port;
	__u16 address_change[DIRECTIONS];
	__u16 port_change[DIRECTIONS];
	__u32 server;
	__u32 service;
	__u32 tracker;
	__u16 family, protocol;
	__u32 unused;
};

struct server {
	__u32 weight;
	__u32 upper_threshold, lower_threshold;
	__u32 overloaded;
	__u32 active, inactive;
	__u64 opened;
	__u32 unused[8]; /* a cache line each: two CPUs that count for two servers do not meet */
};

struct traffic {
	__u64 packets[DIRECTIONS];
	__u64 octets[DIRECTIONS];
};

struct service_key {
	__u16 protocol;
	__be16 port;
	__u32 family;
	__be32 address[4];
};

/* How one service tracks one protocol: its own, or one of connections that payloads announce. */
struct service {
	__u64 timeouts[STATES]; /* ns */
	__u32 plan;             /* 0: Python decides about new connections */
	__u32 tracker;
};

struct tracker {
	__u8 event_of[256]; /* by the octet that tells the event */
	__u8 next[DIRECTIONS][EVENTS][STATES];
	__u32 active, reopened; /* bits by state */
	__u32 opening;          /* bits by event */
	__u32 unused;
};

enum plan_kind { NO_PLAN, CYCLE, HASH_TABLE, LEAST_LOAD, HEAVIEST };

enum plan_flag {
	FALLBACK = 1,         /* HASH_TABLE */
	HASH_PORT = 2,        /* HASH_TABLE, as the next two */
	HASH_DESTINATION = 4,
	HASH_KEYED = 8,       /* SipHash; otherwise multiplication */
	LOAD_NEXT = 16,       /* LEAST_LOAD, as the next two */
	WEIGHTED = 32,
	IDLE_FIRST = 64,
	SPILL = 128,          /* HEAVIEST */
};

/* Slots first to first + length - 1 of the map `slots` hold a real server's number and one, or 0. */
struct plan {
	__u32 kind;
	__u32 flags;
	__u32 first, length;
	__u32 position; /* CYCLE: the next one's */
	__u32 shift;    /* HASH_TABLE by multiplication: bits to drop */
	__u64 key;
};

struct settings {
	__u32 limit;   /* connections */
	__u32 embryos; /* of those, so many at most that are not assured */
	__u32 events;  /* bits by enum event_kind: which are wanted */
	__u32 step;    /* slots that one tick of the sweep looks at */
	__u64 tick;    /* ns between two ticks */
	__u64 seed;    /* of the hash of flows, a secret */
	__u32 buckets; /* a power of two */
	__u32 unused;
};

/* What all CPUs change when connections come and go. */
struct allocator {
	__u32 fresh;      /* slots that were ever used */
	__u32 generation; /* the last one given */
	__u32 embryo;     /* the next place in `embryos` */
	__u32 swept;      /* the next slot for the sweep */
};

struct embryo {
	__u32 connection, generation;
};

enum event_kind { OPENED, STATE_CHANGED, CLOSED };
enum close_reason { EXPIRED, REUSED, EVICTED, REMOVED };

struct event {
	__u64 time; /* ns */
	__u32 kind;
	__u32 reason;
	__u32 old_state, new_state;
	__u32 connection, generation;
	__u32 binding;
	__be32 client[4];
	__be16 client_port;
	__u16 family;
};

/* A VLAN's device as tags on another one, the outer first; 0 where there is none. In host order. */
struct trunk {
	__u32 carrier;
	__u16 outer, inner;
};

/* What became of packets: counted, so that `status` can say why the slow path has work. */
enum counter {
	NEW_CONNECTIONS,
	UP_SLOW,     /* the connection is Python's */
	UP_ROUTE,    /* no route, too large, not to be forwarded */
	UP_NEIGHBOR, /* the next hop's link address is not known yet (XDP) */
	UP_HOPS,
	UP_CHECKSUM, /* UDP without one */
	UP_REOPENED,
	UP_REFUSED,  /* no real server, or both keys are not free */
	UP_FULL,
	UP_DEVICE,   /* XDP: the way out is not by one of ours */
	EVENTS_LOST,
	EVICTIONS,
	COUNTERS,
};

/* What Python asks of the control program; the answer stands in the same place. */
enum control_operation { OPEN, CLOSE, NOTE, SWEEP, START, FIND };

struct control {
	__u32 operation;
	__s32 result; /* 0, or -errno */
	struct flow_key key, reply_key;
	__u32 family;
	__u32 binding, state, flags; /* OPEN */
	__u32 reason;                /* CLOSE */
	__u32 octet, octets;         /* NOTE: a packet that Python handled; octets are its length */
	__u32 first, count;          /* SWEEP */
	__u32 connection, generation;
	__u32 closed;
	__u64 now; /* SWEEP: ns, 0 is the clock's */
};

_Static_assert(sizeof(struct bucket) == 64, "a bucket is one cache line");
_Static_assert(sizeof(struct connection) == 64, "a connection is one cache line");
_Static_assert(sizeof(struct binding) == 64, "a binding is one cache line");
_Static_assert(sizeof(struct server) == 64, "a server is one cache line");
_Static_assert(sizeof(struct flow_key) == 40, "no gaps in a key");
