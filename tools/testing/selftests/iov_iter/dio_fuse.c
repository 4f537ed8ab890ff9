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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "dio_fuse_server.h"
#include "dio_lib.h"

#define FILE_SIZE	(17 * DIO_MIB)
#define REQUEST		DIO_MIB		/* the most that one request reads or writes */
#define UNTOUCHED	0xa5		/* not a dio_pattern() */
#define MANY_PAGES	16

static const char *skip;	/* why there is no server */
static const char *target;	/* in the names of results */
static int fd = -1;
static pid_t owner;

static char problem[160];

/* Formats why a result fails, and is that. */
#define because(...) (snprintf(problem, sizeof(problem), __VA_ARGS__), problem)

/* What writes write: the test file, as it would be @shift bytes further on */
static void fill(unsigned char *p, size_t length, off_t pos, unsigned int shift)
{
	size_t i;

	for (i = 0; i < length; i++)
		p[i] = dio_pattern(pos + i + shift);
}

static const char *differ(const unsigned char *p, size_t length, off_t pos, unsigned int shift)
{
	size_t i;

	for (i = 0; i < length; i++)
		if (p[i] != dio_pattern(pos + i + shift))
			return because("byte %zu of %zu is %02x instead of %02x", i, length, p[i],
				       dio_pattern(pos + i + shift));
	return NULL;
}

static const char *touched(const unsigned char *p, size_t length)
{
	for (; length--; p++)
		if (*p != UNTOUCHED)
			return "bytes around what was read were written to";
	return NULL;
}

/* @n is what a call returned, or a negative errno. */
static const char *not_result(ssize_t n, ssize_t want)
{
	if (n == want)
		return NULL;
	if (n < 0 && want < 0)
		return because("%s instead of %s", strerror(-n), strerror(-want));
	if (n < 0)
		return because("%s instead of %zd bytes", strerror(-n), want);
	if (want < 0)
		return because("%zd bytes instead of %s", n, strerror(-want));
	return because("%zd bytes instead of %zd", n, want);
}

/* What is in the file, by the page cache, which a new open() starts anew */
static const char *file_differs(size_t length, off_t pos, unsigned int shift)
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
	wrong = differ(got, length, pos, shift);
	munmap(got, FILE_SIZE);
	return wrong;
}

static void write_file(void)
{
	unsigned char *all = dio_map(FILE_SIZE, dio_page_size, false);

	fill(all, FILE_SIZE, 0, 0);
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

static unsigned long long pins_out(void)
{
	unsigned long long released = dio_vmstat("nr_foll_pin_released");

	return dio_pins_acquired() - released;
}

/* A test is right if it says so and leaves no pin behind. */
static void result(const char *name, const char *wrong)
{
	char full[96];

	snprintf(full, sizeof(full), "%s %s", target, name);
	dio_result(full, wrong ? wrong : dio_pins_problem(false));
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
		memset(mem, UNTOUCHED, size);
		if (write)
			fill(at, length, pos, i + 1);
		n = write ? pwrite(fd, at, length, pos) : pread(fd, at, length, pos);
		wrong = not_result(n < 0 ? -errno : n, length);
		if (!wrong)
			wrong = differ(at, length, pos, write ? i + 1 : 0);
		if (!wrong)
			wrong = touched(mem, at - mem);
		if (!wrong)
			wrong = touched(at + length, mem + size - at - length);
		if (!wrong && write)
			wrong = file_differs(length, pos, i + 1);
	}
	munmap(mem, size);
	return wrong;
}

static void test_lengths(bool write)
{
	unsigned int i;
	char name[48];

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		snprintf(name, sizeof(name), "%s of %zu bytes", write ? "pwrite" : "pread",
			 lengths[i]);
		result(name, transfer(write, lengths[i]));
	}
	if (write)
		write_file();
}

/* Odd ones, empty ones, two in a page, ones that join, more than a request takes */
static void test_segments(bool write)
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

	memset(mem, UNTOUCHED, size);
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		iov[i].iov_base = mem + parts[i].at;
		iov[i].iov_len = parts[i].length;
		if (write)
			fill(iov[i].iov_base, parts[i].length, length, 9);
		length += parts[i].length;
	}
	n = write ? pwritev(fd, iov, i, 0) : preadv(fd, iov, i, 0);
	wrong = not_result(n < 0 ? -errno : n, length);
	if (write && !wrong)
		wrong = file_differs(length, 0, 9);
	for (i = 0, length = 0; i < ARRAY_SIZE(parts) && !wrong; i++) {
		wrong = differ(iov[i].iov_base, parts[i].length, length, write ? 9 : 0);
		length += parts[i].length;
		memset(iov[i].iov_base, UNTOUCHED, parts[i].length);
	}
	if (!wrong)
		wrong = touched(mem, size);
	munmap(mem, size);
	result(write ? "pwritev of several segments" : "preadv of several segments", wrong);
	if (write)
		write_file();
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

