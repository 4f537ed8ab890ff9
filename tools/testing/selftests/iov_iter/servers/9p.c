// SPDX-License-Identifier: GPL-2.0
/*
 * Mounts of the host's directory.  What is asked for later is answered later, so
 * a request that is answered shows that none before it is held.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>

#include "../lib/io.h"
#include "../lib/memory.h"
#include "../lib/result.h"
#include "../lib/system.h"
#include "../lib/target.h"
#include "9p.h"

struct dio_9p dio_9p_fast = { "iov_iter", .fd = -1, .small = -1 };
struct dio_9p dio_9p_slow = { "iov_iter_slow", .fd = -1, .small = -1 };

static struct dio_9p * const shares[] = { &dio_9p_fast, &dio_9p_slow };
static size_t hold_size = DIO_9P_REQUEST / 8;

int dio_9p_open(const struct dio_9p *s, const char *name, int flags)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	return fd;
}

int dio_9p_mount(struct dio_9p *s, const char *cache)
{
	char options[96];

	snprintf(options, sizeof(options), "trans=virtio,version=9p2000.L,msize=%d,cache=%s",
		 DIO_9P_MSIZE, cache);
	if (mount(s->tag, s->dir, "9p", 0, options))
		return -errno;
	s->mounted = true;
	s->fd = dio_9p_open(s, "file", O_DIRECT);
	s->small = dio_9p_open(s, "small", O_DIRECT);
	return 0;
}

const char *dio_9p_umount(struct dio_9p *s)
{
	if (!s->mounted)
		return NULL;
	close(s->fd);
	close(s->small);
	if (umount(s->dir))
		return dio_because("%s: umount: %s", s->dir, strerror(errno));
	s->mounted = false;
	return NULL;
}

const char *dio_9p_start(void)
{
	static const char * const modprobe[] = { "modprobe", "-a", "9pnet_virtio", "9p", NULL };
	int i, ret;

	dio_run(modprobe);
	for (i = 0; i < 2; i++) {
		strcpy(shares[i]->dir, "/tmp/iov_iter.XXXXXX");
		if (!mkdtemp(shares[i]->dir))
			dio_die("%s: %s\n", shares[i]->dir, strerror(errno));
	}
	for (i = 0; i < 2; i++) {
		ret = dio_9p_mount(shares[i], "none");
		if (ret == -ENODEV)
			return "this kernel has no 9p file system";
		if (ret)
			return dio_because("no virtio-9p device with the tag %s: %s",
					   shares[i]->tag, strerror(-ret));
	}
	return NULL;
}

void dio_9p_stop(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		dio_9p_umount(shares[i]);
		rmdir(shares[i]->dir);
	}
}

void dio_9p_hold(void)
{
	static unsigned char *buf;

	if (!buf)
		buf = dio_map(DIO_9P_REQUEST, dio_page_size, false);
	dio_full_pread(dio_9p_slow.fd, buf, hold_size, 0);
}

void dio_9p_drain(void)
{
	unsigned char byte;

	dio_full_pread(dio_9p_slow.fd, &byte, 1, 0);
	dio_full_pwrite(dio_9p_slow.fd, &byte, 1, 0);
}

static const char *target_open(struct dio_target *t)
{
	const char *skip = dio_9p_start();

	strcpy(t->dir, dio_9p_fast.dir);
	return skip;
}

static struct dio_daemon daemon_9p = {
	.name = "9p", .open = target_open, .close = dio_9p_stop,
};

static __attribute__((constructor)) void add(void)
{
	dio_daemon_add(&daemon_9p);
}

bool dio_9p_held_too_short(const char *why)
{
	if (!why || strncmp(why, "set-up", strlen("set-up")) || hold_size == DIO_9P_REQUEST)
		return false;
	hold_size *= 2;
	return true;
}
