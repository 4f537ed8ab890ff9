// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O over 9p, whose server is the host: virtio hands it the memory itself if
 * there is more of it than 1024 bytes.
 *
 * By servers/9p.h it holds requests in flight.  That it held them for long enough is
 * looked at, not assumed; if not, it holds them for twice as long.
 */
#include <dirent.h>
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
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "lib/cases.h"
#include "lib/dm.h"
#include "lib/io.h"
#include "lib/memory.h"
#include "lib/pins.h"
#include "lib/remote.h"
#include "lib/result.h"
#include "lib/system.h"
#include "servers/9p.h"

#define MAX_REQUEST	DIO_9P_REQUEST
#define COPIED		1000		/* so little is copied */
#define MANY		(128 * 1024UL)	/* for little pieces to take long */
#define RING		128		/* requests that the device takes at a time */
#define OTHERS_SIZE	(64 * DIO_MIB)
#define FILE_SIZE	(2 * DIO_MIB)
#define XATTR_SIZE	3500
#define NAMES		40

static pid_t owner;
static int kmsg = -1;
/* What the host has, and what it is to have.  By copies, unless that would take long. */
static const char *host_has(int fd, size_t len, off_t pos, unsigned int kind)
{
	size_t piece = len > MANY ? MAX_REQUEST : COPIED, done, n;
	unsigned char *buf = dio_map(piece, dio_page_size, false);
	const char *why = NULL;

	for (done = 0; done < len && !why; done += n) {
		n = len - done < piece ? len - done : piece;
		why = dio_count(pread(fd, buf, n, pos + done), n);
		if (!why)
			why = dio_compare(buf, n, pos + done, kind);
	}
	munmap(buf, piece);
	return why;
}

static void host_gets(int fd, size_t len, off_t pos, unsigned int kind)
{
	size_t piece = len > MANY ? MAX_REQUEST : COPIED, done, n;
	unsigned char *buf = dio_map(piece, dio_page_size, false);

	for (done = 0; done < len; done += n) {
		n = len - done < piece ? len - done : piece;
		dio_fill(buf, n, pos + done, kind);
		dio_full_pwrite(fd, buf, n, pos + done);
	}
	munmap(buf, piece);
}

static void clean_up(void)
{
	if (getpid() != owner)
		return;
	dio_9p_stop();
}

/* Lengths around what is copied and what makes a second request */
static const struct dio_remote_shape shapes[] = {
	{ 1, 0, 0 },
	{ 1024, 1, 4095 },
	{ 1025, 1, 4095 },
	{ 4096, 4096, 0 },
	{ 4097, 8191, 4095 },
	{ 65537, 12345, 77 },
	{ MAX_REQUEST, 5, 4095 },
	{ MAX_REQUEST + 1025, 7, 1 },
	{ DIO_MIB + 1, 1000003, 2049 },
	{ 16 * DIO_MIB, 0, 513 },
};

static const char *hold_io(struct dio_io *io)
{
	dio_9p_hold();
	dio_io_start(io);
	return dio_io_waits(io) ? NULL : "set-up: it is not held";
}

static const char *fast_has(size_t len, off_t pos, unsigned int kind)
{
	return host_has(dio_9p_fast.fd, len, pos, kind);
}

static void fast_restore(size_t len, off_t pos)
{
	bool past_end = pos + len > FILE_SIZE;

	host_gets(dio_9p_fast.fd, past_end ? FILE_SIZE : len, past_end ? 0 : pos, 0);
	if (past_end && ftruncate(dio_9p_fast.fd, FILE_SIZE))
		dio_die("ftruncate: %s\n", strerror(errno));
}

static int fast_short(void)
{
	return dio_9p_fast.small;
}

