// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "dio_lib.h"

#define HOLD_MS		(3600 * 1000)	/* until released: nobody waits an hour */
#define SECTOR		512
/* Small, for mkfs to be quick; mkfs.xfs refuses less than 300 MiB. */
#define DEVICE_SIZE	(320 * DIO_MIB)

static const char * const target_names[DIO_NR_TARGETS] = {
	[DIO_RAW]	= "raw",
	[DIO_EXT4]	= "ext4",
	[DIO_XFS]	= "xfs",
};

size_t dio_page_size;
unsigned int dio_block_size;

static char disk[64];			/* the scratch disk */
static char delay_path[32];		/* the dm-delay device over it */
static char delay_name[DM_NAME_LEN];
static unsigned long long delay_sectors;
static int dm_control = -1;
static bool delay_created;
static pid_t owner;			/* only this process cleans up */
static struct dio_target *mounted;
static unsigned long long acquired_at_start, released_at_start;

struct dm_request {
	struct dm_ioctl io;
	struct dm_target_spec spec;
	char params[256];
};

unsigned long long dio_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

int dio_ms_left(unsigned long long start)
{
	unsigned long long gone = dio_now_ms() - start;
	unsigned long long limit = DIO_DEADLINE_SECONDS * 1000;

	return gone < limit ? limit - gone : 0;
}

void dio_die(const char *format, ...)
{
	va_list args;

	printf("Bail out! ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	exit(KSFT_FAIL);
}

static int dm(unsigned long request, struct dm_request *r)
{
	r->io.version[0] = DM_VERSION_MAJOR;
	r->io.version[1] = 0;
	r->io.version[2] = 0;
	r->io.data_size = sizeof(*r);
	r->io.data_start = offsetof(struct dm_request, spec);
	strcpy(r->io.name, delay_name);
	return ioctl(dm_control, request, r);
}

/*
 * Give the device a table that delays reads by @delay_ms.  Resuming swaps the
 * tables: the old one is suspended, upon which dm-delay passes on all it held.
 * A file system on the device is not frozen: freezing would wait for its reads.
 */
static int dm_set_delay(unsigned int delay_ms)
{
	struct dm_request r = { .io.target_count = 1 };

	r.spec.length = delay_sectors;
	strcpy(r.spec.target_type, "delay");
	/* Device, offset and delay: of reads, and then of writes and flushes. */
	snprintf(r.params, sizeof(r.params), "%s 0 %u %s 0 0", disk, delay_ms, disk);
	if (dm(DM_TABLE_LOAD, &r))
		return -1;

	memset(&r, 0, sizeof(r));
	r.io.flags = DM_SKIP_LOCKFS_FLAG;
	return dm(DM_DEV_SUSPEND, &r);
}

void dio_hold(void)
{
	if (dm_set_delay(HOLD_MS))
		dio_die("reads cannot be held: %s\n", strerror(errno));
}

void dio_release(void)
{
	if (dm_set_delay(0))
		dio_die("reads cannot be released: %s\n", strerror(errno));
}

unsigned int dio_held(void)
{
	struct dm_request r = { 0 };

	if (dm(DM_TABLE_STATUS, &r))
		dio_die("no status of dm-delay: %s\n", strerror(errno));
	/* "READS WRITES FLUSHES" that dm-delay holds */
	return strtoul(r.params, NULL, 10);
}

/* Whether a thread of this process, io_uring's workers included, runs. */
static bool others_run(void)
{
	pid_t self = syscall(SYS_gettid);
	struct dirent *entry;
	bool run = false;
	DIR *tasks;

	tasks = opendir("/proc/self/task");
	if (!tasks)
		dio_die("/proc/self/task: %s\n", strerror(errno));
	while (!run && (entry = readdir(tasks))) {
		char path[300], stat[512], *state;
		ssize_t n;
		int fd;

		if (entry->d_name[0] == '.' || atoi(entry->d_name) == self)
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/stat", entry->d_name);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		n = read(fd, stat, sizeof(stat) - 1);
		close(fd);
		if (n <= 0)
			continue;
		stat[n] = '\0';
		/* The name before the state is in brackets and may hold some. */
		state = strrchr(stat, ')');
		run = state && state[1] && state[2] == 'R';
	}
	closedir(tasks);
	return run;
}

bool dio_wait_held(void)
{
	unsigned long long start = dio_now_ms();

	while (!dio_held() || others_run()) {
		if (!dio_ms_left(start))
			return false;
		sched_yield();
	}
	return true;
}

static unsigned long long read_vmstat(const char *name)
{
	unsigned long long value, found = ULLONG_MAX;
	char key[64];
	FILE *f;

	/* Fold the counts that are still with the CPUs. */
	f = fopen("/proc/sys/vm/stat_refresh", "w");
	if (f) {
		fputs("1\n", f);
		fclose(f);
	}
	f = fopen("/proc/vmstat", "r");
	if (!f)
		dio_die("/proc/vmstat: %s\n", strerror(errno));
	while (fscanf(f, "%63s %llu", key, &value) == 2)
		if (!strcmp(key, name))
			found = value;
	fclose(f);
	return found;
}

unsigned long long dio_pins_acquired(void)
{
	return read_vmstat("nr_foll_pin_acquired");
}

const char *dio_pins_problem(bool must_grow)
{
	unsigned long long acquired, released, start = dio_now_ms();
	static char problem[96];

	/* A completion may leave the release to a kernel thread. */
	do {
		released = read_vmstat("nr_foll_pin_released") - released_at_start;
		acquired = read_vmstat("nr_foll_pin_acquired") - acquired_at_start;
	} while (acquired != released && dio_ms_left(start) && !sched_yield());

	if (acquired_at_start == ULLONG_MAX)
		return "/proc/vmstat has no nr_foll_pin_acquired";
	if (must_grow && !acquired)
		return "no pin was taken";
	if (acquired == released)
		return NULL;
	snprintf(problem, sizeof(problem), "%llu taken, %llu released",
		 acquired, released);
	return problem;
}

/* Run a program, its output discarded; 127 if it is not there. */
static int run(const char * const argv[])
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return -1;
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], (char * const *)argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static void clean_up(void)
{
	struct dm_request r = { 0 };

	if (getpid() != owner)
		return;
	/* First of all: a read still held would keep everything busy. */
	if (delay_created)
		dm_set_delay(0);
	if (mounted)
		dio_target_close(mounted);
	if (delay_created)
		dm(DM_DEV_REMOVE, &r);
}

