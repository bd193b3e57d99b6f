/* SPDX-License-Identifier: MIT */
/* New connections of services whose scheduler is a plan, decided as nat_lb.scheduler decides them. */
#pragma once

#include "track.h"

#define GOLDEN_RATIO_32 0x61C88647U
#define ATTEMPTS 4 /* to move a cycle's position where other CPUs move it too */

/* A search through the slots of a plan; numbers of servers are one too high, 0 is none. */
struct search {
	__u32 first, length;
	__u32 start;
	__u32 flags;
	__u32 chosen;
	__u32 at;
	__u64 load, weight; /* the chosen one's */
	__u64 key;
	__u32 value; /* to hash */
	__u32 shift;
};

static __always_inline __u32 slot_at(const struct search *search, __u32 at)
{
	__u32 place = search->first + at;
	__u32 *slot = bpf_map_lookup_elem(&slots, &place);

	return slot ? *slot : 0;
}

static __always_inline struct server *server_in(__u32 slot)
{
	__u32 number = slot - 1;

	return slot ? bpf_map_lookup_elem(&servers, &number) : NULL;
}

static __always_inline bool is_usable(const struct server *server)
{
	return server && server->weight && !server->overloaded;
}

static long take_turn(__u32 step, struct search *search)
{
	__u32 at = (search->start + step) % (search->length ?: 1);
	__u32 slot = slot_at(search, at);

	if (!is_usable(server_in(slot)))
		return 0;
	search->chosen = slot;
	search->at = at;
	return 1;
}

static __always_inline void cycle(struct plan *plan, struct search *search)
{
	__u32 position = plan->position, seen;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		search->start = position;
		search->chosen = 0;
		bpf_loop(search->length, take_turn, search, 0);
		if (!search->chosen)
			return;
		seen = __sync_val_compare_and_swap(&plan->position, position, search->at + 1);
		if (seen == position)
			return;
		position = seen;
	}
}

static __always_inline __u64 turned(__u64 word, __u32 bits)
{
	return word << bits | word >> (64 - bits);
}

/* The lower half of SipHash-1-3 of a 32-bit number; both halves of its key are `key`. */
static __always_inline __u32 hsiphash(__u32 value, __u64 key)
{
	__u64 v0 = 0x736f6d6570736575ULL ^ key, v1 = 0x646f72616e646f6dULL ^ key;
	__u64 v2 = 0x6c7967656e657261ULL ^ key, v3 = 0x7465646279746573ULL ^ key;
	__u64 block = 4ULL << 56 | value;

#pragma unroll
	for (int round = 0; round < 4; round++) {
		if (round == 0)
			v3 ^= block;
		if (round == 1)
			v2 ^= 0xff;
		v0 += v1;
		v2 += v3;
		v1 = turned(v1, 13) ^ v0;
		v3 = turned(v3, 16) ^ v2;
		v0 = turned(v0, 32);
		v2 += v1;
		v0 += v3;
		v1 = turned(v1, 17) ^ v2;
		v3 = turned(v3, 21) ^ v0;
		v2 = turned(v2, 32);
		if (round == 0)
			v0 ^= block;
	}
	return v0 ^ v1 ^ v2 ^ v3;
}

static __always_inline __u32 hash(const struct search *search, __u32 offset)
{
	__u32 product = search->value * GOLDEN_RATIO_32;
	__u32 size = search->length ?: 1;

	if (search->flags & HASH_KEYED)
		return hsiphash(search->value + offset, search->key) % size;
	return ((search->shift < 32 ? product >> search->shift : 0) + offset) % size;
}

static long try_slot(__u32 step, struct search *search)
{
	__u32 slot = slot_at(search, hash(search, (search->start + step) % (search->length ?: 1)));

	if (!is_usable(server_in(slot)))
		return 0;
	search->chosen = slot;
	return 1;
}

static __always_inline void hash_table(struct search *search)
{
	__u32 slot;

	search->start = hash(search, 0);
	slot = slot_at(search, search->start);
	if (is_usable(server_in(slot)))
		search->chosen = slot;
	else if (search->flags & FALLBACK)
		bpf_loop(search->length, try_slot, search, 0);
}

static long compare_load(__u32 at, struct search *search)
{
	__u32 slot = slot_at(search, at);
	struct server *server = server_in(slot);
	__u64 load, weight;

	if (!server || !is_usable(server))
		return 0;
	if (search->flags & IDLE_FIRST && !server->active) {
		search->chosen = slot;
		return 1;
	}
	weight = search->flags & WEIGHTED ? server->weight : 1;
	load = server->active;
	load = search->flags & LOAD_NEXT ? load + 1 : load * 257 + server->inactive;
	if (search->chosen && load * search->weight >= search->load * weight)
		return 0;
	search->chosen = slot;
	search->load = load;
	search->weight = weight;
	return 0;
}

static long compare_weight(__u32 at, struct search *search)
{
	__u32 slot = slot_at(search, at);
	struct server *server = server_in(slot);

	if (!server || !is_usable(server) || (search->flags & SPILL && server->active > server->weight))
		return 0;
	if (search->chosen && server->weight <= search->weight)
		return 0;
	search->chosen = slot;
	search->weight = server->weight;
	return 0;
}