/* What differs: the shares are mounted anew, so the files are looked up each time. */
static const struct dio_remote *remote(const struct dio_9p *s)
{
	static struct dio_remote r = {
		.size = FILE_SIZE, .around = 9000, .seconds = DIO_9P_SECONDS, .has = fast_has,
		.restore = fast_restore, .shorten = fast_short, .hold = hold_io,
	};

	r.fd = s->fd;
	return &r;
}

static void label_shape(char *name, size_t size, unsigned int i)
{
	const struct dio_remote_shape *s = &shapes[i / 2];

	snprintf(name, size, "%s of %zu at %lld, memory at %u", i & 1 ? "pwrite" : "pread",
		 s->length, (long long)s->pos, s->offset);
}

static const char *test_shape(unsigned int i)
{
	return dio_remote_transfer(remote(&dio_9p_fast), &shapes[i / 2], i & 1);
}

static void label_segments(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s%s of segments of any alignment", i & 2 ? "aio " : "",
		 i & 1 ? "pwritev" : "preadv");
}

static const char *test_segments(unsigned int i)
{
	return dio_remote_segments(remote(&dio_9p_fast), 777, i & 1, i & 2);
}

static const char *test_end(unsigned int unused)
{
	return dio_remote_end(remote(&dio_9p_fast));
}

static void label_unmapped(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s %s unmapped memory is short", i & 1 ? "pwrite" : "pread",
		 i & 2 ? "whose second segment is" : "that runs into");
}

static const char *test_unmapped(unsigned int i)
{
	return dio_remote_unmapped(remote(&dio_9p_fast), i & 1, i & 2, false);
}

static const char *test_read_only(unsigned int unused)
{
	return dio_remote_read_only(remote(&dio_9p_fast));
}

static const char *test_splice_from(unsigned int unused)
{
	const char *why = dio_remote_splice_from(remote(&dio_9p_fast), 1000);

	return why ? why : dio_remote_splice_end(remote(&dio_9p_fast));
}

static const char *test_splice_into(unsigned int unused)
{
	return dio_remote_splice_into(remote(&dio_9p_fast), 30001);
}

static const char *test_pins(unsigned int write)
{
	return dio_remote_pins(remote(&dio_9p_fast), write, 16);
}

static const char *test_dirty(unsigned int write)
{
	return dio_remote_dirty(remote(&dio_9p_fast), write);
}

/* netfs keeps the error of a direct write for the next who syncs, as each reader does. */
static void sync_error(int fd)
{
	if (dio_by_netfs())
		fsync(fd);
}

/* The host has an end to its files.  What whole requests wrote before it counts. */
static const char *test_error(unsigned int unused)
{
	int fd = dio_9p_open(&dio_9p_fast, "large", O_DIRECT), bit;
	size_t len = 4 * MAX_REQUEST;
	unsigned char *mem;
	const char *why = NULL;
	off_t end = 0, pos;
	ssize_t n;

	for (bit = 62; bit >= 0; bit--)
		if (!ftruncate(fd, end | 1LL << bit))
			end |= 1LL << bit;
	ftruncate(fd, 0);
	if (end > 1LL << 62) {
		close(fd);
		return dio_skip("the host takes files of any size");
	}
	pos = end - 2 * MAX_REQUEST - 70000;
	mem = dio_map(len, dio_page_size, false);
	dio_fill(mem, len, pos, 0);
	n = pwrite(fd, mem, len, pos);
	if (n != end - pos)
		why = dio_count(n, 2 * MAX_REQUEST);
	sync_error(fd);
	if (!why)
		why = host_has(fd, n, pos, 0);
	if (!why)
		why = dio_count(pwrite(fd, mem, len, end), -EFBIG);
	munmap(mem, len);
	ftruncate(fd, 0);
	close(fd);
	return why;
}

