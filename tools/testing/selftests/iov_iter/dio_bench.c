// SPDX-License-Identifier: GPL-2.0
/*
 * Count what direct I/O on a device that does nothing (null_blk) costs: the
 * average of a call, in nanoseconds of CLOCK_MONOTONIC, the smallest of three.
 * Under QEMU with -icount shift=0,sleep=off and one CPU that is the number of
 * instructions, the same on every run.
 *
 *	dio_bench [-q] [-f] [-c] [-t] [NAME]
 *
 * NAME is printed in each line.  -q: only pread and pwrite.  -f: also files, and forks; see
 * bench/.  -c: nothing is timed, but four calls of each cell are marked for ci/bench/cost.c,
 * which counts what they cost.  -t: only two threads at once.
 *
 * "fresh" is memory that was never touched: most of what a read into it takes is to
 * have it faulted in.  "shared" is memory that a child has, too, since a fork().
 *
 * Each line is: cell NAME HOW BUFFER BYTES DIRECTION NANOSECONDS; with -c, the I/Os of a
 * call come last.  As init of a guest it mounts what it needs, writes to the second serial
 * port and reboots.
 */
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest.h"
#include "bench/bench.h"

#define FRESH_SIZE	(8UL << 20)
#define QUEUE_DEPTH	32
#define MAX_SEGMENTS	64
#define SEGMENT		4096UL

static const char *name = "-";
int fd;
char *buffer;
static io_context_t aio;
/* With its file and buffer registered; and one that is polled, too */
static struct io_uring ring, registered, polled;
static bool polls;
bool marking;

void die(const char *what)
{
	printf("Bail out! dio_bench: %s: %s\n", what, strerror(errno));
	exit(KSFT_FAIL);
}

void check(long long got, size_t expected, const char *what)
{
	if (got == (long long)expected)
		return;
	if (got >= 0)
		errno = EIO;
	else if (got < -1)
		errno = -got;
	die(what);
}

void run_plain(const struct how *how, size_t bytes, bool write)
{
	ssize_t got = write ? pwrite(fd, buffer, bytes, 0) : pread(fd, buffer, bytes, 0);

	check(got, bytes, how->name);
}

/* Segments of one page, the pages in order, as a database has them */
static void run_vector(const struct how *how, size_t bytes, bool write)
{
	static struct iovec iov[MAX_SEGMENTS];
	unsigned int k;
	ssize_t got;

	for (k = 0; k < how->segments; k++) {
		iov[k].iov_base = buffer + k * bytes;
		iov[k].iov_len = bytes;
	}
	got = write ? pwritev(fd, iov, how->segments, 0) : preadv(fd, iov, how->segments, 0);
	check(got, how->segments * bytes, how->name);
}

static void run_aio(const struct how *how, size_t bytes, bool write)
{
	static struct iocb iocbs[QUEUE_DEPTH], *list[QUEUE_DEPTH];
	struct io_event events[QUEUE_DEPTH];
	int k, done, got;

	for (k = 0; k < QUEUE_DEPTH; k++) {
		list[k] = &iocbs[k];
		if (write)
			io_prep_pwrite(list[k], fd, buffer + k * bytes, bytes, 0);
		else
			io_prep_pread(list[k], fd, buffer + k * bytes, bytes, 0);
	}
	check(io_submit(aio, QUEUE_DEPTH, list), QUEUE_DEPTH, "io_submit");
	for (done = 0; done < QUEUE_DEPTH; done += got) {
		got = io_getevents(aio, 1, QUEUE_DEPTH, events, NULL);
		if (got < 0)
			check(got, 0, "io_getevents");
		for (k = 0; k < got; k++)
			check(events[k].res, bytes, how->name);
	}
}

static void run_uring(const struct how *how, size_t bytes, bool write)
{
	struct io_uring_cqe *cqe;
	unsigned int k;

	for (k = 0; k < how->ios; k++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(how->ring);
		int file = how->ring == &ring ? fd : 0;
		char *to = buffer + k * bytes;

		if (how->fixed && write)
			io_uring_prep_write_fixed(sqe, file, to, bytes, 0, 0);
		else if (how->fixed)
			io_uring_prep_read_fixed(sqe, file, to, bytes, 0, 0);
		else if (write)
			io_uring_prep_write(sqe, file, to, bytes, 0);
		else
			io_uring_prep_read(sqe, file, to, bytes, 0);
		if (how->ring != &ring)
			sqe->flags |= IOSQE_FIXED_FILE;
	}
	check(io_uring_submit_and_wait(how->ring, how->ios), how->ios, "io_uring_submit");
	for (k = 0; k < how->ios; k++) {
		check(io_uring_wait_cqe(how->ring, &cqe), 0, "io_uring_wait_cqe");
		check(cqe->res, bytes, how->name);
		io_uring_cqe_seen(how->ring, cqe);
	}
}

