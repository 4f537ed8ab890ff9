// SPDX-License-Identifier: GPL-2.0
/*
 *	scratch disk or null_blk -> dm-delay -> linear, crypt, md... -> file system
 *
 * dm-delay does not do zoned devices: there, a linear device takes its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "dm.h"
#include "result.h"
#include "system.h"
#include "target.h"

#define NULL_BLK_DIR	"/sys/kernel/config/nullb/iov_iter"

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

static const struct target_kind {
	const char *name;
	const char *config;	/* what the kernel needs, without CONFIG_ */
	const char *modules;	/* the same as modules */
	const char *package;	/* that has mkfs, of Debian */
	const char *mkfs;	/* and its arguments; "@" is the device */
	const char *fs;		/* the file system's type, NULL for none */
	const char *options;	/* to mount it with */
	const char *server;	/* that exports it, or has it */
	const char *never;	/* why nobody can run it */
	enum below below;
	enum layer layer;
	unsigned int block;	/* if larger than the device's, for direct I/O */
	unsigned int mib;	/* less than the whole device */
	unsigned int io_size;	/* these: see struct dio_target */
	bool buffered_writes;
	bool copies_from, copies_to;
	bool zeroes;
} kinds[] = {
#define DIO_ROW(its_name, ...) { .name = its_name, __VA_ARGS__ },
#include "targets.h"
#undef DIO_ROW
};

static bool selected[ARRAY_SIZE(kinds)], selection, network, only_network;
static pid_t owner;			/* only this process cleans up */

/* What is set up, in this order, and taken down in the reverse one */
static struct {
	bool null_blk;			/* its directory is there */
	int loop_4k;
	char below[64];			/* the device below the delay */
	unsigned long long sectors;
	char backing_dir[64];		/* of the loop device or the server: a file system */
	int loop;
	struct dio_dm parts[2], top;
	char md[32];
	char last[64];			/* the device on top of all */
	const struct dio_daemon *daemon, *serves;
	struct dio_target *target;
} stack = { .loop = -1, .loop_4k = -1 };

static const struct dio_daemon *daemon_of(const struct target_kind *k)
{
	return k->server ? dio_daemon_named(k->server) : NULL;
}

/* Can it be opened by this program, and is it one of many? */
static bool linked(const struct target_kind *k)
{
	return !k->server || daemon_of(k);
}

static bool is_network(const struct target_kind *k)
{
	const struct dio_daemon *daemon = daemon_of(k);

	return daemon && daemon->start;
}

void dio_target_network(void)
{
	network = true;
}

void dio_target_only_network(void)
{
	network = true;
	only_network = true;
}

static bool counts(unsigned int i)
{
	if (only_network && !is_network(&kinds[i]))
		return false;
	if (selection)
		return selected[i];
	return linked(&kinds[i]) && (network || !is_network(&kinds[i]));
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

static const struct target_kind *kind_named(const char *name, size_t len)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strlen(kinds[i].name) == len && !strncmp(kinds[i].name, name, len))
			return linked(&kinds[i]) ? &kinds[i] : NULL;
	return NULL;
}

const char *dio_target_name(unsigned int id)
{
	return kind_of(id)->name;
}

unsigned int dio_target_block(unsigned int id)
{
	unsigned int block = kind_of(id)->block;

	if (kind_of(id)->below == ON_DISK && block < dio_block_size)
		block = dio_block_size;
	return block ? block : 512;
}

bool dio_target_select(const char *names)
{
	while (*names) {
		size_t len = strcspn(names, ",");
		const struct target_kind *k = kind_named(names, len);

		if (!k)
			return false;
		selected[k - kinds] = true;
		selection = true;
		names += len + (names[len] == ',');
	}
	return selection;
}

static const char *loop_4k_open(void)
{
	int fd = open(dio_disk_path(), O_RDWR | O_DIRECT | O_CLOEXEC);
	unsigned int block;
	const char *skip;

	if (fd < 0)
		dio_die("%s: %s\n", dio_disk_path(), strerror(errno));
	skip = dio_loop_attach(fd, 4096, &stack.loop_4k, stack.below);
	close(fd);
	if (!skip && dio_device_size(stack.below, &stack.sectors, &block))
		dio_die("%s: %s\n", stack.below, strerror(errno));
	if (stack.sectors > dio_disk_sectors())
		stack.sectors = dio_disk_sectors();
	return skip;
}

static const char *null_blk_open(void)
{
	const char * const modprobe[] = { "modprobe", "null_blk", "nr_devices=0", NULL };
	unsigned int block;

	dio_run(modprobe);
	mount("none", "/sys/kernel/config", "configfs", 0, "");
	if (mkdir(NULL_BLK_DIR, 0755))
		return dio_because("no null_blk in configfs: %s", strerror(errno));
	stack.null_blk = true;
	/* Sizes are in MiB. */
	if (dio_write_file("1", NULL_BLK_DIR "/memory_backed") ||
	    dio_write_file("1", NULL_BLK_DIR "/zoned") ||
	    dio_write_file("16", NULL_BLK_DIR "/zone_size") ||
	    dio_write_file("128", NULL_BLK_DIR "/size") ||
	    dio_write_file("1", NULL_BLK_DIR "/power"))
		return dio_because("null_blk: %s", strerror(errno));
	/* It has the name of its directory. */
	snprintf(stack.below, sizeof(stack.below), "/dev%s", strrchr(NULL_BLK_DIR, '/'));
	if (dio_device_size(stack.below, &stack.sectors, &block))
		dio_die("%s: %s\n", stack.below, strerror(errno));
	return NULL;
}