/* An extended attribute and a directory come into memory of the kernel. */
static const char *test_xattr(unsigned int unused)
{
	unsigned char set[XATTR_SIZE], got[XATTR_SIZE + 100];
	const char *why;

	dio_fill(set, sizeof(set), 3, 0);
	memset(got, DIO_UNTOUCHED, sizeof(got));
	if (fsetxattr(dio_9p_fast.fd, "user.iov_iter", set, sizeof(set), 0))
		return errno == EOPNOTSUPP ? dio_skip("the host has none") :
		       dio_because("fsetxattr: %s", strerror(errno));
	why = dio_count(fgetxattr(dio_9p_fast.fd, "user.iov_iter", got, sizeof(got)), sizeof(set));
	return why ? why : dio_compare(got, sizeof(set), 3, 0);
}

static const char *test_directory(unsigned int unused)
{
	unsigned int nr = 0, i;
	struct dirent *entry;
	char path[256];
	DIR *dir;

	snprintf(path, sizeof(path), "%s/names", dio_9p_fast.dir);
	if (mkdir(path, 0700) && errno != EEXIST)
		dio_die("%s: %s\n", path, strerror(errno));
	for (i = 0; i < NAMES; i++) {
		snprintf(path, sizeof(path), "names/name-%0200u", i);
		close(dio_9p_open(&dio_9p_fast, path, 0));
	}
	snprintf(path, sizeof(path), "%s/names", dio_9p_fast.dir);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (sscanf(entry->d_name, "name-%u", &i) == 1 && i < NAMES)
			nr++;
	if (dir)
		closedir(dir);
	return nr == NAMES ? NULL : dio_because("%u names instead of %u", nr, NAMES);
}

/* A loop device asks for what is in its bio_vecs. */
static const char *test_loop(unsigned int unused)
{
	int file = dio_9p_open(&dio_9p_fast, "file", O_DIRECT), loop = -1, fd;
	unsigned char *mem;
	const char *why;
	char device[64];

	why = dio_loop_attach(file, 0, &loop, device);
	close(file);
	if (why)
		return dio_skip(why);
	fd = open(device, O_RDWR | O_CLOEXEC | O_DIRECT);
	if (fd < 0)
		dio_die("%s: %s\n", device, strerror(errno));
	mem = dio_map(FILE_SIZE, dio_page_size, false);
	why = dio_count(pread(fd, mem, FILE_SIZE / 4, 0), FILE_SIZE / 4);
	if (!why)
		why = dio_compare(mem, FILE_SIZE / 4, 0, 0);
	dio_fill(mem, FILE_SIZE, 0, 0x40);
	if (!why)
		why = dio_count(pwrite(fd, mem + 512, MANY, 512), MANY);
	if (!why)
		why = host_has(dio_9p_fast.fd, MANY, 512, 0x40);
	close(fd);
	dio_loop_detach(&loop);
	host_gets(dio_9p_fast.fd, MANY, 512, 0);
	munmap(mem, FILE_SIZE);
	return why;
}

/* Through the page cache, read ahead and written back */
static const char *test_cached(unsigned int unused)
{
	const char *why = dio_9p_umount(&dio_9p_fast);
	unsigned char *mem;
	int fd;

	if (why || dio_9p_mount(&dio_9p_fast, "loose"))
		dio_die("%s: mount with a cache: %s\n", dio_9p_fast.dir,
			why ? why : strerror(errno));
	fd = dio_9p_open(&dio_9p_fast, "file", 0);
	mem = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		dio_die("mmap: %s\n", strerror(errno));
	why = dio_compare(mem, FILE_SIZE / 4, 0, 0);
	dio_fill(mem + 5000, MANY, 5000, 0x40);
	if (!why && msync(mem, FILE_SIZE, MS_SYNC))
		why = dio_because("msync: %s", strerror(errno));
	munmap(mem, FILE_SIZE);
	close(fd);
	if (dio_9p_umount(&dio_9p_fast) || dio_9p_mount(&dio_9p_fast, "none"))
		dio_die("%s: mount without a cache: %s\n", dio_9p_fast.dir, strerror(errno));
	if (!why)
		why = host_has(dio_9p_fast.fd, MANY, 5000, 0x40);
	if (!why)
		why = host_has(dio_9p_fast.fd, 5000, 0, 0);
	host_gets(dio_9p_fast.fd, MANY, 5000, 0);
	return why;
}