static void test_bad_memory(enum bad bad, bool write)
{
	size_t half = MANY_PAGES / 2 * dio_page_size;
	unsigned char *mem = dio_map(2 * half, dio_page_size, false);
	ssize_t n, want = half - 1;
	const char *wrong;
	struct iovec iov[2] = { { mem + 1, half - 1 }, { mem + half, half } };
	int nr = 2;
	char name[80];

	memset(mem, UNTOUCHED, 2 * half);
	if (write)
		fill(mem + 1, 2 * half - 1, 0, 5);
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
	wrong = not_result(n < 0 ? -errno : n, want);
	if (!wrong && want > 0)
		wrong = write ? file_differs(want, 0, 5) : differ(mem + 1, want, 0, 0);
	if (!wrong && !write && bad == READ_ONLY)
		wrong = touched(mem, 2 * half);
	munmap(mem, 2 * half);
	snprintf(name, sizeof(name), "%s %s", write ? "pwritev from" : "preadv into",
		 bad_names[bad]);
	result(name, wrong);
	if (write)
		write_file();
}

/*
 * 3. While a request is held
 */
struct io {
	bool aio, write;
	unsigned char *mem;
	size_t length;
	pthread_t thread;
	atomic_int tid;
	io_context_t context;
	struct iocb iocb;
	ssize_t n;		/* result or negative errno */
};

static void *io_thread(void *arg)
{
	struct io *io = arg;

	io->tid = gettid();
	io->n = io->write ? pwrite(fd, io->mem, io->length, 0) : pread(fd, io->mem, io->length, 0);
	if (io->n < 0)
		io->n = -errno;
	return NULL;
}

static void io_start(struct io *io)
{
	struct iocb *list = &io->iocb;

	if (!io->mem)
		io->mem = dio_map(io->length, dio_page_size, false);
	if (io->write)
		fill(io->mem, io->length, 0, 3);
	else
		memset(io->mem, UNTOUCHED, io->length);
	if (!io->aio) {
		if (pthread_create(&io->thread, NULL, io_thread, io))
			dio_die("no thread\n");
		return;
	}
	if (io->write)
		io_prep_pwrite(&io->iocb, fd, io->mem, io->length, 0);
	else
		io_prep_pread(&io->iocb, fd, io->mem, io->length, 0);
	if (io_setup(1, &io->context) || io_submit(io->context, 1, &list) != 1)
		dio_die("io_submit: %s\n", strerror(errno));
}

