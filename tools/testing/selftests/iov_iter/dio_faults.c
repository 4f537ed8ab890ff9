// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O that fails: on a device with an area of errors, on a device whose
 * table is swapped under reads in flight, from a page that is pinned more often
 * than its count can say, and with memory and requests that the fault injection of
 * the kernel refuses.  Of a network file system, it is the client whose memory
 * fails: only this task is concerned, and its server is another.
 *
 * Whatever fails, the call must end in an error or in a short but right result,
 * must leave alone what it was not asked to change, and must release each page
 * that it took.
 *
 * /proc/self/fail-nth makes the Nth thing fail that can fail in a system call.
 * So every call is made once for each N until there are no more, which takes it
 * through all of its error paths.  Threads of the kernel do not have that: for
 * what io_uring hands to them, and for several failures in one call, faults are
 * injected at random, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/nvme_ioctl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "lib/cases.h"
#include "lib/disk.h"
#include "lib/dm.h"
#include "lib/memory.h"
#include "lib/pins.h"
#include "lib/result.h"
#include "lib/system.h"
#include "lib/target.h"

#define SECTOR		512
#define MAX_SEGMENTS	600
#define ARENA_SIZE	(8 * DIO_MIB)
#define MARGIN		(64UL * 1024)	/* of the file, checked around a write */
#define DEFAULT_COUNT	500
#define ALL_NTH		32		/* to here each, then one in a while */
#define MAX_CALLS	100		/* of a server, in one I/O */
#define MAX_NTH		50000		/* a call that can fail in more ways never ends */
#define RANDOM_IOS	64
#define MAX_RANDOM_IOS	4000
#define DEBUGFS		"/sys/kernel/debug"
#define KMEMLEAK	DEBUGFS "/kmemleak"
#define KMEMLEAK_AGE_MS	6000		/* younger than 5 s is not reported */

/* Where the device of the first part fails */
#define BAD_START	(2 * DIO_MIB)
#define BAD_LENGTH	(32UL * 1024)

enum operation {
	PREAD,
	PREADV,
	AIO_READ,
	URING_READ,
	NVME_READ,
	PWRITE,
	PWRITEV,
	AIO_WRITE,
	URING_WRITE,
	NVME_WRITE,
	NR_OPERATIONS,
};

static const struct {
	const char *name;
	bool vector;
} operations[NR_OPERATIONS] = {
	[PREAD]		= { "pread" },
	[PREADV]	= { "preadv", true },
	[AIO_READ]	= { "aio preadv", true },
	[URING_READ]	= { "uring readv", true },
	[NVME_READ]	= { "passthrough read" },
	[PWRITE]	= { "pwrite" },
	[PWRITEV]	= { "pwritev", true },
	[AIO_WRITE]	= { "aio pwritev", true },
	[URING_WRITE]	= { "uring writev", true },
	[NVME_WRITE]	= { "passthrough write" },
};

static bool writes(enum operation op)
{
	return op >= PWRITE;
}

static bool passes_through(enum operation op)
{
	return op == NVME_READ || op == NVME_WRITE;
}

/*
 * @segment: @gap: in bytes; -1 is a logical block
 * @fresh: memory never touched: to take its pages needs more memory
 * @once: takes long, hence is not repeated to get at the number of faults
 */
static const struct shape {
	unsigned int nr;
	int segment, gap;
	bool fresh, once;
} shapes[] = {
	{ 1, 4096, 0 },
	{ 1, 65536, 0 },
	{ 1, 65536, 0,		.fresh = true },
	{ 17, 4096, -1 },
	{ 9, 8192, 0,		.fresh = true },
	/* More pages than a bio has, and more segments than fit on the stack */
	{ 1, 0x140000, 0,	.once = true },
	{ 600, -1, -1,		.once = true },
};

struct io {
	enum operation op;
	const struct shape *shape;
	int fd;			/* the I/O is done to this */
	int check_fd;		/* and what it did is read from this */
	unsigned int block;
	size_t segment, gap, length, span;
	off_t pos;
	off_t bad, bad_end;	/* no I/O is possible in between */
	bool foreign;		/* a read that fails may leave anything where it read */
};

static unsigned long long seed;
static io_context_t aio;
static struct io_uring uring;
static unsigned char *arena;		/* a page, the segments, a page */
static unsigned char *source;		/* random, to be written */
static unsigned char *marks, *zeros;	/* what reads may find in the arena */
static const unsigned char *shadow;	/* what the arena held before */
static unsigned char *model;		/* of the file */
static unsigned char *scratch;

/* The target of this part cannot be read any more: a write of it took it along. */
static bool lost;

static enum {
	NO_FAULTS,
	NTH_FAULT,
	RANDOM_FAULTS,
} mode;

static int nth_file = -1, task_file = -1;
static unsigned int nth;
static bool injected;		/* the Nth fault happened */

/* These two are called with nothing but a system call in between. */
static void faults_begin(void)
{
	char value[16];
	int n;

	if (mode == NTH_FAULT) {
		n = sprintf(value, "%u", nth);
		if (pwrite(nth_file, value, n, 0) != n)
			dio_die("fail-nth: %s\n", strerror(errno));
	} else if (mode == RANDOM_FAULTS) {
		if (pwrite(task_file, "1", 1, 0) != 1)
			dio_die("make-it-fail: %s\n", strerror(errno));
	}
}

static void faults_end(void)
{
	char value[16] = "";
	int error = errno;

	if (mode == NTH_FAULT) {
		if (pread(nth_file, value, sizeof(value) - 1, 0) <= 0 ||
		    pwrite(nth_file, "0", 1, 0) != 1)
			dio_die("fail-nth: %s\n", strerror(errno));
		injected = !strtoul(value, NULL, 10);
	} else if (mode == RANDOM_FAULTS) {
		if (pwrite(task_file, "0", 1, 0) != 1)
			dio_die("make-it-fail: %s\n", strerror(errno));
	}
	errno = error;
}

static void io_init(struct io *io, enum operation op, const struct shape *s, unsigned int block)
{
	memset(io, 0, sizeof(*io));
	io->op = op;
	io->shape = s;
	io->block = block;
	io->segment = s->segment < 0 ? block : s->segment;
	io->gap = s->gap < 0 ? block : s->gap;
	io->length = s->nr * io->segment;
	io->span = 2 * dio_page_size + s->nr * (io->segment + io->gap);
}

static bool io_fits(enum operation op, const struct shape *s, unsigned int block)
{
	if (s->nr > 1 && !operations[op].vector)
		return false;
	/* A controller takes so much in a command. */
	if (passes_through(op) && s->segment > 65536)
		return false;
	return s->segment < 0 || s->segment % block == 0;
}

/* Give the arena, and @shadow, the contents that they have before the I/O. */
static void io_fill(const struct io *io)
{
	size_t at;

	if (io->shape->fresh) {
		madvise(arena, io->span, MADV_DONTNEED);
		shadow = zeros;
		return;
	}
	if (writes(io->op)) {
		for (at = 0; at < io->span; at += SECTOR)
			*(unsigned long long *)(source + at) = dio_random();
		shadow = source;
	} else {
		shadow = marks;
	}
	memcpy(arena, shadow, io->span);
}

