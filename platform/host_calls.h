/*
 * Host calls of the sentry's process, as its seccomp filters want them (runsc-cli/boot/filter.c).
 * A .def file lists some, to be included between the braces of an array of struct host_call: the
 * sentry's are in runsc-cli/boot/filter.def, each platform's in a filter.def of its own, which its
 * pl_ops names.  The filters of a sandbox are made of the sentry's and its platform's; what both
 * need is in both.  tests/host_calls.py makes the tables in docs/SECURITY.md of all of them
 * (`make docs`): the comment above a block says there what it is for.
 *
 *	CALL(name, who, rule)
 *
 * who	SENTRY		the sentry's threads
 *	HOSTNET		the same, but with --network=host only
 *	HOSTUDS		with --host-uds=create or all only
 *	STUBS		what they need to start the platform, and stubs, before there is no more to
 *			be had; stubs have a filter of their own on top
 * rule	ANY, or what must hold of arguments (0 is the first; their low 32 bits): IS(arg, value),
 *	WITH(arg, value, bits) (the value, with any of the bits), NONE_OF(arg, bits), ZERO(arg)
 *	(all 64 bits).  A call with several lines may be made by each.
 *
 * The host's kernel keeps a bitmap of calls whose arguments no filter looks at and does not run the
 * filters for those: what goes with every guest call is ANY, but for futex, whose operations are
 * few comparisons (WAKE is the bit 1).
 */
#ifndef PLATFORM_HOST_CALLS_H
#define PLATFORM_HOST_CALLS_H

#include <seccomp.h>

struct host_call {
	int nr;
	enum host_call_who { SENTRY, HOSTNET, HOSTUDS, STUBS } who;
	struct scmp_arg_cmp when[3]; /* the first without an operator ends them */
};

/* clang-format off */
#define ANY {0}
#define IS(n, value) {n, SCMP_CMP_MASKED_EQ, 0xffffffffu, value}
#define WITH(n, value, bits) {n, SCMP_CMP_MASKED_EQ, 0xffffffffu & ~(uint64_t)(bits), value}
#define NONE_OF(n, bits) {n, SCMP_CMP_MASKED_EQ, bits, 0}
#define ZERO(n) {n, SCMP_CMP_EQ, 0, 0}
#define CALL(name, who, ...) {__SNR_##name, who, {__VA_ARGS__}},
/* clang-format on */

#endif
