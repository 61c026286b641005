#include "runsc-cli/state.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "runsc-cli/cli.h"

#define LOCK_FILE "lock"
#define ID_MAX 1024

/* --- processes --- */

/* state and start time out of /proc/PID/stat; the command name may hold anything but ends at the
 * last ')'. */
static bool proc_stat(pid_t pid, char *state, uint64_t *start)
{
	char path[40], buf[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, buf, sizeof(buf) - 1) : -1;
	if (n <= 0)
		return false;
	buf[n] = 0;
	char *p = strrchr(buf, ')');
	if (!p || p[1] != ' ')
		return false;
	p += 2;
	*state = *p;
	for (int field = 3; field < 22; field++) {
		p = strchr(p, ' ');
		if (!p)
			return false;
		p++;
	}
	*start = strtoull(p, NULL, 10);
	return true;
}

struct proc_id proc_id_of(pid_t pid)
{
	struct proc_id id = {.pid = pid};
	char state;
	if (pid > 0)
		proc_stat(pid, &state, &id.start);
	return id;
}

/* Not libc's wrappers: the sentry, which is linked into this program, has verbs of these names. */
int host_pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

bool proc_id_alive(struct proc_id p)
{
	char state;
	uint64_t start;
	if (p.pid <= 0 || !proc_stat(p.pid, &state, &start))
		return false;
	return start == p.start && state != 'Z' && state != 'X';
}

int proc_id_kill(struct proc_id p, int signo)
{
	if (p.pid <= 0)
		return -ESRCH;
	/* The descriptor first, then the check: what it names cannot change any more. */
	FD_AUTO int fd = host_pidfd(p.pid);
	if (fd < 0)
		return -errno;
	if (!proc_id_alive(p))
		return -ESRCH;
	return syscall(SYS_pidfd_send_signal, fd, signo, NULL, 0) < 0 ? -errno : 0;
}

bool proc_id_wait_dead(struct proc_id p, int timeout_ms)
{
	if (p.pid <= 0)
		return true;
	FD_AUTO int fd = host_pidfd(p.pid);
	if (fd < 0 || !proc_id_alive(p))
		return true;
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int ret;
	do
		ret = poll(&pfd, 1, timeout_ms);
	while (ret < 0 && errno == EINTR);
	return ret > 0;
}

/* --- files --- */

