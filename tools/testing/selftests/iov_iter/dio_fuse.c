// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O on FUSE: the memory of whoever reads and writes, which its requests
 * hold until they end, and the memory of the server, which /dev/fuse is read into
 * and written from.  Servers and callers that fail, or end, while it is held.
 *
 * The server is a process of its own, see dio_fuse_server.h.  It holds its answers
 * for as long as it is told to, so nothing depends on timing.  A fork() during a
 * read is in dio_fork, random I/O is in dio_integrity: "-t fuse".
 */
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "lib/cases.h"
#include "lib/io.h"
#include "lib/memory.h"
#include "lib/pins.h"
#include "lib/result.h"
#include "lib/system.h"
#include "servers/fuse.h"

#define FILE_SIZE	(17 * DIO_MIB)
#define REQUEST		DIO_MIB		/* the most that one request reads or writes */
#define MANY_PAGES	16

static const char *skip;	/* why there is no server */
static int fd = -1;
static pid_t owner;

/* What is in the file, by the page cache, which a new open() starts anew */
static const char *file_differs(size_t length, off_t pos, unsigned int kind)
{
	unsigned char *got = dio_map(FILE_SIZE, dio_page_size, false);
	char path[80];
	const char *wrong;
	int plain;

	snprintf(path, sizeof(path), "%s/file", dio_fuse->dir);
	plain = open(path, O_RDONLY | O_CLOEXEC);
	if (plain < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	dio_full_pread(plain, got, length, pos);
	close(plain);
	wrong = dio_compare(got, length, pos, kind);
	munmap(got, FILE_SIZE);
	return wrong;
}

static void write_file(void)
{
	unsigned char *all = dio_map(FILE_SIZE, dio_page_size, false);

	dio_fill(all, FILE_SIZE, 0, 0);
	dio_full_pwrite(fd, all, FILE_SIZE, 0);
	munmap(all, FILE_SIZE);
}

static void server_open(bool splice)
{
	char path[80];

	skip = dio_fuse_open(splice);
	if (skip)
		return;
	snprintf(path, sizeof(path), "%s/file", dio_fuse->dir);
	fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	write_file();
}

static void server_close(void)
{
	if (skip)
		return;
	close(fd);
	dio_fuse_close();
}

/*
 * 1. Data, of all lengths and alignments
 */
static const size_t lengths[] = {
	1, 511, 4096, 4097, 65537, DIO_MIB, DIO_MIB + 1, 16 * DIO_MIB
};

static const char *transfer(bool write, size_t length)
{
	const size_t offsets[] = { 0, 1, dio_page_size - 1 };
	size_t size = length + 3 * dio_page_size;
	unsigned char *mem = dio_map(size, dio_page_size, false), *at;
	const char *wrong = NULL;
	unsigned int i;
	off_t pos;
	ssize_t n;

	for (i = 0; i < ARRAY_SIZE(offsets) && !wrong; i++) {
		at = mem + dio_page_size + offsets[i];
		pos = 13 * i;
		memset(mem, DIO_UNTOUCHED, size);
		if (write)
			dio_fill(at, length, pos, i + 1);
		n = write ? pwrite(fd, at, length, pos) : pread(fd, at, length, pos);
		wrong = dio_not_result(n < 0 ? -errno : n, length);
		if (!wrong)
			wrong = dio_compare(at, length, pos, write ? i + 1 : 0);
		if (!wrong)
			wrong = dio_unchanged(mem, at - mem, "around what was read");
		if (!wrong)
			wrong = dio_unchanged(at + length, mem + size - at - length,
					      "around what was read");
		if (!wrong && write)
			wrong = file_differs(length, pos, i + 1);
	}
	munmap(mem, size);
	return wrong;
}

static void label_lengths(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s of %zu bytes", i & 1 ? "pwrite" : "pread", lengths[i / 2]);
}

static const char *test_lengths(unsigned int i)
{
	const char *wrong = transfer(i & 1, lengths[i / 2]);

	if (i & 1)
		write_file();
	return wrong;
}

/* Odd ones, empty ones, two in a page, ones that join, more than a request takes */
static const char *test_segments(unsigned int write)
{
	static const struct {
		size_t at, length;
	} parts[] = {
		{ 100, 1 }, { 101, 0 }, { 200, 300 }, { 4096, 4096 }, { 8192, 8192 },
		{ 20000, 1 }, { 20002, 77777 }, { 131072, DIO_MIB }, { 131072 + DIO_MIB, 5 },
	};
	size_t size = 2 * DIO_MIB, length = 0;
	unsigned char *mem = dio_map(size, dio_page_size, false);
	struct iovec iov[ARRAY_SIZE(parts)];
	const char *wrong;
	unsigned int i;
	ssize_t n;

	memset(mem, DIO_UNTOUCHED, size);
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		iov[i].iov_base = mem + parts[i].at;
		iov[i].iov_len = parts[i].length;
		if (write)
			dio_fill(iov[i].iov_base, parts[i].length, length, 9);
		length += parts[i].length;
	}
	n = write ? pwritev(fd, iov, i, 0) : preadv(fd, iov, i, 0);
	wrong = dio_not_result(n < 0 ? -errno : n, length);
	if (write && !wrong)
		wrong = file_differs(length, 0, 9);
	for (i = 0, length = 0; i < ARRAY_SIZE(parts) && !wrong; i++) {
		wrong = dio_compare(iov[i].iov_base, parts[i].length, length, write ? 9 : 0);
		length += parts[i].length;
		memset(iov[i].iov_base, DIO_UNTOUCHED, parts[i].length);
	}
	if (!wrong)
		wrong = dio_unchanged(mem, size, "around what was read");
	munmap(mem, size);
	if (write)
		write_file();
	return wrong;
}

