// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O over a network file system, where it differs from that to a disk: any
 * alignment, a server that reads less or fails, a wait that a signal ends while the
 * I/O goes on, requests that are smaller than a page or sent once more.
 *
 * Servers run in this machine.  What they are asked for is held in flight by the
 * disk below, or by a server that has a single thread, which is held.  smbd can
 * be stopped.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "dio_lib.h"

#define GUARD		4096		/* bytes around a buffer that must not change */
#define OTHERS_SIZE	(64 * DIO_MIB)
#define XDR_PAD		3		/* a reply is a multiple of four bytes */
#define LEAK_TRIES	20
#define SPLICE_SIZE	(4 * 4096)

static char problem[160];
static bool uncounted;

/* The server's own view of the file, through its page cache */
static const char *server_has(const struct dio_target *t, size_t len, off_t pos, unsigned int kind)
{
	unsigned char *buf = dio_map(len, dio_page_size, false);
	int fd = open(t->server_path, O_RDONLY | O_CLOEXEC);
	const char *why;

	if (fd < 0)
		dio_die("%s: %s\n", t->server_path, strerror(errno));
	dio_full_pread(fd, buf, len, pos);
	close(fd);
	why = dio_compare(buf, len, pos, kind);
	munmap(buf, len);
	return why;
}

