// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "memory.h"
#include "result.h"
#include "system.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT		21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#endif

size_t dio_page_size;

static __attribute__((constructor)) void page_size_init(void)
{
	dio_page_size = sysconf(_SC_PAGESIZE);
}

/* xorshift64* */
static unsigned long long random_state;

void dio_random_seed(unsigned long long seed)
{
	random_state = seed;
	dio_random();
}

unsigned long long dio_random(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dULL;
}

size_t dio_below(size_t n)
{
	return (dio_random() >> 33) % n;
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

void dio_fill(unsigned char *buf, size_t len, off_t pos, unsigned int kind)
{
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = dio_pattern(pos + i) ^ kind;
}

const char *dio_compare(const unsigned char *buf, size_t len, off_t pos, unsigned int kind)
{
	size_t i;

	for (i = 0; i < len && buf[i] == (dio_pattern(pos + i) ^ kind); i++)
		;
	if (i == len)
		return NULL;
	return dio_because("byte %zu of %zu is %#x, not %#x", i, len, buf[i],
			   dio_pattern(pos + i) ^ kind);
}

const char *dio_unchanged(const unsigned char *buf, size_t len, const char *where)
{
	size_t i;

	for (i = 0; i < len && buf[i] == DIO_UNTOUCHED; i++)
		;
	if (i == len)
		return NULL;
	return dio_because("byte %zu %s was written to", i, where);
}

const char *dio_differ(const unsigned char *got, const unsigned char *want, size_t len)
{
	size_t i;

	if (!memcmp(got, want, len))
		return NULL;
	for (i = 0; got[i] == want[i]; i++)
		;
	return dio_because("byte %zu of %zu is %02x instead of %02x", i, len, got[i], want[i]);
}

/* A line of /proc/self/smaps about the memory at @addr, in KiB */
static unsigned long memory_line(const void *addr, const char *what)
{
	unsigned long start, end, kb, found = 0;
	bool inside = false;
	size_t length = strlen(what);
	char line[512];
	FILE *f;

	f = fopen("/proc/self/smaps", "r");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
			inside = (uintptr_t)addr >= start && (uintptr_t)addr < end;
			continue;
		}
		if (inside && !strncmp(line, what, length) &&
		    sscanf(line + length, ": %lu kB", &kb) == 1)
			found = kb;
	}
	fclose(f);
	return found;
}

bool dio_is_huge(const void *addr)
{
	return memory_line(addr, "AnonHugePages");
}

void *dio_map_clean(size_t size)
{
	int fd = memfd_create("clean", MFD_CLOEXEC);
	void *mem;

	if (fd < 0 || ftruncate(fd, size))
		dio_die("memfd: %s\n", strerror(errno));
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		dio_die("mmap of %zu: %s\n", size, strerror(errno));
	close(fd);
	/* As by loads: pages are there, and none is dirty. */
	if (madvise(mem, size, MADV_POPULATE_READ))
		dio_die("MADV_POPULATE_READ: %s\n", strerror(errno));
	return mem;
}

void *dio_map_device(size_t size)
{
	const char *path = getenv("IOV_ITER_DEVICE_MEMORY");
	void *mem;
	int fd;

	if (!path)
		return NULL;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		dio_die("mmap of %s: %s\n", path, strerror(errno));
	close(fd);
	return mem;
}

size_t dio_dirty(const void *mem)
{
	return (memory_line(mem, "Private_Dirty") + memory_line(mem, "Shared_Dirty")) * 1024;
}

const char *dio_dirty_problem(const void *mem, size_t want)
{
	unsigned long long start = dio_now_ms();
	size_t dirty;

	/* What should not happen late happens within a moment. */
	if (!want)
		usleep(50 * 1000);
	do
		dirty = dio_dirty(mem);
	while (dirty != want && want && !dio_expired(start));
	if (dirty == want)
		return NULL;
	return dio_because("%zu bytes are dirty instead of %zu", dirty, want);
}

const char *dio_dirty_io(int fd, bool write)
{
	size_t size = 4 * dio_page_size;
	void *mem = dio_map_clean(size);
	const char *why = dio_dirty_problem(mem, 0);
	ssize_t n = write ? pwrite(fd, mem, size, 0) : pread(fd, mem, size, 0);

	if (!why && n != size)
		why = n < 0 ? strerror(errno) : "fewer bytes than asked for";
	if (!why)
		why = dio_dirty_problem(mem, write ? 0 : size);
	munmap(mem, size);
	return why;
}

#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"

/* As dio_map_clean(), of a huge page: why there is none, or NULL */
static const char *map_clean_huge(size_t size, void **mem)
{
	char before[80] = "", *now = NULL;
	int fd = memfd_create("huge", MFD_CLOEXEC);

	if (!dio_read_file(before, sizeof(before), SHMEM_ENABLED))
		now = strchr(before, '[');
	if (!now || dio_write_file("advise", SHMEM_ENABLED))
		return "there are no huge pages of shared memory";
	if (fd < 0 || ftruncate(fd, size))
		dio_die("memfd: %s\n", strerror(errno));
	*mem = mmap(dio_map(size, size, false), size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, fd, 0);
	if (*mem == MAP_FAILED)
		dio_die("mmap of %zu: %s\n", size, strerror(errno));
	close(fd);
	if (madvise(*mem, size, MADV_HUGEPAGE) || madvise(*mem, size, MADV_POPULATE_READ))
		dio_die("MADV_POPULATE_READ: %s\n", strerror(errno));
	now[strcspn(now, "]")] = '\0';
	dio_write_file(now + 1, SHMEM_ENABLED);
	if (memory_line(*mem, "ShmemPmdMapped") * 1024 == size)
		return NULL;
	munmap(*mem, size);
	return "no huge page of shared memory was had";
}

bool dio_dirty_huge_io(int fd, const char **why)
{
	size_t size = 2 * DIO_MIB, len = 4 * dio_page_size;
	unsigned char *buf;
	void *mem;
	ssize_t n;

	*why = map_clean_huge(size, &mem);
	if (*why)
		return false;
	buf = mem + size / 2;
	*why = dio_dirty_problem(mem, 0);
	n = pread(fd, buf, len, 0);
	if (!*why)
		*why = dio_count(n, len);
	if (!*why)
		*why = dio_dirty_problem(mem, size);
	if (madvise(mem, size, MADV_PAGEOUT) && !*why)
		*why = strerror(errno);
	if (n == len && dio_compare(buf, len, 0, 0))
		*why = "LOST: the page was taken for clean";
	munmap(mem, size);
	return true;
}
