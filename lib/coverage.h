/*
 * Builds with SAN=cov (`make coverage`): counts of sealed processes, which can open no file when
 * they end.  They open one while they still can, and write all counts there.  Other processes'
 * go to their files at exit, as with any program that gcc instruments.
 */
#ifndef LIB_COVERAGE_H
#define LIB_COVERAGE_H

#ifdef SAN_COV
void coverage_open(void);
/* Once, at the end of the process; nothing if there was no coverage_open. */
void coverage_write(void);
#else
static inline void coverage_open(void)
{
}
static inline void coverage_write(void)
{
}
#endif

#endif
