// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include "dm.h"
#include "result.h"
#include "system.h"

#define MAX_DM_LINES	3

static int dm_control = -1;
static pid_t owner;

struct dm_request {
	struct dm_ioctl io;
	char data[MAX_DM_LINES * (sizeof(struct dm_target_spec) +
				  sizeof(((struct dio_dm_line *)0)->params))];
};

static int dm_call(struct dio_dm *dm, unsigned long request, struct dm_request *r)
{
	r->io.version[0] = DM_VERSION_MAJOR;
	r->io.version[1] = 0;
	r->io.version[2] = 0;
	r->io.data_size = sizeof(*r);
	r->io.data_start = offsetof(struct dm_request, data);
	snprintf(r->io.name, sizeof(r->io.name), "%s", dm->name);
	return ioctl(dm_control, request, r) ? -errno : 0;
}

int dio_dm_init(void)
{
	owner = getpid();
	dm_control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	return dm_control < 0 ? -errno : 0;
}

int dio_dm_create(struct dio_dm *dm, const char *suffix)
{
	struct dm_request r = { 0 };
	int ret;

	snprintf(dm->name, sizeof(dm->name), "iov_iter_%d_%s", owner, suffix);
	ret = dm_call(dm, DM_DEV_CREATE, &r);
	if (ret)
		return ret;
	dm->created = true;
	/* huge_encode_dev() of the kernel: 12 bits of major in the middle */
	snprintf(dm->path, sizeof(dm->path), "/dev/dm-%u",
		 (unsigned int)((r.io.dev & 0xff) | ((r.io.dev >> 12) & 0xfff00)));
	return 0;
}

int dio_dm_suspend(struct dio_dm *dm, bool suspend)
{
	struct dm_request r = { 0 };

	r.io.flags = DM_SKIP_LOCKFS_FLAG | (suspend ? DM_SUSPEND_FLAG | DM_NOFLUSH_FLAG : 0);
	return dm_call(dm, DM_DEV_SUSPEND, &r);
}

int dio_dm_load(struct dio_dm *dm, const struct dio_dm_line *lines, unsigned int nr)
{
	struct dm_request r = { .io.target_count = nr };
	unsigned long long start = 0;
	char *at = r.data;
	int ret;

	for (; nr--; lines++) {
		struct dm_target_spec *spec = (struct dm_target_spec *)at;

		spec->sector_start = start;
		spec->length = lines->sectors;
		snprintf(spec->target_type, sizeof(spec->target_type), "%s", lines->type);
		strcpy(at + sizeof(*spec), lines->params);
		spec->next = sizeof(*spec) + ((strlen(lines->params) + 8) & ~7UL);
		at += spec->next;
		start += lines->sectors;
	}
	ret = dm_call(dm, DM_TABLE_LOAD, &r);
	return ret ? ret : dio_dm_suspend(dm, false);
}

int dio_dm_remove(struct dio_dm *dm)
{
	unsigned long long start = dio_now_ms();
	struct dm_request r;
	int ret;

	if (!dm->created)
		return 0;
	do {
		/* Somebody who looks at every new device may have it open. */
		memset(&r, 0, sizeof(r));
		ret = dm_call(dm, DM_DEV_REMOVE, &r);
	} while (ret == -EBUSY && !dio_expired(start));
	dm->created = ret;
	return ret;
}

int dio_dm_delayed(struct dio_dm *dm)
{
	struct dm_request r = { 0 };
	int ret = dm_call(dm, DM_TABLE_STATUS, &r);

	/* "READS WRITES FLUSHES" that dm-delay holds */
	return ret ? ret : atoi(r.data + sizeof(struct dm_target_spec));
}

int dio_device_size(const char *path, unsigned long long *sectors, unsigned int *block)
{
	unsigned long long size;
	int fd, ret = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, BLKGETSIZE64, &size) || ioctl(fd, BLKSSZGET, block))
		ret = -errno;
	*sectors = size / 512;
	close(fd);
	return ret;
}

const char *dio_loop_attach(int fd, unsigned int block, int *loop, char *device)
{
	const char * const modprobe[] = { "modprobe", "loop", NULL };
	struct loop_config config = {
		.fd = fd, .block_size = block, .info.lo_flags = LO_FLAGS_DIRECT_IO };
	int control, nr;

	dio_run(modprobe);
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	nr = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	if (nr < 0)
		return dio_because("/dev/loop-control: %s", strerror(errno));
	close(control);
	sprintf(device, "/dev/loop%d", nr);
	*loop = open(device, O_RDWR | O_CLOEXEC);
	if (*loop < 0 || ioctl(*loop, LOOP_CONFIGURE, &config))
		dio_die("%s: %s\n", device, strerror(errno));
	return NULL;
}

void dio_loop_detach(int *loop)
{
	if (*loop < 0)
		return;
	ioctl(*loop, LOOP_CLR_FD);
	close(*loop);
	*loop = -1;
}
