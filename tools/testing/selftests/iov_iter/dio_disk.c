// SPDX-License-Identifier: GPL-2.0
/*
 * The targets: block devices whose reads can be held in flight, block devices
 * and file systems on top of them.
 *
 *	scratch disk or null_blk -> dm-delay -> linear, crypt, md... -> file system
 *
 * dm-delay does not do zoned devices: there, a linear device takes its place,
 * which keeps what is submitted while it is suspended.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "dio_fuse_server.h"
#include "dio_lib.h"

#define HOLD_MS		(3600 * 1000)	/* until released: nobody waits an hour */
#define SECTOR		512
/* Small, for mkfs to be quick; mkfs.xfs refuses less than 300 MiB. */
#define DEVICE_SECTORS	(400 * DIO_MIB / SECTOR)
#define NULL_BLK_DIR	"/sys/kernel/config/nullb/iov_iter"
#define MAX_DM_LINES	3

/* What a target is built on, and of what */
enum below {
	ON_DISK,
	ON_LOOP_4K,		/* a disk with logical blocks of 4096 bytes */
	ON_NULL_BLK_ZONED,
	ON_NVME,		/* nothing between: this is about the device */
};

enum layer {
	NO_LAYER,
	LINEAR,
	CRYPT,
	SNAPSHOT,
	RAID1,
	LOOP,
};

/* In mkfs: the device */
#define DEVICE	"@"

static const struct target_kind {
	const char *name;
	enum below below;
	enum layer layer;
	const char *fs;		/* the file system's type, NULL for none */
	unsigned int block;	/* if larger than the device's, for direct I/O */
	enum dio_server server;	/* that exports it */
	unsigned int io_size;	/* see dio_lib.h */
	unsigned int mib;	/* less than the whole device */
	bool buffered_writes;
	bool copies_from, copies_to;	/* what can't be pinned, see dio_lib.h */
	bool zeroes;		/* fs/direct-io.c does, see dio_lib.h */
	const char * const *mkfs;
	const struct dio_daemon *daemon;	/* instead of all the above but the block */
} kinds[] = {
#define MKFS(...) ((const char * const []){ __VA_ARGS__, NULL })
	{ "raw" },
	/* Without the lazy parts nothing goes on in the background. */
	{ "ext4", .fs = "ext4", .mkfs =
		MKFS("mkfs.ext4", "-q", "-F", "-b", "4096",
		     "-E", "lazy_itable_init=0,lazy_journal_init=0", DEVICE) },
	{ "xfs", .fs = "xfs", .mkfs = MKFS("mkfs.xfs", "-q", "-f", DEVICE) },
	{ "btrfs", .fs = "btrfs", .block = 4096, .copies_from = true, .copies_to = true, .mkfs =
		MKFS("mkfs.btrfs", "-q", "-f", "-m", "single", "-d", "single", DEVICE) },
	/* One node of the cluster that it is for */
	{ "gfs2", .fs = "gfs2", .copies_from = true, .mkfs =
		MKFS("mkfs.gfs2", "-q", "-O", "-p", "lock_nolock", "-j", "1", "-J", "8", DEVICE) },
	{ "f2fs", .fs = "f2fs", .block = 4096, .mkfs = MKFS("mkfs.f2fs", "-q", "-f", DEVICE) },
	/* Blocks of less than a page: a page has several, and can span two bios. */
	{ "ext2", .fs = "ext2", .zeroes = true, .mkfs =
		MKFS("mkfs.ext2", "-q", "-F", "-b", "1024", DEVICE) },
	{ "vfat", .fs = "vfat", .zeroes = true, .mkfs =
		MKFS("mkfs.vfat", "-F", "32", "-s", "1", DEVICE) },
	{ "exfat", .fs = "exfat", .zeroes = true, .mkfs =
		MKFS("mkfs.exfat", DEVICE) },
	{ "udf", .fs = "udf", .zeroes = true, .mkfs =
		MKFS("mkfs.udf", "--media-type=hd", DEVICE) },
	{ "jfs", .fs = "jfs", .zeroes = true, .mkfs =
		MKFS("mkfs.jfs", "-q", DEVICE) },
	{ "nilfs2", .fs = "nilfs2", .buffered_writes = true, .mkfs =
		MKFS("mkfs.nilfs2", "-q", "-f", DEVICE) },
	{ "hfsplus", .fs = "hfsplus", .zeroes = true, .mkfs =
		MKFS("mkfs.hfsplus", DEVICE) },
	{ "4kn", .below = ON_LOOP_4K, .block = 4096 },
	{ "4kn-ext4", .below = ON_LOOP_4K, .block = 4096, .fs = "ext4", .mkfs =
		MKFS("mkfs.ext4", "-q", "-F", "-b", "4096",
		     "-E", "lazy_itable_init=0,lazy_journal_init=0", DEVICE) },
	{ "dm-linear", .layer = LINEAR },
	{ "dm-crypt", .layer = CRYPT },
	{ "dm-snapshot", .layer = SNAPSHOT },
	{ "md-raid1", .layer = RAID1 },
	{ "loop", .layer = LOOP },
	{ "zonefs", .below = ON_NULL_BLK_ZONED, .fs = "zonefs" },
	{ "nvme", .below = ON_NVME },
	/* Servers write through their page cache. */
	{ "nfs3", .server = DIO_NFS3, .fs = "ext4", .buffered_writes = true, .mkfs =
		MKFS("mkfs.ext4", "-q", "-F", "-b", "4096",
		     "-E", "lazy_itable_init=0,lazy_journal_init=0", DEVICE) },
	/* Four requests to a page; it would take long for a large file. */
	{ "nfs3-1k", .server = DIO_NFS3, .io_size = 1024, .mib = 64, .fs = "ext4",
	  .buffered_writes = true, .mkfs =
		MKFS("mkfs.ext4", "-q", "-F", "-b", "4096",
		     "-E", "lazy_itable_init=0,lazy_journal_init=0", DEVICE) },
	{ "nfs4", .server = DIO_NFS4, .fs = "ext4", .buffered_writes = true, .mkfs =
		MKFS("mkfs.ext4", "-q", "-F", "-b", "4096",
		     "-E", "lazy_itable_init=0,lazy_journal_init=0", DEVICE) },
	{ "smb", .server = DIO_SMB, .fs = "ext4", .buffered_writes = true, .mkfs =
		MKFS("mkfs.ext4", "-q", "-F", "-b", "4096",
		     "-E", "lazy_itable_init=0,lazy_journal_init=0", DEVICE) },
	{ "ksmbd", .server = DIO_KSMBD, .fs = "ext4", .buffered_writes = true, .mkfs =
		MKFS("mkfs.ext4", "-q", "-F", "-b", "4096",
		     "-E", "lazy_itable_init=0,lazy_journal_init=0", DEVICE) },
	{ "fuse", .daemon = &dio_fuse_target },
};

