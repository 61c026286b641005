/* timerfd_create(2): timers as files.  Times in ns; errors are the system calls'. */
#ifndef SENTRY_FS_TIMERFD_H
#define SENTRY_FS_TIMERFD_H

#include <stdbool.h>
#include <stdint.h>

struct ctx;
struct file;

/* Registers the file type; once, at start-up. */
void timerfd_init(void);
/* flags: O_NONBLOCK.  -EINVAL: not a clock for timers, -EPERM: an alarm clock. */
int timerfd_create_file(struct ctx *ctx, int clock, uint64_t flags, struct file **out);
struct timerfd_spec {
	int64_t value, interval;
};
/* new NULL: only read.  -EINVAL: f is no timerfd. */
int timerfd_set(struct file *f, bool abs, const struct timerfd_spec *new, struct timerfd_spec *old);

#endif
