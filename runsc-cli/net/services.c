/* See services.h. */
#include "runsc-cli/net/services.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "runsc-cli/boot/service.h"

#define RESOLVER "127.0.0.11"
#define RESOLV_CONF "/etc/resolv.conf"

static int add(struct strv *out, const char *text, bool maybe, struct err **err)
{
	struct net_relay_service s;
	if (service_parse(text, &s) < 0 || (s.maybe && !maybe))
		return err_set(err, EINVAL,
			"invalid network-loopback-proxy: \"%s\" (an address of the loopback and a "
			"port, "
			"as 127.0.0.11:53, with /udp or /tcp for one of them)",
			text);
	if (out->n == NET_RELAY_SERVICES)
		return err_set(err, E2BIG, "more than %u loopback services", NET_RELAY_SERVICES);
	strv_push(out, strdup(text));
	return 0;
}

static int add_both(struct strv *out, const char *arg, bool maybe, struct err **err)
{
	static const char *const protocols[] = {"udp", "tcp"};
	int ret = 0;
	for (size_t i = 0; i < ARRAY_LEN(protocols) && !ret; i++) {
		FREE_AUTO char *text = NULL;
		if (asprintf(&text, "%s/%s%s", arg, protocols[i], maybe ? "?" : "") < 0)
			return err_set(err, ENOMEM, "out of memory");
		ret = add(out, text, maybe, err);
	}
	return ret;
}

int services_add(struct strv *out, const char *arg, struct err **err)
{
	return strchr(arg, '/') ? add(out, arg, false, err) : add_both(out, arg, false, err);
}

/* Names in the root are the container's: no link there leads out of it. */
static int open_in_root(const char *root)
{
	const struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	FD_AUTO int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -1 : (int)syscall(SYS_openat2, dir, RESOLV_CONF, &how, sizeof(how));
}

static int open_resolv_conf(const struct spec *spec, const char *root)
{
	for (size_t i = spec->nmounts; i-- > 0;) {
		const struct spec_mount *m = &spec->mounts[i];
		if (m->kind == SPEC_MOUNT_BIND && m->source && !strcmp(m->destination, RESOLV_CONF))
			return open(m->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	return open_in_root(root);
}

static bool names_resolver(int fd)
{
	char line[256], addr[64];
	FILE_AUTO FILE *f = fdopen(fd, "r");
	if (!f) {
		close(fd);
		return false;
	}
	for (int i = 0; i < 1000 && fgets(line, sizeof(line), f); i++)
		if (sscanf(line, " nameserver %63s", addr) == 1 && !strcmp(addr, RESOLVER))
			return true;
	return false;
}

bool services_want_resolver(const struct spec *spec, const char *root)
{
	int fd = open_resolv_conf(spec, root);
	return fd >= 0 && names_resolver(fd);
}

bool services_want_listeners(const struct spec *spec)
{
	static const char *const keys[] = {"io.kubernetes.cri.container-type",
		"io.kubernetes.cri-o.ContainerType"};
	for (size_t i = 0; i < spec->nannotations; i++)
		for (size_t k = 0; k < ARRAY_LEN(keys); k++)
			if (!strcmp(spec->annotations[i].key, keys[k]) &&
				!strcmp(spec->annotations[i].value, "sandbox"))
				return true;
	return false;
}

void services_add_resolver(struct strv *out)
{
	struct err *e = NULL;
	for (size_t i = 0; i < out->n; i++)
		if (!strncmp(out->v[i], RESOLVER ":53/", strlen(RESOLVER ":53/")))
			return;
	if (add_both(out, RESOLVER ":53", true, &e) < 0)
		log_warn("%s", e->msg);
	err_free(e);
}
