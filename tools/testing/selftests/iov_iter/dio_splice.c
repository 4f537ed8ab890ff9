// SPDX-License-Identifier: GPL-2.0
/*
 * splice() and sendfile() from files opened with O_DIRECT: the device reads into
 * pages that the kernel adds to a pipe.
 *
 * The read may end short, upon which the pages past its end are taken out of the
 * pipe again.  iomap does so before it waits for the device, hence only the
 * references that the read holds keep those pages from being used by others.
 * That is what test_held() is about, without any race: where a page of the pipe
 * does not begin at a page of the file, the last block of the file extends to a
 * page of which nothing is in the file.
 *
 *	file	|    page    |    page  E |		E: end of the file
 *	pipe	   |    page    |   page E   | page |	the third is given back
 *	read	   <---------------------->
 *
 * The races with truncation and appending are about the same, and anything else
 * that may go wrong there.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

#include "lib/cases.h"
#include "lib/disk.h"
#include "lib/memory.h"
#include "lib/result.h"
#include "lib/target.h"

#define PIPE_PAGES	16	/* of a pipe, unless it is told otherwise */
#define SKIP_NO_FILES	"a block device has no files"
#define SKIP_APPEND	"can only be written at its end"

static unsigned char *expected;	/* the test file */
static unsigned char *got;	/* as large, for what comes out of pipes */
static unsigned int iterations = 100;	/* of each race, by all processes */
static unsigned long long asked;	/* iterations, 0 if none were named */
static bool all_iterations;		/* however long they take */

/* @n is what a call returned, or a negative errno; @want are the bytes at @buf. */
static const char *compare(const unsigned char *buf, ssize_t n,
			   const unsigned char *want, size_t length)
{
	const char *problem = dio_not_result(n, length);

	return problem ? problem : dio_differ(buf, want, length);
}

static void make_pipe(int fds[2], size_t size)
{
	if (pipe2(fds, O_CLOEXEC))
		dio_die("pipe: %s\n", strerror(errno));
	if (fcntl(fds[1], F_SETPIPE_SZ, size) != size)
		dio_die("pipe of %zu bytes: %s\n", size, strerror(errno));
}

static void close_pipe(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

/* As much as is there of @length: bytes read, or a negative errno */
static ssize_t read_pipe(int fd, void *buf, size_t length)
{
	size_t done = 0;
	ssize_t n;

	while (done < length) {
		n = read(fd, (char *)buf + done, length - done);
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += n;
	}
	return done;
}

/* A file of @size bytes of the test file, opened O_DIRECT; nothing is cached. */
static int make_file(struct dio_target *t, const char *name, size_t size)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	if (size)
		dio_full_pwrite(fd, expected, size, 0);
	if (fsync(fd))
		dio_die("%s: fsync: %s\n", path, strerror(errno));
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		dio_die("%s: O_DIRECT: %s\n", path, strerror(errno));
	return fd;
}

/* Why the target has no files to create, or NULL */
static const char *no_files(struct dio_target *t)
{
	if (t->skip)
		return t->skip;
	if (!t->dir[0])
		return SKIP_NO_FILES;
	return t->append ? SKIP_APPEND : NULL;
}

/* How much to read, from where */
struct shape {
	unsigned int blocks;	/* or if 0: */
	size_t length;
	bool at_block;		/* from one block on, not from 0 */
};

static size_t shape_start(const struct shape *s, unsigned int block)
{
	return s->at_block ? block : 0;
}

static size_t shape_length(const struct shape *s, unsigned int block)
{
	size_t length = s->blocks ? s->blocks * block : s->length;
	size_t limit = DIO_FILE_SIZE - shape_start(s, block);

	return length < limit ? length : limit;
}

/*
 * 1. From the file to a pipe, and out of it
 */
enum way {
	SENDFILE,
	SENDFILE_THREAD,	/* another thread empties the pipe */
	SPLICE,
	SPLICE_FILE,		/* and from the pipe to another file */
	NR_WAYS,
};

static const char * const way_names[NR_WAYS] = {
	[SENDFILE]		= "sendfile",
	[SENDFILE_THREAD]	= "sendfile, thread",
	[SPLICE]		= "splice",
	[SPLICE_FILE]		= "splice twice",
};

