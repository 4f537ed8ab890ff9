// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "dio_lib.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT		21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#endif

size_t dio_page_size;
static unsigned long long acquired_at_start, released_at_start;

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

bool dio_expired(unsigned long long start)
{
	sched_yield();
	return !dio_ms_left(start);
}

unsigned long long dio_lap_ms(void)
{
	static unsigned long long before;
	unsigned long long now = dio_now_ms(), lap = before ? now - before : 0;

	before = now;
	return lap;
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

static void help(FILE *to, const struct dio_option *options)
{
	const struct dio_option *o;

	fprintf(to, "usage: %s", program_invocation_short_name);
	for (o = options; o->letter; o++)
		fprintf(to, o->argument ? " [-%c %s]" : " [-%c]", o->letter, o->argument);
	for (o = options; o->letter; o++)
		fprintf(to, "\n  -%c  %s", o->letter, o->help);
	fprintf(to, "\nThe disk that the environment variable IOV_ITER_DISK names is overwritten,\n"
		"without it a ram disk is used; so is the NVMe device that IOV_ITER_NVME\n"
		"names, as in /dev/nvme0n1, and any disk of scsi_debug.\n");
}

static bool option_take(const struct dio_option *o, const char *argument)
{
	char *end;

	if (o->flag) {
		*o->flag = true;
		return true;
	}
	if (!o->number)
		return dio_target_select(argument);
	errno = 0;
	*o->number = strtoull(argument, &end, 0);
	return *argument >= '0' && *argument <= '9' && !*end && !errno && *o->number;
}

void dio_options(int argc, char **argv, const struct dio_option *options)
{
	const struct dio_option *o;
	char letters[32] = "h", *at = letters + 1;
	int letter;

	for (o = options; o->letter; o++) {
		*at++ = o->letter;
		if (o->argument)
			*at++ = ':';
	}
	*at = '\0';
	while ((letter = getopt(argc, argv, letters)) != -1) {
		if (letter == 'h') {
			help(stdout, options);
			exit(KSFT_PASS);
		}
		for (o = options; o->letter && o->letter != letter; o++)
			;
		if (o->letter && option_take(o, optarg))
			continue;
		if (o->letter)
			fprintf(stderr, "%s: -%c does not take '%s'\n",
				program_invocation_short_name, letter, optarg);
		help(stderr, options);
		exit(KSFT_FAIL);
	}
	if (optind == argc)
		return;
	fprintf(stderr, "%s: '%s' is not understood\n", program_invocation_short_name,
		argv[optind]);
	help(stderr, options);
	exit(KSFT_FAIL);
}

unsigned long long dio_vmstat(const char *name)
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
	return dio_vmstat("nr_foll_pin_acquired");
}

const char *dio_pins_problem(bool must_grow)
{
	unsigned long long acquired, released, start = dio_now_ms();
	static char problem[96];

	/* A completion may leave the release to a kernel thread. */
	do {
		released = dio_vmstat("nr_foll_pin_released") - released_at_start;
		acquired = dio_vmstat("nr_foll_pin_acquired") - acquired_at_start;
	} while (acquired != released && !dio_expired(start));

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

void dio_pins_start(void)
{
	released_at_start = dio_vmstat("nr_foll_pin_released");
	acquired_at_start = dio_vmstat("nr_foll_pin_acquired");
}

int dio_write_file(const char *value, const char *format, ...)
{
	char path[300];
	va_list args;
	int fd, ret = 0;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

int dio_read_file(char *value, size_t size, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, value, size - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	value[n] = '\0';
	return 0;
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

int dio_run(const char * const argv[])
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

static char problem[160];

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
	snprintf(problem, sizeof(problem), "byte %zu of %zu is %#x, not %#x", i, len, buf[i],
		 dio_pattern(pos + i) ^ kind);
	return problem;
}

const char *dio_unchanged(const unsigned char *buf, size_t len, const char *where)
{
	size_t i;

	for (i = 0; i < len && buf[i] == DIO_UNTOUCHED; i++)
		;
	if (i == len)
		return NULL;
	snprintf(problem, sizeof(problem), "byte %zu %s was written to", i, where);
	return problem;
}

const char *dio_count(ssize_t n, ssize_t want)
{
	if (n == want)
		return NULL;
	snprintf(problem, sizeof(problem), "%zd instead of %zd%s%s", n, want,
		 n < 0 ? ": " : "", n < 0 ? strerror(errno) : "");
	return problem;
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
	snprintf(problem, sizeof(problem), "%zu bytes are dirty instead of %zu", dirty, want);
	return problem;
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