unsigned int dio_block_size;

static char disk[64];			/* the scratch disk */
static unsigned long long disk_sectors;
static bool selected[ARRAY_SIZE(kinds)], selection, network;
static pid_t owner;			/* only this process cleans up */
static int dm_control = -1;

/* What is set up, in this order, and taken down in the reverse one */
static struct {
	bool null_blk;			/* its directory is there */
	int loop_4k;
	bool suspends;			/* dio_hold() suspends instead of delaying */
	bool suspended;
	char device[64];		/* below the delay */
	unsigned long long sectors;
	struct dio_dm delay;
	char backing_dir[64];		/* of the loop device or the server: a file system */
	int loop;
	struct dio_dm parts[2], top;
	char md[32];
	char last[64];			/* the device on top of all */
	const struct dio_daemon *daemon;
	struct dio_target *target;
} stack = { .loop = -1, .loop_4k = -1 };

struct dm_request {
	struct dm_ioctl io;
	char data[MAX_DM_LINES * (sizeof(struct dm_target_spec) +
				  sizeof(((struct dio_dm_line *)0)->params))];
};

static int dm_call(struct dio_dm *dm, unsigned long request, struct dm_request *r)
{
	r->io.version[0] = DM_VERSION_MAJOR;
	r->io.version[1] = 0;
	r->io.version[2] = 0;
	r->io.data_size = sizeof(*r);
	r->io.data_start = offsetof(struct dm_request, data);
	snprintf(r->io.name, sizeof(r->io.name), "%s", dm->name);
	return ioctl(dm_control, request, r) ? -errno : 0;
}

int dio_dm_create(struct dio_dm *dm, const char *suffix)
{
	struct dm_request r = { 0 };
	int ret;

	snprintf(dm->name, sizeof(dm->name), "iov_iter_%d_%s", owner, suffix);
	ret = dm_call(dm, DM_DEV_CREATE, &r);
	if (ret)
		return ret;
	dm->created = true;
	/* huge_encode_dev() of the kernel: 12 bits of major in the middle */
	snprintf(dm->path, sizeof(dm->path), "/dev/dm-%u",
		 (unsigned int)((r.io.dev & 0xff) | ((r.io.dev >> 12) & 0xfff00)));
	return 0;
}

/*
 * Suspend or resume.  Resuming swaps in the table that was loaded; the old one
 * is suspended for that, upon which dm-delay passes on all it held.  A file
 * system on the device is not frozen: freezing would wait for its reads.
 */
