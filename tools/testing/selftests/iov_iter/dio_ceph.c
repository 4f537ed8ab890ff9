// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O of the Ceph file system, by both versions of the protocol, from and to a
 * cluster of this machine alone.
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

#include "lib/area.h"
#include "lib/cases.h"
#include "lib/daemon.h"
#include "lib/disk.h"
#include "lib/io.h"
#include "lib/memory.h"
#include "lib/pins.h"
#include "lib/remote.h"
#include "lib/result.h"
#include "servers/ceph.h"

#define OBJECT		(64 * 1024UL)	/* as small as they may be */
#define OTHERS_SIZE	(16 * DIO_MIB)
#define FILE_SIZE	(2 * DIO_MIB)
#define LARGE_SIZE	(17 * DIO_MIB)

static pid_t owner;
static char dir[32];
static bool mounted;
/* By the version of the protocol that is tested; both are the same cluster. */
static const struct dio_daemon *server;
/* Of small objects, with one that ends early, of large objects: direct, and cached */
static int file = -1, small = -1, large = -1;
static int file_cached = -1, large_cached = -1;
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
static const struct dio_remote_shape shapes[] = {
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

static const char *small_has(size_t len, off_t pos, unsigned int kind)
{
	return store_has(file_cached, len, pos, kind);
}

static const char *large_has(size_t len, off_t pos, unsigned int kind)
{
	return store_has(large_cached, len, pos, kind);
}

static void small_restore(size_t len, off_t pos)
{
	store_gets(file_cached, len, pos, 0);
}

static void large_restore(size_t len, off_t pos)
{
	store_gets(large_cached, len, pos, 0);
}

static int short_file(void)
{
	return small;
}

/* Hold it, and wait until it is on its way: why it is not, or NULL */
static const char *io_hold(struct dio_io *io)
{
	unsigned long long start = dio_now_ms();

	server->pause(true);
	dio_io_start(io);
	while (!dio_ceph_held() && !dio_io_done(io))
		if (dio_expired(start))
			break;
	return dio_ceph_held() && !dio_io_done(io) ? NULL : "set-up: it is not held";
}

static void go_on(void)
{
	server->pause(false);
}

/* End the object store as a crash does, then start it anew on what it has stored. */
static void restart(void)
{
	server->threads(0);
	server->run();
}

/*
 * A read that is short goes on by copying, to see the end of the file: it fails where
 * there is no memory.
 */
static struct dio_remote remote = {
	.size = FILE_SIZE, .around = 9000, .read_may_fault = true, .seconds = DIO_CEPH_SECONDS,
	.has = small_has, .restore = small_restore, .shorten = short_file, .hold = io_hold,
	.release = go_on,
};

static struct dio_remote remote_large = {
	.size = LARGE_SIZE, .around = 4096, .has = large_has, .restore = large_restore,
};

/* Objects that end early, or that there are none of: the client fills in zeros. */
static const char *test_hole(unsigned int aio)
{
	size_t len = 4 * OBJECT, first = 5001, i;
	unsigned char *mem = dio_map(len + dio_page_size, dio_page_size, false);
	struct iovec iov = { mem + 77, len };
	int fd = open_at("holes", O_DIRECT | O_TRUNC);
	struct dio_io io = { .fd = fd, .aio = aio, .iov = &iov, .nr = 1 };
	const char *why;

	dio_fill(mem, len, 0, 0);
	dio_full_pwrite(fd, mem, first, 0);
	if (ftruncate(fd, len))
		dio_die("ftruncate: %s\n", strerror(errno));
	memset(mem, DIO_UNTOUCHED, len + dio_page_size);
	why = dio_not_result(dio_io_do(&io), len);
	if (!why)
		why = dio_compare(mem + 77, first, 0, 0);
	for (i = first; i < len && !why; i++)
		if (mem[77 + i])
			why = dio_because("byte %zu is %#x, not 0", i, mem[77 + i]);
	if (!why)
		why = dio_unchanged(mem + 77 + len, dio_page_size - 77, "behind the buffer");
	close(fd);
	munmap(mem, len + dio_page_size);
	return why;
}

/*
 * Whoever waits is killed, and its memory goes, which is not to be written to when it
 * belongs to others.  Asynchronous reads are waited for.
 */
static const char *test_killed(unsigned int aio)
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
	server->pause(true);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct iovec iov = { dio_map(length, dio_page_size, false), length };
		struct dio_io io = { .fd = file, .aio = aio, .iov = &iov, .nr = 1 };

		memset(iov.iov_base, DIO_STORED, length);
		dio_io_start(&io);
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
	server->pause(false);
	if (!ended)
		waitpid(pid, NULL, 0);
	dio_full_pread(file, &byte, 1, 0);
	sched_setaffinity(0, sizeof(all), &all);
	if (!why)
		why = dio_unchanged(others, OTHERS_SIZE, "of another process");
	munmap(others, OTHERS_SIZE);
	return why;
}

