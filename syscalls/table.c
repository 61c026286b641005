#include "syscalls/sys.h"

#include <errno.h>

#include "lib/log.h"

/* What each level of table.def makes of a handler: level, errno, function. */
#define LEVEL_FULL(f) .level = SYS_LEVEL_FULL, .fn = f
#define LEVEL_PARTIAL(f) .level = SYS_LEVEL_PARTIAL, .fn = f
#define LEVEL_NONE(f) .level = SYS_LEVEL_NONE, .err = ENOSYS
#define LEVEL_NONE_EPERM(f) .level = SYS_LEVEL_NONE, .err = EPERM
#define LEVEL_NONE_EINVAL(f) .level = SYS_LEVEL_NONE, .err = EINVAL
#define LEVEL_NONE_EACCES(f) .level = SYS_LEVEL_NONE, .err = EACCES
#define LEVEL_NONE_ENODEV(f) .level = SYS_LEVEL_NONE, .err = ENODEV
#define LEVEL_NONE_EOPNOTSUPP(f) .level = SYS_LEVEL_NONE, .err = EOPNOTSUPP

#define A(t, n, r) {.type = ARG_T_##t, .ref = (r), .name = #n},
#define SYS(nr, n, lvl, txt, res, ...)                                                             \
	[nr] = {.name = #n,                                                                        \
		.note = (txt),                                                                     \
		.result = SYS_RESULT_##res,                                                        \
		LEVEL_##lvl(sys_##n),                                                              \
		.args = {__VA_ARGS__}},
const struct sysdesc sys_table[SYS_TABLE_NR] = {
#include "syscalls/table.def"
};
#undef SYS
#undef A

const struct sysdesc *sys_desc(uint64_t nr)
{
	return nr < SYS_TABLE_NR && sys_table[nr].name ? &sys_table[nr] : NULL;
}

const char *sys_name(uint64_t nr)
{
	const struct sysdesc *d = sys_desc(nr);

	return d ? d->name : NULL;
}

static void log_missing(uint64_t nr, const struct sysdesc *d)
{
	static uint64_t seen[1024 / 64]; /* unassigned numbers share bits: a hostile guest
					    cannot fill the log with them */
	uint64_t bit = 1UL << nr % 64, *word = &seen[nr % 1024 / 64];

	if (READ_ONCE(*word) & bit || __atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit)
		return;
	log_warn("system call %lld (%s) is not implemented%s%s", (long long)nr,
		d ? d->name : "unassigned", d && d->note[0] ? ": " : "", d ? d->note : "");
}

long sys_dispatch(struct task *t, uint64_t nr, const struct sysargs *a)
{
	/* An index under the bound even when the branch below is mispredicted. */
	uint64_t safe = nr;

	__asm__ volatile("cmp %1, %0; sbb %%rcx, %%rcx; and %%rcx, %0"
			 : "+r"(safe)
			 : "r"((uint64_t)SYS_TABLE_NR)
			 : "rcx", "cc");
	if (nr < SYS_TABLE_NR && sys_table[safe].fn)
		return sys_table[safe].fn(t, a);
	log_missing(nr, sys_desc(nr));
	return nr < SYS_TABLE_NR && sys_table[nr].name ? -(long)sys_table[nr].err : -ENOSYS;
}
