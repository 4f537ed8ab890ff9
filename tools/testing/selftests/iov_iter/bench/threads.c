// SPDX-License-Identifier: GPL-2.0
/*
 * Two threads that read directly at the same time, each on a CPU of its own, and each of
 * them alone.  The plugin ci/bench/locks.c counts the locked operations:
 *
 *	apart	each has a small page of its own
 *	page	both have the same small page
 *	huge	each has a small part of one huge page
 *	ext4	each has a small page of its own, and both read one file
 *
 * Each line is: cell NAME HOW WHICH BYTES read READS.  WHICH is first, second or both.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/result.h"
#include "bench.h"

#define READS		20000
#define PAGE		4096UL

struct reader {
	pthread_t thread;
	unsigned int cpu;
	int file;
	char *to;
	bool alone;
};

static pthread_barrier_t start;

static void *read_often(void *data)
{
	const struct reader *r = data;
	unsigned int k;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(r->cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die("sched_setaffinity");
	check(pread(r->file, r->to, PAGE, 0), PAGE, "pread");
	if (!r->alone)
		pthread_barrier_wait(&start);
	count_begins();
	for (k = 0; k < READS; k++)
		check(pread(r->file, r->to, PAGE, 0), PAGE, "pread");
	count_ends();
	return NULL;
}

static void begin(struct reader *r)
{
	if (pthread_create(&r->thread, NULL, read_often, r))
		die("pthread_create");
}

static void measure_pair(const char *name, int file, char *first, char *second)
{
	static const char * const which[] = { "first", "second", "both" };
	const struct how how = { name, NULL, 1, 1 };
	struct reader readers[] = {
		{ .cpu = 0, .file = file, .to = first }, { .cpu = 1, .file = file, .to = second }
	};
	unsigned int w, k;

	for (w = 0; w < ARRAY_SIZE(which); w++) {
		for (k = 0; k < 2; k++) {
			readers[k].alone = w < 2;
			if (w == k || w == 2)
				begin(&readers[k]);
		}
		for (k = 0; k < 2; k++)
			if (w == k || w == 2)
				pthread_join(readers[k].thread, NULL);
		print_cell(&how, which[w], PAGE, "read", READS);
	}
}

void measure_threads(void)
{
	char *small = map_buffer("4k", BUFFER_SIZE), *huge = map_buffer("thp", BUFFER_SIZE);
	int file;

	memset(small, 0x5a, BUFFER_SIZE);
	memset(huge, 0x5a, BUFFER_SIZE);
	if (pthread_barrier_init(&start, NULL, 2))
		die("pthread_barrier_init");
	measure_pair("apart", fd, small, small + BUFFER_SIZE / 2);
	measure_pair("page", fd, small, small);
	measure_pair("huge", fd, huge, huge + PAGE);
	buffer = small;
	file = open_fast_file("ext4");
	if (file >= 0)
		measure_pair("ext4", file, small, small + BUFFER_SIZE / 2);
}
