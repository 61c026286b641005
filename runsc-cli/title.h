/*
 * The command line that ps shows for a process that stands for one of the container's: docker top
 * and an operator see what it runs, not how the runtime was called.
 *
 * The text replaces the strings that the kernel put on the stack, so title_init has to move argv
 * away before anybody keeps a pointer into it.
 */
#ifndef RUNSC_CLI_TITLE_H
#define RUNSC_CLI_TITLE_H

/* argv on the heap (for good), or argv itself and no titles when there is no memory. */
char **title_init(int argc, char **argv);

/* "ROLE: ARGS... (ID in ROOT)", cut to the room there is.  args ends with NULL. */
void title_set(const char *role, char *const *args, const char *id, const char *root);

#endif
