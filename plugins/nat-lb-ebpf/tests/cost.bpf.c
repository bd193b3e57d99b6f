/* SPDX-License-Identifier: MIT */
/* Programs to measure: each writes the packet's headers anew, since a test run repeats on the packet as it was left,
 * and then does nothing, only what a plain router does, or all that nat-lb does. */
#include "tc.h"
#include "xdp.h"

#define TEMPLATE (sizeof(struct ethernet) + sizeof(struct ipv6) + sizeof(struct tcp))

#define PORTS 50000 /* that one client uses, from 1024 on */

/* The headers, and whose packet it is: in turn from `next` on, or at random among the first `clients`. */
struct template {
	__u8 octets[TEMPLATE];
	__u8 reply; /* the client is the receiver */
	__u8 random;
	__u32 next, clients;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct template);
} templates SEC(".maps");

static __always_inline bool renew(void *data, void *end)
{
	__u32 zero = 0, client;
	struct template *template = bpf_map_lookup_elem(&templates, &zero);
	struct ipv4 *ip = data + sizeof(struct ethernet);
	struct ports *ports = (void *)(ip + 1);

	if (!template || data + TEMPLATE > end)
		return false;
	__builtin_memcpy(data, template->octets, TEMPLATE);
	client = template->random ? bpf_get_prandom_u32() % (template->clients ?: 1) : template->next++;
	if (template->reply) {
		ip->destination += bpf_htonl(client / PORTS);
		ports->destination = bpf_htons(1024 + client % PORTS);
	} else {
		ip->source += bpf_htonl(client / PORTS);
		ports->source = bpf_htons(1024 + client % PORTS);
	}
	return true;
}

/* Route a packet as a router does that has nothing else to do. */
static __always_inline long route(void *context, struct ethernet *frame, void *end, __u32 ifindex, struct bpf_fib_lookup *fib)
{
	struct ipv4 *ip = (void *)(frame + 1);

	if ((void *)(ip + 1) > end)
		return -1;
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->ifindex = ifindex;
	fib->tot_len = bpf_ntohs(ip->length);
	fib->family = INET;
	fib->tos = ip->service & 0x1c;
	fib->l4_protocol = ip->protocol;
	fib->ipv4_src = ip->source;
	fib->ipv4_dst = ip->destination;
	if (bpf_fib_lookup(context, fib, sizeof(*fib), 0))
		return -1;
	ip->hops -= 1;
	ip->check = adjust(ip->check, bpf_htons(0xfeff));
	address_frame(frame, fib);
	return 0;
}

SEC("tc")
int nothing_tc(struct __sk_buff *skb)
{
	return renew((void *)(long)skb->data, (void *)(long)skb->data_end) ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("tc")
int route_tc(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct bpf_fib_lookup fib;

	if (!renew(data, end) || route(skb, data, end, skb->ifindex, &fib))
		return TC_ACT_SHOT;
	return bpf_redirect(fib.ifindex, 0);
}

SEC("tc")
int whole_tc(struct __sk_buff *skb)
{
	return renew((void *)(long)skb->data, (void *)(long)skb->data_end) ? handle_skb(skb) : TC_ACT_SHOT;
}

SEC("xdp")
int nothing_xdp(struct xdp_md *frame)
{
	return renew((void *)(long)frame->data, (void *)(long)frame->data_end) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int route_xdp(struct xdp_md *frame)
{
	void *data = (void *)(long)frame->data, *end = (void *)(long)frame->data_end;
	struct bpf_fib_lookup fib;

	if (!renew(data, end) || route(frame, data, end, frame->ingress_ifindex, &fib))
		return XDP_DROP;
	return bpf_redirect_map(&devices, fib.ifindex, XDP_PASS);
}

SEC("xdp")
int whole_xdp(struct xdp_md *frame)
{
	return renew((void *)(long)frame->data, (void *)(long)frame->data_end) ? handle_frame(frame) : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
