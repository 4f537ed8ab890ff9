// SPDX-License-Identifier: GPL-2.0
/*
 * Direct I/O with PCI peer-to-peer memory: the controller memory buffer of an NVMe
 * disk, mapped by p2pmem/allocate.  Who transfers to and from it, who refuses it,
 * and what is left when it is unmapped, or its device unbound, during I/O.
 *
 * These disks are overwritten.  All are NVMe, named by the environment:
 *	IOV_ITER_P2P_OWN	has the memory
 *	IOV_ITER_P2P_PEER	reaches it
 *	IOV_ITER_P2P_SLOW	reaches it, but is throttled, so that a read of 64 KiB
 *				takes seconds; it has such memory of its own
 *	IOV_ITER_P2P_FAR	reaches it only by way of the host bridge
 * "P2P=1 ci/guest/boot" has them.  IOV_ITER_DISK is no NVMe.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/futex.h>
#include <linux/if_alg.h>
#include <linux/nvme_ioctl.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "lib/cases.h"
#include "lib/daemon.h"
#include "lib/disk.h"
#include "lib/dm.h"
#include "lib/io.h"
#include "lib/memory.h"
#include "lib/result.h"
#include "lib/system.h"
#include "lib/target.h"

#ifndef TCP_ULP
#define TCP_ULP		31
#endif
#ifndef SOL_TLS
#define SOL_TLS		282
#endif

#define PAGE		4096
#define SIZE		(64 * 1024)	/* of what is mapped and transferred */
#define BLOCK		512
#define NVME_WRITE	1
#define NVME_READ	2
#define NVME_IDENTIFY	6
#define MOUNT_POINT	"/tmp/dio_p2pdma"

enum disk { OWN, PEER, SLOW, FAR, NR_DISKS };

static const struct {
	const char *name, *variable;
} disks[NR_DISKS] = {
	[OWN]	= { "own disk",	 "IOV_ITER_P2P_OWN" },
	[PEER]	= { "peer disk", "IOV_ITER_P2P_PEER" },
	[SLOW]	= { "slow disk", "IOV_ITER_P2P_SLOW" },
	[FAR]	= { "far disk",	 "IOV_ITER_P2P_FAR" },
};

static const char *paths[NR_DISKS];
static char pci[NR_DISKS][300];		/* the directory of the PCI device in sysfs */
static unsigned char *host;		/* memory of the host, SIZE bytes */

static int open_allocate(enum disk d, int flags)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/p2pmem/allocate", pci[d]);
	return open(path, flags | O_CLOEXEC);
}

static unsigned long long bytes_of(enum disk d, const char *file)
{
	char path[400], value[32];

	snprintf(path, sizeof(path), "%s/p2pmem/%s", pci[d], file);
	return dio_read_file(value, sizeof(value), path) ? 0 : strtoull(value, NULL, 10);
}

/* A completion may leave the release of pages to a kernel thread. */
static const char *available_problem(unsigned long long before)
{
	unsigned long long start = dio_now_ms(), after;

	do {
		after = bytes_of(OWN, "available");
	} while (after != before && !dio_expired(start));
	return after == before ? NULL :
	       dio_because("%llu bytes were available, and then %llu", before, after);
}

/* Maps memory of a disk, or is the negative errno. */
static long try_map(enum disk d, size_t size, int prot, int flags, off_t offset, void **mem)
{
	int fd = open_allocate(d, O_RDWR);
	int error;

	if (fd < 0)
		return -errno;
	*mem = mmap(NULL, size, prot, flags, fd, offset);
	error = errno;
	close(fd);
	return *mem == MAP_FAILED ? -error : 0;
}

static unsigned char *map(enum disk d, size_t size)
{
	void *mem;
	long ret = try_map(d, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0, &mem);

	if (ret)
		dio_die("p2pmem/allocate of the %s: %s\n", disks[d].name, strerror(-ret));
	return mem;
}

static int open_disk(enum disk d)
{
	int fd = open(paths[d], O_RDWR | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		dio_die("%s: %s\n", paths[d], strerror(errno));
	return fd;
}

/*
 * 1. Ways to read and write, the parts of a buffer, places: each combination is a case.
 */
static long by_syscall(int fd, bool write, const struct iovec *iov, int nr, off_t pos)
{
	struct dio_io io = { .fd = fd, .write = write, .iov = iov, .nr = nr, .pos = pos };

	return dio_io_do(&io);
}

static long by_libaio(int fd, bool write, const struct iovec *iov, int nr, off_t pos)
{
	struct dio_io io = { .fd = fd, .aio = true, .write = write, .iov = iov, .nr = nr,
			     .pos = pos };

	return dio_io_do(&io);
}

static long by_io_uring(int fd, bool write, const struct iovec *iov, int nr, off_t pos)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	long ret;

	ret = io_uring_queue_init(1, &ring, 0);
	if (ret)
		return ret;
	sqe = io_uring_get_sqe(&ring);
	if (write)
		io_uring_prep_writev(sqe, fd, iov, nr, pos);
	else
		io_uring_prep_readv(sqe, fd, iov, nr, pos);
	ret = io_uring_submit_and_wait(&ring, 1);
	if (ret == 1 && !io_uring_peek_cqe(&ring, &cqe))
		ret = cqe->res;
	io_uring_queue_exit(&ring);
	return ret;
}

static const struct method {
	const char *name;
	long (*transfer)(int fd, bool write, const struct iovec *iov, int nr, off_t pos);
} methods[] = {
	{ "preadv, pwritev", by_syscall },
	{ "libaio", by_libaio },
	{ "io_uring", by_io_uring },
};

/* Parts of a buffer; HOST ones are in memory of the host, where they have their place. */
#define NR_PARTS	6
#define HOST		0x1000000

