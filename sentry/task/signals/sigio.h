/*
 * Signal-driven I/O: owners of files (F_SETOWN, F_SETSIG) and O_ASYNC.
 *
 * A file with O_ASYNC hangs on its own wait queues (WAITER_SIGIO).  What wakes
 * them cannot send signals there (locks of any rank may be held), so it notes
 * the file; the notes are sent by the waking task at the end of its system call,
 * before it returns to the guest, or else by a thread that waits for them.
 */
#ifndef SENTRY_TASK_SIGIO_H
#define SENTRY_TASK_SIGIO_H

#include <stdbool.h>
#include <stdint.h>

struct task;
struct file;

/* F_SETOWN_EX: type F_OWNER_*; nr as t sees it, 0: nobody.  0, -ESRCH. */
int sigio_set_owner(struct task *t, struct file *f, int type, int32_t nr);
/* F_GETOWN_EX: the number as t sees it, 0 if there is none. */
int32_t sigio_get_owner(struct task *t, struct file *f, int *type);
/* O_ASYNC of f has changed; fd: what si_fd will tell.  0, -ENOMEM, -EAGAIN (no thread). */
int sigio_set_async(struct task *t, struct file *f, int fd, bool on);
/* Makes f->notes, for F_NOTIFY: signals go to the caller if nobody owns f.  0, -ENOMEM,
 * -EAGAIN. */
int sigio_prepare(struct task *t, struct file *f, int fd);
/* Does this kind of file send signals (FIOASYNC: else ENOTTY)? */
bool sigio_supported(struct file *f);
/* A signal to f's owner: F_SETSIG's or SIGIO; code: POLL_IN ...  No locks. */
void sigio_send(struct file *f, int fd, int code);
/* At the end of a system call with t->sigio_due. */
void sigio_flush(struct task *t);

void sigio_init(void);

#endif
