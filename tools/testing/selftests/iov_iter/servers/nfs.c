// SPDX-License-Identifier: GPL-2.0
/*
 * NFS over loopback.  The kernel's server exports a directory,
 * and is told by hand what its tools would tell it.  Everything goes by one port
 * of 127.0.0.1.  NFSv3 takes rpcbind besides, where the kernel registers lockd.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <linux/nfs_mount.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "../lib/memory.h"
#include "../lib/result.h"
#include "../lib/system.h"
#include "../lib/target.h"

#define ADDRESS		"127.0.0.1"
#define NFS_PORT	2049
#define RPCBIND_PORT	111
#define DOMAIN		"dio_clients"
#define NFSD_DIR	"/proc/fs/nfsd"
#define NFSD_THREADS	NFSD_DIR "/threads"

/* include/uapi/linux/nfsd/export.h: any port, root is root, the number is the root's */
#define EXPORT_FLAGS	(0x0002 | 0x0400 | 0x2000)

static struct {
	unsigned int version;	/* 0: it does not serve */
	bool mounted_nfsd;
	unsigned int io_size;
	char exported[64];
} server;

/* It stays: others may have registered with it by the time that we are done. */
static const char *rpcbind_start(void)
{
	const char * const rpcbind[] = { "rpcbind", NULL };
	unsigned long long start = dio_now_ms();
	int status;

	if (dio_port_answers(RPCBIND_PORT))
		return NULL;
	status = dio_run(rpcbind);
	if (status == 127)
		return "rpcbind is not installed";
	while (!status && !dio_port_answers(RPCBIND_PORT))
		if (dio_expired(start))
			status = -1;
	return status ? dio_because("rpcbind failed with status %d", status) : NULL;
}

static void nfsd_must_take(const char *file, const char *value)
{
	char line[256];
	int ret;

	/* Some of these files take nothing but lines. */
	snprintf(line, sizeof(line), "%s\n", value);
	ret = dio_write_file(line, "%s", file);
	if (ret)
		dio_die("%s: '%s' is refused: %s\n", file, value, strerror(-ret));
}

/* Who may come, what there is, and by which number its file handles tell it */
static void nfsd_export(void)
{
	long long until = time(NULL) + 24 * 3600;
	char line[256];

	snprintf(line, sizeof(line), "nfsd " ADDRESS " %lld " DOMAIN, until);
	nfsd_must_take("/proc/net/rpc/auth.unix.ip/channel", line);
	snprintf(line, sizeof(line), DOMAIN " %s %lld %d 65534 65534 0", server.exported,
		 until, EXPORT_FLAGS);
	nfsd_must_take("/proc/net/rpc/nfsd.export/channel", line);
	snprintf(line, sizeof(line), DOMAIN " 1 \\x00000000 %lld %s", until, server.exported);
	nfsd_must_take("/proc/net/rpc/nfsd.fh/channel", line);
}

static unsigned int nfsd_threads(void)
{
	char value[32];
	int ret = dio_read_file(value, sizeof(value), NFSD_THREADS);

	if (ret)
		dio_die(NFSD_THREADS ": %s\n", strerror(-ret));
	return atoi(value);
}

static void set_threads(unsigned int nr)
{
	char value[16];

	sprintf(value, "%u", nr);
	nfsd_must_take(NFSD_THREADS, value);
}

static void run(void)
{
	nfsd_must_take(NFSD_DIR "/versions",
		       server.version == 3 ? "+3 -4" : "-3 +4 +4.1 +4.2");
	/* As short as it takes, for a client that has files open when it restarts */
	nfsd_must_take(NFSD_DIR "/nfsv4leasetime", "10");
	nfsd_must_take(NFSD_DIR "/nfsv4gracetime", "10");
	nfsd_must_take(NFSD_DIR "/portlist", "tcp 2049");
	nfsd_export();
	set_threads(8);
}

/* A file that is of no interest, in the server's cache: more than a thread keeps */
#define OTHER_SIZE	(4 * DIO_MIB)

static void let_go(const char *dir)
{
	off_t size = server.io_size ? 64 * server.io_size : OTHER_SIZE;
	unsigned char *buf;
	unsigned int nr;
	char path[80];
	int fd;

	buf = dio_map(size, dio_page_size, false);
	nr = nfsd_threads();
	snprintf(path, sizeof(path), "%s/other", dir);
	fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	if (lseek(fd, 0, SEEK_END) < size)
		dio_full_pwrite(fd, buf, size, 0);
	set_threads(1);
	dio_full_pread(fd, buf, size, 0);
	set_threads(nr);
	close(fd);
	munmap(buf, size);
}