static int open_disk(const char *path)
{
	int fd = open(path, O_RDWR | O_EXCL);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) || !S_ISBLK(st.st_mode))) {
		close(fd);
		errno = ENOTBLK;
		return -1;
	}
	return fd;
}

void dio_disk_init(void)
{
	const char * const modprobe_brd[] = {
		"modprobe", "brd", "rd_nr=1", "rd_size=393216", NULL };
	const char * const modprobe_delay[] = { "modprobe", "dm-delay", NULL };
	const char *path = getenv("IOV_ITER_DISK");
	struct dm_request r = { 0 };
	unsigned long long size;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 0);
	dio_page_size = sysconf(_SC_PAGESIZE);
	owner = getpid();
	if (geteuid())
		ksft_exit_skip("needs root, for a device-mapper device\n");

	if (path) {
		fd = open_disk(path);
		if (fd < 0)
			ksft_exit_skip("IOV_ITER_DISK=%s: %s\n", path, strerror(errno));
	} else {
		path = "/dev/ram0";
		fd = open_disk(path);
		if (fd < 0 && !run(modprobe_brd))
			fd = open_disk(path);
		if (fd < 0)
			ksft_exit_skip("no ram disk; set IOV_ITER_DISK to a disk to overwrite\n");
	}
	if (strlen(path) >= sizeof(disk))
		ksft_exit_skip("IOV_ITER_DISK is too long a name\n");
	strcpy(disk, path);
	if (ioctl(fd, BLKGETSIZE64, &size) || ioctl(fd, BLKSSZGET, &dio_block_size))
		dio_die("%s: size: %s\n", disk, strerror(errno));
	close(fd);
	if (size < 2 * DIO_FILE_SIZE)
		ksft_exit_skip("%s has less than %lu MiB; set IOV_ITER_DISK to another disk\n",
			       disk, 2 * DIO_FILE_SIZE / DIO_MIB);
	delay_sectors = (size < DEVICE_SIZE ? size : DEVICE_SIZE) / SECTOR;

	dm_control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (dm_control < 0)
		ksft_exit_skip("/dev/mapper/control: %s\n", strerror(errno));
	run(modprobe_delay);

	atexit(clean_up);
	snprintf(delay_name, sizeof(delay_name), "iov_iter_%d", owner);
	if (dm(DM_DEV_CREATE, &r))
		dio_die("no device-mapper device: %s\n", strerror(errno));
	delay_created = true;
	/* huge_encode_dev() of the kernel: 12 bits of major in the middle */
	snprintf(delay_path, sizeof(delay_path), "/dev/dm-%u",
		 (unsigned int)((r.io.dev & 0xff) | ((r.io.dev >> 12) & 0xfff00)));
	if (dm_set_delay(0))
		ksft_exit_skip("dm-delay over %s: %s\n", disk, strerror(errno));
	released_at_start = read_vmstat("nr_foll_pin_released");
	acquired_at_start = read_vmstat("nr_foll_pin_acquired");
}

void dio_full_pread(int fd, void *buf, size_t len, off_t pos)
{
	ssize_t n = pread(fd, buf, len, pos);

	if (n != len)
		dio_die("pread of %zu at %lld: %s\n", len, (long long)pos,
			n < 0 ? strerror(errno) : "short");
}

