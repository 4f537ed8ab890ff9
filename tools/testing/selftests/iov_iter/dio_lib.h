/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the direct I/O tests share: a block device whose reads can be held in
 * flight, file systems on it, results and the counters of pins.
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

enum dio_target_id {
	DIO_RAW,
	DIO_EXT4,
	DIO_XFS,
	DIO_NR_TARGETS,
};

/**
 * struct dio_target - what I/O is done to: the block device, or a file on it
 * @name: as it appears in the names of results
 * @path: of the device or the file
 * @dir: mount point; empty for the block device
 * @fd: @path, opened O_RDWR | O_DIRECT
 * @skip: why the target is not available, or NULL if it is
 */
struct dio_target {
	const char *name;
	char path[80];
	char dir[64];
	int fd;
	const char *skip;
};

extern size_t dio_page_size;
extern unsigned int dio_block_size;	/* logical block of the disk */

/*
 * Find the scratch disk (environment variable IOV_ITER_DISK, whose contents are
 * destroyed, or a ram disk) and put a dm-delay device over it.  Skips the whole
 * test, with the reason, when there is none.  Call before a plan is printed.
 */
void dio_disk_init(void);

/*
 * Between these two, reads submitted to the device stay in flight: dm-delay
 * keeps them until release() makes it pass them on.  Writes are never held.
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

/*
 * Make the file system, mount it and write a test file of DIO_FILE_SIZE bytes.
 * One target is open at a time.  Look at @skip afterwards.
 */
void dio_target_open(struct dio_target *t, enum dio_target_id id);
void dio_target_close(struct dio_target *t);

/* A byte of the test file as dio_target_open() wrote it: below 0x80. */
static inline unsigned char dio_pattern(off_t pos)
{
	return (pos + (pos >> 9) * 7 + (pos >> 16) * 3) & 0x7f;
}

/* Memory of @size bytes, aligned to @align; huge pages are avoided or asked for. */
void *dio_map(size_t size, size_t align, bool huge);
/* Whether huge pages back the memory at @addr. */
bool dio_is_huge(const void *addr);

void dio_full_pread(int fd, void *buf, size_t len, off_t pos);
void dio_full_pwrite(int fd, const void *buf, size_t len, off_t pos);

/* Time left until DIO_DEADLINE_SECONDS after @start, in milliseconds. */
unsigned long long dio_now_ms(void);
int dio_ms_left(unsigned long long start);

/* Print "Bail out! " and the message, and end the test as failed. */
noreturn void dio_die(const char *format, ...);

/*
 * Why the pins are not as they should be, or NULL: as many as were taken since
 * dio_disk_init() are released and, with @must_grow, some were taken.
 */
const char *dio_pins_problem(bool must_grow);

/* How many pins were taken since the kernel was booted */
unsigned long long dio_pins_acquired(void);

/*
 * Results.  Inline, because kselftest.h keeps its counters in each file.
 * The name of a skipped result comes first, so that it stays what it always is.
 */
static inline void dio_result_skip(const char *name, const char *reason)
{
	ksft_inc_xskip_cnt();
	printf("ok %u %s # SKIP %s\n", ksft_test_num(), name, reason);
}

/* @problem: what is wrong, or NULL if nothing is */
static inline void dio_result(const char *name, const char *problem)
{
	if (problem)
		ksft_test_result_fail("%s # %s\n", name, problem);
	else
		ksft_test_result_pass("%s\n", name);
}

#endif /* IOV_ITER_DIO_LIB_H */
