/*
 * pidfd_open(2), pidfd_send_signal(2).  <linux/pidfd.h> knows some of them, by its age.
 */
#ifndef LIB_ABI_PIDFD_H
#define LIB_ABI_PIDFD_H

#include <fcntl.h>

#define ABI_PIDFD_NONBLOCK O_NONBLOCK
#define ABI_PIDFD_THREAD O_EXCL

#define ABI_PIDFD_SIGNAL_THREAD 1u
#define ABI_PIDFD_SIGNAL_THREAD_GROUP 2u
#define ABI_PIDFD_SIGNAL_PROCESS_GROUP 4u

#endif
