/*
 * Where the cgroups are and who is in them; limits.c writes the limits and
 * stats.c reads the figures.
 */
#include "runsc-cli/cgroup/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "runsc-cli/cgroup/cgroup_priv.h"
#include "runsc-cli/state.h"

#define HIER_MAX 24

struct hierarchy {
	char *mount;       /* mount point */
	char *root;        /* the part of the hierarchy that is mounted there */
	char *controllers; /* "cpu,cpuacct" or "name=systemd"; "" for version 2 */
	bool v2;
};

struct hierarchies {
	struct hierarchy h[HIER_MAX];
	size_t n;
};

static void hierarchies_clear(struct hierarchies *hs)
{
	for (size_t i = 0; i < hs->n; i++) {
		free(hs->h[i].mount);
		free(hs->h[i].root);
		free(hs->h[i].controllers);
	}
}

/* Keeps of a v1 mount's super options the names of controllers. */
static char *controllers_of(const char *super)
{
	static const char *const known[] = {"cpu", "cpuacct", "cpuset", "memory", "devices",
		"freezer", "blkio", "pids", "hugetlb", "net_cls", "net_prio", "perf_event", "rdma",
		"misc"};
	FREE_AUTO char *copy = strdup(super);
	char *out = calloc(1, strlen(super) + 2), *save = NULL;
	if (!copy || !out)
		abort();
	for (char *s = strtok_r(copy, ",\n", &save); s; s = strtok_r(NULL, ",\n", &save)) {
		bool use = !strncmp(s, "name=", 5);
		for (size_t i = 0; i < ARRAY_LEN(known) && !use; i++)
			use = !strcmp(s, known[i]);
		if (!use)
			continue;
		if (*out)
			strcat(out, ",");
		strcat(out, s);
	}
	return out;
}

/* A line of mountinfo: "id parent dev root mountpoint options [optional...] - type source super".
 */
static void add_mount(struct hierarchies *hs, char *line)
{
	char root[4096], point[4096], type[64], super[1024];
	char *dash = strstr(line, " - ");
	if (!dash || hs->n == HIER_MAX)
		return;
	if (sscanf(line, "%*d %*d %*s %4095s %4095s", root, point) != 2 ||
		sscanf(dash, " - %63s %*s %1023s", type, super) != 2)
		return;
	bool v2 = !strcmp(type, "cgroup2");
	if (!v2 && strcmp(type, "cgroup"))
		return;
	struct hierarchy *h = &hs->h[hs->n++];
	h->mount = strdup(point);
	h->root = strdup(root);
	h->v2 = v2;
	h->controllers = v2 ? strdup("") : controllers_of(super);
}

/* All hierarchies; of a hybrid system only version 1. */
static void hierarchies_read(struct hierarchies *hs)
{
	FILE_AUTO FILE *f = fopen("/proc/self/mountinfo", "re");
	FREE_AUTO char *line = NULL;
	size_t size = 0;
	bool v1 = false;

	hs->n = 0;
	while (f && getline(&line, &size, f) > 0)
		add_mount(hs, line);
	for (size_t i = 0; i < hs->n; i++)
		v1 |= !hs->h[i].v2;
	size_t kept = 0;
	for (size_t i = 0; i < hs->n; i++) {
		bool twice = false;
		for (size_t k = 0; k < kept; k++)
			twice |= !strcmp(hs->h[k].controllers, hs->h[i].controllers);
		if ((v1 && hs->h[i].v2) || twice) {
			free(hs->h[i].mount);
			free(hs->h[i].root);
			free(hs->h[i].controllers);
			continue;
		}
		hs->h[kept++] = hs->h[i];
	}
	hs->n = kept;
}

/* Our own cgroup in a hierarchy, as a path below its mount; "" if unknown. */
static char *own_path(const struct hierarchy *h)
{
	FILE_AUTO FILE *f = fopen("/proc/self/cgroup", "re");
	FREE_AUTO char *line = NULL;
	size_t size = 0;
	while (f && getline(&line, &size, f) > 0) {
		char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = 0;
		list++;
		path[strcspn(path, "\n")] = 0;
		/* The kernel orders controllers alike here and in mountinfo, but mount(8) need
		 * not: one common name is enough, a controller is in one hierarchy only. */
		size_t first = strcspn(h->controllers, ",");
		if (h->v2 ? *list : !cgroup_has(list, h->controllers, first))
			continue;
		size_t skip = strcmp(h->root, "/") ? strlen(h->root) : 0;
		if (skip && strncmp(path, h->root, skip))
			break;
		path += skip;
		return strdup(!strcmp(path, "/") ? "" : path);
	}
	return strdup("");
}

