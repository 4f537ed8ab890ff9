/* SPDX-License-Identifier: GPL-2.0 */
/* An I/O that goes on while the program does something else */
#ifndef IOV_ITER_LIB_IO_H
#define IOV_ITER_LIB_IO_H

#include <libaio.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

/**
 * struct dio_io - what to do, by a thread or by libaio, and how it ended
 * @fd: from or to this file
 * @aio: by libaio
 * @write: to it
 * @mem: the memory, if @nr is 0
 * @length: of @mem
 * @iov: the memory, otherwise
 * @nr: so many segments
 * @pos: where in the file
 * @tid: of the thread, as soon as it runs
 * @result: bytes done, or a negative errno; valid when it is done
 */
struct dio_io {
	int fd;
	bool aio, write;
	unsigned char *mem;
	size_t length;
	const struct iovec *iov;
	int nr;
	off_t pos;
	pid_t tid;
	ssize_t result;
	/* private: */
	bool done;
	struct iovec one;
	pthread_t thread;
	io_context_t context;
	struct iocb iocb;
};

void dio_io_start(struct dio_io *io);
bool dio_io_done(struct dio_io *io);
/* Waits until it is done, @seconds at the most, and returns @result. */
ssize_t dio_io_end(struct dio_io *io, unsigned int seconds);
/* Both, in this thread if it is not by libaio */
ssize_t dio_io_do(struct dio_io *io);
/* Does the thread wait in the kernel now, and is not done? */
bool dio_io_waits(struct dio_io *io);

#endif /* IOV_ITER_LIB_IO_H */
