// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>

#include "io.h"
#include "result.h"
#include "system.h"

static void *io_thread(void *arg)
{
	struct dio_io *io = arg;

	__atomic_store_n(&io->tid, syscall(SYS_gettid), __ATOMIC_RELEASE);
	io->result = io->write ? pwritev(io->fd, io->iov, io->nr, io->pos) :
				 preadv(io->fd, io->iov, io->nr, io->pos);
	if (io->result < 0)
		io->result = -errno;
	__atomic_store_n(&io->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void prepare(struct dio_io *io)
{
	if (!io->nr) {
		io->one = (struct iovec){ io->mem, io->length };
		io->iov = &io->one;
		io->nr = 1;
	}
	io->done = false;
	io->tid = 0;
}

void dio_io_start(struct dio_io *io)
{
	struct iocb *list = &io->iocb;
	pthread_attr_t attr;
	int ret;

	prepare(io);
	if (!io->aio) {
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, 64 * 1024);
		ret = pthread_create(&io->thread, &attr, io_thread, io);
		pthread_attr_destroy(&attr);
		if (ret)
			dio_die("no thread: %s\n", strerror(ret));
		return;
	}
	io->context = NULL;
	ret = io_setup(1, &io->context);
	if (ret)
		dio_die("io_setup: %s\n", strerror(-ret));
	if (io->write)
		io_prep_pwritev(&io->iocb, io->fd, io->iov, io->nr, io->pos);
	else
		io_prep_preadv(&io->iocb, io->fd, io->iov, io->nr, io->pos);
	ret = io_submit(io->context, 1, &list);
	if (ret != 1) {
		io->result = ret;
		io->done = true;
	}
}

bool dio_io_done(struct dio_io *io)
{
	struct timespec now = { 0 };
	struct io_event event;

	if (io->aio && !io->done && io_getevents(io->context, 1, 1, &event, &now) == 1) {
		io->result = event.res;
		io->done = true;
	}
	return __atomic_load_n(&io->done, __ATOMIC_ACQUIRE);
}

ssize_t dio_io_end(struct dio_io *io, unsigned int seconds)
{
	struct timespec limit = { .tv_sec = seconds };
	struct io_event event;

	if (!io->aio) {
		clock_gettime(CLOCK_REALTIME, &limit);
		limit.tv_sec += seconds;
		if (pthread_timedjoin_np(io->thread, NULL, &limit))
			dio_die("the I/O does not end\n");
		return io->result;
	}
	if (!io->done) {
		if (io_getevents(io->context, 1, 1, &event, &limit) != 1)
			dio_die("the AIO does not end\n");
		io->result = event.res;
	}
	io_destroy(io->context);
	return io->result;
}

ssize_t dio_io_do(struct dio_io *io)
{
	if (io->aio) {
		dio_io_start(io);
		return dio_io_end(io, 3600);
	}
	prepare(io);
	io_thread(io);
	return io->result;
}

bool dio_io_waits(struct dio_io *io)
{
	pid_t tid;

	do
		tid = __atomic_load_n(&io->tid, __ATOMIC_ACQUIRE);
	while (!tid);
	return dio_waits(getpid(), tid) && !dio_io_done(io);
}
