/* SPDX-License-Identifier: MIT */
/* The table of flows: which connection a packet belongs to, in one look at one cache line, and one at the connection.
 *
 * The kernel's own hash table costs a call and takes two or three lines, each of which is a miss when there are many
 * connections. Here a bucket is a line of eight places, and a flow may be in two: in the first one, unless that is nearly
 * full and the other is not so full. A table is at most half full; nineteen flows in twenty are in their first bucket
 * then, and a flow for which neither has room has not been seen in millions. No lock: a place changes by compare-and-swap, and what is found is
 * believed only when the connection itself says the same. */
#pragma once

#include "maps.h"
#include "parse.h"

#define NEARLY_FULL 6 /* places of a bucket */

#define EEXIST 17
#define ENOENT 2
#define ENOSPC 28
#define EINVAL 22

struct match {
	struct connection *connection;
	struct binding *binding;
	struct tracker *tracker;
	__u32 direction;
	__u32 index;
};

struct hashed {
	__u32 first, second; /* buckets */
	__u64 tag;           /* the upper half of a place */
};

static __always_inline __u64 stir(__u64 hash, __u64 word)
{
	hash ^= word * 0x9e3779b97f4a7c15ULL;
	hash = hash << 29 | hash >> 35;
	return hash * 0xbf58476d1ce4e5b9ULL;
}

static __always_inline struct hashed hash_flow(const struct flow_key *key, __u32 family)
{
	const __u64 *words = (const __u64 *)key;
	struct settings *given = the_settings();
	struct hashed hashed = {};
	__u64 hash;

	if (!given)
		return hashed;
	hash = stir(stir(given->seed, words[0]), words[1]);
	if (family != INET)
		hash = stir(stir(stir(hash, words[2]), words[3]), words[4]);
	hash ^= hash >> 32;
	hash *= 0x94d049bb133111ebULL;
	hash ^= hash >> 29;
	hashed.tag = hash & 0xffffffff00000000ULL ?: 1ULL << 32;
	hashed.first = hash & (given->buckets - 1);
	hashed.second = (hashed.first ^ (__u32)(hashed.tag >> 32) * 0x5bd1e995) & (given->buckets - 1);
	return hashed;
}

static __always_inline struct bucket *bucket_at(__u32 number)
{
	return bpf_map_lookup_elem(&flows, &number);
}

static __always_inline bool same(const __be32 *one, const __be32 *other, __u32 family)
{
	return one[0] == other[0] &&
	       (family == INET || (one[1] == other[1] && one[2] == other[2] && one[3] == other[3]));
}

/* Whether a connection has this flow in a direction. Of calls, no packet names the source. */
static __always_inline bool has_flow(const struct connection *connection, const struct binding *binding, __u32 direction,
				     const struct flow_key *key, __u32 family)
{
	const __be32 *source = key->v6.source, *destination = family == INET ? &key->v4.destination : key->v6.destination;
	bool named = key->protocol != GRE;

	if (!connection->generation || connection->family != family || binding->protocol != key->protocol)
		return false;
	if (direction == ORIGINAL)
		return same(source, connection->client, family) && same(destination, binding->virtual_address, family) &&
		       key->destination_port == binding->virtual_port &&
		       (!named || key->source_port == connection->client_port);
	return same(source, binding->real_address, family) && same(destination, connection->client, family) &&
	       key->destination_port == connection->client_port && (!named || key->source_port == binding->real_port);
}

static __always_inline bool matches(__u64 place, const struct flow_key *key, __u32 family)
{
	__u32 index = (__u32)place >> 1;
	struct connection *connection = bpf_map_lookup_elem(&connections, &index);
	struct binding *binding;

	if (!connection)
		return false;
	binding = bpf_map_lookup_elem(&bindings, &connection->binding);
	return binding && has_flow(connection, binding, place & 1, key, family);
}

/* Return the lower half of a flow's place, -1 if it has none. Functions that are not static are verified once, and not
 * wherever they are called. */
__noinline __s64 find_place(const struct flow_key *key, __u32 family)
{
	struct bucket *bucket;
	struct hashed hashed;
	__u64 place;

	if (!key)
		return -1;
	hashed = hash_flow(key, family);
	bucket = bucket_at(hashed.first);
#pragma clang loop unroll(disable)
	for (__u32 at = 0; at < 2 * PLACES; at++) {
		if (at == PLACES)
			bucket = bucket_at(hashed.second);
		if (!bucket)
			return -1;
		place = bucket->places[at % PLACES];
		if ((place & 0xffffffff00000000ULL) == hashed.tag && matches(place, key, family))
			return (__u32)place;
	}
	return -1;
}

/* Find the connection of a flow; false if there is none. */
static __always_inline bool find(const struct flow_key *key, __u32 family, struct match *match)
{
	__s64 place = find_place(key, family);

	if (place < 0)
		return false;
	match->index = (__u32)place >> 1;
	match->direction = place & 1;
	match->connection = bpf_map_lookup_elem(&connections, &match->index);
	if (!match->connection)
		return false;
	match->binding = bpf_map_lookup_elem(&bindings, &match->connection->binding);
	if (!match->binding)
		return false;
	match->tracker = bpf_map_lookup_elem(&trackers, &match->binding->tracker);
	return match->tracker;
}

/* Put `from` in the place of `to` in a bucket; false if `from` is not there. */
static __always_inline bool exchange(__u32 number, __u64 from, __u64 to)
{
	struct bucket *bucket = bucket_at(number);

	if (!bucket)
		return false;
#pragma clang loop unroll(disable)
	for (__u32 place = 0; place < PLACES; place++)
		if (bucket->places[place] == from &&
		    __sync_val_compare_and_swap(&bucket->places[place], from, to) == from)
			return true;
	return false;
}

static __always_inline __u32 flows_in(__u32 number)
{
	struct bucket *bucket = bucket_at(number);
	__u32 taken = 0;

	if (!bucket)
		return PLACES;
#pragma clang loop unroll(disable)
	for (__u32 place = 0; place < PLACES; place++)
		taken += bucket->places[place] != 0;
	return taken;
}

/* Let a flow, which no other connection has, lead to a connection; false if there is no room for it. */
__noinline bool add_flow(const struct flow_key *key, __u32 family, __u32 index, __u32 direction)
{
	struct hashed hashed;
	__u64 place;
	__u32 taken;

	if (!key)
		return false;
	hashed = hash_flow(key, family);
	place = hashed.tag | index << 1 | (direction & 1);
	taken = flows_in(hashed.first);
	if (taken >= NEARLY_FULL && flows_in(hashed.second) < taken)
		return exchange(hashed.second, 0, place) || exchange(hashed.first, 0, place);
	return exchange(hashed.first, 0, place) || exchange(hashed.second, 0, place);
}

__noinline bool delete_flow(const struct flow_key *key, __u32 family, __u32 index, __u32 direction)
{
	struct hashed hashed;
	__u64 place;

	if (!key)
		return false;
	hashed = hash_flow(key, family);
	place = hashed.tag | index << 1 | (direction & 1);
	return exchange(hashed.first, place, 0) || exchange(hashed.second, place, 0);
}