/*
 * 2. Memory that is not there, or not to be written to
 */
enum bad {
	ENDS,			/* the second half is unmapped */
	SECOND_ENDS,		/* the second of two segments is */
	SECOND_READ_ONLY,
	UNMAPPED,
	READ_ONLY,
	NR_BAD,
};

static const char * const bad_names[NR_BAD] = {
	[ENDS]			= "memory that ends",
	[SECOND_ENDS]		= "two segments, the second unmapped",
	[SECOND_READ_ONLY]	= "two segments, the second read-only",
	[UNMAPPED]		= "unmapped memory",
	[READ_ONLY]		= "read-only memory",
};

static void label_bad(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s %s", i & 1 ? "pwritev from" : "preadv into", bad_names[i / 2]);
}

static const char *test_bad_memory(unsigned int i)
{
	enum bad bad = i / 2;
	bool write = i & 1;
	size_t half = MANY_PAGES / 2 * dio_page_size;
	unsigned char *mem = dio_map(2 * half, dio_page_size, false);
	ssize_t n, want = half - 1;
	const char *wrong;
	struct iovec iov[2] = { { mem + 1, half - 1 }, { mem + half, half } };
	int nr = 2;

	memset(mem, DIO_UNTOUCHED, 2 * half);
	if (write)
		dio_fill(mem + 1, 2 * half - 1, 0, 5);
	switch (bad) {
	case ENDS:
		iov[0].iov_len = 2 * half - 1;
		nr = 1;
		munmap(mem + half, half);
		break;
	case SECOND_ENDS:
		munmap(mem + half, half);
		break;
	case SECOND_READ_ONLY:
		mprotect(mem + half, half, PROT_READ);
		if (write)
			want = 2 * half - 1;
		break;
	case UNMAPPED:
		munmap(mem, 2 * half);
		want = -EFAULT;
		break;
	default:
		mprotect(mem, 2 * half, PROT_READ);
		want = write ? 2 * half - 1 : -EFAULT;
	}
	n = write ? pwritev(fd, iov, nr, 0) : preadv(fd, iov, nr, 0);
	wrong = dio_not_result(n < 0 ? -errno : n, want);
	if (!wrong && want > 0)
		wrong = write ? file_differs(want, 0, 5) : dio_compare(mem + 1, want, 0, 0);
	if (!wrong && !write && bad == READ_ONLY)
		wrong = dio_unchanged(mem, 2 * half, "around what was read");
	munmap(mem, 2 * half);
	if (write)
		write_file();
	return wrong;
}