int read_file_at(int dirfd, const char *name, char **out, size_t *len)
{
	size_t size = 0, used = 0;
	FREE_AUTO char *buf = NULL;
	FD_AUTO int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (;;) {
		if (size - used < 2) {
			size = size ? size * 2 : 4096;
			char *bigger = realloc(buf, size);
			if (!bigger)
				return -ENOMEM;
			buf = bigger;
		}
		ssize_t n = read(fd, buf + used, size - used - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		used += (size_t)n;
	}
	buf[used] = 0;
	if (len)
		*len = used;
	*out = take_ptr(&buf);
	return 0;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int write_file_at(int dirfd, const char *name, const char *data, size_t len, mode_t mode)
{
	FREE_AUTO char *tmp = NULL;
	const char *slash = strrchr(name, '/');
	int dir_len = slash ? (int)(slash - name) + 1 : 0;
	if (asprintf(&tmp, "%.*s.%s.%d", dir_len, name, name + dir_len, getpid()) < 0)
		return -ENOMEM;
	FD_AUTO int fd = openat(dirfd, tmp, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	int ret = write_all(fd, data, len);
	if (!ret && renameat(dirfd, tmp, dirfd, name) < 0)
		ret = -errno;
	if (ret)
		unlinkat(dirfd, tmp, 0);
	return ret;
}

/* --- identity --- */

int container_id_check(const char *id, struct err **err)
{
	size_t len = strlen(id);
	bool ok = len > 0 && len <= ID_MAX && strcmp(id, ".") && strcmp(id, "..");
	for (size_t i = 0; ok && i < len; i++)
		ok = isalnum((unsigned char)id[i]) || strchr("_+-.", id[i]);
	if (!ok)
		return err_set(err, EINVAL, "invalid container ID format");
	return 0;
}

static int mkdir_parents(const char *path, mode_t mode)
{
	FREE_AUTO char *p = strdup(path);
	if (!p)
		return -ENOMEM;
	for (char *s = p + 1;; s++) {
		if (*s && *s != '/')
			continue;
		char c = *s;
		*s = 0;
		if (mkdir(p, mode) < 0 && errno != EEXIST)
			return -errno;
		if (!c)
			return 0;
		*s = c;
	}
}

static struct container *container_alloc(const char *root, const char *id)
{
	struct container *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->dir_fd = c->lock_fd = -1;
	c->id = strdup(id);
	c->root = strdup(root);
	return c;
}

/* Frees what read_state fills in. */
static void forget_state(struct container *c)
{
	json_decref(take_ptr(&c->annotations));
	json_decref(take_ptr(&c->cgroups));
	json_decref(take_ptr(&c->ns));
	free(take_ptr(&c->bundle));
	free(take_ptr(&c->rootfs));
	free(take_ptr(&c->created));
	free(take_ptr(&c->owner));
	free(take_ptr(&c->network));
	free(take_ptr(&c->host_uds));
	free(take_ptr(&c->scratch));
}

void container_free(struct container *c)
{
	if (!c)
		return;
	fd_cleanup_(&c->lock_fd);
	fd_cleanup_(&c->dir_fd);
	forget_state(c);
	free(c->id);
	free(c->root);
	free(c);
}

/* Opens and flocks the lock file of c->dir_fd. */
static int lock_dir(struct container *c, struct err **err)
{
	FD_AUTO int fd = openat(c->dir_fd, LOCK_FILE, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && errno == ENOENT) /* the directory was removed meanwhile */
		return err_set(err, ENOENT, "container does not exist");
	if (fd < 0)
		return err_errno(err, errno, "open lock of container %s", c->id);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_errno(err, errno, "lock container %s", c->id);
	/* Whoever held it may have removed the container. */
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_nlink == 0)
		return err_set(err, ENOENT, "container does not exist");
	c->lock_fd = take_fd(&fd);
	return 0;
}

static int open_dir(const char *root, const char *id, int *out)
{
	FD_AUTO int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return -errno;
	*out = openat(root_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return *out < 0 ? -errno : 0;
}

/* Out of /etc/passwd alone: the name service switch needs shared libraries. */
static char *user_name(uid_t uid)
{
	FILE_AUTO FILE *f = fopen("/etc/passwd", "re");
	for (struct passwd *pw; f && (pw = fgetpwent(f));)
		if (pw->pw_uid == uid)
			return strdup(pw->pw_name);
	char num[16];
	snprintf(num, sizeof(num), "%u", uid);
	return strdup(num);
}

int container_new(const char *root, const char *id, struct container **out, struct err **err)
{
	FREE_AUTO char *path = NULL;
	int ret = container_id_check(id, err);
	if (ret)
		return ret;
	ret = mkdir_parents(root, 0711);
	if (ret)
		return err_errno(err, -ret, "mkdir %s", root);
	if (asprintf(&path, "%s/%s", root, id) < 0)
		abort();
	if (mkdir(path, 0711) < 0)
		return errno == EEXIST
			       ? err_set(err, EEXIST, "container with given ID already exists")
			       : err_errno(err, errno, "mkdir %s", path);

	CONTAINER_AUTO c = container_alloc(root, id);
	ret = open_dir(root, id, &c->dir_fd);
	if (ret) {
		rmdir(path);
		return err_errno(err, -ret, "open %s", path);
	}
	ret = lock_dir(c, err);
	if (ret)
		return ret;
	char when[48];
	time_rfc3339(when, sizeof(when), true);
	c->created = strdup(when);
	c->owner = user_name(getuid());
	c->saved = STATUS_CREATING;
	c->creator = proc_id_of(getpid());
	*out = take_ptr(&c);
	return 0;
}

/* --- state.json --- */

static const char *const status_names[] = {
	[STATUS_CREATING] = "creating",
	[STATUS_CREATED] = "created",
	[STATUS_RUNNING] = "running",
	[STATUS_PAUSED] = "paused",
	[STATUS_STOPPED] = "stopped",
};

const char *status_name(enum status s)
{
	return status_names[s];
}

static json_t *proc_pack(struct proc_id p)
{
	return json_pack("{s:i,s:I}", "pid", (int)p.pid, "start", (json_int_t)p.start);
}

static struct proc_id proc_unpack(json_t *o)
{
	return (struct proc_id){
		.pid = (pid_t)json_integer_value(json_object_get(o, "pid")),
		.start = (uint64_t)json_integer_value(json_object_get(o, "start")),
	};
}

static char *dup_string(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? strdup(s) : NULL;
}

int container_save(struct container *c, struct err **err)
{
	json_t *o = json_pack("{s:s,s:s*,s:s*,s:s*,s:s*,s:s*,s:s*,s:s*,s:b,s:s,s:I,s:o,s:o,s:o,s:o,"
			      "s:o,s:o}",
		"id", c->id, "bundle", c->bundle, "rootfs", c->rootfs, "created", c->created,
		"owner", c->owner, "network", c->network, "host_uds", c->host_uds, "scratch",
		c->scratch, "joined", c->joined, "status", status_name(c->saved), "freeze_seq",
		(json_int_t)c->freeze_seq, "creator", proc_pack(c->creator), "anchor",
		proc_pack(c->anchor), "warden", proc_pack(c->warden), "sentry",
		proc_pack(c->sentry), "gofer", proc_pack(c->gofer), "starter",
		proc_pack(c->starter));
	if (c->ns)
		json_object_set(o, "ns", c->ns);
	if (c->annotations)
		json_object_set(o, "annotations", c->annotations);
	if (c->cgroups)
		json_object_set(o, "cgroups", c->cgroups);
	FREE_AUTO char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
	json_decref(o);
	if (!text)
		return err_set(err, EINVAL, "container %s: state is not valid JSON", c->id);
	int ret = write_file_at(c->dir_fd, STATE_FILE, text, strlen(text), 0600);
	if (ret)
		return err_errno(err, -ret, "write state of container %s", c->id);
	c->bare = false;
	return 0;
}

static int read_state(struct container *c, struct err **err)
{
	FREE_AUTO char *text = NULL;
	int ret = read_file_at(c->dir_fd, STATE_FILE, &text, NULL);
	if (ret == -ENOENT) {
		c->bare = true;
		c->saved = STATUS_CREATING;
		return 0;
	}
	if (ret)
		return err_errno(err, -ret, "read state of container %s", c->id);
	json_error_t je;
	json_t *o = json_loads(text, 0, &je);
	if (!o) { /* only damage from outside can cause this; delete --force must still work */
		log_warn("container %s: state.json: %s", c->id, je.text);
		c->bare = true;
		return 0;
	}
	c->bundle = dup_string(o, "bundle");
	c->rootfs = dup_string(o, "rootfs");
	c->created = dup_string(o, "created");
	c->owner = dup_string(o, "owner");
	c->network = dup_string(o, "network");
	c->host_uds = dup_string(o, "host_uds");
	c->scratch = dup_string(o, "scratch");
	c->joined = json_is_true(json_object_get(o, "joined"));
	c->ns = json_incref(json_object_get(o, "ns"));
	c->warden = proc_unpack(json_object_get(o, "warden"));
	c->creator = proc_unpack(json_object_get(o, "creator"));
	c->anchor = proc_unpack(json_object_get(o, "anchor"));
	c->sentry = proc_unpack(json_object_get(o, "sentry"));
	c->gofer = proc_unpack(json_object_get(o, "gofer"));
	c->starter = proc_unpack(json_object_get(o, "starter"));
	c->freeze_seq = (uint64_t)json_integer_value(json_object_get(o, "freeze_seq"));
	c->annotations = json_incref(json_object_get(o, "annotations"));
	c->cgroups = json_incref(json_object_get(o, "cgroups"));
	const char *s = json_string_value(json_object_get(o, "status"));
	for (size_t i = 0; s && i < ARRAY_LEN(status_names); i++)
		if (!strcmp(s, status_names[i]))
			c->saved = (enum status)i;
	json_decref(o);
	return 0;
}

static int load(const char *root, const char *id, bool lock, struct container **out,
	struct err **err)
{
	int ret = container_id_check(id, err);
	if (ret)
		return ret;
	CONTAINER_AUTO c = container_alloc(root, id);
	ret = open_dir(root, id, &c->dir_fd);
	if (ret == -ENOENT || ret == -ENOTDIR || ret == -ELOOP)
		return err_set(err, ENOENT, "container does not exist");
	if (ret)
		return err_errno(err, -ret, "open state of container %s", id);
	if (lock)
		ret = lock_dir(c, err);
	if (!ret)
		ret = read_state(c, err);
	if (ret)
		return ret;
	*out = take_ptr(&c);
	return 0;
}

int container_load(const char *root, const char *id, struct container **out, struct err **err)
{
	return load(root, id, false, out, err);
}

int container_load_locked(const char *root, const char *id, struct container **out,
	struct err **err)
{
	return load(root, id, true, out, err);
}

int container_relock(struct container *c, struct err **err)
{
	int ret = lock_dir(c, err);
	if (ret)
		return ret;
	forget_state(c);
	return read_state(c, err);
}

void container_unlock(struct container *c)
{
	fd_cleanup_(&c->lock_fd);
}

/* --- removal --- */

static const char *const own_files[] = {CONTROL_SOCKET, WARDEN_SOCKET, CONFIG_FILE, EXIT_FILE,
	STATE_FILE};

/* Removes everything in the directory but the lock. */
static void remove_entries(int dir_fd)
{
	for (size_t i = 0; i < ARRAY_LEN(own_files); i++)
		unlinkat(dir_fd, own_files[i], 0);
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR_AUTO DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	for (struct dirent *e; d && (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
			!strcmp(e->d_name, LOCK_FILE))
			continue;
		if (unlinkat(dir_fd, e->d_name, 0) < 0)
			unlinkat(dir_fd, e->d_name, AT_REMOVEDIR);
	}
}

/* The scratch directory of `do` holds a config.json and an empty directory. */
static void remove_scratch(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	remove_entries(fd);
	close(fd);
	rmdir(path);
}

int container_erase(struct container *c, struct err **err)
{
	FREE_AUTO char *path = NULL;
	if (asprintf(&path, "%s/%s", c->root, c->id) < 0)
		abort();
	if (c->scratch)
		remove_scratch(c->scratch);
	remove_entries(c->dir_fd);
	/* The lock last: who waits for it sees its link count 0 and gives up. */
	unlinkat(c->dir_fd, LOCK_FILE, 0);
	if (rmdir(path) < 0 && errno != ENOENT)
		return err_errno(err, errno, "remove %s", path);
	return 0;
}

/* --- what it is --- */

enum status container_status(const struct container *c)
{
	if (c->saved == STATUS_STOPPED)
		return STATUS_STOPPED;
	if (c->saved == STATUS_CREATING)
		return !c->bare && proc_id_alive(c->creator) ? STATUS_CREATING : STATUS_STOPPED;
	if (!proc_id_alive(c->anchor) || !proc_id_alive(c->sentry) || !proc_id_alive(c->gofer))
		return STATUS_STOPPED;
	return c->saved;
}

json_t *container_state_json(const struct container *c, const char *status)
{
	enum status now = container_status(c);
	json_t *o = json_pack("{s:s,s:s,s:s,s:i,s:s}", "ociVersion", RUNSC_SPEC_VERSION, "id",
		c->id, "status", status ? status : status_name(now), "pid",
		now == STATUS_STOPPED ? 0 : (int)c->anchor.pid, "bundle",
		c->bundle ? c->bundle : "");
	if (c->annotations && json_object_size(c->annotations))
		json_object_set(o, "annotations", c->annotations);
	return o;
}

int container_exit_code(const struct container *c)
{
	FREE_AUTO char *text = NULL;
	if (read_file_at(c->dir_fd, EXIT_FILE, &text, NULL) || !isdigit((unsigned char)*text))
		return -1;
	return atoi(text);
}

char *container_exit_note(const struct container *c)
{
	FREE_AUTO char *text = NULL;
	if (read_file_at(c->dir_fd, EXIT_FILE, &text, NULL))
		return NULL;
	char *note = strchr(text, ' ');
	if (!note)
		return NULL;
	note[strcspn(note, "\n")] = 0;
	return strdup(note + 1);
}

void container_record_exit(int dir_fd, int code, const char *note)
{
	char text[200];
	int n = snprintf(text, sizeof(text), "%d%s%s\n", code, note ? " " : "", note ? note : "");
	n = MIN(n, (int)sizeof(text) - 1);
	int ret = write_file_at(dir_fd, EXIT_FILE, text, (size_t)n, 0600);
	if (ret && ret != -ENOENT)
		log_warn("cannot record the exit code: %s", strerror(-ret));
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int container_list(const char *root, char ***ids, size_t *n, struct err **err)
{
	char **v = NULL;
	size_t count = 0;
	DIR_AUTO DIR *d = opendir(root);
	if (!d && errno != ENOENT)
		return err_errno(err, errno, "open %s", root);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN)
			continue;
		if (container_id_check(e->d_name, NULL))
			continue;
		v = reallocarray(v, count + 1, sizeof(*v));
		if (!v)
			abort();
		v[count++] = strdup(e->d_name);
	}
	if (count)
		qsort(v, count, sizeof(*v), compare_names);
	*ids = v;
	*n = count;
	return 0;
}
