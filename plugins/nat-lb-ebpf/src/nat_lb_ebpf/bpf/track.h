/* SPDX-License-Identifier: MIT */
/* The state of a connection: an octet picks the event, the tracker's table the next state. Only a state that really
 * changed here is counted and told, so two CPUs with packets of one connection count it once. */
#pragma once

#include "connection.h"

static __always_inline __u32 event_of(const struct tracker *tracker, __u8 octet)
{
	return tracker->event_of[octet] % EVENTS;
}

static __always_inline __u32 next_state(const struct tracker *tracker, __u32 direction, __u32 event, __u32 state)
{
	return tracker->next[direction & 1][event % EVENTS][state % STATES];
}

/* Whether a packet asks for a new connection in the place of this one, which is winding down. */
static __always_inline bool reopens(const struct match *match, __u8 octet)
{
	const struct tracker *tracker = match->tracker;
	__u32 event = event_of(tracker, octet), state = match->connection->state;

	return match->direction == ORIGINAL && tracker->reopened >> (state % STATES) & 1 &&
	       tracker->opening >> event & 1 && next_state(tracker, ORIGINAL, event, state) != state;
}

/* Count and tell that a connection's state changed. */
__noinline int changed(__u32 index, __u32 old_state, __u32 new_state)
{
	struct connection *connection = bpf_map_lookup_elem(&connections, &index);
	struct change change = { .kind = STATE_CHANGED, .index = index };
	struct binding *binding;
	struct tracker *tracker;
	struct server *server;
	__u32 was, is;

	if (!connection)
		return 0;
	binding = bpf_map_lookup_elem(&bindings, &connection->binding);
	if (!binding)
		return 0;
	tracker = tracker_of(binding);
	server = server_of(binding);
	if (!tracker || !server)
		return 0;
	was = tracker->active >> (old_state % STATES) & 1;
	is = tracker->active >> (new_state % STATES) & 1;
	if (was != is)
		count(server, is - was, was - is);
	change.old_state = old_state;
	change.new_state = new_state;
	return tell(connection, &change);
}

/* Move the connection's state on. */
static __always_inline void track(struct match *match, __u8 octet)
{
	struct connection *connection = match->connection;
	const struct tracker *tracker = match->tracker;
	__u32 event = event_of(tracker, octet), old = connection->state, next, seen;

	for (int attempt = 0; attempt < 3; attempt++) {
		next = next_state(tracker, match->direction, event, old);
		if (next == old)
			return;
		seen = __sync_val_compare_and_swap(&connection->state, old, next);
		if (seen == old) {
			changed(match->index, old, next);
			return;
		}
		old = seen;
	}
}

/* Note that a packet, or a number of them in one, was seen. */
static __always_inline void note(struct match *match, __u8 octet, __u64 packets, __u64 octets)
{
	struct connection *connection = match->connection;
	__u64 now = bpf_ktime_get_coarse_ns();
	struct traffic *carried;

	if (connection->last_seen != now)
		connection->last_seen = now;
	track(match, octet);
	if (match->direction == REPLY) {
		if (!(connection->flags & REPLIED))
			__sync_fetch_and_or(&connection->flags, REPLIED);
	} else if ((connection->flags & (REPLIED | ASSURED)) == REPLIED) {
		__sync_fetch_and_or(&connection->flags, ASSURED);
	}
	carried = bpf_map_lookup_elem(&traffic, &match->binding->server);
	if (carried) {
		carried->packets[match->direction & 1] += packets;
		carried->octets[match->direction & 1] += octets;
	}
}
