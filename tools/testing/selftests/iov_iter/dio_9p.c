// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O over 9p, whose server is the host: virtio hands it the memory itself if
 * there is more of it than 1024 bytes.
 *
 * QEMU has a directory for it, once as it is, with the tag iov_iter, and once behind
 * a limit of bytes per second, with the tag iov_iter_slow: a read that takes all that
 * the limit allows for some seconds holds whatever comes next in flight.  That it
 * was held for long enough is looked at, not assumed; if not, it is held for twice as
 * long.
 *
 *	-fsdev local,id=fast,path=DIR,security_model=none
 *	-device virtio-9p-pci,fsdev=fast,mount_tag=iov_iter
 *	-fsdev local,id=slow,path=DIR,security_model=none,throttling.bps-total=24576
 *	-device virtio-9p-pci,fsdev=slow,mount_tag=iov_iter_slow
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

#include "dio_lib.h"

#define MSIZE		512000		/* the largest of virtio */
#define MAX_REQUEST	507904UL	/* of that, what QEMU takes: whole blocks */
#define COPIED		1000		/* so little is copied */
#define MANY		(128 * 1024UL)	/* for little pieces to take long */
#define RING		128		/* requests that the device takes at a time */
#define GUARD		4096		/* bytes around a buffer that must not change */
#define STORED		0xff
#define OTHERS_SIZE	(64 * DIO_MIB)
#define FILE_SIZE	(2 * DIO_MIB)
#define SHORT_SIZE	5001UL
#define XATTR_SIZE	3500
#define NAMES		40

/* A directory of the host, and the file in it */
static struct share {
	const char *tag;
	char dir[32];
	int fd, small;			/* O_DIRECT; the small file */
	bool mounted;
} fast = { "iov_iter", .fd = -1, .small = -1 }, slow = { "iov_iter_slow", .fd = -1, .small = -1 };

static pid_t owner;
static int kmsg = -1;
static char problem[200];

#define because(...) (snprintf(problem, sizeof(problem), __VA_ARGS__), problem)

static void result(const char *name, const char *why)
{
	char full[96];

	snprintf(full, sizeof(full), "9p %s", name);
	dio_result(full, why ? why : dio_pins_problem(false));
}

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

static int open_at(const struct share *s, const char *name, int flags)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	return fd;
}

static int share_mount(struct share *s, const char *cache)
{
	char options[96];

	snprintf(options, sizeof(options), "trans=virtio,version=9p2000.L,msize=%d,cache=%s",
		 MSIZE, cache);
	if (mount(s->tag, s->dir, "9p", 0, options))
		return -errno;
	s->mounted = true;
	s->fd = open_at(s, "file", O_DIRECT);
	s->small = open_at(s, "small", O_DIRECT);
	return 0;
}

static const char *share_umount(struct share *s)
{
	if (!s->mounted)
		return NULL;
	close(s->fd);
	close(s->small);
	if (umount(s->dir))
		return because("%s: umount: %s", s->dir, strerror(errno));
	s->mounted = false;
	return NULL;
}

static void clean_up(void)
{
	if (getpid() != owner)
		return;
	share_umount(&slow);
	share_umount(&fast);
	rmdir(slow.dir);
	rmdir(fast.dir);
}