static const struct shape transfer_shapes[] = {
	{ .blocks = 1 },
	{ .blocks = 1,			.at_block = true },
	{ .blocks = 3,			.at_block = true },
	{ .length = 65536 },
	{ .length = 65536,		.at_block = true },
	{ .length = DIO_MIB,		.at_block = true },
	{ .length = DIO_FILE_SIZE },
	{ .length = DIO_FILE_SIZE,	.at_block = true },
};

static const struct pipe_kind {
	unsigned int pages;
	size_t limit;		/* larger transfers would take very many calls */
} pipe_kinds[] = {
	{ 1,		65536 },
	{ PIPE_PAGES,	DIO_FILE_SIZE },
	{ 256,		DIO_FILE_SIZE },
};

static bool transfer_wanted(const struct pipe_kind *k, const struct shape *s)
{
	return s->length <= k->limit;
}

struct pump {
	enum way way;
	int in;
	int pipe[2];
	int out;		/* SPLICE_FILE */
	ssize_t drained;	/* to @got or @out, or a negative errno */
};

static ssize_t pump_feed(const struct pump *p, off64_t *pos, size_t length)
{
	ssize_t n;

	if (p->way == SENDFILE || p->way == SENDFILE_THREAD)
		n = sendfile64(p->pipe[1], p->in, pos, length);
	else
		n = splice(p->in, pos, p->pipe[1], NULL, length, 0);
	return n < 0 ? -errno : n;
}

static int pump_drain(struct pump *p, size_t length)
{
	size_t done = 0;
	ssize_t n;

	while (done < length) {
		if (p->way == SPLICE_FILE)
			n = splice(p->pipe[0], NULL, p->out, NULL, length - done, 0);
		else
			n = read(p->pipe[0], got + p->drained, length - done);
		if (n <= 0)
			return n ? -errno : -EPIPE;
		done += n;
		p->drained += n;
	}
	return 0;
}

static void *pump_thread(void *arg)
{
	struct pump *p = arg;

	p->drained = read_pipe(p->pipe[0], got, DIO_FILE_SIZE);
	return NULL;
}

/*
 * Move @length bytes at @pos to @got, through a pipe that is empty whenever it is
 * fed, unless there is a thread.  Returns the bytes that arrived, fewer at the
 * end of the file, or a negative errno.
 */
static ssize_t pump(enum way way, int in, size_t pipe_size, off64_t pos, size_t length)
{
	struct pump p = { .way = way, .in = in, .out = -1 };
	struct timespec limit;
	pthread_t thread;
	size_t fed = 0;
	ssize_t n = 0;

	make_pipe(p.pipe, pipe_size);
	if (way == SPLICE_FILE) {
		p.out = memfd_create("dio_splice", MFD_CLOEXEC);
		if (p.out < 0)
			dio_die("memfd_create: %s\n", strerror(errno));
	}
	if (way == SENDFILE_THREAD && pthread_create(&thread, NULL, pump_thread, &p))
		dio_die("no thread\n");

	while (fed < length) {
		n = pump_feed(&p, &pos, length - fed);
		if (n <= 0)
			break;
		fed += n;
		if (way == SENDFILE_THREAD)
			continue;
		n = pump_drain(&p, n);
		if (n)
			break;
	}

	close(p.pipe[1]);
	if (way == SENDFILE_THREAD) {
		clock_gettime(CLOCK_REALTIME, &limit);
		limit.tv_sec += DIO_DEADLINE_SECONDS;
		if (pthread_timedjoin_np(thread, NULL, &limit))
			dio_die("a pipe that is closed does not end\n");
	} else if (!n && read(p.pipe[0], got, 1) == 1) {
		n = -EOVERFLOW;		/* more was in there than was said */
	}
	close(p.pipe[0]);
	if (way == SPLICE_FILE) {
		if (p.drained > 0)
			dio_full_pread(p.out, got, p.drained, 0);
		close(p.out);
	}
	return n < 0 ? n : p.drained;
}

