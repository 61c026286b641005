/*
 * Giving up what the sentry and the gofer do not need.
 *
 * All of this happens on the only thread of the process, in this order:
 *
 *   seal_descriptors   everything that was inherited and not named is closed
 *   seal_limits        resource limits of the caller that would hurt are raised, and room is
 *                      made for many descriptors
 *   seal_die_with      the process dies with its parent
 *   (the caller opens what it needs: the platform, the memory file, trees)
 *   seal_namespaces    own user, mount, ipc, uts and cgroup namespaces, and an own net
 *                      namespace but for --network=host
 *                      (pid: the parent made it by its clone flags)
 *   seal_root          the root directory is an empty one, or the given tree
 *   seal_privileges    capabilities, securebits, no_new_privs, dumpable
 *   (the caller installs its seccomp filter)
 *
 * What the host does not grant (user namespaces may be forbidden, CAP_SETPCAP
 * missing) is logged as a warning where the rest still holds, and an error
 * where it does not.
 */
#ifndef RUNSC_CLI_BOOT_SEAL_H
#define RUNSC_CLI_BOOT_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

/* 0, 1 and 2 become /dev/null; all but those and the n in keep are closed. */
int seal_descriptors(const int *keep, size_t n, struct err **err);
void seal_limits(void);
/* Sends this process SIGKILL when its parent ends; -ECANCELED if it has already (lifeline at
 * its end of file). */
int seal_die_with(int lifeline_fd, struct err **err);

enum seal_ids {
	SEAL_NOBODY,  /* one id, which is nobody outside as well */
	SEAL_IDENTITY /* all ids, each itself: for the owner of the container's files */
};
/* own_net: with an empty network namespace. */
int seal_namespaces(enum seal_ids ids, bool own_net, struct err **err);
/* tree: a detached mount (open_tree) that becomes the root; -1: an empty, read-only tmpfs. */
int seal_root(int tree, struct err **err);
/* keep: bit N keeps capability N (within the user namespace). */
int seal_privileges(uint64_t keep, struct err **err);

/*
 * A private copy of the mount at fd (O_PATH): nothing above it can be reached
 * from it, device files and set-user-id bits mean nothing in it.  Returns a
 * detached mount.  Call before seal_namespaces.
 */
int seal_clone_tree(int fd, bool recursive, bool readonly, struct err **err);

#endif