/* Lengths around what is copied and what makes a second request */
static const struct shape {
	size_t length;
	off_t pos;
	unsigned int offset;
} shapes[] = {
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

static void run_shape(const struct shape *s, bool write)
{
	size_t size = s->offset + s->length + 2 * GUARD;
	unsigned char *mem = dio_map(size, dio_page_size, false);
	unsigned char *buf = mem + GUARD + s->offset;
	const char *why = NULL;
	bool large = s->pos + s->length > FILE_SIZE;
	char name[80];

	snprintf(name, sizeof(name), "%s of %zu at %lld, memory at %u",
		 write ? "pwrite" : "pread", s->length, (long long)s->pos, s->offset);
	memset(mem, DIO_UNTOUCHED, size);
	if (large && !write) {
		dio_fill(buf, s->length, s->pos, 0);
		dio_full_pwrite(fast.fd, buf, s->length, s->pos);
		memset(mem, DIO_UNTOUCHED, size);
	}
	if (write) {
		dio_fill(buf, s->length, s->pos, 0x40);
		why = dio_count(pwrite(fast.fd, buf, s->length, s->pos), s->length);
		if (!why)
			why = dio_compare(buf, s->length, s->pos, 0x40);
		if (!why)
			why = host_has(fast.fd, s->length, s->pos, 0x40);
		if (!why && s->pos)
			why = host_has(fast.fd, s->pos < 9000 ? s->pos : 9000, 0, 0);
		if (!why && !large)
			why = host_has(fast.fd, 1000, s->pos + s->length, 0);
		host_gets(fast.fd, large ? FILE_SIZE : s->length, large ? 0 : s->pos, 0);
	} else {
		why = dio_count(pread(fast.fd, buf, s->length, s->pos), s->length);
		if (!why)
			why = dio_compare(buf, s->length, s->pos, 0);
	}
	if (!why)
		why = dio_unchanged(mem, buf - mem, "before the buffer");
	if (!why)
		why = dio_unchanged(buf + s->length, mem + size - buf - s->length,
				    "behind the buffer");
	if (large && ftruncate(fast.fd, FILE_SIZE))
		dio_die("ftruncate: %s\n", strerror(errno));
	munmap(mem, size);
	result(name, why);
}

static ssize_t aio(bool write, struct iovec *iov, int nr, off_t pos)
{
	struct iocb iocb, *list = &iocb;
	io_context_t context = NULL;
	struct io_event event;
	ssize_t n;
	int ret;

	ret = io_setup(1, &context);
	if (ret)
		dio_die("io_setup: %s\n", strerror(-ret));
	if (write)
		io_prep_pwritev(&iocb, fast.fd, iov, nr, pos);
	else
		io_prep_preadv(&iocb, fast.fd, iov, nr, pos);
	ret = io_submit(context, 1, &list);
	if (ret == 1 && io_getevents(context, 1, 1, &event, NULL) != 1)
		ret = -EIO;
	n = ret == 1 ? (ssize_t)event.res : ret;
	io_destroy(context);
	if (n >= 0)
		return n;
	errno = -n;
	return -1;
}

/* Segments in one page, that join, that are empty, and that begin and end anywhere */
static void run_segments(bool write, bool async)
{
	size_t page = dio_page_size, size = 16 * page, len = 0;
	unsigned char *mem = dio_map(size, page, false);
	struct iovec iov[] = {
		{ mem + 1, 10 }, { mem + 11, 1 }, { mem + 100, page - 100 }, { mem, 0 },
		{ mem + page, 3 * page }, { mem + 5 * page, 2 * page + 17 },
		{ mem + 9 * page - 1, 1 }, { mem + 10 * page + 3, 3 * page },
	};
	int nr = ARRAY_SIZE(iov), i;
	const char *why = NULL;
	off_t pos = 777;
	char name[80];
	ssize_t n;

	snprintf(name, sizeof(name), "%s%s of segments of any alignment", async ? "aio " : "",
		 write ? "pwritev" : "preadv");
	memset(mem, DIO_UNTOUCHED, size);
	for (i = 0; i < nr; len += iov[i++].iov_len)
		if (write)
			dio_fill(iov[i].iov_base, iov[i].iov_len, pos + len, 0x40);
	if (async)
		n = aio(write, iov, nr, pos);
	else
		n = write ? pwritev(fast.fd, iov, nr, pos) : preadv(fast.fd, iov, nr, pos);
	why = dio_count(n, len);
	if (write) {
		if (!why)
			why = host_has(fast.fd, len, pos, 0x40);
		host_gets(fast.fd, len, pos, 0);
	} else {
		for (i = 0, len = 0; i < nr && !why; len += iov[i++].iov_len)
			why = dio_compare(iov[i].iov_base, iov[i].iov_len, pos + len, 0);
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
		why = dio_count(pread(fast.small, mem + 7, len - 7, reads[i].pos), reads[i].want);
		if (!why)
			why = dio_compare(mem + 7, reads[i].want, reads[i].pos, 0);
		if (!why)
			why = dio_unchanged(mem + 7 + reads[i].want, len - 7 - reads[i].want,
					    "past the end");
	}
	munmap(mem, len);
	result("pread past the end is short", why);
}

/* Memory that ends before the I/O does: as much as there is memory for is done. */
static void run_unmapped(bool write, bool segments)
{
	size_t page = dio_page_size, there = 3 * page - 100;
	unsigned char *mem = dio_map(4 * page, page, false);
	const char *why;
	struct iovec iov[2];
	off_t pos = 4321;
	char name[80];
	ssize_t n;

	snprintf(name, sizeof(name), "%s %s unmapped memory is short", write ? "pwrite" : "pread",
		 segments ? "whose second segment is" : "that runs into");
	memset(mem, DIO_UNTOUCHED, 3 * page);
	munmap(mem + 3 * page, page);
	if (segments)
		there -= page;
	if (write)
		dio_fill(mem + 100, there, pos, 0x40);
	iov[0] = (struct iovec){ mem + 100, segments ? there : there + page };
	iov[1] = (struct iovec){ mem + 3 * page, page };
	n = write ? pwritev(fast.fd, iov, 1 + segments, pos) :
		    preadv(fast.fd, iov, 1 + segments, pos);
	why = dio_count(n, there);
	if (!why)
		why = write ? host_has(fast.fd, there, pos, 0x40) :
			      dio_compare(mem + 100, there, pos, 0);
	if (!why && write)
		why = host_has(fast.fd, 9000, pos + there, 0);
	if (!why && (write ? pwrite(fast.fd, mem + 3 * page, page, pos) :
		     pread(fast.fd, mem + 3 * page, page, pos)) >= 0)
		why = "there was no memory at all, and no error";
	if (!why && errno != EFAULT)
		why = strerror(errno);
	munmap(mem, 3 * page);
	if (write)
		host_gets(fast.fd, there, pos, 0);
	result(name, why);
}

static void run_read_only(void)
{
	size_t len = 3 * dio_page_size;
	unsigned char *mem = dio_map(len, dio_page_size, false);
	const char *why;

	dio_fill(mem, len, 99, 0x40);
	mprotect(mem, len, PROT_READ);
	why = dio_count(pwrite(fast.fd, mem, len, 99), len);
	if (!why)
		why = host_has(fast.fd, len, 99, 0x40);
	if (!why && (pread(fast.fd, mem, len, 5) != -1 || errno != EFAULT))
		why = "a read into it has not ended in EFAULT";
	if (!why)
		why = dio_compare(mem, len, 99, 0x40);
	munmap(mem, len);
	host_gets(fast.fd, len, 99, 0);
	result("read-only memory is a source and no destination", why);
}

/* The host has an end to its files.  What whole requests wrote before it counts. */
static void run_error(void)
{
	const char *name = "pwrite over an error of the server";
	int fd = open_at(&fast, "large", O_DIRECT), bit;
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
		dio_result_skip("9p pwrite over an error of the server",
				"the host takes files of any size");
		close(fd);
		return;
	}
	pos = end - 2 * MAX_REQUEST - 70000;
	mem = dio_map(len, dio_page_size, false);
	dio_fill(mem, len, pos, 0);
	n = pwrite(fd, mem, len, pos);
	if (n != end - pos)
		why = dio_count(n, 2 * MAX_REQUEST);
	if (!why)
		why = host_has(fd, n, pos, 0);
	if (!why && (pwrite(fd, mem, len, end) != -1 || errno != EFBIG))
		why = "no EFBIG past the end";
	munmap(mem, len);
	ftruncate(fd, 0);
	close(fd);
	result(name, why);
}