bool cgroup_has(const char *list, const char *name, size_t len)
{
	while (*list) {
		size_t n = strcspn(list, ",");
		if (n == len && !memcmp(list, name, len))
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

/* "a-b.slice" is the directory "a.slice/a-b.slice" of systemd. */
static char *expand_slice(const char *slice)
{
	static const char suffix[] = ".slice";
	size_t len = strlen(slice);
	if (!strcmp(slice, "-.slice"))
		return strdup("");
	if (len <= strlen(suffix) || strcmp(slice + len - strlen(suffix), suffix) ||
		strchr(slice, '/'))
		return NULL;
	char *out = calloc(1, (len + 8) * (len + 1));
	if (!out)
		abort();
	for (size_t i = 1; i <= len - strlen(suffix); i++)
		if (slice[i] == '-' || i == len - strlen(suffix)) {
			strcat(out, "/");
			strncat(out, slice, i);
			strcat(out, suffix);
		}
	return out;
}

/* slice:prefix:name -> /…slice/prefix-name.scope */
static int systemd_path(const char *id, const char *given, char **out, struct err **err)
{
	FREE_AUTO char *copy = strdup(given && *given ? given : "");
	char *slice = copy, *prefix = NULL, *name = NULL;
	if (!*copy) {
		if (asprintf(out, "/system.slice/runsc-%s.scope", id) < 0)
			abort();
		return 0;
	}
	if ((prefix = strchr(slice, ':'))) {
		*prefix++ = 0;
		if ((name = strchr(prefix, ':')))
			*name++ = 0;
	}
	if (!name || strchr(name, ':'))
		return err_set(err, EINVAL,
			"expected cgroupsPath to be of format \"slice:prefix:name\" for systemd "
			"cgroups, got \"%s\" instead",
			given);
	FREE_AUTO char *dir = expand_slice(*slice ? slice : "system.slice");
	size_t len = strlen(name);
	if (!dir)
		return err_set(err, EINVAL, "invalid slice name: %s", slice);
	int n = len > 6 && !strcmp(name + len - 6, ".slice")
			? asprintf(out, "%s/%s", dir, name)
			: asprintf(out, "%s/%s%s%s.scope", dir, prefix, *prefix ? "-" : "", name);
	if (n < 0)
		abort();
	return 0;
}

/* A path that could climb out of the hierarchy is refused. */
static bool has_dotdot(const char *path)
{
	for (const char *p = path; (p = strstr(p, "..")); p += 2)
		if ((p == path || p[-1] == '/') && (!p[2] || p[2] == '/'))
			return true;
	return false;
}

static bool wants_limits(const json_t *resources)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)resources, key,
		value) if (strcmp(key, "devices") && !json_is_null(value) &&
			   (!json_is_object(value) || json_object_size(value))) return true;
	return false;
}

int cgroup_plan(const char *id, const char *cgroups_path, const json_t *resources, bool systemd,
	json_t **out, struct err **err)
{
	FREE_AUTO char *path = NULL;
	struct hierarchies hs;
	bool given = cgroups_path && *cgroups_path;

	*out = NULL;
	if (!given && !wants_limits(resources))
		return 0;
	/* Clients configured for systemd say so with the flag; the path alone is unmistakable. */
	const char *colon = given && *cgroups_path != '/' ? strchr(cgroups_path, ':') : NULL;
	if (systemd || (colon && strchr(colon + 1, ':'))) {
		int ret = systemd_path(id, cgroups_path, &path, err);
		if (ret)
			return ret;
	} else {
		path = strdup(given ? cgroups_path : id);
	}
	if (has_dotdot(path))
		return err_set(err, EINVAL, "linux.cgroupsPath: \"..\" is not allowed: %s", path);

	json_t *plan = json_array();
	hierarchies_read(&hs);
	for (size_t i = 0; i < hs.n; i++) {
		FREE_AUTO char *dir = NULL, *own = own_path(&hs.h[i]);
		int n = *path == '/' ? asprintf(&dir, "%s%s", hs.h[i].mount, path)
				     : asprintf(&dir, "%s%s/%s", hs.h[i].mount, own, path);
		if (n < 0)
			abort();
		json_array_append_new(plan,
			json_pack("{s:s,s:s,s:b,s:s}", "dir", dir, "controllers",
				hs.h[i].controllers, "v2", hs.h[i].v2, "mount", hs.h[i].mount));
	}
	hierarchies_clear(&hs);
	*out = plan;
	return 0;
}

/* --- making and joining --- */

static bool lenient(int ret)
{
	return ret == -EROFS || ret == -EACCES || ret == -EPERM;
}

/* A new v1 cpuset has neither CPUs nor memory nodes: nobody could join it. */
static void inherit_cpuset(const char *parent, const char *dir)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		FREE_AUTO char *have = cgroup_read(dir, files[i]);
		FREE_AUTO char *theirs = cgroup_read(parent, files[i]);
		if (theirs && (!have || !*have || *have == '\n'))
			cgroup_write(dir, files[i], theirs);
	}
}

/* Lets the children of a v2 cgroup have all its controllers. */
static void delegate_controllers(const char *parent)
{
	FREE_AUTO char *list = cgroup_read(parent, "cgroup.controllers");
	char *save = NULL;
	for (char *s = list ? strtok_r(list, " \n", &save) : NULL; s;
		s = strtok_r(NULL, " \n", &save)) {
		char plus[64];
		snprintf(plus, sizeof(plus), "+%s", s);
		cgroup_write(parent, "cgroup.subtree_control", plus);
	}
}

