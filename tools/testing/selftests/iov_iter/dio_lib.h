/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the direct I/O tests share: block devices whose reads can be held in
 * flight and file systems on them (dio_disk.c), servers that export those
 * (dio_net.c, dio_smb.c), results, memory and the counters of pins (dio_lib.c).
 *
 * Every function that returns nothing reports a failed set-up itself and ends
 * the test; whatever it had set up is taken down on exit.
 */
#ifndef IOV_ITER_DIO_LIB_H
#define IOV_ITER_DIO_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdnoreturn.h>
#include <sys/types.h>

#include "../kselftest.h"

/*
 * Longest wait for anything that must happen.  It only bounds how long a
 * broken kernel keeps the test waiting: no result depends on it.
 */
#define DIO_DEADLINE_SECONDS	30

#define DIO_MIB			(1024UL * 1024)

/* All I/O of the tests falls on the first DIO_FILE_SIZE bytes of a target. */
#define DIO_FILE_SIZE		(4 * DIO_MIB)

/* Who has the file system that a target is a file of */
enum dio_server {
	DIO_LOCAL,
	DIO_NFS3,
	DIO_NFS4,
	/* from here on SMB */
	DIO_SMB,
	DIO_KSMBD,
};

/**
 * struct dio_target - what I/O is done to: a block device, or a file on it
 * @name: as it appears in the names of results
 * @path: of the device or the file
 * @dir: mount point; empty for a block device
 * @fd: @path, opened O_RDWR | O_DIRECT
 * @block: what positions, lengths and addresses must be multiples of, in bytes
 * @size: of the device or file system, in bytes
 * @holdable: dio_hold() keeps reads in flight
 * @held_as_whole: it keeps writes in flight, too
 * @append: can only be written at its end (a sequential zone)
 * @buffered_writes: the file system reads directly, but does not write so
 * @copies_from: a write of memory that can't be pinned goes through the page cache
 * @copies_to: a read into such memory does
 * @zeroes: a write from unmapped memory leaves zeros in the rest of its blocks
 * @server: from which @dir is mounted
 * @server_path: where the server has what is at @path, if there is one
 * @io_size: how much the client asks of a server at a time; 0 for what it likes
 * @skip: why the target is not available, or NULL if it is
 */
struct dio_target {
	const char *name;
	char path[80];
	char dir[64];
	int fd;
	unsigned int block;
	unsigned long long size;
	bool holdable;
	bool held_as_whole;
	bool append;
	bool buffered_writes;
	bool copies_from;
	bool copies_to;
	bool zeroes;
	enum dio_server server;
	char server_path[80];
	unsigned int io_size;
	const char *skip;
};

extern size_t dio_page_size;
extern unsigned int dio_block_size;	/* logical block of the scratch disk */

/*
 * Find the scratch disk: the environment variable IOV_ITER_DISK, whose contents
 * are destroyed, or a ram disk.  Skips the whole test, with the reason, when
 * there is none.  Call before a plan is printed.
 */
void dio_disk_init(void);
const char *dio_disk_path(void);

/*
 * The targets, by number: 0 is the scratch disk itself.  @name and @block are
 * known before a target is opened; one is open at a time.
 */
unsigned int dio_nr_targets(void);
const char *dio_target_name(unsigned int id);
bool dio_target_is_network(unsigned int id);
unsigned int dio_target_block(unsigned int id);

/* From here on file systems of servers are targets, too; "-t" names them anyway. */
void dio_target_network(void);

/* Option "-t NAME[,NAME...]": only these targets count from then on.  False: unknown. */
bool dio_target_select(const char *names);

/*
 * Set the device up, make the file system, mount it and write a test file of
 * DIO_FILE_SIZE bytes.  Look at @skip afterwards.
 */
void dio_target_open(struct dio_target *t, unsigned int id);
void dio_target_close(struct dio_target *t);

/*
 * Between these two, reads submitted to the target stay in flight: the device
 * below it keeps them until release() makes it pass them on.  A server's cache of
 * the target is emptied, for its reads to get there.
 */
void dio_hold(void);
void dio_release(void);

/* Number of reads held now. */
unsigned int dio_held(void);

/*
 * Wait until at least one read is held and nobody else in this process runs,
 * hence nobody still submits.  False if that did not come about.
 */