static const struct killed {
	const char *name;
	bool write;
	bool twice;
	bool past_end;		/* the host returns such a request without a reply */
} killed[] = {
	{ "pread, its process is killed" },
	{ "pwrite, its process is killed", .write = true },
	{ "pread past the end, its process is killed", .past_end = true },
	{ "pread, killed twice", .twice = true },
	{ "pwrite, killed twice", .write = true, .twice = true },
	{ "pread past the end, killed twice", .twice = true, .past_end = true },
};

#define KILLED_SIZE	(64 * 4096UL)

static void killed_child(const struct killed *k, int file)
{
	unsigned char *mem = dio_map(KILLED_SIZE, dio_page_size, false);
	struct dio_io io = { .fd = file, .mem = mem, .length = KILLED_SIZE, .write = k->write };

	dio_fill(mem, KILLED_SIZE, 0, 0x40);
	if (!k->twice) {
		dio_io_do(&io);
		_exit(1);
	}
	/* First by execve(), which lets no other thread live; then by the parent */
	dio_io_start(&io);
	close(STDOUT_FILENO);
	if (dio_io_waits(&io))
		execl("/proc/self/exe", "dio_9p", "-h", NULL);
	_exit(1);
}

/*
 * Whoever waits is killed, and its memory goes.  The host must neither write to that,
 * when it belongs to others, nor read it.
 */
static const char *try_killed(const struct killed *k)
{
	unsigned char *others = dio_map(OTHERS_SIZE, dio_page_size, false);
	unsigned long long start;
	struct dio_io next = { .fd = dio_9p_slow.fd, .mem = (unsigned char []){ 0 }, .length = 1 };
	const char *why = NULL;
	cpu_set_t all, one;
	bool ended = false;
	int file = dio_9p_slow.fd;
	pid_t pid;
	size_t i;

	if (k->write) {
		file = dio_9p_open(&dio_9p_slow, "killed", O_DIRECT | O_TRUNC);
		dio_full_pwrite(file, "", 1, 0);
	} else if (k->past_end) {
		file = dio_9p_slow.small;
	}
	/* Pages are freed to the CPU, whose next allocations get them first. */
	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	dio_9p_hold();
	fflush(stdout);
	pid = fork();
	if (!pid)
		killed_child(k, file);
	/* If execve() does not wait, then nobody does: that's no reason not to go on. */
	if (!dio_waits(pid, pid) && !k->twice)
		why = "set-up: it does not wait";
	ended = waitpid(pid, NULL, WNOHANG);
	if (ended && !k->twice)
		why = "set-up: it did not stay in flight";
	dio_io_start(&next);
	if (!dio_io_waits(&next) && !why)
		why = "set-up: the host is not held";
	kill(pid, SIGKILL);
	start = dio_now_ms();
	while (!ended && !dio_expired(start))
		ended = waitpid(pid, NULL, WNOHANG);
	if (!ended && !why)
		why = "it cannot be killed";
	memset(others, DIO_UNTOUCHED, OTHERS_SIZE);
	dio_io_end(&next, DIO_9P_SECONDS);
	dio_9p_drain();
	sched_setaffinity(0, sizeof(all), &all);
	for (i = 0; i < OTHERS_SIZE && !why; i++)
		if (others[i] != DIO_UNTOUCHED)
			why = "CORRUPTED memory of another process";
	if (k->write) {
		sync_error(file);
		if (!why && host_has(file, KILLED_SIZE, 0, 0x40))
			why = "LEAKED memory of another process to the host";
		close(file);
	}
	munmap(others, OTHERS_SIZE);
	return why;
}