/* mkdir -p below the mount point. */
static int make_dirs(const char *mount, const char *dir, bool v2, bool cpuset)
{
	FREE_AUTO char *p = strdup(dir);
	if (!p)
		abort();
	for (char *s = p + strlen(mount) + 1;; s++) {
		if (*s && *s != '/')
			continue;
		char c = *s, *slash;
		*s = 0;
		slash = strrchr(p, '/');
		*slash = 0;
		if (v2)
			delegate_controllers(p);
		FREE_AUTO char *parent = strdup(p);
		*slash = '/';
		if (mkdir(p, 0755) < 0 && errno != EEXIST)
			return -errno;
		if (cpuset)
			inherit_cpuset(parent, p);
		if (!c)
			return 0;
		*s = c;
	}
}

int cgroup_create(const json_t *plan, const json_t *resources, struct err **err)
{
	size_t i;
	json_t *g;
	json_array_foreach((json_t *)plan, i, g)
	{
		const char *dir = cgroup_dir(g), *mount = cgroup_str(g, "mount");
		const char *list = cgroup_str(g, "controllers");
		int ret = make_dirs(mount, dir, cgroup_is_v2(g), cgroup_has(list, "cpuset", 6));
		if (lenient(ret))
			log_warn("cgroup %s: %s: not used", dir, strerror(-ret));
		else if (ret)
			return err_errno(err, -ret, "mkdir %s", dir);
	}
	return resources ? cgroup_update(plan, resources, err) : 0;
}

int cgroup_join(const json_t *plan, pid_t pid, struct err **err)
{
	char text[16];
	size_t i;
	json_t *g;
	snprintf(text, sizeof(text), "%d", pid);
	json_array_foreach((json_t *)plan, i, g)
	{
		int ret = cgroup_write(cgroup_dir(g), "cgroup.procs", text);
		if (lenient(ret) || ret == -ENOENT)
			log_warn("cgroup %s: %s: not joined", cgroup_dir(g), strerror(-ret));
		else if (ret)
			return err_errno(err, -ret, "write %s/cgroup.procs", cgroup_dir(g));
	}
	return 0;
}

/* False: nobody was left to be moved. */
static bool move_once(const char *from, const char *to)
{
	FREE_AUTO char *list = cgroup_read(from, "cgroup.procs");
	char *save = NULL;
	bool any = false;
	for (char *pid = list ? strtok_r(list, "\n", &save) : NULL; pid;
		pid = strtok_r(NULL, "\n", &save))
		any |= cgroup_write(to, "cgroup.procs", pid) == 0;
	return any;
}

void cgroup_move(const json_t *from, const json_t *to)
{
	size_t i, k;
	json_t *a, *b;
	json_array_foreach((json_t *)from, i, a) json_array_foreach((json_t *)to, k, b)
	{
		if (strcmp(cgroup_str(a, "mount"), cgroup_str(b, "mount")) ||
			!strcmp(cgroup_dir(a), cgroup_dir(b)))
			continue;
		/* What is being forked meanwhile is seen in the next round. */
		for (int tries = 20; tries && move_once(cgroup_dir(a), cgroup_dir(b)); tries--)
			;
	}
}

void cgroup_remove(const json_t *plan)
{
	size_t i;
	json_t *g;
	json_array_foreach((json_t *)plan, i, g)
	{
		const char *dir = cgroup_dir(g);
		int tries = 100;
		while (dir && rmdir(dir) < 0 && errno == EBUSY && --tries) {
			struct timespec ts = {.tv_nsec = 10 * 1000 * 1000};
			nanosleep(&ts, NULL);
		}
		if (!tries)
			log_warn("cgroup %s: still in use, left", dir);
	}
}

/* --- helpers for the three files --- */

const char *cgroup_str(const json_t *group, const char *key)
{
	const char *s = json_string_value(json_object_get(group, key));
	return s ? s : "";
}

const char *cgroup_dir(const json_t *group)
{
	return cgroup_str(group, "dir");
}

bool cgroup_is_v2(const json_t *group)
{
	return json_is_true(json_object_get(group, "v2"));
}

int cgroup_write(const char *dir, const char *file, const char *text)
{
	FREE_AUTO char *path = NULL;
	if (asprintf(&path, "%s/%s", dir, file) < 0)
		abort();
	FD_AUTO int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

char *cgroup_read(const char *dir, const char *file)
{
	FREE_AUTO char *path = NULL;
	char *text = NULL;
	if (asprintf(&path, "%s/%s", dir, file) < 0)
		abort();
	return read_file_at(AT_FDCWD, path, &text, NULL) ? NULL : text;
}

const json_t *cgroup_of(const json_t *plan, const char *controller)
{
	size_t i;
	json_t *g;
	json_array_foreach((json_t *)plan, i,
		g) if (cgroup_is_v2(g) || cgroup_has(cgroup_str(g, "controllers"), controller,
						  strlen(controller))) return g;
	return NULL;
}
