/* SPDX-License-Identifier: MIT */
#include "tc.h"

SEC("tc")
int nat_lb_tc(struct __sk_buff *skb)
{
	return handle_skb(skb);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
