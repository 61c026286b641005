#include "runsc-cli/join.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"

/* --- namespaces by name --- */

#define KEY_MAX 48

/* "DEV:INO"; false: there is no such file. */
static bool key_of(const char *path, char key[KEY_MAX])
{
	struct stat st;
	if (stat(path, &st) < 0)
		return false;
	snprintf(key, KEY_MAX, "%llu:%llu", (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino);
	return true;
}

static void key_of_process(const char *pid, const char *type, char key[KEY_MAX])
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%s/ns/%s", pid, type);
	if (!key_of(path, key))
		*key = 0;
}

struct type {
	const char *name; /* in /proc/PID/ns */
	int flag;
};

static const struct type types[] = {{"pid", CLONE_NEWPID}, {"ipc", CLONE_NEWIPC},
	{"uts", CLONE_NEWUTS}};

/* What the state says of it. */
static void describe(const struct spec *spec, const struct type *t, char key[KEY_MAX])
{
	const struct spec_namespace *ns = spec_find_namespace(spec, t->flag);
	char own[KEY_MAX];
	snprintf(key, KEY_MAX, "%s", ns ? "new" : "host");
	if (!ns || !ns->path || !key_of(ns->path, key))
		return;
	/* An anchor is in the host's: its paths tell nothing. */
	key_of_process("self", t->name, own);
	if (!strcmp(key, own))
		snprintf(key, KEY_MAX, "new");
}

json_t *join_namespaces(const struct spec *spec)
{
	json_t *o = json_object();
	char key[KEY_MAX];
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		describe(spec, &types[i], key);
		json_object_set_new(o, types[i].name, json_string(key));
	}
	return o;
}

void join_note_net(json_t *ns, pid_t pid)
{
	char text[16], key[KEY_MAX];
	snprintf(text, sizeof(text), "%d", pid);
	key_of_process(text, "net", key);
	json_object_set_new(ns, "net", json_string(key));
}

static const char *ns_of(const struct container *c, const char *type)
{
	const char *s = json_string_value(json_object_get(c->ns, type));
	return s ? s : "";
}

/* --- members --- */

/* Is in a sandbox that runs; the container itself may have ended. */
static bool has_sandbox(const struct container *c)
{
	return !c->bare && c->saved != STATUS_CREATING && proc_id_alive(c->warden) &&
	       proc_id_alive(c->sentry);
}

static bool same_sandbox(const struct container *a, const struct container *b)
{
	return a->sentry.pid == b->sentry.pid && a->sentry.start == b->sentry.start;
}

/* Many containers need not be looked at: the text of their state lacks the word. */
static bool mentions(int root_fd, const char *id, const char *word)
{
	char path[1100];
	FREE_AUTO char *text = NULL;
	snprintf(path, sizeof(path), "%s/%s", id, STATE_FILE);
	return read_file_at(root_fd, path, &text, NULL) == 0 && strstr(text, word);
}

struct members {
	struct container **v;
	size_t n;
};

static void members_clear(struct members *m)
{
	for (size_t i = 0; i < m->n; i++)
		container_free(m->v[i]);
	free(m->v);
	*m = (struct members){0};
}

/* Every container that has a running sandbox in the network namespace net. */
static void find_members(const char *root, const char *net, struct members *m)
{
	char **ids = NULL;
	size_t n = 0;
	FD_AUTO int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*m = (struct members){0};
	if (!*net || root_fd < 0 || container_list(root, &ids, &n, NULL) < 0)
		return;
	m->v = calloc(n + 1, sizeof(*m->v));
	if (!m->v)
		abort();
	for (size_t i = 0; i < n; i++) {
		CONTAINER_AUTO c = NULL;
		if (mentions(root_fd, ids[i], net) && container_load(root, ids[i], &c, NULL) == 0 &&
			has_sandbox(c) && !strcmp(ns_of(c, "net"), net))
			m->v[m->n++] = take_ptr(&c);
		free(ids[i]);
	}
	free(ids);
}

struct container *join_other(const struct container *c)
{
	struct members m;
	struct container *found = NULL;
	find_members(c->root, ns_of(c, "net"), &m);
	for (size_t i = 0; i < m.n && !found; i++)
		if (strcmp(m.v[i]->id, c->id) && same_sandbox(m.v[i], c) &&
			container_status(m.v[i]) != STATUS_STOPPED)
			found = take_ptr(&m.v[i]);
	members_clear(&m);
	return found;
}

/* --- which sandbox --- */

