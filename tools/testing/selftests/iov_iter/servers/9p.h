/* SPDX-License-Identifier: GPL-2.0 */
/*
 * 9p, whose server is the host: QEMU has a directory for it, once as it is, with the
 * tag iov_iter, and once behind a limit of bytes per second, with the tag iov_iter_slow.
 * A read that takes all that the limit allows for some seconds holds whatever comes
 * next in flight.
 *
 *	-fsdev local,id=fast,path=DIR,security_model=none
 *	-device virtio-9p-pci,fsdev=fast,mount_tag=iov_iter
 *	-fsdev local,id=slow,path=DIR,security_model=none,throttling.bps-total=24576
 *	-device virtio-9p-pci,fsdev=slow,mount_tag=iov_iter_slow
 */
#ifndef IOV_ITER_SERVERS_9P_H
#define IOV_ITER_SERVERS_9P_H

#include <stdbool.h>

#define DIO_9P_MSIZE	512000		/* the largest of virtio */
#define DIO_9P_REQUEST	507904UL	/* of that, what QEMU takes: whole blocks */
#define DIO_9P_SECONDS	600		/* for what the limit lets through */

/**
 * struct dio_9p - a directory of the host, and two files in it
 * @tag: by which QEMU exports it
 * @dir: where it is mounted
 * @fd: the file, by O_DIRECT
 * @small: the small file, by O_DIRECT
 * @mounted: it is
 */
struct dio_9p {
	const char *tag;
	char dir[32];
	int fd, small;
	bool mounted;
};

extern struct dio_9p dio_9p_fast, dio_9p_slow;

/* Mount both without a cache.  Returns why that cannot be, or NULL. */
const char *dio_9p_start(void);
void dio_9p_stop(void);

/* Mount one, with this kind of cache.  Returns 0, or a negative errno. */
int dio_9p_mount(struct dio_9p *s, const char *cache);
/* Returns why it stays mounted, or NULL. */
const char *dio_9p_umount(struct dio_9p *s);

/* Open a file for reading and writing, and make it if there is none. */
int dio_9p_open(const struct dio_9p *s, const char *name, int flags);

/* Use up what the limit allows: the slow one answers what comes next in some seconds. */
void dio_9p_hold(void);
/* Wait until the slow one holds nothing. */
void dio_9p_drain(void);
/*
 * Whether a test is to be done again, as @why says that it was not held for long
 * enough: it is held for twice as long then.
 */
bool dio_9p_held_too_short(const char *why);

#endif /* IOV_ITER_SERVERS_9P_H */