/* From the file into a pipe, and from there into the file */
static void run_splice(void)
{
	size_t len = 16 * dio_page_size, at;
	unsigned char *mem = dio_map(len, dio_page_size, false);
	off_t pos = 1000, to = 30001;
	const char *why;
	ssize_t n;
	int p[2];

	if (pipe2(p, O_CLOEXEC) || fcntl(p[0], F_SETPIPE_SZ, 4 * len) < 0)
		dio_die("pipe: %s\n", strerror(errno));
	why = dio_count(splice(fast.fd, &pos, p[1], NULL, len, 0), len);
	for (at = 0; at < len && !why; at += n) {
		n = read(p[0], mem + at, len - at);
		if (n <= 0)
			why = "the pipe does not have all";
	}
	if (!why)
		why = dio_compare(mem, len, 1000, 0);
	pos = 0;
	if (!why)
		why = dio_count(splice(fast.small, &pos, p[1], NULL, len, 0), SHORT_SIZE);
	if (!why)
		why = dio_count(read(p[0], mem, len), SHORT_SIZE);
	if (!why)
		why = dio_compare(mem, SHORT_SIZE, 0, 0);
	result("splice from the file", why);

	dio_fill(mem, len, to, 0x40);
	if (write(p[1], mem, len) != len)
		dio_die("pipe: %s\n", strerror(errno));
	for (at = 0, why = NULL; at < len && !why; at += n) {
		n = splice(p[0], NULL, fast.fd, &to, len - at, 0);
		if (n <= 0)
			why = because("splice: %s", n ? strerror(errno) : "no progress");
	}
	if (!why)
		why = host_has(fast.fd, len, 30001, 0x40);
	host_gets(fast.fd, len, 30001, 0);
	close(p[0]);
	close(p[1]);
	munmap(mem, len);
	result("splice into the file", why);
}