static int dm_suspend(struct dio_dm *dm, bool suspend)
{
	struct dm_request r = { 0 };

	r.io.flags = DM_SKIP_LOCKFS_FLAG | (suspend ? DM_SUSPEND_FLAG | DM_NOFLUSH_FLAG : 0);
	return dm_call(dm, DM_DEV_SUSPEND, &r);
}

int dio_dm_load(struct dio_dm *dm, const struct dio_dm_line *lines, unsigned int nr)
{
	struct dm_request r = { .io.target_count = nr };
	unsigned long long start = 0;
	char *at = r.data;
	int ret;

	for (; nr--; lines++) {
		struct dm_target_spec *spec = (struct dm_target_spec *)at;

		spec->sector_start = start;
		spec->length = lines->sectors;
		snprintf(spec->target_type, sizeof(spec->target_type), "%s", lines->type);
		strcpy(at + sizeof(*spec), lines->params);
		spec->next = sizeof(*spec) + ((strlen(lines->params) + 8) & ~7UL);
		at += spec->next;
		start += lines->sectors;
	}
	ret = dm_call(dm, DM_TABLE_LOAD, &r);
	return ret ? ret : dm_suspend(dm, false);
}

int dio_dm_remove(struct dio_dm *dm)
{
	unsigned long long start = dio_now_ms();
	struct dm_request r;
	int ret;

	if (!dm->created)
		return 0;
	do {
		/* Somebody who looks at every new device may have it open. */
		memset(&r, 0, sizeof(r));
		ret = dm_call(dm, DM_DEV_REMOVE, &r);
	} while (ret == -EBUSY && !dio_expired(start));
	dm->created = ret;
	return ret;
}

int dio_device_size(const char *path, unsigned long long *sectors, unsigned int *block)
{
	unsigned long long size;
	int fd, ret = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, BLKGETSIZE64, &size) || ioctl(fd, BLKSSZGET, block))
		ret = -errno;
	*sectors = size / SECTOR;
	close(fd);
	return ret;
}

/* Device, offset and delay: of reads, and then of writes and flushes. */
static int set_delay(unsigned int delay_ms)
{
	struct dio_dm_line line = { "delay", stack.sectors };

	snprintf(line.params, sizeof(line.params), "%s 0 %u %s 0 0",
		 stack.device, delay_ms, stack.device);
	return dio_dm_load(&stack.delay, &line, 1);
}

static int hold_device_open(const char *device, unsigned long long sectors, bool suspends)
{
	const char * const modprobe[] = { "modprobe", "dm-delay", NULL };
	int ret;

	if (device != stack.device)
		snprintf(stack.device, sizeof(stack.device), "%s", device);
	stack.sectors = sectors;
	stack.suspends = suspends;
	ret = dio_dm_create(&stack.delay, "delay");
	if (ret)
		return ret;
	if (suspends) {
		struct dio_dm_line line = { "linear", sectors };

		snprintf(line.params, sizeof(line.params), "%s 0", device);
		ret = dio_dm_load(&stack.delay, &line, 1);
	} else {
		dio_run(modprobe);
		ret = set_delay(0);
	}
	if (ret)
		dio_delay_close();
	return ret;
}

int dio_delay_open(const char *device, unsigned long long sectors)
{
	return hold_device_open(device, sectors, false);
}

void dio_delay_close(void)
{
	if (!stack.delay.created)
		return;
	/* First of all: a read still held would keep everything busy. */
	if (stack.suspended)
		dm_suspend(&stack.delay, false);
	else if (!stack.suspends)
		set_delay(0);
	stack.suspended = false;
	if (dio_dm_remove(&stack.delay))
		ksft_print_msg("%s cannot be removed\n", stack.delay.path);
}

const char *dio_delay_path(void)
{
	return stack.delay.path;
}

void dio_break_reads(unsigned long long first, unsigned long long nr)
{
	struct dio_dm_line lines[3] = {
		{ "linear", first }, { "error", nr }, { "linear", stack.sectors - first - nr } };
	int ret;

	snprintf(lines[0].params, sizeof(lines[0].params), "%s 0", stack.device);
	snprintf(lines[2].params, sizeof(lines[2].params), "%s %llu", stack.device, first + nr);
	ret = nr ? dio_dm_load(&stack.delay, lines, 3) : set_delay(0);
	if (ret)
		dio_die("sectors cannot be made bad: %s\n", strerror(-ret));
}