static void null_blk_close(void)
{
	if (stack.null_blk && rmdir(NULL_BLK_DIR))
		dio_print(NULL_BLK_DIR ": %s\n", strerror(errno));
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
		return dio_because("dm-%s: %s", line->type, strerror(-ret));
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
		return dio_because("dm-linear: %s", strerror(-ret));
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
		return dio_because("dm-linear: %s", strerror(-ret));
	zero(&stack.parts[0]);
	zero(&stack.parts[1]);
	dio_run(modprobe);
	setenv("MDADM_NO_UDEV", "1", 1);
	ret = dio_run(mdadm);
	if (ret == 127)
		return "mdadm is not installed";
	if (ret)
		return dio_because("mdadm failed with status %d", ret);
	strcpy(stack.md, "/dev/md/iov_iter");
	strcpy(stack.last, stack.md);
	return NULL;
}

/* Returns why there is no file system, or NULL if it is mounted on @dir. */
static const char *make_and_mount(const struct target_kind *k, char *dir)
{
	char words[160], *word = words, *save;
	const char *argv[16] = { 0 };
	unsigned int i = 0;
	int status;

	/* The program and its arguments; "@" is the device. */
	snprintf(words, sizeof(words), "%s", k->mkfs ? k->mkfs : "");
	while ((word = strtok_r(i ? NULL : word, " ", &save)))
		argv[i++] = strcmp(word, "@") ? word : stack.last;
	status = i ? dio_run(argv) : 0;
	if (status == 127)
		return k->never ? k->never : dio_because("%s is not installed", argv[0]);
	if (status)
		return dio_because("%s failed with status %d on %llu MiB", argv[0], status,
				   stack.sectors * 512 / DIO_MIB);
	strcpy(dir, "/tmp/iov_iter.XXXXXX");
	if (!mkdtemp(dir))
		dio_die("%s: %s\n", dir, strerror(errno));
	if (!mount(stack.last, dir, k->fs, MS_NOATIME, k->options))
		return NULL;
	if (errno != ENODEV)
		dio_die("mount of %s: %s\n", k->fs, strerror(errno));
	rmdir(dir);
	dir[0] = '\0';
	return dio_because("this kernel has no %s", k->fs);
}

/* A file of an ext4, read and written directly */
static const char *loop_open(void)
{
	const char *skip;
	char path[80];
	int fd;

	skip = make_and_mount(kind_named("ext4", 4), stack.backing_dir);
	if (skip)
		return skip;
	snprintf(path, sizeof(path), "%s/backing", stack.backing_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || posix_fallocate(fd, 0, stack.sectors / 2 * 512))
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
		dio_print("%s: umount: %s\n", dir, strerror(errno));
	rmdir(dir);
	dir[0] = '\0';
}