static const struct layout {
	const char *name;
	struct {
		unsigned int offset, length;
	} parts[NR_PARTS];
} layouts[] = {
	{ "all of it", { { 0, SIZE } } },
	{ "an offset in a page", { { 3 * BLOCK, 2 * PAGE + 5 * BLOCK } } },
	{ "two of its pages, turned around", { { PAGE, PAGE }, { 0, PAGE } } },
	{ "several iovecs, some of the host",
	  { { 0, 2 * PAGE }, { HOST + 2 * PAGE, PAGE }, { 3 * PAGE, BLOCK },
	    { HOST + 4 * PAGE + BLOCK, 3 * BLOCK }, { 5 * PAGE, 3 * PAGE } } },
};

static int parts(const struct layout *l, unsigned char *mem, struct iovec *iov, size_t *total)
{
	int n;

	*total = 0;
	for (n = 0; n < NR_PARTS && l->parts[n].length; n++) {
		unsigned int offset = l->parts[n].offset;

		iov[n].iov_base = offset & HOST ? host + (offset & ~HOST) : mem + offset;
		iov[n].iov_len = l->parts[n].length;
		*total += iov[n].iov_len;
	}
	return n;
}

/* Is what is in the parts of @mem and @host as expected, and the rest untouched? */
static const char *compare_parts(const struct iovec *iov, int nr, unsigned char *mem, off_t pos,
				 unsigned int kind)
{
	const char *wrong = NULL;
	int n;

	for (n = 0; n < nr && !wrong; n++) {
		wrong = dio_compare(iov[n].iov_base, iov[n].iov_len, pos, kind);
		pos += iov[n].iov_len;
	}
	for (n = 0; n < nr; n++)
		memset(iov[n].iov_base, DIO_UNTOUCHED, iov[n].iov_len);
	if (!wrong)
		wrong = dio_unchanged(mem, SIZE, "around it, in the memory of the device");
	return wrong ? wrong : dio_unchanged(host, SIZE, "around it, in the memory of the host");
}

/* Write from @mem and read back by the host, then the other way around. */
static const char *transfer_problem(int fd, int check_fd, const struct method *m,
				    const struct layout *l, unsigned char *mem)
{
	static unsigned char *file;
	static unsigned int kind;
	struct iovec iov[NR_PARTS];
	const char *wrong;
	off_t pos = 2 * SIZE, at = pos;
	size_t total;
	int nr, n;

	if (!file)
		file = dio_map(SIZE, PAGE, false);
	nr = parts(l, mem, iov, &total);

	kind = (kind + 1) & 0x7f;
	dio_fill(file, total, pos, kind ^ 0x2a);
	dio_full_pwrite(check_fd, file, total, pos);
	for (n = 0; n < nr; n++) {
		dio_fill(iov[n].iov_base, iov[n].iov_len, at, kind);
		at += iov[n].iov_len;
	}
	wrong = dio_not_result(m->transfer(fd, true, iov, nr, pos), total);
	if (wrong)
		return wrong;
	dio_full_pread(check_fd, file, total, pos);
	wrong = dio_compare(file, total, pos, kind);
	if (wrong)
		return dio_because("written: %s", wrong);

	kind = (kind + 1) & 0x7f;
	dio_fill(file, total, pos, kind);
	dio_full_pwrite(check_fd, file, total, pos);
	memset(mem, DIO_UNTOUCHED, SIZE);
	memset(host, DIO_UNTOUCHED, SIZE);
	wrong = dio_not_result(m->transfer(fd, false, iov, nr, pos), total);
	return wrong ? wrong : compare_parts(iov, nr, mem, pos, kind);
}

#define NR_TRANSFERS	(ARRAY_SIZE(methods) * ARRAY_SIZE(layouts))

static void label_transfer(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s: %s", methods[i / ARRAY_SIZE(layouts)].name,
		 layouts[i % ARRAY_SIZE(layouts)].name);
}

/*
 * A file system on the peer disk, and on @second if that is not NULL: its file, opened,
 * or a negative errno.  -ENOENT and -ENODEV say that there is no mkfs, or no such type.
 */
