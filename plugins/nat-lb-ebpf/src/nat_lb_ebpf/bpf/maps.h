/* SPDX-License-Identifier: MIT */
/* The maps that all programs share. Python sets the sizes given as 1 before it loads them. */
#pragma once

#include "structs.h"

#include <bpf/bpf_helpers.h>

#define ARRAY_OF(value_type, entries, flags)            \
	__uint(type, BPF_MAP_TYPE_ARRAY);               \
	__uint(max_entries, entries);                   \
	__uint(map_flags, flags);                       \
	__type(key, __u32);                             \
	__type(value, value_type)

/* Flows, hashed by flows.h. Mappable only so that buckets begin at a page, and each is one cache line. */
struct {
	ARRAY_OF(struct bucket, 1, BPF_F_MMAPABLE);
} flows SEC(".maps");

/* Mapped into Python's memory: values begin at a page, so a connection is one cache line. */
struct {
	ARRAY_OF(struct connection, 1, BPF_F_MMAPABLE);
} connections SEC(".maps");

struct {
	ARRAY_OF(struct binding, 1, BPF_F_MMAPABLE);
} bindings SEC(".maps");

struct {
	ARRAY_OF(struct server, 1, BPF_F_MMAPABLE);
} servers SEC(".maps");

struct {
	ARRAY_OF(struct service, 1, BPF_F_MMAPABLE);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct service_key);
	__type(value, __u32);
} service_numbers SEC(".maps");

struct {
	ARRAY_OF(struct tracker, 8, 0);
} trackers SEC(".maps");

struct {
	ARRAY_OF(struct plan, 1, BPF_F_MMAPABLE);
} plans SEC(".maps");

struct {
	ARRAY_OF(__u32, 1, BPF_F_MMAPABLE);
} slots SEC(".maps");

struct {
	ARRAY_OF(struct settings, 1, 0);
} settings SEC(".maps");

struct {
	ARRAY_OF(struct allocator, 1, 0);
} allocator SEC(".maps");

/* Slots of `connections` that were used and are free again. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__uint(key_size, 0);
	__uint(value_size, sizeof(__u32));
} freed SEC(".maps");

/* The connections that were opened last, in a ring: whoever is overtaken and not assured by then is evicted. */
struct {
	ARRAY_OF(struct embryo, 1, 0);
} embryos SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct traffic);
} traffic SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* Add one to a counter of this CPU. What is rare is not inlined: all frames on the way down share 512 octets of stack. */
static __noinline int increment(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		*value += 1;
	return 0;
}

static __always_inline struct settings *the_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline struct allocator *the_allocator(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&allocator, &zero);
}
