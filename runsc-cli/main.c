#include "runsc-cli/cli.h"
#include "runsc-cli/title.h"

#ifdef SAN_ASAN
/*
 * The sanitizers' settings (they call this before main).  Faults are ours: the
 * sentry recovers from those of guest memory, and reports the others.  Leaks
 * cannot be looked for in sealed processes; the unit tests do it.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:handle_abort=0:"
	       "use_sigaltstack=0:abort_on_error=1:detect_leaks=0:allocator_may_return_null=1:"
	       "quarantine_size_mb=16:strict_string_checks=1";
}
#endif

#ifdef SAN_TSAN
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:handle_abort=0:"
	       "use_sigaltstack=0:report_signal_unsafe=0:detect_deadlocks=0:history_size=4:"
	       "die_after_fork=0:exitcode=0:color=never";
}
#endif

int main(int argc, char **argv)
{
	return cli_main(argc, title_init(argc, argv));
}