static const char *annotation(const struct spec *spec, const char *key)
{
	for (size_t i = 0; i < spec->nannotations; i++)
		if (!strcmp(spec->annotations[i].key, key))
			return spec->annotations[i].value;
	return NULL;
}

/* The id that a CRI client names; NULL: none does. */
static const char *annotated_sandbox(const struct spec *spec)
{
	static const struct {
		const char *type, *id;
	} names[] = {{"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"},
		{"io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"}};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *type = annotation(spec, names[i].type);
		if (type && !strcmp(type, "container"))
			return annotation(spec, names[i].id);
	}
	return NULL;
}

/* The network namespace that it will be in; "": a new one, which nobody is in. */
static void wanted_net(const struct spec *spec, char key[KEY_MAX])
{
	const struct spec_namespace *ns = spec_find_namespace(spec, CLONE_NEWNET);
	*key = 0;
	if (!ns)
		key_of_process("self", "net", key);
	else if (ns->path && !key_of(ns->path, key))
		*key = 0;
}

static const struct container *choose(const struct cli *cli, const struct spec *spec,
	const struct members *m)
{
	const char *id = annotated_sandbox(spec);
	const struct container *by_net = NULL;
	bool links = !strcmp(cli->network, "sandbox") && !strcmp(cli->share_sandbox, "on");
	for (size_t i = 0; i < m->n; i++) {
		const struct container *c = m->v[i];
		if (!c->network || strcmp(c->network, cli->network))
			continue;
		if (id && !strcmp(c->id, id))
			return c;
		/* One that runs rather than one whose directory may be removed at any moment. */
		if (links && (!by_net || container_status(by_net) == STATUS_STOPPED))
			by_net = c;
	}
	return by_net;
}

/* --- whose namespaces --- */

static bool is_path_of(const char *path, const char *type, pid_t anchor)
{
	char want[64];
	snprintf(want, sizeof(want), "/proc/%d/ns/%s", anchor, type);
	return !strcmp(path, want);
}

/* The sandbox's first choice is who was found first (the pod's own container, if it is there). */
static char *owner_of(const struct spec *spec, const struct type *t, const struct members *m,
	const struct container *first)
{
	const struct spec_namespace *ns = spec_find_namespace(spec, t->flag);
	const struct container *found = NULL;
	char key[KEY_MAX];
	describe(spec, t, key);
	for (size_t i = 0; i < m->n; i++) {
		const struct container *c = m->v[i];
		if (!same_sandbox(c, first) || container_status(c) == STATUS_STOPPED)
			continue;
		if (ns && ns->path && is_path_of(ns->path, t->name, c->anchor.pid))
			return strdup(c->id);
		if (strcmp(key, "new") && !strcmp(key, ns_of(c, t->name)) && (!found || c == first))
			found = c;
	}
	if (!found && ns && ns->path)
		log_warn("%s namespace %s is not of a container in the same sandbox: a new one",
			t->name, ns->path);
	return found ? strdup(found->id) : NULL;
}

void join_find(const struct cli *cli, const struct spec *spec, struct join **out)
{
	struct members m;
	char net[KEY_MAX];
	*out = NULL;
	wanted_net(spec, net);
	find_members(cli->root, net, &m);
	const struct container *c = choose(cli, spec, &m);
	struct join *j = c ? calloc(1, sizeof(*j)) : NULL;
	if (j) {
		j->id = strdup(c->id);
		j->dir_fd = fcntl(c->dir_fd, F_DUPFD_CLOEXEC, 3);
		j->warden = c->warden;
		j->host_uds = strdup(c->host_uds ? c->host_uds : "none");
		j->pid_of = owner_of(spec, &types[0], &m, c);
		j->ipc_of = owner_of(spec, &types[1], &m, c);
		j->uts_of = owner_of(spec, &types[2], &m, c);
		*out = j;
	}
	members_clear(&m);
}

void join_free(struct join *j)
{
	if (!j)
		return;
	fd_cleanup_(&j->dir_fd);
	free(j->id);
	free(j->host_uds);
	free(j->pid_of);
	free(j->ipc_of);
	free(j->uts_of);
	free(j);
}

int join_link(const struct join *j, int dir_fd, struct err **err)
{
	static const char *const names[] = {CONTROL_SOCKET, WARDEN_SOCKET};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (linkat(j->dir_fd, names[i], dir_fd, names[i], 0) < 0)
			return err_errno(err, errno, "sandbox of %s: link %s", j->id, names[i]);
	return 0;
}
