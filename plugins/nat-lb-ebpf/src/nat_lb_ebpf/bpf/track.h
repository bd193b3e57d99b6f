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

static __always_inline void changed(const struct match *match, __u32 old_state, __u32 new_state)
{
	__u32 was = match->tracker->active >> (old_state % STATES) & 1;
	__u32 is = match->tracker->active >> (new_state % STATES) & 1;
	struct server *server;

	if (was != is) {
		server = server_of(match->binding);
		if (server)
			count(server, is - was, was - is);
	}
	tell(match->connection, &(struct change){
		.kind = STATE_CHANGED,
		.old_state = old_state,
		.new_state = new_state,
		.index = match->index,
	});
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
			changed(match, old, next);
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