static const struct how plain = { "plain", run_plain, 1, 1 };
static const struct how fresh = { "fresh", run_plain, 1, 1 };
static const struct how shared = { "shared", run_plain, 1, 1 };
static const struct how others[] = {
	{ "vector8",	run_vector,	8,	1 },
	{ "vector64",	run_vector,	64,	1 },
	{ "aio32",	run_aio,	1,	QUEUE_DEPTH },
	{ "uring32",	run_uring,	1,	QUEUE_DEPTH,	&ring },
	{ "reg1",	run_uring,	1,	1,		&registered },
	{ "reg32",	run_uring,	1,	QUEUE_DEPTH,	&registered },
	{ "fixed1",	run_uring,	1,	1,		&registered,	true },
	{ "fixed32",	run_uring,	1,	QUEUE_DEPTH,	&registered,	true },
	{ "poll1",	run_uring,	1,	1,		&polled },
};

static unsigned long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

void print_cell(const struct how *how, const char *kind, size_t bytes, const char *direction,
		unsigned long long value)
{
	printf("cell %s %s %s %zu %s %llu\n", name, how->name, kind,
	       bytes * how->segments, direction, value);
	fflush(stdout);
}

static void marked(const struct how *how, size_t bytes, bool write)
{
	count_begins();
	how->run(how, bytes, write);
	count_ends();
}

/* One call alone, marked or not: how long it took */
unsigned long long timed(const struct how *how, size_t bytes, bool write)
{
	unsigned long long start = now();

	if (marking)
		marked(how, bytes, write);
	else
		how->run(how, bytes, write);
	return now() - start;
}

void measure(const struct how *how, const char *kind, size_t bytes, bool write)
{
	unsigned long calls = bytes >= (256 << 10) ? 50 : 200, k;
	unsigned long long best = ~0ULL, start, average;
	int round;

	for (k = 0; k < 10; k++)
		how->run(how, bytes, write);
	for (k = 0; marking && k < 4; k++)
		marked(how, bytes, write);
	if (marking)
		return print_cell(how, kind, bytes, write ? "write" : "read", how->ios);
	for (round = 0; round < 3; round++) {
		start = now();
		for (k = 0; k < calls; k++)
			how->run(how, bytes, write);
		average = (now() - start) / (calls * how->ios);
		if (average < best)
			best = average;
	}
	print_cell(how, kind, bytes, write ? "write" : "read", best);
}

/* One call at a time, the buffer made anew before each of them */
static void measure_fresh(const char *kind, size_t bytes)
{
	unsigned long long best = ~0ULL, took;
	int call;

	for (call = 0; call < 4; call++) {
		if (madvise(buffer, FRESH_SIZE, MADV_DONTNEED))
			die("MADV_DONTNEED");
		took = timed(&fresh, bytes, false);
		if (call && took < best)
			best = took;
	}
	print_cell(&fresh, kind, bytes, "read", marking ? 1 : best);
}

/* One write at a time, the buffer shared with a child anew before each of them */
static void measure_shared(const char *kind, size_t bytes)
{
	unsigned long long best = ~0ULL, took;
	int call, go[2];
	char byte;
	pid_t pid;

	for (call = 0; call < 4; call++) {
		if (pipe(go))
			die("pipe");
		pid = fork();
		if (pid < 0)
			die("fork");
		if (!pid) {
			close(go[1]);
			_exit(read(go[0], &byte, 1) != 0);
		}
		close(go[0]);
		took = timed(&shared, bytes, true);
		if (call && took < best)
			best = took;
		close(go[1]);
		if (waitpid(pid, NULL, 0) != pid)
			die("waitpid");
		memset(buffer, 0x5a, bytes);
	}
	print_cell(&shared, kind, bytes, "write", marking ? 1 : best);
}

/* Anonymous memory, private but for shmem, aligned to its size */
char *map_buffer(const char *kind, size_t size)
{
	bool hugetlb = !strcmp(kind, "hugetlb");
	char *p;

	p = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS |
		 (strcmp(kind, "shmem") ? MAP_PRIVATE : MAP_SHARED) |
		 (hugetlb ? MAP_HUGETLB | MAP_NORESERVE : 0), -1, 0);
	if (p == MAP_FAILED)
		die("mmap");
	p += -(unsigned long)p % size;
	if (!hugetlb && madvise(p, size, strcmp(kind, "thp") ? MADV_NOHUGEPAGE : MADV_HUGEPAGE))
		die("madvise");
	return p;
}

/* Have @registered know the buffer, in place of the one before */
static void register_buffer(void)
{
	struct iovec iov = { buffer, BUFFER_SIZE };
	static bool had;

	if (had)
		check(io_uring_unregister_buffers(&registered), 0, "io_uring_unregister_buffers");
	check(io_uring_register_buffers(&registered, &iov, 1), 0, "io_uring_register_buffers");
	had = true;
}

