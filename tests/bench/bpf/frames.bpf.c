/* SPDX-License-Identifier: MIT */
/* The bench's packets: made, counted, and put before the programs that are measured.
 *
 * A live frame is used again with whatever its way has written into it, so every octet of the headers is written each
 * time. The sums of both checksums over what does not change are given; what changes is the client and its port. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define HEADERS 54
#define PORTS_A_CLIENT 50000
#define FIRST_PORT 1024
#define INET 2

struct ethernet {
	__u8 destination[6], source[6];
	__be16 type;
} __attribute__((packed));

struct headers {
	struct ethernet ethernet;
	__u8 version_and_length, service;
	__be16 length, identification, fragment;
	__u8 hops, protocol;
	__u16 check;
	__be32 source, destination;
	__be16 source_port, destination_port;
	__be32 sequence, acknowledgement;
	__u8 offset, flags;
	__be16 window;
	__u16 tcp_check;
	__be16 urgent;
} __attribute__((packed));

struct order {
	__u8 template[56]; /* the headers, as connection 0's */
	__u32 ip_sum, tcp_sum; /* of the template's words, without the client's address and port, in the host's order */
	__u32 first_client; /* in the host's order, as the numbers below */
	__u32 reply;        /* the client is the destination */
	__u32 first, count; /* connections */
	__u32 at_random;    /* picked so, or in turn */
	__u32 burst;        /* so many packets of one, side by side */
	__u32 next, left;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct order);
} orders SEC(".maps");

/* What is to be counted: the endpoints that packets show when they were translated, or not at all; 0 is any. */
struct wanted {
	__be32 source, destination;
	__be16 source_port, destination_port;
	__u32 unused;
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wanted);
} counted SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} measured_xdp SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} measured_tc SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} ways_out SEC(".maps");

static __always_inline __u16 folded(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Return the number of the connection that the next packet is of. */
static __always_inline __u32 pick(struct order *order)
{
	if (!order->left) {
		order->next = order->at_random ? bpf_get_prandom_u32() : order->next + 1;
		order->left = order->burst;
	}
	order->left--;
	return order->first + order->next % (order->count ?: 1);
}

/* Write the next packet's headers. */
static __always_inline int make(void *data, void *end)
{
	struct headers *headers = data;
	__u32 zero = 0, number, changed;
	struct order *order = bpf_map_lookup_elem(&orders, &zero);
	__be32 client;
	__be16 port;

	if (!order || data + HEADERS > end)
		return -1;
	number = pick(order);
	client = bpf_htonl(order->first_client + number / PORTS_A_CLIENT);
	port = bpf_htons(FIRST_PORT + number % PORTS_A_CLIENT);
	__builtin_memcpy(data, order->template, HEADERS);
	changed = (client & 0xffff) + (client >> 16);
	headers->check = folded(order->ip_sum + changed);
	headers->tcp_check = folded(order->tcp_sum + changed + port);
	if (order->reply) {
		headers->destination = client;
		headers->destination_port = port;
	} else {
		headers->source = client;
		headers->source_port = port;
	}
	return 0;
}

SEC("xdp")
int send(struct xdp_md *frame)
{
	return make((void *)(long)frame->data, (void *)(long)frame->data_end) ? XDP_ABORTED : XDP_TX;
}

SEC("xdp")
int count(struct xdp_md *frame)
{
	struct headers *headers = (void *)(long)frame->data;
	__u32 zero = 0;
	struct wanted *wanted = bpf_map_lookup_elem(&counted, &zero);

	if (!wanted || (void *)headers + HEADERS > (void *)(long)frame->data_end ||
	    headers->ethernet.type != bpf_htons(0x0800))
		return XDP_PASS;
	if ((wanted->destination && headers->destination != wanted->destination) ||
	    (wanted->source && headers->source != wanted->source) ||
	    (wanted->destination_port && headers->destination_port != wanted->destination_port) ||
	    (wanted->source_port && headers->source_port != wanted->source_port))
		return XDP_PASS;
	__sync_fetch_and_add(&wanted->packets, 1);
	return XDP_DROP;
}

/* A packet made and given to the program in the table: what all that is measured has in common. */
SEC("xdp")
int give_xdp(struct xdp_md *frame)
{
	if (!make((void *)(long)frame->data, (void *)(long)frame->data_end))
		bpf_tail_call(frame, &measured_xdp, 0);
	return XDP_ABORTED;
}

SEC("tc")
int give_tc(struct __sk_buff *skb)
{
	if (!make((void *)(long)skb->data, (void *)(long)skb->data_end))
		bpf_tail_call(skb, &measured_tc, 0);
	return TC_ACT_SHOT;
}

SEC("xdp")
int nothing_xdp(struct xdp_md *frame)
{
	return XDP_PASS;
}

SEC("tc")
int nothing_tc(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

/* The least that a router does: the hop limit lowered, the next hop looked up and written. */
static __always_inline long route(void *context, struct headers *headers, __u32 device, struct bpf_fib_lookup *fib)
{
	__u32 check = headers->check + bpf_htons(0x0100);
	long found;

	__builtin_memset(fib, 0, sizeof(*fib));
	fib->family = INET;
	fib->tos = headers->service;
	fib->l4_protocol = headers->protocol;
	fib->tot_len = bpf_ntohs(headers->length);
	fib->ipv4_src = headers->source;
	fib->ipv4_dst = headers->destination;
	fib->ifindex = device;
	found = bpf_fib_lookup(context, fib, sizeof(*fib), 0);
	if (found != BPF_FIB_LKUP_RET_SUCCESS)
		return found;
	headers->check = check + (check >= 0xffff);
	headers->hops--;
	__builtin_memcpy(headers->ethernet.destination, fib->dmac, sizeof(fib->dmac));
	__builtin_memcpy(headers->ethernet.source, fib->smac, sizeof(fib->smac));
	return 0;
}

SEC("xdp")
int route_xdp(struct xdp_md *frame)
{
	struct headers *headers = (void *)(long)frame->data;
	struct bpf_fib_lookup fib;

	if ((void *)headers + HEADERS > (void *)(long)frame->data_end)
		return XDP_PASS;
	if (route(frame, headers, frame->ingress_ifindex, &fib))
		return XDP_PASS;
	return bpf_redirect_map(&ways_out, fib.ifindex, XDP_PASS);
}

SEC("tc")
int route_tc(struct __sk_buff *skb)
{
	struct headers *headers = (void *)(long)skb->data;
	struct bpf_fib_lookup fib;

	if ((void *)headers + HEADERS > (void *)(long)skb->data_end)
		return TC_ACT_UNSPEC;
	if (route(skb, headers, skb->ifindex, &fib))
		return TC_ACT_UNSPEC;
	return bpf_redirect(fib.ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