/* What a hash is made of: one end's address as one number, IPv6's four words XORed, and perhaps its port. */
static __always_inline __u32 hashed(const struct flow_key *key, __u32 family, __u32 flags)
{
	bool far = flags & HASH_DESTINATION;
	__be16 port = far ? key->destination_port : key->source_port;
	__u32 value = flags & HASH_PORT ? bpf_ntohs(port) : 0;
	const __be32 *words = far ? key->v6.destination : key->v6.source;

	if (family == INET)
		return value + bpf_ntohl(far ? key->v4.destination : key->v4.source);
	return value + bpf_ntohl(words[0] ^ words[1] ^ words[2] ^ words[3]);
}

/* Return the number, and one, of the real server for a new connection, 0 if there is none. */
__noinline __u32 choose(__u32 number, const struct flow_key *key, __u32 family)
{
	struct plan *plan = bpf_map_lookup_elem(&plans, &number);
	struct search search = {};

	if (!plan || !key)
		return 0;
	search.first = plan->first;
	search.length = plan->length;
	search.flags = plan->flags;
	search.key = plan->key;
	search.shift = plan->shift;
	if (plan->kind == CYCLE) {
		cycle(plan, &search);
	} else if (plan->kind == HASH_TABLE) {
		search.value = hashed(key, family, search.flags);
		hash_table(&search);
	} else if (plan->kind == LEAST_LOAD) {
		bpf_loop(search.length, compare_load, &search, 0);
	} else if (plan->kind == HEAVIEST) {
		bpf_loop(search.length, compare_weight, &search, 0);
	}
	return search.chosen;
}

/* Return the number, and one, of the service that a flow is for, 0 if there is none. */
__noinline __u32 service_number(const struct flow_key *key, __u32 family)
{
	struct service_key wanted = {};
	__u32 *number;

	if (!key)
		return 0;
	wanted.protocol = key->protocol;
	wanted.port = key->destination_port;
	wanted.family = family;
	if (family == INET)
		wanted.address[0] = key->v4.destination;
	else
		__builtin_memcpy(wanted.address, key->v6.destination, sizeof(wanted.address));
	number = bpf_map_lookup_elem(&service_numbers, &wanted);
	return number ? *number + 1 : 0;
}

/* Find the service that a flow is for, if new connections of it are opened here. */
static __always_inline struct service *planned_service(const struct flow_key *key, __u32 family)
{
	__u32 number = service_number(key, family);
	struct service *service;

	if (!number--)
		return NULL;
	service = bpf_map_lookup_elem(&services, &number);
	return service && service->plan ? service : NULL;
}

/* The flow that answers: the real server's endpoint in the place of the virtual one. */
static __always_inline void reply_of(struct flow_key *reply, const struct flow_key *key, const struct binding *binding)
{
	__builtin_memset(reply, 0, sizeof(*reply));
	reply->protocol = key->protocol;
	reply->source_port = binding->real_port;
	reply->destination_port = key->source_port;
	if (binding->family == INET) {
		reply->v4.source = binding->real_address[0];
		reply->v4.destination = key->v4.source;
	} else {
		__builtin_memcpy(reply->v6.source, binding->real_address, sizeof(reply->v6.source));
		__builtin_memcpy(reply->v6.destination, key->v6.source, sizeof(reply->v6.destination));
	}
}

static __always_inline __s64 refuse(int error)
{
	increment(error == -ENOSPC ? UP_FULL : UP_REFUSED);
	return -1;
}

/* Tell of a connection that was just opened, and let it wait until it is assured. */
__noinline int begin(__u32 index)
{
	struct connection *connection = bpf_map_lookup_elem(&connections, &index);
	struct change change = { .kind = OPENED, .index = index };

	if (!connection)
		return 0;
	tell(connection, &change);
	return enter_embryo(index, connection->generation);
}

/* Open a connection for a packet that belongs to none, if its service has a plan. Returns its slot, or -1 to
 * leave it to Python. */
__noinline __s64 open_planned(const struct flow_key *key, __u32 family, __u32 octet)
{
	struct opening opening = { .family = family };
	struct service *service;
	struct tracker *tracker;
	struct binding *binding;
	struct flow_key reply;
	__u32 event, server;
	int error;

	if (!key)
		return -1;
	service = planned_service(key, family);
	if (!service)
		return -1;
	tracker = bpf_map_lookup_elem(&trackers, &service->tracker);
	if (!tracker)
		return -1;
	event = event_of(tracker, octet);
	if (!(tracker->opening >> event & 1))
		return -1;
	server = choose(service->plan, key, family);
	if (!server)
		return refuse(0);
	opening.binding = server - 1; /* a real server's own binding has its number */
	binding = bpf_map_lookup_elem(&bindings, &opening.binding);
	if (!binding)
		return -1;
	opening.state = 0; /* the packet itself moves it on */
	reply_of(&reply, key, binding);
	error = is_taken(&reply, family) ? -EEXIST : open_connection(key, &reply, &opening);
	if (error)
		return refuse(error);
	increment(NEW_CONNECTIONS);
	return opening.index;
}

static __always_inline bool admit(const struct flow_key *key, __u32 family, __u32 octet)
{
	__s64 index = open_planned(key, family, octet);

	if (index < 0)
		return false;
	begin(index);
	return true;
}

/* Close a connection whose client opens another from the same port, if that one can be opened here too. */
static __always_inline bool close_for_another(const struct flow_key *key, __u32 family, const struct match *match)
{
	return planned_service(key, family) &&
	       close_connection(match->index, match->connection->generation, REUSED);
}