bool dio_wait_held(void);

/**
 * struct dio_daemon - who serves a target that is no block device
 * @open: start, and set the directory of the target; why it cannot be, or NULL
 * @close: end; the target is unmounted
 * @hold: as dio_hold() and dio_release(); NULL if nothing can be held
 * @held: as dio_held()
 */
struct dio_daemon {
	const char *(*open)(struct dio_target *t);
	void (*close)(void);
	void (*hold)(bool hold);
	unsigned int (*held)(void);
};

/* A device of the device mapper, and a line of its table */
struct dio_dm {
	char name[32];
	char path[32];
	bool created;
};

struct dio_dm_line {
	const char *type;
	unsigned long long sectors;
	char params[400];
};

/* These return 0 or a negative errno.  load() swaps tables while I/O is in flight. */
int dio_dm_create(struct dio_dm *dm, const char *suffix);
int dio_dm_load(struct dio_dm *dm, const struct dio_dm_line *lines, unsigned int nr);
int dio_dm_remove(struct dio_dm *dm);

/*
 * A loop device that reads and writes the file @fd directly: its fd in @loop and its
 * path in @device, of 64 bytes.  @block is that of the device, 0 for the default.
 * Returns why there is none, or NULL.
 */
const char *dio_loop_attach(int fd, unsigned int block, int *loop, char *device);
void dio_loop_detach(int *loop);

/* Put a dm-delay device over @device, of @sectors: what dio_hold() holds. */
int dio_delay_open(const char *device, unsigned long long sectors);
void dio_delay_close(void);
const char *dio_delay_path(void);

/* Of what is on the delay device, fail reads of these @nr sectors; 0: of none. */
void dio_break_reads(unsigned long long first, unsigned long long nr);

/*
 * A server in this machine that exports the directory @dir, and its file system,
 * mounted at @dir.  These two return why there is none, or NULL.
 */
const char *dio_server_start(enum dio_server kind, const char *dir);
const char *dio_server_mount(char *dir, unsigned int io_size);
void dio_server_stop(void);

/*
 * Have so many threads serve, where that can be told.  With 0 the server ends, NFS
 * when what its threads are at is done, and is to be started anew with
 * dio_server_run(); its clients come back to it then.
 */
void dio_server_threads(unsigned int nr);
void dio_server_run(void);

/*
 * A thread of the NFS server keeps pages that it has sent until it sends others.
 * Have them all let go of what they have of the file system at @dir.
 */
void dio_server_let_go(const char *dir);

/* How many calls of a procedure, READ or WRITE, the client at @dir has made */
unsigned long long dio_client_calls(const char *dir, const char *procedure);

/* Does somebody listen on this TCP port of 127.0.0.1? */
bool dio_port_answers(unsigned short port);

/* The same for SMB, by which the functions above do it; pause is for smbd only. */
#define DIO_SMB_PORT	445

const char *dio_smb_start(enum dio_server kind, const char *dir);
void dio_smb_stop(void);
void dio_smb_run(void);
void dio_smb_end(void);
void dio_smb_pause(bool pause);
int dio_smb_mount(const char *dir, unsigned int io_size);
unsigned long long dio_smb_calls(const char *what);

/* Size of a block device in sectors of 512 bytes, and its logical block */
int dio_device_size(const char *path, unsigned long long *sectors, unsigned int *block);

/**
 * struct dio_option - what a program can be told, besides -h
 * @letter: of the option; 0 ends the list
 * @argument: its name in the help, NULL if it takes none
 * @help: what it does
 * @flag: set to true
 * @number: set to the argument, which is 1 at least
 *
 * With neither @flag nor @number it is a list of targets.
 */
struct dio_option {
	char letter;
	const char *argument;
	const char *help;
	bool *flag;
	unsigned long long *number;
};

#define DIO_OPTION_TARGETS	\
	{ 't', "TARGET[,TARGET...]", "only these targets: raw, ext4, xfs, ..." }

/* Read the command line.  Does not return for -h, or if it is not understood. */
void dio_options(int argc, char **argv, const struct dio_option *options);

/* Write to a file of sysfs, procfs or configfs: 0 or a negative errno. */
int dio_write_file(const char *value, const char *format, ...);

/* The start of such a file, as a string: 0 or a negative errno. */
int dio_read_file(char *value, size_t size, const char *path);

