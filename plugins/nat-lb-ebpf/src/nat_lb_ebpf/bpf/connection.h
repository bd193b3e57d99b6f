/* SPDX-License-Identifier: MIT */
/* Connections: found, opened, closed. Every connection has one slot of the array and two flows that lead to it. Whoever
 * takes the generation out of a slot owns its end, so a connection is closed once however many CPUs want to. */
#pragma once

#include "flows.h"

static __always_inline struct server *server_of(const struct binding *binding)
{
	return bpf_map_lookup_elem(&servers, &binding->server);
}

static __always_inline struct tracker *tracker_of(const struct binding *binding)
{
	return bpf_map_lookup_elem(&trackers, &binding->tracker);
}

/* Add to the numbers of active and inactive connections, and judge the load: overloaded from the upper threshold on,
 * until below the lower one. */
static __always_inline void count(struct server *server, __s32 active, __s32 inactive)
{
	__u32 connections;

	if (active)
		__sync_fetch_and_add(&server->active, active);
	if (inactive)
		__sync_fetch_and_add(&server->inactive, inactive);
	if (!server->upper_threshold)
		return;
	connections = server->active + server->inactive;
	if (connections >= server->upper_threshold)
		server->overloaded = 1;
	else if (connections < server->lower_threshold)
		server->overloaded = 0;
}

/* Count a connection in a state as its server's; weight is 1 or -1. */
static __always_inline void count_state(const struct binding *binding, __u32 state, __s32 weight)
{
	struct tracker *tracker = tracker_of(binding);
	struct server *server = server_of(binding);

	if (!tracker || !server)
		return;
	if (tracker->active >> (state % STATES) & 1)
		count(server, weight, 0);
	else
		count(server, 0, weight);
}

struct change {
	__u32 kind, reason;
	__u32 old_state, new_state;
	__u32 index;
};

/* Tell Python, if it wants to hear of such changes. */
static __noinline int tell(const struct connection *connection, const struct change *change)
{
	struct settings *wanted = the_settings();
	struct event *event;

	if (!wanted || !(wanted->events >> change->kind & 1))
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		increment(EVENTS_LOST);
		return 0;
	}
	event->time = bpf_ktime_get_coarse_ns();
	event->kind = change->kind;
	event->reason = change->reason;
	event->old_state = change->old_state;
	event->new_state = change->new_state;
	event->connection = change->index;
	event->generation = connection->generation;
	event->binding = connection->binding;
	__builtin_memcpy(event->client, connection->client, sizeof(event->client));
	event->client_port = connection->client_port;
	event->family = connection->family;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Write the key of one direction. */
static __always_inline void write_key(struct flow_key *key, const struct connection *connection,
				      const struct binding *binding, enum direction direction)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->protocol = binding->protocol;
	if (direction == ORIGINAL) {
		key->source_port = connection->client_port;
		key->destination_port = binding->virtual_port;
	} else {
		key->source_port = binding->real_port;
		key->destination_port = connection->client_port;
	}
	if (binding->protocol == GRE)
		key->source_port = 0;
	if (connection->family == INET) {
		key->v4.source = direction == ORIGINAL ? connection->client[0] : binding->real_address[0];
		key->v4.destination = direction == ORIGINAL ? binding->virtual_address[0] : connection->client[0];
	} else if (direction == ORIGINAL) {
		__builtin_memcpy(key->v6.source, connection->client, sizeof(key->v6.source));
		__builtin_memcpy(key->v6.destination, binding->virtual_address, sizeof(key->v6.destination));
	} else {
		__builtin_memcpy(key->v6.source, binding->real_address, sizeof(key->v6.source));
		__builtin_memcpy(key->v6.destination, connection->client, sizeof(key->v6.destination));
	}
}

static __always_inline void free_slot(__u32 index)
{
	bpf_map_push_elem(&freed, &index, BPF_ANY);
}

