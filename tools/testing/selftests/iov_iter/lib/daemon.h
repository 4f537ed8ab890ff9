/* SPDX-License-Identifier: GPL-2.0 */
/* Servers that targets are had from */
#ifndef IOV_ITER_LIB_DAEMON_H
#define IOV_ITER_LIB_DAEMON_H

#include <stdbool.h>

#include "disk.h"

struct dio_target;

/* What a server may do that no honest one does */
enum dio_lie {
	DIO_ANSWERS_MORE,	/* than was asked for: each read */
	DIO_ANSWERS_EARLY,	/* a large write, once, before it has read the data */
};

/**
 * struct dio_liar - a server that does what no honest one does
 * @mount: as that of struct dio_daemon, with all that @lie does
 * @answered: has a write been answered early, and is its data not read yet?
 * @read_on: read that data
 * @stop: end; what it exports is unmounted
 */
struct dio_liar {
	int (*mount)(const char *dir, enum dio_lie lie);
	bool (*answered)(void);
	void (*read_on)(void);
	void (*stop)(void);
};

/**
 * struct dio_daemon - a server in this machine, for the targets that name it
 * @name: by which they do
 * @open: start, and set the directory of the target; why it cannot be, or NULL
 * @close: end; the target is unmounted
 * @holder: of a server with @open: as dio_hold() and so on
 * @start: in place of @open: export this directory; why it cannot be, or NULL
 * @stop: end that
 * @mount: what it exports at @dir, by so many bytes at a time, or 0: 0, or -1 and errno
 * @run: serve again after @threads has ended it
 * @threads: have so many threads serve, where that can be told.  With 0 the server ends,
 *	NFS when what its threads are at is done; its clients come back to the next one.
 * @let_go: have all threads let go of what they keep of the file system at @dir
 * @calls: how many calls of a procedure, READ or WRITE, the client at @dir has made
 * @pause: stop all of its processes, or let them go on; NULL if that cannot be
 * @liar: the same server, but one that lies; NULL if there is none
 * @port: on which it listens
 * @bad_block: the errno by which its client tells that the disk cannot be read
 * @commits: its client sends anew what the server had not committed before it ended
 * @next: of all that are linked
 *
 * A server adds itself by dio_daemon_add() before main(): a program has those that it
 * is linked with.
 */
struct dio_daemon {
	const char *name;
	const char *(*open)(struct dio_target *t);
	void (*close)(void);
	struct dio_holder holder;

	const char *(*start)(const char *dir);
	void (*stop)(void);
	int (*mount)(const char *dir, unsigned int io_size);
	void (*run)(void);
	void (*threads)(unsigned int nr);
	void (*let_go)(const char *dir);
	unsigned long long (*calls)(const char *dir, const char *procedure);
	void (*pause)(bool pause);
	const struct dio_liar *liar;
	unsigned short port;
	int bad_block;
	bool commits;
	struct dio_daemon *next;
};

void dio_daemon_add(struct dio_daemon *daemon);
/* NULL if the program is not linked with it */
const struct dio_daemon *dio_daemon_named(const char *name);

#endif /* IOV_ITER_LIB_DAEMON_H */
