/* SPDX-License-Identifier: GPL-2.0 */
/* Devices of the device mapper, and loop devices */
#ifndef IOV_ITER_LIB_DM_H
#define IOV_ITER_LIB_DM_H

#include <stdbool.h>

/* A device of the device mapper, and a line of its table */
struct dio_dm {
	char name[32];
	char path[32];
	bool created;
};

struct dio_dm_line {
	const char *type;
	unsigned long long sectors;
	char params[400];
};

/* To be called once, before the others: 0 or a negative errno. */
int dio_dm_init(void);

/* These return 0 or a negative errno.  load() swaps tables while I/O is in flight. */
int dio_dm_create(struct dio_dm *dm, const char *suffix);
int dio_dm_load(struct dio_dm *dm, const struct dio_dm_line *lines, unsigned int nr);
int dio_dm_remove(struct dio_dm *dm);

/*
 * A loop device that reads and writes the file @fd directly: its fd in @loop and its
 * path in @device, of 64 bytes.  @block is that of the device, 0 for the default.
 * Returns why there is none, or NULL.
 */
const char *dio_loop_attach(int fd, unsigned int block, int *loop, char *device);
void dio_loop_detach(int *loop);

/*
 * Suspend or resume.  Resuming swaps in the table that was loaded; the old one
 * is suspended for that, upon which dm-delay passes on all it held.  A file
 * system on the device is not frozen: freezing would wait for its reads.
 */
int dio_dm_suspend(struct dio_dm *dm, bool suspend);

/* How many reads a dm-delay device holds, or a negative errno */
int dio_dm_delayed(struct dio_dm *dm);

/* Size of a block device in sectors of 512 bytes, and its logical block */
int dio_device_size(const char *path, unsigned long long *sectors, unsigned int *block);

#endif /* IOV_ITER_LIB_DM_H */