static void uring_open(void)
{
	int ret = io_uring_queue_init(4, &uring, 0);

	if (ret)
		dio_die("io_uring_setup: %s\n", strerror(-ret));
}

static ssize_t do_uring(const struct io *io, const struct iovec *iov)
{
	struct __kernel_timespec limit = { .tv_sec = DIO_DEADLINE_SECONDS };
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring);
	struct io_uring_cqe *cqe;
	ssize_t n;
	int ret;

	if (writes(io->op))
		io_uring_prep_writev(sqe, io->fd, iov, io->shape->nr, io->pos);
	else
		io_uring_prep_readv(sqe, io->fd, iov, io->shape->nr, io->pos);
	faults_begin();
	ret = io_uring_submit(&uring);
	faults_end();
	if (ret != 1) {
		/* The entry is still in the ring, and would be submitted with the next. */
		io_uring_queue_exit(&uring);
		uring_open();
		return ret < 0 ? ret : -EAGAIN;
	}
	ret = io_uring_wait_cqe_timeout(&uring, &cqe, &limit);
	if (ret)
		dio_die("an io_uring request does not end: %s\n", strerror(-ret));
	n = cqe->res;
	io_uring_cqe_seen(&uring, cqe);
	return n;
}

static void aio_prepare(struct iocb *iocb, const struct io *io, const struct iovec *iov)
{
	if (writes(io->op))
		io_prep_pwritev(iocb, io->fd, iov, io->shape->nr, io->pos);
	else
		io_prep_preadv(iocb, io->fd, iov, io->shape->nr, io->pos);
}

static ssize_t do_aio(const struct io *io, const struct iovec *iov)
{
	struct timespec limit = { .tv_sec = DIO_DEADLINE_SECONDS };
	struct iocb iocb, *list = &iocb;
	struct io_event event;
	int ret;

	aio_prepare(&iocb, io, iov);
	faults_begin();
	ret = io_submit(aio, 1, &list);
	faults_end();
	if (ret != 1)
		return ret < 0 ? ret : -EAGAIN;
	if (io_getevents(aio, 1, 1, &event, &limit) != 1)
		dio_die("an aio request does not end\n");
	return (long)event.res;
}

/* A command for the controller, whose data block/blk-map.c maps */
static ssize_t do_nvme(const struct io *io)
{
	struct nvme_passthru_cmd cmd = {
		.opcode = writes(io->op) ? 1 : 2,
		.nsid = ioctl(io->fd, NVME_IOCTL_ID),
		.addr = (unsigned long)arena + dio_page_size,
		.data_len = io->length,
		.cdw10 = io->pos / io->block,
		.cdw12 = io->length / io->block - 1,
	};
	int ret;

	faults_begin();
	ret = ioctl(io->fd, NVME_IOCTL_IO_CMD, &cmd);
	faults_end();
	if (ret < 0)
		return -errno;
	return ret ? -EIO : io->length;
}

/* The number of bytes, or a negative errno */
static ssize_t io_do(const struct io *io)
{
	static struct iovec iov[MAX_SEGMENTS];
	unsigned int i;
	ssize_t n;

	for (i = 0; i < io->shape->nr; i++) {
		iov[i].iov_base = arena + dio_page_size + i * (io->segment + io->gap);
		iov[i].iov_len = io->segment;
	}
	switch (io->op) {
	case PREAD:
	case PWRITE:
		faults_begin();
		n = writes(io->op) ? pwrite(io->fd, iov->iov_base, io->length, io->pos) :
				     pread(io->fd, iov->iov_base, io->length, io->pos);
		break;
	case PREADV:
	case PWRITEV:
		faults_begin();
		n = writes(io->op) ? pwritev(io->fd, iov, io->shape->nr, io->pos) :
				     preadv(io->fd, iov, io->shape->nr, io->pos);
		break;
	case AIO_READ:
	case AIO_WRITE:
		return do_aio(io, iov);
	case URING_READ:
	case URING_WRITE:
		return do_uring(io, iov);
	default:
		return do_nvme(io);
	}
	faults_end();
	return n < 0 ? -errno : n;
}

static bool in_bad(const struct io *io, off_t pos)
{
	return pos >= io->bad && pos < io->bad_end;
}

/* The first @n bytes were read: the rest is right, or as it was. */
static const char *check_read(const struct io *io, size_t n)
{
	size_t at = dio_page_size, done = 0, k;
	unsigned int i;

	if (memcmp(arena, shadow, dio_page_size))
		return "memory before the read changed";
	for (i = 0; i < io->shape->nr; i++, at += io->segment + io->gap) {
		for (k = 0; k < io->segment; k += SECTOR, done += SECTOR) {
			off_t pos = io->pos + done;

			if (!in_bad(io, pos) && !memcmp(arena + at + k, model + pos, SECTOR))
				continue;
			if (done < n)
				return "wrong bytes were read";
			if (!io->foreign && memcmp(arena + at + k, shadow + at + k, SECTOR))
				return "wrong bytes where nothing was read";
		}
		if (memcmp(arena + at + k, shadow + at + k, io->gap))
			return "memory between the segments changed";
	}
	if (memcmp(arena + at, shadow + at, dio_page_size))
		return "memory behind the read changed";
	return NULL;
}

/* The first @n bytes were written: each sector of the rest is new, or as it was. */
static const char *check_write(const struct io *io, size_t n)
{
	off_t start = io->pos > MARGIN ? io->pos - MARGIN : 0, end, pos;
	size_t at = dio_page_size, done = 0, k;
	unsigned int i;

	if (memcmp(arena, shadow, io->span))
		return "a write changed its source";
	end = io->pos + io->length + MARGIN;
	if (end > DIO_FILE_SIZE)
		end = DIO_FILE_SIZE;
	if (pread(io->check_fd, scratch, end - start, start) != end - start) {
		lost = true;
		return NULL;
	}
	pos = io->pos + io->length;
	if (memcmp(scratch, model + start, io->pos - start) ||
	    memcmp(scratch + pos - start, model + pos, end - pos))
		return "the file changed around a write";
	for (i = 0; i < io->shape->nr; i++, at += io->segment + io->gap) {
		for (k = 0; k < io->segment; k += SECTOR, done += SECTOR) {
			unsigned char *there, *before;

			pos = io->pos + done;
			there = scratch + pos - start;
			before = model + pos;
			if (!in_bad(io, pos) && !memcmp(there, shadow + at + k, SECTOR)) {
				memcpy(before, there, SECTOR);
				continue;
			}
			if (memcmp(there, before, SECTOR))
				return "a write left bytes that were never there";
			if (done < n)
				return "what was written is not there";
		}
	}
	return NULL;
}

