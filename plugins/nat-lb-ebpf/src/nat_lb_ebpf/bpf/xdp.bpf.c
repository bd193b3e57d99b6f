/* SPDX-License-Identifier: MIT */
#include "xdp.h"

SEC("xdp")
int nat_lb_xdp(struct xdp_md *frame)
{
	return handle_frame(frame);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
