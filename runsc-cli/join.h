/*
 * Which running sandbox a new container belongs to, and which of its namespaces it shares with
 * whom.
 *
 * Two things put a container into a sandbox that is there:
 *   - annotations of a CRI client (containerd: io.kubernetes.cri.container-type and .sandbox-id;
 *     CRI-O: io.kubernetes.cri-o.ContainerType and .SandboxID) that call it a container of the
 *     sandbox with the id of a running one below the same --root;
 *   - with --network=sandbox, the path of its network namespace: a running sandbox has taken over
 *     the links of that one (docker's --network container:, podman's pods).  --share-sandbox=pods
 *     turns this off.
 * In both cases the network namespace must be that of the sandbox, and so must --network.  Any
 * other container gets a sandbox of its own; so do podman's members of a pod that carry annotations
 * of CRI-O with the id of something that is no container.
 *
 * What a container's namespaces are is kept in its state: "net": DEV:INO of the host's namespace
 * that its anchor is in; "pid", "ipc" and "uts": "new", "host" (config.json has none), or DEV:INO
 * of the one that config.json names.  A new member shares such a namespace with
 *   - the container whose /proc/PID/ns/TYPE its path is, PID being the anchor's;
 *   - a member with the same DEV:INO (CRI-O makes the namespaces of a pod first);
 *   - where config.json has none, which means the host's: a member that has none either.
 */
#ifndef RUNSC_CLI_JOIN_H
#define RUNSC_CLI_JOIN_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/spec/spec.h"
#include "runsc-cli/state.h"

struct join {
	char *id;                       /* of a container that is in the sandbox */
	int dir_fd;                     /* its directory */
	struct proc_id warden;          /* of the sandbox */
	char *host_uds;                 /* --host-uds of the sandbox */
	char *pid_of, *ipc_of, *uts_of; /* containers whose namespaces it shares; NULL: new ones */
};

/* *out: to be freed with join_free; NULL: a sandbox of its own. */
void join_find(const struct cli *cli, const struct spec *spec, struct join **out);
void join_free(struct join *j);
#define JOIN_AUTO __attribute__((cleanup(join_cleanup_))) struct join *
static inline void join_cleanup_(struct join **j)
{
	join_free(*j);
	*j = NULL;
}

/* Gives the sandbox's sockets a name in a new member's directory. */
int join_link(const struct join *j, int dir_fd, struct err **err);

/* For the state of a container; without "net".  A new reference. */
json_t *join_namespaces(const struct spec *spec);
/* "net": that of process pid. */
void join_note_net(json_t *ns, pid_t pid);

/* Another container that runs in the same sandbox; NULL: there is none. */
struct container *join_other(const struct container *c);

#endif
