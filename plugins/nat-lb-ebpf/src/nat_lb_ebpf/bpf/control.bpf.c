/* SPDX-License-Identifier: MIT */
/* What Python has done: it runs this program (BPF_PROG_TEST_RUN) with a request where a packet would be, so connections
 * are opened and closed by one code, whoever wants it. */
#include "nat.h"
#include "sweep.h"

#define CLOCK_MONOTONIC 1

struct ticker {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ticker);
} tickers SEC(".maps");

/* Sweep one step of the slots that were ever used, and come again. */
static int tick(void *map, __u32 *key, struct ticker *ticker)
{
	struct allocator *state = the_allocator();
	struct settings *given = the_settings();

	if (!state || !given)
		return 0;
	if (state->swept >= state->fresh)
		state->swept = 0;
	sweep(state->swept, given->step, 0);
	state->swept += given->step;
	bpf_timer_start(&ticker->timer, given->tick, 0);
	return 0;
}

static __always_inline int start(void)
{
	struct settings *given = the_settings();
	__u32 zero = 0;
	struct ticker *ticker = bpf_map_lookup_elem(&tickers, &zero);

	if (!ticker || !given)
		return -EINVAL;
	bpf_timer_init(&ticker->timer, &tickers, CLOCK_MONOTONIC); /* fails where it is initialised: adopted */
	bpf_timer_set_callback(&ticker->timer, tick);
	return bpf_timer_start(&ticker->timer, given->tick, 0);
}

static __noinline int open(struct control *request)
{
	struct opening opening = {};
	int error;

	if (!request)
		return -EINVAL;
	if (is_taken(&request->key, request->family) || is_taken(&request->reply_key, request->family))
		return -EEXIST;
	opening.family = request->family;
	opening.binding = request->binding;
	opening.state = request->state;
	opening.flags = request->flags;
	error = open_connection(&request->key, &request->reply_key, &opening);
	request->connection = opening.index;
	request->generation = opening.generation;
	if (!error && !(request->flags & ASSURED))
		enter_embryo(opening.index, opening.generation);
	return error;
}

/* What is asked about a connection that is there: where it is, to close it, or to note a packet of it that Python
 * handled - the state and the counters are kept here all the same. */
static __noinline int about(struct control *request)
{
	struct match match = {};

	if (!request || !find(&request->key, request->family, &match))
		return -ENOENT;
	request->connection = match.index;
	request->generation = match.connection->generation;
	if (request->operation == CLOSE)
		return close_connection(match.index, request->generation, request->reason) ? 0 : -ENOENT;
	if (request->operation == NOTE)
		note(&match, request->octet, 1, request->octets);
	request->state = match.connection->state;
	return 0;
}

/* The request while it is worked on: it is larger than a stack should hold. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} requests SEC(".maps");

SEC("tc")
int nat_lb_control(struct __sk_buff *skb)
{
	struct control *there = (void *)(long)skb->data + sizeof(struct ethernet);
	__u32 zero = 0;
	struct control *request = bpf_map_lookup_elem(&requests, &zero);

	if (!request || (void *)(there + 1) > (void *)(long)skb->data_end)
		return -1;
	*request = *there;
	if (request->operation == OPEN)
		request->result = open(request);
	else if (request->operation == SWEEP)
		request->closed = sweep(request->first, request->count, request->now);
	else if (request->operation == START)
		request->result = start();
	else
		request->result = about(request);
	*there = *request;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
