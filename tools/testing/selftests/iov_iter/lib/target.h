/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The targets: block devices whose reads can be held in flight, block devices
 * and file systems on top of them.  The table of them is targets.h.
 */
#ifndef IOV_ITER_LIB_TARGET_H
#define IOV_ITER_LIB_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "cases.h"
#include "daemon.h"
#include "disk.h"
#include "memory.h"

/* All I/O of the tests falls on the first DIO_FILE_SIZE bytes of a target. */
#define DIO_FILE_SIZE		(4 * DIO_MIB)

/**
 * struct dio_target - what I/O is done to: a block device, or a file on it
 * @name: as it appears in the names of results
 * @path: of the device or the file
 * @dir: mount point; empty for a block device
 * @fd: @path, opened O_RDWR | O_DIRECT
 * @block: what positions, lengths and addresses must be multiples of, in bytes
 * @size: of the device or file system, in bytes
 * @holdable: dio_hold() keeps reads in flight
 * @held_as_whole: it keeps writes in flight, too
 * @append: can only be written at its end (a sequential zone)
 * @buffered_writes: the file system reads directly, but does not write so
 * @copies_from: a write of memory that can't be pinned goes through the page cache
 * @copies_to: a read into such memory does
 * @zeroes: a write from unmapped memory leaves zeros in the rest of its blocks
 * @server: that exports @dir, NULL for what is local
 * @server_path: where the server has what is at @path, if there is one
 * @io_size: how much the client asks of a server at a time; 0 for what it likes
 * @skip: why the target is not available, or NULL if it is
 */
struct dio_target {
	const char *name;
	char path[80];
	char dir[64];
	int fd;
	unsigned int block;
	unsigned long long size;
	bool holdable;
	bool held_as_whole;
	bool append;
	bool buffered_writes;
	bool copies_from;
	bool copies_to;
	bool zeroes;
	const struct dio_daemon *server;
	char server_path[80];
	unsigned int io_size;
	const char *skip;
};

/*
 * The targets, by number: 0 is the scratch disk itself.  Their names and blocks are
 * known before they are opened; one is open at a time.
 */
unsigned int dio_nr_targets(void);
const char *dio_target_name(unsigned int id);
unsigned int dio_target_block(unsigned int id);

/* From here on file systems of servers are targets, too; "-t" names them anyway. */
void dio_target_network(void);
/* From here on nothing but these are. */
void dio_target_only_network(void);

/* Option "-t NAME[,NAME...]": only these targets count from then on.  False: unknown. */
bool dio_target_select(const char *names);

#define DIO_OPTION_TARGETS	\
	{ 't', "TARGET[,TARGET...]", "only these targets: raw, ext4, xfs, ...", \
	  .take = dio_target_select }

/*
 * Set the device up, make the file system, mount it and write a test file of
 * DIO_FILE_SIZE bytes.  Look at @skip afterwards.
 */
void dio_target_open(struct dio_target *t, unsigned int id);
void dio_target_close(struct dio_target *t);

/* dio_cases() on each target, upon each of which @opened is called, if it is not NULL */
void dio_cases_on_targets(const struct dio_case *cases, unsigned int nr,
			  void (*opened)(struct dio_target *t));

#endif /* IOV_ITER_LIB_TARGET_H */