static void io_start(struct dio_io *io)
{
	io->fd = fd;
	if (!io->mem)
		io->mem = dio_map(io->length, dio_page_size, false);
	if (io->write)
		dio_fill(io->mem, io->length, 0, 3);
	else
		memset(io->mem, DIO_UNTOUCHED, io->length);
	dio_io_start(io);
}

static void io_wait(struct dio_io *io)
{
	dio_io_end(io, DIO_DEADLINE_SECONDS);
}

static void wait_held(unsigned int nr)
{
	unsigned long long start = dio_now_ms();

	while (dio_fuse->held != nr)
		if (dio_expired(start))
			dio_die("%u requests are held instead of %u\n", dio_fuse->held, nr);
}

/* The server pins its own memory for a moment, as when it reads of an interruption. */
static const char *not_pinned(size_t pages)
{
	unsigned long long out, start = dio_now_ms();

	do
		out = dio_pins_held();
	while (out != pages && dio_now_ms() < start + 3000);
	return out == pages ? NULL : dio_because("%llu pins while it is held, instead of %zu",
						 out, pages);
}

static const char *way_of(unsigned int i)
{
	static const char * const ways[] = { "sync read", "sync write", "aio read", "aio write" };

	return ways[i];
}

static void label_error(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s, error of the third request", way_of(i));
}

static void label_server_killed(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s, the server is killed", way_of(i));
}

/* The third of four requests fails: what is before it counts, if it was waited for. */
static const char *test_error(unsigned int i)
{
	bool aio = i & 2, write = i & 1;
	struct dio_io io = { .aio = aio, .write = write, .length = 4 * REQUEST };
	const char *wrong;

	dio_fuse->error_after = 2;
	dio_fuse->error = ENOSPC;
	io_start(&io);
	io_wait(&io);
	dio_fuse->error = 0;
	wrong = dio_not_result(io.result, aio ? -ENOSPC : 2 * REQUEST);
	if (!wrong && !aio)
		wrong = write ? file_differs(2 * REQUEST, 0, 3) :
				dio_compare(io.mem, 2 * REQUEST, 0, 0);
	munmap(io.mem, io.length);
	if (write)
		write_file();
	return wrong;
}

static const char *test_server_killed(unsigned int i)
{
	bool aio = i & 2, write = i & 1;
	struct dio_io io = { .aio = aio, .write = write, .length = aio ? 4 * REQUEST : 10000 };
	const char *wrong;

	dio_fuse->hold = true;
	io_start(&io);
	wait_held(aio ? 4 : 1);
	wrong = not_pinned((io.length + dio_page_size - 1) / dio_page_size);
	kill(dio_fuse->server, SIGKILL);
	io_wait(&io);
	if (!wrong && io.result != -ENOTCONN && io.result != -ECONNABORTED)
		wrong = dio_not_result(io.result, -ENOTCONN);
	munmap(io.mem, io.length);
	if (!wrong)
		wrong = dio_pins_problem(false);
	/* And a new one takes over. */
	server_close();
	server_open(false);
	if (!wrong)
		wrong = transfer(false, 4097);
	return wrong;
}

static void on_signal(int number)
{
}

static const char *test_signal(unsigned int write)
{
	struct dio_io io = { .write = write, .length = 10000 };
	struct sigaction action = { .sa_handler = on_signal };
	unsigned long long start = dio_now_ms();
	unsigned int before = dio_fuse->interrupted;
	const char *wrong;

	sigaction(SIGUSR1, &action, NULL);
	dio_fuse->hold = true;
	io_start(&io);
	wait_held(1);
	pthread_kill(io.thread, SIGUSR1);
	while (dio_fuse->interrupted == before)
		if (dio_expired(start))
			dio_die("the server was not told of the signal\n");
	/* It is up to the server; until it answers the memory is held. */
	wrong = not_pinned(3);
	dio_fuse_interrupt();
	io_wait(&io);
	if (!wrong)
		wrong = dio_not_result(io.result, -EINTR);
	munmap(io.mem, io.length);
	if (write)
		write_file();
	return wrong;
}

