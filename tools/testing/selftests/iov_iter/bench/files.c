// SPDX-License-Identifier: GPL-2.0
/*
 * Cells with files: direct I/O of a preallocated file on ext4 and xfs, and direct I/O of
 * the device with a buffer that is the mapping of a file.
 *
 * A file system needs memory below it, and the copy would hide what direct I/O costs.  So
 * device-mapper puts all but the file on a null_blk that has memory, and the blocks of the
 * file on the one that does nothing.
 *
 * The image of a file system is /FS.image: records of an offset and a block.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "../lib/dm.h"
#include "../lib/result.h"
#include "../lib/system.h"
#include "bench.h"

#define MOUNT		"/mnt"
#define MEMORY_MIB	64
#define BLOCK		4096UL

static const size_t sizes[] = { 4 << 10, 64 << 10, 1 << 20 };

static int set_attribute(const char *name, const char *attribute, unsigned long value)
{
	char text[24];

	sprintf(text, "%lu", value);
	return dio_write_file(text, "/sys/kernel/config/nullb/%s/%s", name, attribute);
}

void make_device(const char *name, unsigned int megabytes, unsigned long nsec)
{
	const struct {
		const char *name;
		unsigned long value;
	} attributes[] = {
		{ "queue_mode", 0 },
		{ "size", megabytes ? megabytes : 1024 },
		{ "memory_backed", megabytes > 0 },
		{ "irqmode", nsec ? 2 : 0 },
		{ "completion_nsec", nsec },
		{ "hw_queue_depth", 256 },
	};
	char directory[64];
	unsigned int k;

	if ((mkdir("/sys", 0755) && errno != EEXIST) ||
	    (mount("sysfs", "/sys", "sysfs", 0, NULL) && errno != EBUSY) ||
	    (mount("configfs", "/sys/kernel/config", "configfs", 0, NULL) && errno != EBUSY))
		die("configfs");
	sprintf(directory, "/sys/kernel/config/nullb/%s", name);
	if (mkdir(directory, 0755))
		die(directory);
	for (k = 0; k < ARRAY_SIZE(attributes); k++)
		check(set_attribute(name, attributes[k].name, attributes[k].value), 0, directory);
	/* A kernel without bio-based ones says so late. */
	if (set_attribute(name, "power", 1)) {
		check(set_attribute(name, "queue_mode", 2), 0, directory);
		check(set_attribute(name, "power", 1), 0, directory);
	}
}

static void copy_image(FILE *image, const char *device)
{
	int to = open(device, O_RDWR);
	char block[BLOCK];
	unsigned long long offset;

	if (to < 0)
		die(device);
	while (fread(&offset, sizeof(offset), 1, image) == 1) {
		if (fread(block, sizeof(block), 1, image) != 1)
			die("an image");
		check(pwrite(to, block, sizeof(block), offset), sizeof(block), device);
	}
	if (fsync(to) || close(to))
		die(device);
}

/* A file of BUFFER_SIZE, all of it written, opened with O_DIRECT */
static int make_file(const char *path)
{
	int file = open(path, O_RDWR | O_CREAT | O_DIRECT, 0644);

	if (file < 0)
		die(path);
	check(posix_fallocate(file, 0, BUFFER_SIZE), 0, "posix_fallocate");
	check(pwrite(file, buffer, BUFFER_SIZE, 0), BUFFER_SIZE, path);
	if (fsync(file))
		die("fsync");
	return file;
}

/* The first sector of a file that is one extent */
static unsigned long long file_sector(int file)
{
	struct {
		struct fiemap map;
		struct fiemap_extent extent;
	} f = { .map = { .fm_length = BUFFER_SIZE, .fm_extent_count = 1 } };

	if (ioctl(file, FS_IOC_FIEMAP, &f.map))
		die("FIEMAP");
	check(f.extent.fe_length, BUFFER_SIZE, "a file in one extent");
	return f.extent.fe_physical / 512;
}

/* Mount it on the memory alone.  Returns false if there is no image. */
static bool mount_file_system(const char *fs, struct dio_dm *dm, char *memory)
{
	struct dio_dm_line line = { "linear", (MEMORY_MIB << 20) / 512 };
	char path[32];
	FILE *image;

	sprintf(path, "/%s.image", fs);
	image = fopen(path, "r");
	if (!image) {
		printf("# no %s: %s\n", path, strerror(errno));
		return false;
	}
	sprintf(path, "nullb_%s", fs);
	sprintf(memory, "/dev/nullb_%s", fs);
	make_device(path, MEMORY_MIB, 0);
	copy_image(image, memory);
	fclose(image);
	sprintf(line.params, "%s 0", memory);
	check(dio_dm_create(dm, fs), 0, "device-mapper");
	check(dio_dm_load(dm, &line, 1), 0, "device-mapper");
	if (mount(dm->path, MOUNT, fs, MS_NOATIME, NULL))
		die(fs);
	return true;
}