static void forget(const char *path, const char *dir)
{
	unsigned long long start = dio_now_ms();
	size_t i, pages = DIO_FILE_SIZE / dio_page_size;
	unsigned char in_memory[DIO_FILE_SIZE / 4096];
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *file;

	if (fd < 0 || fsync(fd))
		dio_die("%s: %s\n", path, strerror(errno));
	file = mmap(NULL, DIO_FILE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (file == MAP_FAILED)
		dio_die("%s: mmap: %s\n", path, strerror(errno));
	do {
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		if (mincore(file, DIO_FILE_SIZE, in_memory))
			dio_die("%s: mincore: %s\n", path, strerror(errno));
		for (i = 0; i < pages && !(in_memory[i] & 1); i++)
			;
		if (i < pages)
			dio_server_let_go(dir);
	} while (i < pages && !dio_expired(start));
	if (i < pages)
		dio_die("%s: page %zu stays in memory\n", path, i);
	munmap(file, DIO_FILE_SIZE);
	close(fd);
}

static void hold(void)
{
	int ret;

	if (stack.daemon) {
		stack.daemon->hold(true);
		return;
	}
	ret = stack.suspends ? dm_suspend(&stack.delay, true) : set_delay(HOLD_MS);
	if (ret)
		dio_die("reads cannot be held: %s\n", strerror(-ret));
	stack.suspended = stack.suspends;
}

void dio_hold(void)
{
	if (stack.target && stack.target->server)
		forget(stack.target->server_path, stack.target->dir);
	hold();
}

void dio_release(void)
{
	int ret;

	if (stack.daemon) {
		stack.daemon->hold(false);
		return;
	}
	ret = stack.suspends ? dm_suspend(&stack.delay, false) : set_delay(0);
	if (ret)
		dio_die("reads cannot be released: %s\n", strerror(-ret));
	stack.suspended = false;
}

unsigned int dio_held(void)
{
	struct dm_request r = { 0 };
	int ret;

	if (stack.daemon)
		return stack.daemon->held();
	/* A suspended device does not count: all that reaches it waits. */
	if (stack.suspends)
		return stack.suspended;
	ret = dm_call(&stack.delay, DM_TABLE_STATUS, &r);
	if (ret)
		dio_die("no status of dm-delay: %s\n", strerror(-ret));
	/* "READS WRITES FLUSHES" that dm-delay holds */
	return strtoul(r.data + sizeof(struct dm_target_spec), NULL, 10);
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

	while (!dio_held() || others_run())
		if (dio_expired(start))
			return false;
	return true;
}

static int open_disk(const char *path)
{
	int fd = open(path, O_RDWR | O_EXCL | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) || !S_ISBLK(st.st_mode))) {
		close(fd);
		errno = ENOTBLK;
		return -1;
	}
	return fd;
}

static void clean_up(void)
{
	if (getpid() != owner)
		return;
	if (stack.target)
		dio_target_close(stack.target);
	else
		dio_delay_close();
}

void dio_disk_init(void)
{
	const char * const modprobe[] = {
		"modprobe", "brd", "rd_nr=1", "rd_size=425984", NULL };
	const char *path = getenv("IOV_ITER_DISK");
	int fd, ret;

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
		if (fd < 0 && !dio_run(modprobe))
			fd = open_disk(path);
		if (fd < 0)
			ksft_exit_skip("no ram disk; set IOV_ITER_DISK to a disk to overwrite\n");
	}
	close(fd);
	if (strlen(path) >= sizeof(disk))
		ksft_exit_skip("IOV_ITER_DISK is too long a name\n");
	strcpy(disk, path);
	ret = dio_device_size(disk, &disk_sectors, &dio_block_size);
	if (ret)
		dio_die("%s: size: %s\n", disk, strerror(-ret));
	if (disk_sectors < 2 * DIO_FILE_SIZE / SECTOR)
		ksft_exit_skip("%s has less than %lu MiB; set IOV_ITER_DISK to another disk\n",
			       disk, 2 * DIO_FILE_SIZE / DIO_MIB);
	if (disk_sectors > DEVICE_SECTORS)
		disk_sectors = DEVICE_SECTORS;

	dm_control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (dm_control < 0)
		ksft_exit_skip("/dev/mapper/control: %s\n", strerror(errno));

	atexit(clean_up);
	ret = dio_delay_open(disk, disk_sectors);
	if (ret)
		ksft_exit_skip("dm-delay over %s: %s\n", disk, strerror(-ret));
	dio_delay_close();
	dio_pins_start();
}

const char *dio_disk_path(void)
{
	return disk;
}

void dio_target_network(void)
{
	network = true;
}

static bool counts(unsigned int i)
{
	return selection ? selected[i] : network || !kinds[i].server;
}