/* A process that does the I/O and then ends; its memory is shared with this one. */
static pid_t io_process(struct dio_io *io)
{
	pid_t pid;

	io->mem = mmap(NULL, io->length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (io->mem == MAP_FAILED)
		dio_die("mmap: %s\n", strerror(errno));
	memset(io->mem, DIO_UNTOUCHED, io->length);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		dio_die("fork: %s\n", strerror(errno));
	if (!pid) {
		io->fd = fd;
		dio_io_do(io);
		_exit(0);
	}
	return pid;
}

/*
 * The caller is killed while the server has the request: it can't leave before
 * the server answers, into its memory.
 */
static const char *test_caller_killed(unsigned int unused)
{
	struct dio_io io = { .length = 10000 };
	const char *wrong;
	pid_t pid;

	dio_fuse->hold = true;
	pid = io_process(&io);
	wait_held(1);
	kill(pid, SIGKILL);
	wrong = not_pinned(3);
	if (!wrong && waitpid(pid, NULL, WNOHANG))
		wrong = "the caller ended before the server answered";
	dio_fuse_release();
	waitpid(pid, NULL, 0);
	if (!wrong)
		wrong = dio_compare(io.mem, io.length, 0, 0);
	munmap(io.mem, io.length);
	return wrong;
}

/* Whether a thread sleeps in preadv() or pwritev() */
static bool sleeps_in_io(pid_t pid)
{
	char path[64], line[128];
	long number;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	if (dio_read_file(line, sizeof(line), path) || sscanf(line, "%ld ", &number) != 1)
		return false;
	return number == SYS_preadv || number == SYS_pwritev;
}

/* The caller is killed before the server has read the request: nobody waits. */
static const char *test_killed_early(unsigned int unused)
{
	unsigned long long start = dio_now_ms();
	struct dio_io io = { .length = 10000 };
	const char *wrong;
	pid_t pid;

	kill(dio_fuse->server, SIGSTOP);
	pid = io_process(&io);
	while (!sleeps_in_io(pid))
		if (dio_expired(start))
			dio_die("the read does not wait for the server\n");
	wrong = not_pinned(3);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, WNOHANG) != pid)
		if (dio_expired(start))
			dio_die("the read waits for the server though it was killed\n");
	if (!wrong)
		wrong = dio_pins_problem(false);
	kill(dio_fuse->server, SIGCONT);
	if (!wrong)
		wrong = dio_unchanged(io.mem, io.length, "around what was read");
	munmap(io.mem, io.length);
	return wrong;
}

/*
 * A write that the server has not read yet.  Parent and child store into what
 * does not belong to it, the child then into its own copy of all.
 */
static const char *test_write_fork(unsigned int unused)
{
	unsigned long long start = dio_now_ms();
	struct dio_io io = { .write = true, .length = 10000 };
	unsigned char *mem = dio_map(4 * dio_page_size, dio_page_size, false);
	const char *wrong;
	int done[2];
	pid_t pid;
	char c;

	if (pipe2(done, O_CLOEXEC))
		dio_die("pipe: %s\n", strerror(errno));
	/* From inside of a page to inside of another */
	memset(mem, DIO_UNTOUCHED, 4 * dio_page_size);
	io.mem = mem + 512;
	kill(dio_fuse->server, SIGSTOP);
	io_start(&io);
	while (!sleeps_in_io(__atomic_load_n(&io.tid, __ATOMIC_ACQUIRE)))
		if (dio_expired(start))
			dio_die("the write does not wait for the server\n");
	wrong = not_pinned(3);
	pid = fork();
	if (pid < 0)
		dio_die("fork: %s\n", strerror(errno));
	if (!pid) {
		memset(mem, 0xee, 4 * dio_page_size);
		/* It ends when the write does: close() takes the lock of the file. */
		_exit(write(done[1], "", 1) != 1);
	}
	mem[0] = 0xff;
	mem[4 * dio_page_size - 1] = 0xff;
	close(done[1]);
	if (read(done[0], &c, 1) != 1 && !wrong)
		wrong = "the child ended early";
	close(done[0]);
	kill(dio_fuse->server, SIGCONT);
	io_wait(&io);
	waitpid(pid, NULL, 0);
	if (!wrong)
		wrong = dio_not_result(io.result, io.length);
	if (!wrong)
		wrong = dio_compare(io.mem, io.length, 0, 3);
	if (!wrong)
		wrong = file_differs(io.length, 0, 3);
	munmap(mem, 4 * dio_page_size);
	write_file();
	return wrong;
}