/* The device has as many requests as it takes; one more waits, and is killed. */
static const char *try_full_ring(void)
{
	size_t length = 2048, i;
	unsigned char *mem = dio_map(RING * length, dio_page_size, false);
	struct dio_io io[RING] = {};
	unsigned long long start;
	const char *why = NULL;
	bool ended = false;
	struct stat st;
	pid_t pid;

	dio_9p_hold();
	for (i = 0; i < RING; i++) {
		io[i].fd = dio_9p_slow.fd;
		io[i].mem = mem + i * length;
		io[i].length = length;
		io[i].pos = i * 3000;
		dio_io_start(&io[i]);
	}
	for (i = 0; i < RING; i++)
		if (!dio_io_waits(&io[i]) && !why)
			why = "set-up: a read is not held";
	fflush(stdout);
	pid = fork();
	if (!pid) {
		pread(dio_9p_slow.fd, mem, length, 0);
		_exit(1);
	}
	if (!dio_waits(pid, pid) && !why)
		why = "set-up: it does not wait";
	kill(pid, SIGKILL);
	if (dio_io_done(&io[0]) && !why)
		why = "set-up: the device did not stay full";
	start = dio_now_ms();
	while (!ended && !dio_expired(start)) {
		for (i = 0; i < RING && dio_io_done(&io[i]); i++)
			;
		/*
		 * A ring can have room for more requests than QEMU takes at once.  QEMU looks
		 * at the others when there is a new one, and not when it has answered some.
		 */
		if (i == RING)
			fstat(dio_9p_slow.fd, &st);
		ended = waitpid(pid, NULL, WNOHANG);
	}
	if (!ended && !why)
		why = "it cannot be killed";
	for (i = 0; i < RING; i++) {
		dio_io_end(&io[i], DIO_9P_SECONDS);
		if (!why)
			why = io[i].result == length ?
			      dio_compare(io[i].mem, length, io[i].pos, 0) :
			      dio_because("%zd bytes were read", io[i].result);
	}
	munmap(mem, RING * length);
	return why;
}

static const struct forced {
	const char *name;
	bool write;
	bool killed_before;
	bool fault;		/* into the page cache, whose pages nobody pins */
	bool unbind;		/* the device from its driver */
} forced[] = {
	{ "pread, umount -f, its process is killed" },
	{ "pwrite, umount -f, its process is killed", .write = true },
	{ "pread, its process is killed, umount -f", .killed_before = true },
	{ "pread, umount -f, its process is killed, the driver is unbound", .unbind = true },
	{ "page fault, umount -f, its process is killed", .fault = true },
};

#define FORCED_SIZE	(4 * 4096UL)

static pid_t forced_child(const struct forced *f, int fd, size_t length)
{
	unsigned char *mem;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
	if (f->fault && length > COPIED) {
		mem = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
		_exit(mem == MAP_FAILED || mem[0]);
	}
	mem = dio_map(FORCED_SIZE, dio_page_size, false);
	dio_fill(mem, FORCED_SIZE, 0, 0x40);
	_exit(length > COPIED && f->write ? pwrite(fd, mem, length, 0) :
					    pread(fd, mem, length, 0));
}

/* Is it in this function of the kernel? */
static bool waits_in(pid_t pid, const char *function)
{
	unsigned long long start = dio_now_ms();
	char path[64], wchan[128];

	snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
	do {
		if (!dio_read_file(wchan, sizeof(wchan), path) && strstr(wchan, function))
			return true;
	} while (!dio_expired(start));
	return false;
}

/* Each client has a cache of its own.  How many there are, 0 if that is not told. */
static unsigned int nr_clients(void)
{
	FILE *f = fopen("/proc/slabinfo", "r");
	unsigned int nr = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		nr += !strncmp(line, "9p-fcall-cache-", strlen("9p-fcall-cache-"));
	if (f)
		fclose(f);
	return nr;
}

