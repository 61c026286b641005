/*
 * Parameters of the sandbox's processes as command lines and back, and the
 * ready pipe.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/proto/fs.h"
#include "platform/platform.h"
#include "runsc-cli/boot/boot_priv.h"

/* --- building --- */

struct args {
	char **v;
	size_t n, cap;
	bool failed;
};

static void add(struct args *a, const char *fmt, ...) PRINTF(2, 3);
static void add(struct args *a, const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	if (a->n + 2 > a->cap) {
		char **more = realloc(a->v, (a->cap * 2 + 32) * sizeof(*more));

		if (more) {
			a->v = more;
			a->cap = a->cap * 2 + 32;
		}
	}
	if (!s || a->n + 2 > a->cap) {
		a->failed = true;
		free(s);
		return;
	}
	a->v[a->n++] = s;
	a->v[a->n] = NULL;
}

void boot_free_argv(char **argv)
{
	for (char **p = argv; p && *p; p++)
		free(*p);
	free(argv);
}

static char **finish(struct args *a)
{
	if (!a->failed)
		return a->v;
	boot_free_argv(a->v);
	return NULL;
}

static void add_fd(struct args *a, const char *name, int fd)
{
	if (fd >= 0)
		add(a, "--%s=%d", name, fd);
}

static void add_log(struct args *a, enum log_level level, enum log_format format, int fd)
{
	add(a, "--log-level=%d", (int)level);
	add(a, "--log-format=%s", format == LOG_JSON ? "json" : "text");
	add_fd(a, "log-fd", fd);
}

/* argv[0] is what ps shows; the command's name follows, as on any runsc command line. */
char **boot_build_argv(const struct boot_params *p)
{
	struct args a = {0};

	add(&a, "runsc-sandbox");
	add(&a, "boot");
	add(&a, "--id=%s", p->id);
	add(&a, "--platform=%s", p->platform ? p->platform : PLATFORM_DEFAULT);
	if (p->patching != PL_PATCH_HOT)
		add(&a, "--patch=%s", p->patching == PL_PATCH_OFF ? "off" : "eager");
	if (p->host_features)
		add(&a, "--host-features=%s", p->host_features);
	add(&a, "--network=%s", p->network ? p->network : "none");
	if (p->strace)
		add(&a, "--strace");
	if (p->strace_filter)
		add(&a, "--strace-filter=%s", p->strace_filter);
	if (p->memory_limit)
		add(&a, "--memory-limit=%llu", (unsigned long long)p->memory_limit);
	add_log(&a, p->log_level, p->log_format, p->log_fd);
	add_fd(&a, "control-fd", p->control_fd);
	add_fd(&a, "ready-fd", p->ready_fd);
	add_fd(&a, "lifeline-fd", p->lifeline_fd);
	add_fd(&a, "warden-fd", p->warden_fd);
	add_fd(&a, "pcap-fd", p->pcap_fd);
	if (p->pcap_size)
		add(&a, "--pcap-size=%llu", (unsigned long long)p->pcap_size);
	if (p->host_uds)
		add(&a, "--host-uds");
	for (size_t i = 0; i < p->nservices; i++)
		add(&a, "--loopback-service=%s", p->services[i]);
	return finish(&a);
}

char **gofer_build_argv(const struct gofer_params *p)
{
	struct args a = {0};

	add(&a, "runsc-gofer");
	add(&a, "gofer");
	add(&a, "--id=%s", p->id);
	add_log(&a, p->log_level, p->log_format, p->log_fd);
	add_fd(&a, "sock-fd", p->sock_fd);
	add_fd(&a, "ready-fd", p->ready_fd);
	add_fd(&a, "lifeline-fd", p->lifeline_fd);
	if (p->uds)
		add(&a, "--host-uds=%u", p->uds);
	for (size_t i = 0; i < p->ntrees; i++)
		add(&a, "--tree=%d:%u", p->trees[i].fd, p->trees[i].flags);
	return finish(&a);
}

static size_t collect(int *fds, size_t n, size_t at, int fd)
{
	if (fd < 0)
		return at;
	if (at < n)
		fds[at] = fd;
	return at + 1;
}

