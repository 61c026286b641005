/* What makes a running stub thread come to the sentry; shared with assembly. */
#ifndef PLATFORM_STUB_SIGNAL_H
#define PLATFORM_STUB_SIGNAL_H

#define STUB_SIG_INTERRUPT 10 /* SIGUSR1: a standard signal does not pile up */

#endif
