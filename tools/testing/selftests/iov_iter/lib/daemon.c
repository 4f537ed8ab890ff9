// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "daemon.h"

static struct dio_daemon *daemons;

void dio_daemon_add(struct dio_daemon *daemon)
{
	daemon->next = daemons;
	daemons = daemon;
}

const struct dio_daemon *dio_daemon_named(const char *name)
{
	const struct dio_daemon *daemon = daemons;

	while (daemon && strcmp(daemon->name, name))
		daemon = daemon->next;
	return daemon;
}
