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
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "lib/cases.h"
#include "lib/daemon.h"
#include "lib/disk.h"
#include "lib/dm.h"
#include "lib/io.h"
#include "lib/memory.h"
#include "lib/pins.h"
#include "lib/remote.h"
#include "lib/result.h"
#include "lib/system.h"
#include "lib/target.h"

#define READ_SECONDS	600		/* until a server is back, and has answered */
#define OTHERS_SIZE	(64 * DIO_MIB)
#define LEAK_TRIES	20
#define SPLICE_SIZE	(4 * 4096)

static bool uncounted;

static const struct dio_target *target;	/* that is open now */

/* The server's own view of the file, through its page cache */
static const char *server_has(size_t len, off_t pos, unsigned int kind)
{
	unsigned char *buf = dio_map(len, dio_page_size, false);
	int fd = open(target->server_path, O_RDONLY | O_CLOEXEC);
	const char *why;

	if (fd < 0)
		dio_die("%s: %s\n", target->server_path, strerror(errno));
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
static const struct dio_remote_shape shapes[] = {
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

static void restore_target(size_t len, off_t pos)
{
	restore(target);
}

static int shorten(void)
{
	if (ftruncate(target->fd, DIO_SHORT))
		dio_die("%s: %s\n", target->path, strerror(errno));
	return target->fd;
}

static void restore_short(void)
{
	restore(target);
}

/* XDR: a reply of NFS is a multiple of four bytes. */
static struct dio_remote remote = {
	.size = DIO_FILE_SIZE, .around = DIO_FILE_SIZE, .pad = 3, .has = server_has,
	.restore = restore_target, .shorten = shorten, .restore_short = restore_short,
};

static void opened(struct dio_target *t)
{
	target = t;
	remote.fd = t->fd;
}

static void label_shape(char *name, size_t size, unsigned int i)
{
	const struct dio_remote_shape *s = &shapes[i / 2];

	snprintf(name, size, "%s of %zu at %lld, memory at %u", i & 1 ? "pwrite" : "pread",
		 s->length, (long long)s->pos, s->offset);
}

static const char *test_shape(struct dio_target *t, unsigned int i)
{
	if (shapes[i / 2].large && t->io_size)
		return dio_skip("too many requests of that size");
	return dio_remote_transfer(&remote, &shapes[i / 2], i & 1);
}

static const char *test_segments(unsigned int write)
{
	return dio_remote_segments(&remote, 777, write, false);
}

static const char *test_end(unsigned int unused)
{
	return dio_remote_end(&remote);
}

static const char *test_splice_end(unsigned int unused)
{
	return dio_remote_splice_end(&remote);
}

static void label_unmapped(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s %s unmapped memory is short", i & 1 ? "pwrite" : "pread",
		 i & 2 ? "whose second segment is" : "that runs into");
}

static const char *test_unmapped(unsigned int i)
{
	return dio_remote_unmapped(&remote, i & 1, i & 2, false);
}

static const char *test_read_only(unsigned int unused)
{
	return dio_remote_read_only(&remote);
}

static const char *test_dirty(unsigned int write)
{
	return dio_remote_dirty(&remote, write);
}

/* A page that several requests have parts of is pinned once for each of them. */
static const char *test_pins(struct dio_target *t, unsigned int write)
{
	size_t size = t->io_size && t->io_size < dio_page_size ? t->io_size : dio_page_size;

	return dio_remote_pins(&remote, write, 16 * dio_page_size / size);
}

/* What is in the page cache and not written back is what a direct read is to see. */
static const char *test_cached(struct dio_target *t, unsigned int spliced)
{
	static unsigned char cached[4096], buf[4096];
	int fd = open(t->path, O_RDWR | O_CLOEXEC), p[2];
	const char *why = NULL;
	off_t pos = 8192;

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
	return why;
}

static const char *test_dirty_huge(struct dio_target *t, unsigned int unused)
{
	const char *why = NULL;

	if (!dio_dirty_huge_io(t->fd, &why))
		return dio_skip(why);
	return why;
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
static const char *test_splices(struct dio_target *t, unsigned int unused)
{
	unsigned int try, times = t->io_size ? 50 : 200;
	const char *why;
	long gone = 0;

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
		why = dio_because("LEAKED: %ld pages less after %u splices",
				  gone, times);
	}
	return why;
}

/* The disk below the server cannot read a block: what is before it is read. */
static const char *test_bad_block(struct dio_target *t, unsigned int unused)
{
	int page = dio_page_size, error = t->server->bad_block, fd, block = 4;
	size_t len = 16 * page;
	unsigned char *mem;
	const char *why;
	ssize_t n;

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
	return why;
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
	if (!t->server->commits)
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
static const char *test_killed(struct dio_target *t, unsigned int way)
{
	/* What is half sent by then, the SMB client does not go on with. */
	bool pauses = way >= KILLED_WRITE && t->server->pause;
	unsigned long long calls, start;
	const char *why = NULL;
	unsigned char *others;
	void *thread_why = NULL;
	pthread_t thread;
	cpu_set_t all, one;
	char path[100];
	int file = -1;
	pid_t pid;
	size_t i;

	if (way >= KILLED_WRITE && !t->server->commits && !pauses)
		return dio_skip("this server can't be held");
	if ((way == KILLED_SPLICE_OUT || way == KILLED_SPLICE_IN) && !t->server->commits &&
	    dio_by_netfs())
		return dio_skip("splice() lends its pages to netfs, and waits for them");
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
		t->server->threads(1);
	}
	calls = t->server->calls(t->dir, "READ");
	dio_hold();
	if (pauses) {
		t->server->pause(true);
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
	if (!why && !dio_waits(pid, pid))
		why = "set-up: the process does not wait";
	if (!dio_dies(pid) && !why)
		why = "it cannot be killed";
	if (!why && !pauses && !dio_held())
		why = "set-up: it did not stay in flight";
	memset(others, DIO_UNTOUCHED, OTHERS_SIZE);
	dio_release();
	if (way >= KILLED_WRITE) {
		if (pauses) {
			t->server->pause(false);
			/* Behind all that was sent */
			thread_why = read_thread((void *)t);
		} else {
			pthread_join(thread, &thread_why);
			t->server->threads(8);
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
		while (!why && t->server->calls(t->dir, "READ") == calls)
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
	return why;
}

struct stopper {
	const struct dio_daemon *server;
	bool stops;
};

static void *stop_thread(void *arg)
{
	struct stopper *s = arg;

	__atomic_store_n(&s->stops, true, __ATOMIC_SEQ_CST);
	s->server->threads(0);
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
static const char *test_restart(struct dio_target *t, unsigned int unused)
{
	struct dio_io w = { .fd = t->fd, .write = true };
	struct stopper s = { .server = t->server };
	unsigned long long calls, again, start = dio_now_ms();
	pthread_t stopper;
	const char *why = NULL;
	size_t full;

	full = (t->io_size ? 16 * 1024 : DIO_MIB);
	w.length = full + 333;
	w.mem = dio_map(w.length, dio_page_size, false);
	dio_fill(w.mem, w.length, 0, 0x40);
	t->server->threads(1);
	calls = t->server->calls(t->dir, "WRITE");
	dio_hold();
	dio_io_start(&w);
	if (!dio_wait_held())
		why = "set-up: the last write is not held";
	if (pthread_create(&stopper, NULL, stop_thread, &s))
		dio_die("no thread\n");
	while (!__atomic_load_n(&s.stops, __ATOMIC_SEQ_CST) && !dio_expired(start))
		;
	if (!dio_wait_held() && !why)
		why = "set-up: the last write did not stay in flight";
	dio_release();
	pthread_join(stopper, NULL);
	again = t->server->calls(t->dir, "WRITE");
	calls = again - calls;
	t->server->run();
	dio_io_end(&w, READ_SECONDS);
	again = t->server->calls(t->dir, "WRITE") - again;
	if (!why && !again)
		why = "nothing was sent to the restarted server";
	if (!why && (w.result <= 0 || w.result > w.length))
		why = dio_not_result(w.result, w.length);
	if (!why)
		why = server_has(w.length, 0, 0x40);
	if (!why)
		why = server_has(DIO_FILE_SIZE - w.length, w.length, 0);
	if (!why)
		why = dio_compare(w.mem, w.length, 0, 0x40);
	munmap(w.mem, w.length);
	restore(t);
	dio_print("%s: %llu calls of WRITE before the restart, %llu after it\n",
		  t->name, calls, again);
	return why;
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
static const char *test_mapped(struct dio_target *t, unsigned int unused)
{
	struct dio_io r = { .fd = t->fd, .length = 4 * dio_page_size };
	unsigned char *disk = dio_map(r.length, dio_page_size, false);
	const char *why = NULL;
	bool warned_before = warned();
	char path[100];
	int fd;

	if (why)
		return dio_skip(why);
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
	dio_io_start(&r);
	if (!dio_wait_held())
		why = "set-up: the read is not held";
	if (msync(r.mem, r.length, MS_SYNC) && !why)
		why = strerror(errno);
	if (!why && !dio_held())
		why = "set-up: it did not stay in flight";
	dio_release();
	dio_io_end(&r, READ_SECONDS);
	if (!why)
		why = dio_not_result(r.result, r.length);
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
	return why;
}

#define PORTIONS_SIZE	(64 * DIO_MIB)

/*
 * As much is pinned as the client may have asked for by then, and not all that it is
 * going to ask for.  A fork() copies what is pinned.
 */
static const char *test_portions(struct dio_target *t, unsigned int unused)
{
	struct dio_io r = { .length = PORTIONS_SIZE };
	size_t all = PORTIONS_SIZE / dio_page_size, pinned = 0;
	unsigned long long start = dio_now_ms();
	const char *why = NULL;
	char path[100];
	pid_t pid;

	if (t->server->commits)
		return dio_skip("it asks for all of it at once");
	if (dio_by_netfs())
		return dio_skip("netfs pins a request as a whole");
	if (!t->server->pause)
		return dio_skip("this server can't be held");
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

	t->server->pause(true);
	dio_io_start(&r);
	while (!pinned || !dio_waits(getpid(), __atomic_load_n(&r.tid, __ATOMIC_SEQ_CST))) {
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
	t->server->pause(false);
	dio_io_end(&r, READ_SECONDS);
	dio_print("%s: %zu of %zu pages were pinned, fork() took %llu ms\n", t->name,
		  pinned, all, start);
	if (!why)
		why = dio_not_result(r.result, r.length);
	if (!why && (r.mem[0] || memcmp(r.mem, r.mem + 1, r.length - 1)))
		why = "what was read is not the zeros of the file";
	munmap(r.mem, r.length);
	close(r.fd);
	unlink(path);
	return why;
}

/*
 * smbd is killed while it has a read in flight, and another takes its place: the
 * client connects to it, opens the file and asks once more.
 */
static const char *test_reconnect(struct dio_target *t, unsigned int unused)
{
	struct dio_io r = { .fd = t->fd, .length = 16 * 4096 + 333 };
	unsigned long long calls, start;
	const char *why = NULL;

	if (!t->server->pause)
		return dio_skip("the kernel's server ends when it likes to");
	r.mem = dio_map(r.length, dio_page_size, false);
	memset(r.mem, DIO_UNTOUCHED, r.length);
	calls = t->server->calls(t->dir, "READ");
	dio_hold();
	dio_io_start(&r);
	if (!dio_wait_held())
		why = "set-up: the read is not held";
	t->server->threads(0);
	dio_release();
	/* It can't end before the disk does what it was asked for. */
	start = dio_now_ms();
	while (dio_port_answers(t->server->port) && !dio_expired(start))
		;
	t->server->run();
	dio_io_end(&r, READ_SECONDS);
	if (!why)
		why = dio_not_result(r.result, r.length);
	if (!why)
		why = dio_compare(r.mem, r.length, 0, 0);
	dio_print("%s: %llu reads have ended\n", t->name,
		  t->server->calls(t->dir, "READ") - calls);
	munmap(r.mem, r.length);
	return why;
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
static const char *test_uncounted(struct dio_target *t, unsigned int unused)
{
	char path[100], device[64];
	const char *why = NULL;
	int fd, loop = -1;

	if (!uncounted)
		return dio_skip("kernels without the series free these pages: -p");
	dio_modprobe("dm-snapshot");
	snprintf(path, sizeof(path), "%s/loop", t->dir);
	/* SMB goes by the file, and not by what the loop device asks for. */
	fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, DIO_FILE_SIZE))
		dio_die("%s: %s\n", path, strerror(errno));
	why = dio_loop_attach(fd, 0, &loop, device);
	if (why) {
		close(fd);
		return dio_skip(why);
	}
	why = snapshot_problem(device, DIO_FILE_SIZE / 512);
	dio_loop_detach(&loop);
	close(fd);
	unlink(path);
	return why;
}

static void label_killed(char *name, size_t size, unsigned int way)
{
	snprintf(name, size, "%s goes on when its process is killed", killed_names[way]);
}

/* What NFS had not committed it writes anew, what SMB had asked for it reads anew. */
static void run_again(struct dio_target *t, unsigned int unused)
{
	const struct dio_case commits = {
		"pwrite is sent again to a restarted server", .test_on = test_restart };
	const struct dio_case other = {
		"pread is asked again of a restarted server", .test_on = test_reconnect };

	dio_cases(t->server->commits ? &commits : &other, 1, t);
}

/* The file of the target over a mount of the server that lies, at @dir */
static int open_lied(struct dio_target *t, enum dio_lie lie, char *dir, int flags)
{
	char path[128];
	int fd;

	strcpy(dir, "/tmp/iov_iter.XXXXXX");
	if (!mkdtemp(dir) || t->server->liar->mount(dir, lie))
		dio_die("a mount of the server that lies: %s\n", strerror(errno));
	snprintf(path, sizeof(path), "%s%s", dir, strrchr(t->path, '/'));
	fd = open(path, flags | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	return fd;
}

static void close_lied(struct dio_target *t, int fd, const char *dir)
{
	unsigned long long start = dio_now_ms();

	close(fd);
	while (umount(dir) && !dio_expired(start))
		;
	rmdir(dir);
	t->server->liar->stop();
}

/* No byte behind the buffer is written, whatever the server answers. */
static const char *test_more(struct dio_target *t, unsigned int unused)
{
	size_t len = 512, around = 512, size = 2 * dio_page_size;
	unsigned char *mem = dio_map(size, dio_page_size, false);
	const char *why = NULL;
	unsigned int i;
	char dir[32];
	int fd;

	fd = open_lied(t, DIO_ANSWERS_MORE, dir, O_RDONLY);
	/* The buffer ends in the middle of the first page, and of the second one. */
	for (i = 0; i < 2 && !why; i++, len += dio_page_size) {
		memset(mem, DIO_UNTOUCHED, size);
		why = dio_count(pread(fd, mem + around, len, 0), len);
		if (!why)
			why = dio_compare(mem + around, len, 0, 0);
		if (!why)
			why = dio_unchanged(mem, around, "before the buffer");
		if (!why)
			why = dio_unchanged(mem + around + len, size - around - len,
					    "behind the buffer");
	}
	close_lied(t, fd, dir);
	munmap(mem, size);
	return why;
}

/* What is still being sent stays pinned, whatever the server has answered. */
static const char *test_early(struct dio_target *t, unsigned int unused)
{
	struct dio_io w = { .length = DIO_FILE_SIZE, .write = true };
	unsigned long long start = dio_now_ms(), answered;
	const char *why = NULL;
	char dir[32];

	if (dio_by_netfs())
		return dio_skip("the netfs of the base releases what was answered");
	w.fd = open_lied(t, DIO_ANSWERS_EARLY, dir, O_RDWR);
	w.mem = dio_map(w.length, dio_page_size, false);
	dio_fill(w.mem, w.length, 0, 0);
	dio_io_start(&w);
	while (!t->server->liar->answered() && !why)
		if (dio_expired(start) || dio_io_done(&w))
			why = "set-up: no write was answered early";
	/* A kernel that is wrong has a while to show it. */
	answered = dio_now_ms();
	while (!why && dio_now_ms() - answered < 3000) {
		if (!dio_pins_held())
			why = "nothing is pinned while it is being sent";
		usleep(10000);
	}
	t->server->liar->read_on();
	dio_io_end(&w, READ_SECONDS);
	if (!why)
		why = dio_not_result(w.result, w.length);
	close_lied(t, w.fd, dir);
	munmap(w.mem, w.length);
	return why;
}

static void run_lies(struct dio_target *t, unsigned int unused)
{
	static const struct dio_case lies[] = {
		{ "pread of a server that answers more than was asked for", .test_on = test_more },
		{ "pwrite to a server that answers before it has read", .test_on = test_early },
	};

	if (t->server->liar && !t->io_size)
		dio_cases(lies, ARRAY_SIZE(lies), t);
}

static const struct dio_option options[] = {
	{ 'p', NULL, "pages without a count too, which kernels without the series free",
	  .flag = &uncounted },
	DIO_OPTION_TARGETS,
	{ 0 }
};

static const struct dio_case cases[] = {
	{ .label = label_shape, .test_on = test_shape, .nr = 2 * ARRAY_SIZE(shapes) },
	{ "preadv of segments of any alignment", .test = test_segments, .i = false },
	{ "pwritev of segments of any alignment", .test = test_segments, .i = true },
	{ "pread past the end is short", .test = test_end },
	{ "splice past the end is short", .test = test_splice_end },
	{ "pread sees what is in the page cache", .test_on = test_cached, .i = false },
	{ "splice sees what is in the page cache", .test_on = test_cached, .i = true },
	{ .label = label_unmapped, .test = test_unmapped, .nr = 4 },
	{ "read-only memory is a source and no destination", .test = test_read_only },
	{ "pread marks dirty what it reads into", .test = test_dirty, .i = false },
	{ "pwrite leaves clean what it writes", .test = test_dirty, .i = true },
	{ "pread marks dirty a huge page that it reads into", .test_on = test_dirty_huge },
	{ "pread pins what it reads into", .test_on = test_pins, .i = false },
	{ "pwrite pins what it writes", .test_on = test_pins, .i = true },
	{ "splice leaves no page behind", .test_on = test_splices },
	{ "pread over an error of the server's disk", .test_on = test_bad_block },
	{ "reads into pages without a count", .test_on = test_uncounted },
	{ .label = label_killed, .test_on = test_killed, .nr = NR_KILLED },
	{ "pread into a mapped file that is written back", .test_on = test_mapped },
	{ "pread pins what it has asked for", .test_on = test_portions },
	{ .run_on = run_again },
	{ .run_on = run_lies },
};

static void all_cases(void)
{
	dio_cases_on_targets(cases, ARRAY_SIZE(cases), opened);
}

static void start(void)
{
	if (!dio_nr_targets())
		dio_skip_all("it is linked with no server of a network file system\n");
	dio_disk_init();
}

int main(int argc, char **argv)
{
	static const struct dio_program program = {
		.options = options, .defaults = dio_target_only_network,
		.start = start, .cases = all_cases,
	};

	return dio_main(&program, argc, argv);
}