static int fs_open(const char *type, const char *second, int flags)
{
	char mkfs[32], options[80] = "";
	const char * const make[] = { mkfs, "-q", type[0] == 'e' ? "-F" : "-f", paths[PEER],
				      second, NULL };
	int fd, status;

	snprintf(mkfs, sizeof(mkfs), "mkfs.%s", type);
	status = dio_run(make);
	if (status)
		return status == 127 ? -ENOENT : -EIO;
	if (second)
		snprintf(options, sizeof(options), "device=%s", second);
	mkdir(MOUNT_POINT, 0700);
	if (mount(paths[PEER], MOUNT_POINT, type, MS_NOATIME, options))
		return -errno;
	fd = open(MOUNT_POINT "/file", O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
	if (fd < 0)
		dio_die("a file of %s: %s\n", type, strerror(errno));
	dio_full_pwrite(fd, host, SIZE, 2 * SIZE);
	return fd;
}

static void fs_close(int fd)
{
	if (fd < 0)
		return;
	close(fd);
	if (umount2(MOUNT_POINT, 0))
		dio_die("umount of %s: %s\n", MOUNT_POINT, strerror(errno));
}

/* Where to, and from: the disk itself, or a file of @fs on it */
static const struct place {
	const char *name;
	enum disk disk;
	const char *fs;
} places[] = {
	{ "own disk", OWN, NULL },
	{ "peer disk", PEER, NULL },
	{ "ext4 on the peer disk", PEER, "ext4" },
	{ "xfs on the peer disk", PEER, "xfs" },
	{ "btrfs on the peer disk", PEER, "btrfs" },
};

/* The place that cases are done on now, and its file or a negative errno */
static const struct place *place;
static int place_fd;

static const char *test_transfer(unsigned int i)
{
	const struct layout *layout = &layouts[i % ARRAY_SIZE(layouts)];
	unsigned char *mem;
	const char *wrong;

	if (place_fd == -ENOENT || place_fd == -ENODEV)
		return dio_skip("there is no mkfs, or no such file system in the kernel");
	if (place_fd < 0)
		return dio_because("set-up: %s", strerror(-place_fd));
	if (place->disk == OWN && strstr(layout->name, "host"))
		return dio_skip("QEMU refuses its own memory beside other");
	mem = map(OWN, SIZE);
	wrong = transfer_problem(place_fd, place_fd, &methods[i / ARRAY_SIZE(layouts)], layout,
				 mem);
	munmap(mem, SIZE);
	return wrong;
}

/* The page cache is filled and read by the CPU: any memory will do. */
static const char *buffered(unsigned char *mem)
{
	static const struct method by_cpu = { "buffered", by_syscall };
	const char *wrong = NULL;
	int fd = fs_open("ext4", NULL, 0);
	unsigned int l;

	if (fd < 0)
		return dio_because("ext4: %s", strerror(-fd));
	for (l = 0; l < ARRAY_SIZE(layouts) && !wrong; l++)
		wrong = transfer_problem(fd, fd, &by_cpu, &layouts[l], mem);
	fs_close(fd);
	return wrong;
}

/* NVMe commands of the peer disk */
static int nsid(int fd)
{
	return ioctl(fd, NVME_IOCTL_ID);
}

static long by_ioctl(int fd, bool write, const struct iovec *iov, int nr, off_t pos)
{
	struct nvme_passthru_cmd64 cmd = {
		.opcode = write ? NVME_WRITE : NVME_READ, .nsid = nsid(fd),
		.addr = (uintptr_t)(nr > 1 ? iov : iov->iov_base),
		.cdw10 = pos / BLOCK };
	size_t total = 0;
	long ret;
	int n;

	for (n = 0; n < nr; n++)
		total += iov[n].iov_len;
	cmd.data_len = nr > 1 ? (size_t)nr : total;
	cmd.cdw12 = total / BLOCK - 1;
	ret = ioctl(fd, nr > 1 ? NVME_IOCTL_IO64_CMD_VEC : NVME_IOCTL_IO64_CMD, &cmd);
	if (ret < 0)
		return -errno;
	return ret ? -EIO : (long)total;
}

static long by_uring_cmd(int fd, bool write, const struct iovec *iov, int nr, off_t pos)
{
	struct nvme_uring_cmd *cmd;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	size_t total = 0;
	long ret;
	int n;

	for (n = 0; n < nr; n++)
		total += iov[n].iov_len;
	ret = io_uring_queue_init(1, &ring, IORING_SETUP_SQE128 | IORING_SETUP_CQE32);
	if (ret)
		return ret;
	sqe = io_uring_get_sqe(&ring);
	if (!sqe)
		dio_die("io_uring has no entry\n");
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = nr > 1 ? NVME_URING_CMD_IO_VEC : NVME_URING_CMD_IO;
	cmd = (struct nvme_uring_cmd *)sqe->cmd;
	cmd->opcode = write ? NVME_WRITE : NVME_READ;
	cmd->nsid = nsid(fd);
	cmd->addr = (uintptr_t)(nr > 1 ? iov : iov->iov_base);
	cmd->data_len = nr > 1 ? (size_t)nr : total;
	cmd->cdw10 = pos / BLOCK;
	cmd->cdw12 = total / BLOCK - 1;
	ret = io_uring_submit_and_wait(&ring, 1);
	if (ret == 1 && !io_uring_peek_cqe(&ring, &cqe))
		ret = cqe->res > 0 ? -EIO : cqe->res < 0 ? cqe->res : (long)total;
	io_uring_queue_exit(&ring);
	return ret;
}

static const struct method commands[] = {
	{ "ioctl", by_ioctl },
	{ "io_uring command", by_uring_cmd },
};

/* The character device of a namespace: ng0n1 for nvme0n1 */
static const char *command_problem(const struct method *m, unsigned char *mem)
{
	const char *base = strrchr(paths[PEER], '/') + 1, *wrong = NULL;
	int disk = open_disk(PEER), fd;
	unsigned int l;
	char path[80];

	snprintf(path, sizeof(path), "/dev/ng%s", base + strlen("nvme"));
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	for (l = 0; l < ARRAY_SIZE(layouts) && !wrong; l++)
		wrong = transfer_problem(fd, disk, m, &layouts[l], mem);
	close(fd);
	close(disk);
	return wrong;
}

static const char *command_ioctl(unsigned char *mem)
{
	return command_problem(&commands[0], mem);
}

static const char *command_uring(unsigned char *mem)
{
	return command_problem(&commands[1], mem);
}

/* Who must refuse the memory, by -EREMOTEIO if nothing else is said */
static const char *refused_rw(int fd, unsigned char *mem)
{
	const char *wrong = dio_count(pread(fd, mem, PAGE, 0), -EREMOTEIO);

	return wrong ? wrong : dio_count(pwrite(fd, mem, PAGE, 0), -EREMOTEIO);
}

static const char *refused_path(const char *path, unsigned char *mem)
{
	int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	const char *wrong;

	if (fd < 0)
		return dio_because("%s: %s", path, strerror(errno));
	wrong = refused_rw(fd, mem);
	close(fd);
	return wrong;
}

static const char *refused_virtio(unsigned char *mem)
{
	return refused_path(dio_disk_path(), mem);
}

static const char *refused_ram_disk(unsigned char *mem)
{
	return refused_path("/dev/ram0", mem);
}

static const char *refused_dm(unsigned char *mem)
{
	struct dio_dm_line line = { .type = "linear", .sectors = 2048 };
	struct dio_dm dm = {};
	const char *wrong;
	int ret;

	snprintf(line.params, sizeof(line.params), "%s 0", paths[PEER]);
	ret = dio_dm_create(&dm, "p2pdma");
	if (!ret)
		ret = dio_dm_load(&dm, &line, 1);
	wrong = ret ? dio_because("dm-linear: %s", strerror(-ret)) : refused_path(dm.path, mem);
	dio_dm_remove(&dm);
	return wrong;
}

static const char *refused_loop(unsigned char *mem)
{
	int disk = open_disk(PEER), loop = -1;
	char device[64];
	const char *wrong = dio_loop_attach(disk, 0, &loop, device);

	if (!wrong) {
		wrong = refused_path(device, mem);
		dio_loop_detach(&loop);
	}
	close(disk);
	return wrong;
}

static const char *refused_direct_io(unsigned char *mem)
{
	const char *wrong;
	int fd = fs_open("ext2", NULL, O_DIRECT);

	if (fd < 0)
		return dio_because("ext2: %s", strerror(-fd));
	dio_full_pwrite(fd, host, SIZE, 0);
	wrong = refused_rw(fd, mem);
	fs_close(fd);
	return wrong;
}

/* btrfs asks one disk, and may send the bio to the other.  The file is as it was. */
static const char *refused_btrfs(unsigned char *mem)
{
	int fd = fs_open("btrfs", paths[FAR], O_DIRECT);
	const char *wrong;
	struct stat st;

	if (fd == -ENOENT || fd == -ENODEV)
		return dio_skip("there is no mkfs.btrfs, or no btrfs in the kernel");
	if (fd < 0)
		return dio_because("btrfs: %s", strerror(-fd));
	dio_fill(host, SIZE, 0, 13);
	dio_full_pwrite(fd, host, SIZE, 0);
	if (ftruncate(fd, SIZE))
		dio_die("ftruncate: %s\n", strerror(errno));
	wrong = refused_rw(fd, mem);
	if (!wrong)
		wrong = dio_count(pwrite(fd, mem, PAGE, SIZE), -EREMOTEIO);
	if (fsync(fd) || fstat(fd, &st))
		dio_die("the file of btrfs: %s\n", strerror(errno));
	if (!wrong && st.st_size != SIZE)
		wrong = dio_because("the file has grown to %llu bytes",
				    (unsigned long long)st.st_size);
	dio_full_pread(fd, host, SIZE, 0);
	if (!wrong)
		wrong = dio_compare(host, SIZE, 0, 13);
	fs_close(fd);
	return wrong;
}

static const char *refused_md(unsigned char *mem)
{
	static const char device[] = "/dev/md/iov_iter_p2pdma";
	const char * const build[] = { "mdadm", "--build", device, "--run", "--force",
				       "--level=1", "--raid-devices=1", paths[PEER], NULL };
	const char * const stop[] = { "mdadm", "--stop", device, NULL };
	const char *wrong;
	int status;

	dio_modprobe("raid1");
	setenv("MDADM_NO_UDEV", "1", 1);
	status = dio_run(build);
	if (status == 127)
		return dio_skip("mdadm is not installed");
	if (status)
		return dio_because("mdadm failed with status %d", status);
	wrong = refused_path(device, mem);
	if (dio_run(stop))
		dio_die("%s cannot be stopped\n", device);
	return wrong;
}

static const char *refused_admin(unsigned char *mem)
{
	struct nvme_passthru_cmd cmd = { .opcode = NVME_IDENTIFY, .addr = (uintptr_t)mem,
					 .data_len = PAGE, .cdw10 = 1 };
	int fd = open_disk(PEER);
	const char *wrong = dio_count(ioctl(fd, NVME_IOCTL_ADMIN_CMD, &cmd), -EREMOTEIO);

	close(fd);
	return wrong;
}

static const char *refused_fixed(unsigned char *mem)
{
	struct iovec iov = { mem, SIZE };
	struct io_uring ring;
	const char *wrong;
	int ret = io_uring_queue_init(1, &ring, 0);

	if (ret)
		return dio_because("io_uring: %s", strerror(-ret));
	wrong = dio_not_result(io_uring_register_buffers(&ring, &iov, 1), -EREMOTEIO);
	io_uring_queue_exit(&ring);
	return wrong;
}

static const char *refused_vmsplice(unsigned char *mem)
{
	struct iovec iov = { mem, PAGE };
	const char *wrong;
	int ends[2];

	if (pipe(ends))
		dio_die("pipe: %s\n", strerror(errno));
	wrong = dio_count(vmsplice(ends[1], &iov, 1, SPLICE_F_NONBLOCK), -EREMOTEIO);
	close(ends[0]);
	close(ends[1]);
	return wrong;
}

static const char *refused_futex(unsigned char *mem)
{
	struct timespec now = {};

	return dio_count(syscall(SYS_futex, mem, FUTEX_WAIT, 1, &now, NULL, 0), -EREMOTEIO);
}

static const char *refused_hash(unsigned char *mem)
{
	struct sockaddr_alg address = { .salg_family = AF_ALG, .salg_type = "hash",
					.salg_name = "sha256" };
	int fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	const char *wrong;
	int op;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return dio_because("AF_ALG: %s", strerror(errno));
	op = accept(fd, NULL, 0);
	wrong = dio_count(send(op, mem, PAGE, MSG_MORE), -EREMOTEIO);
	close(op);
	close(fd);
	return wrong;
}

/* The first request of a file system, which its server reads into the memory */
static const char *refused_fuse(unsigned char *mem)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	const char *wrong;
	char options[80];

	if (fd < 0)
		return dio_because("/dev/fuse: %s", strerror(errno));
	mkdir(MOUNT_POINT, 0700);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	if (mount("p2pdma", MOUNT_POINT, "fuse", 0, options)) {
		wrong = dio_because("mount of FUSE: %s", strerror(errno));
	} else {
		wrong = dio_count(read(fd, mem, SIZE), -EREMOTEIO);
		umount2(MOUNT_POINT, MNT_FORCE | MNT_DETACH);
	}
	close(fd);
	return wrong;
}