/* Nothing but what is read or written is pinned, and that is. */
static const char *test_pins(unsigned int write)
{
	size_t length = 16 * dio_page_size;
	unsigned char *mem = dio_map(length, dio_page_size, false);
	struct dio_io io = { .fd = file, .aio = true, .write = write, .mem = mem,
			     .length = length };
	unsigned long long before;
	const char *taken;
	const char *why;

	dio_fill(mem, length, 0, 0);
	/* The object store does direct I/O, too: it is stopped meanwhile. */
	server->pause(true);
	before = dio_pins_acquired();
	why = io_hold(&io);
	taken = dio_pins_taken(before, length / dio_page_size);
	server->pause(false);
	if (!why)
		why = dio_not_result(dio_io_end(&io, DIO_CEPH_SECONDS), length);
	else
		dio_io_end(&io, DIO_CEPH_SECONDS);
	munmap(mem, length);
	return why ? why : taken;
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
	if (server)
		server->stop();
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

static void set_up(void)
{
	/* The second one finds what the first one, or -k, has left. */
	static bool files;

	if (server->mount(dir, 0))
		dio_die("mount of %s: %s\n", server->name, strerror(errno));
	mounted = true;
	if (!files) {
		small_objects("file");
		small_objects("holes");
	}
	file = open_at("file", O_DIRECT);
	file_cached = open_at("file", 0);
	small = open_at("small", O_DIRECT);
	large = open_at("large", O_DIRECT);
	large_cached = open_at("large", 0);
	remote.fd = file;
	remote_large.fd = large;
	if (!files) {
		store_gets(file_cached, FILE_SIZE, 0, 0);
		store_gets(large_cached, LARGE_SIZE, 0, 0);
		store_gets(small, DIO_SHORT, 0, 0);
	}
	files = true;
}

static const struct {
	size_t length, offset;
} forks[] = {
	{ 512, 512 }, { 1024, 0 }, { 2048, 1024 }, { 4096, 512 }, { 4 * OBJECT, 513 },
};

static const char *way(unsigned int aio)
{
	return aio ? "aio" : "thread";
}

static void label_shape(char *name, size_t size, unsigned int i)
{
	const struct dio_remote_shape *s = &shapes[i / 2];

	snprintf(name, size, "%s %zu at %u: from %lld on", i & 1 ? "pwrite" : "pread",
		 s->length, s->offset, (long long)s->pos);
}

static const char *test_shape(unsigned int i)
{
	const struct dio_remote_shape *s = &shapes[i / 2];

	return dio_remote_transfer(s->large ? &remote_large : &remote, s, i & 1);
}

static void label_segments(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s %s of segments of any alignment", way(i & 2),
		 i & 1 ? "pwritev" : "preadv");
}

static const char *test_segments(unsigned int i)
{
	return dio_remote_segments(&remote, OBJECT - 777, i & 1, i & 2);
}

static const char *test_end(unsigned int unused)
{
	return dio_remote_end(&remote);
}

static void label_unmapped(char *name, size_t size, unsigned int i)
{
	bool write = i & 1, aio = i & 2;

	snprintf(name, size, "%s %s that runs into unmapped memory: %s", way(aio),
		 write ? "pwrite" : "pread",
		 aio || write ? "is short" : "is short, or EFAULT");
}

static const char *test_unmapped(unsigned int i)
{
	return dio_remote_unmapped(&remote, i & 1, false, i & 2);
}

static const char *test_read_only(unsigned int unused)
{
	return dio_remote_read_only(&remote);
}

static const char *test_splice_from(unsigned int unused)
{
	return dio_remote_splice_from(&remote, OBJECT - 1000);
}

static const char *test_splice_into(unsigned int unused)
{
	return dio_remote_splice_into(&remote, 30001);
}

static const char *test_splice_end(unsigned int unused)
{
	return dio_remote_splice_end(&remote);
}

static const char *test_device(unsigned int write)
{
	void *mem = dio_map_device(dio_page_size);
	const char *wrong;

	if (!mem)
		return dio_skip(DIO_NO_DEVICE_MEMORY);
	wrong = dio_count(write ? pwrite(small, mem, dio_page_size, 0) :
			  pread(small, mem, dio_page_size, 0), -EREMOTEIO);
	munmap(mem, dio_page_size);
	return wrong;
}

static const char *test_dirty(unsigned int write)
{
	return dio_remote_dirty(&remote, write);
}

static const char *test_signal(unsigned int write)
{
	return dio_remote_signal(&remote, write);
}

static void fork_case(bool aio, size_t length, size_t offset, const struct dio_remote *r)
{
	static const char * const claims[] = {
		"parent sees the read", "child sees the bytes of before" };
	const char *what = r == &remote ? "" : " over a restart of the OSD", *why[2];
	char names[2][96];
	int k;

	for (k = 0; k < 2; k++) {
		snprintf(names[k], sizeof(names[k]), "%s %zu at %zu%s: %s", way(aio), length,
			 offset, what, claims[k]);
		dio_lists_one(names[k]);
	}
	if (dio_results.dry)
		return;
	why[0] = dio_remote_fork(r, aio, length, offset, &why[1]);
	for (k = 0; k < 2; k++)
		dio_report(names[k], why[k]);
}