static const char *io_check(const struct io *io, ssize_t n)
{
	/* The last two are what io_uring says when it got no thread. */
	static const int clean[] = { EIO, ENOMEM, EFAULT, ENOSPC, EROFS, EAGAIN, ECANCELED };
	unsigned int i;

	if (n < 0) {
		for (i = 0; i < ARRAY_SIZE(clean) && n != -clean[i]; i++)
			;
		if (i == ARRAY_SIZE(clean))
			return "not an error to be expected";
		n = 0;
	} else if (!n) {
		return "neither data nor an error";
	} else if (n > io->length) {
		return "more than asked for";
	}
	return writes(io->op) ? check_write(io, n) : check_read(io, n);
}

/* @wrong, and with what I/O */
static const char *describe(const struct io *io, ssize_t n, const char *wrong)
{
	static const char * const counted[] = {
		[NO_FAULTS] = "I/O", [NTH_FAULT] = "fault", [RANDOM_FAULTS] = "I/O" };

	return dio_because("%s %u: %s of %u segments of %zu%s at %lld, result %zd: %s",
			   counted[mode], nth,
			   operations[io->op].name, io->shape->nr, io->segment,
			   io->shape->fresh ? ", never touched" : "", (long long)io->pos, n, wrong);
}

static unsigned char *map(size_t size)
{
	return dio_map(size, dio_page_size, false);
}

static void buffers_open(void)
{
	size_t i;

	arena = map(ARENA_SIZE);
	source = map(ARENA_SIZE);
	marks = map(ARENA_SIZE);
	zeros = map(ARENA_SIZE);
	model = map(DIO_FILE_SIZE);
	scratch = map(DIO_FILE_SIZE);
	memset(zeros, 0, ARENA_SIZE);
	memset(scratch, 0, DIO_FILE_SIZE);
	memset(marks, DIO_UNTOUCHED, ARENA_SIZE);
	for (i = 0; i < ARENA_SIZE; i += sizeof(long long))
		*(unsigned long long *)(source + i) = dio_random();
}

/*
 * The scratch disk itself, and above it a device with a table of its own.
 */
static int disk_fd = -1;
static unsigned long long disk_sectors;
static struct dio_dm bad_dm;

static void disk_fill(void)
{
	off_t pos;

	for (pos = 0; pos < DIO_FILE_SIZE; pos++)
		model[pos] = dio_pattern(pos);
	dio_full_pwrite(disk_fd, model, DIO_FILE_SIZE, 0);
}

static void disk_open(void)
{
	unsigned int block;

	disk_fd = open(dio_disk_path(), O_RDWR | O_DIRECT | O_CLOEXEC);
	if (disk_fd < 0 || dio_device_size(dio_disk_path(), &disk_sectors, &block))
		dio_die("%s: %s\n", dio_disk_path(), strerror(errno));
	disk_fill();
}

static void linear_line(struct dio_dm_line *line, unsigned long long start,
			unsigned long long sectors)
{
	line->type = "linear";
	line->sectors = sectors;
	snprintf(line->params, sizeof(line->params), "%s %llu", dio_disk_path(), start);
}

/* The tables that the device gets */
enum table {
	GOOD,
	BAD,
	BAD_MIDDLE,
	DELAYED,
	FLAKEY_DOWN,
	FLAKEY_ERROR_WRITES,
	FLAKEY_DROP_WRITES,
};

static int table_load(enum table table)
{
	static const char * const flakey[] = {
		[FLAKEY_DOWN]		= "",
		[FLAKEY_ERROR_WRITES]	= " 1 error_writes",
		[FLAKEY_DROP_WRITES]	= " 1 drop_writes",
	};
	unsigned long long end = (BAD_START + BAD_LENGTH) / SECTOR;
	struct dio_dm_line lines[3] = { 0 };

	switch (table) {
	case GOOD:
		linear_line(lines, 0, disk_sectors);
		break;
	case BAD:
		lines->type = "error";
		break;
	case BAD_MIDDLE:
		linear_line(&lines[0], 0, BAD_START / SECTOR);
		lines[1].type = "error";
		lines[1].sectors = BAD_LENGTH / SECTOR;
		linear_line(&lines[2], end, disk_sectors - end);
		return dio_dm_load(&bad_dm, lines, 3);
	case DELAYED:
		lines->type = "delay";
		snprintf(lines->params, sizeof(lines->params), "%s 0 3600000", dio_disk_path());
		break;
	default:
		/* Up for 0 s, then down for 1 s, again and again: never up */
		lines->type = "flakey";
		snprintf(lines->params, sizeof(lines->params), "%s 0 0 1%s", dio_disk_path(),
			 flakey[table]);
	}
	lines->sectors = disk_sectors;
	return dio_dm_load(&bad_dm, lines, 1);
}

static void table_must_load(enum table table)
{
	int ret = table_load(table);

	if (ret)
		dio_die("table %d of the device mapper: %s\n", table, strerror(-ret));
}

