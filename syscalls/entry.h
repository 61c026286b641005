/* The trap loop: what a task's host thread does all its life. */
#ifndef SYSCALLS_ENTRY_H
#define SYSCALLS_ENTRY_H

/* Once at start-up: hands the loop to sentry/task. */
void entry_init(void);

#endif
