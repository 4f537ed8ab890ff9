// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O of the Ceph file system, by both versions of the protocol, from and to a
 * cluster of this machine alone (dio_ceph_cluster.c).
 *
 * Its object store is stopped for I/O to stay in flight, and killed and started anew for
 * the client to send it once more.  What a direct write has stored is read by way of
 * the page cache, and the other way round.
 */
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "dio_lib.h"
#include "dio_ceph_cluster.h"

#define OBJECT		(64 * 1024UL)	/* as small as they may be */
#define GUARD		4096		/* bytes around a buffer that must not change */
#define STORED		0xff
#define OTHERS_SIZE	(16 * DIO_MIB)
#define FILE_SIZE	(2 * DIO_MIB)
#define LARGE_SIZE	(17 * DIO_MIB)
#define SHORT_SIZE	5001UL

static pid_t owner;
static const char *target;
static char dir[32];
static bool mounted;
/* Of small objects, with one that ends early, of large objects: direct, and cached */
static int file = -1, small = -1, large = -1;
static int file_cached = -1, large_cached = -1;
static char problem[200];

#define because(...) (snprintf(problem, sizeof(problem), __VA_ARGS__), problem)

static void result(const char *name, const char *why)
{
	char full[128];

	snprintf(full, sizeof(full), "%s %s", target, name);
	dio_result(full, why ? why : dio_pins_problem(false));
}

/* What the store has: read through the page cache, which has nothing of it before. */
static const char *store_has(int cached, size_t len, off_t pos, unsigned int kind)
{
	unsigned char *buf = dio_map(len, dio_page_size, false);
	const char *why;

	posix_fadvise(cached, 0, 0, POSIX_FADV_DONTNEED);
	why = dio_count(pread(cached, buf, len, pos), len);
	if (!why)
		why = dio_compare(buf, len, pos, kind);
	munmap(buf, len);
	return why;
}

static void store_gets(int cached, size_t len, off_t pos, unsigned int kind)
{
	unsigned char *buf = dio_map(len, dio_page_size, false);

	dio_fill(buf, len, pos, kind);
	dio_full_pwrite(cached, buf, len, pos);
	if (fsync(cached))
		dio_die("fsync: %s\n", strerror(errno));
	posix_fadvise(cached, 0, 0, POSIX_FADV_DONTNEED);
	munmap(buf, len);
}

static int open_at(const char *name, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	return fd;
}

/* Lengths from and to any position, within objects and over their ends */
static const struct shape {
	size_t length;
	off_t pos;
	unsigned int offset;
	bool large;		/* of the file of large objects */
} shapes[] = {
	{ 1, 0, 0 },
	{ 511, 1, 4095 },
	{ 4096, 4096, 0 },
	{ 4097, 8191, 4095 },
	{ OBJECT, OBJECT, 0 },
	{ OBJECT + 1, 12345, 77 },
	{ DIO_MIB + 1, 1000003, 2049 },
	{ DIO_MIB + 1, 4 * DIO_MIB - 12345, 511, .large = true },
	{ 16 * DIO_MIB, 3, 513, .large = true },
};

static void run_shape(const struct shape *s, bool write)
{
	int fd = s->large ? large : file, cached = s->large ? large_cached : file_cached;
	size_t size = s->offset + s->length + 2 * GUARD;
	unsigned char *mem = dio_map(size, dio_page_size, false);
	unsigned char *buf = mem + GUARD + s->offset;
	size_t ahead = s->pos < GUARD ? s->pos : GUARD;
	const char *why = NULL;
	char name[80];

	snprintf(name, sizeof(name), "%s %zu at %u: from %lld on",
		 write ? "pwrite" : "pread", s->length, s->offset, (long long)s->pos);
	memset(mem, DIO_UNTOUCHED, size);
	if (write) {
		dio_fill(buf, s->length, s->pos, 0x40);
		why = dio_count(pwrite(fd, buf, s->length, s->pos), s->length);
		if (!why)
			why = dio_compare(buf, s->length, s->pos, 0x40);
		if (!why)
			why = store_has(cached, s->length, s->pos, 0x40);
		if (!why && ahead)
			why = store_has(cached, ahead, s->pos - ahead, 0);
		if (!why)
			why = store_has(cached, GUARD, s->pos + s->length, 0);
		store_gets(cached, s->length, s->pos, 0);
	} else {
		why = dio_count(pread(fd, buf, s->length, s->pos), s->length);
		if (!why)
			why = dio_compare(buf, s->length, s->pos, 0);
	}
	if (!why)
		why = dio_unchanged(mem, buf - mem, "before the buffer");
	if (!why)
		why = dio_unchanged(buf + s->length, mem + size - buf - s->length,
				    "behind the buffer");
	munmap(mem, size);
	result(name, why);
}

