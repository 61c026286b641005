/*
 * config.json to kernel arguments: see to_kernel.h.
 *
 * Two things differ from a literal translation, both because there is no
 * mknod(2) into a host's tmpfs here.  A tmpfs on /dev becomes a devtmpfs, which
 * has the devices that the runtime-spec promises; and when nothing at all is
 * mounted on /dev, a devtmpfs is, for the same reason.
 */
#include "runsc-cli/boot/to_kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "lib/log.h"

_Static_assert((int)SPEC_CAP_BOUNDING == (int)KCAP_BOUNDING &&
		       (int)SPEC_CAP_EFFECTIVE == (int)KCAP_EFFECTIVE &&
		       (int)SPEC_CAP_INHERITABLE == (int)KCAP_INHERITABLE &&
		       (int)SPEC_CAP_PERMITTED == (int)KCAP_PERMITTED &&
		       (int)SPEC_CAP_AMBIENT == (int)KCAP_AMBIENT,
	"one order of capability sets");

int to_kernel_process(const struct spec_process *p, const struct inherited *in,
	struct kproc_args *out, struct err **err)
{
	size_t n = in->nlimits;
	struct kproc_rlimit *limits = calloc(n + p->nrlimits + 1, sizeof(*limits));

	*out = (struct kproc_args){0};
	if (!limits)
		return err_set(err, ENOMEM, "out of memory");
	memcpy(limits, in->limits, n * sizeof(*limits));
	for (size_t i = 0; i < p->nrlimits; i++)
		limits[n++] = (struct kproc_rlimit){.resource = p->rlimits[i].resource,
			.soft = p->rlimits[i].soft,
			.hard = p->rlimits[i].hard};
	*out = (struct kproc_args){
		.argv = p->args,
		.envv = p->env,
		.cwd = p->cwd,
		.uid = p->uid,
		.gid = p->gid,
		.groups = p->groups,
		.ngroups = p->ngroups,
		.umask = p->umask < 0 ? in->umask : p->umask,
		.rlimits = limits,
		.nrlimits = n,
		.no_new_privs = p->no_new_privs,
		.oom_score_adj = p->oom_score_adj,
		.terminal = p->terminal,
		.rows = p->rows,
		.cols = p->cols,
	};
	memcpy(out->caps, p->caps, sizeof(out->caps));
	return 0;
}

void to_kernel_process_free(struct kproc_args *a)
{
	free((void *)(uintptr_t)a->rlimits);
	*a = (struct kproc_args){0};
}

/* --- mounts --- */

/* "/dev", also as "/dev/" or "//dev/." */
static bool is_dev(const char *path)
{
	const char *p = path;
	int depth = 0;

	while (*p) {
		size_t n;

		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n == 0 || (n == 1 && *p == '.')) {
			p += n;
			continue;
		}
		if (depth++ || n != 3 || memcmp(p, "dev", 3))
			return false;
		p += n;
	}
	return depth == 1;
}

static unsigned long all_flags(const struct spec_mount *m)
{
	return (m->flags | m->rec_set) & ~m->rec_clear & ~(unsigned long)(MS_REMOUNT | MS_SILENT);
}

static struct kmount_args bind_mount(const struct spec_mount *m, const struct container_opts *o)
{
	unsigned long flags = all_flags(m);
	bool overlay = o->overlay == BOOT_OVERLAY_ALL && !(flags & MS_RDONLY);

	return (struct kmount_args){
		.destination = m->destination,
		.type = "gofer",
		.source = m->source,
		.flags = flags,
		.data = "",
		.gofer_mount = (int)m->tree,
		/* What lies under a layer must not change, as under Linux' overlayfs. */
		.shared = !o->mounts_exclusive && !overlay,
		.overlay = overlay,
	};
}

static struct kmount_args sentry_mount(const struct spec_mount *m)
{
	bool dev = !strcmp(m->type, "tmpfs") && is_dev(m->destination);

	return (struct kmount_args){
		.destination = m->destination,
		.type = dev ? "devtmpfs" : m->type,
		.source = m->source && *m->source ? m->source : m->type,
		.flags = all_flags(m),
		.data = m->data,
		.gofer_mount = -1,
		.tmpcopyup = m->tmpcopyup,
	};
}

static bool has_dev(const struct spec *s)
{
	for (size_t i = 0; i < s->nmounts; i++)
		if (is_dev(s->mounts[i].destination))
			return true;
	return false;
}

static int make_mounts(const struct spec *s, const struct container_opts *o,
	struct kcontainer_args *out, struct err **err)
{
	struct kmount_args *m = calloc(s->nmounts + 2, sizeof(*m));
	size_t n = 0;

	if (!m)
		return err_set(err, ENOMEM, "out of memory");
	m[n++] = (struct kmount_args){
		.destination = "/",
		.type = "gofer",
		.source = "none",
		.flags = s->root_readonly ? MS_RDONLY : 0,
		.data = "",
		.gofer_mount = 0,
		.shared = o->root_shared,
		.overlay = o->overlay != BOOT_OVERLAY_NONE,
	};
	if (!has_dev(s))
		m[n++] = (struct kmount_args){
			.destination = "/dev",
			.type = "devtmpfs",
			.source = "devtmpfs",
			.flags = MS_NOSUID | MS_NOEXEC,
			.data = "mode=755",
			.gofer_mount = -1,
		};
	for (size_t i = 0; i < s->nmounts; i++)
		m[n++] = s->mounts[i].kind == SPEC_MOUNT_BIND ? bind_mount(&s->mounts[i], o)
							      : sentry_mount(&s->mounts[i]);
	out->mounts = m;
	out->nmounts = n;
	return 0;
}

static int make_sysctl(const struct spec *s, struct kcontainer_args *out, struct err **err)
{
	struct ksysctl *k = calloc(s->nsysctl + 1, sizeof(*k));

	if (!k)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < s->nsysctl; i++)
		k[i] = (struct ksysctl){.key = s->sysctl[i].key, .value = s->sysctl[i].value};
	out->sysctl = k;
	out->nsysctl = s->nsysctl;
	return 0;
}

int to_kernel_container(const struct spec *s, const struct container_opts *o,
	struct kcontainer_args *out, struct err **err)
{
	*out = (struct kcontainer_args){
		.id = o->id,
		.hostname = s->hostname,
		.domainname = s->domainname,
		.gofer_sock = -1,
		.masked_paths = (const char *const *)s->masked_paths,
		.readonly_paths = (const char *const *)s->readonly_paths,
		.pids_limit = s->pids_limit > 0 ? (uint64_t)s->pids_limit : 0,
	};
	for (size_t i = 0; i < s->ndevices; i++)
		log_info("linux.devices[%zu]: %s is not made: the host's devices are not passed on",
			i, s->devices[i].path);
	int ret = to_kernel_process(&s->process, o->inherited, &out->init, err);
	if (ret == 0)
		ret = make_mounts(s, o, out, err);
	if (ret == 0)
		ret = make_sysctl(s, out, err);
	if (ret < 0) {
		to_kernel_container_free(out);
		return ret;
	}
	if (o->rows && o->cols) {
		out->init.rows = o->rows;
		out->init.cols = o->cols;
	}
	return 0;
}

void to_kernel_container_free(struct kcontainer_args *a)
{
	to_kernel_process_free(&a->init);
	free((void *)(uintptr_t)a->mounts);
	free((void *)(uintptr_t)a->sysctl);
	*a = (struct kcontainer_args){0};
}
