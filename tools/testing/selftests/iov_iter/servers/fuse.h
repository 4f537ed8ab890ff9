/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A FUSE server in a process of its own (libfuse 3, low level): files in memory,
 * read and written with FOPEN_DIRECT_IO if they are opened with O_DIRECT.  What
 * it is to do is told through memory that it shares with the test.
 */
#ifndef IOV_ITER_SERVERS_FUSE_H
#define IOV_ITER_SERVERS_FUSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Where the server receives requests, and answers reads from */
enum dio_fuse_memory {
	DIO_FUSE_GOOD,
	DIO_FUSE_READ_ONLY,	/* pages without PROT_WRITE */
	DIO_FUSE_ENDS,		/* all but the first page is unmapped */
	DIO_FUSE_CLEAN,		/* by dio_map_clean(); to receive only */
};

/**
 * struct dio_fuse - what the test and the server share
 * @hold: reads and writes are not answered until dio_fuse_release()
 * @held: so many wait for that
 * @interrupted: so many of these were interrupted
 * @error: answer with this errno ...
 * @error_after: ... from the read or write after so many on, counted from here
 * @receive: memory for the next requests, of enum dio_fuse_memory
 * @answer: memory for the next answers to reads, of the same
 * @dirty: bytes of DIO_FUSE_CLEAN that are dirty after such a request
 * @failed: errno of the last request or answer that did not get through
 * @null: answer reads with whatever is in memory, and forget writes
 * @splice: move requests and answers through pipes; before dio_fuse_open()
 * @server: the process
 * @dir: where it is mounted
 */
struct dio_fuse {
	atomic_bool hold;
	atomic_uint held;
	atomic_uint interrupted;
	atomic_int error;
	atomic_uint error_after;
	atomic_int receive, answer;
	atomic_size_t dirty;
	atomic_int failed;
	bool null;
	bool splice;
	pid_t server;
	char dir[64];
};

extern struct dio_fuse *dio_fuse;

/* Start the server and mount it on a new directory: NULL, or why it cannot be. */
const char *dio_fuse_open(bool splice);
/* Answer what is held, and hold nothing from then on. */
void dio_fuse_release(void);
/* Answer what is held with EINTR. */
void dio_fuse_interrupt(void);
/* End the server, or what is left of it, and unmount. */
void dio_fuse_close(void);

#endif /* IOV_ITER_SERVERS_FUSE_H */