static void test_transfer(struct dio_target *t, unsigned int i)
{
	enum way way = i / ARRAY_SIZE(transfer_shapes) / ARRAY_SIZE(pipe_kinds);
	const struct pipe_kind *k = &pipe_kinds[i / ARRAY_SIZE(transfer_shapes) %
						ARRAY_SIZE(pipe_kinds)];
	const struct shape *s = &transfer_shapes[i % ARRAY_SIZE(transfer_shapes)];
	size_t start = shape_start(s, t->block), length = shape_length(s, t->block);
	char name[96];
	ssize_t n;

	if (!transfer_wanted(k, s))
		return;
	snprintf(name, sizeof(name), "%s %s: %zu at %zu, pipe of %u pages", t->name,
		 way_names[way], length, start, k->pages);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	memset(got, 0xff, length);
	n = pump(way, t->fd, k->pages * dio_page_size, start, length);
	dio_result(name, compare(got, n, expected + start, length));
}

/*
 * 2. From the file to another one, and to another place in itself, both written
 *    directly as well
 */
static const struct copy {
	bool itself;
	struct shape shape;
} copies[] = {
	{ false,	{ .blocks = 1 } },
	{ false,	{ .length = 65536,	.at_block = true } },
	{ false,	{ .length = DIO_MIB,	.at_block = true } },
	{ true,		{ .blocks = 1 } },
	{ true,		{ .length = 65536,	.at_block = true } },
	{ true,		{ .length = DIO_MIB,	.at_block = true } },
};

static ssize_t send_all(int out, int in, off64_t pos, size_t length)
{
	size_t done = 0;
	ssize_t n;

	while (done < length) {
		n = sendfile64(out, in, &pos, length - done);
		if (n <= 0)
			return n ? -errno : (ssize_t)done;
		done += n;
	}
	return done;
}

static void test_copy(struct dio_target *t, unsigned int i)
{
	const struct copy *c = &copies[i];
	size_t start = shape_start(&c->shape, t->block);
	size_t length = shape_length(&c->shape, t->block);
	/* Leaves a hole at the start of the other file. */
	off_t to = c->itself ? 2 * DIO_MIB : t->block;
	const char *why = no_files(t);
	char name[96];
	ssize_t n;
	int fd;

	snprintf(name, sizeof(name), "%s sendfile to %s: %zu at %zu", t->name,
		 c->itself ? "itself" : "a file", length, start);
	if (why)
		return dio_result_skip(name, why);
	fd = make_file(t, "copy", c->itself ? 2 * DIO_MIB : 0);
	if (lseek(fd, to, SEEK_SET) != to)
		dio_die("%s: lseek: %s\n", name, strerror(errno));
	n = send_all(fd, c->itself ? fd : t->fd, start, length);
	if (n == length) {
		memset(got, 0xff, length);
		n = pread(fd, got, length, to);
	}
	dio_result(name, compare(got, n, expected + start, length));
	close(fd);
}

/*
 * 3. The end of the file, which may be inside of a block
 */
static const size_t tails[] = {
	1, 511, 512, 4097, 65536, 65536 + 512, 3 * 65536 + 4095, DIO_MIB + 1,
};

/* Ask for more than is there: what there is comes, and then nothing. */
static const char *read_to_end(int fd, off64_t start, const unsigned char *want, size_t length)
{
	const char *why;
	ssize_t n;

	memset(got, 0xff, length);
	n = pump(SPLICE, fd, PIPE_PAGES * dio_page_size, start, length + 65536);
	why = compare(got, n, want, length);
	if (why)
		return why;
	n = pump(SENDFILE, fd, PIPE_PAGES * dio_page_size, start + length, 65536);
	return n ? dio_because("%zd at the end instead of 0", n) : NULL;
}

static void test_tail(struct dio_target *t, unsigned int i_tail)
{
	const char *why = no_files(t);
	size_t size = tails[i_tail];
	size_t starts[2] = { 0, t->block };
	unsigned int i;
	char name[96];
	int fd;

	snprintf(name, sizeof(name), "%s end of a file of %zu", t->name, size);
	if (why)
		return dio_result_skip(name, why);
	fd = make_file(t, "tail", size);
	for (i = 0; !why && i < ARRAY_SIZE(starts); i++)
		if (starts[i] < size)
			why = read_to_end(fd, starts[i], expected + starts[i], size - starts[i]);
	dio_result(name, why);
	close(fd);
}

