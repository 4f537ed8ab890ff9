/* SPDX-License-Identifier: GPL-2.0 */
/*
 * gcm(aes) by pcrypt, which is asynchronous: what is asked of it is done, and its end is
 * told, by kernel threads.
 */
#ifndef IOV_ITER_LIB_PCRYPT_H
#define IOV_ITER_LIB_PCRYPT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Have it, its work done on one CPU: from here on, until the machine is booted again, it
 * is also what whoever asks for gcm(aes) gets.  Returns why there is none, or NULL.  It
 * is looked for once.
 */
const char *dio_pcrypt_start(void);

/* The name that it is asked for by, and how many do so: users of the kernel's count */
const char *dio_pcrypt_name(void);
int dio_pcrypt_users(void);

/* Between these two, whatever is asked of it is not begun. */
void dio_pcrypt_hold(void);
void dio_pcrypt_release(void);

/* Wait until a thread of this process waits for what it has asked for; false: it does not */
bool dio_pcrypt_wait_held(const pid_t *tid);

/*
 * A file of ext4 on the scratch disk, mapped shared: @length bytes, there and clean.
 * Needs dio_disk_init().  open() returns why there is none, or NULL.
 */
const char *dio_pcrypt_file_open(size_t length, unsigned char **mem);
/* Write back what is dirty of it, data only: why some still is, or NULL */
const char *dio_pcrypt_file_write_back(void);
/* Write all back, unmap it, and read into @buf what the disk has. */
void dio_pcrypt_file_close(unsigned char *buf);

#endif /* IOV_ITER_LIB_PCRYPT_H */
