/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Results, in TAP.  A check that fails, a set-up that fails and a precondition that is
 * missing are three things: "not ok NAME # problem", "not ok NAME # set-up: problem" (or
 * "Bail out!"), and "ok NAME # SKIP reason".
 *
 * The functions of lib/ and servers/ that return nothing report a failed set-up
 * themselves and end the program.
 */
#ifndef IOV_ITER_LIB_RESULT_H
#define IOV_ITER_LIB_RESULT_H

#include <stdbool.h>
#include <stdnoreturn.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#endif

/*
 * Longest wait for anything that must happen.  It only bounds how long a
 * broken kernel keeps the test waiting: no result depends on it.
 */
#define DIO_DEADLINE_SECONDS	30

/* Time, and what is left until DIO_DEADLINE_SECONDS after @start, in milliseconds */
unsigned long long dio_now_ms(void);
int dio_ms_left(unsigned long long start);
/* Has this limit run out?  Yields if not. */
bool dio_expired(unsigned long long start);

/* Print "Bail out! " and the message, and end the program as failed. */
noreturn void dio_die(const char *format, ...);
/* Skip the whole program; before a plan is printed. */
noreturn void dio_skip_all(const char *format, ...);
/* Print a comment. */
void dio_print(const char *format, ...);

/*
 * Why something is not as it should be, as a string that stays until eight others
 * were made.
 */
const char *dio_because(const char *format, ...);
/*
 * Returns NULL if @n is @want, otherwise a description of the mismatch.  Failures are
 * negative errnos.  dio_count() takes the result of a call that has set errno.
 */
const char *dio_not_result(long n, long want);
const char *dio_count(long n, long want);

/**
 * struct dio_results - which results are wanted, and how to have one again
 * @pattern: only those whose names match this, as of fnmatch(); NULL for all
 * @dry: nothing is done: results are counted, and their names printed if @list is set
 * @list: see @dry
 * @nr: how many wanted results there were since this was set to 0
 * @again: the program and its options, for the command that repeats a result
 */
struct dio_results {
	const char *pattern;
	bool dry, list;
	unsigned int nr;
	char again[256];
};

extern struct dio_results dio_results;

/* What comes before the name of each result from here on, and a blank; NULL: nothing */
void dio_prefix(const char *prefix);

/* A result: @problem is what is wrong, or NULL if nothing is. */
void dio_result(const char *name, const char *problem);
void dio_result_skip(const char *name, const char *reason);

/* The first and the last lines of the program.  The end tells by the exit status. */
void dio_results_begin(void);
void dio_results_plan(unsigned int nr);
noreturn void dio_results_end(void);

#endif /* IOV_ITER_LIB_RESULT_H */
