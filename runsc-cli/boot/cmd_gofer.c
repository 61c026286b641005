/*
 * `runsc gofer`: from exec to gofer_main.
 *
 * The file trees come as descriptors of the host's mounts, from which `..`
 * would lead to all of the host.  So each is first made a detached mount of
 * its own (seal_clone_tree), and the originals are closed: what is left has no
 * outside.  The root file system becomes the process's root.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gofer/gofer.h"
#include "lib/backtrace.h"
#include "lib/cleanup.h"
#include "lib/coverage.h"
#include "lib/log.h"
#include "runsc-cli/boot/boot_priv.h"
#include "runsc-cli/boot/seal.h"

static int keep_descriptors(const struct gofer_params *p, struct err **err)
{
	size_t n = gofer_param_fds(p, NULL, 0);
	FREE_AUTO int *fds = calloc(n + 1, sizeof(*fds));

	if (!fds)
		return err_set(err, ENOMEM, "out of memory");
	gofer_param_fds(p, fds, n);
	return seal_descriptors(fds, n, err);
}

/* Replaces each tree's descriptor by one of a private, detached copy of the mount. */
static int take_trees(const struct gofer_params *p, struct gofer_export *out, struct err **err)
{
	for (size_t i = 0; i < p->ntrees; i++) {
		const struct gofer_tree *t = &p->trees[i];
		bool ro = t->flags & GOFER_TREE_READONLY;
		int fd = seal_clone_tree(t->fd, t->flags & GOFER_TREE_RECURSIVE, ro, err);

		if (fd < 0)
			return err_wrap(err, "file tree %zu", i);
		host_close(t->fd);
		out[i] = (struct gofer_export){.fd = fd, .readonly = ro};
	}
	return 0;
}

static int seal(const struct gofer_params *p, int root, struct err **err)
{
	int ret = seal_namespaces(SEAL_IDENTITY, true, err);

	if (ret == 0)
		ret = seal_root(root, err);
	if (ret == 0)
		ret = seal_privileges(GOFER_CAPS, err);
	if (ret == 0) /* a change of namespaces may have undone it for a while */
		ret = seal_die_with(p->lifeline_fd, err);
	return ret;
}

/* Comes back only with an error. */
static int serve(const struct gofer_params *p, struct err **err)
{
	struct gofer_export *trees = calloc(p->ntrees, sizeof(*trees));
	int ret = trees ? keep_descriptors(p, err) : err_set(err, ENOMEM, "out of memory");

	if (ret < 0)
		return ret;
	log_init("gofer", p->log_fd, p->log_level, p->log_format);
	coverage_open();
	backtrace_install(NULL);
	seal_limits();
	umask(0);
	ret = seal_die_with(p->lifeline_fd, err);
	if (ret < 0)
		return ret;
	int proc = gofer_open_proc();
	if (proc < 0)
		return err_errno(err, -proc, "open /proc");
	ret = take_trees(p, trees, err);
	if (ret == 0)
		ret = seal(p, trees[0].fd, err);
	if (ret < 0)
		return ret;
	const struct gofer_config cfg = {
		.sock_fd = p->sock_fd,
		.trees = trees,
		.ntrees = p->ntrees,
		.proc_fd = proc,
		.ready_fd = p->ready_fd,
		.lifeline_fd = p->lifeline_fd,
		.uds = p->uds,
	};
	return gofer_main(&cfg, err);
}

int cmd_gofer(int argc, char **argv)
{
	struct gofer_params p;
	ERR_AUTO e = NULL;

	mallopt(M_ARENA_MAX, 1);
	prctl(PR_SET_NAME, "runsc-gofer");
	if (gofer_parse_argv(argc, argv, &p, &e) < 0) {
		dprintf(2, "%s\n", e->msg);
		return 1;
	}
	int ret = serve(&p, &e);
	if (!e)
		err_errno(&e, ret < 0 ? -ret : EIO, "gofer");
	log_error("gofer: %s", e->msg);
	boot_tell_ready(p.ready_fd, e);
	return 1;
}
