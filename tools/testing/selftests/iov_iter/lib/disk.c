// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "disk.h"
#include "dm.h"
#include "memory.h"
#include "pins.h"
#include "result.h"
#include "system.h"

#define HOLD_MS		(3600 * 1000)	/* until released: nobody waits an hour */
/* Small, for mkfs to be quick; mkfs.xfs refuses less than 300 MiB. */
#define MAX_SECTORS	(400 * DIO_MIB / 512)
#define MIN_SECTORS	(8 * DIO_MIB / 512)

unsigned int dio_block_size = 512;

static char disk[64];			/* the scratch disk */
static unsigned long long disk_sectors;
static pid_t owner;			/* only this process cleans up */
static const struct dio_holder *holder;

static struct {
	struct dio_dm dm;
	char device[64];		/* below it */
	unsigned long long sectors;
	bool suspends;			/* dio_hold() suspends instead of delaying */
	bool suspended;
} delay;

/* Device, offset and delay: of reads, and then of writes and flushes. */
static int set_delay(unsigned int delay_ms)
{
	struct dio_dm_line line = { "delay", delay.sectors };

	snprintf(line.params, sizeof(line.params), "%s 0 %u %s 0 0",
		 delay.device, delay_ms, delay.device);
	return dio_dm_load(&delay.dm, &line, 1);
}

/* A read still held would keep everything busy. */
void dio_delay_release(void)
{
	if (delay.suspended)
		dio_dm_suspend(&delay.dm, false);
	else if (delay.dm.created && !delay.suspends)
		set_delay(0);
	delay.suspended = false;
}

void dio_delay_close(void)
{
	if (!delay.dm.created)
		return;
	dio_delay_release();
	if (dio_dm_remove(&delay.dm))
		dio_print("%s cannot be removed\n", delay.dm.path);
}

int dio_delay_open(const char *device, unsigned long long sectors, bool suspends)
{
	int ret;

	snprintf(delay.device, sizeof(delay.device), "%s", device);
	delay.sectors = sectors;
	delay.suspends = suspends;
	ret = dio_dm_create(&delay.dm, "delay");
	if (ret)
		return ret;
	if (suspends) {
		struct dio_dm_line line = { "linear", sectors };

		snprintf(line.params, sizeof(line.params), "%s 0", device);
		ret = dio_dm_load(&delay.dm, &line, 1);
	} else {
		dio_modprobe("dm-delay");
		ret = set_delay(0);
	}
	if (ret)
		dio_delay_close();
	return ret;
}

const char *dio_delay_path(void)
{
	return delay.dm.path;
}

bool dio_delay_there(void)
{
	return delay.dm.created;
}

void dio_break_reads(unsigned long long first, unsigned long long nr)
{
	struct dio_dm_line lines[3] = {
		{ "linear", first }, { "error", nr }, { "linear", delay.sectors - first - nr } };
	int ret;

	snprintf(lines[0].params, sizeof(lines[0].params), "%s 0", delay.device);
	snprintf(lines[2].params, sizeof(lines[2].params), "%s %llu", delay.device, first + nr);
	ret = nr ? dio_dm_load(&delay.dm, lines, 3) : set_delay(0);
	if (ret)
		dio_die("sectors cannot be made bad: %s\n", strerror(-ret));
}

void dio_hold_by(const struct dio_holder *new_holder)
{
	holder = new_holder;
}

void dio_hold(void)
{
	int ret;

	if (holder && holder->hold) {
		holder->hold(true);
		return;
	}
	if (holder)
		holder->before();
	ret = delay.suspends ? dio_dm_suspend(&delay.dm, true) : set_delay(HOLD_MS);
	if (ret)
		dio_die("reads cannot be held: %s\n", strerror(-ret));
	delay.suspended = delay.suspends;
}

void dio_release(void)
{
	int ret;

	if (holder && holder->hold) {
		holder->hold(false);
		return;
	}
	ret = delay.suspends ? dio_dm_suspend(&delay.dm, false) : set_delay(0);
	if (ret)
		dio_die("reads cannot be released: %s\n", strerror(-ret));
	delay.suspended = false;
}

unsigned int dio_held(void)
{
	int ret;

	if (holder && holder->hold)
		return holder->held();
	/* A suspended device does not count: all that reaches it waits. */
	if (delay.suspends)
		return delay.suspended;
	ret = dio_dm_delayed(&delay.dm);
	if (ret < 0)
		dio_die("no status of dm-delay: %s\n", strerror(-ret));
	return ret;
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
	if (getpid() == owner)
		dio_delay_close();
}

void dio_disk_init(void)
{
	const char * const modprobe[] = {
		"modprobe", "brd", "rd_nr=1", "rd_size=425984", NULL };
	const char *path = getenv("IOV_ITER_DISK");
	int fd, ret;

	owner = getpid();
	if (geteuid())
		dio_skip_all("needs root, for a device-mapper device\n");

	if (path) {
		fd = open_disk(path);
		if (fd < 0)
			dio_skip_all("IOV_ITER_DISK=%s: %s\n", path, strerror(errno));
	} else {
		path = "/dev/ram0";
		fd = open_disk(path);
		if (fd < 0 && !dio_run(modprobe))
			fd = open_disk(path);
		if (fd < 0)
			dio_skip_all("no ram disk; set IOV_ITER_DISK to a disk to overwrite\n");
	}
	close(fd);
	if (strlen(path) >= sizeof(disk))
		dio_skip_all("IOV_ITER_DISK is too long a name\n");
	strcpy(disk, path);
	ret = dio_device_size(disk, &disk_sectors, &dio_block_size);
	if (ret)
		dio_die("%s: size: %s\n", disk, strerror(-ret));
	if (disk_sectors < MIN_SECTORS)
		dio_skip_all("%s has less than %lu MiB; set IOV_ITER_DISK to another disk\n",
			     disk, MIN_SECTORS * 512 / DIO_MIB);
	if (disk_sectors > MAX_SECTORS)
		disk_sectors = MAX_SECTORS;

	ret = dio_dm_init();
	if (ret)
		dio_skip_all("/dev/mapper/control: %s\n", strerror(-ret));

	atexit(clean_up);
	ret = dio_delay_open(disk, disk_sectors, false);
	if (ret)
		dio_skip_all("dm-delay over %s: %s\n", disk, strerror(-ret));
	dio_delay_close();
	dio_pins_start();
}

const char *dio_disk_path(void)
{
	return disk;
}

unsigned long long dio_disk_sectors(void)
{
	return disk_sectors;
}