/* A file that FUSE reads and writes directly: its requests list the memory. */
static const char *refused_fuse_file(unsigned char *mem)
{
	const struct dio_daemon *daemon = dio_daemon_named("fuse");
	struct dio_target t = {};
	const char *wrong;
	char path[80];
	int fd;

	if (!daemon)
		return dio_skip("this tree has no server of FUSE");
	wrong = daemon->open(&t);
	if (wrong)
		return dio_skip(wrong);
	snprintf(path, sizeof(path), "%s/p2pdma", t.dir);
	fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0)
		dio_die("a file of FUSE: %s\n", strerror(errno));
	dio_full_pwrite(fd, host, SIZE, 0);
	wrong = refused_rw(fd, mem);
	close(fd);
	daemon->close();
	return wrong;
}

/* A record is decrypted into the memory of the receiver.  TLS says -EFAULT for all errors. */
static const char *refused_tls(unsigned char *mem)
{
	struct tls12_crypto_info_aes_gcm_128 keys = {
		.info = { .version = TLS_1_2_VERSION, .cipher_type = TLS_CIPHER_AES_GCM_128 },
		.key = "0123456789abcde", .iv = "7654321", .salt = "abc",
	};
	struct sockaddr_in address = { .sin_family = AF_INET };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), to;
	socklen_t size = sizeof(address);
	const char *wrong = NULL;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) ||
	    getsockname(listener, (struct sockaddr *)&address, &size) || listen(listener, 1) ||
	    connect(from, (struct sockaddr *)&address, sizeof(address)))
		dio_die("no TCP connection: %s\n", strerror(errno));
	to = accept(listener, NULL, NULL);
	dio_modprobe("tls");
	if (setsockopt(from, IPPROTO_TCP, TCP_ULP, "tls", 4) ||
	    setsockopt(to, IPPROTO_TCP, TCP_ULP, "tls", 4))
		wrong = dio_skip("the kernel has no TLS");
	else if (setsockopt(from, SOL_TLS, TLS_TX, &keys, sizeof(keys)) ||
		 setsockopt(to, SOL_TLS, TLS_RX, &keys, sizeof(keys)))
		wrong = dio_because("TLS keys: %s", strerror(errno));
	else if (send(from, host, PAGE, 0) != PAGE)
		wrong = dio_because("send: %s", strerror(errno));
	else
		wrong = dio_count(recv(to, mem, PAGE, 0), -EFAULT);
	close(to);
	close(from);
	close(listener);
	return wrong;
}

