/* SPDX-License-Identifier: GPL-2.0 */
/* Programs, small files of the kernel, and processes */
#ifndef IOV_ITER_LIB_SYSTEM_H
#define IOV_ITER_LIB_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Write to a file of sysfs, procfs or configfs: 0 or a negative errno. */
int dio_write_file(const char *value, const char *format, ...);

/* The start of such a file, as a string: 0 or a negative errno. */
int dio_read_file(char *value, size_t size, const char *path);

/* Run a program, its output discarded: its status, 127 if it is not there, or -1. */
int dio_run(const char * const argv[]);

/* Load a module of the kernel, if it is one. */
void dio_modprobe(const char *module);

/*
 * Does the direct I/O of SMB and 9p go through netfs of the kernel?  It does since 6.9: a
 * request is pinned as a whole, and one that fails in part returns its error.
 */
bool dio_by_netfs(void);

/* Does somebody listen on this TCP port of 127.0.0.1? */
bool dio_port_answers(unsigned short port);

/* Has the thread gone to sleep, not to be woken but by a fatal signal, and not ended? */
bool dio_waits(pid_t pid, pid_t tid);

/* Kill a child and wait for its end: false if it does not end. */
bool dio_dies(pid_t pid);

#endif /* IOV_ITER_LIB_SYSTEM_H */