void dio_full_pwrite(int fd, const void *buf, size_t len, off_t pos)
{
	ssize_t n = pwrite(fd, buf, len, pos);

	if (n != len)
		dio_die("pwrite of %zu at %lld: %s\n", len, (long long)pos,
			n < 0 ? strerror(errno) : "short");
}

/* Returns why there is no file system, or NULL if it is mounted. */
static const char *make_and_mount(struct dio_target *t, enum dio_target_id id)
{
	/* Without the lazy parts nothing goes on in the background. */
	const char * const mkfs_ext4[] = {
		"mkfs.ext4", "-q", "-F", "-b", "4096",
		"-E", "lazy_itable_init=0,lazy_journal_init=0", delay_path, NULL };
	const char * const mkfs_xfs[] = { "mkfs.xfs", "-q", "-f", delay_path, NULL };
	const char * const *mkfs = id == DIO_EXT4 ? mkfs_ext4 : mkfs_xfs;
	static char reason[128];
	int status;

	status = run(mkfs);
	if (status == 127) {
		snprintf(reason, sizeof(reason), "%s is not installed", mkfs[0]);
		return reason;
	}
	if (status) {
		snprintf(reason, sizeof(reason), "%s failed with status %d on %llu MiB",
			 mkfs[0], status, delay_sectors * SECTOR / DIO_MIB);
		return reason;
	}
	strcpy(t->dir, "/tmp/iov_iter.XXXXXX");
	if (!mkdtemp(t->dir))
		dio_die("%s: %s\n", t->dir, strerror(errno));
	if (!mount(delay_path, t->dir, t->name, MS_NOATIME, ""))
		return NULL;
	if (errno != ENODEV)
		dio_die("mount of %s: %s\n", t->name, strerror(errno));
	rmdir(t->dir);
	t->dir[0] = '\0';
	snprintf(reason, sizeof(reason), "this kernel has no %s", t->name);
	return reason;
}

void dio_target_open(struct dio_target *t, enum dio_target_id id)
{
	unsigned char *buf;
	off_t pos;
	int fd;

	memset(t, 0, sizeof(*t));
	t->fd = -1;
	t->name = target_names[id];
	if (id == DIO_RAW) {
		strcpy(t->path, delay_path);
	} else {
		t->skip = make_and_mount(t, id);
		if (t->skip)
			return;
		snprintf(t->path, sizeof(t->path), "%s/file", t->dir);
	}
	mounted = t;

	buf = dio_map(DIO_FILE_SIZE, dio_page_size, false);
	for (pos = 0; pos < DIO_FILE_SIZE; pos++)
		buf[pos] = dio_pattern(pos);
	fd = open(t->path, O_RDWR | (id == DIO_RAW ? 0 : O_CREAT), 0600);
	if (fd < 0)
		dio_die("%s: %s\n", t->path, strerror(errno));
	if (id != DIO_RAW && posix_fallocate(fd, 0, DIO_FILE_SIZE))
		dio_die("%s: no space for the test file\n", t->path);
	dio_full_pwrite(fd, buf, DIO_FILE_SIZE, 0);
	if (fsync(fd))
		dio_die("%s: fsync: %s\n", t->path, strerror(errno));
	close(fd);

	t->fd = open(t->path, O_RDWR | O_DIRECT);
	if (t->fd < 0)
		dio_die("%s: O_DIRECT: %s\n", t->path, strerror(errno));
	/* Brings what the file system must know of the file into memory. */
	dio_full_pread(t->fd, buf, DIO_FILE_SIZE, 0);
	munmap(buf, DIO_FILE_SIZE);
}

void dio_target_close(struct dio_target *t)
{
	mounted = NULL;
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	if (!t->dir[0])
		return;
	if (umount2(t->dir, 0))
		ksft_print_msg("%s: umount: %s\n", t->dir, strerror(errno));
	rmdir(t->dir);
	t->dir[0] = '\0';
}

void *dio_map(size_t size, size_t align, bool huge)
{
	char *start, *aligned;

	start = mmap(NULL, size + align, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (start == MAP_FAILED)
		dio_die("mmap of %zu: %s\n", size, strerror(errno));
	/* The caller unmaps @size bytes: give back what alignment leaves over. */
	aligned = (char *)(((uintptr_t)start + align - 1) & ~(align - 1));
	if (aligned > start)
		munmap(start, aligned - start);
	if (aligned < start + align)
		munmap(aligned + size, start + align - aligned);
	/* Fails without huge pages in the kernel: then there is nothing to advise. */
	madvise(aligned, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return aligned;
}

bool dio_is_huge(const void *addr)
{
	unsigned long start, end, kb = 0;
	bool inside = false;
	char line[512];
	FILE *f;

	f = fopen("/proc/self/smaps", "r");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (uintptr_t)addr >= start && (uintptr_t)addr < end;
		else if (inside && sscanf(line, "AnonHugePages: %lu", &kb) == 1)
			break;
		kb = 0;
	}
	fclose(f);
	return inside && kb;
}