static void stack_close(void)
{
	const char * const mdadm[] = { "mdadm", "--stop", stack.md, NULL };

	dio_loop_detach(&stack.loop);
	if (stack.serves)
		stack.serves->stop();
	stack.serves = NULL;
	unmount(stack.backing_dir);
	if (stack.md[0] && dio_run(mdadm))
		dio_print("%s cannot be stopped\n", stack.md);
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
		strcpy(stack.below, dio_disk_path());
		stack.sectors = dio_disk_sectors();
		if (k->mib && stack.sectors > k->mib * DIO_MIB / 512)
			stack.sectors = k->mib * DIO_MIB / 512;
		break;
	case ON_NVME:
		if (!nvme)
			return "IOV_ITER_NVME names no NVMe device to overwrite";
		snprintf(stack.last, sizeof(stack.last), "%s", nvme);
		if (dio_device_size(nvme, &stack.sectors, &block))
			return dio_because("%s: %s", nvme, strerror(errno));
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
	ret = dio_delay_open(stack.below, stack.sectors, k->below == ON_NULL_BLK_ZONED);
	if (ret)
		return dio_because("device mapper over %s: %s", stack.below, strerror(-ret));
	strcpy(stack.last, dio_delay_path());
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

/* A server's cache of the target is emptied, for its reads to get to the disk. */
static void forget(void)
{
	const struct dio_target *t = stack.target;
	const char *path = t->server_path;
	unsigned long long start = dio_now_ms();
	size_t i, pages = DIO_FILE_SIZE / dio_page_size;
	unsigned char in_memory[DIO_FILE_SIZE / 4096];
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *file;
	bool late;

	if (fd < 0 || fsync(fd))
		dio_die("%s: %s\n", path, strerror(errno));
	file = mmap(NULL, DIO_FILE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (file == MAP_FAILED)
		dio_die("%s: mmap: %s\n", path, strerror(errno));
	/* To let go can take longer than the deadline: what it has done is looked at. */
	do {
		late = dio_expired(start);
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		if (mincore(file, DIO_FILE_SIZE, in_memory))
			dio_die("%s: mincore: %s\n", path, strerror(errno));
		for (i = 0; i < pages && !(in_memory[i] & 1); i++)
			;
		if (i < pages && !late)
			t->server->let_go(t->dir);
	} while (i < pages && !late);
	if (i < pages)
		dio_die("%s: page %zu stays in memory\n", path, i);
	munmap(file, DIO_FILE_SIZE);
	close(fd);
}

static const struct dio_holder forgetful = { .before = forget };

/* The daemon is closed by dio_target_close(), if it was opened. */
static void daemon_open(struct dio_target *t, const struct dio_daemon *daemon)
{
	t->skip = daemon->open(t);
	if (t->skip) {
		stack.target = NULL;
		return;
	}
	stack.daemon = daemon;
	t->holdable = daemon->holder.hold;
	t->held_as_whole = t->holdable;
	if (t->holdable)
		dio_hold_by(&daemon->holder);
	snprintf(t->path, sizeof(t->path), "%s/file", t->dir);
	write_test_file(t);
}

/* Why there is no client, or NULL */
static const char *mount_from(const struct dio_daemon *daemon, struct dio_target *t)
{
	strcpy(t->dir, "/tmp/iov_iter.XXXXXX");
	if (!mkdtemp(t->dir))
		dio_die("%s: %s\n", t->dir, strerror(errno));
	if (!daemon->mount(t->dir, t->io_size))
		return NULL;
	if (errno != ENODEV && errno != EPROTONOSUPPORT)
		dio_die("mount of %s: %s\n", t->name, strerror(errno));
	rmdir(t->dir);
	t->dir[0] = '\0';
	return dio_because("this kernel has no client for it: %s", strerror(errno));
}

static void clean_up(void)
{
	if (getpid() == owner && stack.target)
		dio_target_close(stack.target);
}

/* What is known of a target before it is opened */
static void describe(struct dio_target *t, unsigned int id)
{
	const struct target_kind *k = kind_of(id);

	memset(t, 0, sizeof(*t));
	t->fd = -1;
	t->name = k->name;
	t->block = dio_target_block(id);
	t->append = k->fs && !strcmp(k->fs, "zonefs");
	t->buffered_writes = k->buffered_writes;
	t->copies_from = k->copies_from;
	t->copies_to = k->copies_to;
	t->zeroes = k->zeroes;
	t->io_size = k->io_size;
	t->server = is_network(k) ? daemon_of(k) : NULL;
}

void dio_target_open(struct dio_target *t, unsigned int id)
{
	const struct target_kind *k = kind_of(id);
	const struct dio_daemon *daemon = daemon_of(k);

	describe(t, id);
	stack.target = t;
	if (!owner)
		atexit(clean_up);
	owner = getpid();

	if (daemon && daemon->open) {
		daemon_open(t, daemon);
		return;
	}
	t->skip = device_open(k);
	if (!t->skip && t->append)
		t->skip = make_zonefs();
	if (!t->skip && k->fs)
		t->skip = make_and_mount(k, daemon ? stack.backing_dir : t->dir);
	if (!t->skip && daemon) {
		t->skip = daemon->start(stack.backing_dir);
		stack.serves = t->skip ? NULL : daemon;
	}
	if (!t->skip && daemon)
		t->skip = mount_from(daemon, t);
	if (t->skip) {
		stack_close();
		stack.target = NULL;
		return;
	}
	t->size = stack.sectors * 512;
	t->holdable = dio_delay_there();
	if (k->fs)
		snprintf(t->path, sizeof(t->path), t->append ? "%s/seq/0" : "%s/file", t->dir);
	else
		strcpy(t->path, stack.last);
	if (daemon) {
		snprintf(t->server_path, sizeof(t->server_path), "%s/file", stack.backing_dir);
		dio_hold_by(&forgetful);
	}
	write_test_file(t);
}

void dio_target_close(struct dio_target *t)
{
	stack.target = NULL;
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	dio_hold_by(NULL);
	if (stack.daemon) {
		stack.daemon->close();
		stack.daemon = NULL;
		return;
	}
	/* First of all: a read still held would keep everything busy. */
	dio_delay_release();
	unmount(t->dir);
	stack_close();
}

void dio_cases_on_targets(const struct dio_case *cases, unsigned int nr,
			  void (*opened)(struct dio_target *t))
{
	struct dio_target t;
	unsigned int id;

	for (id = 0; id < dio_nr_targets(); id++) {
		describe(&t, id);
		t.skip = "is not open";
		if (!dio_cases_wanted(cases, nr, &t))
			continue;
		if (dio_running())
			dio_target_open(&t, id);
		if (dio_running() && !t.skip && opened)
			opened(&t);
		dio_cases(cases, nr, &t);
		if (dio_running() && !t.skip)
			dio_target_close(&t);
	}
}
