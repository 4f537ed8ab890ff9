/* SPDX-License-Identifier: GPL-2.0 */
/* What the cells of dio_bench have in common */
#ifndef IOV_ITER_BENCH_BENCH_H
#define IOV_ITER_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#define DEVICE		"/dev/nullb0"
#define BUFFER_SIZE	(4UL << 20)

/* Accesses that the compiler keeps */
#define load(p)		({ char v = *(p); asm volatile("" : "+r" (v) : : "memory"); v; })
#define store(p, v)	({ *(p) = (v); asm volatile("" : : : "memory"); })

struct io_uring;

/*
 * What to call how: one call moves @segments * @bytes, or QUEUE_DEPTH times
 * @bytes if it is asynchronous; the result is for one I/O.
 */
struct how {
	const char *name;
	void (*run)(const struct how *how, size_t bytes, bool write);
	unsigned int segments;
	unsigned int ios;
	struct io_uring *ring;
	bool fixed;	/* the registered buffer */
};

/* Set by -c: calls are marked for the plugin of QEMU, not timed. */
extern bool marking;
/* What a call reads or writes, and the buffer; run_plain() is a pread() or a pwrite(). */
extern int fd;
extern char *buffer;
void run_plain(const struct how *how, size_t bytes, bool write);

void die(const char *what);
void check(long long got, size_t expected, const char *what);
/* Before and after what the plugin counts: these instructions do nothing. */
#ifdef __x86_64__
#define count_begins()	({ asm volatile("xchg %%bx, %%bx" : : : "memory"); })
#define count_ends()	({ asm volatile("xchg %%cx, %%cx" : : : "memory"); })
#else
#define count_begins()	({ })
#define count_ends()	({ })
#endif

void print_cell(const struct how *how, const char *kind, size_t bytes, const char *direction,
		unsigned long long value);
/* One call alone, marked or not: how long it took */
unsigned long long timed(const struct how *how, size_t bytes, bool write);
/* A cell of many calls */
void measure(const struct how *how, const char *kind, size_t bytes, bool write);
/* Anonymous memory, private but for shmem, aligned to its size */
char *map_buffer(const char *kind, size_t size);

/*
 * A null_blk of its own, /dev/@name, which is bio-based if the kernel has such.  It has a
 * memory of @megabytes, or forgets all and ends a read after @nsec.
 */
void make_device(const char *name, unsigned int megabytes, unsigned long nsec);

/* An open file of measure_files(), which stays mounted; -1 if there is no image */
int open_fast_file(const char *fs);

/* The cells of these files, which leave @buffer and @fd as they are */
void measure_files(void);
void measure_forks(void);
/* Those of two threads, which nothing but ci/bench/threads counts */
void measure_threads(void);

#endif /* IOV_ITER_BENCH_BENCH_H */
