/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The suite of all network file systems: direct I/O as no disk takes it, of any length
 * and alignment, held in flight by the server.  What differs is in a struct dio_remote.
 */
#ifndef IOV_ITER_LIB_REMOTE_H
#define IOV_ITER_LIB_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "io.h"

/* Length of the short file */
#define DIO_SHORT	5001UL

/**
 * struct dio_remote - a file of a server, which holds dio_fill() of kind 0
 * @fd: opened O_DIRECT
 * @size: of it
 * @around: so many bytes on either side of what was written are looked at
 * @pad: so many bytes may be written to memory behind what was read of a short file
 * @read_may_fault: a read into memory that ends may fail with EFAULT
 * @seconds: that an I/O may take
 * @has: NULL if the server has dio_fill() there, otherwise a description of the mismatch
 * @restore: have it be as it was before @len bytes were written from @pos on
 * @shorten: a file of DIO_SHORT bytes, opened O_DIRECT; @restore_short is called later
 * @restore_short: NULL if that is another file
 * @hold: start an I/O that stays in flight until @release: NULL, or why it does not
 * @release: NULL if what is held goes on by itself
 */
struct dio_remote {
	int fd;
	off_t size;
	size_t around;
	size_t pad;
	bool read_may_fault;
	unsigned int seconds;
	const char *(*has)(size_t len, off_t pos, unsigned int kind);
	void (*restore)(size_t len, off_t pos);
	int (*shorten)(void);
	void (*restore_short)(void);
	const char *(*hold)(struct dio_io *io);
	void (*release)(void);
};

/* A length, a position in the file, and one in the first page */
struct dio_remote_shape {
	size_t length;
	off_t pos;
	unsigned int offset;
	bool large;
};

/* All of these return NULL, or what is wrong. */
const char *dio_remote_transfer(const struct dio_remote *r, const struct dio_remote_shape *s,
				bool write);
/* Segments in one page, that join, that are empty, and that begin and end anywhere */
const char *dio_remote_segments(const struct dio_remote *r, off_t pos, bool write, bool aio);
/* More is asked for than the file has. */
const char *dio_remote_end(const struct dio_remote *r);
/* A pipe that gets more than was read hands out what was in the memory before. */
const char *dio_remote_splice_end(const struct dio_remote *r);
/*
 * Memory that ends before the I/O does, or whose second segment is not there: as much as
 * there is memory for is done.
 */
const char *dio_remote_unmapped(const struct dio_remote *r, bool write, bool segments, bool aio);
/* Read-only memory is a source, and no destination. */
const char *dio_remote_read_only(const struct dio_remote *r);
/* Who writes to memory marks it dirty, and who reads it does not. */
const char *dio_remote_dirty(const struct dio_remote *r, bool write);
/* As many pins are taken as @want, for 16 pages. */
const char *dio_remote_pins(const struct dio_remote *r, bool write, unsigned long long want);
/* From the file into a pipe, and from there into the file */
const char *dio_remote_splice_from(const struct dio_remote *r, off_t pos);
const char *dio_remote_splice_into(const struct dio_remote *r, off_t pos);
/*
 * fork() while a read is held, and a store next to the read: the parent sees what is
 * read, the child what was there before.  @child_why is about the child.
 */
const char *dio_remote_fork(const struct dio_remote *r, bool aio, size_t length, size_t offset,
			    const char **child_why);
/* A child has other plans for the memory that is being written. */
const char *dio_remote_fork_write(const struct dio_remote *r, bool aio, size_t pages);
/* A signal that is not fatal does not end the wait. */
const char *dio_remote_signal(const struct dio_remote *r, bool write);

#endif /* IOV_ITER_LIB_REMOTE_H */
