/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory of several pieces that commands read into and write from, in blocks of 512
 * bytes: what it held before, what it is to hold, and what a child sees of it.
 */
#ifndef IOV_ITER_LIB_AREA_H
#define IOV_ITER_LIB_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define DIO_BLOCK	512
#define DIO_MAX_VECTORS	600
#define DIO_STORED	0xff	/* what the parent stores next to a read */

/* What memory held before: never DIO_STORED, nor what dio_data() gives. */
unsigned char dio_before(size_t i);
/* Another @salt for each case, for nothing stale to pass as what is read */
unsigned char dio_data(unsigned char salt, size_t i);
unsigned char dio_next_salt(void);

/**
 * struct dio_shape - where the vectors lie in memory that starts with a page
 * @name: in results
 * @offset: of the first vector
 * @length: of each
 * @stride: from one to the next
 * @nr: of vectors
 * @huge: the memory is a huge page
 * @fork: it does for a read in flight: what is at both edges is not read into
 * @odd: it is not a multiple of blocks
 * @quick: it is also in the quick subset
 */
struct dio_shape {
	const char *name;
	size_t offset;
	size_t length;
	size_t stride;
	unsigned int nr;
	bool huge;
	bool fork;
	bool odd;
	bool quick;
};

size_t dio_shape_length(const struct dio_shape *s);

/**
 * struct dio_area - such memory
 * @shape: of it
 * @mem: all of it, and of what is around
 * @size: of @mem, in whole pages: at least a byte behind the last vector
 * @iov: the vectors
 */
struct dio_area {
	const struct dio_shape *shape;
	unsigned char *mem;
	size_t size;
	struct iovec iov[DIO_MAX_VECTORS];
};

void dio_area_open(struct dio_area *a, const struct dio_shape *s);
void dio_area_close(struct dio_area *a);
/* Outside of the transfer the bytes of before; inside them too, or data from a block on */
void dio_area_fill(struct dio_area *a, unsigned char salt, bool with_data);
/* How many bytes differ from what dio_area_fill() would store */
size_t dio_area_wrong(const struct dio_area *a, unsigned char salt, bool with_data);
/* Store to both edges, next to a read.  For this to end what fork() has made shared. */
void dio_area_store(struct dio_area *a);
/* After that: NULL, or how much of what was read or stored the parent misses */
const char *dio_area_lost(struct dio_area *a, unsigned char salt);

const char *dio_wrong_bytes(size_t in_memory, size_t on_disk);

/* A child that waits until its pipe is closed, looks at an area, and tells what it saw */
pid_t dio_child_start(const struct dio_area *a, int *pipe_end);
const char *dio_child_problem(pid_t pid, int pipe_end);

/* Pages that are free, those that wait with the CPUs included */
long dio_free_pages(void);

/*
 * Returns NULL if @repeat, which does a command so many times, leaves no page behind,
 * and otherwise a description.  A @repeat that fails in another way tells of that.
 */
const char *dio_leak_problem(const char *(*repeat)(const void *arg, unsigned int times),
			     const void *arg, unsigned int times);

#endif /* IOV_ITER_LIB_AREA_H */
