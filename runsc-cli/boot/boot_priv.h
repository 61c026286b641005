/*
 * Private to runsc-cli/boot: what cmd_boot and cmd_gofer share.
 */
#ifndef RUNSC_CLI_BOOT_BOOT_PRIV_H
#define RUNSC_CLI_BOOT_BOOT_PRIV_H

#include "runsc-cli/boot/boot.h"

/*
 * The inverse of boot_build_argv / gofer_build_argv.  Strings borrow from
 * argv; gofer's trees are malloc'ed.
 */
int boot_parse_argv(int argc, char **argv, struct boot_params *p, struct err **err);
int gofer_parse_argv(int argc, char **argv, struct gofer_params *p, struct err **err);

/* Tells the one who waits in boot_wait_ready, and closes fd: e NULL: ready. */
void boot_tell_ready(int fd, const struct err *e);

#endif
