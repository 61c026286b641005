/*
 * Clocks from the time-stamp counter.
 *
 * The parameters are calibrated against the host's clocks, lazily: they hold
 * for a span that grows from 10 ms to 1 s as the rate becomes known, and the
 * first read after that, by a guest's system call or by the sentry itself,
 * calibrates anew.  Nothing runs when nobody reads a clock.
 *
 * All functions are thread-safe.  A host without an invariant TSC is served by
 * the host's clock_gettime, and vDSO calls become system calls.
 */
#ifndef SENTRY_TIME_TSC_H
#define SENTRY_TIME_TSC_H

#include <stdbool.h>
#include <stdint.h>

#include "sentry/time/vvar.h"

/* Once, before sealing (looks at the host's clock source). */
void tsc_init(void);

/* From now on the parameters live in *page, VVAR_SIZE bytes that are never freed. */
void tsc_set_page(struct vvar_params *page);

/* Calibrates page again if its span is over; cheap otherwise. */
void tsc_params_update(struct vvar_params *page);

/* Reads a host-wide clock by the guests' parameters; false: use the host's. */
bool tsc_clock_get(int clock, int64_t *ns);

#endif