static int bad_open(enum table table)
{
	int fd, ret;

	ret = dio_dm_create(&bad_dm, "faults");
	if (ret)
		dio_die("device mapper: %s\n", strerror(-ret));
	ret = table_load(table);
	if (ret)
		return ret;
	fd = open(bad_dm.path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		dio_die("%s: %s\n", bad_dm.path, strerror(errno));
	return fd;
}

static void bad_close(int fd)
{
	if (fd >= 0)
		close(fd);
	if (dio_dm_remove(&bad_dm))
		dio_print("%s cannot be removed\n", bad_dm.path);
}

/* How the I/O lies to the area of errors, and whether its start can be had */
enum place {
	ENDS_BEFORE,
	ENDS_INSIDE,
	IS_INSIDE,
	BEGINS_INSIDE,
	BEGINS_AFTER,
	SPANS,
	NR_PLACES,
};

static const char * const place_names[NR_PLACES] = {
	[ENDS_BEFORE]	= "ends before it",
	[ENDS_INSIDE]	= "ends inside of it",
	[IS_INSIDE]	= "is inside of it",
	[BEGINS_INSIDE]	= "begins inside of it",
	[BEGINS_AFTER]	= "begins behind it",
	[SPANS]		= "spans it",
};

/* The position of the I/O, or -1 if it is too short or too long for the place */
static off_t position_at(enum place place, const struct io *io)
{
	size_t half = io->length / 2 / io->block * io->block;
	size_t more = io->length - BAD_LENGTH;
	off_t pos;

	switch (place) {
	case ENDS_BEFORE:
		pos = BAD_START - io->length;
		break;
	case ENDS_INSIDE:
		if (!half)
			return -1;
		pos = BAD_START - (half < BAD_LENGTH ? half : io->length - io->block);
		break;
	case IS_INSIDE:
		if (io->length + io->block > BAD_LENGTH)
			return -1;
		pos = BAD_START + io->block;
		break;
	case BEGINS_INSIDE:
		if (!half)
			return -1;
		pos = BAD_START + BAD_LENGTH - (half < BAD_LENGTH ? half : io->block);
		break;
	case BEGINS_AFTER:
		pos = BAD_START + BAD_LENGTH;
		break;
	default:
		if (io->length < BAD_LENGTH + 2 * io->block)
			return -1;
		pos = BAD_START - (more / 2 + io->block - 1) / io->block * io->block;
	}
	return pos < 0 || pos + io->length > DIO_FILE_SIZE ? -1 : pos;
}

static const char *check_place(enum place place, const struct io *io, ssize_t n)
{
	if (place == ENDS_BEFORE || place == BEGINS_AFTER) {
		if (n != io->length)
			return "failed or short, where no errors are";
	} else if (n < 0 ? n != -EIO : n > io->bad - io->pos) {
		return "neither EIO nor short";
	}
	return io_check(io, n);
}

static int area_fd = -1;	/* of the device with an area of errors */

static void run_place(unsigned int i_case)
{
	enum operation op = i_case / NR_PLACES;
	enum place place = i_case % NR_PLACES;
	const char *wrong = NULL;
	unsigned int i, tried = 0;
	char name[80];
	struct io io;
	ssize_t n;

	if (passes_through(op))
		return;
	snprintf(name, sizeof(name), "error area: %s that %s", operations[op].name,
		 place_names[place]);
	if (dio_lists_one(name))
		return;
	for (i = 0; i < ARRAY_SIZE(shapes) && !wrong; i++) {
		if (!io_fits(op, &shapes[i], dio_block_size))
			continue;
		io_init(&io, op, &shapes[i], dio_block_size);
		io.fd = area_fd;
		io.check_fd = disk_fd;
		io.bad = BAD_START;
		io.bad_end = BAD_START + BAD_LENGTH;
		io.pos = position_at(place, &io);
		if (io.pos < 0)
			continue;
		tried++;
		io_fill(&io);
		n = io_do(&io);
		wrong = check_place(place, &io, n);
		if (wrong)
			wrong = describe(&io, n, wrong);
	}
	if (!tried)
		dio_result_skip(name, "no size does");
	else
		dio_result(name, lost ? "the disk cannot be read" : wrong);
	/* The next result starts from what is there, not from this failure. */
	if (wrong)
		disk_fill();
}

static const struct dio_case area_cases[] = {
	{ .run = run_place, .nr = NR_OPERATIONS * NR_PLACES },
};

static void error_area(void)
{
	if (!dio_cases_wanted(area_cases, ARRAY_SIZE(area_cases), NULL))
		return;
	if (dio_running())
		area_fd = bad_open(BAD_MIDDLE);
	if (dio_running() && area_fd < 0)
		dio_die("an area of errors: %s\n", strerror(-area_fd));
	dio_cases(area_cases, ARRAY_SIZE(area_cases), NULL);
	if (dio_running())
		bad_close(area_fd);
}

/*
 * Tables swapped while reads are in flight.  The reads go to @before; while they
 * are held above the device it becomes @after, and they reach that.  DELAYED
 * holds them itself: swapped out, it passes on what it has, to the disk.
 */
static const struct swap {
	const char *name;
	enum table before, after;
	bool data;		/* all of them are to succeed */
} swaps[] = {
	{ "reads held while the device turns bad", GOOD, BAD, false },
	{ "reads held while a bad device turns good", BAD, GOOD, true },
	{ "reads held while the device gets an area of errors", GOOD, BAD_MIDDLE, false },
	{ "reads held by the table that is swapped out", DELAYED, BAD, true },
};

#define NR_HELD	8

struct held {
	struct iocb iocb[NR_HELD];
	struct iovec iov[NR_HELD];
	struct io_event events[NR_HELD];
	size_t length, stride;
	off_t pos;
};

/* Reads that lie around the start of the area of errors, one behind the other */
static void held_submit(struct held *h, int fd)
{
	struct iocb *list[NR_HELD];
	unsigned int i;

	h->length = 16 * dio_page_size;
	h->stride = h->length + dio_page_size;
	h->pos = BAD_START - NR_HELD / 2 * h->length;
	memcpy(arena, marks, NR_HELD * h->stride + dio_page_size);
	for (i = 0; i < NR_HELD; i++) {
		h->iov[i].iov_base = arena + dio_page_size + i * h->stride;
		h->iov[i].iov_len = h->length;
		io_prep_preadv(&h->iocb[i], fd, &h->iov[i], 1, h->pos + i * h->length);
		list[i] = &h->iocb[i];
	}
	if (io_submit(aio, NR_HELD, list) != NR_HELD)
		dio_die("the reads to be held cannot be submitted\n");
}

static const char *held_check(struct held *h, const struct swap *s)
{
	struct timespec limit = { .tv_sec = DIO_DEADLINE_SECONDS };
	struct io io = {
		.op = AIO_READ, .shape = shapes, .segment = h->length, .gap = dio_page_size,
		.length = h->length,
	};
	unsigned int i;
	bool good;

	if (io_getevents(aio, NR_HELD, NR_HELD, h->events, &limit) != NR_HELD)
		dio_die("the reads that were held do not end\n");
	for (i = 0; i < NR_HELD; i++) {
		unsigned int k = h->events[i].obj - h->iocb;
		unsigned char *mem = h->iov[k].iov_base;
		long n = (long)h->events[i].res;

		io.pos = h->pos + k * h->length;
		good = s->data ||
		       (s->after == BAD_MIDDLE && (io.pos + h->length <= BAD_START ||
						   io.pos >= BAD_START + BAD_LENGTH));
		if (n != (good ? h->length : -EIO))
			return describe(&io, n, good ? "failed" : "not EIO");
		/* Of the one that meets the area, a part may have been read. */
		if (good ? memcmp(mem, model + io.pos, h->length) != 0 :
		    s->after == BAD && memcmp(mem, marks, h->length))
			return describe(&io, n, "wrong bytes in memory");
		if (memcmp(mem - dio_page_size, marks, dio_page_size) ||
		    memcmp(mem + h->length, marks, dio_page_size))
			return describe(&io, n, "memory around changed");
	}
	return NULL;
}

static const char *works(int fd)
{
	if (pread(fd, scratch, DIO_FILE_SIZE, 0) != DIO_FILE_SIZE)
		return "the file cannot be read any more";
	return memcmp(scratch, model, DIO_FILE_SIZE) ? "the file differs from the model" : NULL;
}

static void run_swap(unsigned int i)
{
	const struct swap *s = &swaps[i];
	bool own = s->before == DELAYED;
	const char *wrong = NULL;
	struct held h;
	int fd, top;

	if (dio_lists_one(s->name))
		return;
	fd = bad_open(s->before);
	if (fd < 0)
		dio_die("%s: %s\n", s->name, strerror(-fd));
	top = fd;
	if (!own) {
		int ret = dio_delay_open(bad_dm.path, disk_sectors, false);

		if (ret)
			dio_die("dm-delay over %s: %s\n", bad_dm.path, strerror(-ret));
		top = open(dio_delay_path(), O_RDWR | O_DIRECT | O_CLOEXEC);
		if (top < 0)
			dio_die("%s: %s\n", dio_delay_path(), strerror(errno));
		dio_hold();
	}
	held_submit(&h, top);
	if (!own && !dio_wait_held())
		wrong = "set-up: nothing is held";
	table_must_load(s->after);
	if (!own)
		dio_release();
	if (!wrong)
		wrong = held_check(&h, s);
	if (!wrong && s->after == BAD && (pread(fd, arena, dio_page_size, 0) >= 0 || errno != EIO))
		wrong = "the bad table is not there";
	table_must_load(GOOD);
	if (!wrong)
		wrong = works(top);
	if (!own) {
		close(top);
		dio_delay_close();
	}
	bad_close(fd);
	dio_result(s->name, wrong);
}

/* dm-flakey that is always down.  @read, @write: what the results are; 0 is all. */
static const struct flakey {
	const char *name;
	enum table table;
	int read, write;
} flakeys[] = {
	{ "dm-flakey that is down", FLAKEY_DOWN, -EIO, -EIO },
	{ "dm-flakey that fails writes", FLAKEY_ERROR_WRITES, 0, -EIO },
	{ "dm-flakey that drops writes", FLAKEY_DROP_WRITES, 0, 0 },
};

static const char *flakey_io(int fd, enum operation op, const struct flakey *f)
{
	const struct shape *s = operations[op].vector ? &shapes[3] : &shapes[1];
	int want = writes(op) ? f->write : f->read;
	const char *wrong;
	struct io io;
	ssize_t n;

	io_init(&io, op, s, dio_block_size);
	io.fd = fd;
	io.check_fd = disk_fd;
	io.pos = DIO_MIB;
	io_fill(&io);
	n = io_do(&io);
	if (n != (want ? want : io.length))
		return describe(&io, n, "not the result it must be");
	/* Dropped: reported as written, but not there */
	wrong = writes(op) ? check_write(&io, 0) : io_check(&io, n);
	if (!wrong && writes(op) && !memcmp(model + io.pos, shadow + dio_page_size, SECTOR))
		wrong = "written";
	return wrong ? describe(&io, n, wrong) : NULL;
}

static void run_flakey(unsigned int i)
{
	const struct flakey *f = &flakeys[i];
	const char *wrong = NULL;
	unsigned int op;
	int fd;

	if (dio_lists_one(f->name))
		return;
	dio_modprobe("dm-flakey");
	fd = bad_open(f->table);
	if (fd < 0) {
		dio_result_skip(f->name, fd == -EINVAL ? "there is no dm-flakey" : strerror(-fd));
		bad_close(fd);
		return;
	}
	for (op = 0; op < NR_OPERATIONS && !wrong; op++)
		if (!passes_through(op))
			wrong = flakey_io(fd, op, f);
	table_must_load(GOOD);
	if (!wrong)
		wrong = works(fd);
	bad_close(fd);
	dio_result(f->name, wrong);
}

/*
 * One page that CROWD requests in flight name in each of their segments.  A pin of a
 * small page is 2^10 references, and its count ends at 2^31: they are some more.
 * What is too much is refused for lack of memory, and only to those who ask for it:
 * nobody who takes a reference to the page meanwhile is to see an error.
 */
#define CROWD_SEGMENTS	1024
#define CROWD		((1U << 21) / CROWD_SEGMENTS + 8)
#define CROWD_BATCH	64

static const struct crowd {
	const char *name;
	bool file;		/* a page of this program, written from */
} crowds[] = {
	{ "a page read into by 2^21 segments at once", false },
	{ "a page of a file written from by 2^21 segments at once", true },
};

/* Those who take a reference: why they cannot, or NULL */
static const char *crowd_reference(unsigned char *page, const unsigned char *was)
{
	struct iovec iov = { page, SECTOR };
	unsigned char copy[SECTOR];
	const char *wrong = NULL;
	int ends[2];

	if (memcmp(page, was, SECTOR))
		return "the page changed";
	if (pipe(ends))
		dio_die("pipe: %s\n", strerror(errno));
	if (vmsplice(ends[1], &iov, 1, 0) != SECTOR)
		wrong = "vmsplice() is refused";
	else if (read(ends[0], copy, SECTOR) != SECTOR || memcmp(copy, was, SECTOR))
		wrong = "vmsplice() brings something else";
	close(ends[0]);
	close(ends[1]);
	return wrong;
}

/* Another process: its own copy of anonymous memory, the same page of a file */
static const char *crowd_other(const struct crowd *c, unsigned char *page,
			       const unsigned char *was)
{
	unsigned char copy[SECTOR], *again;
	const char *wrong;
	int fd;

	wrong = crowd_reference(page, was);
	if (wrong)
		return wrong;
	if (!c->file) {
		if (pread(disk_fd, page, dio_page_size, 0) != dio_page_size ||
		    memcmp(page, model, dio_page_size))
			return "a direct read into the copy fails";
		return NULL;
	}
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	again = mmap(NULL, dio_page_size, PROT_READ, MAP_SHARED, fd, 0);
	if (again == MAP_FAILED || pread(fd, copy, SECTOR, 0) != SECTOR)
		return "the file cannot be mapped and read";
	if (memcmp(again, was, SECTOR) || memcmp(copy, was, SECTOR))
		return "the file changed";
	close(fd);
	if (pwrite(disk_fd, page, dio_page_size, 0) != dio_page_size && errno != ENOMEM)
		return "a direct write from it is not refused for lack of memory";
	return NULL;
}

static const char *crowd_meanwhile(const struct crowd *c, unsigned char *page,
				   const unsigned char *was)
{
	static char problem_of_child[80];
	const char *wrong = crowd_reference(page, was);
	int ends[2];
	ssize_t n;
	pid_t pid;

	if (wrong)
		return wrong;
	if (pipe(ends))
		dio_die("pipe: %s\n", strerror(errno));
	pid = fork();
	if (pid < 0) {
		wrong = "fork() fails";
	} else if (!pid) {
		wrong = crowd_other(c, page, was);
		if (wrong && write(ends[1], wrong, strlen(wrong)) < 0)
			_exit(1);
		_exit(wrong ? 1 : 0);
	}
	close(ends[1]);
	n = read(ends[0], problem_of_child, sizeof(problem_of_child) - 1);
	close(ends[0]);
	if (pid > 0 && waitpid(pid, NULL, 0) != pid)
		dio_die("waitpid: %s\n", strerror(errno));
	if (n > 0) {
		problem_of_child[n] = '\0';
		wrong = problem_of_child;
	}
	return wrong;
}

static void crowd_submit(const struct crowd *c, io_context_t ctx, int fd, unsigned char *page)
{
	static struct iovec iov[CROWD_SEGMENTS];
	static struct iocb iocbs[CROWD_BATCH], *list[CROWD_BATCH];
	unsigned int i, n;

	for (i = 0; i < CROWD_SEGMENTS; i++)
		iov[i] = (struct iovec){ page, SECTOR };
	for (i = 0; i < CROWD; i += n) {
		for (n = 0; n < CROWD_BATCH && i + n < CROWD; n++) {
			list[n] = &iocbs[n];
			if (c->file)
				io_prep_pwritev(list[n], fd, iov, CROWD_SEGMENTS, 0);
			else
				io_prep_preadv(list[n], fd, iov, CROWD_SEGMENTS, 0);
		}
		if (io_submit(ctx, n, list) != n)
			dio_die("the requests cannot be submitted\n");
	}
}

/* All of them end: in the error of the device, or refused */
static const char *crowd_results(io_context_t ctx)
{
	struct timespec limit = { .tv_sec = DIO_DEADLINE_SECONDS };
	static struct io_event events[CROWD];
	unsigned int i, refused = 0;

	if (io_getevents(ctx, CROWD, CROWD, events, &limit) != CROWD)
		dio_die("the requests do not end\n");
	for (i = 0; i < CROWD; i++) {
		long res = (long)events[i].res;

		if (res != -EIO && res != -ENOMEM)
			return dio_because("a request ends in %ld", res);
		refused += res == -ENOMEM;
	}
	dio_print("%u of %u requests were refused\n", refused, CROWD);
	return NULL;
}

static void run_crowd(unsigned int i)
{
	const struct crowd *c = &crowds[i];
	struct dio_dm dm = { 0 };
	struct dio_dm_line line = { .sectors = disk_sectors };
	int exe, fd, bottom, ret;
	unsigned char *page, was[SECTOR];
	io_context_t ctx = NULL;
	const char *wrong;

	if (dio_lists_one(c->name))
		return;
	exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	page = mmap(NULL, dio_page_size, c->file ? PROT_READ : PROT_READ | PROT_WRITE,
		    c->file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, c->file ? exe : -1, 0);
	if (exe < 0 || page == MAP_FAILED)
		dio_die("%s: %s\n", c->name, strerror(errno));
	if (!c->file)
		memset(page, DIO_UNTOUCHED, dio_page_size);
	memcpy(was, page, SECTOR);

	/* Nothing but errors, held above: neither takes time. */
	bottom = bad_open(BAD);
	line.type = "delay";
	snprintf(line.params, sizeof(line.params), "%s 0 3600000", bad_dm.path);
	ret = dio_dm_create(&dm, "crowd");
	if (!ret)
		ret = dio_dm_load(&dm, &line, 1);
	if (!ret)
		ret = io_setup(CROWD, &ctx);
	if (bottom < 0 || ret)
		dio_die("%s: %s\n", c->name, strerror(-ret));
	fd = open(dm.path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		dio_die("%s: %s\n", dm.path, strerror(errno));

	crowd_submit(c, ctx, fd, page);
	wrong = crowd_meanwhile(c, page, was);
	line.type = "error";
	line.params[0] = '\0';
	ret = dio_dm_load(&dm, &line, 1);
	if (ret)
		dio_die("the requests cannot be released: %s\n", strerror(-ret));
	if (!wrong)
		wrong = crowd_results(ctx);
	io_destroy(ctx);
	close(fd);
	if (dio_dm_remove(&dm))
		dio_print("%s cannot be removed\n", dm.path);
	bad_close(bottom);

	if (!wrong)
		wrong = dio_pins_problem(false);
	if (!wrong && pwrite(disk_fd, page, dio_page_size, 0) != dio_page_size)
		wrong = "the page cannot be written from afterwards";
	disk_fill();
	munmap(page, dio_page_size);
	close(exe);
	dio_result(c->name, wrong);
}

/* Kinds of faults, and how many of a hundred fail when they are injected at random */
static const struct {
	const char *name, *percent;
} kinds[] = {
	{ "failslab", "10" },
	{ "fail_page_alloc", "5" },
	{ "fail_make_request", "10" },
};

#define SLAB		1
#define PAGES		2
#define REQUESTS	4
#define ALL_KINDS	(SLAB | PAGES | REQUESTS)

/*
 * The knobs of fault injection.  Only this task is concerned, all kinds of memory
 * are, and nothing is logged.
 */
static const struct {
	const char *name, *value;
	unsigned int kinds;
} knobs[] = {
	{ "probability", "0", ALL_KINDS },
	{ "interval", "1", ALL_KINDS },
	{ "space", "0", ALL_KINDS },
	{ "verbose", "0", ALL_KINDS },
	{ "task-filter", "Y", ALL_KINDS },
	{ "times", "1000000000", ALL_KINDS },
	{ "ignore-gfp-wait", "N", SLAB | PAGES },
	{ "ignore-gfp-highmem", "N", PAGES },
	{ "cache-filter", "N", SLAB },
	{ "min-order", "0", PAGES },
};

/* What they are set back to on exit; empty if they were not set */
static char knobs_before[ARRAY_SIZE(kinds)][ARRAY_SIZE(knobs)][16];

static pid_t owner;
static const char *no_faults;		/* why none can be injected, or NULL */
static unsigned long long asked = DEFAULT_COUNT, total;
static unsigned int results_left;	/* that inject faults */

static void knobs_restore(void)
{
	unsigned int kind, i;

	if (getpid() != owner)
		return;
	/* An exit() in the middle of it all: nothing must fail from here on. */
	if (pwrite(nth_file, "0", 1, 0) != 1)
		dio_print("fail-nth: %s\n", strerror(errno));
	for (kind = 0; kind < ARRAY_SIZE(kinds); kind++)
		for (i = 0; i < ARRAY_SIZE(knobs); i++)
			if (knobs_before[kind][i][0])
				dio_write_file(knobs_before[kind][i], DEBUGFS "/%s/%s",
					       kinds[kind].name, knobs[i].name);
}

static bool knobs_set(unsigned int kind)
{
	unsigned int i;
	char path[64];

	for (i = 0; i < ARRAY_SIZE(knobs); i++) {
		if (!(knobs[i].kinds & 1U << kind))
			continue;
		snprintf(path, sizeof(path), DEBUGFS "/%s/%s", kinds[kind].name, knobs[i].name);
		if (dio_read_file(knobs_before[kind][i], sizeof(knobs_before[kind][i]), path) ||
		    dio_write_file(knobs[i].value, "%s", path))
			return false;
	}
	return true;
}

static void faults_open(void)
{
	unsigned int kind;

	mount("none", DEBUGFS, "debugfs", 0, "");
	nth_file = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	task_file = open("/proc/self/make-it-fail", O_RDWR | O_CLOEXEC);
	if (nth_file < 0 || task_file < 0) {
		no_faults = "the kernel has no fault injection";
		return;
	}
	owner = getpid();
	atexit(knobs_restore);
	for (kind = 0; kind < ARRAY_SIZE(kinds); kind++)
		if (!knobs_set(kind))
			no_faults = "a kind of fault injection is missing";
}

static void probabilities_set(bool on)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		dio_write_file(on ? kinds[i].percent : "0",
			       DEBUGFS "/%s/probability", kinds[i].name);
}

/* How many faults the kernel may still inject: it counts down. */
static unsigned long long times_left(void)
{
	unsigned long long left = 0;
	char path[64], value[16];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(path, sizeof(path), DEBUGFS "/%s/times", kinds[i].name);
		if (!dio_read_file(value, sizeof(value), path))
			left += strtoull(value, NULL, 10);
	}
	return left;
}