/* An extended attribute and a directory come into memory of the kernel. */
static void run_kernel_memory(void)
{
	unsigned char set[XATTR_SIZE], got[XATTR_SIZE + 100];
	const char *why = NULL;
	unsigned int nr = 0, i;
	struct dirent *entry;
	char path[256];
	DIR *dir;

	dio_fill(set, sizeof(set), 3, 0);
	memset(got, DIO_UNTOUCHED, sizeof(got));
	if (fsetxattr(fast.fd, "user.iov_iter", set, sizeof(set), 0)) {
		if (errno == EOPNOTSUPP) {
			dio_result_skip("9p an extended attribute", "the host has none");
			goto names;
		}
		why = because("fsetxattr: %s", strerror(errno));
	}
	if (!why)
		why = dio_count(fgetxattr(fast.fd, "user.iov_iter", got, sizeof(got)), sizeof(set));
	if (!why)
		why = dio_compare(got, sizeof(set), 3, 0);
	result("an extended attribute", why);
names:
	why = NULL;
	snprintf(path, sizeof(path), "%s/names", fast.dir);
	if (mkdir(path, 0700) && errno != EEXIST)
		dio_die("%s: %s\n", path, strerror(errno));
	for (i = 0; i < NAMES; i++) {
		snprintf(path, sizeof(path), "names/name-%0200u", i);
		close(open_at(&fast, path, 0));
	}
	snprintf(path, sizeof(path), "%s/names", fast.dir);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (sscanf(entry->d_name, "name-%u", &i) == 1 && i < NAMES)
			nr++;
	if (dir)
		closedir(dir);
	if (nr != NAMES)
		why = because("%u names instead of %u", nr, NAMES);
	result("a large directory", why);
}

/* A loop device asks for what is in its bio_vecs. */
static void run_loop(void)
{
	const char *name = "a loop device on the file";
	unsigned char *mem = dio_map(FILE_SIZE, dio_page_size, false);
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), file, loop = -1, nr;
	const char *why = NULL;
	char path[32];

	nr = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	snprintf(path, sizeof(path), "/dev/loop%d", nr);
	if (nr >= 0)
		loop = open(path, O_RDWR | O_CLOEXEC | O_DIRECT);
	if (loop < 0) {
		dio_result_skip("9p a loop device on the file", "there are no loop devices");
		goto out;
	}
	file = open_at(&fast, "file", 0);
	if (ioctl(loop, LOOP_SET_FD, file))
		why = because("LOOP_SET_FD: %s", strerror(errno));
	close(file);
	if (!why)
		why = dio_count(pread(loop, mem, FILE_SIZE / 4, 0), FILE_SIZE / 4);
	if (!why)
		why = dio_compare(mem, FILE_SIZE / 4, 0, 0);
	dio_fill(mem, FILE_SIZE, 0, 0x40);
	if (!why)
		why = dio_count(pwrite(loop, mem + 512, MANY, 512), MANY);
	if (!why)
		why = host_has(fast.fd, MANY, 512, 0x40);
	ioctl(loop, LOOP_CLR_FD);
	close(loop);
	host_gets(fast.fd, MANY, 512, 0);
	result(name, why);
out:
	close(control);
	munmap(mem, FILE_SIZE);
}

/* Through the page cache, read ahead and written back */
static void run_cached(void)
{
	const char *why = share_umount(&fast);
	unsigned char *mem;
	int fd;

	if (why || share_mount(&fast, "loose"))
		dio_die("%s: mount with a cache: %s\n", fast.dir, why ? why : strerror(errno));
	fd = open_at(&fast, "file", 0);
	mem = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		dio_die("mmap: %s\n", strerror(errno));
	why = dio_compare(mem, FILE_SIZE / 4, 0, 0);
	dio_fill(mem + 5000, MANY, 5000, 0x40);
	if (!why && msync(mem, FILE_SIZE, MS_SYNC))
		why = because("msync: %s", strerror(errno));
	munmap(mem, FILE_SIZE);
	close(fd);
	if (share_umount(&fast) || share_mount(&fast, "none"))
		dio_die("%s: mount without a cache: %s\n", fast.dir, strerror(errno));
	if (!why)
		why = host_has(fast.fd, MANY, 5000, 0x40);
	if (!why)
		why = host_has(fast.fd, 5000, 0, 0);
	host_gets(fast.fd, MANY, 5000, 0);
	result("the page cache", why);
}

/* An I/O of a thread, to the file of the slow share */
struct io {
	pthread_t thread;
	unsigned char *mem;
	size_t length;
	off_t pos;
	ssize_t result;
	bool write;
	bool done;
	pid_t tid;
};