/* A file of a server: its client would hand the memory to the network. */
static const char *refused_on(struct dio_target *t, unsigned int unused)
{
	unsigned char *mem = map(OWN, SIZE);
	const char *wrong = refused_rw(t->fd, mem);

	munmap(mem, SIZE);
	return wrong;
}

/* Each message of 9p that is not small is given to the host where it is in memory. */
static const char *refused_9p(unsigned char *mem)
{
	const char *wrong;
	int fd;

	mkdir(MOUNT_POINT, 0700);
	if (mount("iov_iter", MOUNT_POINT, "9p", 0,
		  "trans=virtio,version=9p2000.L,msize=65536,cache=none"))
		return dio_skip("there is no virtio-9p device with the tag iov_iter");
	fd = open(MOUNT_POINT "/p2pdma", O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0)
		dio_die("a file of 9p: %s\n", strerror(errno));
	dio_full_pwrite(fd, host, SIZE, 0);
	wrong = refused_rw(fd, mem);
	fs_close(fd);
	return wrong;
}

/* By another process, or itself in the guise of one: these have errnos of their own. */
static const char *refused_vm_readv(unsigned char *mem)
{
	struct iovec to = { host, PAGE }, from = { mem, PAGE };

	return dio_count(process_vm_readv(getpid(), &to, 1, &from, 1, 0), -EFAULT);
}

static const char *refused_proc_mem(unsigned char *mem)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	const char *wrong = dio_count(pread(fd, host, PAGE, (uintptr_t)mem), -EIO);

	close(fd);
	return wrong;
}

/*
 * A raw disk takes what is in front of the memory directly.  The rest is copied by the
 * page cache, as after any direct I/O that is short.
 */
static const char *copied_behind(unsigned char *mem)
{
	struct iovec iov[] = { { host, 2 * PAGE }, { mem, PAGE } };
	int fd = open(dio_disk_path(), O_RDWR | O_DIRECT | O_CLOEXEC);
	const char *wrong;

	if (fd < 0)
		dio_die("%s: %s\n", dio_disk_path(), strerror(errno));
	dio_fill(host, 3 * PAGE, 0, 11);
	dio_full_pwrite(fd, host, 3 * PAGE, 0);
	memset(host, DIO_UNTOUCHED, 3 * PAGE);
	memset(mem, DIO_UNTOUCHED, PAGE);
	wrong = dio_count(preadv(fd, iov, 2, 0), 3 * PAGE);
	if (!wrong)
		wrong = dio_compare(host, 2 * PAGE, 0, 11);
	if (!wrong)
		wrong = dio_compare(mem, PAGE, 2 * PAGE, 11);
	close(fd);
	return wrong;
}

/* Does the host bridge route from one device to another?  The kernel's own rule */
static bool host_bridge_routes(void)
{
	char *line = NULL;
	size_t size = 0;
	bool amd = false, zen = false;
	FILE *f = fopen("/proc/cpuinfo", "r");
	int family;

	while (f && getline(&line, &size, f) > 0) {
		amd |= !!strstr(line, "AuthenticAMD");
		if (sscanf(line, "cpu family : %d", &family) == 1)
			zen |= family >= 0x17;
	}
	if (f)
		fclose(f);
	free(line);
	return amd && zen;
}

