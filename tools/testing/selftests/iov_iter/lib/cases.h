/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A program is a table of cases, and what is to be there for them.  The plan is counted
 * from the table, "-l" lists it, "-k PATTERN" runs a part of it.
 */
#ifndef IOV_ITER_LIB_CASES_H
#define IOV_ITER_LIB_CASES_H

#include <stdbool.h>
#include <stddef.h>

struct dio_target;

/**
 * struct dio_case - a row of the table
 * @name: of its result, which comes behind that of the target and dio_prefix()
 * @label: makes the name in place of @name
 * @test: does it, given @i: NULL, or what is wrong.  May return dio_skip().
 * @test_on: the same on a target
 * @run: in place of all above: names and reports its results itself
 * @run_on: the same on a target.  Given one whose @skip is set, it reports each of its
 *	results by dio_result_skip(), and does nothing else.
 * @i: what the functions are given
 * @nr: if it is not 0, the row is so many cases, whose numbers begin with @i
 *
 * A case with a @test or @test_on also fails if a pin is left, see dio_pins_problem().
 * @run begins with dio_lists() of all that it is to report.
 */
struct dio_case {
	const char *name;
	void (*label)(char *name, size_t size, unsigned int i);
	const char *(*test)(unsigned int i);
	const char *(*test_on)(struct dio_target *t, unsigned int i);
	void (*run)(unsigned int i);
	void (*run_on)(struct dio_target *t, unsigned int i);
	unsigned int i, nr;
};

/* What a test returns that finds that a precondition is missing */
const char *dio_skip(const char *reason);

/* Why nothing is said of pins at the end, or NULL */
void dio_skip_pins(const char *reason);

/* Is this only about which results there are?  Then these are counted. */
bool dio_lists(const char * const *names, unsigned int nr);
bool dio_lists_one(const char *name);

/* As dio_result(), and it fails if a pin is left */
void dio_report(const char *name, const char *problem);

/* Run the cases, or count their results.  @t is NULL, or an open target. */
void dio_cases(const struct dio_case *cases, unsigned int nr, struct dio_target *t);

/* Is one of their results wanted, on a target that need not be open? */
bool dio_cases_wanted(const struct dio_case *cases, unsigned int nr, struct dio_target *t);

/**
 * struct dio_option - what a program can be told, besides -h, -k and -l
 * @letter: of the option; 0 ends the list
 * @argument: its name in the help, NULL if it takes none
 * @help: what it does
 * @flag: set to true
 * @number: set to the argument, which is 1 at least
 * @take: called with the argument: false if that is not understood
 */
struct dio_option {
	char letter;
	const char *argument;
	const char *help;
	bool *flag;
	unsigned long long *number;
	bool (*take)(const char *argument);
};

/**
 * struct dio_program - what main() hands over
 * @options: may be NULL
 * @defaults: called after the options are read, and before anything else
 * @start: looks for what is missing, and skips the program; before the plan is printed
 * @cases: calls dio_cases() for all there is; called once to count, and once to run
 * @end: takes down what @start set up; before pins are looked at for the last time
 * @no_pins: it does not fail if no pin was taken at all
 */
struct dio_program {
	const struct dio_option *options;
	void (*defaults)(void);
	void (*start)(void);
	void (*cases)(void);
	void (*end)(void);
	bool no_pins;
};

/* Are the cases run now, and not just counted? */
bool dio_running(void);

/* Have the command that repeats a result contain this, as "-s 7" */
void dio_again(const char *format, ...);

int dio_main(const struct dio_program *program, int argc, char **argv);

#endif /* IOV_ITER_LIB_CASES_H */