/* Requests to this device are among what can fail. */
static void make_it_fail(const char *device, bool on)
{
	const char *name = strrchr(device, '/');

	if (name)
		dio_write_file(on ? "1" : "0", "/sys/block%s/make-it-fail", name);
}

/* What the result to come has to contribute: the last one all that is missing */
static unsigned long long quota(void)
{
	unsigned long long more = asked > total ? asked - total : 0;

	return (more + results_left - 1) / results_left;
}

/* A target and the number it was opened by; the bare disk has none. */
struct victim {
	struct dio_target t;
	int id;
	unsigned int losses;
	unsigned long long total;	/* before it */
};

#define BARE_DISK	(-1)

static struct victim victim;	/* the one that the cases are done on now */

static void victim_open(struct victim *v)
{
	lost = false;
	if (v->id == BARE_DISK) {
		v->t = (struct dio_target){
			.name = "disk", .fd = disk_fd, .block = dio_block_size };
		disk_fill();
	} else {
		dio_target_open(&v->t, v->id);
	}
	if (v->t.skip)
		return;
	dio_full_pread(v->t.fd, model, DIO_FILE_SIZE, 0);
	make_it_fail(dio_disk_path(), true);
	make_it_fail(v->id == BARE_DISK ? "" : dio_delay_path(), true);
	if (!v->t.dir[0])
		make_it_fail(v->t.path, true);
}