static void io_wait(struct io *io)
{
	struct timespec limit = { .tv_sec = DIO_DEADLINE_SECONDS };
	struct io_event event;

	if (io->aio) {
		if (io_getevents(io->context, 1, 1, &event, &limit) != 1)
			dio_die("the I/O does not end\n");
		io->n = event.res;
		io_destroy(io->context);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += DIO_DEADLINE_SECONDS;
	if (pthread_timedjoin_np(io->thread, NULL, &limit))
		dio_die("the I/O does not end\n");
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
		out = pins_out();
	while (out != pages && dio_now_ms() < start + 3000);
	return out == pages ? NULL : because("%llu pins while it is held, instead of %zu",
					     out, pages);
}

/* The third of four requests fails: what is before it counts, if it was waited for. */
static void test_error(bool aio, bool write)
{
	struct io io = { .aio = aio, .write = write, .length = 4 * REQUEST };
	const char *wrong;
	char name[64];

	dio_fuse->error_after = 2;
	dio_fuse->error = ENOSPC;
	io_start(&io);
	io_wait(&io);
	dio_fuse->error = 0;
	wrong = not_result(io.n, aio ? -ENOSPC : 2 * REQUEST);
	if (!wrong && !aio)
		wrong = write ? file_differs(2 * REQUEST, 0, 3) :
				differ(io.mem, 2 * REQUEST, 0, 0);
	munmap(io.mem, io.length);
	snprintf(name, sizeof(name), "%s %s, error of the third request",
		 aio ? "aio" : "sync", write ? "write" : "read");
	result(name, wrong);
	if (write)
		write_file();
}

static void test_server_killed(bool aio, bool write)
{
	struct io io = { .aio = aio, .write = write, .length = aio ? 4 * REQUEST : 10000 };
	const char *wrong;
	char name[64];

	dio_fuse->hold = true;
	io_start(&io);
	wait_held(aio ? 4 : 1);
	wrong = not_pinned((io.length + dio_page_size - 1) / dio_page_size);
	kill(dio_fuse->server, SIGKILL);
	io_wait(&io);
	if (!wrong && io.n != -ENOTCONN && io.n != -ECONNABORTED)
		wrong = not_result(io.n, -ENOTCONN);
	munmap(io.mem, io.length);
	if (!wrong)
		wrong = dio_pins_problem(false);
	/* And a new one takes over. */
	server_close();
	server_open(false);
	if (!wrong)
		wrong = transfer(false, 4097);
	snprintf(name, sizeof(name), "%s %s, the server is killed", aio ? "aio" : "sync",
		 write ? "write" : "read");
	result(name, wrong);
}

static void on_signal(int number)
{
}

static void test_signal(bool write)
{
	struct io io = { .write = write, .length = 10000 };
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
		wrong = not_result(io.n, -EINTR);
	munmap(io.mem, io.length);
	result(write ? "write, interrupted by a signal" : "read, interrupted by a signal", wrong);
	if (write)
		write_file();
}

/* A process that does the I/O and then ends; its memory is shared with this one. */
static pid_t io_process(struct io *io)
{
	pid_t pid;

	io->mem = mmap(NULL, io->length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (io->mem == MAP_FAILED)
		dio_die("mmap: %s\n", strerror(errno));
	memset(io->mem, UNTOUCHED, io->length);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		dio_die("fork: %s\n", strerror(errno));
	if (!pid) {
		io_thread(io);
		_exit(0);
	}
	return pid;
}

/*
 * The caller is killed while the server has the request: it can't leave before
 * the server answers, into its memory.
 */
static void test_caller_killed(void)
{
	struct io io = { .length = 10000 };
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
		wrong = differ(io.mem, io.length, 0, 0);
	munmap(io.mem, io.length);
	result("read, the caller is killed", wrong);
}

/* Whether a thread sleeps in pread() or pwrite() */
static bool sleeps_in_io(pid_t pid)
{
	char path[64], line[128];
	long number;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	if (dio_read_file(line, sizeof(line), path) || sscanf(line, "%ld ", &number) != 1)
		return false;
	return number == SYS_pread64 || number == SYS_pwrite64;
}

/* The caller is killed before the server has read the request: nobody waits. */
static void test_killed_early(void)
{
	unsigned long long start = dio_now_ms();
	struct io io = { .length = 10000 };
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
		wrong = touched(io.mem, io.length);
	munmap(io.mem, io.length);
	result("read, the caller is killed while it is queued", wrong);
}

/*
 * A write that the server has not read yet.  Parent and child store into what
 * does not belong to it, the child then into its own copy of all.
 */
static void test_write_fork(void)
{
	unsigned long long start = dio_now_ms();
	struct io io = { .write = true, .length = 10000 };
	unsigned char *mem = dio_map(4 * dio_page_size, dio_page_size, false);
	const char *wrong;
	int done[2];
	pid_t pid;
	char c;

	if (pipe2(done, O_CLOEXEC))
		dio_die("pipe: %s\n", strerror(errno));
	/* From inside of a page to inside of another */
	memset(mem, UNTOUCHED, 4 * dio_page_size);
	io.mem = mem + 512;
	kill(dio_fuse->server, SIGSTOP);
	io_start(&io);
	while (!sleeps_in_io(io.tid))
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
		wrong = not_result(io.n, io.length);
	if (!wrong)
		wrong = differ(io.mem, io.length, 0, 3);
	if (!wrong)
		wrong = file_differs(io.length, 0, 3);
	munmap(mem, 4 * dio_page_size);
	result("write, fork() and stores before it is read", wrong);
	write_file();
}

/* With a server that splices, pages are handed on, and are not what is read into. */
static void test_dirty(bool write)
{
	const char *wrong = dio_dirty_io(fd, write);

	result(write ? "write leaves clean what it writes" :
		       "read marks dirty what it reads into", wrong);
	if (write)
		write_file();
}

/*
 * 4. The memory of the server
 */
static void test_server_dirty(void)
{
	struct io io = { .write = true, .length = 8 * dio_page_size };
	const char *wrong;

	/* The request and its header, and no page of it is stored to by the server. */
	dio_fuse->receive = DIO_FUSE_CLEAN;
	io_start(&io);
	io_wait(&io);
	dio_fuse->receive = DIO_FUSE_GOOD;
	wrong = not_result(io.n, io.length);
	if (!wrong && dio_fuse->dirty < io.length)
		wrong = because("%zu bytes are dirty of the memory that the server reads into",
				(size_t)dio_fuse->dirty);
	munmap(io.mem, io.length);
	result("server reads into memory that becomes dirty", wrong);
	write_file();
}

static void test_server_pins(void)
{
	unsigned long long before = dio_pins_acquired();
	const char *wrong = NULL;
	struct stat st;

	if (fstat(fd, &st))
		wrong = because("fstat: %s", strerror(errno));
	else if (dio_pins_acquired() < before + 2)
		wrong = "no pin was taken of what the server reads and writes";
	result("memory of the server", wrong);
}

static void test_server_memory(const char *name, bool write, enum dio_fuse_memory receive,
			       enum dio_fuse_memory answer, ssize_t want, int failed)
{
	unsigned long long start = dio_now_ms();
	struct io io = { .write = write, .length = 8 * dio_page_size };
	const char *wrong;

	dio_fuse->failed = 0;
	dio_fuse->receive = receive;
	dio_fuse->answer = answer;
	io_start(&io);
	io_wait(&io);
	dio_fuse->receive = DIO_FUSE_GOOD;
	dio_fuse->answer = DIO_FUSE_GOOD;
	wrong = not_result(io.n, want);
	/* The server is told of it after the request has ended. */
	while (failed && !dio_fuse->failed && !dio_expired(start))
		;
	if (!wrong && dio_fuse->failed != failed)
		wrong = because("the server was told: %s", strerror(dio_fuse->failed));
	if (!wrong && want > 0 && !write)
		wrong = differ(io.mem, want, 0, 0);
	munmap(io.mem, io.length);
	result(name, wrong);
	if (write)
		write_file();
}

static void test_data(void)
{
	enum bad bad;
	int write;

	for (write = 0; write <= 1; write++) {
		test_lengths(write);
		test_segments(write);
		for (bad = 0; bad < NR_BAD; bad++)
			test_bad_memory(bad, write);
		test_dirty(write);
	}
}

#define NR_DATA		(2 * (ARRAY_SIZE(lengths) + 1 + NR_BAD + 1))
#define NR_HELD		(4 + 4 + 2 + 3)
#define NR_SERVER	6

static void test_held(void)
{
	int aio, write;

	for (aio = 0; aio <= 1; aio++)
		for (write = 0; write <= 1; write++)
			test_error(aio, write);
	for (aio = 0; aio <= 1; aio++)
		for (write = 0; write <= 1; write++)
			test_server_killed(aio, write);
	test_signal(false);
	test_signal(true);
	test_caller_killed();
	test_killed_early();
	test_write_fork();
}

static void test_server(void)
{
	size_t length = 8 * dio_page_size;

	test_server_pins();
	test_server_dirty();
	test_server_memory("server reads into read-only memory", true,
			   DIO_FUSE_READ_ONLY, DIO_FUSE_GOOD, -EIO, EFAULT);
	test_server_memory("server reads into memory that ends", true,
			   DIO_FUSE_ENDS, DIO_FUSE_GOOD, -EIO, EFAULT);
	test_server_memory("server answers from read-only memory", false,
			   DIO_FUSE_GOOD, DIO_FUSE_READ_ONLY, length, 0);
	test_server_memory("server answers from memory that ends", false,
			   DIO_FUSE_GOOD, DIO_FUSE_ENDS, -EIO, EFAULT);
}

static void clean_up(void)
{
	if (getpid() == owner)
		dio_fuse_close();
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 0);
	dio_page_size = sysconf(_SC_PAGESIZE);
	owner = getpid();

	ksft_print_header();
	if (geteuid())
		ksft_exit_skip("needs root, to mount a file system\n");
	atexit(clean_up);
	dio_pins_start();
	target = "fuse";
	server_open(false);
	if (skip)
		ksft_exit_skip("%s\n", skip);
	ksft_set_plan(2 * NR_DATA + NR_HELD + NR_SERVER + 1);
	test_data();
	test_held();
	test_server();
	server_close();

	/* Requests and answers through pipes: there pages are handed on. */
	target = "fuse-splice";
	server_open(true);
	test_data();
	server_close();

	dio_result("pins taken are released", dio_pins_problem(true));
	ksft_finished();
}
