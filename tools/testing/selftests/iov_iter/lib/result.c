// SPDX-License-Identifier: GPL-2.0
/* The only file that knows kselftest.h, whose counters each file has for itself. */
#include <errno.h>
#include <fnmatch.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../kselftest.h"
#include "result.h"

struct dio_results dio_results;
static const char *prefix;

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

void dio_die(const char *format, ...)
{
	va_list args;

	printf("Bail out! ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	exit(KSFT_FAIL);
}

void dio_skip_all(const char *format, ...)
{
	char reason[256];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	ksft_exit_skip("%s", reason);
	exit(KSFT_SKIP);
}

void dio_print(const char *format, ...)
{
	va_list args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
}

const char *dio_because(const char *format, ...)
{
	static char reasons[8][240];
	static unsigned int next;
	char *reason = reasons[next++ % ARRAY_SIZE(reasons)];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reasons[0]), format, args);
	va_end(args);
	return reason;
}

const char *dio_not_result(long n, long want)
{
	if (n == want)
		return NULL;
	if (n < 0 && want < 0)
		return dio_because("%s instead of %s", strerror(-n), strerror(-want));
	if (n < 0)
		return dio_because("%s instead of %ld bytes", strerror(-n), want);
	if (want < 0)
		return dio_because("%ld bytes instead of %s", n, strerror(-want));
	return dio_because("%ld bytes instead of %ld", n, want);
}

const char *dio_count(long n, long want)
{
	return dio_not_result(n < 0 ? -errno : n, want);
}

void dio_prefix(const char *new_prefix)
{
	prefix = new_prefix;
}

/* The whole name, if this result is wanted and is not just counted */
static bool take(const char *name, char *full, size_t size)
{
	snprintf(full, size, "%s%s%s", prefix ? prefix : "", prefix ? " " : "", name);
	if (dio_results.pattern && fnmatch(dio_results.pattern, full, 0))
		return false;
	dio_results.nr++;
	if (dio_results.list)
		puts(full);
	return !dio_results.dry;
}

/* How long a result took since the one before it, for slow ones to be found */
static unsigned long long lap_ms(void)
{
	static unsigned long long before;
	unsigned long long now = dio_now_ms(), lap = before ? now - before : 0;

	before = now;
	return lap;
}

/* The name of a skipped result comes first, so that it stays what it always is. */
void dio_result_skip(const char *name, const char *reason)
{
	char full[192];

	if (!take(name, full, sizeof(full)))
		return;
	lap_ms();
	ksft_inc_xskip_cnt();
	printf("ok %u %s # SKIP %s\n", ksft_test_num(), full, reason);
}

void dio_result(const char *name, const char *problem)
{
	unsigned long long ms;
	char full[192];

	if (!take(name, full, sizeof(full)))
		return;
	ms = lap_ms();
	if (!problem) {
		ksft_test_result_pass("%s # %llu ms\n", full, ms);
		return;
	}
	ksft_test_result_fail("%s # %s (%llu ms)\n", full, problem, ms);
	dio_print("to repeat it alone: %s -k \"%s\"\n", dio_results.again, full);
}

void dio_results_begin(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	ksft_print_header();
}

void dio_results_plan(unsigned int nr)
{
	ksft_set_plan(nr);
}

void dio_results_end(void)
{
	ksft_finished();
	exit(KSFT_FAIL);
}