static void *io_thread(void *arg)
{
	struct io *io = arg;

	__atomic_store_n(&io->tid, syscall(SYS_gettid), __ATOMIC_RELEASE);
	io->result = io->write ? pwrite(slow.fd, io->mem, io->length, io->pos) :
				 pread(slow.fd, io->mem, io->length, io->pos);
	if (io->result < 0)
		io->result = -errno;
	__atomic_store_n(&io->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool io_done(const struct io *io)
{
	return __atomic_load_n(&io->done, __ATOMIC_ACQUIRE);
}

/* Has the task gone to sleep, not to be woken but by a fatal signal? */
static bool waits(pid_t pid, pid_t tid)
{
	unsigned long long start = dio_now_ms();
	char path[64], stat[512], *state;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	do {
		if (dio_read_file(stat, sizeof(stat), path))
			return false;
		state = strrchr(stat, ')');
		if (state && state[1] && state[2] == 'D')
			return true;
		if (state && state[1] && state[2] == 'Z')
			return false;
	} while (!dio_expired(start));
	return false;
}

static void io_start(struct io *io)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	if (pthread_create(&io->thread, &attr, io_thread, io))
		dio_die("no thread\n");
	pthread_attr_destroy(&attr);
}

/* Whether it is waiting now, in the kernel */
static bool io_waits(struct io *io)
{
	pid_t tid;

	do
		tid = __atomic_load_n(&io->tid, __ATOMIC_ACQUIRE);
	while (!tid);
	return waits(getpid(), tid) && !io_done(io);
}

static size_t hold_size = MAX_REQUEST / 8;

/* Use up what the limit allows, for the next ones to wait some seconds. */
static void hold(void)
{
	static unsigned char *buf;

	if (!buf)
		buf = dio_map(MAX_REQUEST, dio_page_size, false);
	dio_full_pread(slow.fd, buf, hold_size, 0);
}

/* Whether a test is to be done again, because @why says that this was too short */
static bool held_too_short(const char *why)
{
	if (!why || strncmp(why, "set-up", strlen("set-up")) || hold_size == MAX_REQUEST)
		return false;
	hold_size *= 2;
	return true;
}

/* What is asked for later is answered later: wait until nothing is held. */
static void drain(void)
{
	unsigned char byte;

	dio_full_pread(slow.fd, &byte, 1, 0);
	dio_full_pwrite(slow.fd, &byte, 1, 0);
}

/* What is around a read, and what was there before it */
static unsigned char before(size_t i)
{
	return 0x80 | (i % 61);
}

/*
 * fork() while a read is held, and a store next to the read: the parent sees what is
 * read, the child what was there before.
 */
static const char *try_fork(size_t length, size_t offset, const char **child_why)
{
	size_t size = (offset + length + dio_page_size) & ~(dio_page_size - 1), i;
	unsigned char *mem = dio_map(size, dio_page_size, false);
	struct io io = { .mem = mem + offset, .length = length, .pos = 12345 };
	size_t lost = 0, saw = 0, foreign = 0;
	static char saw_problem[64];
	const char *why = NULL;
	int go[2], answer[2];
	pid_t pid;

	for (i = 0; i < size; i++)
		mem[i] = before(i);
	if (pipe(go) || pipe(answer))
		dio_die("pipe: %s\n", strerror(errno));
	hold();
	io_start(&io);
	if (!io_waits(&io))
		why = "set-up: the read is not held";
	fflush(stdout);
	pid = fork();
	if (!pid) {
		char byte;

		close(go[1]);
		read(go[0], &byte, 1);
		for (i = 0; i < length; i++)
			saw += mem[offset + i] != before(offset + i);
		_exit(write(answer[1], &saw, sizeof(saw)) != sizeof(saw));
	}
	for (i = 0; i < length; i++)
		if (io.mem[i] != before(offset + i) && !why)
			why = "set-up: a part was read before fork()";
	mem[0] = STORED;
	mem[size - 1] = STORED;
	if (io_done(&io) && !why)
		why = "set-up: the read did not stay in flight";
	pthread_join(io.thread, NULL);
	if (!why)
		why = io.result == length ? NULL : because("%zd bytes were read", io.result);
	for (i = 0; i < length; i++)
		if (io.mem[i] == before(offset + i))
			lost++;
		else if (io.mem[i] != dio_pattern(io.pos + i))
			foreign++;
	for (i = 1; i < size - 1; i++)
		if ((i < offset || i >= offset + length) && mem[i] != before(i))
			foreign++;
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

static void run_fork(size_t length, size_t offset)
{
	const char *why, *child_why;
	char name[96];

	do
		why = try_fork(length, offset, &child_why);
	while (held_too_short(why));
	snprintf(name, sizeof(name), "pread of %zu into memory at %zu, fork: parent sees the read",
		 length, offset);
	result(name, why);
	snprintf(name, sizeof(name), "pread of %zu into memory at %zu, fork: child sees before",
		 length, offset);
	result(name, child_why);
}

/* A child has other plans for the memory that is being written. */
static const char *try_fork_write(void)
{
	size_t length = 16 * dio_page_size;
	unsigned char *mem = dio_map(length, dio_page_size, false);
	struct io io = { .mem = mem + 7, .length = length - 9, .pos = 3, .write = true };
	const char *why = NULL;
	pid_t pid;

	dio_fill(io.mem, io.length, io.pos, 0x40);
	hold();
	io_start(&io);
	if (!io_waits(&io))
		why = "set-up: the write is not held";
	fflush(stdout);
	pid = fork();
	if (!pid) {
		memset(mem, STORED, length);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	if (io_done(&io) && !why)
		why = "set-up: the write did not stay in flight";
	pthread_join(io.thread, NULL);
	if (!why)
		why = io.result == io.length ? NULL : because("%zd were written", io.result);
	if (!why)
		why = host_has(fast.fd, io.length, io.pos, 0x40);
	if (!why)
		why = dio_compare(io.mem, io.length, io.pos, 0x40);
	munmap(mem, length);
	host_gets(fast.fd, io.length, io.pos, 0);
	return why;
}

static bool interrupted;

static void on_signal(int signal)
{
	interrupted = true;
}

static const char *try_interrupted(bool write)
{
	size_t length = 8 * dio_page_size;
	unsigned char *mem = dio_map(length, dio_page_size, false);
	struct io io = { .mem = mem, .length = length, .pos = 77, .write = write };
	struct sigaction action = { .sa_handler = on_signal };
	const char *why = NULL;

	sigaction(SIGUSR1, &action, NULL);
	interrupted = false;
	dio_fill(mem, length, io.pos, 0x40);
	hold();
	io_start(&io);
	if (!io_waits(&io))
		why = "set-up: it is not held";
	pthread_kill(io.thread, SIGUSR1);
	if (io_done(&io) && !why)
		why = "set-up: it did not stay in flight";
	pthread_join(io.thread, NULL);
	if (!why)
		why = io.result == length ? NULL : because("the result is %zd", io.result);
	if (!why && !interrupted)
		why = "the signal was not handled";
	if (!why)
		why = write ? host_has(fast.fd, length, io.pos, 0x40) :
			      dio_compare(mem, length, io.pos, 0);
	if (write)
		host_gets(fast.fd, length, io.pos, 0);
	munmap(mem, length);
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
	struct io io = { .mem = mem, .length = KILLED_SIZE, .write = k->write };

	dio_fill(mem, KILLED_SIZE, 0, 0x40);
	slow.fd = file;
	if (!k->twice) {
		io_thread(&io);
		_exit(1);
	}
	/* First by execve(), which lets no other thread live; then by the parent */
	io_start(&io);
	close(STDOUT_FILENO);
	if (io_waits(&io))
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
	struct io next = { .mem = (unsigned char []){ 0 }, .length = 1 };
	const char *why = NULL;
	cpu_set_t all, one;
	bool ended = false;
	int file = slow.fd;
	pid_t pid;
	size_t i;

	if (k->write) {
		file = open_at(&slow, "killed", O_DIRECT | O_TRUNC);
		dio_full_pwrite(file, "", 1, 0);
	} else if (k->past_end) {
		file = slow.small;
	}
	/* Pages are freed to the CPU, whose next allocations get them first. */
	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	hold();
	fflush(stdout);
	pid = fork();
	if (!pid)
		killed_child(k, file);
	/* If execve() does not wait, then nobody does: that's no reason not to go on. */
	if (!waits(pid, pid) && !k->twice)
		why = "set-up: it does not wait";
	ended = waitpid(pid, NULL, WNOHANG);
	if (ended && !k->twice)
		why = "set-up: it did not stay in flight";
	io_start(&next);
	if (!io_waits(&next) && !why)
		why = "set-up: the host is not held";
	kill(pid, SIGKILL);
	start = dio_now_ms();
	while (!ended && !dio_expired(start))
		ended = waitpid(pid, NULL, WNOHANG);
	if (!ended && !why)
		why = "it cannot be killed";
	memset(others, DIO_UNTOUCHED, OTHERS_SIZE);
	pthread_join(next.thread, NULL);
	drain();
	sched_setaffinity(0, sizeof(all), &all);
	for (i = 0; i < OTHERS_SIZE && !why; i++)
		if (others[i] != DIO_UNTOUCHED)
			why = "CORRUPTED memory of another process";
	if (k->write) {
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
	struct io io[RING] = {};
	unsigned long long start;
	const char *why = NULL;
	bool ended = false;
	pid_t pid;

	hold();
	for (i = 0; i < RING; i++) {
		io[i].mem = mem + i * length;
		io[i].length = length;
		io[i].pos = i * 3000;
		io_start(&io[i]);
	}
	for (i = 0; i < RING; i++)
		if (!io_waits(&io[i]) && !why)
			why = "set-up: a read is not held";
	fflush(stdout);
	pid = fork();
	if (!pid) {
		pread(slow.fd, mem, length, 0);
		_exit(1);
	}
	if (!waits(pid, pid) && !why)
		why = "set-up: it does not wait";
	kill(pid, SIGKILL);
	if (io_done(&io[0]) && !why)
		why = "set-up: the device did not stay full";
	start = dio_now_ms();
	while (!ended && !dio_expired(start))
		ended = waitpid(pid, NULL, WNOHANG);
	if (!ended && !why)
		why = "it cannot be killed";
	for (i = 0; i < RING; i++) {
		pthread_join(io[i].thread, NULL);
		if (!why)
			why = io[i].result == length ?
			      dio_compare(io[i].mem, length, io[i].pos, 0) :
			      because("%zd bytes were read", io[i].result);
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

static long pins_held(void)
{
	unsigned long long released = dio_vmstat("nr_foll_pin_released");

	return dio_pins_acquired() - released;
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

static const char *rebind(const struct share *s)
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
		if (!why && pins_held())
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
				why = because("the kernel says: %.100s", text + 1);
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
	struct io next = { .mem = (unsigned char []){ 0 }, .length = 1 };
	long pins = f->fault ? 0 : FORCED_SIZE / dio_page_size;
	unsigned long long start, took, before = dio_pins_acquired();
	unsigned int clients = nr_clients();
	const char *why = NULL, *also;
	static bool unpinned;
	static char late[64];
	int file = slow.fd, ret;
	pid_t pid[2];
	size_t i;

	/* Then nobody knows what the host has: what follows would not be safe. */
	if (unpinned)
		return "its pages are not pinned";
	if (f->fault)
		file = open_at(&slow, "file", 0);
	else if (f->write)
		file = open_at(&slow, "killed", O_DIRECT | O_TRUNC);
	hold();
	pid[0] = forced_child(f, file, FORCED_SIZE);
	if (!waits(pid[0], pid[0]))
		why = "set-up: it does not wait";
	pid[1] = forced_child(f, slow.fd, COPIED);
	if (!waits(pid[1], pid[1]) && !why)
		why = "set-up: who reads little does not wait";
	if (f->fault) {
		io_start(&next);
		if (!io_waits(&next) && !why)
			why = "set-up: the host is not held";
	}
	unpinned = dio_pins_acquired() - before < pins;
	if (unpinned)
		why = "its pages are not pinned";
	if (pins_held() != pins && !why)
		why = "set-up: it did not stay in flight";
	if (why) {
		waitpid(pid[0], NULL, 0);
		waitpid(pid[1], NULL, 0);
		if (f->fault)
			pthread_join(next.thread, NULL);
		if (file != slow.fd)
			close(file);
		munmap(others, OTHERS_SIZE);
		return why;
	}

	start = dio_now_ms();
	for (i = 0; i < 2 && f->killed_before; i++)
		kill(pid[i], SIGKILL);
	if (f->killed_before && !waits_in(pid[0], "p9_client_rpc"))
		why = "set-up: it does not wait for its flush";
	if ((!umount2(slow.dir, MNT_FORCE) || errno != EBUSY) && !why)
		why = "the mount was not busy";
	for (i = 0; i < 2; i++) {
		kill(pid[i], SIGKILL);
		while (!waitpid(pid[i], NULL, WNOHANG))
			if (dio_expired(start) && !why)
				why = "it cannot be killed";
	}
	took = dio_now_ms() - start;
	if (pins_held() != pins && !why) {
		snprintf(late, sizeof(late), "it ends after %llu ms, when the host is done", took);
		why = took < 500 ? "set-up: it did not stay in flight" : late;
	}
	if (f->fault) {
		pthread_join(next.thread, NULL);
		if (next.result != -EIO && !why)
			why = "set-up: its pages were not taken from the host";
	}
	if (file != slow.fd)
		close(file);
	also = share_umount(&slow);
	if (!why)
		why = also;
	if (pins_held() != pins && !why)
		why = "set-up: the host did not have it past the end of the mount";
	if (nr_clients() != clients - f->fault && clients && !why)
		why = "the client is freed while the host has its buffers";
	if (f->unbind && !why)
		why = rebind(&slow);
	ret = share_mount(&slow, "none");
	if (ret)
		dio_die("%s: the next mount: %s\n", slow.dir, strerror(-ret));
	memset(others, DIO_UNTOUCHED, OTHERS_SIZE);
	drain();
	for (i = 0; i < OTHERS_SIZE && !why; i++)
		if (others[i] != DIO_UNTOUCHED)
			why = "CORRUPTED memory of another process";
	munmap(others, OTHERS_SIZE);
	if (f->write && !why) {
		file = open_at(&fast, "killed", O_DIRECT);
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

/* Nothing but what is read or written is pinned, and that is. */
static void run_pins(bool write)
{
	size_t length = 16 * dio_page_size;
	unsigned char *mem = dio_map(length, dio_page_size, false);
	unsigned long long pins;
	const char *why;

	dio_fill(mem, length, 0, 0);
	pins = dio_pins_acquired();
	why = dio_count(write ? pwrite(fast.fd, mem, length, 0) : pread(fast.fd, mem, length, 0),
			length);
	pins = dio_pins_acquired() - pins;
	if (!why && pins != length / dio_page_size)
		why = because("%llu pages were pinned instead of %zu", pins,
			      length / dio_page_size);
	munmap(mem, length);
	result(write ? "pwrite pins what is written" : "pread pins what is read into", why);
}

static void run_dirty(bool write)
{
	const char *why = dio_dirty_io(fast.fd, write);

	if (write)
		host_gets(fast.fd, 4 * dio_page_size, 0, 0);
	result(write ? "pwrite leaves clean what it writes" :
		       "pread marks dirty what it reads into", why);
}

/* No request may be left over, and the kernel must have nothing to say. */
static void run_umount(void)
{
	const char *why = share_umount(&slow);

	if (!why)
		why = share_umount(&fast);
	if (!why)
		why = kernel_says();
	result("no request is left when it is unmounted", why);
}

/* Mount both, or tell why that cannot be. */
static void set_up(void)
{
	static const char * const modprobe[] = { "modprobe", "-a", "9pnet_virtio", "9p", NULL };
	struct share *s[] = { &fast, &slow };
	int i, ret;

	dio_run(modprobe);
	owner = getpid();
	for (i = 0; i < 2; i++) {
		strcpy(s[i]->dir, "/tmp/iov_iter.XXXXXX");
		if (!mkdtemp(s[i]->dir))
			dio_die("%s: %s\n", s[i]->dir, strerror(errno));
	}
	atexit(clean_up);
	for (i = 0; i < 2; i++) {
		ret = share_mount(s[i], "none");
		if (ret == -ENODEV)
			ksft_exit_skip("this kernel has no 9p file system\n");
		if (ret)
			ksft_exit_skip("no virtio-9p device with the tag %s: %s\n", s[i]->tag,
				       strerror(-ret));
	}
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg >= 0)
		lseek(kmsg, 0, SEEK_END);
	host_gets(fast.fd, FILE_SIZE, 0, 0);
	host_gets(fast.small, SHORT_SIZE, 0, 0);
}

static const struct dio_option options[] = {
	{ 0 }
};

int main(int argc, char **argv)
{
	const char *why;
	int i;

	dio_options(argc, argv, options);
	setvbuf(stdout, NULL, _IOLBF, 0);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 0);
	dio_page_size = sysconf(_SC_PAGESIZE);
	ksft_print_header();
	if (geteuid())
		ksft_exit_skip("needs root, to mount\n");
	set_up();
	ksft_set_plan(2 * ARRAY_SIZE(shapes) + 4 + 1 + 4 + 1 + 1 + 2 + 2 + 1 + 1 + 2 + 2 +
		      3 * 2 + 1 + 2 + ARRAY_SIZE(killed) + 1 + ARRAY_SIZE(forced) + 1 + 1);
	dio_pins_start();

	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		run_shape(&shapes[i], false);
		run_shape(&shapes[i], true);
	}
	for (i = 0; i < 4; i++)
		run_segments(i & 1, i & 2);
	run_end();
	for (i = 0; i < 4; i++)
		run_unmapped(i & 1, i & 2);
	run_read_only();
	run_error();
	run_splice();
	run_kernel_memory();
	run_loop();
	run_cached();
	run_pins(false);
	run_pins(true);
	run_dirty(false);
	run_dirty(true);

	run_fork(2048, 512);
	run_fork(4096, 1);
	run_fork(16 * dio_page_size, 513);
	do
		why = try_fork_write();
	while (held_too_short(why));
	result("pwrite in flight, fork: the child's stores are not written", why);
	for (i = 0; i < 2; i++) {
		do
			why = try_interrupted(i);
		while (held_too_short(why));
		result(i ? "pwrite and a signal" : "pread and a signal", why);
	}
	for (i = 0; i < ARRAY_SIZE(killed); i++) {
		do
			why = try_killed(&killed[i]);
		while (held_too_short(why));
		result(killed[i].name, why);
	}
	do
		why = try_full_ring();
	while (held_too_short(why));
	result("pread that waits for room is killed", why);
	for (i = 0; i < ARRAY_SIZE(forced); i++) {
		do
			why = try_forced(&forced[i]);
		while (held_too_short(why));
		result(forced[i].name, why);
	}
	run_umount();
	dio_result("pins taken are released", dio_pins_problem(true));
	ksft_finished();
}
