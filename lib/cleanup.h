/*
 * Cleanup attributes: NULL-safe, disarmed by taking the value out.
 *
 *	FD_AUTO int fd = open(...);
 *	...
 *	return take_fd(&fd);
 */
#ifndef LIB_CLEANUP_H
#define LIB_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/hostcall.h"

static inline void fd_cleanup_(int *fd)
{
	if (*fd >= 0)
		host_close(*fd);
	*fd = -1;
}
static inline void free_cleanup_(void *p)
{
	free(*(void **)p);
	*(void **)p = NULL;
}
static inline void file_cleanup_(FILE **f)
{
	if (*f)
		fclose(*f);
	*f = NULL;
}
static inline void dir_cleanup_(DIR **d)
{
	if (*d)
		closedir(*d);
	*d = NULL;
}

#define FD_AUTO __attribute__((cleanup(fd_cleanup_)))
#define FREE_AUTO __attribute__((cleanup(free_cleanup_)))
#define FILE_AUTO __attribute__((cleanup(file_cleanup_)))
#define DIR_AUTO __attribute__((cleanup(dir_cleanup_)))

static inline int take_fd(int *fd)
{
	int v = *fd;
	*fd = -1;
	return v;
}
#define take_ptr(pp)                                                                               \
	({                                                                                         \
		__typeof__(*(pp)) _take_v = *(pp);                                                 \
		*(pp) = NULL;                                                                      \
		_take_v;                                                                           \
	})

#endif