unsigned int dio_nr_targets(void)
{
	unsigned int i, nr = 0;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		nr += counts(i);
	return nr;
}

static const struct target_kind *kind_of(unsigned int id)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (counts(i) && !id--)
			break;
	return &kinds[i];
}

const char *dio_target_name(unsigned int id)
{
	return kind_of(id)->name;
}

bool dio_target_is_network(unsigned int id)
{
	return kind_of(id)->server != DIO_LOCAL;
}

unsigned int dio_target_block(unsigned int id)
{
	unsigned int block = kind_of(id)->block;

	if (kind_of(id)->below == ON_DISK && block < dio_block_size)
		block = dio_block_size;
	return block ? block : SECTOR;
}

bool dio_target_select(const char *names)
{
	while (*names) {
		size_t len = strcspn(names, ",");
		unsigned int i;

		for (i = 0; i < ARRAY_SIZE(kinds); i++)
			if (strlen(kinds[i].name) == len && !strncmp(kinds[i].name, names, len))
				break;
		if (i == ARRAY_SIZE(kinds))
			return false;
		selected[i] = true;
		selection = true;
		names += len + (names[len] == ',');
	}
	return selection;
}

static char reason[160];

static const char *because(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	return reason;
}

const char *dio_loop_attach(int fd, unsigned int block, int *loop, char *device)
{
	const char * const modprobe[] = { "modprobe", "loop", NULL };
	struct loop_config config = {
		.fd = fd, .block_size = block, .info.lo_flags = LO_FLAGS_DIRECT_IO };
	int control, nr;

	dio_run(modprobe);
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	nr = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	if (nr < 0)
		return because("/dev/loop-control: %s", strerror(errno));
	close(control);
	sprintf(device, "/dev/loop%d", nr);
	*loop = open(device, O_RDWR | O_CLOEXEC);
	if (*loop < 0 || ioctl(*loop, LOOP_CONFIGURE, &config))
		dio_die("%s: %s\n", device, strerror(errno));
	return NULL;
}

void dio_loop_detach(int *loop)
{
	if (*loop < 0)
		return;
	ioctl(*loop, LOOP_CLR_FD);
	close(*loop);
	*loop = -1;
}

static const char *loop_4k_open(void)
{
	int fd = open(disk, O_RDWR | O_DIRECT | O_CLOEXEC);
	unsigned int block;
	const char *skip;

	if (fd < 0)
		dio_die("%s: %s\n", disk, strerror(errno));
	skip = dio_loop_attach(fd, 4096, &stack.loop_4k, stack.device);
	close(fd);
	if (!skip && dio_device_size(stack.device, &stack.sectors, &block))
		dio_die("%s: %s\n", stack.device, strerror(errno));
	if (stack.sectors > DEVICE_SECTORS)
		stack.sectors = DEVICE_SECTORS;
	return skip;
}

static const char *null_blk_open(void)
{
	const char * const modprobe[] = { "modprobe", "null_blk", "nr_devices=0", NULL };
	unsigned int block;

	dio_run(modprobe);
	mount("none", "/sys/kernel/config", "configfs", 0, "");
	if (mkdir(NULL_BLK_DIR, 0755))
		return because("no null_blk in configfs: %s", strerror(errno));
	stack.null_blk = true;
	/* Sizes are in MiB. */
	if (dio_write_file("1", NULL_BLK_DIR "/memory_backed") ||
	    dio_write_file("1", NULL_BLK_DIR "/zoned") ||
	    dio_write_file("16", NULL_BLK_DIR "/zone_size") ||
	    dio_write_file("128", NULL_BLK_DIR "/size") ||
	    dio_write_file("1", NULL_BLK_DIR "/power"))
		return because("null_blk: %s", strerror(errno));
	/* It has the name of its directory. */
	snprintf(stack.device, sizeof(stack.device), "/dev%s", strrchr(NULL_BLK_DIR, '/'));
	if (dio_device_size(stack.device, &stack.sectors, &block))
		dio_die("%s: %s\n", stack.device, strerror(errno));
	return NULL;
}

static void null_blk_close(void)
{
	if (stack.null_blk && rmdir(NULL_BLK_DIR))
		ksft_print_msg(NULL_BLK_DIR ": %s\n", strerror(errno));
	stack.null_blk = false;
}

/* A part of the device so far, as a device */
static int part_open(unsigned int n, unsigned long long start, unsigned long long sectors)
{
	struct dio_dm_line line = { "linear", sectors };
	int ret;

	ret = dio_dm_create(&stack.parts[n], n ? "part1" : "part0");
	if (ret)
		return ret;
	snprintf(line.params, sizeof(line.params), "%s %llu", stack.last, start);
	return dio_dm_load(&stack.parts[n], &line, 1);
}