static const char *rebind(const struct dio_9p *s)
{
	static const char driver[] = "/sys/bus/virtio/drivers/9pnet_virtio";
	char path[320], tag[64];
	struct dirent *entry;
	const char *why = "set-up: the driver does not have the device";
	DIR *dir = opendir(driver);

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s/mount_tag", driver, entry->d_name);
		if (dio_read_file(tag, sizeof(tag), path) || strcmp(tag, s->tag))
			continue;
		why = NULL;
		if (dio_write_file(entry->d_name, "%s/unbind", driver))
			why = "the driver cannot be unbound";
		if (!why && (long)dio_pins_held())
			why = "pins are left when there is no driver any more";
		if (dio_write_file(entry->d_name, "%s/bind", driver) && !why)
			why = "the driver cannot be bound";
		break;
	}
	if (dir)
		closedir(dir);
	return why;
}

/* What the kernel has to say that it should not have to */
static const char *kernel_says(void)
{
	static const char * const words[] = {
		"still in use", "still has references", "not clunked", "refcount_t:", "WARNING:",
		"BUG:", "BUG kmalloc-", "cut here",
	};
	const char *why = NULL, *text;
	char line[2048];
	ssize_t n;
	size_t i;

	while (!why && kmsg >= 0) {
		n = read(kmsg, line, sizeof(line) - 1);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			break;
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		text = strchr(line, ';');
		for (i = 0; i < ARRAY_SIZE(words) && text && !why; i++)
			if (strstr(text, words[i]))
				why = dio_because("the kernel says: %.100s", text + 1);
	}
	return why;
}

/*
 * Whoever waits for a host that does not answer ends when it is killed and the mount
 * is forced to end.  What the host has stays for it, past the end of the mount, or is
 * taken from it.  The next mount works at once.
 */
