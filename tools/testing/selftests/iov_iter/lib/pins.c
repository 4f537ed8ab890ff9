// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "pins.h"
#include "result.h"

static unsigned long long acquired_at_start, released_at_start;

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

void dio_pins_start(void)
{
	released_at_start = dio_vmstat("nr_foll_pin_released");
	acquired_at_start = dio_vmstat("nr_foll_pin_acquired");
}

unsigned long long dio_pins_acquired(void)
{
	return dio_vmstat("nr_foll_pin_acquired");
}

unsigned long long dio_pins_held(void)
{
	unsigned long long released = dio_vmstat("nr_foll_pin_released");

	return dio_pins_acquired() - released;
}

const char *dio_pins_problem(bool must_grow)
{
	unsigned long long acquired, released, start = dio_now_ms();

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
	return dio_because("%llu taken, %llu released",
			   acquired, released);
}

const char *dio_pins_taken(unsigned long long before, unsigned long long want)
{
	unsigned long long pins = dio_pins_acquired() - before;

	return pins == want ? NULL :
	       dio_because("%llu pins were taken instead of %llu", pins, want);
}
