/* SPDX-License-Identifier: GPL-2.0 */
/* The counters of pins */
#ifndef IOV_ITER_LIB_PINS_H
#define IOV_ITER_LIB_PINS_H

#include <stdbool.h>

/* A line of /proc/vmstat, exact; ULLONG_MAX if there is none */
unsigned long long dio_vmstat(const char *name);

/* From here on dio_pins_problem() counts. */
void dio_pins_start(void);

/* How many pins were taken since the kernel was booted, and how many there are now */
unsigned long long dio_pins_acquired(void);
unsigned long long dio_pins_held(void);

/*
 * Returns NULL if as many pins are released as were taken since dio_pins_start() and,
 * with @must_grow, some were taken; otherwise a description of the mismatch.
 */
const char *dio_pins_problem(bool must_grow);

/* The same of one call: @want pins were taken since dio_pins_acquired() was @before. */
const char *dio_pins_taken(unsigned long long before, unsigned long long want);

#endif /* IOV_ITER_LIB_PINS_H */