static void set_up_rings(void)
{
	/* What bio-based null_blk is given by io_uring goes through workers. */
	unsigned int one_worker[2] = { 1, 1 };
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;

	check(io_uring_queue_init(QUEUE_DEPTH, &ring, 0), 0, "io_uring_queue_init");
	check(io_uring_queue_init(QUEUE_DEPTH, &registered, 0), 0, "io_uring_queue_init");
	check(io_uring_queue_init(QUEUE_DEPTH, &polled, IORING_SETUP_IOPOLL), 0,
	      "io_uring_queue_init");
	check(io_uring_register_iowq_max_workers(&ring, one_worker), 0, "io-wq");
	check(io_uring_register_files(&registered, &fd, 1), 0, "io_uring_register_files");
	check(io_uring_register_files(&polled, &fd, 1), 0, "io_uring_register_files");
	sqe = io_uring_get_sqe(&polled);
	io_uring_prep_read(sqe, 0, buffer, SEGMENT, 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	check(io_uring_submit_and_wait(&polled, 1), 1, "io_uring_submit");
	check(io_uring_wait_cqe(&polled, &cqe), 0, "io_uring_wait_cqe");
	polls = cqe->res == SEGMENT;
	if (!polls && cqe->res != -EOPNOTSUPP)
		check(cqe->res, SEGMENT, "a polled read");
	io_uring_cqe_seen(&polled, cqe);
}

static void set_up_guest(void)
{
	static char *console = "/dev/ttyS1";
	FILE *f;

	if (mount("proc", "/proc", "proc", 0, NULL) ||
	    (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) && errno != EBUSY))
		die("mount");
	if (!freopen(console, "w", stdout))
		die(console);
	f = fopen("/proc/sys/vm/nr_hugepages", "w");
	if (!f || fprintf(f, "8\n") < 0 || fclose(f))
		die("nr_hugepages");
}

int main(int argc, char **argv)
{
	static const char * const kinds[] = { "4k", "thp", "hugetlb", "shmem" };
	static const size_t sizes[] = {
		512, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20
	};
	bool quick = false, files = false, threads = false, init = getpid() == 1;
	char *buffers[ARRAY_SIZE(kinds)];
	unsigned int k, s, w, h;

	for (k = 1; k < (unsigned int)argc; k++) {
		if (!strcmp(argv[k], "-q"))
			quick = true;
		else if (!strcmp(argv[k], "-f"))
			files = true;
		else if (!strcmp(argv[k], "-t"))
			threads = true;
		else if (!strcmp(argv[k], "-c"))
			marking = true;
		else
			name = argv[k];
	}
	if (init)
		set_up_guest();
	fd = open(DEVICE, O_RDWR | O_DIRECT);
	if (fd < 0) {
		printf("1..0 # SKIP %s: %s\n", DEVICE, strerror(errno));
		return KSFT_SKIP;
	}
	check(io_setup(QUEUE_DEPTH, &aio), 0, "io_setup");

	if (threads) {
		measure_threads();
		goto done;
	}
	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		buffers[k] = map_buffer(kinds[k], BUFFER_SIZE);
		buffer = buffers[k];
		memset(buffer, 0x5a, BUFFER_SIZE);
		for (s = 0; s < ARRAY_SIZE(sizes); s++)
			for (w = 0; w < 2; w++)
				measure(&plain, kinds[k], sizes[s], w);
	}
	/* Then, as each pread() takes a reference of its file once io_uring has a worker. */
	if (!quick)
		set_up_rings();
	for (k = 0; !quick && k < ARRAY_SIZE(kinds); k++) {
		buffer = buffers[k];
		register_buffer();
		for (h = 0; h < ARRAY_SIZE(others); h++)
			for (w = 0; w < 2 && (polls || others[h].ring != &polled); w++)
				measure(&others[h], kinds[k], SEGMENT, w);
	}
	/* Last, as what they allocate and free is another layout of memory. */
	for (k = 0; k < 3; k++) {
		buffer = map_buffer(kinds[k], FRESH_SIZE);
		measure_fresh(kinds[k], 1 << 20);
		measure_fresh(kinds[k], FRESH_SIZE);
	}
	if (!quick) {
		buffer = map_buffer("4k", BUFFER_SIZE);
		memset(buffer, 0x5a, BUFFER_SIZE);
		measure_shared("4k", 4 << 10);
		measure_shared("4k", 64 << 10);
		measure_shared("4k", 1 << 20);
	}
	if (files) {
		for (k = 0; k < ARRAY_SIZE(kinds); k++)
			if (madvise(buffers[k], BUFFER_SIZE, MADV_DONTFORK))
				die("MADV_DONTFORK");
		measure_files();
		measure_forks();
	}
done:
	if (!init)
		return 0;
	printf("# guest: done\n");
	fflush(stdout);
	tcdrain(1);
	reboot(RB_AUTOBOOT);
	return 1;
}
