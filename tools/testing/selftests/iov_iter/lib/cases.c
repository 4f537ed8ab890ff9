// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cases.h"
#include "pins.h"
#include "result.h"
#include "target.h"

static const char *skip_reason, *no_pins_reason;
static bool running;

const char *dio_skip(const char *reason)
{
	skip_reason = reason;
	return reason;
}

bool dio_running(void)
{
	return running;
}

bool dio_lists(const char * const *names, unsigned int nr)
{
	while (dio_results.dry && nr--)
		dio_result_skip(*names++, "");
	return dio_results.dry;
}

bool dio_lists_one(const char *name)
{
	return dio_lists(&name, 1);
}

void dio_report(const char *name, const char *problem)
{
	dio_result(name, problem ? problem : dio_pins_problem(false));
}

static void name_of(const struct dio_case *c, const struct dio_target *t, unsigned int i,
		    char *name, size_t size)
{
	int n = t ? snprintf(name, size, "%s ", t->name) : 0;

	if (c->label)
		c->label(name + n, size - n, i);
	else
		snprintf(name + n, size - n, "%s", c->name);
}

/* The case or, if dio_results.dry is set, only its results */
static void one(const struct dio_case *c, struct dio_target *t, unsigned int i)
{
	const char *problem;
	char name[160];

	if (c->run) {
		c->run(i);
		return;
	}
	if (c->run_on) {
		c->run_on(t, i);
		return;
	}
	name_of(c, t, i, name, sizeof(name));
	if (dio_results.dry || (t && t->skip)) {
		dio_result_skip(name, dio_results.dry ? "" : t->skip);
		return;
	}
	skip_reason = NULL;
	problem = c->test_on ? c->test_on(t, i) : c->test(i);
	if (skip_reason)
		dio_result_skip(name, skip_reason);
	else
		dio_report(name, problem);
}

/* How many of its results are wanted */
static unsigned int wanted(const struct dio_case *c, const struct dio_target *t, unsigned int i)
{
	bool dry = dio_results.dry, list = dio_results.list;
	unsigned int before = dio_results.nr, nr;
	struct dio_target closed;

	if (t) {
		closed = *t;
		closed.skip = "is not open";
	}
	dio_results.dry = true;
	dio_results.list = false;
	one(c, t ? &closed : NULL, i);
	nr = dio_results.nr - before;
	dio_results.nr = before;
	dio_results.dry = dry;
	dio_results.list = list;
	return nr;
}

/* Behind the last number of a row */
static unsigned int end_of(const struct dio_case *c)
{
	return c->nr ? c->i + c->nr : c->i + 1;
}

void dio_cases(const struct dio_case *cases, unsigned int nr, struct dio_target *t)
{
	unsigned int i, want, before;

	for (; nr--; cases++) {
		for (i = cases->i; i < end_of(cases); i++) {
			want = wanted(cases, t, i);
			if (!want)
				continue;
			before = dio_results.nr;
			one(cases, t, i);
			if (dio_results.nr != before + want)
				dio_die("a case has %u results instead of %u\n",
					dio_results.nr - before, want);
		}
	}
}

bool dio_cases_wanted(const struct dio_case *cases, unsigned int nr, struct dio_target *t)
{
	unsigned int i;

	for (; nr--; cases++)
		for (i = cases->i; i < end_of(cases); i++)
			if (wanted(cases, t, i))
				return true;
	return false;
}

static void help(FILE *to, const struct dio_option *options)
{
	const struct dio_option *o;

	fprintf(to, "usage: %s [-l] [-k PATTERN]", program_invocation_short_name);
	for (o = options; o && o->letter; o++)
		fprintf(to, o->argument ? " [-%c %s]" : " [-%c]", o->letter, o->argument);
	fputs("\n  -l  list the results, and do nothing else", to);
	fputs("\n  -k  only the results whose names match the pattern, as of a shell", to);
	for (o = options; o && o->letter; o++)
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
	if (o->take)
		return o->take(argument);
	errno = 0;
	*o->number = strtoull(argument, &end, 0);
	return *argument >= '0' && *argument <= '9' && !*end && !errno && *o->number;
}

void dio_again(const char *format, ...)
{
	size_t length = strlen(dio_results.again);
	va_list args;

	if (length && length + 1 < sizeof(dio_results.again))
		dio_results.again[length++] = ' ';
	va_start(args, format);
	vsnprintf(dio_results.again + length, sizeof(dio_results.again) - length, format, args);
	va_end(args);
}

static void options_read(int argc, char **argv, const struct dio_option *options)
{
	const struct dio_option *o;
	char letters[32] = "hlk:", *at = letters + 4;
	int letter;

	dio_again("./%s", program_invocation_short_name);
	for (o = options; o && o->letter; o++) {
		*at++ = o->letter;
		if (o->argument)
			*at++ = ':';
	}
	*at = '\0';
	while ((letter = getopt(argc, argv, letters)) != -1) {
		if (letter == 'h') {
			help(stdout, options);
			exit(0);
		}
		if (letter == 'l')
			dio_results.list = true;
		else if (letter == 'k')
			dio_results.pattern = optarg;
		if (letter == 'l' || letter == 'k')
			continue;
		for (o = options; o && o->letter && o->letter != letter; o++)
			;
		if (o && o->letter && option_take(o, optarg)) {
			/* One target's result does not need the others. */
			if (!o->take)
				dio_again(o->argument ? "-%c %s" : "-%c", letter, optarg);
			continue;
		}
		if (o && o->letter)
			fprintf(stderr, "%s: -%c does not take '%s'\n",
				program_invocation_short_name, letter, optarg);
		help(stderr, options);
		exit(1);
	}
	if (optind == argc)
		return;
	fprintf(stderr, "%s: '%s' is not understood\n", program_invocation_short_name,
		argv[optind]);
	help(stderr, options);
	exit(1);
}

void dio_skip_pins(const char *reason)
{
	no_pins_reason = reason;
}

/* The last result of all */
static void all_released(unsigned int no_pins)
{
	static const char name[] = "pins taken are released";

	if (dio_lists_one(name))
		return;
	if (no_pins_reason)
		dio_result_skip(name, no_pins_reason);
	else
		dio_result(name, dio_pins_problem(!no_pins && !dio_results.pattern));
}

static void all_cases(const struct dio_program *program)
{
	const struct dio_case last = { .run = all_released, .i = program->no_pins };

	program->cases();
	dio_prefix(NULL);
	if (running && program->end)
		program->end();
	dio_cases(&last, 1, NULL);
}

int dio_main(const struct dio_program *program, int argc, char **argv)
{
	options_read(argc, argv, program->options);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 0);
	if (program->defaults)
		program->defaults();
	dio_results.dry = true;
	if (dio_results.list) {
		all_cases(program);
		return !dio_results.nr;
	}
	dio_results_begin();
	dio_pins_start();
	if (program->start)
		program->start();
	all_cases(program);
	if (!dio_results.nr)
		dio_die("no result is named like '%s': -l lists them\n", dio_results.pattern);
	dio_results_plan(dio_results.nr);
	dio_results.nr = 0;
	dio_results.dry = false;
	running = true;
	all_cases(program);
	dio_results_end();
}