/* With a server that splices, pages are handed on, and are not what is read into. */
static const char *test_dirty(unsigned int write)
{
	const char *wrong = dio_dirty_io(fd, write);

	if (write)
		write_file();
	return wrong;
}

/*
 * 4. The memory of the server
 */
static const char *test_server_dirty(unsigned int unused)
{
	struct dio_io io = { .write = true, .length = 8 * dio_page_size };
	const char *wrong;

	/* The request and its header, and no page of it is stored to by the server. */
	dio_fuse->receive = DIO_FUSE_CLEAN;
	io_start(&io);
	io_wait(&io);
	dio_fuse->receive = DIO_FUSE_GOOD;
	wrong = dio_not_result(io.result, io.length);
	if (!wrong && dio_fuse->dirty < io.length)
		wrong = dio_because("%zu bytes are dirty of the memory that the server reads into",
				    (size_t)dio_fuse->dirty);
	munmap(io.mem, io.length);
	write_file();
	return wrong;
}

static const char *test_server_pins(unsigned int unused)
{
	unsigned long long before = dio_pins_acquired();
	const char *wrong = NULL;
	struct stat st;

	if (fstat(fd, &st))
		wrong = dio_because("fstat: %s", strerror(errno));
	else if (dio_pins_acquired() < before + 2)
		wrong = "no pin was taken of what the server reads and writes";
	return wrong;
}

static const struct {
	const char *name;
	bool write;
	enum dio_fuse_memory receive, answer;
	ssize_t want;		/* 0: all */
	int failed;
} server_memories[] = {
	{ "server reads into read-only memory", true,
	  DIO_FUSE_READ_ONLY, DIO_FUSE_GOOD, -EIO, EFAULT },
	{ "server reads into memory that ends", true,
	  DIO_FUSE_ENDS, DIO_FUSE_GOOD, -EIO, EFAULT },
	{ "server answers from read-only memory", false,
	  DIO_FUSE_GOOD, DIO_FUSE_READ_ONLY, 0, 0 },
	{ "server answers from memory that ends", false,
	  DIO_FUSE_GOOD, DIO_FUSE_ENDS, -EIO, EFAULT },
};

static void label_server_memory(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s", server_memories[i].name);
}

static const char *test_server_memory(unsigned int i)
{
	struct dio_io io = { .write = server_memories[i].write, .length = 8 * dio_page_size };
	ssize_t want = server_memories[i].want ? server_memories[i].want : io.length;
	int failed = server_memories[i].failed;
	unsigned long long start = dio_now_ms();
	bool write = io.write;
	const char *wrong;

	dio_fuse->failed = 0;
	dio_fuse->receive = server_memories[i].receive;
	dio_fuse->answer = server_memories[i].answer;
	io_start(&io);
	io_wait(&io);
	dio_fuse->receive = DIO_FUSE_GOOD;
	dio_fuse->answer = DIO_FUSE_GOOD;
	wrong = dio_not_result(io.result, want);
	/* The server is told of it after the request has ended. */
	while (failed && !dio_fuse->failed && !dio_expired(start))
		;
	if (!wrong && dio_fuse->failed != failed)
		wrong = dio_because("the server was told: %s", strerror(dio_fuse->failed));
	if (!wrong && want > 0 && !write)
		wrong = dio_compare(io.mem, want, 0, 0);
	munmap(io.mem, io.length);
	if (write)
		write_file();
	return wrong;
}

static void clean_up(void)
{
	if (getpid() == owner)
		dio_fuse_close();
}

/* By a server that copies, and by one that splices */
static const struct dio_case data_cases[] = {
	{ .label = label_lengths, .test = test_lengths, .nr = 2 * ARRAY_SIZE(lengths) },
	{ "preadv of several segments", .test = test_segments, .i = false },
	{ "pwritev of several segments", .test = test_segments, .i = true },
	{ .label = label_bad, .test = test_bad_memory, .nr = 2 * NR_BAD },
	{ "read marks dirty what it reads into", .test = test_dirty, .i = false },
	{ "write leaves clean what it writes", .test = test_dirty, .i = true },
};

