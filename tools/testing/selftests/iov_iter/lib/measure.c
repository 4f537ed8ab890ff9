// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "measure.h"
#include "memory.h"
#include "result.h"

#define WARM_UP		16	/* calls before any is counted */
#define ROUNDS		100	/* most have an interrupt, the lowest of so many has none */

bool dio_measuring;
bool dio_measure_singly;

static char cells[4096];
static size_t length;

/* For the plugin: these instructions do nothing. */
static void begin(void)
{
#ifdef __x86_64__
	asm volatile("xchg %%bx, %%bx" : : : "memory");
#endif
}

static void end(void)
{
#ifdef __x86_64__
	asm volatile("xchg %%cx, %%cx" : : : "memory");
#endif
}

void dio_measure_in_order(void)
{
	const struct sched_param none = {};

	if (sched_setscheduler(0, SCHED_IDLE, &none))
		dio_die("sched_setscheduler: %s\n", strerror(errno));
}

/*
 * What a server does behind its answer is counted with the next call: a round has several
 * calls, unless the server is not counted.
 */
void dio_measure(const char *path, bool write,
		 void (*call)(unsigned char *memory, size_t bytes, bool write))
{
	static const size_t sizes[] = { 4 << 10, 64 << 10, DIO_MEASURE_MAX };
	unsigned char *memory = dio_map(DIO_MEASURE_MAX, dio_page_size, false);
	unsigned int s, round, rounds, k, calls;

	dio_measure_in_order();
	memset(memory, 0x5a, DIO_MEASURE_MAX);
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		rounds = ROUNDS;
		calls = sizes[s] < DIO_MEASURE_MAX ? 16 : 2;
		if (dio_measure_singly) {
			rounds *= calls;
			calls = 1;
		}
		for (k = 0; k < WARM_UP; k++)
			call(memory, sizes[s], write);
		for (round = 0; round < rounds; round++) {
			begin();
			for (k = 0; k < calls; k++)
				call(memory, sizes[s], write);
			end();
		}
		length += snprintf(cells + length, sizeof(cells) - length,
				   "cell %s %zu %s %u %u\n", path, sizes[s],
				   write ? "write" : "read", rounds, calls);
		if (length >= sizeof(cells))
			dio_die("there are too many cells\n");
	}
	munmap(memory, DIO_MEASURE_MAX);
}

void dio_measured(void)
{
	fputs(cells, stdout);
	fflush(stdout);
	length = 0;
}