static void victim_close(struct victim *v)
{
	make_it_fail(dio_disk_path(), false);
	if (v->id != BARE_DISK && !v->t.skip)
		dio_target_close(&v->t);
}

/* A file system that gave up is made anew. */
static void victim_revive(struct victim *v)
{
	v->losses++;
	victim_close(v);
	victim_open(v);
	if (v->t.skip)
		dio_die("%s: lost, and not there again: %s\n", v->t.name, v->t.skip);
}

/*
 * Not written to: a sequential zone, which takes no second write; nilfs2, whose
 * writes all go through the page cache; btrfs, where a write allocates, and what
 * fails in there unbalances its own accounts of space, of which it warns.
 *
 * Nor is zonefs read asynchronously: it takes a mutex to handle the error of a
 * read, which is in an interrupt then.
 */
static bool victim_takes(const char *name, enum operation op)
{
	static const char * const read_only[] = { "zonefs", "nilfs2", "btrfs",
						   "btrfs-nodatasum" };
	unsigned int i;

	if (passes_through(op))
		return !strcmp(name, "nvme");
	if ((op == AIO_READ || op == URING_READ) && !strcmp(name, "zonefs"))
		return false;
	for (i = 0; i < ARRAY_SIZE(read_only); i++)
		if (writes(op) && !strcmp(name, read_only[i]))
			return false;
	return true;
}

