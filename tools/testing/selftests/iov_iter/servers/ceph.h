/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A Ceph cluster of this machine alone: one monitor, one object store on the scratch
 * disk, one metadata server.  What fails reports it and ends the test.
 */
#ifndef IOV_ITER_SERVERS_CEPH_H
#define IOV_ITER_SERVERS_CEPH_H

#include <stdbool.h>

/* How long anything may take that a daemon starts for: emulated, some take a minute */
#define DIO_CEPH_SECONDS	600

#define DIO_CEPH_PORT_V1	6789
#define DIO_CEPH_PORT_V2	3300

/* Needs dio_disk_init().  Returns why there is none, or NULL. */
const char *dio_ceph_start(void);
void dio_ceph_stop(void);

/* Mount the file system by a version of the protocol, 1 or 2; once it serves. */
void dio_ceph_mount(const char *dir, unsigned int version);

/* Stop the object store, and let it go on: what is asked of it stays in flight. */
void dio_ceph_hold(bool hold);

/* End the object store as a crash does, then start it anew on what it has stored. */
void dio_ceph_restart(void);

/* How many requests to the object store are in flight */
unsigned int dio_ceph_held(void);

#endif /* IOV_ITER_SERVERS_CEPH_H */