/* Run a program, its output discarded: its status, 127 if it is not there, or -1. */
int dio_run(const char * const argv[]);

/* A byte of the test file as dio_target_open() wrote it: below 0x80. */
static inline unsigned char dio_pattern(off_t pos)
{
	return (pos + (pos >> 9) * 7 + (pos >> 16) * 3) & 0x7f;
}

/* What memory has that nothing was read into: never a dio_pattern() */
#define DIO_UNTOUCHED	0xa5

/* What a file is to hold from @pos on; another @kind differs everywhere. */
void dio_fill(unsigned char *buf, size_t len, off_t pos, unsigned int kind);
/* Why this is not so, why not all of it is DIO_UNTOUCHED, why @n is not @want, or NULL */
const char *dio_compare(const unsigned char *buf, size_t len, off_t pos, unsigned int kind);
const char *dio_unchanged(const unsigned char *buf, size_t len, const char *where);
const char *dio_count(ssize_t n, ssize_t want);

/* The same sequence for the same seed everywhere, unlike random() */
void dio_random_seed(unsigned long long seed);
unsigned long long dio_random(void);
size_t dio_below(size_t n);

/* Memory of @size bytes, aligned to @align; huge pages are avoided or asked for. */
void *dio_map(size_t size, size_t align, bool huge);
/* Whether huge pages back the memory at @addr. */
bool dio_is_huge(const void *addr);

/*
 * Shared memory of @size bytes that is mapped writable, is zero, and is clean until
 * somebody stores to it, or marks it dirty because he wrote to it in another way.
 */
void *dio_map_clean(size_t size);
/* How many bytes of it are dirty */
size_t dio_dirty(const void *mem);
/*
 * Why not @want bytes of it are dirty, or NULL.  Waits for as many to become so:
 * a read may return before the last of those who hold its pages lets go of them.
 */
const char *dio_dirty_problem(const void *mem, size_t want);
/* The same of a pread() or pwrite() of such memory, at the start of a file */
const char *dio_dirty_io(int fd, bool write);
/*
 * The same of a pread() into a huge page of shared memory.  It must be there still when
 * all that is clean is taken away.  False: there are no such pages, and @why.
 */
bool dio_dirty_huge_io(int fd, const char **why);

void dio_full_pread(int fd, void *buf, size_t len, off_t pos);
void dio_full_pwrite(int fd, const void *buf, size_t len, off_t pos);

/* Time left until DIO_DEADLINE_SECONDS after @start, in milliseconds. */
unsigned long long dio_now_ms(void);
int dio_ms_left(unsigned long long start);

/* Print "Bail out! " and the message, and end the test as failed. */
noreturn void dio_die(const char *format, ...);

/* Has a limit of time run out that no result depends on?  Yields if not. */
bool dio_expired(unsigned long long start);

/*
 * Why the pins are not as they should be, or NULL: as many as were taken since
 * dio_disk_init() are released and, with @must_grow, some were taken.
 */
const char *dio_pins_problem(bool must_grow);

/* A line of /proc/vmstat, exact; ULLONG_MAX if there is none */
unsigned long long dio_vmstat(const char *name);

/* From here on dio_pins_problem() counts; dio_disk_init() does this. */
void dio_pins_start(void);

/* How many pins were taken since the kernel was booted */
unsigned long long dio_pins_acquired(void);

/*
 * Results.  Inline, because kselftest.h keeps its counters in each file.  Each
 * tells how long it took since the one before, for slow ones to be found.
 * The name of a skipped result comes first, so that it stays what it always is.
 */
unsigned long long dio_lap_ms(void);

static inline void dio_result_skip(const char *name, const char *reason)
{
	dio_lap_ms();
	ksft_inc_xskip_cnt();
	printf("ok %u %s # SKIP %s\n", ksft_test_num(), name, reason);
}

/* @problem: what is wrong, or NULL if nothing is */
static inline void dio_result(const char *name, const char *problem)
{
	unsigned long long ms = dio_lap_ms();

	if (problem)
		ksft_test_result_fail("%s # %s (%llu ms)\n", name, problem, ms);
	else
		ksft_test_result_pass("%s # %llu ms\n", name, ms);
}

#endif /* IOV_ITER_DIO_LIB_H */
