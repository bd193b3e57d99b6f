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

static __always_inline int open(struct control *request)
{
	struct opening opening = { .family = request->family, .binding = request->binding, .state = request->state,
				   .flags = request->flags };
	struct flow_key key = request->key, reply = request->reply_key;
	int error = open_connection(&key, &reply, &opening);

	request->connection = opening.index;
	request->generation = opening.generation;
	if (!error && !(request->flags & ASSURED))
		enter_embryo(opening.index, opening.generation);
	return error;
}

static __always_inline int close(struct control *request)
{
	struct flow_key key = request->key;
	struct match match;

	if (!find(&key, request->family, &match))
		return -ENOENT;
	return close_connection(match.index, match.connection->generation, request->reason) ? 0 : -ENOENT;
}

/* A packet of a connection of ours that Python handled: the state and the counters are kept here all the same. */
static __always_inline int note_packet(struct control *request)
{
	struct flow_key key = request->key;
	struct match match;

	if (!find(&key, request->family, &match))
		return -ENOENT;
	note(&match, request->octet, 1, request->octets);
	request->state = match.connection->state;
	return 0;
}

SEC("tc")
int nat_lb_control(struct __sk_buff *skb)
{
	struct control *request = (void *)(long)skb->data + sizeof(struct ethernet);
	struct control copy;

	if ((void *)(request + 1) > (void *)(long)skb->data_end)
		return -1;
	copy = *request;
	if (copy.operation == OPEN)
		copy.result = open(&copy);
	else if (copy.operation == CLOSE)
		copy.result = close(&copy);
	else if (copy.operation == NOTE)
		copy.result = note_packet(&copy);
	else if (copy.operation == SWEEP)
		copy.closed = sweep(copy.first, copy.count, copy.now);
	else if (copy.operation == START)
		copy.result = start();
	*request = copy;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