static const char *start(unsigned int version, const char *dir)
{
	const char * const modprobe[] = { "modprobe", "-a", "nfs", "nfsd", NULL };
	const char *skip;
	struct stat st;

	dio_run(modprobe);
	if (stat(NFSD_DIR, &st))
		return "this kernel has no NFS server";
	if (stat(NFSD_THREADS, &st)) {
		if (mount("nfsd", NFSD_DIR, "nfsd", 0, ""))
			return dio_because("nfsd: mount: %s", strerror(errno));
		server.mounted_nfsd = true;
	}
	if (nfsd_threads())
		return "an NFS server runs already";
	if (dio_port_answers(NFS_PORT))
		return dio_because("port %d is in use", NFS_PORT);
	skip = version == 3 ? rpcbind_start() : NULL;
	if (skip)
		return skip;
	/* Where the server remembers its clients, for those to come back to it */
	mkdir("/var", 0755);
	mkdir("/var/lib", 0755);
	mkdir("/var/lib/nfs", 0755);
	mkdir("/var/lib/nfs/v4recovery", 0700);

	snprintf(server.exported, sizeof(server.exported), "%s", dir);
	server.version = version;
	run();
	/* Nobody was there before. */
	if (version == 4)
		dio_write_file("Y", NFSD_DIR "/v4_end_grace");
	return NULL;
}

static void stop(void)
{
	if (server.version)
		set_threads(0);
	server.version = 0;
	if (server.mounted_nfsd && umount(NFSD_DIR))
		dio_print(NFSD_DIR ": umount: %s\n", strerror(errno));
	server.mounted_nfsd = false;
}

/* The handle of the exported directory, which a client asks mountd for otherwise */
static void root_handle(struct nfs3_fh *fh)
{
	int fd = open(NFSD_DIR "/filehandle", O_RDWR | O_CLOEXEC);
	char text[256] = "";
	const char *at;
	ssize_t n;

	n = snprintf(text, sizeof(text), DOMAIN " %s %d\n", server.exported, NFS3_FHSIZE);
	if (fd < 0 || write(fd, text, n) != n)
		dio_die(NFSD_DIR "/filehandle: %s\n", strerror(errno));
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, "\\x");
	for (at = at ? at + 2 : text; fh->size < NFS3_FHSIZE; at += 2, fh->size++)
		if (sscanf(at, "%2hhx", &fh->data[fh->size]) != 1)
			break;
	if (!fh->size)
		dio_die("no file handle in '%s'\n", text);
}

static int mount_nfs3(const char *dir, unsigned int io_size)
{
	struct nfs_mount_data data = {
		.version = NFS_MOUNT_VERSION,
		.flags = NFS_MOUNT_VER3 | NFS_MOUNT_TCP | NFS_MOUNT_NONLM,
		.rsize = io_size,
		.wsize = io_size,
		.addr = { .sin_family = AF_INET, .sin_port = htons(NFS_PORT) },
		.hostname = ADDRESS,
	};

	server.io_size = io_size;
	data.addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	root_handle(&data.root);
	return mount(ADDRESS ":/", dir, "nfs", MS_NOATIME, &data);
}

static int mount_nfs4(const char *dir, unsigned int io_size)
{
	char options[128], *end = options;

	server.io_size = io_size;
	end += sprintf(end, "vers=4.2,addr=" ADDRESS ",clientaddr=" ADDRESS);
	if (io_size)
		sprintf(end, ",rsize=%u,wsize=%u", io_size, io_size);
	return mount(ADDRESS ":/", dir, "nfs4", MS_NOATIME, options);
}

static unsigned long long calls(const char *dir, const char *procedure)
{
	FILE *f = NULL;
	char line[1024], want[64], mounted[80];
	unsigned long long nr = 0, found = 0;
	bool ours = false;

	f = fopen("/proc/self/mountstats", "r");
	if (!f)
		dio_die("/proc/self/mountstats: %s\n", strerror(errno));
	snprintf(mounted, sizeof(mounted), " mounted on %s ", dir);
	snprintf(want, sizeof(want), " %s: %%llu", procedure);
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "device ", 7))
			ours = strstr(line, mounted);
		else if (ours && sscanf(line, want, &nr) == 1)
			found = nr;
	}
	fclose(f);
	return found;
}

static const char *start_nfs3(const char *dir)
{
	const char *skip = start(3, dir);

	if (skip)
		stop();
	return skip;
}

static const char *start_nfs4(const char *dir)
{
	const char *skip = start(4, dir);

	if (skip)
		stop();
	return skip;
}

static struct dio_daemon nfs[] = {
	{
		.name = "nfs3", .start = start_nfs3, .stop = stop, .mount = mount_nfs3,
		.run = run, .threads = set_threads, .let_go = let_go, .calls = calls,
		.port = NFS_PORT, .bad_block = EIO, .commits = true,
	},
	{
		.name = "nfs4", .start = start_nfs4, .stop = stop, .mount = mount_nfs4,
		.run = run, .threads = set_threads, .let_go = let_go, .calls = calls,
		.port = NFS_PORT, .bad_block = EIO, .commits = true,
	},
};

static __attribute__((constructor)) void add(void)
{
	dio_daemon_add(&nfs[0]);
	dio_daemon_add(&nfs[1]);
}