static const char *far_disk(unsigned char *mem)
{
	const char *wrong;
	int fd = open_disk(FAR);

	if (host_bridge_routes())
		wrong = transfer_problem(fd, fd, &methods[0], &layouts[0], mem);
	else
		wrong = refused_rw(fd, mem);
	close(fd);
	return wrong;
}

/* What can be mapped */
static const char *map_refused(size_t size, int flags, off_t offset, int error)
{
	void *mem;
	long ret = try_map(OWN, size, PROT_READ | PROT_WRITE, flags, offset, &mem);

	if (!ret)
		munmap(mem, size);
	return dio_not_result(ret, -error);
}

static const char *map_private(unsigned char *mem)
{
	return map_refused(PAGE, MAP_PRIVATE, 0, EINVAL);
}

static const char *map_offset(unsigned char *mem)
{
	return map_refused(PAGE, MAP_SHARED, PAGE, EINVAL);
}

static const char *map_too_much(unsigned char *mem)
{
	return map_refused(bytes_of(OWN, "available") + PAGE, MAP_SHARED, 0, ENOMEM);
}

static const char *map_everything(unsigned char *mem)
{
	unsigned long long before = bytes_of(OWN, "available");
	unsigned char *all = map(OWN, before);
	unsigned long long during = bytes_of(OWN, "available");

	all[before - 1] = 1;
	munmap(all, before);
	if (during)
		return dio_because("%llu bytes are available while all are mapped", during);
	if (bytes_of(OWN, "available") != before)
		return dio_because("%llu bytes are available, and then %llu", before,
				   bytes_of(OWN, "available"));
	return NULL;
}

/* A mapping in pieces is given back in pieces, and comes back without what it had. */
static const char *map_again(unsigned char *mem)
{
	unsigned long long before = bytes_of(OWN, "available"), half;
	unsigned char *again = map(OWN, SIZE);
	unsigned int i, left = 0;

	memset(again, DIO_UNTOUCHED, SIZE);
	munmap(again + SIZE / 4, SIZE / 2);
	half = bytes_of(OWN, "available");
	munmap(again, SIZE / 4);
	munmap(again + 3 * SIZE / 4, SIZE / 4);
	if (half != before - SIZE / 2)
		return dio_because("%llu bytes are given back by half of %u",
				   half - (before - SIZE), SIZE);
	again = map(OWN, SIZE);
	for (i = 0; i < SIZE; i++)
		left += again[i] != 0;
	munmap(again, SIZE);
	return left ? dio_because("%u bytes of a new mapping are not zero", left) : NULL;
}

static const char *map_grows(unsigned char *mem)
{
	return dio_count((long)mremap(mem, SIZE, 2 * SIZE, MREMAP_MAYMOVE), -EFAULT);
}

/* Is the page still there?  An access by the kernel fails where one by us is a SIGBUS. */
static bool mapped(unsigned char *mem)
{
	int ends[2];
	bool there;

	if (pipe(ends))
		dio_die("pipe: %s\n", strerror(errno));
	there = write(ends[1], mem, 1) == 1;
	close(ends[0]);
	close(ends[1]);
	return there;
}

/* Pages that are thrown away are given back, and do not come back: SIGBUS. */
static const char *map_throw_away(unsigned char *mem)
{
	unsigned long long before = bytes_of(OWN, "available"), after;

	if (madvise(mem, PAGE, MADV_DONTNEED))
		dio_die("madvise: %s\n", strerror(errno));
	after = bytes_of(OWN, "available");
	if (after != before + PAGE)
		return dio_because("%llu bytes were available, and then %llu", before, after);
	if (mapped(mem))
		return "the page has come back";
	/* what is mapped for a test is given back by it, whatever that is */
	return mapped(mem + PAGE) ? NULL : "the page behind it has gone, too";
}