static int halves_open(void)
{
	int ret = part_open(0, 0, stack.sectors / 2);

	return ret ? ret : part_open(1, stack.sectors / 2, stack.sectors / 2);
}

static const char *top_open(const struct dio_dm_line *line)
{
	char module[32];
	const char * const modprobe[] = { "modprobe", module, NULL };
	int ret;

	snprintf(module, sizeof(module), "dm-%s", line->type);
	dio_run(modprobe);
	ret = dio_dm_create(&stack.top, line->type);
	if (!ret)
		ret = dio_dm_load(&stack.top, line, 1);
	if (ret)
		return because("dm-%s: %s", line->type, strerror(-ret));
	strcpy(stack.last, stack.top.path);
	return NULL;
}

static const char *snapshot_open(void)
{
	struct dio_dm_line line = { "snapshot", stack.sectors / 2 };
	static char zeros[4096];
	int fd, ret;

	ret = halves_open();
	if (ret)
		return because("dm-linear: %s", strerror(-ret));
	/* The copy-on-write store is a new one if it begins with zeros. */
	fd = open(stack.parts[1].path, O_WRONLY);
	if (fd < 0 || pwrite(fd, zeros, sizeof(zeros), 0) != sizeof(zeros) || fsync(fd))
		dio_die("%s: %s\n", stack.parts[1].path, strerror(errno));
	close(fd);
	snprintf(line.params, sizeof(line.params), "%s %s N 8",
		 stack.parts[0].path, stack.parts[1].path);
	return top_open(&line);
}

/* The halves of a mirror are the same, as --assume-clean has md believe. */
static void zero(const struct dio_dm *part)
{
	uint64_t range[2] = { 0 };
	int fd = open(part->path, O_RDWR);

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &range[1]) || ioctl(fd, BLKZEROOUT, range))
		dio_die("%s: BLKZEROOUT: %s\n", part->path, strerror(errno));
	close(fd);
}

static const char *raid1_open(void)
{
	const char * const modprobe[] = { "modprobe", "raid1", NULL };
	const char * const mdadm[] = {
		"mdadm", "--create", "/dev/md/iov_iter", "--run", "--level=1", "--raid-devices=2",
		"--assume-clean", "--metadata=1.2", "--bitmap=none", "--homehost=none",
		stack.parts[0].path, stack.parts[1].path, NULL };
	int ret;

	ret = halves_open();
	if (ret)
		return because("dm-linear: %s", strerror(-ret));
	zero(&stack.parts[0]);
	zero(&stack.parts[1]);
	dio_run(modprobe);
	setenv("MDADM_NO_UDEV", "1", 1);
	ret = dio_run(mdadm);
	if (ret == 127)
		return "mdadm is not installed";
	if (ret)
		return because("mdadm failed with status %d", ret);
	strcpy(stack.md, "/dev/md/iov_iter");
	strcpy(stack.last, stack.md);
	return NULL;
}

/* Returns why there is no file system, or NULL if it is mounted on @dir. */
static const char *make_and_mount(const char *fs, const char * const *mkfs, char *dir)
{
	const char *argv[16] = { 0 };
	unsigned int i;
	int status;

	for (i = 0; mkfs && mkfs[i]; i++)
		argv[i] = strcmp(mkfs[i], DEVICE) ? mkfs[i] : stack.last;
	status = mkfs ? dio_run(argv) : 0;
	if (status == 127)
		return because("%s is not installed", mkfs[0]);
	if (status)
		return because("%s failed with status %d on %llu MiB", mkfs[0], status,
			       stack.sectors * SECTOR / DIO_MIB);
	strcpy(dir, "/tmp/iov_iter.XXXXXX");
	if (!mkdtemp(dir))
		dio_die("%s: %s\n", dir, strerror(errno));
	if (!mount(stack.last, dir, fs, MS_NOATIME, ""))
		return NULL;
	if (errno != ENODEV)
		dio_die("mount of %s: %s\n", fs, strerror(errno));
	rmdir(dir);
	dir[0] = '\0';
	return because("this kernel has no %s", fs);
}

/* A file of an ext4, read and written directly */
static const char *loop_open(void)
{
	const char *skip;
	char path[80];
	int fd;

	skip = make_and_mount("ext4", kinds[1].mkfs, stack.backing_dir);
	if (skip)
		return skip;
	snprintf(path, sizeof(path), "%s/backing", stack.backing_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || posix_fallocate(fd, 0, stack.sectors / 2 * SECTOR))
		dio_die("%s: no file for the loop device\n", path);
	skip = dio_loop_attach(fd, 0, &stack.loop, stack.last);
	close(fd);
	return skip;
}