/* The device itself, of which only this much is known: what pread() finds there */
static void test_end(struct dio_target *t, unsigned int unused)
{
	const char *why = NULL;
	unsigned char *want;
	unsigned int blocks;
	char name[96];
	off_t end;

	snprintf(name, sizeof(name), "%s last blocks", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	end = lseek(t->fd, 0, SEEK_END);
	if (end < (off_t)DIO_FILE_SIZE)
		dio_die("%s: ends at %lld\n", name, (long long)end);
	want = dio_map(65536, dio_page_size, false);
	for (blocks = 1; !why && blocks <= 4; blocks++) {
		size_t length = blocks * t->block;

		dio_full_pread(t->fd, want, length, end - length);
		why = read_to_end(t->fd, end - length, want, length);
	}
	dio_result(name, why);
	munmap(want, 65536);
}

/*
 * 4. A pipe with something in it already
 */
static const unsigned int occupied[] = { 1, 8, PIPE_PAGES - 1, PIPE_PAGES };

static const char *fill_up(struct dio_target *t, int pipe[2], unsigned int pages)
{
	/* Room in the last page must not be used: it belongs to what is there. */
	size_t held = pages * dio_page_size - 100;
	size_t room = (PIPE_PAGES - pages) * dio_page_size;
	size_t length = PIPE_PAGES * dio_page_size;
	off64_t pos = DIO_MIB;
	unsigned char *before;
	const char *why;
	ssize_t n;

	before = dio_map(length, dio_page_size, false);
	memset(before, 0xee, held);
	if (write(pipe[1], before, held) != held)
		dio_die("pipe: %s\n", strerror(errno));
	n = splice(t->fd, &pos, pipe[1], NULL, length, SPLICE_F_NONBLOCK);
	if (!room && (n >= 0 || errno != EAGAIN)) {
		why = dio_because("%zd into a full pipe", n);
		goto unmap;
	}
	if (room && n != room) {
		why = dio_because("%zd bytes instead of %zu", n < 0 ? -errno : n, room);
		goto unmap;
	}
	why = compare(got, read_pipe(pipe[0], got, held), before, held);
	if (!why)
		why = compare(got, read_pipe(pipe[0], got, room), expected + DIO_MIB, room);
	if (why || pos != DIO_MIB + room) {
		why = why ? why : dio_because("the position is %lld", (long long)pos);
		goto unmap;
	}
	/* And what did not fit */
	n = splice(t->fd, &pos, pipe[1], NULL, length - room, SPLICE_F_NONBLOCK);
	if (n > 0)
		n = read_pipe(pipe[0], got, n);
	why = compare(got, n < 0 ? -errno : n, expected + DIO_MIB + room, length - room);
unmap:
	munmap(before, length);
	return why;
}

static void test_occupied(struct dio_target *t, unsigned int i)
{
	unsigned int pages = occupied[i];
	char name[96];
	int pipe[2];

	snprintf(name, sizeof(name), "%s %u of %u pages of the pipe in use", t->name, pages,
		 PIPE_PAGES);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	make_pipe(pipe, PIPE_PAGES * dio_page_size);
	dio_result(name, fill_up(t, pipe, pages));
	close_pipe(pipe);
}

/*
 * Memory that others got: pages that are freed too early are likely to be among
 * it.  Those of pipes come from where pages of pipes go to, unlike anonymous
 * memory, which is moveable and kept apart.
 */
#define CANARY		0xc3
#define CANARY_SIZE	(256 * 1024UL)

struct canary {
	int pipe[2];
	unsigned char *anon, *bytes;
};

static void canary_open(struct canary *c)
{
	make_pipe(c->pipe, CANARY_SIZE);
	c->bytes = dio_map(CANARY_SIZE, dio_page_size, false);
	memset(c->bytes, CANARY, CANARY_SIZE);
	c->anon = dio_map(CANARY_SIZE, dio_page_size, false);
}

static void canary_close(struct canary *c)
{
	close_pipe(c->pipe);
	munmap(c->bytes, CANARY_SIZE);
	munmap(c->anon, CANARY_SIZE);
}

/* Both get new pages each time. */
static bool canary_fill(struct canary *c)
{
	ssize_t n = write(c->pipe[1], c->bytes, CANARY_SIZE);

	madvise(c->anon, CANARY_SIZE, MADV_DONTNEED);
	memset(c->anon, CANARY, CANARY_SIZE);
	return n == CANARY_SIZE;
}

static const char *canary_problem(struct canary *c)
{
	unsigned char *buf = malloc(CANARY_SIZE);
	const char *why = NULL;

	if (!buf)
		dio_die("no memory\n");
	if (read_pipe(c->pipe[0], buf, CANARY_SIZE) != CANARY_SIZE)
		why = "a pipe lost data";
	else if (memcmp(buf, c->bytes, CANARY_SIZE))
		why = "CORRUPTED the pages of another pipe";
	else if (memcmp(c->anon, c->bytes, CANARY_SIZE))
		why = "CORRUPTED anonymous memory";
	free(buf);
	return why;
}

/*
 * 5. Pages that are given back while the device still writes to them
 */
#define HELD_ROUNDS	4

struct held {
	int in;
	int pipe[2];
	off64_t pos;
	ssize_t result;
};

static void *held_thread(void *arg)
{
	struct held *h = arg;

	h->result = splice(h->in, &h->pos, h->pipe[1], NULL, PIPE_PAGES * dio_page_size, 0);
	if (h->result < 0)
		h->result = -errno;
	return NULL;
}

static const char *held_round(int fd, size_t start, size_t size)
{
	struct held h = { .in = fd, .pos = start };
	struct timespec limit;
	struct canary canary;
	const char *why;
	pthread_t thread;
	bool held;

	make_pipe(h.pipe, PIPE_PAGES * dio_page_size);
	canary_open(&canary);
	dio_hold();
	if (pthread_create(&thread, NULL, held_thread, &h))
		dio_die("no thread\n");
	held = dio_wait_held();
	held = canary_fill(&canary) && held && dio_held();
	dio_release();
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += DIO_DEADLINE_SECONDS;
	if (pthread_timedjoin_np(thread, NULL, &limit))
		dio_die("the read does not end\n");

	why = canary_problem(&canary);
	if (!why && h.result > 0)
		h.result = read_pipe(h.pipe[0], got, h.result);
	if (!why)
		why = compare(got, h.result, expected + start, size - start);
	if (!why && !held)
		why = "set-up: the read did not stay in flight";
	canary_close(&canary);
	close_pipe(h.pipe);
	return why;
}

static void test_held(struct dio_target *t, unsigned int unused)
{
	const char *why = no_files(t);
	size_t size = 3 * dio_page_size + 1;
	cpu_set_t all, one;
	unsigned int i;
	char name[96];
	int fd;

	snprintf(name, sizeof(name), "%s pages past the end stay until the read ends", t->name);
	if (!why && !t->holdable)
		why = "nothing holds the reads of this device";
	if (!why && t->block >= dio_page_size)
		why = "reads start at pages only";
	if (why)
		return dio_result_skip(name, why);

	fd = make_file(t, "held", size);
	/* Brings what the file system must know of the file into memory. */
	pump(SPLICE, fd, PIPE_PAGES * dio_page_size, 0, size);
	/* Pages are freed to the CPU, whose next allocations get them first. */
	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	for (i = 0; !why && i < HELD_ROUNDS; i++)
		why = held_round(fd, t->block, size);
	sched_setaffinity(0, sizeof(all), &all);
	dio_result(name, why);
	close(fd);
}

/*
 * 6. Races with those who change the size of the file
 */
#define RACERS		4
#define RACE_SIZE	(256 * 1024UL)
#define RACE_HALF	(RACE_SIZE / 2)
#define RACE_STEP	(32 * 1024UL)
#define RACE_MS		3000	/* then a race ends, unless -n is given */

static const struct race {
	const char *name;
	bool itself;	/* sendfile to the other half, not to a pipe */
	bool append;	/* instead of truncation */
} races[] = {
	{ "to a pipe against truncation" },
	{ "to itself against truncation",	.itself = true },
	/* XFS lets a direct write append while a direct read goes on. */
	{ "to a pipe against appending",	.append = true },
};

static const size_t race_sizes[] = {
	RACE_SIZE, 1, 0, RACE_HALF + 512, 4097, RACE_SIZE, 100000, RACE_HALF,
};

struct racer {
	const struct race *race;
	unsigned int block;
	char path[128];
	int report;
	int fd, direct;
	unsigned int iteration, stop;
	pthread_barrier_t barrier;
	bool over, changed;
	struct canary canary;
	bool filled;
};

static void race_change(struct racer *r)
{
	unsigned int i;

	if (!r->race->append) {
		for (i = 0; i < ARRAY_SIZE(race_sizes); i++) {
			size_t size = race_sizes[(i + r->iteration) % ARRAY_SIZE(race_sizes)];

			/*
			 * What does not end at a block can't be written directly.
			 * f2fs allocates before it finds that, and leaves blocks
			 * with what was in them before: not what this is about.
			 */
			if (r->race->itself)
				size -= size % r->block;
			if (ftruncate(r->fd, size))
				break;	/* Any error is fine. */
		}
		return;
	}
	/* From the second step on: the first one is there. */
	for (i = RACE_STEP; i < RACE_SIZE; i += RACE_STEP)
		if (pwrite(r->direct, expected + i, RACE_STEP, i) != RACE_STEP)
			break;
}

static void *race_changer(void *arg)
{
	struct racer *r = arg;

	for (;;) {
		pthread_barrier_wait(&r->barrier);
		if (r->over)
			return NULL;
		race_change(r);
		r->filled = canary_fill(&r->canary);
		__atomic_store_n(&r->changed, true, __ATOMIC_SEQ_CST);
		pthread_barrier_wait(&r->barrier);
	}
}

/* All of it must be zero, or what was written to here or copied to here. */
static const char *race_look(const unsigned char *buf, size_t pos, size_t length)
{
	size_t i;

	/* Nearly always; comparing single bytes is slow. */
	if (!memcmp(buf, expected + pos, length))
		return NULL;
	for (i = 0; i < length; i++, pos++)
		if (buf[i] && buf[i] != expected[pos] &&
		    (pos < RACE_HALF || buf[i] != expected[pos - RACE_HALF]))
			return dio_because("%02x is read at %zu, where %02x was written",
					   buf[i], pos, expected[pos]);
	return NULL;
}

static const char *race_to_pipe(struct racer *r)
{
	off64_t pos = 0;
	const char *why;
	int pipe[2];
	ssize_t n;

	make_pipe(pipe, PIPE_PAGES * dio_page_size);
	do {
		size_t from = pos;
		/* Before the read, for one more if it is the last. */
		bool last = __atomic_load_n(&r->changed, __ATOMIC_SEQ_CST);

		n = sendfile64(pipe[1], r->direct, &pos, RACE_SIZE - pos);
		if (n <= 0) {
			/* The end is where more is appended. */
			if (n || !r->race->append || last)
				break;
			sched_yield();
			continue;
		}
		if (read_pipe(pipe[0], got, n) != n || pos != from + n) {
			why = dio_because("%zd bytes that are not there", n);
			goto close;
		}
		why = race_look(got, from, n);
		if (why)
			goto close;
	} while (pos < RACE_SIZE);
	why = NULL;
close:
	close_pipe(pipe);
	return why;
}

static const char *race_to_itself(struct racer *r)
{
	off64_t pos = 0;

	lseek(r->direct, RACE_HALF, SEEK_SET);
	/* Any error is fine. */
	if (sendfile64(r->direct, r->direct, &pos, RACE_HALF) > (ssize_t)RACE_HALF)
		return "more was sent than asked for";
	return NULL;
}

static const char *race_once(struct racer *r)
{
	size_t start = r->iteration % 3 * 65536;
	size_t written = r->race->append ? RACE_STEP : RACE_SIZE / 4;
	const char *why;
	ssize_t n;

	r->fd = open(r->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (r->fd < 0 || ftruncate(r->fd, r->race->append ? 0 : RACE_SIZE))
		return dio_because("set-up: %s: %s", r->path, strerror(errno));
	if (r->race->append)
		start = 0;
	dio_full_pwrite(r->fd, expected + start, written, start);
	/* Half of the times it has to be written by whoever reads it directly. */
	if (r->iteration % 2)
		fsync(r->fd);
	r->direct = open(r->path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (r->direct < 0)
		return dio_because("set-up: %s: O_DIRECT: %s", r->path, strerror(errno));
	r->changed = false;

	pthread_barrier_wait(&r->barrier);
	why = r->race->itself ? race_to_itself(r) : race_to_pipe(r);
	pthread_barrier_wait(&r->barrier);
	if (!why)
		why = r->filled ? canary_problem(&r->canary) : "a pipe does not take data";
	if (!why) {
		n = pread(r->fd, got, RACE_SIZE, 0);
		why = n < 0 ? dio_because("read: %s", strerror(errno)) : race_look(got, 0, n);
	}
	close(r->direct);
	close(r->fd);
	return why;
}

/* Reports a line end for each iteration and, if there is a problem, what it is. */
static void racer_main(struct racer *r)
{
	unsigned long long start = dio_now_ms();
	const char *why = NULL;
	pthread_t changer;

	canary_open(&r->canary);
	pthread_barrier_init(&r->barrier, NULL, 2);
	if (pthread_create(&changer, NULL, race_changer, r))
		why = "set-up: no thread";
	for (; !why && r->iteration < r->stop; r->iteration++) {
		why = race_once(r);
		if (write(r->report, "\n", 1) != 1)
			_exit(2);
		if (!all_iterations && dio_now_ms() - start > RACE_MS)
			break;
	}
	if (why && write(r->report, why, strlen(why)) < 0)
		_exit(2);
	_exit(0);
}

/* What the racer says: false once it has said all.  The first problem counts. */
static bool racer_hear(int fd, char *said, size_t size, unsigned int *done)
{
	bool heard = said[0];
	size_t have = 0;
	char buf[256];
	ssize_t n, i;

	n = read(fd, buf, sizeof(buf));
	for (i = 0; i < n; i++) {
		if (buf[i] == '\n')
			(*done)++;
		else if (!heard && have < size - 1)
			said[have++] = buf[i];
	}
	if (!heard)
		said[have] = '\0';
	return n > 0;
}

static const char *race_wait(struct pollfd *reports, const pid_t *pids)
{
	unsigned int i, done = 0, died = 0, open = RACERS;
	static char said[160];
	int status;

	said[0] = '\0';
	while (open) {
		int n = poll(reports, RACERS, DIO_DEADLINE_SECONDS * 1000);

		if (n <= 0) {
			for (i = 0; i < RACERS; i++)
				kill(pids[i], SIGKILL);
			dio_die("a call does not end, after %u iterations\n", done);
		}
		for (i = 0; i < RACERS; i++) {
			if (!reports[i].revents ||
			    racer_hear(reports[i].fd, said, sizeof(said), &done))
				continue;
			close(reports[i].fd);
			reports[i].fd = -1;
			open--;
		}
	}
	for (i = 0; i < RACERS; i++)
		died += waitpid(pids[i], &status, 0) != pids[i] || status;
	if (said[0])
		return said;
	return died ? dio_because("%u processes died after %u iterations", died, done) : NULL;
}

static void test_race(struct dio_target *t, unsigned int i_race)
{
	const struct race *race = &races[i_race];
	struct pollfd reports[RACERS];
	const char *why = no_files(t);
	pid_t pids[RACERS];
	unsigned int i;
	char name[96];

	snprintf(name, sizeof(name), "%s race %s", t->name, race->name);
	if (why)
		return dio_result_skip(name, why);
	fflush(stdout);
	for (i = 0; i < RACERS; i++) {
		struct racer r = { .race = race, .block = t->block };
		int report[2];

		if (pipe2(report, O_CLOEXEC))
			dio_die("pipe: %s\n", strerror(errno));
		pids[i] = fork();
		if (pids[i] < 0)
			dio_die("fork: %s\n", strerror(errno));
		if (!pids[i]) {
			snprintf(r.path, sizeof(r.path), "%s/race%u", t->dir, i);
			r.report = report[1];
			/* Its share, with numbers of its own */
			r.iteration = i * iterations / RACERS;
			r.stop = (i + 1) * iterations / RACERS;
			racer_main(&r);
		}
		close(report[1]);
		reports[i] = (struct pollfd){ .fd = report[0], .events = POLLIN };
	}
	dio_result(name, race_wait(reports, pids));
}

/*
 * 7. References that are not dropped: their pages are not free again.
 */
#define LEAK_SPLICES	2000
#define LEAK_LENGTH	65536
#define LEAK_ROUNDS	3

static long long available_kb(void)
{
	long long kb = -1;
	char line[128];
	FILE *f;

	f = fopen("/proc/meminfo", "r");
	if (!f)
		dio_die("/proc/meminfo: %s\n", strerror(errno));
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %lld", &kb) == 1)
			break;
	fclose(f);
	return kb;
}

static const char *leak_round(struct dio_target *t)
{
	long long lost = available_kb(), moved = LEAK_SPLICES * (LEAK_LENGTH / 1024);
	unsigned int i;
	int pipe[2];

	make_pipe(pipe, LEAK_LENGTH);
	for (i = 0; i < LEAK_SPLICES; i++) {
		off64_t pos = i % 16 * LEAK_LENGTH;
		ssize_t n;

		n = splice(t->fd, &pos, pipe[1], NULL, LEAK_LENGTH, 0);
		if (n != LEAK_LENGTH || read_pipe(pipe[0], got, n) != n) {
			close_pipe(pipe);
			return dio_because("splice %u: %s", i, n < 0 ? strerror(errno) : "short");
		}
	}
	close_pipe(pipe);
	lost -= available_kb();
	if (lost <= moved / 4)
		return NULL;
	return dio_because("LOST %lld KiB when %lld were moved", lost, moved);
}

/* The device itself is enough for that. */
static void test_leak(struct dio_target *t, unsigned int unused)
{
	const char *why = NULL;
	unsigned int i;
	char name[96];

	if (strcmp(t->name, "raw"))
		return;
	snprintf(name, sizeof(name), "%s memory is free again", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (available_kb() < 0)
		return dio_result_skip(name, "/proc/meminfo has no MemAvailable");
	/* Somebody else may take memory, but not each time. */
	for (i = 0; i < LEAK_ROUNDS; i++) {
		why = leak_round(t);
		if (!why)
			break;
	}
	dio_result(name, why);
}

static const struct dio_option options[] = {
	{ 'n', "COUNT", "iterations of each race; without it, what is done in 3 seconds",
	  .number = &asked },
	DIO_OPTION_TARGETS,
	{ 0 }
};

static const struct dio_case cases[] = {
	{ .run_on = test_transfer,
	  .nr = NR_WAYS * ARRAY_SIZE(pipe_kinds) * ARRAY_SIZE(transfer_shapes) },
	{ .run_on = test_copy, .nr = ARRAY_SIZE(copies) },
	{ .run_on = test_tail, .nr = ARRAY_SIZE(tails) },
	{ .run_on = test_end },
	{ .run_on = test_occupied, .nr = ARRAY_SIZE(occupied) },
	{ .run_on = test_held },
	{ .run_on = test_race, .nr = ARRAY_SIZE(races) },
	{ .run_on = test_leak },
};

static void all_cases(void)
{
	dio_cases_on_targets(cases, ARRAY_SIZE(cases), NULL);
}

static void start(void)
{
	unsigned int i;

	if (asked) {
		iterations = asked;
		all_iterations = true;
	}
	dio_disk_init();
	expected = dio_map(DIO_FILE_SIZE, dio_page_size, false);
	got = dio_map(DIO_FILE_SIZE, dio_page_size, false);
	for (i = 0; i < DIO_FILE_SIZE; i++)
		expected[i] = dio_pattern(i);
}

int main(int argc, char **argv)
{
	static const struct dio_program program = {
		.options = options, .start = start, .cases = all_cases, .no_pins = true,
	};

	return dio_main(&program, argc, argv);
}
