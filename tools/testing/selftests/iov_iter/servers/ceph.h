/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A Ceph cluster of this machine alone: one monitor, one object store on the scratch
 * disk, one metadata server.  As servers it is "ceph", by version 1 of the protocol, and
 * "ceph2", by version 2; the cluster is the same, so only one of them is started.
 * They need dio_disk_init(), not a directory.  If the start fails, the test ends.
 */
#ifndef IOV_ITER_SERVERS_CEPH_H
#define IOV_ITER_SERVERS_CEPH_H

/* How long anything may take that a daemon starts for: emulated, some take a minute */
#define DIO_CEPH_SECONDS	600

#define DIO_CEPH_PORT_V1	6789
#define DIO_CEPH_PORT_V2	3300

/* How many requests to the object store are in flight */
unsigned int dio_ceph_held(void);

#endif /* IOV_ITER_SERVERS_CEPH_H */
