/* eventfd(2). */
#ifndef SENTRY_FS_ANON_EVENTFD_H
#define SENTRY_FS_ANON_EVENTFD_H

#include "sentry/vfs/file.h"

void eventfd_init(void);
/* flags: EFD_SEMAPHORE, EFD_NONBLOCK (EFD_CLOEXEC is the caller's). -EINVAL, -ENOMEM. */
int eventfd_create(struct ctx *ctx, uint32_t initval, int flags, struct file **out);
/* Adds n, saturating, from inside the kernel (aio, ...). -EINVAL if f is no eventfd. */
int eventfd_signal(struct file *f, uint64_t n);

#endif