/* An I/O in one of the ways; start does not wait for it. */
struct io {
	bool aio;
	bool write;
	const struct iovec *iov;
	int nr;
	off_t pos;

	ssize_t result;
	bool done;
	pthread_t thread;
	io_context_t context;
	struct iocb iocb;
};

static void *io_thread(void *arg)
{
	struct io *io = arg;

	io->result = io->write ? pwritev(file, io->iov, io->nr, io->pos) :
				 preadv(file, io->iov, io->nr, io->pos);
	if (io->result < 0)
		io->result = -errno;
	__atomic_store_n(&io->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void io_start(struct io *io)
{
	struct iocb *list = &io->iocb;
	int ret;

	io->done = false;
	if (!io->aio) {
		ret = pthread_create(&io->thread, NULL, io_thread, io);
		if (ret)
			dio_die("no thread: %s\n", strerror(ret));
		return;
	}
	io->context = NULL;
	ret = io_setup(1, &io->context);
	if (ret)
		dio_die("io_setup: %s\n", strerror(-ret));
	if (io->write)
		io_prep_pwritev(&io->iocb, file, io->iov, io->nr, io->pos);
	else
		io_prep_preadv(&io->iocb, file, io->iov, io->nr, io->pos);
	ret = io_submit(io->context, 1, &list);
	if (ret != 1) {
		io->result = ret;
		io->done = true;
	}
}

static bool io_done(struct io *io)
{
	struct timespec now = { 0 };
	struct io_event event;

	if (io->aio && !io->done && io_getevents(io->context, 1, 1, &event, &now) == 1) {
		io->result = event.res;
		io->done = true;
	}
	return __atomic_load_n(&io->done, __ATOMIC_ACQUIRE);
}

/* Until it is done, after a restart of the object store, too */
static void io_end(struct io *io)
{
	struct timespec limit = { .tv_sec = DIO_CEPH_SECONDS };
	struct io_event event;

	if (!io->aio) {
		clock_gettime(CLOCK_REALTIME, &limit);
		limit.tv_sec += DIO_CEPH_SECONDS;
		if (pthread_timedjoin_np(io->thread, NULL, &limit))
			dio_die("the I/O does not end\n");
		return;
	}
	if (!io->done) {
		if (io_getevents(io->context, 1, 1, &event, &limit) != 1)
			dio_die("the AIO does not end\n");
		io->result = event.res;
	}
	io_destroy(io->context);
}

/* Hold it, and wait until it is on its way: why it is not, or NULL */
static const char *io_hold(struct io *io)
{
	unsigned long long start = dio_now_ms();

	dio_ceph_hold(true);
	io_start(io);
	while (!dio_ceph_held() && !io_done(io))
		if (dio_expired(start))
			break;
	return dio_ceph_held() && !io_done(io) ? NULL : "set-up: it is not held";
}

static ssize_t io_do(struct io *io)
{
	io_start(io);
	io_end(io);
	if (io->result >= 0)
		return io->result;
	errno = -io->result;
	return -1;
}

/* Segments in one page, that join, that are empty, and that begin and end anywhere */
static void run_segments(bool write, bool aio)
{
	size_t page = dio_page_size, size = 16 * page, len = 0;
	unsigned char *mem = dio_map(size, page, false);
	struct iovec iov[] = {
		{ mem + 1, 10 }, { mem + 11, 1 }, { mem + 100, page - 100 }, { mem, 0 },
		{ mem + page, 3 * page }, { mem + 5 * page, 2 * page + 17 },
		{ mem + 9 * page - 1, 1 }, { mem + 10 * page + 3, 3 * page },
	};
	struct io io = { aio, write, iov, ARRAY_SIZE(iov), OBJECT - 777 };
	const char *why;
	char name[80];
	int i;

	snprintf(name, sizeof(name), "%s %s of segments of any alignment",
		 aio ? "aio" : "thread", write ? "pwritev" : "preadv");
	memset(mem, DIO_UNTOUCHED, size);
	for (i = 0; i < io.nr; len += iov[i++].iov_len)
		if (write)
			dio_fill(iov[i].iov_base, iov[i].iov_len, io.pos + len, 0x40);
	why = dio_count(io_do(&io), len);
	if (write) {
		if (!why)
			why = store_has(file_cached, len, io.pos, 0x40);
		store_gets(file_cached, len, io.pos, 0);
	} else {
		for (i = 0, len = 0; i < io.nr && !why; len += iov[i++].iov_len)
			why = dio_compare(iov[i].iov_base, iov[i].iov_len, io.pos + len, 0);
		if (!why)
			why = dio_unchanged(mem + 12, 100 - 12, "between segments");
		if (!why)
			why = dio_unchanged(mem + 7 * page + 17, 2 * page - 18, "between segments");
	}
	munmap(mem, size);
	result(name, why);
}

static void run_end(void)
{
	static const struct {
		off_t pos;
		size_t want;
	} reads[] = {
		{ 0, 5001 }, { 1, 5000 }, { 4095, 906 }, { 5000, 1 }, { 5001, 0 }, { 9000, 0 },
	};
	size_t len = 5 * dio_page_size;
	unsigned char *mem = dio_map(len, dio_page_size, false);
	const char *why = NULL;
	int i;

	for (i = 0; i < ARRAY_SIZE(reads) && !why; i++) {
		memset(mem, DIO_UNTOUCHED, len);
		why = dio_count(pread(small, mem + 7, len - 7, reads[i].pos), reads[i].want);
		if (!why)
			why = dio_compare(mem + 7, reads[i].want, reads[i].pos, 0);
		if (!why)
			why = dio_unchanged(mem + 7 + reads[i].want, len - 7 - reads[i].want,
					    "past the end");
	}
	munmap(mem, len);
	result("pread past the end: is short", why);
}

/* Objects that end early, or that there are none of: the client fills in zeros. */
static void run_hole(bool aio)
{
	size_t len = 4 * OBJECT, first = 5001, i;
	unsigned char *mem = dio_map(len + dio_page_size, dio_page_size, false);
	struct iovec iov = { mem + 77, len };
	struct io io = { aio, false, &iov, 1, 0 };
	int fd = open_at("holes", O_DIRECT | O_TRUNC), old = file;
	const char *why;

	dio_fill(mem, len, 0, 0);
	dio_full_pwrite(fd, mem, first, 0);
	if (ftruncate(fd, len))
		dio_die("ftruncate: %s\n", strerror(errno));
	memset(mem, DIO_UNTOUCHED, len + dio_page_size);
	file = fd;
	why = dio_count(io_do(&io), len);
	file = old;
	if (!why)
		why = dio_compare(mem + 77, first, 0, 0);
	for (i = first; i < len && !why; i++)
		if (mem[77 + i])
			why = because("byte %zu is %#x, not 0", i, mem[77 + i]);
	if (!why)
		why = dio_unchanged(mem + 77 + len, dio_page_size - 77, "behind the buffer");
	close(fd);
	munmap(mem, len + dio_page_size);
	result(aio ? "aio over a hole: reads zeros" : "thread over a hole: reads zeros", why);
}

/*
 * Memory that ends before the I/O does: as much as there is memory for is done, or
 * nothing if it was to be done asynchronously.
 */
static void run_unmapped(bool write, bool aio)
{
	size_t page = dio_page_size, there = 3 * page - 100;
	unsigned char *mem = dio_map(4 * page, page, false);
	struct iovec iov = { mem + 100, there + page };
	struct io io = { aio, write, &iov, 1, 4321 };
	const char *why = NULL;
	char name[80];
	ssize_t n;

	/* A read that is short goes on by copying, to see the end of the file: it fails. */
	snprintf(name, sizeof(name), "%s %s that runs into unmapped memory: %s",
		 aio ? "aio" : "thread", write ? "pwrite" : "pread",
		 aio || write ? "is short" : "is short, or EFAULT");
	memset(mem, DIO_UNTOUCHED, 3 * page);
	munmap(mem + 3 * page, page);
	if (write)
		dio_fill(mem + 100, there, io.pos, 0x40);
	n = io_do(&io);
	if (n >= 0 || errno != EFAULT || aio || write)
		why = dio_count(n, there);
	if (!why && n > 0)
		why = write ? store_has(file_cached, n, io.pos, 0x40) :
			      dio_compare(mem + 100, n, io.pos, 0);
	if (!why && write)
		why = store_has(file_cached, 9000, io.pos + there, 0);
	iov = (struct iovec){ mem + 3 * page, page };
	if (!why && (io_do(&io) >= 0 || errno != EFAULT))
		why = "there was no memory at all, and no EFAULT";
	munmap(mem, 3 * page);
	if (write)
		store_gets(file_cached, there, io.pos, 0);
	result(name, why);
}

static void run_read_only(void)
{
	size_t len = 3 * dio_page_size;
	unsigned char *mem = dio_map(len, dio_page_size, false);
	const char *why;

	dio_fill(mem, len, 99, 0x40);
	mprotect(mem, len, PROT_READ);
	why = dio_count(pwrite(file, mem, len, 99), len);
	if (!why)
		why = store_has(file_cached, len, 99, 0x40);
	if (!why && (pread(file, mem, len, 5) != -1 || errno != EFAULT))
		why = "a read into it has not ended in EFAULT";
	if (!why)
		why = dio_compare(mem, len, 99, 0x40);
	munmap(mem, len);
	store_gets(file_cached, len, 99, 0);
	result("read-only memory: is a source and no destination", why);
}

/* From the file into a pipe, and from there into the file */
static void run_splice(void)
{
	size_t len = 16 * dio_page_size, at;
	unsigned char *mem = dio_map(len, dio_page_size, false);
	off_t pos = OBJECT - 1000, to = 30001;
	const char *why = NULL;
	ssize_t n;
	int p[2];

	if (pipe2(p, O_CLOEXEC) || fcntl(p[0], F_SETPIPE_SZ, 4 * len) < 0)
		dio_die("pipe: %s\n", strerror(errno));
	for (at = 0; at < len && !why; at += n) {
		n = splice(file, &pos, p[1], NULL, len - at, 0);
		if (n <= 0)
			why = because("splice: %s", n ? strerror(errno) : "no progress");
		else
			why = dio_count(read(p[0], mem + at, n), n);
	}
	if (!why)
		why = dio_compare(mem, len, OBJECT - 1000, 0);
	result("splice from the file: has its bytes", why);

	dio_fill(mem, len, to, 0x40);
	if (write(p[1], mem, len) != len)
		dio_die("pipe: %s\n", strerror(errno));
	for (at = 0, why = NULL; at < len && !why; at += n) {
		n = splice(p[0], NULL, file, &to, len - at, 0);
		if (n <= 0)
			why = because("splice: %s", n ? strerror(errno) : "no progress");
	}
	if (!why)
		why = store_has(file_cached, len, 30001, 0x40);
	store_gets(file_cached, len, 30001, 0);
	close(p[0]);
	close(p[1]);
	munmap(mem, len);
	result("splice into the file: stores its bytes", why);
}

/* A pipe that gets more than was read hands out what was in the memory before. */
static void run_splice_end(void)
{
	static const off_t from[] = { 0, 4097, SHORT_SIZE, 9000 };
	size_t len = 16 * dio_page_size;
	unsigned char *mem = dio_map(len, dio_page_size, false);
	const char *why = NULL;
	int p[2], there, i;

	for (i = 0; i < ARRAY_SIZE(from) && !why; i++) {
		off_t pos = from[i];
		size_t want = pos < SHORT_SIZE ? SHORT_SIZE - pos : 0;

		if (pipe2(p, O_CLOEXEC))
			dio_die("pipe: %s\n", strerror(errno));
		why = dio_count(splice(small, &pos, p[1], NULL, len, 0), want);
		if (!why && !ioctl(p[0], FIONREAD, &there) && there != want)
			why = because("LEAKED: the pipe has %d bytes of %zu", there, want);
		if (!why && want)
			why = dio_count(read(p[0], mem, len), want);
		if (!why)
			why = dio_compare(mem, want, from[i], 0);
		close(p[0]);
		close(p[1]);
	}
	munmap(mem, len);
	result("splice past the end: has no more than there is", why);
}

/* What is around a read, and what was there before it */
static unsigned char before(size_t i)
{
	return 0x80 | (i % 61);
}

/*
 * fork() while a read is held, and a store next to the read: the parent sees what is
 * read, the child what was there before.  With @restart the object store is killed
 * then, and what comes is the answer of the next one.
 */
static const char *try_fork(bool aio, size_t length, size_t offset, bool restart,
			    const char **child_why)
{
	size_t size = (offset + length + dio_page_size) & ~(dio_page_size - 1), i;
	unsigned char *mem = dio_map(size, dio_page_size, false), *buf = mem + offset;
	struct iovec iov = { buf, length };
	struct io io = { aio, false, &iov, 1, 12345 };
	size_t lost = 0, saw = 0, foreign = 0;
	static char saw_problem[64];
	int go[2], answer[2];
	const char *why;
	pid_t pid;

	for (i = 0; i < size; i++)
		mem[i] = before(i);
	if (pipe(go) || pipe(answer))
		dio_die("pipe: %s\n", strerror(errno));
	why = io_hold(&io);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		char byte;

		close(go[1]);
		read(go[0], &byte, 1);
		for (i = 0; i < length; i++)
			saw += buf[i] != before(offset + i);
		_exit(write(answer[1], &saw, sizeof(saw)) != sizeof(saw));
	}
	if (offset)
		mem[0] = STORED;
	mem[size - 1] = STORED;
	if (io_done(&io) && !why)
		why = "set-up: the read did not stay in flight";
	if (restart)
		dio_ceph_restart();
	else
		dio_ceph_hold(false);
	io_end(&io);
	if (!why)
		why = io.result == length ? NULL : because("%zd bytes were read", io.result);
	for (i = 0; i < size; i++) {
		bool inside = i >= offset && i < offset + length;

		if (inside && mem[i] == before(i))
			lost++;
		else if (inside ? mem[i] != dio_pattern(io.pos + i - offset) :
			 mem[i] != before(i) && mem[i] != STORED)
			foreign++;
	}
	if (!why && lost)
		why = because("LOST %zu of %zu bytes", lost, length);
	if (!why && foreign)
		why = because("%zu foreign bytes", foreign);
	*child_why = NULL;
	if (write(go[1], "", 1) != 1 || read(answer[0], &saw, sizeof(saw)) != sizeof(saw))
		*child_why = "the child does not answer";
	else if (snprintf(saw_problem, sizeof(saw_problem), "SAW %zu of %zu bytes", saw,
			  length) && saw)
		*child_why = saw_problem;
	waitpid(pid, NULL, 0);
	for (i = 0; i < 2; i++) {
		close(go[i]);
		close(answer[i]);
	}
	munmap(mem, size);
	return why;
}

static void run_fork(bool aio, size_t length, size_t offset, bool restart)
{
	const char *why, *child_why, *way = aio ? "aio" : "thread";
	const char *what = restart ? " over a restart of the OSD" : "";
	char name[96];

	why = try_fork(aio, length, offset, restart, &child_why);
	snprintf(name, sizeof(name), "%s %zu at %zu%s: parent sees the read", way, length,
		 offset, what);
	result(name, why);
	snprintf(name, sizeof(name), "%s %zu at %zu%s: child sees the bytes of before", way,
		 length, offset, what);
	result(name, child_why);
}

/* A child has other plans for the memory that is being written. */
static void run_fork_write(bool aio, bool restart)
{
	size_t length = 32 * dio_page_size;
	unsigned char *mem = dio_map(length, dio_page_size, false);
	struct iovec iov = { mem + 7, length - 9 };
	struct io io = { aio, true, &iov, 1, 3 };
	const char *why;
	char name[96];
	pid_t pid;

	snprintf(name, sizeof(name), "%s pwrite%s: the child's stores are not written",
		 aio ? "aio" : "thread", restart ? " over a restart of the OSD" : "");
	dio_fill(iov.iov_base, iov.iov_len, io.pos, 0x40);
	why = io_hold(&io);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		memset(mem, STORED, length);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	if (io_done(&io) && !why)
		why = "set-up: the write did not stay in flight";
	if (restart)
		dio_ceph_restart();
	else
		dio_ceph_hold(false);
	io_end(&io);
	if (!why)
		why = io.result == iov.iov_len ? NULL : because("%zd were written", io.result);
	if (!why)
		why = store_has(file_cached, iov.iov_len, io.pos, 0x40);
	if (!why)
		why = dio_compare(iov.iov_base, iov.iov_len, io.pos, 0x40);
	munmap(mem, length);
	store_gets(file_cached, iov.iov_len, io.pos, 0);
	result(name, why);
}

static bool interrupted;

static void on_signal(int signal)
{
	interrupted = true;
}

/* Only a fatal signal ends the wait. */
static void run_signal(bool write)
{
	size_t length = 8 * dio_page_size;
	unsigned char *mem = dio_map(length, dio_page_size, false);
	struct sigaction action = { .sa_handler = on_signal };
	struct iovec iov = { mem, length };
	struct io io = { false, write, &iov, 1, 77 };
	const char *why;

	sigaction(SIGUSR1, &action, NULL);
	interrupted = false;
	dio_fill(mem, length, io.pos, 0x40);
	why = io_hold(&io);
	pthread_kill(io.thread, SIGUSR1);
	if (io_done(&io) && !why)
		why = "set-up: it did not stay in flight";
	dio_ceph_hold(false);
	io_end(&io);
	if (!why)
		why = io.result == length ? NULL : because("the result is %zd", io.result);
	if (!why && !interrupted)
		why = "the signal was not handled";
	if (!why)
		why = write ? store_has(file_cached, length, io.pos, 0x40) :
			      dio_compare(mem, length, io.pos, 0);
	if (write)
		store_gets(file_cached, length, io.pos, 0);
	munmap(mem, length);
	result(write ? "thread pwrite and a signal: is not interrupted" :
		       "thread pread and a signal: is not interrupted", why);
}

/*
 * Whoever waits is killed, and its memory goes, which is not to be written to when it
 * belongs to others.  Asynchronous reads are waited for.
 */
static void run_killed(bool aio)
{
	unsigned char *others = dio_map(OTHERS_SIZE, dio_page_size, false);
	size_t length = 4 * OBJECT;
	unsigned long long start;
	const char *why = NULL;
	cpu_set_t all, one;
	bool ended = false;
	int started[2];
	pid_t pid;
	char byte;

	if (pipe(started))
		dio_die("pipe: %s\n", strerror(errno));
	/* Pages are freed to the CPU, whose next allocations get them first. */
	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	dio_ceph_hold(true);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct iovec iov = { dio_map(length, dio_page_size, false), length };
		struct io io = { aio, false, &iov, 1, 0 };

		memset(iov.iov_base, STORED, length);
		io_start(&io);
		write(started[1], "", 1);
		pause();
	}
	close(started[1]);
	if (read(started[0], &byte, 1) != 1)
		why = "set-up: the child does not start";
	close(started[0]);
	start = dio_now_ms();
	while (!dio_ceph_held())
		if (dio_expired(start))
			break;
	if (!dio_ceph_held() && !why)
		why = "set-up: it is not held";
	kill(pid, SIGKILL);
	if (!aio) {
		start = dio_now_ms();
		while (!ended && !dio_expired(start))
			ended = waitpid(pid, NULL, WNOHANG);
		if (!ended && !why)
			why = "it cannot be killed";
	}
	memset(others, DIO_UNTOUCHED, OTHERS_SIZE);
	dio_ceph_hold(false);
	if (!ended)
		waitpid(pid, NULL, 0);
	dio_full_pread(file, &byte, 1, 0);
	sched_setaffinity(0, sizeof(all), &all);
	if (!why)
		why = dio_unchanged(others, OTHERS_SIZE, "of another process");
	munmap(others, OTHERS_SIZE);
	result(aio ? "aio of a process that is killed: its memory is not written to later" :
		     "pread of a process that is killed: its memory is not written to later",
	       why);
}

