/* SPDX-License-Identifier: MIT */
/* Internet checksums, adjusted incrementally (RFC 1624). A change is what is added to the ones' complement sum of the
 * covered words. Results are 0 to 0xFFFE, as those of nat_lb.checksum are. */
#pragma once

#include <linux/types.h>

/* Return the checksum field after its words' sum changed. */
static __always_inline __u16 adjust(__u16 check, __u16 change)
{
	__u32 sum = (__u32)(__u16)~check + change;

	sum = (sum & 0xffff) + (sum >> 16);
	if (sum == 0) /* only where both were 0 */
		sum = 0xffff;
	return ~(__u16)sum;
}