static const char *try_forced(const struct forced *f)
{
	unsigned char *others = dio_map(OTHERS_SIZE, dio_page_size, false);
	struct dio_io next = { .fd = dio_9p_slow.fd, .mem = (unsigned char []){ 0 }, .length = 1 };
	long pins = f->fault ? 0 : FORCED_SIZE / dio_page_size;
	/*
	 * netfs pins the pages of those who read little, too.  It unpins all when they
	 * are killed: what the host still has is held by references then.
	 */
	bool netfs = dio_by_netfs();
	long little = netfs ? 1 + f->fault : 0;
	unsigned long long start, took, before = dio_pins_acquired();
	unsigned int clients = nr_clients();
	const char *why = NULL, *also;
	static bool unpinned;
	static char late[64];
	int file, ret;
	pid_t pid[2];
	size_t i;

	/* Then nobody knows what the host has: what follows would not be safe. */
	if (unpinned)
		return "its pages are not pinned";
	/* To netfs, a file that another client has made longer has zeroes there. */
	if (f->fault && netfs) {
		why = dio_9p_umount(&dio_9p_slow);
		ret = why ? 0 : dio_9p_mount(&dio_9p_slow, "none");
		if (why || ret)
			dio_die("%s: %s\n", dio_9p_slow.dir, why ? why : strerror(-ret));
		next.fd = dio_9p_slow.fd;
	}
	if (f->fault)
		file = dio_9p_open(&dio_9p_slow, "file", 0);
	else if (f->write)
		file = dio_9p_open(&dio_9p_slow, "killed", O_DIRECT | O_TRUNC);
	else
		file = dio_9p_slow.fd;
	dio_9p_hold();
	pid[0] = forced_child(f, file, FORCED_SIZE);
	if (!dio_waits(pid[0], pid[0]))
		why = "set-up: it does not wait";
	pid[1] = forced_child(f, dio_9p_slow.fd, COPIED);
	if (!dio_waits(pid[1], pid[1]) && !why)
		why = "set-up: who reads little does not wait";
	if (f->fault) {
		dio_io_start(&next);
		if (!dio_io_waits(&next) && !why)
			why = "set-up: the host is not held";
	}
	unpinned = dio_pins_acquired() - before < pins;
	if (unpinned)
		why = "its pages are not pinned";
	if ((long)dio_pins_held() != pins + little && !why)
		why = "set-up: it did not stay in flight";
	if (why) {
		waitpid(pid[0], NULL, 0);
		waitpid(pid[1], NULL, 0);
		if (f->fault)
			dio_io_end(&next, DIO_9P_SECONDS);
		if (file != dio_9p_slow.fd)
			close(file);
		munmap(others, OTHERS_SIZE);
		return why;
	}

	start = dio_now_ms();
	for (i = 0; i < 2 && f->killed_before; i++)
		kill(pid[i], SIGKILL);
	if (f->killed_before && !waits_in(pid[0], "p9_client_rpc"))
		why = "set-up: it does not wait for its flush";
	if ((!umount2(dio_9p_slow.dir, MNT_FORCE) || errno != EBUSY) && !why)
		why = "the mount was not busy";
	for (i = 0; i < 2; i++) {
		kill(pid[i], SIGKILL);
		while (!waitpid(pid[i], NULL, WNOHANG))
			if (dio_expired(start) && !why)
				why = "it cannot be killed";
	}
	took = dio_now_ms() - start;
	if (!netfs && (long)dio_pins_held() != pins && !why) {
		snprintf(late, sizeof(late), "it ends after %llu ms, when the host is done", took);
		why = took < 500 ? "set-up: it did not stay in flight" : late;
	}
	if (f->fault) {
		dio_io_end(&next, DIO_9P_SECONDS);
		if (next.result != -EIO && !why)
			why = "set-up: its pages were not taken from the host";
	}
	if (file != dio_9p_slow.fd)
		close(file);
	also = dio_9p_umount(&dio_9p_slow);
	if (!why)
		why = also;
	if (!netfs && (long)dio_pins_held() != pins && !why)
		why = "set-up: the host did not have it past the end of the mount";
	if (nr_clients() != clients - f->fault && clients && !why)
		why = "the client is freed while the host has its buffers";
	if (f->unbind && !why)
		why = rebind(&dio_9p_slow);
	ret = dio_9p_mount(&dio_9p_slow, "none");
	if (ret)
		dio_die("%s: the next mount: %s\n", dio_9p_slow.dir, strerror(-ret));
	memset(others, DIO_UNTOUCHED, OTHERS_SIZE);
	dio_9p_drain();
	for (i = 0; i < OTHERS_SIZE && !why; i++)
		if (others[i] != DIO_UNTOUCHED)
			why = "CORRUPTED memory of another process";
	munmap(others, OTHERS_SIZE);
	if (f->write && !why) {
		file = dio_9p_open(&dio_9p_fast, "killed", O_DIRECT);
		if (host_has(file, FORCED_SIZE, 0, 0x40))
			why = "LEAKED memory of another process to the host";
		close(file);
	}
	start = dio_now_ms();
	while (nr_clients() != clients && !why)
		if (dio_expired(start))
			why = "the client is not freed when the host has returned all";
	return why ? why : kernel_says();
}

/* No request may be left over, and the kernel must have nothing to say. */
static const char *test_umount(unsigned int unused)
{
	const char *why = dio_9p_umount(&dio_9p_slow);

	if (!why)
		why = dio_9p_umount(&dio_9p_fast);
	if (!why)
		why = kernel_says();
	return why;
}

/* A test of what is held is done again if it was not held for long enough. */
#define UNTIL_HELD(test) ({			\
	const char *why_;			\
						\
	do {					\
		why_ = (test);			\
	} while (dio_9p_held_too_short(why_));	\
	why_;					\
})

static const struct {
	size_t length, offset;
} forks[] = {
	{ 2048, 512 }, { 4096, 1 }, { 16 * 4096, 513 },
};