/* A server is asked once for each segment, or piece of what it takes at a time. */
static bool victim_fits(const struct victim *v, enum operation op, const struct shape *s)
{
	struct io io;

	io_init(&io, op, s, v->t.block);
	if (v->t.server && s->nr > MAX_CALLS)
		return false;
	if (v->t.io_size && io.length > MAX_CALLS * v->t.io_size)
		return false;
	return io_fits(op, s, v->t.block);
}

static bool fails_still(const struct io *io)
{
	bool fails;

	mode = NO_FAULTS;
	fails = io_do(io) < 0;
	mode = NTH_FAULT;
	return fails;
}

static const char *one_io(struct victim *v, enum operation op, const struct shape *s, off_t pos)
{
	const char *wrong;
	struct io io;
	ssize_t n;

	io_init(&io, op, s, v->t.block);
	io.fd = v->t.fd;
	io.check_fd = v->t.fd;
	io.pos = pos;
	/* It decrypts in place, if it gets that far. */
	io.foreign = !strcmp(v->t.name, "dm-crypt");
	io_fill(&io);
	n = io_do(&io);
	/* A write to NFS fails with EACCES if there is no memory for its credential. */
	if (n == -EACCES && writes(op) && !strncmp(v->t.name, "nfs", 3) &&
	    (mode == RANDOM_FAULTS || injected))
		wrong = check_write(&io, 0);
	else
		wrong = io_check(&io, n);
	if (!wrong && mode == NTH_FAULT && !injected && n != io.length) {
		/* A file system that gave up because of a fault before takes no other. */
		lost = writes(op) && v->t.dir[0] && !v->t.server && fails_still(&io);
		if (!lost)
			wrong = "failed or short without a fault";
	}
	if (lost) {
		victim_revive(v);
		wrong = works(v->t.fd);
	}
	return wrong ? describe(&io, n, wrong) : NULL;
}

static off_t random_position(const struct shape *s, unsigned int block)
{
	struct io io;

	io_init(&io, PREAD, s, block);
	return dio_below((DIO_FILE_SIZE - io.length) / block + 1) * block;
}

/*
 * Everything that can fail in one call fails in turn.  Where that is much, it is
 * the same for every page or segment: from ALL_NTH on, chance leaves some out.
 */
static const char *each_fault(struct victim *v, enum operation op, const struct shape *s)
{
	off_t pos = random_position(s, v->t.block);
	const char *wrong = NULL;

	mode = NTH_FAULT;
	for (nth = 1; nth < MAX_NTH; nth += nth < ALL_NTH ? 1 : 1 + dio_below(nth / 4)) {
		wrong = one_io(v, op, s, pos);
		if (wrong || !injected)
			break;
		total++;
	}
	mode = NO_FAULTS;
	return nth < MAX_NTH ? wrong : "there is no end of faults in a call";
}

static void run_each(unsigned int op)
{
	unsigned long long before, start = total, want;
	struct victim *v = &victim;
	const char *wrong = NULL;
	bool first = true;
	unsigned int i;
	char name[80];

	if (!victim_takes(v->t.name, op))
		return;
	snprintf(name, sizeof(name), "%s %s: each fault in turn", v->t.name, operations[op].name);
	if (dio_lists_one(name))
		return;
	want = quota();
	results_left--;
	if (no_faults || v->t.skip)
		return dio_result_skip(name, no_faults ? no_faults : v->t.skip);
	/* Every result can be had alone, whatever ran before it. */
	dio_random_seed(seed + op + 1);
	do {
		before = total;
		for (i = 0; i < ARRAY_SIZE(shapes) && !wrong; i++)
			if (victim_fits(v, op, &shapes[i]) && (first || !shapes[i].once))
				wrong = each_fault(v, op, &shapes[i]);
		first = false;
	} while (!wrong && total > before && total - start < want);
	if (!wrong && total == start)
		wrong = "no fault was injected";
	dio_result(name, wrong);
}

