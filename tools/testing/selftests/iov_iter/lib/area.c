// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "area.h"
#include "memory.h"
#include "result.h"
#include "system.h"

#define HUGE_SIZE	(2 * DIO_MIB)
#define LEAK_TRIES	20

unsigned char dio_before(size_t i)
{
	return 0x80 | (i % 61);
}

unsigned char dio_data(unsigned char salt, size_t i)
{
	return dio_pattern(i) ^ salt;
}

unsigned char dio_next_salt(void)
{
	static unsigned char salt;

	salt = salt % 0x7f + 1;
	return salt;
}

size_t dio_shape_length(const struct dio_shape *s)
{
	return s->nr * s->length;
}

/* Which byte of the transfer the byte at @i of the memory is, or -1 */
static ssize_t shape_inside(const struct dio_shape *s, size_t i)
{
	size_t vector;

	if (i < s->offset)
		return -1;
	i -= s->offset;
	vector = s->nr > 1 ? i / s->stride : 0;
	i -= vector * s->stride;
	return vector < s->nr && i < s->length ? vector * s->length + i : -1;
}

void dio_area_open(struct dio_area *a, const struct dio_shape *s)
{
	unsigned int i;

	a->shape = s;
	a->size = s->offset + (s->nr - 1) * s->stride + s->length;
	/* at least a byte behind it, for what is stored next to a read */
	a->size = (a->size + dio_page_size) & ~(dio_page_size - 1);
	if (s->huge)
		a->size = HUGE_SIZE;
	a->mem = dio_map(a->size, s->huge ? HUGE_SIZE : dio_page_size, s->huge);
	for (i = 0; i < s->nr; i++) {
		a->iov[i].iov_base = a->mem + s->offset + i * s->stride;
		a->iov[i].iov_len = s->length;
	}
}

void dio_area_fill(struct dio_area *a, unsigned char salt, bool with_data)
{
	size_t i;

	for (i = 0; i < a->size; i++) {
		ssize_t inside = with_data ? shape_inside(a->shape, i) : -1;

		a->mem[i] = inside < 0 ? dio_before(i) : dio_data(salt, DIO_BLOCK + inside);
	}
}

size_t dio_area_wrong(const struct dio_area *a, unsigned char salt, bool with_data)
{
	size_t i, wrong = 0;

	for (i = 0; i < a->size; i++) {
		ssize_t inside = with_data ? shape_inside(a->shape, i) : -1;
		unsigned char want = inside < 0 ? dio_before(i) :
						  dio_data(salt, DIO_BLOCK + inside);

		wrong += a->mem[i] != want;
	}
	return wrong;
}

void dio_area_close(struct dio_area *a)
{
	munmap(a->mem, a->size);
}

void dio_area_store(struct dio_area *a)
{
	a->mem[0] = DIO_STORED;
	a->mem[a->size - 1] = DIO_STORED;
}

const char *dio_area_lost(struct dio_area *a, unsigned char salt)
{
	bool stored = a->mem[0] == DIO_STORED && a->mem[a->size - 1] == DIO_STORED;
	size_t wrong;

	a->mem[0] = dio_before(0);
	a->mem[a->size - 1] = dio_before(a->size - 1);
	wrong = dio_area_wrong(a, salt, true);
	if (wrong)
		return dio_because("LOST %zu of %zu bytes", wrong, dio_shape_length(a->shape));
	return stored ? NULL : "what was stored next to the read is LOST";
}

const char *dio_wrong_bytes(size_t in_memory, size_t on_disk)
{
	return !in_memory && !on_disk ? NULL :
	       dio_because("wrong bytes: %zu in memory, %zu on the disk", in_memory, on_disk);
}

pid_t dio_child_start(const struct dio_area *a, int *pipe_end)
{
	int ends[2];
	pid_t pid;
	char end;

	if (pipe(ends))
		dio_die("pipe: %s\n", strerror(errno));
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		dio_die("fork: %s\n", strerror(errno));
	if (!pid) {
		close(ends[1]);
		_exit(read(ends[0], &end, 1) ? 2 : !!dio_area_wrong(a, 0, false));
	}
	close(ends[0]);
	*pipe_end = ends[1];
	return pid;
}

const char *dio_child_problem(pid_t pid, int pipe_end)
{
	int status;

	close(pipe_end);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) > 1)
		return "the child did not answer";
	return WEXITSTATUS(status) ? "it SAW the read or what the parent stored" : NULL;
}

long dio_free_pages(void)
{
	char line[256];
	long sum = 0, n;
	FILE *f;

	/* Fold the counts that are still with the CPUs. */
	dio_write_file("1", "/proc/sys/vm/stat_refresh");
	f = fopen("/proc/zoneinfo", "r");
	if (!f)
		dio_die("/proc/zoneinfo: %s\n", strerror(errno));
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " pages free %ld", &n) == 1 ||
		    sscanf(line, " count: %ld", &n) == 1)
			sum += n;
	fclose(f);
	return sum;
}

/*
 * Others take memory meanwhile, but hardly a quarter of a page for each command,
 * and not many times in a row.  KASAN does: it keeps what is freed, and for that
 * frees what it has kept, now more and now less.
 */
const char *dio_leak_problem(const char *(*repeat)(const void *arg, unsigned int times),
			     const void *arg, unsigned int times)
{
	const char *problem;
	unsigned int try;
	long gone = 0;

	for (try = 0; try < LEAK_TRIES; try++) {
		gone = dio_free_pages();
		problem = repeat(arg, times);
		if (problem)
			return problem;
		gone -= dio_free_pages();
		if (gone < (long)(times / 4))
			return NULL;
	}
	return dio_because("LEAKED: %ld pages less after %u commands", gone, times);
}
