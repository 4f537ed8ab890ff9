/* SPDX-License-Identifier: GPL-2.0 */
/* The scratch disk, and what holds reads in flight */
#ifndef IOV_ITER_LIB_DISK_H
#define IOV_ITER_LIB_DISK_H

#include <stdbool.h>

extern unsigned int dio_block_size;	/* logical block of the scratch disk */

/*
 * Find the scratch disk: the environment variable IOV_ITER_DISK, whose contents
 * are destroyed, or a ram disk.  Skips the whole test, with the reason, when
 * there is none.  Call before a plan is printed.  Pins are counted from here on.
 */
void dio_disk_init(void);
const char *dio_disk_path(void);
unsigned long long dio_disk_sectors(void);

/*
 * Put a device of the device mapper over @device, of @sectors, which holds reads:
 * dm-delay.  That does not do zoned devices: with @suspends it is a linear device,
 * which keeps what is submitted while it is suspended.
 */
int dio_delay_open(const char *device, unsigned long long sectors, bool suspends);
/* Pass on what is held. */
void dio_delay_release(void);
void dio_delay_close(void);
const char *dio_delay_path(void);
/* Is there one? */
bool dio_delay_there(void);

/**
 * struct dio_holder - what holds reads in place of that device
 * @hold: start to hold, or release
 * @held: number of reads held now
 * @before: called before reads are held by the device, if @hold is NULL
 */
struct dio_holder {
	void (*hold)(bool hold);
	unsigned int (*held)(void);
	void (*before)(void);
};

/* NULL: the device does it. */
void dio_hold_by(const struct dio_holder *holder);

/*
 * Between these two, reads submitted to the target stay in flight: the device
 * below it keeps them until release() makes it pass them on.
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

/* Of what is on the delay device, fail reads of these @nr sectors; 0: of none. */
void dio_break_reads(unsigned long long first, unsigned long long nr);

#endif /* IOV_ITER_LIB_DISK_H */
