// SPDX-License-Identifier: GPL-2.0
/*
 * Cells with fork(): what it takes of a process with 64 MiB, and what the first stores of
 * the parent take afterwards, an average of 256 pages:
 *
 *	nodio	the process never did direct I/O
 *	idle	it did, and nothing is in flight
 *	one	a direct read into its first page is in flight
 *	all	direct reads into all of its memory are in flight
 *
 * A null_blk ends the reads after two seconds.  The guest's clock jumps there once the
 * guest is idle.  The child waits for its turn, which it gets when the parent waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "../lib/result.h"
#include "../lib/system.h"
#include "bench.h"

#define MEMORY		(64UL << 20)
#define PAGE		4096UL
#define STORES		256		/* pages */
#define READ		(256 * PAGE)
#define READS		(MEMORY / READ)
#define IN_FLIGHT_NSEC	2000000000UL

static int go[2];
static pid_t child;

static void run_fork(const struct how *how, size_t bytes, bool write)
{
	child = fork();
	if (!child) {
		char byte;

		close(go[1]);
		_exit(read(go[0], &byte, 1) != 0);
	}
}

static void run_store(const struct how *how, size_t bytes, bool write)
{
	size_t at;

	for (at = 0; at < bytes; at += PAGE)
		store(buffer + at, 1);
}

/* So many reads of so many bytes, or their end */
static void read_slowly(io_context_t aio, int device, unsigned int nr, size_t bytes)
{
	static struct iocb iocbs[READS], *list[READS];
	unsigned int k;

	for (k = 0; k < nr; k++) {
		list[k] = &iocbs[k];
		io_prep_pread(list[k], device, buffer + k * bytes, bytes, 0);
	}
	check(io_submit(aio, nr, list), nr, "io_submit");
}

static void end_of_reads(io_context_t aio, unsigned int nr, size_t bytes)
{
	struct io_event event;

	while (nr--) {
		check(io_getevents(aio, 1, 1, &event, NULL), 1, "io_getevents");
		check(event.res, bytes, "a slow read");
	}
}

static void measure_fork(const char *state, const char *kind, int device, unsigned int nr,
			 size_t bytes)
{
	const struct how forking = { state, run_fork, 1, 1 }, storing = { state, run_store, 1, 1 };
	unsigned long long forked = ~0ULL, stored = ~0ULL, took;
	io_context_t aio = NULL;
	int call;

	buffer = map_buffer(kind, MEMORY);
	if (device >= 0)
		check(io_setup(READS, &aio), 0, "io_setup");
	/* Four calls are marked of each cell, first the forks. */
	for (call = 0; call < (marking ? 8 : 3); call++) {
		const bool forks = !marking || call < 4, stores = !marking || call >= 4;

		run_store(&storing, MEMORY, true);
		if (pipe(go))
			die("pipe");
		if (!strcmp(state, "idle"))
			check(pread(fd, buffer, READ, 0), READ, "pread");
		if (nr)
			read_slowly(aio, device, nr, bytes);
		took = 0;
		if (forks)
			took = timed(&forking, MEMORY, false);
		else
			run_fork(&forking, MEMORY, false);
		if (child < 0)
			die("fork");
		if (call && took < forked)
			forked = took;
		if (stores)
			took = timed(&storing, STORES * PAGE, true);
		if (call && took < stored)
			stored = took;
		end_of_reads(aio, nr, bytes);
		close(go[0]);
		close(go[1]);
		if (waitpid(child, NULL, 0) != child)
			die("waitpid");
	}
	print_cell(&forking, kind, MEMORY, "fork", marking ? 1 : forked);
	print_cell(&storing, kind, MEMORY, "store", marking ? STORES : stored / STORES);
	if (aio)
		io_destroy(aio);
	munmap(buffer, MEMORY);
}

/* In a process of its own: that a process did direct I/O is known of it for ever. */
static void measure_state(const char *state, const char *kind, unsigned int nr, size_t bytes)
{
	struct sched_param priority = { 1 };
	int status, device = -1;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid) {
		if (waitpid(pid, &status, 0) != pid || status)
			die("a process that forks");
		return;
	}
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority))
		die("SCHED_FIFO");
	if (nr) {
		device = open("/dev/nullb_slow", O_RDONLY | O_DIRECT);
		if (device < 0)
			die("nullb_slow");
	}
	measure_fork(state, kind, device, nr, bytes);
	_exit(0);
}

void measure_forks(void)
{
	static const char * const kinds[] = { "4k", "thp" };
	unsigned int k;

	/* The parent may run until it waits. */
	check(dio_write_file("-1", "/proc/sys/kernel/sched_rt_runtime_us"), 0, "SCHED_FIFO");
	make_device("nullb_slow", 0, IN_FLIGHT_NSEC);
	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		measure_state("nodio", kinds[k], 0, 0);
		measure_state("idle", kinds[k], 0, 0);
		measure_state("one", kinds[k], 1, PAGE);
		/* The copy of all touches more cache lines than the plugin can tell apart. */
		if (!marking)
			measure_state("all", kinds[k], READS, READ);
	}
}