size_t boot_param_fds(const struct boot_params *p, int *fds, size_t n)
{
	size_t k = collect(fds, n, 0, p->log_fd);

	k = collect(fds, n, k, p->control_fd);
	k = collect(fds, n, k, p->ready_fd);
	k = collect(fds, n, k, p->warden_fd);
	k = collect(fds, n, k, p->pcap_fd);
	return collect(fds, n, k, p->lifeline_fd);
}

size_t gofer_param_fds(const struct gofer_params *p, int *fds, size_t n)
{
	size_t k = collect(fds, n, 0, p->log_fd);

	k = collect(fds, n, k, p->sock_fd);
	k = collect(fds, n, k, p->ready_fd);
	k = collect(fds, n, k, p->lifeline_fd);
	for (size_t i = 0; i < p->ntrees; i++)
		k = collect(fds, n, k, p->trees[i].fd);
	return k;
}

/* --- parsing --- */

static int parse_u64(const char *s, uint64_t max, uint64_t *out)
{
	char *end;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	unsigned long long v = strtoull(s, &end, 10);
	if (errno || *end || v > max)
		return -EINVAL;
	*out = v;
	return 0;
}

static int parse_fd(const char *s, int *out)
{
	uint64_t v;

	if (parse_u64(s, INT_MAX, &v) < 0)
		return -EINVAL;
	*out = (int)v;
	return 0;
}

/* The value if arg is --name=value. */
static const char *value_of(const char *arg, const char *name)
{
	size_t n = strlen(name);

	if (strncmp(arg, "--", 2) || strncmp(arg + 2, name, n) || arg[2 + n] != '=')
		return NULL;
	return arg + n + 3;
}

struct common {
	const char *id;
	int log_fd, ready_fd, lifeline_fd;
	enum log_level log_level;
	enum log_format log_format;
};

/* 1: taken, 0: not one of these, -EINVAL. */
static int parse_common(const char *arg, struct common *c)
{
	const char *v;
	uint64_t n;

	if ((v = value_of(arg, "id")))
		c->id = v;
	else if ((v = value_of(arg, "log-fd")))
		return parse_fd(v, &c->log_fd) < 0 ? -EINVAL : 1;
	else if ((v = value_of(arg, "ready-fd")))
		return parse_fd(v, &c->ready_fd) < 0 ? -EINVAL : 1;
	else if ((v = value_of(arg, "lifeline-fd")))
		return parse_fd(v, &c->lifeline_fd) < 0 ? -EINVAL : 1;
	else if ((v = value_of(arg, "log-format")))
		c->log_format = strcmp(v, "json") ? LOG_TEXT : LOG_JSON;
	else if ((v = value_of(arg, "log-level"))) {
		if (parse_u64(v, LOG_DEBUG, &n) < 0)
			return -EINVAL;
		c->log_level = (enum log_level)n;
	} else
		return 0;
	return 1;
}

static int parse_boot_arg(const char *arg, struct boot_params *p)
{
	const char *v;

	if ((v = value_of(arg, "platform")))
		p->platform = v;
	else if ((v = value_of(arg, "patch")))
		p->patching = strcmp(v, "off") ? PL_PATCH_EAGER : PL_PATCH_OFF;
	else if ((v = value_of(arg, "host-features")))
		p->host_features = v;
	else if ((v = value_of(arg, "network")))
		p->network = v;
	else if (!strcmp(arg, "--strace"))
		p->strace = true;
	else if ((v = value_of(arg, "strace-filter")))
		p->strace_filter = v;
	else if ((v = value_of(arg, "memory-limit")))
		return parse_u64(v, UINT64_MAX, &p->memory_limit);
	else if ((v = value_of(arg, "control-fd")))
		return parse_fd(v, &p->control_fd);
	else if ((v = value_of(arg, "warden-fd")))
		return parse_fd(v, &p->warden_fd);
	else if ((v = value_of(arg, "pcap-fd")))
		return parse_fd(v, &p->pcap_fd);
	else if ((v = value_of(arg, "pcap-size")))
		return parse_u64(v, UINT64_MAX, &p->pcap_size);
	else if (!strcmp(arg, "--host-uds"))
		p->host_uds = true;
	else
		return -EINVAL;
	return 0;
}