static void test_fork(unsigned int i)
{
	fork_case(i / ARRAY_SIZE(forks), forks[i % ARRAY_SIZE(forks)].length,
		  forks[i % ARRAY_SIZE(forks)].offset, &remote);
}

static const char *test_fork_write(unsigned int aio)
{
	return dio_remote_fork_write(&remote, aio, 32);
}

/* What is held is answered by the next OSD. */
static struct dio_remote *restarted(void)
{
	static struct dio_remote r;

	r = remote;
	r.release = restart;
	return &r;
}

static void test_fork_restart(unsigned int unused)
{
	fork_case(true, 2048, 1024, restarted());
}

static const char *test_fork_write_restart(unsigned int unused)
{
	return dio_remote_fork_write(restarted(), false, 32);
}

/* By both versions of the protocol, but the longest I/O, which is only by the first */
static const struct dio_case cases[] = {
	{ .label = label_shape, .test = test_shape, .nr = 2 * ARRAY_SIZE(shapes) - 2 },
	{ .label = label_segments, .test = test_segments, .nr = 4 },
	{ "pread past the end: is short", .test = test_end },
	{ "thread over a hole: reads zeros", .test = test_hole, .i = false },
	{ "aio over a hole: reads zeros", .test = test_hole, .i = true },
	{ .label = label_unmapped, .test = test_unmapped, .nr = 4 },
	{ "read-only memory: is a source and no destination", .test = test_read_only },
	{ "splice from the file: has its bytes", .test = test_splice_from },
	{ "splice into the file: stores its bytes", .test = test_splice_into },
	{ "splice past the end: has no more than there is", .test = test_splice_end },
	{ "pread: pins what is read into", .test = test_pins, .i = false },
	{ "pwrite: pins what is written", .test = test_pins, .i = true },
	{ "pread: marks dirty what it reads into", .test = test_dirty, .i = false },
	{ "pwrite: leaves clean what it writes", .test = test_dirty, .i = true },
	{ "pread: refuses device memory", .test = test_device, .i = false },
	{ "pwrite: refuses device memory", .test = test_device, .i = true },
	{ .run = test_fork, .nr = 2 * ARRAY_SIZE(forks) },
	{ "thread pwrite: the child's stores are not written", .test = test_fork_write,
	  .i = false },
	{ "aio pwrite: the child's stores are not written", .test = test_fork_write,
	  .i = true },
	{ "pread of a process that is killed: its memory is not written to later",
	  .test = test_killed, .i = false },
	{ "aio of a process that is killed: its memory is not written to later",
	  .test = test_killed, .i = true },
	{ "thread pread and a signal: is not interrupted", .test = test_signal, .i = false },
	{ "thread pwrite and a signal: is not interrupted", .test = test_signal, .i = true },
	/* Until it answers again takes the longest of all. */
	{ .run = test_fork_restart },
	{ "thread pwrite over a restart of the OSD: the child's stores are not written",
	  .test = test_fork_write_restart },
};

static const struct dio_case longest[] = {
	{ .label = label_shape, .test = test_shape, .i = 2 * ARRAY_SIZE(shapes) - 2, .nr = 2 },
};

static const char *test_umount(unsigned int unused)
{
	tear_down();
	if (umount(dir))
		return dio_because("umount: %s", strerror(errno));
	mounted = false;
	return NULL;
}

static const struct dio_case last[] = {
	{ "no request is left: it is unmounted", .test = test_umount },
};

static void all_cases(void)
{
	static const char * const names[] = { "ceph", "ceph2" };
	int i;

	for (i = 0; i < 2; i++) {
		dio_prefix(names[i]);
		if (!dio_cases_wanted(cases, ARRAY_SIZE(cases), NULL) &&
		    !dio_cases_wanted(last, ARRAY_SIZE(last), NULL) &&
		    (i || !dio_cases_wanted(longest, ARRAY_SIZE(longest), NULL)))
			continue;
		server = dio_daemon_named(names[i]);
		if (dio_running())
			set_up();
		dio_cases(cases, ARRAY_SIZE(cases), NULL);
		if (!i)
			dio_cases(longest, ARRAY_SIZE(longest), NULL);
		dio_cases(last, ARRAY_SIZE(last), NULL);
		if (mounted)
			test_umount(0);
		if (mounted)
			dio_die("%s stays mounted\n", dir);
	}
}

static void start(void)
{
	const char *why;

	dio_disk_init();
	owner = getpid();
	strcpy(dir, "/tmp/iov_iter.XXXXXX");
	if (!mkdtemp(dir))
		dio_die("%s: %s\n", dir, strerror(errno));
	atexit(clean_up);
	server = dio_daemon_named("ceph");
	why = server->start(NULL);
	if (why)
		dio_skip_all("%s\n", why);
}

int main(int argc, char **argv)
{
	static const struct dio_program program = { .start = start, .cases = all_cases };

	return dio_main(&program, argc, argv);
}