/* The same memory at another address */
static const char *map_moved(unsigned char *mem)
{
	unsigned char *place = dio_map(SIZE, PAGE, false), *moved = map(OWN, SIZE);
	const char *wrong;
	int fd = open_disk(PEER);

	dio_fill(moved, SIZE, 0, 17);
	moved = mremap(moved, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	if (moved == MAP_FAILED)
		dio_die("mremap: %s\n", strerror(errno));
	wrong = dio_compare(moved, SIZE, 0, 17);
	if (!wrong)
		wrong = transfer_problem(fd, fd, &methods[0], &layouts[0], moved);
	munmap(moved, SIZE);
	close(fd);
	return wrong;
}

/* Stores after a change of protection go to the memory, and DMA sees them. */
static const char *map_protect(unsigned char *mem)
{
	const char *wrong;
	int fd = open_disk(PEER);

	if (mprotect(mem, SIZE, PROT_READ))
		dio_die("mprotect: %s\n", strerror(errno));
	wrong = dio_count(pread(fd, mem, PAGE, 0), -EFAULT);
	if (mprotect(mem, SIZE, PROT_READ | PROT_WRITE))
		dio_die("mprotect: %s\n", strerror(errno));
	wrong = wrong ? wrong : transfer_problem(fd, fd, &methods[0], &layouts[1], mem);
	close(fd);
	return wrong;
}

/* Memory of two providers goes to a file by two bios, that of one by one. */
static unsigned long long requests(enum disk d)
{
	unsigned long long done, merged;
	char path[120], value[200];

	snprintf(path, sizeof(path), "/sys/class/block/%s/stat", strrchr(paths[d], '/') + 1);
	if (dio_read_file(value, sizeof(value), path) ||
	    sscanf(value, "%llu %llu", &done, &merged) != 2)
		dio_die("%s\n", path);
	return done + merged;
}

static const char *two_providers(unsigned char *mem)
{
	unsigned char *other = map(SLOW, SIZE);
	struct iovec iov[] = { { mem, PAGE }, { host, PAGE }, { mem + 2 * PAGE, PAGE },
			       { other, 2 * PAGE } };
	unsigned long long one, two, start;
	unsigned char *file = dio_map(5 * PAGE, PAGE, false);
	int fd = fs_open("ext4", NULL, O_DIRECT), n;
	const char *wrong;
	off_t pos = 0;

	if (fd < 0)
		return dio_because("ext4: %s", strerror(-fd));
	dio_fill(file, 5 * PAGE, 0, 3);
	dio_full_pwrite(fd, file, 5 * PAGE, 0);
	fsync(fd);
	munmap(file, 5 * PAGE);
	start = requests(PEER);
	wrong = dio_count(preadv(fd, iov, 3, 0), 3 * PAGE);
	one = requests(PEER) - start;
	start = requests(PEER);
	wrong = wrong ? wrong : dio_count(preadv(fd, iov, 4, 0), 5 * PAGE);
	two = requests(PEER) - start;
	for (n = 0; n < 4 && !wrong; pos += iov[n++].iov_len)
		wrong = dio_compare(iov[n].iov_base, iov[n].iov_len, pos, 3);
	if (!wrong && (one != 1 || two != 2))
		wrong = dio_because("%llu bios for one provider, %llu for two", one, two);
	munmap(other, SIZE);
	fs_close(fd);
	return wrong;
}

/*
 * I/O in flight: the slow disk lets a first read through, and makes the next ones wait
 * for as long as that would have taken.
 */
static struct dio_io flight;

static void take_off(unsigned char *mem, size_t size)
{
	flight = (struct dio_io){ .fd = open_disk(SLOW), .aio = true, .mem = mem, .length = size };
	dio_fill(host, SIZE, 0, 5);
	dio_full_pwrite(flight.fd, host, SIZE, 0);
	dio_io_start(&flight);
}

static const char *in_flight(void)
{
	return dio_io_done(&flight) ? "the read has ended before that was done" : NULL;
}

static const char *land(void)
{
	long n = dio_io_end(&flight, DIO_DEADLINE_SECONDS);

	close(flight.fd);
	return dio_not_result(n, flight.length);
}

/* The mapping is shared: parent and child have the same memory, before and after. */
static const char *fork_in_flight(unsigned char *mem)
{
	const char *wrong, *landed;
	int status, ends[2];
	char go = 1;
	pid_t pid;

	if (pipe(ends))
		dio_die("pipe: %s\n", strerror(errno));
	take_off(mem, SIZE - PAGE);
	pid = fork();
	if (!pid) {
		close(ends[1]);
		mem[SIZE - 1] = 7;
		if (read(ends[0], &go, 1) != 1)
			_exit(2);
		_exit(!!dio_compare(mem, SIZE - PAGE, 0, 5));
	}
	mem[SIZE - PAGE] = 9;
	wrong = in_flight();
	landed = land();
	if (!wrong)
		wrong = landed;
	if (!wrong)
		wrong = dio_compare(mem, SIZE - PAGE, 0, 5);
	if (write(ends[1], &go, 1) != 1)
		dio_die("pipe: %s\n", strerror(errno));
	waitpid(pid, &status, 0);
	close(ends[0]);
	close(ends[1]);
	if (!wrong && status)
		wrong = "the child does not see what was read";
	if (!wrong && (mem[SIZE - 1] != 7 || mem[SIZE - PAGE] != 9))
		wrong = "parent and child do not share the memory";
	return wrong;
}

/* Pages that are read into are given back when the read has ended, and not before. */
static const char *unmap_in_flight(unsigned char *mem)
{
	unsigned long long before = bytes_of(OWN, "available"), during;
	unsigned char *brief = map(OWN, SIZE);
	const char *wrong, *landed;

	take_off(brief, SIZE);
	munmap(brief, SIZE);
	during = bytes_of(OWN, "available");
	wrong = in_flight();
	landed = land();
	if (!wrong)
		wrong = landed;
	if (!wrong && during != before - SIZE)
		wrong = dio_because("%llu bytes are given back during the read",
				    during - (before - SIZE));
	return wrong ? wrong : available_problem(before);
}

/* A process that ends without unmapping */
static const char *exit_mapped(unsigned char *mem)
{
	unsigned long long before = bytes_of(OWN, "available");
	int status;
	pid_t pid = fork();

	if (!pid) {
		map(OWN, SIZE)[0] = 1;
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status, 0);
	return available_problem(before);
}

/*
 * The driver of the provider goes: the memory is taken from its processes at once,
 * and the driver waits for what is in flight.  Then all begins anew.
 */
static const char *unbind_in_flight(unsigned char *mem)
{
	/* with what is mapped for this test, which is given back, too */
	unsigned long long before = bytes_of(OWN, "available") + SIZE, start;
	const char *device = strrchr(pci[OWN], '/') + 1, *wrong = NULL, *landed;
	unsigned char *brief = map(OWN, SIZE);
	int status, fd;
	bool early;
	pid_t pid;

	take_off(brief, SIZE);
	pid = fork();
	if (!pid) {
		munmap(brief, SIZE);
		munmap(mem, SIZE);
		_exit(!!dio_write_file(device, "/sys/bus/pci/drivers/nvme/unbind"));
	}
	start = dio_now_ms();
	while (mapped(brief) && !dio_expired(start))
		;
	if (mapped(brief))
		wrong = "the memory is not taken from the process";
	else if (mapped(mem))
		wrong = "a second mapping keeps the memory";
	else
		wrong = in_flight();
	early = waitpid(pid, &status, WNOHANG) == pid;
	if (!wrong && early)
		wrong = "the driver does not wait for the read";
	landed = land();
	if (!early)
		waitpid(pid, &status, 0);
	if (!wrong)
		wrong = landed;
	if (!wrong && status)
		wrong = "the driver can't be unbound";
	fd = open_allocate(OWN, O_RDWR);
	if (!wrong && fd >= 0)
		wrong = "p2pmem/allocate is still there";
	if (fd >= 0)
		close(fd);
	munmap(brief, SIZE);

	if (dio_write_file(device, "/sys/bus/pci/drivers/nvme/bind"))
		dio_die("the driver of the %s can't be bound again\n", disks[OWN].name);
	return wrong ? wrong : available_problem(before);
}

static const struct test {
	const char *name;
	/* @mem: SIZE bytes that are mapped for the test */
	const char *(*run)(unsigned char *mem);
} tests[] = {
	{ "ext4 through the page cache", buffered },
	{ "commands by ioctl", command_ioctl },
	{ "commands by io_uring", command_uring },
	{ "two providers: a bio each", two_providers },
	{ "a disk behind the host bridge", far_disk },
	{ "refused: virtio disk", refused_virtio },
	{ "copied: virtio disk, behind memory of the host", copied_behind },
	{ "refused: ram disk", refused_ram_disk },
	{ "refused: dm-linear over the peer disk", refused_dm },
	{ "refused: md over the peer disk", refused_md },
	{ "refused: loop over the peer disk", refused_loop },
	{ "refused: ext2 on the peer disk", refused_direct_io },
	{ "refused: btrfs on the peer disk and another", refused_btrfs },
	{ "refused: admin command of the peer disk", refused_admin },
	{ "refused: fixed buffer of io_uring", refused_fixed },
	{ "refused: vmsplice()", refused_vmsplice },
	{ "refused: shared futex", refused_futex },
	{ "refused: hash by AF_ALG", refused_hash },
	{ "refused: /dev/fuse", refused_fuse },
	{ "refused: file over FUSE", refused_fuse_file },
	{ "refused: file over 9p", refused_9p },
	{ "refused: TLS, by the receiver", refused_tls },
	{ "refused: process_vm_readv()", refused_vm_readv },
	{ "refused: /proc/self/mem", refused_proc_mem },
	{ "mapping: private", map_private },
	{ "mapping: at an offset", map_offset },
	{ "mapping: more than there is", map_too_much },
	{ "mapping: all there is", map_everything },
	{ "mapping: in pieces, and again", map_again },
	{ "mapping: does not grow", map_grows },
	{ "mapping: moved", map_moved },
	{ "mapping: thrown away", map_throw_away },
	{ "mapping: protected, and not any more", map_protect },
	{ "fork() during a read", fork_in_flight },
	{ "munmap() during a read", unmap_in_flight },
	{ "the end of a process that has it mapped", exit_mapped },
	/* The last one: the disk may have another name then. */
	{ "unbinding the provider during a read", unbind_in_flight },
};

static void label_test(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s", tests[i].name);
}

static const char *test_with_memory(unsigned int i)
{
	unsigned long long before = bytes_of(OWN, "available");
	unsigned char *mem = map(OWN, SIZE);
	const char *wrong = tests[i].run(mem);

	munmap(mem, SIZE);
	return wrong ? wrong : available_problem(before);
}

static const struct dio_case transfers[] = {
	{ .label = label_transfer, .test = test_transfer, .nr = NR_TRANSFERS },
};

static const struct dio_case on_targets[] = {
	{ "refuses the memory", .test_on = refused_on },
};

static const struct dio_case cases[] = {
	{ .label = label_test, .test = test_with_memory, .nr = ARRAY_SIZE(tests) },
};

static void all_cases(void)
{
	char prefix[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		place = &places[i];
		snprintf(prefix, sizeof(prefix), "p2pdma %s,", place->name);
		dio_prefix(prefix);
		if (!dio_cases_wanted(transfers, ARRAY_SIZE(transfers), NULL))
			continue;
		if (dio_running())
			place_fd = place->fs ? fs_open(place->fs, NULL, O_DIRECT) :
				   open_disk(place->disk);
		dio_cases(transfers, ARRAY_SIZE(transfers), NULL);
		if (dio_running() && place->fs)
			fs_close(place_fd);
		else if (dio_running())
			close(place_fd);
	}
	dio_prefix("p2pdma");
	dio_cases_on_targets(on_targets, ARRAY_SIZE(on_targets), NULL);
	dio_cases(cases, ARRAY_SIZE(cases), NULL);
}

/* Find the PCI device that a disk is: its directory is the same for a second path. */
static void find(enum disk d)
{
	char path[120];

	paths[d] = getenv(disks[d].variable);
	if (!paths[d] || strncmp(paths[d], "/dev/nvme", strlen("/dev/nvme")))
		dio_skip_all("%s names no NVMe disk: P2P=1 ci/guest/boot has one\n",
			     disks[d].variable);
	snprintf(path, sizeof(path), "/sys/class/block/%s/device/device",
		 paths[d] + strlen("/dev/"));
	if (!realpath(path, pci[d]))
		dio_skip_all("%s: %s\n", path, strerror(errno));
}

static void start(void)
{
	enum disk d;
	int fd;

	dio_disk_init();
	for (d = 0; d < NR_DISKS; d++)
		find(d);
	fd = open_allocate(OWN, O_RDWR);
	if (fd < 0)
		dio_skip_all("p2pmem/allocate of %s: %s\n", paths[OWN], strerror(errno));
	close(fd);
	host = dio_map(SIZE, PAGE, false);
}

static const struct dio_option options[] = {
	DIO_OPTION_TARGETS,
	{ 0 }
};

int main(int argc, char **argv)
{
	static const struct dio_program program = {
		.options = options, .defaults = dio_target_only_network, .start = start,
		.cases = all_cases,
	};

	return dio_main(&program, argc, argv);
}
