// SPDX-License-Identifier: GPL-2.0
/*
 * Mark direct I/O over servers for ci/bench/paths to count: client and server are one
 * machine with one CPU, so what is counted is of both.
 *
 *	dio_paths [PATH...]
 *
 * A server of NFS or SMB exports a directory of /tmp, which is memory.  The server of
 * FUSE moves no data, the one of 9p is QEMU, which is not counted.  dio_alg, dio_tls,
 * dio_ublk and dio_vhost mark their own calls: "-c".
 *
 * Each path is in a process of its own.  A line is: cell PATH BYTES DIRECTION ROUNDS CALLS,
 * or, for a path that can't be counted: no PATH.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "lib/daemon.h"
#include "lib/measure.h"
#include "lib/memory.h"
#include "lib/result.h"
#include "lib/target.h"

static const char * const paths[] = { "nfs3", "nfs4", "smb", "fuse-null", "9p" };
static int fd;

static void call(unsigned char *memory, size_t bytes, bool write)
{
	if (write)
		dio_full_pwrite(fd, memory, bytes, 0);
	else
		dio_full_pread(fd, memory, bytes, 0);
}

static void measure_file(const char *path, const char *dir)
{
	unsigned char *memory = dio_map(DIO_MEASURE_MAX, dio_page_size, false);
	char name[80];

	snprintf(name, sizeof(name), "%s/measured", dir);
	fd = open(name, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0)
		dio_die("%s: %s\n", name, strerror(errno));
	dio_full_pwrite(fd, memory, DIO_MEASURE_MAX, 0);
	dio_measure(path, false, call);
	dio_measure(path, true, call);
	close(fd);
}

/* A server that has its file system itself */
static const char *measure_own(const char *path, const struct dio_daemon *daemon)
{
	struct dio_target t = { .name = path };
	const char *skip = daemon->open(&t);

	if (skip)
		return skip;
	measure_file(path, t.dir);
	daemon->close();
	return NULL;
}

static const char *measure_export(const char *path, const struct dio_daemon *daemon)
{
	char exported[] = "/tmp/iov_iter.export.XXXXXX", dir[] = "/tmp/iov_iter.XXXXXX";
	const char *skip;

	if (!mkdtemp(exported) || !mkdtemp(dir))
		dio_die("/tmp: %s\n", strerror(errno));
	skip = daemon->start(exported);
	if (skip)
		return skip;
	if (daemon->mount(dir, 0))
		dio_die("mount of %s: %s\n", path, strerror(errno));
	/* Which of several threads serves would differ from call to call. */
	daemon->threads(1);
	measure_file(path, dir);
	if (umount(dir))
		dio_die("%s: umount: %s\n", dir, strerror(errno));
	daemon->stop();
	return NULL;
}

static int measure(const char *path)
{
	const struct dio_daemon *daemon = dio_daemon_named(path);
	const char *skip = "this program is not linked with its server";

	dio_measure_singly = !strcmp(path, "9p");
	if (daemon)
		skip = daemon->open ? measure_own(path, daemon) : measure_export(path, daemon);
	if (skip)
		dio_die("%s: %s\n", path, skip);
	dio_measured();
	return 0;
}

static void measure_apart(const char *path)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		exit(measure(path));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		printf("no %s\n", path);
}

int main(int argc, char **argv)
{
	unsigned int i;

	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 0);
	dio_measure_in_order();
	for (i = 0; argc == 1 && i < ARRAY_SIZE(paths); i++)
		measure_apart(paths[i]);
	for (i = 1; i < (unsigned int)argc; i++)
		measure_apart(argv[i]);
	return 0;
}