/* Opens a file, which has the pages of it that are dirty written, each under its lock. */
static void *open_again(void *path)
{
	int again = open(path, O_RDWR | O_CLOEXEC);

	if (again >= 0)
		close(again);
	return NULL;
}

/*
 * A read into a page of a file of the same server, while that file is opened again: the
 * lock of the page is held until the server has written it.  The server answers the read
 * first, which makes the page dirty.  It must not wait for the lock.
 */
static const char *test_laundered(unsigned int unused)
{
	struct timespec patience = { .tv_sec = 10 };
	struct iocb iocb, *list = &iocb;
	const char *wrong = NULL;
	io_context_t ctx = NULL;
	struct io_event event;
	unsigned char *mem;
	pthread_t thread;
	char path[80];
	int mapped;

	snprintf(path, sizeof(path), "%s/mapped", dio_fuse->dir);
	mapped = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (mapped < 0 || ftruncate(mapped, dio_page_size))
		dio_die("%s: %s\n", path, strerror(errno));
	mem = mmap(NULL, dio_page_size, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
	if (mem == MAP_FAILED)
		dio_die("mmap: %s\n", strerror(errno));
	memset(mem, DIO_UNTOUCHED, dio_page_size);

	dio_fuse->hold = true;
	io_prep_pread(&iocb, fd, mem, dio_page_size, 0);
	if (io_setup(1, &ctx) || io_submit(ctx, 1, &list) != 1)
		dio_die("io_submit failed\n");
	wait_held(1);
	if (pthread_create(&thread, NULL, open_again, path))
		dio_die("pthread_create failed\n");
	wait_held(2);
	dio_fuse_release();
	if (io_getevents(ctx, 1, 1, &event, &patience) == 1) {
		wrong = dio_not_result(event.res, dio_page_size);
	} else {
		wrong = "the server waits for the lock of a page that it is to write";
		umount2(dio_fuse->dir, MNT_FORCE);
	}
	pthread_join(thread, NULL);
	io_destroy(ctx);
	munmap(mem, dio_page_size);
	close(mapped);
	unlink(path);
	if (wrong) {
		server_close();
		server_open(false);
	}
	return wrong;
}

static const struct dio_case cases[] = {
	{ .label = label_error, .test = test_error, .nr = 4 },
	{ .label = label_server_killed, .test = test_server_killed, .nr = 4 },
	{ "read, interrupted by a signal", .test = test_signal, .i = false },
	{ "write, interrupted by a signal", .test = test_signal, .i = true },
	{ "read, the caller is killed", .test = test_caller_killed },
	{ "read, the caller is killed while it is queued", .test = test_killed_early },
	{ "write, fork() and stores before it is read", .test = test_write_fork },
	{ "read into a page that the server is to write", .test = test_laundered },
	{ "memory of the server", .test = test_server_pins },
	{ "server reads into memory that becomes dirty", .test = test_server_dirty },
	{ .label = label_server_memory, .test = test_server_memory,
	  .nr = ARRAY_SIZE(server_memories) },
};

static void all_cases(void)
{
	dio_prefix("fuse");
	dio_cases(data_cases, ARRAY_SIZE(data_cases), NULL);
	dio_cases(cases, ARRAY_SIZE(cases), NULL);

	/* Requests and answers through pipes: there pages are handed on. */
	dio_prefix("fuse-splice");
	if (dio_running()) {
		server_close();
		server_open(true);
	}
	dio_cases(data_cases, ARRAY_SIZE(data_cases), NULL);
}

static void start(void)
{
	owner = getpid();
	if (geteuid())
		dio_skip_all("needs root, to mount a file system\n");
	atexit(clean_up);
	server_open(false);
	if (skip)
		dio_skip_all("%s\n", skip);
}

int main(int argc, char **argv)
{
	static const struct dio_program program = {
		.start = start, .cases = all_cases, .end = server_close,
	};

	return dio_main(&program, argc, argv);
}