/*
 * Faults at random: several in a call, and in what io_uring's threads do.  They
 * inherit make-it-fail from the task that starts them, hence a new ring.
 */
static void run_random(unsigned int unused)
{
	unsigned long long left = 0, found = 0, want;
	struct victim *v = &victim;
	const char *wrong = NULL;
	enum operation op;
	unsigned int i, k;
	char name[80];

	snprintf(name, sizeof(name), "%s: faults at random", v->t.name);
	if (dio_lists_one(name))
		return;
	want = quota();
	results_left--;
	if (no_faults || v->t.skip)
		return dio_result_skip(name, no_faults ? no_faults : v->t.skip);
	dio_random_seed(seed + NR_OPERATIONS + 1);
	io_uring_queue_exit(&uring);
	uring_open();
	left = times_left();
	probabilities_set(true);
	mode = RANDOM_FAULTS;
	for (i = 0; i < MAX_RANDOM_IOS && (i < RANDOM_IOS || found < want) && !wrong;) {
		op = dio_below(NR_OPERATIONS);
		k = dio_below(ARRAY_SIZE(shapes));
		if (!victim_takes(v->t.name, op) ||
		    !victim_fits(v, op, &shapes[k]) || (shapes[k].once && i >= RANDOM_IOS))
			continue;
		nth = ++i;
		wrong = one_io(v, op, &shapes[k], random_position(&shapes[k], v->t.block));
		if (i % 16 == 0)
			found = left - times_left();
	}
	mode = NO_FAULTS;
	probabilities_set(false);
	total += left - times_left();
	/* Its threads would go on failing. */
	io_uring_queue_exit(&uring);
	uring_open();
	dio_result(name, wrong);
}

static void run_works(unsigned int unused)
{
	struct victim *v = &victim;
	char name[80];

	snprintf(name, sizeof(name), "%s: works afterwards", v->t.name);
	if (dio_lists_one(name))
		return;
	if (no_faults || v->t.skip)
		return dio_result_skip(name, no_faults ? no_faults : v->t.skip);
	dio_result(name, works(v->t.fd));
	dio_print("%s: %llu faults, made anew %u times\n", v->t.name, total - v->total,
		  v->losses);
}

static const struct dio_case victim_cases[] = {
	{ .run = run_each, .nr = NR_OPERATIONS },
	{ .run = run_random },
	{ .run = run_works },
};

static void run_victim(int id)
{
	const char *name = id == BARE_DISK ? "disk" : dio_target_name(id);

	victim = (struct victim){ .id = id, .t.name = name, .total = total };
	if (!dio_cases_wanted(victim_cases, ARRAY_SIZE(victim_cases), NULL))
		return;
	if (dio_running() && !no_faults)
		victim_open(&victim);
	dio_cases(victim_cases, ARRAY_SIZE(victim_cases), NULL);
	if (dio_running() && !no_faults)
		victim_close(&victim);
}

static unsigned int nr_injecting(const char *name)
{
	unsigned int op, nr = 1;

	for (op = 0; op < NR_OPERATIONS; op++)
		nr += victim_takes(name, op);
	return nr;
}

static void run_count(unsigned int unused)
{
	char name[64];

	snprintf(name, sizeof(name), "at least %llu faults were injected", asked);
	if (dio_lists_one(name))
		return;
	if (no_faults)
		return dio_result_skip(name, no_faults);
	dio_print("%llu faults were injected\n", total);
	dio_result(name, total < asked ? dio_because("only %llu", total) : NULL);
}

/* Forget the leaks of before, which a scan must have found to be forgotten. */
static void kmemleak_start(void)
{
	if (!dio_write_file("scan", KMEMLEAK))
		dio_write_file("clear", KMEMLEAK);
}

static void run_kmemleak(unsigned int unused)
{
	static const char name[] = "nothing is leaked";
	unsigned long long start = dio_now_ms();
	static char report[400];
	int ret;

	if (dio_lists_one(name))
		return;
	/* One scan more than it takes for the last of what was leaked to be old enough */
	do {
		ret = dio_write_file("scan", KMEMLEAK);
	} while (!ret && dio_now_ms() - start < KMEMLEAK_AGE_MS);
	if (!ret)
		ret = dio_write_file("scan", KMEMLEAK);
	if (!ret)
		ret = dio_read_file(report, sizeof(report), KMEMLEAK);
	if (ret == -ENOENT)
		return dio_result_skip(name, "the kernel has no kmemleak");
	if (ret)
		return dio_result_skip(name, "kmemleak has switched itself off");
	report[strcspn(report, "\n")] = '\0';
	dio_result(name, report[0] ? report : NULL);
}

static const struct dio_option options[] = {
	{ 'n', "COUNT", "inject at least so many faults", .number = &asked },
	{ 's', "SEED", "repeat the run that printed this seed", .number = &seed },
	DIO_OPTION_TARGETS,
	{ 0 }
};

static const struct dio_case cases[] = {
	{ .run = run_swap, .nr = ARRAY_SIZE(swaps) },
	{ .run = run_flakey, .nr = ARRAY_SIZE(flakeys) },
	{ .run = run_crowd, .nr = ARRAY_SIZE(crowds) },
};

static const struct dio_case last_cases[] = {
	{ .run = run_count },
	{ .run = run_kmemleak },
};

static void all_cases(void)
{
	unsigned int id;

	error_area();
	dio_cases(cases, ARRAY_SIZE(cases), NULL);
	for (id = 0; id < dio_nr_targets(); id++)
		run_victim(id);
	/* Last: it makes up for targets that are not available. */
	run_victim(BARE_DISK);
	if (dio_running()) {
		io_uring_queue_exit(&uring);
		io_destroy(aio);
		close(disk_fd);
	}
	dio_cases(last_cases, ARRAY_SIZE(last_cases), NULL);
}

static void defaults(void)
{
	if (!seed) {
		seed = dio_now_ms();
		dio_again("-s %llu", seed);
	}
	dio_target_network();
}

static void start(void)
{
	struct timespec now = { 0 };
	struct io_event event;
	unsigned int id;
	int ret;

	dio_disk_init();
	results_left = nr_injecting("disk");
	for (id = 0; id < dio_nr_targets(); id++)
		results_left += nr_injecting(dio_target_name(id));
	dio_print("seed %llu: repeat with -s %llu\n", seed, seed);
	dio_random_seed(seed + 1);
	buffers_open();
	ret = io_setup(NR_HELD, &aio);
	if (!ret)	/* This maps its ring: io_submit() takes a failed mapping for -EINVAL. */
		ret = io_getevents(aio, 0, 1, &event, &now);
	if (ret)
		dio_die("io_setup: %s\n", strerror(-ret));
	uring_open();
	disk_open();
	faults_open();
	kmemleak_start();
}

int main(int argc, char **argv)
{
	static const struct dio_program program = {
		.options = options, .defaults = defaults, .start = start,
		.cases = all_cases,
	};

	return dio_main(&program, argc, argv);
}