/* The file as dio_target_open() left it, for the next test */
static void restore(const struct dio_target *t)
{
	unsigned char *buf = dio_map(DIO_FILE_SIZE, dio_page_size, false);
	int fd = t->fd;

	dio_fill(buf, DIO_FILE_SIZE, 0, 0);
	if (ftruncate(t->fd, DIO_FILE_SIZE))
		dio_die("%s: %s\n", t->path, strerror(errno));
	/* A client of small requests would take seconds for it. */
	if (t->io_size)
		fd = open(t->server_path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		dio_die("%s: %s\n", t->server_path, strerror(errno));
	dio_full_pwrite(fd, buf, DIO_FILE_SIZE, 0);
	if (t->io_size)
		close(fd);
	munmap(buf, DIO_FILE_SIZE);
}

/* Lengths, positions in the file and in the first page, as no disk takes them */
static const struct shape {
	size_t length;
	off_t pos;
	unsigned int offset;
	bool large;
} shapes[] = {
	{ 1, 0, 0 },
	{ 1, 4095, 4095 },
	{ 511, 1, 3 },
	{ 513, 4000, 3900 },
	{ 4095, 4097, 1 },
	{ 4096, 1, 0 },
	{ 4097, 8191, 4095 },
	{ 65537, 12345, 77 },
	{ DIO_MIB + 1, 1000003, 2049 },
	{ 16 * DIO_MIB, 0, 513, .large = true },
};

static void run_shape(const struct dio_target *t, const struct shape *s, bool write)
{
	size_t size = s->offset + s->length + 2 * GUARD;
	unsigned char *mem, *buf;
	const char *why = t->skip;
	char name[96];

	snprintf(name, sizeof(name), "%s %s of %zu at %lld, memory at %u", t->name,
		 write ? "pwrite" : "pread", s->length, (long long)s->pos, s->offset);
	if (!why && s->large && t->io_size)
		why = "too many requests of that size";
	if (why)
		return dio_result_skip(name, why);

	mem = dio_map(size, dio_page_size, false);
	memset(mem, DIO_UNTOUCHED, size);
	buf = mem + GUARD + s->offset;
	if (s->large) {
		dio_fill(buf, s->length, s->pos, 0);
		dio_full_pwrite(t->fd, buf, s->length, s->pos);
		memset(mem, DIO_UNTOUCHED, size);
	}
	if (write) {
		dio_fill(buf, s->length, s->pos, 0x40);
		why = dio_count(pwrite(t->fd, buf, s->length, s->pos), s->length);
		if (!why)
			why = dio_compare(buf, s->length, s->pos, 0x40);
		if (!why)
			why = server_has(t, s->length, s->pos, 0x40);
		if (!why && s->pos)
			why = server_has(t, s->pos, 0, 0);
		if (!why && s->pos + s->length < DIO_FILE_SIZE)
			why = server_has(t, DIO_FILE_SIZE - s->pos - s->length,
					 s->pos + s->length, 0);
	} else {
		why = dio_count(pread(t->fd, buf, s->length, s->pos), s->length);
		if (!why)
			why = dio_compare(buf, s->length, s->pos, 0);
	}
	if (!why)
		why = dio_unchanged(mem, buf - mem, "before the buffer");
	if (!why)
		why = dio_unchanged(buf + s->length, mem + size - buf - s->length,
				    "behind the buffer");
	munmap(mem, size);
	if (write || s->large)
		restore(t);
	dio_result(name, why);
}

/* Segments in one page, that join, that are empty, and that begin and end anywhere */
static void run_segments(const struct dio_target *t, bool write)
{
	size_t page = dio_page_size, size = 16 * page, len = 0;
	unsigned char *mem;
	const char *why;
	struct iovec iov[8];
	off_t pos = 777;
	char name[96];
	int i;

	snprintf(name, sizeof(name), "%s %s of segments of any alignment", t->name,
		 write ? "pwritev" : "preadv");
	if (t->skip)
		return dio_result_skip(name, t->skip);
	mem = dio_map(size, page, false);
	memset(mem, DIO_UNTOUCHED, size);
	iov[0] = (struct iovec){ mem + 1, 10 };
	iov[1] = (struct iovec){ mem + 11, 1 };
	iov[2] = (struct iovec){ mem + 100, page - 100 };
	iov[3] = (struct iovec){ mem, 0 };
	iov[4] = (struct iovec){ mem + page, 3 * page };
	iov[5] = (struct iovec){ mem + 5 * page, 2 * page + 17 };
	iov[6] = (struct iovec){ mem + 9 * page - 1, 1 };
	iov[7] = (struct iovec){ mem + 10 * page + 3, 3 * page };
	for (i = 0; i < ARRAY_SIZE(iov); len += iov[i++].iov_len)
		if (write)
			dio_fill(iov[i].iov_base, iov[i].iov_len, pos + len, 0x40);
	if (write) {
		why = dio_count(pwritev(t->fd, iov, ARRAY_SIZE(iov), pos), len);
		if (!why)
			why = server_has(t, len, pos, 0x40);
		restore(t);
	} else {
		why = dio_count(preadv(t->fd, iov, ARRAY_SIZE(iov), pos), len);
		for (i = 0, len = 0; i < ARRAY_SIZE(iov) && !why; len += iov[i++].iov_len)
			why = dio_compare(iov[i].iov_base, iov[i].iov_len, pos + len, 0);
		if (!why)
			why = dio_unchanged(mem + 11 + 1, 100 - 12, "between segments");
		if (!why)
			why = dio_unchanged(mem + 7 * page + 17, 2 * page - 18, "between segments");
	}
	munmap(mem, size);
	dio_result(name, why);
}

/* More is asked for than the file has. */
static void run_end(const struct dio_target *t)
{
	static const struct {
		off_t pos;
		size_t want;
	} reads[] = {
		{ 0, 5001 }, { 1, 5000 }, { 4095, 906 }, { 5000, 1 }, { 5001, 0 }, { 9000, 0 },
	};
	size_t len = 5 * dio_page_size;
	unsigned char *mem;
	const char *why = NULL;
	char name[96];
	int i;

	snprintf(name, sizeof(name), "%s pread past the end is short", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	mem = dio_map(len, dio_page_size, false);
	if (ftruncate(t->fd, 5001))
		dio_die("%s: %s\n", t->path, strerror(errno));
	for (i = 0; i < ARRAY_SIZE(reads) && !why; i++) {
		memset(mem, DIO_UNTOUCHED, len);
		why = dio_count(pread(t->fd, mem + 7, len - 7, reads[i].pos), reads[i].want);
		if (!why)
			why = dio_compare(mem + 7, reads[i].want, reads[i].pos, 0);
		if (!why)
			why = dio_unchanged(mem + 7 + reads[i].want + XDR_PAD,
					    len - 7 - reads[i].want - XDR_PAD, "past the end");
	}
	restore(t);
	munmap(mem, len);
	dio_result(name, why);
}

/* A pipe gets what there is, and no more. */
static void run_splice_end(const struct dio_target *t)
{
	unsigned char buf[8192];
	const char *why = NULL;
	off_t pos = 4095;
	int p[2], in_pipe;
	char name[96];

	snprintf(name, sizeof(name), "%s splice past the end is short", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (pipe(p) || ftruncate(t->fd, 5001))
		dio_die("%s: %s\n", t->path, strerror(errno));
	why = dio_count(splice(t->fd, &pos, p[1], NULL, 65536, 0), 906);
	if (!why && (ioctl(p[0], FIONREAD, &in_pipe) || in_pipe != 906)) {
		snprintf(problem, sizeof(problem), "%d bytes are in the pipe, 906 were read",
			 in_pipe);
		why = problem;
	}
	if (!why)
		why = dio_count(read(p[0], buf, sizeof(buf)), 906);
	if (!why)
		why = dio_compare(buf, 906, 4095, 0);
	close(p[0]);
	close(p[1]);
	restore(t);
	dio_result(name, why);
}

/* What is in the page cache and not written back is what a direct read is to see. */
static void run_cached(const struct dio_target *t, bool spliced)
{
	static unsigned char cached[4096], buf[4096];
	int fd = open(t->path, O_RDWR | O_CLOEXEC), p[2];
	const char *why = NULL;
	off_t pos = 8192;
	char name[96];

	snprintf(name, sizeof(name), "%s %s sees what is in the page cache", t->name,
		 spliced ? "splice" : "pread");
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (fd < 0 || pipe(p))
		dio_die("%s: %s\n", t->path, strerror(errno));
	dio_fill(cached, sizeof(cached), pos, 1);
	why = dio_count(pwrite(fd, cached, sizeof(cached), pos), sizeof(cached));
	if (!why && spliced)
		why = dio_count(splice(t->fd, &pos, p[1], NULL, sizeof(buf), 0), sizeof(buf));
	if (!why && spliced)
		why = dio_count(read(p[0], buf, sizeof(buf)), sizeof(buf));
	if (!why && !spliced)
		why = dio_count(pread(t->fd, buf, sizeof(buf), pos), sizeof(buf));
	if (!why)
		why = dio_compare(buf, sizeof(buf), 8192, 1);
	close(p[0]);
	close(p[1]);
	close(fd);
	restore(t);
	dio_result(name, why);
}

/* Memory that ends before the I/O does: as much as there is memory for is done. */
static void run_unmapped(const struct dio_target *t, bool write, bool segments)
{
	size_t page = dio_page_size, there = 3 * page - 100;
	unsigned char *mem;
	const char *why;
	struct iovec iov[2];
	char name[96];
	off_t pos = 4321;
	ssize_t n;

	snprintf(name, sizeof(name), "%s %s %s unmapped memory is short", t->name,
		 write ? "pwrite" : "pread",
		 segments ? "whose second segment is" : "that runs into");
	if (t->skip)
		return dio_result_skip(name, t->skip);
	mem = dio_map(4 * page, page, false);
	memset(mem, DIO_UNTOUCHED, 3 * page);
	munmap(mem + 3 * page, page);
	if (write)
		dio_fill(mem + 100, there, pos, 0x40);
	if (segments) {
		there -= page;
		iov[0] = (struct iovec){ mem + 100, there };
		iov[1] = (struct iovec){ mem + 3 * page, page };
	} else {
		iov[0] = (struct iovec){ mem + 100, there + page };
	}
	n = write ? pwritev(t->fd, iov, 1 + segments, pos) : preadv(t->fd, iov, 1 + segments, pos);
	why = dio_count(n, there);
	if (!why)
		why = write ? server_has(t, there, pos, 0x40) :
			      dio_compare(mem + 100, there, pos, 0);
	if (!why && write)
		why = server_has(t, DIO_FILE_SIZE - pos - there, pos + there, 0);
	if (!why && (write ? pwrite(t->fd, mem + 3 * page, page, pos) :
		     pread(t->fd, mem + 3 * page, page, pos)) >= 0)
		why = "there was no memory at all, and no error";
	if (!why && errno != EFAULT)
		why = strerror(errno);
	munmap(mem, 3 * page);
	if (write)
		restore(t);
	dio_result(name, why);
}

static void run_read_only(const struct dio_target *t)
{
	size_t len = 3 * dio_page_size;
	unsigned char *mem;
	const char *why;
	char name[96];

	snprintf(name, sizeof(name), "%s read-only memory is a source and no destination", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	mem = dio_map(len, dio_page_size, false);
	dio_fill(mem, len, 99, 0x40);
	mprotect(mem, len, PROT_READ);
	why = dio_count(pwrite(t->fd, mem, len, 99), len);
	if (!why)
		why = server_has(t, len, 99, 0x40);
	if (!why && (pread(t->fd, mem, len, 5) != -1 || errno != EFAULT))
		why = "a read into it has not ended in EFAULT";
	if (!why)
		why = dio_compare(mem, len, 99, 0x40);
	munmap(mem, len);
	restore(t);
	dio_result(name, why);
}

/* Who writes to memory marks it dirty, and who reads it does not. */
static void run_dirty(const struct dio_target *t, bool write)
{
	const char *why = t->skip;
	char name[96];

	snprintf(name, sizeof(name), "%s %s", t->name, write ?
		 "pwrite leaves clean what it writes" : "pread marks dirty what it reads into");
	if (why)
		return dio_result_skip(name, why);
	why = dio_dirty_io(t->fd, write);
	if (write)
		restore(t);
	dio_result(name, why);
}

static void run_dirty_huge(const struct dio_target *t)
{
	const char *why = t->skip;
	char name[96];

	snprintf(name, sizeof(name), "%s pread marks dirty a huge page that it reads into",
		 t->name);
	if (why || !dio_dirty_huge_io(t->fd, &why))
		return dio_result_skip(name, why);
	dio_result(name, why);
}

/* A page that several requests have parts of is pinned once for each of them. */
static void run_pins(const struct dio_target *t, bool write)
{
	size_t len = 16 * dio_page_size, pins, want = len / dio_page_size;
	unsigned char *mem;
	const char *why;
	char name[96];

	snprintf(name, sizeof(name), "%s %s pins what it %s", t->name,
		 write ? "pwrite" : "pread", write ? "writes" : "reads into");
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (t->io_size && t->io_size < dio_page_size)
		want = len / t->io_size;
	mem = dio_map(len, dio_page_size, false);
	dio_fill(mem, len, 0, 0);
	pins = dio_pins_acquired();
	why = dio_count(write ? pwrite(t->fd, mem, len, 0) : pread(t->fd, mem, len, 0), len);
	pins = dio_pins_acquired() - pins;
	if (!why && pins != want) {
		snprintf(problem, sizeof(problem), "%zu pins were taken instead of %zu",
			 pins, want);
		why = problem;
	}
	munmap(mem, len);
	dio_result(name, why);
}

/* Read to a pipe and away from there. */
static const char *splice_away(const struct dio_target *t, unsigned int times)
{
	const char *why = NULL;
	int p[2], null;

	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0 || pipe2(p, O_CLOEXEC))
		dio_die("pipe: %s\n", strerror(errno));
	while (times-- && !why) {
		off_t pos = 0;

		why = dio_count(splice(t->fd, &pos, p[1], NULL, SPLICE_SIZE, 0), SPLICE_SIZE);
		if (!why)
			why = dio_count(splice(p[0], NULL, null, NULL, SPLICE_SIZE, 0),
					SPLICE_SIZE);
	}
	close(p[0]);
	close(p[1]);
	close(null);
	return why;
}

/*
 * Pages that are free or in slabs.  KASAN keeps freed objects for a while, now more
 * of them and now less, but not the pages that a pipe had.
 */
static long pages_left(void)
{
	return dio_vmstat("nr_free_pages") + dio_vmstat("nr_slab_reclaimable") +
	       dio_vmstat("nr_slab_unreclaimable");
}

/*
 * Pages that went into a pipe, and references of them, come back.  Others take memory
 * meanwhile, but hardly a quarter of a page for each splice, and not many times in a
 * row.
 */
static void run_splices(const struct dio_target *t)
{
	unsigned int try, times = t->io_size ? 50 : 200;
	const char *why;
	char name[96];
	long gone = 0;

	snprintf(name, sizeof(name), "%s splice leaves no page behind", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	/* What is allocated once is allocated now. */
	why = splice_away(t, times / 8);
	for (try = 0; try < LEAK_TRIES && !why; try++) {
		gone = pages_left();
		why = splice_away(t, times);
		gone -= pages_left();
		if (gone < (long)(times / 4))
			break;
	}
	if (!why && try == LEAK_TRIES) {
		snprintf(problem, sizeof(problem), "LEAKED: %ld pages less after %u splices",
			 gone, times);
		why = problem;
	}
	dio_result(name, why);
}

/* The disk below the server cannot read a block: what is before it is read. */
static void run_bad_block(const struct dio_target *t)
{
	/* ksmbd calls any error that it does not know a bad handle. */
	int error = t->server == DIO_KSMBD ? EBADF : EIO;
	int page = dio_page_size, fd, block = 4;
	size_t len = 16 * page;
	unsigned char *mem;
	const char *why;
	char name[96];
	ssize_t n;

	snprintf(name, sizeof(name), "%s pread over an error of the server's disk", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	fd = open(t->server_path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fsync(fd) || ioctl(fd, FIBMAP, &block) || !block)
		dio_die("%s: where it is on the disk: %s\n", t->server_path, strerror(errno));
	close(fd);
	mem = dio_map(len, page, false);
	memset(mem, DIO_UNTOUCHED, len);
	/* Both: empties the server's cache. */
	dio_hold();
	dio_break_reads(block * 8ULL, 8);
	n = pread(t->fd, mem, len, 0);
	why = n > 0 ? dio_count(n, 4 * 4096) : errno == error ? NULL : strerror(errno);
	if (!why && n > 0)
		why = dio_compare(mem, n, 0, 0);
	if (!why && (pread(t->fd, mem, len, 4 * 4096) != -1 || errno != error))
		why = "no error where it is";
	dio_break_reads(0, 0);
	if (!why)
		why = dio_count(pread(t->fd, mem, len, 0), len);
	if (!why)
		why = dio_compare(mem, len, 0, 0);
	munmap(mem, len);
	dio_result(name, why);
}

/* Has the process gone to sleep, not to be woken but by a fatal signal? */
static bool waits(pid_t pid)
{
	unsigned long long start = dio_now_ms();
	char path[40], stat[512], *state;

	sprintf(path, "/proc/%d/stat", pid);
	do {
		if (dio_read_file(stat, sizeof(stat), path))
			return false;
		state = strrchr(stat, ')');
		if (state && state[1] && state[2] == 'D')
			return true;
	} while (!dio_expired(start));
	return false;
}

static bool dies(pid_t pid)
{
	unsigned long long start = dio_now_ms();
	int status;

	kill(pid, SIGKILL);
	while (!waitpid(pid, &status, WNOHANG))
		if (dio_expired(start))
			return false;
	return true;
}

enum killed {
	KILLED_READ,
	KILLED_SPLICE_OUT,	/* from the file into a pipe */
	/* from here on they write */
	KILLED_WRITE,
	KILLED_SPLICE_IN,
	NR_KILLED,
};

static const char * const killed_names[NR_KILLED] = {
	[KILLED_READ]		= "pread",
	[KILLED_SPLICE_OUT]	= "splice from the file",
	[KILLED_WRITE]		= "pwrite",
	[KILLED_SPLICE_IN]	= "splice into the file",
};

#define KILLED_READ_SIZE	(16 * 4096UL)	/* as much as a pipe has room for */

/*
 * Only what does not fit into the sockets is not sent when the waiter is killed.  A
 * writer to SMB sends itself, and can't be killed until all is in there.
 */
static size_t killed_write_size(const struct dio_target *t)
{
	if (t->server >= DIO_SMB)
		return KILLED_READ_SIZE;
	return t->io_size ? 2 * DIO_MIB : 16 * DIO_MIB;
}

static void killed_child(const struct dio_target *t, enum killed way, int file)
{
	size_t size = way < KILLED_WRITE ? KILLED_READ_SIZE : killed_write_size(t);
	unsigned char *mem = dio_map(size, dio_page_size, false);
	off_t pos = 0;
	int p[2];

	dio_fill(mem, size, 0, 0x40);
	if (pipe(p) || fcntl(p[0], F_SETPIPE_SZ, size) < 0)
		_exit(2);
	switch (way) {
	case KILLED_READ:
		pread(t->fd, mem, size, 0);
		break;
	case KILLED_SPLICE_OUT:
		splice(t->fd, &pos, p[1], NULL, size, 0);
		break;
	case KILLED_WRITE:
		pwrite(file, mem, size, 0);
		break;
	default:
		if (write(p[1], mem, size) != size)
			_exit(2);
		/* Only the pipe has these pages. */
		munmap(mem, size);
		splice(p[0], NULL, file, &pos, size, 0);
	}
	_exit(1);
}

static void *read_thread(void *arg)
{
	const struct dio_target *t = arg;
	unsigned char byte;

	return pread(t->fd, &byte, 1, 0) == 1 ? NULL : "the read that holds the server failed";
}

/* Wait until the server has all of a file, and look at it. */
static const char *arrives(const char *path, size_t size)
{
	unsigned long long start = dio_now_ms();
	unsigned char *buf = dio_map(size, dio_page_size, false);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t so_far = 0;
	const char *why;
	struct stat st;

	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	while (!fstat(fd, &st) && st.st_size < size && !dio_expired(start)) {
		if (st.st_size > so_far)
			start = dio_now_ms();
		so_far = st.st_size;
	}
	/* What came first need not be the start of it. */
	do {
		if (pread(fd, buf, size, 0) != size)
			why = "not all of it arrived";
		else
			why = dio_compare(buf, size, 0, 0x40);
	} while (why && !dio_expired(start));
	close(fd);
	munmap(buf, size);
	return why;
}

/* What the client has sent of a file is as it was to be. */
static const char *in_order(const char *path, size_t size)
{
	unsigned char *buf = dio_map(size, dio_page_size, false);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *why = NULL;
	ssize_t i, n;

	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	n = pread(fd, buf, size, 0);
	for (i = 0; i < n && !why; i++)
		if (buf[i] && buf[i] != (dio_pattern(i) ^ 0x40))
			why = "CORRUPTED: the server got what was not to be written";
	close(fd);
	munmap(buf, size);
	return why;
}

/*
 * Who waits for an I/O is killed, and with it the memory goes, or the pipe.  The I/O
 * goes on: it must neither reach memory that others have by now, nor send theirs.
 */
static void run_killed(const struct dio_target *t, enum killed way)
{
	/* What is half sent by then, the SMB client does not go on with. */
	bool pauses = way >= KILLED_WRITE && t->server == DIO_SMB;
	unsigned long long calls, start;
	const char *why = t->skip;
	unsigned char *others;
	void *thread_why = NULL;
	pthread_t thread;
	cpu_set_t all, one;
	char name[96], path[100];
	int file = -1;
	pid_t pid;
	size_t i;

	snprintf(name, sizeof(name), "%s %s goes on when its process is killed", t->name,
		 killed_names[way]);
	if (!why && way >= KILLED_WRITE && t->server == DIO_KSMBD)
		why = "this server can't be held";
	if (why)
		return dio_result_skip(name, why);
	others = dio_map(OTHERS_SIZE, dio_page_size, false);
	/* Pages are freed to the CPU, whose next allocations get them first. */
	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	if (way >= KILLED_WRITE) {
		snprintf(path, sizeof(path), "%s/killed-%u", t->dir, way);
		file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
		if (file < 0)
			dio_die("%s: %s\n", path, strerror(errno));
		dio_server_threads(1);
	}
	calls = dio_client_calls(t->dir, "READ");
	dio_hold();
	if (pauses) {
		dio_smb_pause(true);
	} else if (way >= KILLED_WRITE) {
		if (pthread_create(&thread, NULL, read_thread, (void *)t))
			dio_die("no thread\n");
		if (!dio_wait_held())
			why = "set-up: the server is not held";
	}
	fflush(stdout);
	pid = fork();
	if (!pid)
		killed_child(t, way, file);
	start = dio_now_ms();
	while (!why && !pauses && !dio_held())
		if (dio_expired(start))
			why = "set-up: nothing is held";
	if (!why && !waits(pid))
		why = "set-up: the process does not wait";
	if (!dies(pid) && !why)
		why = "it cannot be killed";
	if (!why && !pauses && !dio_held())
		why = "set-up: it did not stay in flight";
	memset(others, DIO_UNTOUCHED, OTHERS_SIZE);
	dio_release();
	if (way >= KILLED_WRITE) {
		if (pauses) {
			dio_smb_pause(false);
			/* Behind all that was sent */
			thread_why = read_thread((void *)t);
		} else {
			pthread_join(thread, &thread_why);
			dio_server_threads(8);
		}
		if (!why)
			why = thread_why;
		/* The server's file of that name is next to its file of the target. */
		strcpy(path, t->server_path);
		sprintf(strrchr(path, '/'), "/killed-%u", way);
		if (!why)
			why = pauses ? in_order(path, killed_write_size(t)) :
				       arrives(path, killed_write_size(t));
		close(file);
		unlink(path);
	} else {
		/* Counted when the client is done with it */
		start = dio_now_ms();
		while (!why && dio_client_calls(t->dir, "READ") == calls)
			if (dio_expired(start))
				why = "the read does not end";
	}
	if (!why)
		why = dio_pins_problem(false);
	for (i = 0; i < OTHERS_SIZE && !why; i++)
		if (others[i] != DIO_UNTOUCHED)
			why = "CORRUPTED memory of another process";
	munmap(others, OTHERS_SIZE);
	sched_setaffinity(0, sizeof(all), &all);
	dio_result(name, why);
}

struct writer {
	int fd;
	unsigned char *mem;
	size_t length;
	ssize_t result;
	bool stops;
};

static void *write_thread(void *arg)
{
	struct writer *w = arg;

	w->result = pwrite(w->fd, w->mem, w->length, 0);
	if (w->result < 0)
		w->result = -errno;
	return NULL;
}

static void *stop_thread(void *arg)
{
	struct writer *w = arg;

	__atomic_store_n(&w->stops, true, __ATOMIC_SEQ_CST);
	dio_server_threads(0);
	return NULL;
}

/*
 * The server is stopped between the replies to several writes, which are not on its
 * disk yet, and the commit, and comes back as one that knows nothing of them: the
 * client has to send all of them once more.  Its result can be short, if it sends
 * only a part a second time: then it counts no more than that.
 *
 * It is the last of the writes that holds the server: of a part of a page, the rest
 * of which is read first.
 */
static void run_restart(const struct dio_target *t)
{
	struct writer w = { .fd = t->fd };
	unsigned long long calls, again, start = dio_now_ms();
	pthread_t writer, stopper;
	const char *why = NULL;
	char name[96];
	size_t full;

	snprintf(name, sizeof(name), "%s pwrite is sent again to a restarted server", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	full = (t->io_size ? 16 * 1024 : DIO_MIB);
	w.length = full + 333;
	w.mem = dio_map(w.length, dio_page_size, false);
	dio_fill(w.mem, w.length, 0, 0x40);
	dio_server_threads(1);
	calls = dio_client_calls(t->dir, "WRITE");
	dio_hold();
	if (pthread_create(&writer, NULL, write_thread, &w))
		dio_die("no thread\n");
	if (!dio_wait_held())
		why = "set-up: the last write is not held";
	if (pthread_create(&stopper, NULL, stop_thread, &w))
		dio_die("no thread\n");
	while (!__atomic_load_n(&w.stops, __ATOMIC_SEQ_CST) && !dio_expired(start))
		;
	if (!dio_wait_held() && !why)
		why = "set-up: the last write did not stay in flight";
	dio_release();
	pthread_join(stopper, NULL);
	again = dio_client_calls(t->dir, "WRITE");
	calls = again - calls;
	dio_server_run();
	pthread_join(writer, NULL);
	again = dio_client_calls(t->dir, "WRITE") - again;
	if (!why && !again)
		why = "nothing was sent to the restarted server";
	if (!why && (w.result <= 0 || w.result > w.length))
		why = dio_count(w.result, w.length);
	if (!why)
		why = server_has(t, w.length, 0, 0x40);
	if (!why)
		why = server_has(t, DIO_FILE_SIZE - w.length, w.length, 0);
	if (!why)
		why = dio_compare(w.mem, w.length, 0, 0x40);
	munmap(w.mem, w.length);
	restore(t);
	ksft_print_msg("%s: %llu calls of WRITE before the restart, %llu after it\n",
		       t->name, calls, again);
	dio_result(name, why);
}

struct reader {
	int fd;
	unsigned char *mem;
	size_t length;
	ssize_t result;
	pid_t tid;
};

static void *pread_thread(void *arg)
{
	struct reader *r = arg;

	__atomic_store_n(&r->tid, gettid(), __ATOMIC_SEQ_CST);
	r->result = pread(r->fd, r->mem, r->length, 0);
	if (r->result < 0)
		r->result = -errno;
	return NULL;
}

/* Has the kernel warned of anything? */
static bool warned(void)
{
	char value[32];

	return !dio_read_file(value, sizeof(value), "/proc/sys/kernel/tainted") &&
	       strtoull(value, NULL, 10) & 1 << 9;
}

/*
 * The memory of a read is a file's, next to the server's file of the target, and is
 * written back while the read is in flight: what is read is new to that file.
 */
static void run_mapped(const struct dio_target *t)
{
	struct reader r = { .fd = t->fd, .length = 4 * dio_page_size };
	unsigned char *disk = dio_map(r.length, dio_page_size, false);
	const char *why = t->skip;
	bool warned_before = warned();
	pthread_t reader;
	char name[96], path[100];
	int fd;

	snprintf(name, sizeof(name), "%s pread into a mapped file that is written back", t->name);
	if (why)
		return dio_result_skip(name, why);
	strcpy(path, t->server_path);
	strcpy(strrchr(path, '/'), "/mapped");
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	memset(disk, DIO_UNTOUCHED, r.length);
	dio_full_pwrite(fd, disk, r.length, 0);
	r.mem = mmap(NULL, r.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (r.mem == MAP_FAILED)
		dio_die("%s: mmap: %s\n", path, strerror(errno));
	/* Whatever it takes to write it once more is in memory then. */
	memset(r.mem, DIO_UNTOUCHED, r.length);
	if (msync(r.mem, r.length, MS_SYNC))
		dio_die("%s: msync: %s\n", path, strerror(errno));

	dio_hold();
	if (pthread_create(&reader, NULL, pread_thread, &r))
		dio_die("no thread\n");
	if (!dio_wait_held())
		why = "set-up: the read is not held";
	if (msync(r.mem, r.length, MS_SYNC) && !why)
		why = strerror(errno);
	if (!why && !dio_held())
		why = "set-up: it did not stay in flight";
	dio_release();
	pthread_join(reader, NULL);
	if (!why && r.result < 0)
		why = strerror(-r.result);
	if (!why)
		why = dio_count(r.result, r.length);
	if (!why)
		why = dio_compare(r.mem, r.length, 0, 0);
	if (msync(r.mem, r.length, MS_SYNC) && !why)
		why = strerror(errno);
	dio_full_pread(fd, disk, r.length, 0);
	if (!why && dio_compare(disk, r.length, 0, 0))
		why = "LOST: the file never got what was read";
	if (!why && !warned_before && warned())
		why = "the kernel warns";
	munmap(r.mem, r.length);
	munmap(disk, r.length);
	close(fd);
	unlink(path);
	dio_result(name, why);
}

#define PORTIONS_SIZE	(64 * DIO_MIB)

/*
 * As much is pinned as the client may have asked for by then, and not all that it is
 * going to ask for.  A fork() copies what is pinned.
 */
static void run_portions(const struct dio_target *t)
{
	struct reader r = { .length = PORTIONS_SIZE };
	size_t all = PORTIONS_SIZE / dio_page_size, pinned = 0;
	unsigned long long start = dio_now_ms();
	const char *why = t->skip;
	pthread_t reader;
	char name[96], path[100];
	pid_t pid;

	snprintf(name, sizeof(name), "%s pread pins what it has asked for", t->name);
	if (!why && t->server != DIO_SMB)
		why = t->server == DIO_KSMBD ? "this server can't be held" :
					       "it asks for all of it at once";
	if (why)
		return dio_result_skip(name, why);
	strcpy(path, t->server_path);
	strcpy(strrchr(path, '/'), "/portions");
	r.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (r.fd < 0 || ftruncate(r.fd, r.length))
		dio_die("%s: %s\n", path, strerror(errno));
	close(r.fd);
	snprintf(path, sizeof(path), "%s/portions", t->dir);
	r.fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (r.fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	r.mem = dio_map(r.length, dio_page_size, false);
	memset(r.mem, DIO_UNTOUCHED, r.length);

	dio_smb_pause(true);
	if (pthread_create(&reader, NULL, pread_thread, &r))
		dio_die("no thread\n");
	while (!pinned || !waits(__atomic_load_n(&r.tid, __ATOMIC_SEQ_CST))) {
		pinned = dio_vmstat("nr_foll_pin_acquired") - dio_vmstat("nr_foll_pin_released");
		if (dio_expired(start))
			break;
	}
	pinned = dio_vmstat("nr_foll_pin_acquired") - dio_vmstat("nr_foll_pin_released");
	if (!pinned)
		why = "set-up: nothing is pinned";
	else if (pinned >= all)
		why = "all of it is pinned";
	start = dio_now_ms();
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(0);
	start = dio_now_ms() - start;
	waitpid(pid, NULL, 0);
	dio_smb_pause(false);
	pthread_join(reader, NULL);
	ksft_print_msg("%s: %zu of %zu pages were pinned, fork() took %llu ms\n", t->name,
		       pinned, all, start);
	if (!why && r.result < 0)
		why = strerror(-r.result);
	if (!why)
		why = dio_count(r.result, r.length);
	if (!why && (r.mem[0] || memcmp(r.mem, r.mem + 1, r.length - 1)))
		why = "what was read is not the zeros of the file";
	munmap(r.mem, r.length);
	close(r.fd);
	unlink(path);
	dio_result(name, why);
}

/*
 * smbd is killed while it has a read in flight, and another takes its place: the
 * client connects to it, opens the file and asks once more.
 */
static void run_reconnect(const struct dio_target *t)
{
	struct reader r = { .fd = t->fd, .length = 16 * 4096 + 333 };
	unsigned long long calls, start;
	const char *why = t->skip;
	pthread_t reader;
	char name[96];

	snprintf(name, sizeof(name), "%s pread is asked again of a restarted server", t->name);
	if (!why && t->server == DIO_KSMBD)
		why = "the kernel's server ends when it likes to";
	if (why)
		return dio_result_skip(name, why);
	r.mem = dio_map(r.length, dio_page_size, false);
	memset(r.mem, DIO_UNTOUCHED, r.length);
	calls = dio_client_calls(t->dir, "READ");
	dio_hold();
	if (pthread_create(&reader, NULL, pread_thread, &r))
		dio_die("no thread\n");
	if (!dio_wait_held())
		why = "set-up: the read is not held";
	dio_server_threads(0);
	dio_release();
	/* It can't end before the disk does what it was asked for. */
	start = dio_now_ms();
	while (dio_port_answers(DIO_SMB_PORT) && !dio_expired(start))
		;
	dio_server_run();
	pthread_join(reader, NULL);
	if (!why && r.result < 0)
		why = strerror(-r.result);
	if (!why)
		why = dio_count(r.result, r.length);
	if (!why)
		why = dio_compare(r.mem, r.length, 0, 0);
	ksft_print_msg("%s: %llu reads have ended\n", t->name,
		       dio_client_calls(t->dir, "READ") - calls);
	munmap(r.mem, r.length);
	dio_result(name, why);
}

/* Whether a snapshot can be made of two halves of @device, in chunks of two pages */
static const char *snapshot_problem(const char *device, unsigned long long sectors)
{
	struct dio_dm origin = { 0 }, cow = { 0 }, snapshot = { 0 };
	struct dio_dm_line line = { "linear", sectors / 2 };
	const char *why = NULL;
	int round;

	snprintf(line.params, sizeof(line.params), "%s 0", device);
	if (dio_dm_create(&origin, "origin") || dio_dm_load(&origin, &line, 1))
		why = "set-up: no origin";
	snprintf(line.params, sizeof(line.params), "%s %llu", device, sectors / 2);
	if (!why && (dio_dm_create(&cow, "cow") || dio_dm_load(&cow, &line, 1)))
		why = "set-up: no copy-on-write store";
	/* The first one writes a header; the second reads what there is of exceptions. */
	line.type = "snapshot";
	snprintf(line.params, sizeof(line.params), "%s %s P %zu", origin.path, cow.path,
		 2 * dio_page_size / 512);
	for (round = 0; round < 2 && !why; round++) {
		int ret = dio_dm_create(&snapshot, "snapshot");

		if (!ret)
			ret = dio_dm_load(&snapshot, &line, 1);
		if (ret)
			why = round ? strerror(-ret) : "set-up: no snapshot";
		dio_dm_remove(&snapshot);
	}
	dio_dm_remove(&cow);
	dio_dm_remove(&origin);
	return why;
}

/*
 * dm-bufio reads into memory of several pages that is no compound page: all but the
 * first have a count of 0.  Whoever takes a reference frees them when he drops it.
 */
static void run_uncounted(const struct dio_target *t)
{
	const char * const modprobe[] = { "modprobe", "dm-snapshot", NULL };
	char name[80], path[100], device[64];
	const char *why = t->skip;
	int fd, loop = -1;

	snprintf(name, sizeof(name), "%s reads into pages without a count", t->name);
	if (!why && !uncounted)
		why = "kernels without the series free these pages: -p";
	if (why)
		return dio_result_skip(name, why);
	dio_run(modprobe);
	snprintf(path, sizeof(path), "%s/loop", t->dir);
	/* SMB goes by the file, and not by what the loop device asks for. */
	fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, DIO_FILE_SIZE))
		dio_die("%s: %s\n", path, strerror(errno));
	why = dio_loop_attach(fd, 0, &loop, device);
	if (why) {
		close(fd);
		return dio_result_skip(name, why);
	}
	why = snapshot_problem(device, DIO_FILE_SIZE / 512);
	dio_loop_detach(&loop);
	close(fd);
	unlink(path);
	dio_result(name, why);
}

static const struct dio_option options[] = {
	{ 'p', NULL, "pages without a count too, which kernels without the series free",
	  .flag = &uncounted },
	DIO_OPTION_TARGETS,
	{ 0 }
};

int main(int argc, char **argv)
{
	unsigned int id, i, nr = 0, per_target;
	struct dio_target target;

	dio_options(argc, argv, options);
	dio_target_network();
	ksft_print_header();
	dio_disk_init();
	for (id = 0; id < dio_nr_targets(); id++)
		nr += dio_target_is_network(id);
	per_target = 2 * ARRAY_SIZE(shapes) + 2 + 4 + 4 + 1 + 3 + 2 + 1 + 1 + NR_KILLED + 1 + 3;
	ksft_set_plan(nr * per_target + 1);

	for (id = 0; id < dio_nr_targets(); id++) {
		if (!dio_target_is_network(id))
			continue;
		dio_target_open(&target, id);
		for (i = 0; i < ARRAY_SIZE(shapes); i++) {
			run_shape(&target, &shapes[i], false);
			run_shape(&target, &shapes[i], true);
		}
		run_segments(&target, false);
		run_segments(&target, true);
		run_end(&target);
		run_splice_end(&target);
		run_cached(&target, false);
		run_cached(&target, true);
		for (i = 0; i < 4; i++)
			run_unmapped(&target, i & 1, i & 2);
		run_read_only(&target);
		run_dirty(&target, false);
		run_dirty(&target, true);
		run_dirty_huge(&target);
		run_pins(&target, false);
		run_pins(&target, true);
		run_splices(&target);
		run_bad_block(&target);
		run_uncounted(&target);
		for (i = 0; i < NR_KILLED; i++)
			run_killed(&target, i);
		run_mapped(&target);
		run_portions(&target);
		if (target.server < DIO_SMB)
			run_restart(&target);
		else
			run_reconnect(&target);
		if (!target.skip)
			dio_target_close(&target);
	}
	dio_result("pins taken are released", dio_pins_problem(true));
	ksft_finished();
}