static void test_fork(unsigned int i)
{
	static const char * const claims[] = { "parent sees the read", "child sees before" };
	const char *why[2];
	char names[2][96];
	int k;

	for (k = 0; k < 2; k++) {
		snprintf(names[k], sizeof(names[k]),
			 "pread of %zu into memory at %zu, fork: %s", forks[i].length,
			 forks[i].offset, claims[k]);
		dio_lists_one(names[k]);
	}
	if (dio_results.dry)
		return;
	why[0] = UNTIL_HELD(dio_remote_fork(remote(&dio_9p_slow), false, forks[i].length,
					    forks[i].offset, &why[1]));
	for (k = 0; k < 2; k++)
		dio_report(names[k], why[k]);
}

static const char *test_fork_write(unsigned int unused)
{
	return UNTIL_HELD(dio_remote_fork_write(remote(&dio_9p_slow), false, 16));
}

static const char *test_signal(unsigned int write)
{
	return UNTIL_HELD(dio_remote_signal(remote(&dio_9p_slow), write));
}

static void label_killed(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s", killed[i].name);
}

static const char *test_killed(unsigned int i)
{
	return UNTIL_HELD(try_killed(&killed[i]));
}

static const char *test_full_ring(unsigned int unused)
{
	return UNTIL_HELD(try_full_ring());
}

static void label_forced(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s", forced[i].name);
}

static const char *test_forced(unsigned int i)
{
	return UNTIL_HELD(try_forced(&forced[i]));
}

static const struct dio_case cases[] = {
	{ .label = label_shape, .test = test_shape, .nr = 2 * ARRAY_SIZE(shapes) },
	{ .label = label_segments, .test = test_segments, .nr = 4 },
	{ "pread past the end is short", .test = test_end },
	{ .label = label_unmapped, .test = test_unmapped, .nr = 4 },
	{ "read-only memory is a source and no destination", .test = test_read_only },
	{ "pwrite over an error of the server", .test = test_error },
	{ "splice from the file", .test = test_splice_from },
	{ "splice into the file", .test = test_splice_into },
	{ "an extended attribute", .test = test_xattr },
	{ "a large directory", .test = test_directory },
	{ "a loop device on the file", .test = test_loop },
	{ "the page cache", .test = test_cached },
	{ "pread pins what is read into", .test = test_pins, .i = false },
	{ "pwrite pins what is written", .test = test_pins, .i = true },
	{ "pread marks dirty what it reads into", .test = test_dirty, .i = false },
	{ "pwrite leaves clean what it writes", .test = test_dirty, .i = true },
	{ .run = test_fork, .nr = ARRAY_SIZE(forks) },
	{ "pwrite in flight, fork: the child's stores are not written", .test = test_fork_write },
	{ "pread and a signal", .test = test_signal, .i = false },
	{ "pwrite and a signal", .test = test_signal, .i = true },
	{ .label = label_killed, .test = test_killed, .nr = ARRAY_SIZE(killed) },
	{ "pread that waits for room is killed", .test = test_full_ring },
	{ .label = label_forced, .test = test_forced, .nr = ARRAY_SIZE(forced) },
	/* Last: it takes down what the others need. */
	{ "no request is left when it is unmounted", .test = test_umount },
};

static void all_cases(void)
{
	dio_prefix("9p");
	dio_cases(cases, ARRAY_SIZE(cases), NULL);
}

/* Mount both, or tell why that cannot be. */
static void start(void)
{
	const char *why;

	if (geteuid())
		dio_skip_all("needs root, to mount\n");
	owner = getpid();
	atexit(clean_up);
	why = dio_9p_start();
	if (why)
		dio_skip_all("%s\n", why);
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg >= 0)
		lseek(kmsg, 0, SEEK_END);
	host_gets(dio_9p_fast.fd, FILE_SIZE, 0, 0);
	host_gets(dio_9p_fast.small, DIO_SHORT, 0, 0);
}

int main(int argc, char **argv)
{
	static const struct dio_program program = { .start = start, .cases = all_cases };

	return dio_main(&program, argc, argv);
}
