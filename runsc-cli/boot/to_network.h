/*
 * From a network configuration in JSON (runsc-cli/net/netcfg.h) to what the kernel is told.
 */
#ifndef RUNSC_CLI_BOOT_TO_NETWORK_H
#define RUNSC_CLI_BOOT_TO_NETWORK_H

#include <jansson.h>

#include "sentry/kernel/network.h"

/*
 * Decodes all of it, or nothing: -EINVAL with a message that names the place ("routes[3].dst").
 * take is called for the descriptor of each link, which the result owns then.
 */
int to_network(const json_t *config, int (*take)(void *arg, json_int_t place), void *arg,
	struct knet *out, struct err **err);
/* Closes the descriptors that nobody took over. */
void to_network_free(struct knet *net);

#endif