static const char *layer_open(enum layer layer)
{
	struct dio_dm_line line = { "linear", stack.sectors };

	switch (layer) {
	case LINEAR:
		snprintf(line.params, sizeof(line.params), "%s 0", stack.last);
		return top_open(&line);
	case CRYPT:
		line.type = "crypt";
		/* No secret: the key is 64 bytes of 0x5a. */
		strcpy(line.params, "aes-xts-plain64 ");
		while (strlen(line.params) < strlen("aes-xts-plain64 ") + 2 * 64)
			strcat(line.params, "5a");
		sprintf(line.params + strlen(line.params), " 0 %s 0", stack.last);
		return top_open(&line);
	case SNAPSHOT:
		return snapshot_open();
	case RAID1:
		return raid1_open();
	case LOOP:
		return loop_open();
	default:
		return NULL;
	}
}

static void unmount(char *dir)
{
	unsigned long long start = dio_now_ms();
	int ret;

	if (!dir[0])
		return;
	/* What a server had open of it is closed in the background. */
	do {
		ret = umount2(dir, 0);
	} while (ret && errno == EBUSY && !dio_expired(start));
	if (ret)
		ksft_print_msg("%s: umount: %s\n", dir, strerror(errno));
	rmdir(dir);
	dir[0] = '\0';
}

static void stack_close(void)
{
	const char * const mdadm[] = { "mdadm", "--stop", stack.md, NULL };

	dio_loop_detach(&stack.loop);
	dio_server_stop();
	unmount(stack.backing_dir);
	if (stack.md[0] && dio_run(mdadm))
		ksft_print_msg("%s cannot be stopped\n", stack.md);
	stack.md[0] = '\0';
	dio_dm_remove(&stack.top);
	dio_dm_remove(&stack.parts[1]);
	dio_dm_remove(&stack.parts[0]);
	dio_delay_close();
	null_blk_close();
	dio_loop_detach(&stack.loop_4k);
}