/* Nothing but what is read or written is pinned, and that is. */
static void run_pins(bool write)
{
	size_t length = 16 * dio_page_size;
	unsigned char *mem = dio_map(length, dio_page_size, false);
	struct iovec iov = { mem, length };
	struct io io = { true, write, &iov, 1, 0 };
	unsigned long long pins;
	const char *why;

	dio_fill(mem, length, 0, 0);
	/* The object store does direct I/O, too. */
	dio_ceph_hold(true);
	pins = dio_pins_acquired();
	why = io_hold(&io);
	pins = dio_pins_acquired() - pins;
	dio_ceph_hold(false);
	io_end(&io);
	if (!why)
		why = dio_count(io.result, length);
	if (!why && pins != length / dio_page_size)
		why = because("%llu pages were pinned instead of %zu", pins,
			      length / dio_page_size);
	munmap(mem, length);
	result(write ? "pwrite: pins what is written" : "pread: pins what is read into", why);
}

static void run_dirty(bool write)
{
	const char *why = dio_dirty_io(file, write);

	if (write)
		store_gets(file_cached, 4 * dio_page_size, 0, 0);
	result(write ? "pwrite: leaves clean what it writes" :
		       "pread: marks dirty what it reads into", why);
}

static void tear_down(void)
{
	int *fds[] = { &file, &small, &large, &file_cached, &large_cached };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static void clean_up(void)
{
	if (getpid() != owner)
		return;
	tear_down();
	if (mounted)
		umount2(dir, MNT_FORCE | MNT_DETACH);
	rmdir(dir);
	dio_ceph_stop();
}

/* Small objects, for an I/O to be several requests */
static void small_objects(const char *name)
{
	static const char size[] = "65536";
	int fd = open_at(name, O_TRUNC);

	if (fsetxattr(fd, "ceph.file.layout.stripe_unit", size, strlen(size), 0) ||
	    fsetxattr(fd, "ceph.file.layout.object_size", size, strlen(size), 0))
		dio_die("%s: layout: %s\n", name, strerror(errno));
	close(fd);
}

static void set_up(unsigned int version)
{
	dio_ceph_mount(dir, version);
	mounted = true;
	if (version == 1) {
		small_objects("file");
		small_objects("holes");
	}
	file = open_at("file", O_DIRECT);
	file_cached = open_at("file", 0);
	small = open_at("small", O_DIRECT);
	large = open_at("large", O_DIRECT);
	large_cached = open_at("large", 0);
	if (version == 1) {
		store_gets(file_cached, FILE_SIZE, 0, 0);
		store_gets(large_cached, LARGE_SIZE, 0, 0);
		store_gets(small, SHORT_SIZE, 0, 0);
	}
}

static const struct {
	size_t length, offset;
} forks[] = {
	{ 512, 512 }, { 1024, 0 }, { 2048, 1024 }, { 4096, 512 }, { 4 * OBJECT, 513 },
};

static void run_all(unsigned int version)
{
	int i, aio;

	/* The longest only once */
	for (i = 0; i < ARRAY_SIZE(shapes) - (version == 2); i++) {
		run_shape(&shapes[i], false);
		run_shape(&shapes[i], true);
	}
	for (i = 0; i < 4; i++)
		run_segments(i & 1, i & 2);
	run_end();
	for (i = 0; i < 2; i++)
		run_hole(i);
	for (i = 0; i < 4; i++)
		run_unmapped(i & 1, i & 2);
	run_read_only();
	run_splice();
	run_splice_end();
	for (i = 0; i < 2; i++)
		run_pins(i);
	for (i = 0; i < 2; i++)
		run_dirty(i);
	for (aio = 0; aio < 2; aio++) {
		for (i = 0; i < ARRAY_SIZE(forks); i++)
			run_fork(aio, forks[i].length, forks[i].offset, false);
		run_fork_write(aio, false);
		run_killed(aio);
	}
	for (i = 0; i < 2; i++)
		run_signal(i);
	/* Until it answers again takes the longest of all. */
	run_fork(true, 2048, 1024, true);
	run_fork_write(false, true);
}

#define NR_RESULTS	(2 * ARRAY_SIZE(shapes) + 4 + 1 + 2 + 4 + 1 + 3 + 2 + 2 + \
			 2 * (2 * ARRAY_SIZE(forks) + 1 + 1) + 2 + 2 + 1 + 1)

static const struct dio_option options[] = {
	{ 0 }
};

int main(int argc, char **argv)
{
	static const char * const names[] = { "ceph", "ceph2" };
	const char *why;
	int i;

	dio_options(argc, argv, options);
	ksft_print_header();
	dio_disk_init();
	owner = getpid();
	strcpy(dir, "/tmp/iov_iter.XXXXXX");
	if (!mkdtemp(dir))
		dio_die("%s: %s\n", dir, strerror(errno));
	atexit(clean_up);
	why = dio_ceph_start();
	if (why)
		ksft_exit_skip("%s\n", why);
	ksft_set_plan(2 * NR_RESULTS - 2 + 1);
	for (i = 0; i < 2; i++) {
		target = names[i];
		set_up(i + 1);
		run_all(i + 1);
		tear_down();
		why = umount(dir) ? because("umount: %s", strerror(errno)) : NULL;
		mounted = why;
		result("no request is left: it is unmounted", why);
		if (why)
			dio_die("%s stays mounted\n", dir);
	}
	dio_result("pins taken are released", dio_pins_problem(true));
	ksft_finished();
}
