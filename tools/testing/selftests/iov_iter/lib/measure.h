/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls for ci/bench/paths to count.  The guest is QEMU with a plugin, which sees where
 * calls begin and end, and how many instructions are between.
 */
#ifndef IOV_ITER_LIB_MEASURE_H
#define IOV_ITER_LIB_MEASURE_H

#include <stdbool.h>
#include <stddef.h>

/* Set by the option: a program does this in place of its tests, and ends. */
extern bool dio_measuring;

#define DIO_OPTION_MEASURE	\
	{ 'c', NULL, "test nothing: mark calls for ci/bench/paths to count", \
	  .flag = &dio_measuring }

/*
 * A round is one call: the server is no part of this machine.  The lowest has its answer
 * before it has to wait, which of several calls only some have.
 */
extern bool dio_measure_singly;

/* As much as a call moves at the most */
#define DIO_MEASURE_MAX		(1024UL * 1024)

/*
 * Let threads of the kernel run as soon as they are woken, and never wait for this process
 * or its children, which do not interrupt each other.  Otherwise it is the time that they
 * had before that decides, and so how often a call has the scheduler switch.
 */
void dio_measure_in_order(void);

/*
 * Have calls counted, of each size.  @call moves so many bytes, from the memory if it
 * writes, and ends the program if it can't.  The memory is touched, and of small pages.
 */
void dio_measure(const char *path, bool write,
		 void (*call)(unsigned char *memory, size_t bytes, bool write));
/* Print what was counted: nothing is printed before. */
void dio_measured(void);

#endif /* IOV_ITER_LIB_MEASURE_H */