int boot_parse_argv(int argc, char **argv, struct boot_params *p, struct err **err)
{
	struct common c = {.id = "", .log_fd = -1, .ready_fd = -1, .lifeline_fd = -1};
	const char **services = calloc((size_t)argc, sizeof(*services));
	const char *v;

	*p = (struct boot_params){.platform = PLATFORM_DEFAULT,
		.network = "none",
		.control_fd = -1,
		.warden_fd = -1,
		.pcap_fd = -1,
		.services = services};
	if (!services)
		return err_set(err, ENOMEM, "boot: out of memory");
	for (int i = 1; i < argc; i++) {
		int ret = parse_common(argv[i], &c);

		if (ret == 0 && (v = value_of(argv[i], "loopback-service")))
			services[p->nservices++] = v;
		else if (ret == 0)
			ret = parse_boot_arg(argv[i], p);
		if (ret < 0)
			return err_set(err, EINVAL, "boot: bad argument %s", argv[i]);
	}
	p->id = c.id;
	p->log_fd = c.log_fd;
	p->ready_fd = c.ready_fd;
	p->lifeline_fd = c.lifeline_fd;
	p->log_level = c.log_level;
	p->log_format = c.log_format;
	if (p->control_fd < 0)
		return err_set(err, EINVAL,
			"boot: --control-fd is missing (this command is for internal use)");
	return 0;
}

static int parse_tree(const char *v, struct gofer_tree *t)
{
	char fd[16];
	const char *colon = strchr(v, ':');
	uint64_t flags;

	if (!colon || (size_t)(colon - v) >= sizeof(fd))
		return -EINVAL;
	memcpy(fd, v, (size_t)(colon - v));
	fd[colon - v] = '\0';
	if (parse_fd(fd, &t->fd) < 0 || parse_u64(colon + 1, 7, &flags) < 0)
		return -EINVAL;
	t->flags = (unsigned)flags;
	return 0;
}

static int parse_uds(const char *v, unsigned *out)
{
	uint64_t n;

	if (parse_u64(v, FS_UDS_OPEN | FS_UDS_CREATE, &n) < 0)
		return -EINVAL;
	*out = (unsigned)n;
	return 0;
}

int gofer_parse_argv(int argc, char **argv, struct gofer_params *p, struct err **err)
{
	struct common c = {.id = "", .log_fd = -1, .ready_fd = -1, .lifeline_fd = -1};
	struct gofer_tree *trees = calloc((size_t)argc, sizeof(*trees));

	*p = (struct gofer_params){.sock_fd = -1};
	if (!trees)
		return err_set(err, ENOMEM, "gofer: out of memory");
	p->trees = trees;
	for (int i = 1; i < argc; i++) {
		int ret = parse_common(argv[i], &c);
		const char *v;

		if (ret == 0 && (v = value_of(argv[i], "sock-fd")))
			ret = parse_fd(v, &p->sock_fd);
		else if (ret == 0 && (v = value_of(argv[i], "host-uds")))
			ret = parse_uds(v, &p->uds);
		else if (ret == 0 && (v = value_of(argv[i], "tree")))
			ret = parse_tree(v, &trees[p->ntrees++]);
		else if (ret == 0)
			ret = -EINVAL;
		if (ret < 0)
			return err_set(err, EINVAL, "gofer: bad argument %s", argv[i]);
	}
	p->id = c.id;
	p->log_fd = c.log_fd;
	p->ready_fd = c.ready_fd;
	p->lifeline_fd = c.lifeline_fd;
	p->log_level = c.log_level;
	p->log_format = c.log_format;
	if (p->sock_fd < 0 || p->ntrees == 0)
		return err_set(err, EINVAL,
			"gofer: --sock-fd or --tree is missing (this command is for internal use)");
	return 0;
}

/* --- the ready pipe --- */

void boot_tell_ready(int fd, const struct err *e)
{
	if (fd < 0)
		return;
	if (e)
		(void)!write(fd, e->msg, strlen(e->msg));
	else
		(void)!write(fd, "", 1);
	close(fd);
}

int boot_wait_ready(int ready_fd, const char *who, struct err **err)
{
	char buf[4096];
	size_t n = 0;

	while (n < sizeof(buf) - 1) {
		ssize_t got = read(ready_fd, buf + n, sizeof(buf) - 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_errno(err, errno, "%s: ready pipe", who);
		if (got == 0)
			break;
		n += (size_t)got;
		if (buf[0] == '\0')
			return 0;
	}
	buf[n] = '\0';
	if (n == 0)
		return err_set(err, EIO, "the %s died before it was ready (see its log)", who);
	return err_set(err, EIO, "%s", buf);
}