static unsigned int crc32_le(unsigned int crc, const unsigned char *p, size_t n)
{
	int bit;

	while (n--) {
		crc ^= *p++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return crc;
}

/* Debian has no mkfs.zonefs.  Documentation/filesystems/zonefs.rst: a super block. */
static const char *make_zonefs(void)
{
	unsigned char *super = dio_map(dio_page_size, dio_page_size, false);
	unsigned int crc;
	int fd;

	memset(super, 0, dio_page_size);
	memcpy(super, "SFOZ", 4);
	memcpy(super + 8, "iov_iter", 8);
	crc = crc32_le(~0U, super, 4096);
	memcpy(super + 4, &crc, sizeof(crc));
	fd = open(stack.last, O_RDWR | O_DIRECT);
	if (fd < 0)
		dio_die("%s: %s\n", stack.last, strerror(errno));
	dio_full_pwrite(fd, super, 4096, 0);
	close(fd);
	munmap(super, dio_page_size);
	return NULL;
}

/* The device under the file system; NULL, or why there is none */
static const char *device_open(const struct target_kind *k)
{
	const char *skip, *nvme = getenv("IOV_ITER_NVME");
	unsigned int block;
	int ret;

	switch (k->below) {
	case ON_DISK:
		strcpy(stack.device, disk);
		stack.sectors = disk_sectors;
		if (k->mib && stack.sectors > k->mib * DIO_MIB / SECTOR)
			stack.sectors = k->mib * DIO_MIB / SECTOR;
		break;
	case ON_NVME:
		if (!nvme)
			return "IOV_ITER_NVME names no NVMe device to overwrite";
		snprintf(stack.last, sizeof(stack.last), "%s", nvme);
		if (dio_device_size(nvme, &stack.sectors, &block))
			return because("%s: %s", nvme, strerror(errno));
		return NULL;
	case ON_LOOP_4K:
		skip = loop_4k_open();
		if (skip)
			return skip;
		break;
	case ON_NULL_BLK_ZONED:
		skip = null_blk_open();
		if (skip)
			return skip;
		break;
	}
	ret = hold_device_open(stack.device, stack.sectors, k->below == ON_NULL_BLK_ZONED);
	if (ret)
		return because("device mapper over %s: %s", stack.device, strerror(-ret));
	strcpy(stack.last, stack.delay.path);
	return layer_open(k->layer);
}

/*
 * Write to a zone in small steps, which must come in order, and with aio: 6.1.192
 * refuses whatever was written synchronously, which is for a test to find.
 */
static void append_all(int fd, unsigned char *buf, size_t size)
{
	size_t step = 64 * 1024, pos;
	struct iocb iocb, *list = &iocb;
	struct io_event event;
	io_context_t aio = 0;

	if (io_setup(1, &aio))
		dio_die("io_setup for the test file\n");
	for (pos = 0; pos < size; pos += step) {
		io_prep_pwrite(&iocb, fd, buf + pos, step, pos);
		if (io_submit(aio, 1, &list) != 1 || io_getevents(aio, 1, 1, &event, NULL) != 1 ||
		    event.res != step)
			dio_die("the zone cannot be written at %zu\n", pos);
	}
	io_destroy(aio);
}

static void write_test_file(struct dio_target *t)
{
	unsigned char *buf = dio_map(DIO_FILE_SIZE, dio_page_size, false);
	/* A client of small requests would take a minute for them. */
	const char *path = t->io_size ? t->server_path : t->path;
	unsigned int flags = O_RDWR | (t->append ? O_DIRECT : 0);
	off_t pos;
	int fd;

	for (pos = 0; pos < DIO_FILE_SIZE; pos++)
		buf[pos] = dio_pattern(pos);
	fd = open(path, flags | (t->dir[0] && !t->append ? O_CREAT : 0), 0600);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	/* Without fallocate() the C library writes to each block. */
	if (t->dir[0] && !t->append && posix_fallocate(fd, 0, DIO_FILE_SIZE))
		dio_die("%s: no space for the test file\n", path);
	if (t->append)
		append_all(fd, buf, DIO_FILE_SIZE);
	else
		dio_full_pwrite(fd, buf, DIO_FILE_SIZE, 0);
	if (fsync(fd))
		dio_die("%s: fsync: %s\n", path, strerror(errno));
	close(fd);

	t->fd = open(t->path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (t->fd < 0)
		dio_die("%s: O_DIRECT: %s\n", t->path, strerror(errno));
	/* Brings what the file system must know of the file into memory. */
	dio_full_pread(t->fd, buf, t->io_size ? dio_page_size : DIO_FILE_SIZE, 0);
	munmap(buf, DIO_FILE_SIZE);
}

/* The daemon is closed by dio_target_close(), if it was opened. */
static void daemon_open(struct dio_target *t, const struct target_kind *k)
{
	t->skip = k->daemon->open(t);
	if (t->skip) {
		stack.target = NULL;
		return;
	}
	stack.daemon = k->daemon;
	t->holdable = k->daemon->hold;
	t->held_as_whole = t->holdable;
	snprintf(t->path, sizeof(t->path), "%s/file", t->dir);
	write_test_file(t);
}

void dio_target_open(struct dio_target *t, unsigned int id)
{
	const struct target_kind *k = kind_of(id);
	bool zonefs = k->fs && !strcmp(k->fs, "zonefs");

	memset(t, 0, sizeof(*t));
	t->fd = -1;
	t->name = k->name;
	t->block = dio_target_block(id);
	t->append = zonefs;
	t->buffered_writes = k->buffered_writes;
	t->copies_from = k->copies_from;
	t->copies_to = k->copies_to;
	t->zeroes = k->zeroes;
	t->server = k->server;
	t->io_size = k->io_size;
	stack.target = t;

	if (k->daemon) {
		daemon_open(t, k);
		return;
	}
	t->skip = device_open(k);
	if (!t->skip && zonefs)
		t->skip = make_zonefs();
	if (!t->skip && k->fs)
		t->skip = make_and_mount(k->fs, k->mkfs,
					 k->server ? stack.backing_dir : t->dir);
	if (!t->skip && k->server)
		t->skip = dio_server_start(k->server, stack.backing_dir);
	if (!t->skip && k->server)
		t->skip = dio_server_mount(t->dir, k->io_size);
	if (t->skip) {
		stack_close();
		stack.target = NULL;
		return;
	}
	t->size = stack.sectors * SECTOR;
	t->holdable = stack.delay.created;
	if (k->fs)
		snprintf(t->path, sizeof(t->path), zonefs ? "%s/seq/0" : "%s/file", t->dir);
	else
		strcpy(t->path, stack.last);
	if (k->server)
		snprintf(t->server_path, sizeof(t->server_path), "%s/file", stack.backing_dir);
	write_test_file(t);
}

void dio_target_close(struct dio_target *t)
{
	stack.target = NULL;
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	if (stack.daemon) {
		stack.daemon->close();
		stack.daemon = NULL;
		return;
	}
	/* First of all: a read still held would keep everything busy. */
	if (stack.suspended)
		dm_suspend(&stack.delay, false);
	else if (stack.delay.created && !stack.suspends)
		set_delay(0);
	stack.suspended = false;
	unmount(t->dir);
	stack_close();
}
