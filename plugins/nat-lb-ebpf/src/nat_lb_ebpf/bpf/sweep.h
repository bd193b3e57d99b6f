/* SPDX-License-Identifier: MIT */
/* The sweep: slots are looked at in turn, and what has expired is closed. A timer of the kernel's does so in small
 * steps, with or without a Python process; the connections are read where they lie, one cache line each. */
#pragma once

#include "connection.h"

#define LASTING (10 * NS_PER_SECOND) /* packets for so long assure a connection that is never answered */

struct swept {
	__u64 now;
	__u32 first;
	__u32 closed;
};

static long sweep_slot(__u32 step, struct swept *swept)
{
	__u32 index = swept->first + step, generation;
	struct connection *connection = bpf_map_lookup_elem(&connections, &index);
	struct service *service;
	struct binding *binding;
	__u64 last_seen;

	if (!connection)
		return 1;
	generation = connection->generation;
	if (!generation)
		return 0;
	last_seen = connection->last_seen;
	binding = bpf_map_lookup_elem(&bindings, &connection->binding);
	service = binding ? bpf_map_lookup_elem(&services, &binding->service) : NULL;
	if (!service)
		return 0;
	if (last_seen + service->timeouts[connection->state % STATES] <= swept->now)
		swept->closed += close_connection(index, generation, EXPIRED);
	else if (!(connection->flags & ASSURED) && last_seen >= connection->opened + LASTING)
		__sync_fetch_and_or(&connection->flags, ASSURED);
	return 0;
}

/* Look at `count` slots from `first` on; return how many connections were closed. */
static __noinline __u32 sweep(__u32 first, __u32 count, __u64 now)
{
	struct swept swept = { .first = first, .now = now ?: bpf_ktime_get_coarse_ns() };

	bpf_loop(count, sweep_slot, &swept, 0);
	return swept.closed;
}