/* Close the connection in a slot if it is still this generation; return whether it was. */
__noinline bool close_connection(__u32 index, __u32 generation, __u32 reason)
{
	struct connection *connection = bpf_map_lookup_elem(&connections, &index);
	struct change change = { .kind = CLOSED, .reason = reason, .index = index };
	struct binding *binding;
	struct flow_key key;

	if (!connection || !generation || connection->generation != generation)
		return false;
	change.old_state = change.new_state = connection->state;
	binding = bpf_map_lookup_elem(&bindings, &connection->binding);
	if (!binding || __sync_val_compare_and_swap(&connection->generation, generation, 0) != generation)
		return false;
	write_key(&key, connection, binding, ORIGINAL);
	delete_flow(&key, connection->family, index, ORIGINAL);
	write_key(&key, connection, binding, REPLY);
	delete_flow(&key, connection->family, index, REPLY);
	count_state(binding, connection->state, -1);
	tell(connection, &change);
	free_slot(index);
	return true;
}

/* Let a connection that was just opened take the next place among those that are not assured. Whoever had the place has
 * been overtaken by as many as there are places: if it is not assured by now, it goes. */
__noinline int enter_embryo(__u32 index, __u32 generation)
{
	struct allocator *state = the_allocator();
	struct settings *given = the_settings();
	struct connection *overtaken;
	struct embryo *embryo;
	struct embryo old;
	__u32 place;

	if (!state || !given)
		return 0;
	place = __sync_fetch_and_add(&state->embryo, 1) % (given->embryos ?: 1);
	embryo = bpf_map_lookup_elem(&embryos, &place);
	if (!embryo)
		return 0;
	old = *embryo;
	embryo->connection = index;
	embryo->generation = generation;
	overtaken = bpf_map_lookup_elem(&connections, &old.connection);
	if (!overtaken || !old.generation || overtaken->generation != old.generation || overtaken->flags & ASSURED)
		return 0;
	if (close_connection(old.connection, old.generation, EVICTED))
		increment(EVICTIONS);
	return 0;
}

/* Take a free slot; -1 if there is none. */
static __always_inline __s64 take_slot(struct allocator *state, __u32 limit)
{
	__u32 index;

	if (!bpf_map_pop_elem(&freed, &index))
		return index;
	if (state->fresh >= limit)
		return -1;
	index = __sync_fetch_and_add(&state->fresh, 1);
	if (index < limit)
		return index;
	__sync_fetch_and_add(&state->fresh, -1);
	return -1;
}

/* Whether a flow belongs to a connection already. */
static __always_inline bool is_taken(const struct flow_key *key, __u32 family)
{
	struct match match = {};

	return find(key, family, &match);
}

struct opening {
	__u32 family;
	__u32 binding;
	__u32 state;
	__u32 flags;
	__u32 index, generation; /* the answer */
};

/* Open a connection between two flows, of which the first is the client's; nobody has them, as is_taken() said. Returns 0, or -ENOSPC when there is no
 * room, -EINVAL for a binding that is not. */
__noinline int open_connection(const struct flow_key *key, const struct flow_key *reply, struct opening *opening)
{
	struct allocator *state = the_allocator();
	struct settings *given = the_settings();
	struct connection *connection;
	struct binding *binding;
	struct server *server;
	__s64 slot;

	if (!opening)
		return -EINVAL;
	binding = bpf_map_lookup_elem(&bindings, &opening->binding);
	if (!state || !given || !binding || !key || !reply)
		return -EINVAL;
	slot = take_slot(state, given->limit);
	if (slot < 0)
		return -ENOSPC;
	opening->index = slot;
	connection = bpf_map_lookup_elem(&connections, &opening->index);
	server = server_of(binding);
	if (!connection || !server)
		return -EINVAL;
	opening->generation = (__sync_fetch_and_add(&state->generation, 1) & 0x7fffffff) ?: 0x7fffffff;
	connection->last_seen = connection->opened = bpf_ktime_get_coarse_ns();
	connection->binding = opening->binding;
	connection->state = opening->state;
	connection->flags = opening->flags;
	connection->family = opening->family;
	connection->client_port = reply->destination_port;
	if (opening->family == INET)
		connection->client[0] = key->v4.source;
	else
		__builtin_memcpy(connection->client, key->v6.source, sizeof(connection->client));
	connection->generation = opening->generation;
	if (!add_flow(key, opening->family, opening->index, ORIGINAL))
		goto full;
	if (!add_flow(reply, opening->family, opening->index, REPLY)) {
		delete_flow(key, opening->family, opening->index, ORIGINAL);
		goto full;
	}
	count_state(binding, opening->state, 1);
	__sync_fetch_and_add(&server->opened, 1);
	return 0;
full:
	connection->generation = 0;
	free_slot(opening->index);
	return -ENOSPC;
}