/* A file whose blocks are on the device that does nothing */
static int make_fast_file(struct dio_dm *dm, const char *memory)
{
	const unsigned long long all = (MEMORY_MIB << 20) / 512, size = BUFFER_SIZE / 512;
	struct dio_dm_line lines[] = {
		{ "linear" }, { "linear", size, DEVICE " 0" }, { "linear" }
	};
	int file = make_file(MOUNT "/file");

	lines[0].sectors = file_sector(file);
	sprintf(lines[0].params, "%s 0", memory);
	lines[2].sectors = all - lines[0].sectors - size;
	sprintf(lines[2].params, "%s %llu", memory, lines[0].sectors + size);
	check(dio_dm_load(dm, lines, 3), 0, "the table of the file");
	return file;
}

static void measure_file(const char *fs, int file)
{
	static const char * const kinds[] = { "4k", "thp" };
	const struct how how = { fs, run_plain, 1, 1 };
	char *last = buffer;
	int device = fd;
	unsigned int k, s, w;

	fd = file;
	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		buffer = map_buffer(kinds[k], BUFFER_SIZE);
		memset(buffer, 0x5a, BUFFER_SIZE);
		for (s = 0; s < ARRAY_SIZE(sizes); s++)
			for (w = 0; w < 2; w++)
				measure(&how, kinds[k], sizes[s], w);
		munmap(buffer, BUFFER_SIZE);
	}
	close(file);
	fd = device;
	buffer = last;
}

/*
 * The device, with a mapping as the buffer.  Pages that are read back from a file can be
 * in large folios.  A private mapping is only read from: its pages are those of the file.
 */
static void measure_mapping(const char *kind, bool private)
{
	static const struct how plain = { "plain", run_plain, 1, 1 };
	int file = open(MOUNT "/map", O_RDWR | O_CREAT, 0644);
	char *last = buffer;
	unsigned int s;
	size_t at;

	if (file < 0)
		die(MOUNT "/map");
	check(pwrite(file, buffer, BUFFER_SIZE, 0), BUFFER_SIZE, "map");
	if (fsync(file) || posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED))
		die("map");
	buffer = mmap(NULL, BUFFER_SIZE, PROT_READ | PROT_WRITE,
		      private ? MAP_PRIVATE : MAP_SHARED, file, 0);
	if (buffer == MAP_FAILED)
		die("mmap");
	for (at = 0; at < BUFFER_SIZE; at += BLOCK) {
		if (private)
			load(buffer + at);
		else
			store(buffer + at, 0x5a);
	}
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		if (!private)
			measure(&plain, kind, sizes[s], false);
		measure(&plain, kind, sizes[s], true);
	}
	munmap(buffer, BUFFER_SIZE);
	close(file);
	buffer = last;
}

static void measure_file_system(const char *fs, const char *shared, const char *private)
{
	struct dio_dm dm = { 0 };
	char memory[32];

	if (!mount_file_system(fs, &dm, memory))
		return;
	measure_file(fs, make_fast_file(&dm, memory));
	measure_mapping(shared, false);
	if (private)
		measure_mapping(private, true);
	if (umount(MOUNT))
		die("umount");
	check(dio_dm_remove(&dm), 0, "device-mapper");
}

static void set_up(void)
{
	if (mkdir(MOUNT, 0755) && errno != EEXIST)
		die(MOUNT);
	check(dio_dm_init(), 0, "/dev/mapper/control");
}

int open_fast_file(const char *fs)
{
	static struct dio_dm dm;
	char memory[32];

	set_up();
	return mount_file_system(fs, &dm, memory) ? make_fast_file(&dm, memory) : -1;
}

void measure_files(void)
{
	set_up();
	measure_file_system("ext4", "ext4map", "ext4cow");
	measure_file_system("xfs", "xfsmap", NULL);
	if (mount("tmpfs", MOUNT, "tmpfs", 0, NULL))
		die("tmpfs");
	measure_mapping("tmpfs", false);
	umount(MOUNT);
}
