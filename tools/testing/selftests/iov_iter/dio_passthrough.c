// SPDX-License-Identifier: GPL-2.0
/*
 * Commands that a process gives to a SCSI or NVMe device itself: SG_IO on disks,
 * sg and bsg nodes, the ioctls of NVMe and io_uring's NVMe commands.
 *
 * block/blk-map.c puts the process's own pages into the command where it can,
 * and copies where alignment or the limits of the queue forbid it.  Either way
 * the data must be right, no page may stay behind, and a read in flight while
 * the process forks must reach the process that gave it (see dio_fork.c).
 *
 *	scsi_debug	data, errors, leaks
 *	nvme		data, errors, leaks: a device to overwrite, IOV_ITER_NVME
 *	tcm_loop	a SCSI disk that ends in dm-delay: limits, fork
 *	nvmet		an NVMe device that ends in dm-delay, through the kernel's own
 *			target: fork
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/bsg.h>
#include <linux/nvme_ioctl.h>
#include <net/if.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "lib/area.h"
#include "lib/cases.h"
#include "lib/disk.h"
#include "lib/dm.h"
#include "lib/memory.h"
#include "lib/result.h"
#include "lib/system.h"

#define HUGE_SIZE	(2 * DIO_MIB)
/* More than any device here takes in one command, and READ(10) can still ask for */
#define TOO_MUCH	(16 * DIO_MIB)
#define MAX_VECTORS	600
#define POSITION	DIO_MIB		/* of what is read and written */
#define DEVICE_SECTORS	(64 * DIO_MIB / DIO_BLOCK)
/* A command that is held must not be given up before the test does so. */
#define TIMEOUT_MS	(4 * DIO_DEADLINE_SECONDS * 1000)

#define READ_10		0x28
#define WRITE_10	0x2a
#define NVME_WRITE	1
#define NVME_READ	2

static const struct dio_shape shapes[] = {
	{ "a page", 0, 4096, 0, 1, .quick = true },
	{ "offset 512", 512, 1024, 0, 1, .fork = true, .quick = true },
	{ "unaligned", 1, 1024, 0, 1, .quick = true },
	{ "64 KiB", 0, 65536, 0, 1 },
	{ "64 KiB at 512", 512, 65536, 0, 1, .fork = true },
	{ "huge page", 4096, 262144, 0, 1, .huge = true },
	{ "two adjacent in one page", 512, 512, 512, 2, .fork = true, .quick = true },
	{ "two apart in one page", 512, 512, 1024, 2, .quick = true },
	{ "16 pages", 0, 4096, 8192, 16, .quick = true },
	/* More than fit into one bio */
	{ "600 apart", 512, 512, 1024, MAX_VECTORS },
};

static const struct dio_shape one_page = { "a page", 0, 4096, 0, 1 };
static const struct dio_shape two_pages = { "two pages", 0, 4096, 4096, 2 };
static const struct dio_shape adjacent = { "adjacent", 0, 512, 512, 2 };
static const struct dio_shape too_much = { "too much", 0, TOO_MUCH, 0, 1 };

static bool quick;

static bool shape_wanted(const struct dio_shape *s)
{
	return !quick || s->quick;
}

enum node {
	NODE_DISK,
	NODE_SG,
	NODE_BSG,
	NODE_NVME,		/* the character device */
	NR_NODES,
};

enum disk_id {
	SCSI_DEBUG,
	NVME,
	TCM_LOOP,
	NVMET,
	NR_DISKS,
};

struct disk {
	enum disk_id id;
	const char *skip;
	int fd[NR_NODES];
	const char *lacks[NR_NODES];	/* why there is no fd */
	unsigned int nsid;
};

struct command {
	bool write;
	int direction;		/* of SG_IO, if not what follows from @write */
	const struct iovec *iov;
	unsigned int nr;
	size_t length;
	size_t asked;		/* of the device, if not @length */
};

static unsigned int nr_blocks(const struct command *c)
{
	return (c->asked ? c->asked : c->length) / DIO_BLOCK;
}

static void fill_cdb(unsigned char *cdb, const struct command *c)
{
	unsigned int lba = POSITION / DIO_BLOCK, blocks = nr_blocks(c);

	memset(cdb, 0, 10);
	cdb[0] = c->write ? WRITE_10 : READ_10;
	cdb[2] = lba >> 24;
	cdb[3] = lba >> 16;
	cdb[4] = lba >> 8;
	cdb[5] = lba;
	cdb[7] = blocks >> 8;
	cdb[8] = blocks;
}

static int sg_io(int fd, const struct command *c, unsigned int flags)
{
	unsigned char cdb[10], sense[32];
	struct sg_io_hdr h = {
		.interface_id = 'S',
		.dxfer_direction = c->write ? SG_DXFER_TO_DEV : SG_DXFER_FROM_DEV,
		.cmd_len = sizeof(cdb),
		.mx_sb_len = sizeof(sense),
		.dxfer_len = c->length,
		.dxferp = c->iov[0].iov_base,
		.cmdp = cdb,
		.sbp = sense,
		.timeout = TIMEOUT_MS,
		.flags = flags,
	};

	fill_cdb(cdb, c);
	if (c->direction)
		h.dxfer_direction = c->direction;
	if (c->nr > 1) {
		h.iovec_count = c->nr;
		h.dxferp = (void *)c->iov;
	}
	if (ioctl(fd, SG_IO, &h))
		return -errno;
	return (h.info & SG_INFO_OK_MASK) == SG_INFO_OK ? 0 : -EIO;
}

static int give_sd(const struct disk *d, const struct command *c)
{
	return sg_io(d->fd[NODE_DISK], c, 0);
}

static int give_sg(const struct disk *d, const struct command *c)
{
	return sg_io(d->fd[NODE_SG], c, 0);
}

static int give_sg_direct(const struct disk *d, const struct command *c)
{
	return sg_io(d->fd[NODE_SG], c, SG_FLAG_DIRECT_IO);
}

static int give_bsg(const struct disk *d, const struct command *c)
{
	unsigned char cdb[10], sense[32];
	struct sg_io_v4 h = {
		.guard = 'Q',
		.protocol = BSG_PROTOCOL_SCSI,
		.subprotocol = BSG_SUB_PROTOCOL_SCSI_CMD,
		.request_len = sizeof(cdb),
		.request = (uintptr_t)cdb,
		.max_response_len = sizeof(sense),
		.response = (uintptr_t)sense,
		.timeout = TIMEOUT_MS,
	};

	fill_cdb(cdb, c);
	if (c->write) {
		h.dout_xferp = (uintptr_t)c->iov[0].iov_base;
		h.dout_xfer_len = c->length;
	} else {
		h.din_xferp = (uintptr_t)c->iov[0].iov_base;
		h.din_xfer_len = c->length;
	}
	if (ioctl(d->fd[NODE_BSG], SG_IO, &h))
		return -errno;
	return h.device_status || h.transport_status || h.driver_status ? -EIO : 0;
}

/* The status of an NVMe device is positive. */
static int nvme_result(int ret)
{
	return ret > 0 ? -EIO : ret;
}

static int give_nvme(const struct disk *d, const struct command *c)
{
	struct nvme_passthru_cmd cmd = {
		.opcode = c->write ? NVME_WRITE : NVME_READ,
		.nsid = d->nsid,
		.addr = (uintptr_t)c->iov[0].iov_base,
		.data_len = c->length,
		.cdw10 = POSITION / DIO_BLOCK,
		.cdw12 = nr_blocks(c) - 1,
		.timeout_ms = TIMEOUT_MS,
	};
	int ret = ioctl(d->fd[NODE_DISK], NVME_IOCTL_IO_CMD, &cmd);

	return nvme_result(ret < 0 ? -errno : ret);
}

static int give_nvme_vec(const struct disk *d, const struct command *c)
{
	struct nvme_passthru_cmd64 cmd = {
		.opcode = c->write ? NVME_WRITE : NVME_READ,
		.nsid = d->nsid,
		.addr = (uintptr_t)c->iov,
		.vec_cnt = c->nr,
		.cdw10 = POSITION / DIO_BLOCK,
		.cdw12 = nr_blocks(c) - 1,
		.timeout_ms = TIMEOUT_MS,
	};
	int ret = ioctl(d->fd[NODE_DISK], NVME_IOCTL_IO64_CMD_VEC, &cmd);

	return nvme_result(ret < 0 ? -errno : ret);
}

static struct io_uring ring;
static bool ring_there;

static const char *ring_open(void)
{
	static char reason[80];
	int ret;

	if (ring_there)
		return NULL;
	ret = io_uring_queue_init(1, &ring, IORING_SETUP_SQE128 | IORING_SETUP_CQE32);
	ring_there = !ret;
	snprintf(reason, sizeof(reason), "no io_uring with big entries: %s", strerror(-ret));
	return ret ? reason : NULL;
}

static int uring_cmd(const struct disk *d, const struct command *c,
		     unsigned int op, unsigned int flags)
{
	bool vec = op == NVME_URING_CMD_IO_VEC;
	struct nvme_uring_cmd *cmd;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	int ret;

	sqe = io_uring_get_sqe(&ring);
	if (!sqe)
		return -EAGAIN;
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = d->fd[NODE_NVME];
	sqe->cmd_op = op;
	sqe->uring_cmd_flags = flags;
	cmd = (struct nvme_uring_cmd *)sqe->cmd;
	cmd->opcode = c->write ? NVME_WRITE : NVME_READ;
	cmd->nsid = d->nsid;
	cmd->addr = (uintptr_t)(vec ? c->iov : c->iov[0].iov_base);
	cmd->data_len = vec ? c->nr : c->length;
	cmd->cdw10 = POSITION / DIO_BLOCK;
	cmd->cdw12 = nr_blocks(c) - 1;
	cmd->timeout_ms = TIMEOUT_MS;

	ret = io_uring_submit(&ring);
	if (ret != 1)
		return ret < 0 ? ret : -EAGAIN;
	do {
		ret = io_uring_wait_cqe(&ring, &cqe);
	} while (ret == -EINTR);
	if (ret)
		return ret;
	ret = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return nvme_result(ret);
}

static int give_uring(const struct disk *d, const struct command *c)
{
	return uring_cmd(d, c, NVME_URING_CMD_IO, 0);
}

static int give_uring_vec(const struct disk *d, const struct command *c)
{
	return uring_cmd(d, c, NVME_URING_CMD_IO_VEC, 0);
}

static int give_uring_fixed(const struct disk *d, const struct command *c)
{
	int ret;

	ret = io_uring_register_buffers(&ring, c->iov, 1);
	if (ret)
		return ret;
	ret = uring_cmd(d, c, NVME_URING_CMD_IO, IORING_URING_CMD_FIXED);
	io_uring_unregister_buffers(&ring);
	return ret;
}

static const struct way {
	const char *name;
	bool nvme;
	enum node node;
	bool vectors;
	bool fixed;		/* registered: must be writable */
	int (*give)(const struct disk *d, const struct command *c);
} ways[] = {
	{ "sd", false, NODE_DISK, .vectors = true, .give = give_sd },
	{ "sg", false, NODE_SG, .vectors = true, .give = give_sg },
	{ "sg direct", false, NODE_SG, .give = give_sg_direct },
	{ "bsg", false, NODE_BSG, .give = give_bsg },
	{ "ioctl", true, NODE_DISK, .give = give_nvme },
	{ "ioctl vec", true, NODE_DISK, .vectors = true, .give = give_nvme_vec },
	{ "uring", true, NODE_NVME, .give = give_uring },
	{ "uring vec", true, NODE_NVME, .vectors = true, .give = give_uring_vec },
	{ "uring fixed", true, NODE_NVME, .fixed = true, .give = give_uring_fixed },
};

/* Give the command that @a is for; 0 or a negative errno. */
static int give(const struct disk *d, const struct way *w, const struct dio_area *a, bool write)
{
	struct command c = {
		.write = write,
		.iov = a->iov,
		.nr = a->shape->nr,
		.length = dio_shape_length(a->shape),
	};

	return w->give(d, &c);
}

/* One line of a small file, without its end */
static int read_line(char *line, size_t size, const char *path)
{
	int ret = dio_read_file(line, size, path);

	if (!ret)
		line[strcspn(line, "\n")] = '\0';
	return ret;
}

/*
 * The first entry of @dir that starts with @prefix and, if @file is given, has
 * a file of that name whose content starts with @content
 */
static bool find_entry(char *name, size_t size, const char *dir, const char *prefix,
		       const char *file, const char *content)
{
	struct dirent *entry;
	bool found = false;
	DIR *entries;

	entries = opendir(dir);
	if (!entries)
		return false;
	while (!found && (entry = readdir(entries))) {
		char path[512], line[256];

		if (entry->d_name[0] == '.' ||
		    strncmp(entry->d_name, prefix, strlen(prefix)))
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s", dir, entry->d_name,
			 file ? file : "");
		if (file && (read_line(line, sizeof(line), path) ||
			     strncmp(line, content, strlen(content))))
			continue;
		found = snprintf(name, size, "%s", entry->d_name) < (int)size;
	}
	closedir(entries);
	return found;
}

/* Settings of modules, put back at the end */
static struct setting {
	const char *path;
	const char *value;
	char old[16];
	bool changed;
} settings[] = {
	/* Commands of scsi_debug would take a tick each. */
	{ "/sys/bus/pseudo/drivers/scsi_debug/delay", "0" },
	/* Without it sg copies always. */
	{ "/sys/module/sg/parameters/allow_dio", "1" },
};

static void settings_change(void)
{
	struct setting *s;

	for (s = settings; s < settings + ARRAY_SIZE(settings); s++)
		if (!s->changed && !read_line(s->old, sizeof(s->old), s->path))
			s->changed = !dio_write_file(s->value, "%s", s->path);
}

static void settings_restore(void)
{
	struct setting *s;

	for (s = settings; s < settings + ARRAY_SIZE(settings); s++) {
		if (s->changed)
			dio_write_file(s->old, "%s", s->path);
		s->changed = false;
	}
}

/* What configfs is told, step by step; undone in the reverse order */
#define CONFIG	"/sys/kernel/config/"

struct step {
	enum {
		STEP_MAKE,	/* a directory */
		STEP_WRITE,
		STEP_LINK,
	} what;
	const char *path;
	const char *value;
	bool device;		/* the path of the dm-delay device follows */
	bool shared;		/* may be there already */
	bool feature;		/* if it fails, the kernel was built without it */
};

#define LIO_CORE	"target/core/iblock_7731"
#define LIO_DISK	LIO_CORE "/iov_iter"
#define LIO_NAME	"naa.5001405773100001"
#define LIO_LOOP	"target/loopback/" LIO_NAME
#define LIO_TPG		LIO_LOOP "/tpgt_1"
#define LIO_LUN		LIO_TPG "/lun/lun_0"

static const struct step lio_steps[] = {
	{ STEP_MAKE, LIO_CORE, .feature = true },
	{ STEP_MAKE, LIO_DISK },
	{ STEP_WRITE, LIO_DISK "/control", "udev_path=", .device = true },
	{ STEP_WRITE, LIO_DISK "/enable", "1" },
	{ STEP_MAKE, "target/loopback", .shared = true, .feature = true },
	{ STEP_MAKE, LIO_LOOP },
	{ STEP_MAKE, LIO_TPG },
	{ STEP_WRITE, LIO_TPG "/nexus", LIO_NAME },
	{ STEP_MAKE, LIO_LUN },
	{ STEP_LINK, LIO_LUN "/iov_iter", LIO_DISK },
};

#define NVMET_NQN	"nqn.2014-08.org.kernel:iov_iter"
#define NVMET_SUBSYS	"nvmet/subsystems/" NVMET_NQN
#define NVMET_NS	NVMET_SUBSYS "/namespaces/1"
#define NVMET_PORT	"nvmet/ports/7731"
#define NVMET_SERVICE	"7731"

/* The direct way first, which few kernels have: the pages go straight to dm-delay. */
static const struct transport {
	const char *name, *target_module, *host_module, *options;
} transports[] = {
	{ "loop", "nvmet", "nvme-loop", "transport=loop" },
	{ "tcp", "nvmet-tcp", "nvme-tcp",
	  "transport=tcp,traddr=127.0.0.1,trsvcid=" NVMET_SERVICE },
}, *transport;

static const struct step nvmet_steps[] = {
	{ STEP_MAKE, NVMET_SUBSYS },
	{ STEP_WRITE, NVMET_SUBSYS "/attr_allow_any_host", "1" },
	{ STEP_MAKE, NVMET_NS },
	{ STEP_WRITE, NVMET_NS "/device_path", "", .device = true },
	{ STEP_WRITE, NVMET_NS "/enable", "1" },
	{ STEP_MAKE, NVMET_PORT },
	{ STEP_WRITE, NVMET_PORT "/addr_trtype", NULL },	/* the transport */
	{ STEP_WRITE, NVMET_PORT "/addr_adrfam", "ipv4" },
	{ STEP_WRITE, NVMET_PORT "/addr_traddr", "127.0.0.1" },
	{ STEP_WRITE, NVMET_PORT "/addr_trsvcid", NVMET_SERVICE },
	{ STEP_LINK, NVMET_PORT "/subsystems/" NVMET_NQN, NVMET_SUBSYS, .feature = true },
};

struct config {
	const struct step *steps;
	unsigned int nr;
	bool undo[16];
};

static struct config lio = { lio_steps, ARRAY_SIZE(lio_steps) };
static struct config nvmet = { nvmet_steps, ARRAY_SIZE(nvmet_steps) };

static int step_do(const struct step *s, bool *undo)
{
	char path[300], value[300];
	int ret;

	snprintf(path, sizeof(path), CONFIG "%s", s->path);
	if (s->what == STEP_WRITE) {
		snprintf(value, sizeof(value), "%s%s", s->value ? s->value : transport->name,
			 s->device ? dio_delay_path() : "");
		return dio_write_file(value, "%s", path);
	}
	if (s->what == STEP_LINK) {
		snprintf(value, sizeof(value), CONFIG "%s", s->value);
		ret = symlink(value, path) ? -errno : 0;
	} else {
		ret = mkdir(path, 0755) ? -errno : 0;
		if (ret == -EEXIST && s->shared)
			return 0;
	}
	*undo = !ret;
	return ret;
}

/* NULL, or what the kernel lacks for it */
static const char *config_apply(struct config *config)
{
	static char reason[200];
	unsigned int i;

	for (i = 0; i < config->nr; i++) {
		const struct step *s = &config->steps[i];
		int ret = step_do(s, &config->undo[i]);

		if (!ret)
			continue;
		if (!s->feature)
			dio_die(CONFIG "%s: %s\n", s->path, strerror(-ret));
		snprintf(reason, sizeof(reason), CONFIG "%s: %s", s->path, strerror(-ret));
		return reason;
	}
	return NULL;
}

static void config_undo(struct config *config)
{
	unsigned int i = config->nr;

	while (i--) {
		char path[300];

		if (!config->undo[i])
			continue;
		config->undo[i] = false;
		snprintf(path, sizeof(path), CONFIG "%s", config->steps[i].path);
		if (config->steps[i].what == STEP_LINK ? unlink(path) : rmdir(path))
			dio_print("%s stays behind: %s\n", path, strerror(errno));
	}
}

/* What is missing shows up later. */
static bool modprobe(const char *module)
{
	const char * const argv[] = { "modprobe", module, NULL };

	return !dio_run(argv);
}

static void node_open(struct disk *d, enum node which, const char *path, int flags)
{
	static char reasons[NR_NODES][200];

	d->fd[which] = open(path, O_RDWR | O_CLOEXEC | flags);
	if (d->fd[which] >= 0)
		return;
	snprintf(reasons[which], sizeof(reasons[which]), "%s: %s", path, strerror(errno));
	d->lacks[which] = reasons[which];
}

/* All I/O is in blocks of DIO_BLOCK bytes; O_EXCL: nobody else may use the disk. */
static const char *disk_node_open(struct disk *d, const char *path)
{
	unsigned long long sectors, start = dio_now_ms();
	unsigned int block;
	int ret;

	/* The node of a new disk is there a little before it can be opened. */
	do {
		ret = dio_device_size(path, &sectors, &block);
	} while (ret == -ENXIO && !dio_expired(start));
	if (ret)
		return ret == -ENOENT ? "there is no such disk" : strerror(-ret);
	if (block != DIO_BLOCK)
		return "its logical blocks are not of 512 bytes";
	if (sectors * DIO_BLOCK < 4 * DIO_MIB)
		return "it has less than 4 MiB";
	node_open(d, NODE_DISK, path, O_DIRECT | O_EXCL);
	return d->lacks[NODE_DISK];
}

#define SCSI_DEVICES	"/sys/bus/scsi/devices"

/* @address: HOST:CHANNEL:TARGET:LUN */
static const char *scsi_nodes_open(struct disk *d, const char *address)
{
	unsigned long long start = dio_now_ms();
	char dir[128], name[64], path[128];
	const char *reason;

	/* The disk of a SCSI device is added in the background. */
	snprintf(dir, sizeof(dir), SCSI_DEVICES "/%s/block", address);
	while (!find_entry(name, sizeof(name), dir, "", NULL, NULL))
		if (dio_expired(start))
			dio_die("there is no disk in %s\n", dir);
	snprintf(path, sizeof(path), "/dev/%s", name);
	while (access(path, F_OK))
		if (dio_expired(start))
			dio_die("there is no %s\n", path);
	reason = disk_node_open(d, path);
	if (reason)
		return reason;

	snprintf(dir, sizeof(dir), SCSI_DEVICES "/%s/scsi_generic", address);
	if (find_entry(name, sizeof(name), dir, "sg", NULL, NULL)) {
		snprintf(path, sizeof(path), "/dev/%s", name);
		node_open(d, NODE_SG, path, 0);
	} else {
		d->lacks[NODE_SG] = "the disk has no sg node";
	}
	snprintf(path, sizeof(path), "/dev/bsg/%s", address);
	node_open(d, NODE_BSG, path, 0);
	settings_change();
	return NULL;
}

static bool scsi_debug_loaded;

static const char *scsi_debug_open(struct disk *d)
{
	char address[64];
	bool found;

	found = find_entry(address, sizeof(address), SCSI_DEVICES, "", "model", "scsi_debug");
	if (!found) {
		scsi_debug_loaded = modprobe("scsi_debug");
		found = find_entry(address, sizeof(address), SCSI_DEVICES, "",
				   "model", "scsi_debug");
	}
	return found ? scsi_nodes_open(d, address) : "there is no scsi_debug disk";
}

/* @suffix: 0n1 for nvme0n1, whose character device is ng0n1 */
static const char *nvme_nodes_open(struct disk *d, const char *suffix)
{
	const char *reason;
	char path[128];
	int nsid;

	snprintf(path, sizeof(path), "/dev/nvme%s", suffix);
	reason = disk_node_open(d, path);
	if (reason)
		return reason;
	nsid = ioctl(d->fd[NODE_DISK], NVME_IOCTL_ID);
	if (nsid <= 0)
		return "it is no NVMe device";
	d->nsid = nsid;
	d->lacks[NODE_NVME] = ring_open();
	if (!d->lacks[NODE_NVME]) {
		snprintf(path, sizeof(path), "/dev/ng%s", suffix);
		node_open(d, NODE_NVME, path, 0);
	}
	return NULL;
}

static const char *nvme_open(struct disk *d)
{
	const char *path = getenv("IOV_ITER_NVME");

	if (!path)
		return "IOV_ITER_NVME names no NVMe device to overwrite";
	if (strncmp(path, "/dev/nvme", 9))
		return "IOV_ITER_NVME is not like /dev/nvme0n1";
	return nvme_nodes_open(d, path + strlen("/dev/nvme"));
}

static void delay_open(void)
{
	unsigned long long sectors;
	unsigned int block;
	int ret;

	ret = dio_device_size(dio_disk_path(), &sectors, &block);
	if (!ret)
		ret = dio_delay_open(dio_disk_path(),
				     sectors < DEVICE_SECTORS ? sectors : DEVICE_SECTORS, false);
	if (ret)
		dio_die("dm-delay: %s\n", strerror(-ret));
}

static const char *tcm_loop_open(struct disk *d)
{
	char address[64];
	const char *reason;

	modprobe("target_core_mod");
	modprobe("target_core_iblock");
	modprobe("tcm_loop");
	mount("none", "/sys/kernel/config", "configfs", 0, "");
	if (access(CONFIG "target/core", F_OK))
		return "there is no SCSI target in configfs";
	delay_open();
	reason = config_apply(&lio);
	if (reason)
		return reason;
	if (read_line(address, sizeof(address) - 2, CONFIG LIO_TPG "/address"))
		dio_die(CONFIG LIO_TPG "/address cannot be read\n");
	strcat(address, ":0");
	return scsi_nodes_open(d, address);
}

static bool lo_raised;

/* True if the state of the loopback interface was another one */
static bool lo_set(bool up)
{
	struct ifreq request = { .ifr_name = "lo" };
	bool changed = false;
	int fd;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (!ioctl(fd, SIOCGIFFLAGS, &request) && !!(request.ifr_flags & IFF_UP) != up) {
		request.ifr_flags ^= IFF_UP;
		changed = !ioctl(fd, SIOCSIFFLAGS, &request);
	}
	close(fd);
	return changed;
}

static int nvme_controller = -1;	/* that nvmet_connect() made */

static const char *nvmet_connect(void)
{
	static char reason[96];
	char options[256], answer[64];
	ssize_t n;
	int fd;

	fd = open("/dev/nvme-fabrics", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return "there is no /dev/nvme-fabrics";
	snprintf(options, sizeof(options), "%s,nqn=%s,nr_io_queues=1,keep_alive_tmo=120",
		 transport->options, NVMET_NQN);
	if (write(fd, options, strlen(options)) < 0) {
		snprintf(reason, sizeof(reason), "NVMe over %s does not connect: %s",
			 transport->name, strerror(errno));
		close(fd);
		return reason;
	}
	n = read(fd, answer, sizeof(answer) - 1);
	close(fd);
	answer[n < 0 ? 0 : n] = '\0';
	if (sscanf(answer, "instance=%d", &nvme_controller) != 1)
		dio_die("/dev/nvme-fabrics answers '%s'\n", answer);
	return NULL;
}

static const char *nvmet_open(struct disk *d)
{
	unsigned long long start = dio_now_ms();
	char name[64], path[128];
	const char *reason;

	modprobe("nvmet");
	mount("none", "/sys/kernel/config", "configfs", 0, "");
	if (access(CONFIG "nvmet/ports", F_OK))
		return "there is no NVMe target in configfs";
	lo_raised = lo_set(true);
	delay_open();
	for (transport = transports; ; transport++) {
		modprobe(transport->target_module);
		modprobe(transport->host_module);
		reason = config_apply(&nvmet);
		if (!reason)
			reason = nvmet_connect();
		if (!reason)
			break;
		config_undo(&nvmet);
		if (transport == transports + ARRAY_SIZE(transports) - 1)
			return reason;
	}

	/*
	 * Namespaces are looked for in the background.  With multipath there is
	 * a hidden disk for each path, but one character device.
	 */
	while (!find_entry(name, sizeof(name), "/sys/class/nvme-generic", "ng",
			   "device/subsysnqn", NVMET_NQN))
		if (dio_expired(start))
			dio_die("NVMe over %s shows no namespace\n", transport->name);
	snprintf(path, sizeof(path), "/dev/%s", name);
	while (access(path, F_OK))
		if (dio_expired(start))
			dio_die("there is no %s\n", path);
	return nvme_nodes_open(d, name + strlen("ng"));
}

static bool holding;

/* Takes down whatever was set up, in part or wholly. */
static void disks_take_down(void)
{
	static const char * const unload[] = { "modprobe", "-r", "scsi_debug", NULL };

	if (holding)
		dio_release();
	holding = false;
	if (nvme_controller >= 0)
		dio_write_file("1", "/sys/class/nvme/nvme%d/delete_controller",
			       nvme_controller);
	nvme_controller = -1;
	config_undo(&nvmet);
	config_undo(&lio);
	if (scsi_debug_loaded)
		dio_run(unload);
	scsi_debug_loaded = false;
	if (lo_raised)
		lo_set(false);
	lo_raised = false;
	dio_delay_close();
}

static const struct disk_kind {
	const char *name;
	bool nvme;
	const char *(*open)(struct disk *d);
} disk_kinds[NR_DISKS] = {
	[SCSI_DEBUG]	= { "scsi_debug", false, scsi_debug_open },
	[NVME]		= { "nvme", true, nvme_open },
	[TCM_LOOP]	= { "tcm_loop", false, tcm_loop_open },
	[NVMET]		= { "nvmet", true, nvmet_open },
};

static void disk_open(struct disk *d, enum disk_id id)
{
	unsigned int i;

	memset(d, 0, sizeof(*d));
	d->id = id;
	for (i = 0; i < NR_NODES; i++)
		d->fd[i] = -1;
	d->skip = disk_kinds[id].open(d);
}

static void disk_close(struct disk *d)
{
	unsigned int i;

	for (i = 0; i < NR_NODES; i++)
		if (d->fd[i] >= 0)
			close(d->fd[i]);
	disks_take_down();
}

static const char *way_skip(const struct disk *d, const struct way *w)
{
	if (dio_results.dry)
		return "nothing is done";
	return d->skip ? d->skip : d->lacks[w->node];
}

/* What the disk holds where commands go, and a block on either side */
static unsigned char *image;

static void disk_fill(const struct disk *d, size_t length, unsigned char salt)
{
	size_t i;

	for (i = 0; i < length + 2 * DIO_BLOCK; i++)
		image[i] = dio_data(salt, i);
	dio_full_pwrite(d->fd[NODE_DISK], image, length + 2 * DIO_BLOCK, POSITION - DIO_BLOCK);
}

/* How many bytes of the disk differ from @salt around and @inside a transfer */
static size_t disk_wrong(const struct disk *d, size_t length, unsigned char salt,
			 unsigned char inside)
{
	size_t i, wrong = 0;

	dio_full_pread(d->fd[NODE_DISK], image, length + 2 * DIO_BLOCK, POSITION - DIO_BLOCK);
	for (i = 0; i < length + 2 * DIO_BLOCK; i++) {
		bool around = i < DIO_BLOCK || i >= DIO_BLOCK + length;

		wrong += image[i] != dio_data(around ? salt : inside, i);
	}
	return wrong;
}

static const char *unexpected(int ret)
{
	return ret ? strerror(-ret) : "no error";
}

static const char *read_problem(const struct disk *d, const struct way *w, struct dio_area *a)
{
	unsigned char salt = dio_next_salt();
	int ret;

	disk_fill(d, dio_shape_length(a->shape), salt);
	dio_area_fill(a, 0, false);
	ret = give(d, w, a, false);
	if (ret)
		return unexpected(ret);
	return dio_wrong_bytes(dio_area_wrong(a, salt, true), 0);
}

static const char *write_problem(const struct disk *d, const struct way *w, struct dio_area *a,
				 bool read_only)
{
	unsigned char old = dio_next_salt(), new = dio_next_salt();
	size_t length = dio_shape_length(a->shape);
	int ret;

	disk_fill(d, length, old);
	dio_area_fill(a, new, true);
	if (read_only && mprotect(a->mem, a->size, PROT_READ))
		dio_die("mprotect: %s\n", strerror(errno));
	ret = give(d, w, a, true);
	if (ret)
		return unexpected(ret);
	return dio_wrong_bytes(dio_area_wrong(a, new, true), disk_wrong(d, length, old, new));
}

static void result(const char *name, const char *claim, const char *skip, const char *problem)
{
	char full[128];

	snprintf(full, sizeof(full), "%s: %s", name, claim);
	if (skip)
		dio_result_skip(full, skip);
	else
		dio_result(full, problem);
}

static void data_case(const struct disk *d, const struct way *w, const struct dio_shape *s)
{
	const char *skip = way_skip(d, w), *problem = NULL;
	struct dio_area a = { 0 };
	char name[80];

	snprintf(name, sizeof(name), "%s %s %s", disk_kinds[d->id].name, w->name, s->name);
	dio_area_open(&a, s);
	dio_area_fill(&a, 0, false);
	if (!skip && s->huge && !dio_is_huge(a.mem))
		skip = "the kernel gave no huge page";
	if (!skip)
		problem = read_problem(d, w, &a);
	result(name, "read", skip, problem);
	if (!skip)
		problem = write_problem(d, w, &a, false);
	result(name, "write", skip, problem);
	dio_area_close(&a);
}

static void read_only_case(const struct disk *d, const struct way *w)
{
	const char *skip = way_skip(d, w), *problem = NULL;
	struct dio_area a = { 0 };
	char name[80];

	snprintf(name, sizeof(name), "%s %s", disk_kinds[d->id].name, w->name);
	dio_area_open(&a, &one_page);
	if (!skip)
		problem = write_problem(d, w, &a, true);
	result(name, "write from read-only memory", skip, problem);
	dio_area_close(&a);
}

/*
 * With SG_DXFER_TO_FROM_DEV, what the device leaves of the memory stays as it
 * was, even though sg copies: here it gives some blocks of eight.
 */
static void to_from_case(const struct disk *d, const struct way *w, unsigned int blocks)
{
	const char *skip = way_skip(d, w), *problem = NULL;
	struct command c = { .direction = SG_DXFER_TO_FROM_DEV, .nr = 1 };
	struct dio_shape given = { "", 0, blocks * DIO_BLOCK, 0, 1 };
	unsigned char salt = dio_next_salt();
	struct dio_area a = { 0 };
	char name[80];
	int ret;

	snprintf(name, sizeof(name), "%s %s to and from",
		 disk_kinds[d->id].name, w->name);
	dio_area_open(&a, &given);
	dio_area_fill(&a, 0, false);
	c.iov = a.iov;
	c.length = 8 * DIO_BLOCK;
	c.asked = given.length;
	if (!skip) {
		disk_fill(d, given.length, salt);
		ret = w->give(d, &c);
		problem = ret ? unexpected(ret) :
				dio_wrong_bytes(dio_area_wrong(&a, salt, true), 0);
	}
	result(name, blocks < 8 ? "read of less than the memory" : "read", skip, problem);
	dio_area_close(&a);
}

enum damage {
	NONE,
	READ_ONLY,
	SECOND_UNMAPPED,
};

/* The same command again and again, each time from memory that is new */
struct repetition {
	const struct dio_shape *shape;
	enum damage damage;
	bool write;
	unsigned int times;
};

/* Of a disk, in a way, for dio_leak_problem() */
struct repetition_of {
	const struct disk *disk;
	const struct way *way;
	const struct repetition *repetition;
};

/* What the last one returned */
static int repeat(const struct disk *d, const struct way *w, const struct repetition *r,
		  unsigned int times)
{
	static struct dio_area a;
	int ret = 0;

	while (times--) {
		dio_area_open(&a, r->shape);
		if (r->damage == READ_ONLY)
			mprotect(a.mem, a.size, PROT_READ);
		else if (r->damage == SECOND_UNMAPPED)
			munmap(a.iov[1].iov_base, dio_page_size);
		ret = give(d, w, &a, r->write);
		dio_area_close(&a);
	}
	return ret;
}

static const char *repeat_of(const void *arg, unsigned int times)
{
	const struct repetition_of *of = arg;

	repeat(of->disk, of->way, of->repetition, times);
	return NULL;
}

static const char *leak_problem(const struct disk *d, const struct way *w,
				const struct repetition *r)
{
	const struct repetition_of of = { d, w, r };

	/* What is allocated once is allocated now. */
	repeat(d, w, r, r->times / 8 + 1);
	return dio_leak_problem(repeat_of, &of, r->times);
}

static void leak_case(const struct disk *d, const struct way *w)
{
	const struct repetition r = { &adjacent, .times = quick ? 500 : 2000 };
	const char *skip = way_skip(d, w), *problem = NULL;
	char name[80];
	int ret;

	snprintf(name, sizeof(name), "%s %s two adjacent in one page",
		 disk_kinds[d->id].name, w->name);
	if (!skip) {
		ret = repeat(d, w, &r, 1);
		problem = ret ? unexpected(ret) : leak_problem(d, w, &r);
	}
	result(name, "no page stays behind", skip, problem);
}

static const struct failure {
	const char *name;
	struct repetition r;
	bool fault;		/* EFAULT, and not one of too much */
} failures[] = {
	{ "read into read-only memory", { &one_page, READ_ONLY, false, 200 }, true },
	{ "read into two pages, one unmapped", { &two_pages, SECOND_UNMAPPED, false, 200 }, true },
	{ "write from two pages, one unmapped", { &two_pages, SECOND_UNMAPPED, true, 200 }, true },
	{ "read of too much", { &too_much, NONE, false, 8 }, false },
	{ "write of too much", { &too_much, NONE, true, 8 }, false },
};

/* The queue of scsi_debug has next to no limits. */
static bool failure_wanted(const struct failure *f, enum disk_id id, const struct way *w)
{
	if (f->r.shape->nr > 1 && !w->vectors)
		return false;
	return f->fault ? id == SCSI_DEBUG || id == NVME : id == TCM_LOOP || id == NVME;
}

static bool is_right_error(const struct failure *f, int ret)
{
	if (f->fault)
		return ret == -EFAULT;
	return ret == -EINVAL || ret == -EIO || ret == -ENOMEM || ret == -E2BIG;
}

static void failure_case(const struct disk *d, const struct way *w, const struct failure *f)
{
	const char *skip = way_skip(d, w), *problem = NULL, *leak = NULL;
	char name[80];
	int ret;

	snprintf(name, sizeof(name), "%s %s %s", disk_kinds[d->id].name, w->name, f->name);
	if (!skip) {
		ret = repeat(d, w, &f->r, 1);
		problem = is_right_error(f, ret) ? NULL : unexpected(ret);
		leak = leak_problem(d, w, &f->r);
	}
	result(name, "fails cleanly", skip, problem);
	result(name, "no page stays behind", skip, leak);
}

/* A read in flight */
struct flight {
	const struct disk *disk;
	const struct way *way;
	struct dio_area area;
	pthread_t thread;
	int result;
};

static void *flight_thread(void *arg)
{
	struct flight *f = arg;

	f->result = give(f->disk, f->way, &f->area, false);
	return NULL;
}

/* Both problems, the child's only if there is no other than LOST data */
static void fork_problems(struct flight *f, const char **parent, const char **child)
{
	struct timespec limit;
	struct dio_area *a = &f->area;
	unsigned char salt = dio_next_salt();
	int pipe_end;
	pid_t pid;
	bool held;

	disk_fill(f->disk, dio_shape_length(a->shape), salt);
	dio_area_fill(a, 0, false);

	dio_hold();
	holding = true;
	if (pthread_create(&f->thread, NULL, flight_thread, f))
		dio_die("there is no thread\n");
	held = dio_wait_held();
	pid = dio_child_start(a, &pipe_end);

	dio_area_store(a);
	held = held && dio_held();
	dio_release();
	holding = false;
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += DIO_DEADLINE_SECONDS;
	if (pthread_timedjoin_np(f->thread, NULL, &limit))
		dio_die("%s %s: the read does not end\n",
			disk_kinds[f->disk->id].name, f->way->name);

	*child = dio_child_problem(pid, pipe_end);
	if (!held || f->result) {
		*parent = f->result ? unexpected(f->result) : "the read did not stay in flight";
		*child = *parent;
		return;
	}
	*parent = dio_area_lost(a, salt);
}

static void fork_case(const struct disk *d, const struct way *w, const struct dio_shape *s)
{
	const char *skip = way_skip(d, w), *parent = NULL, *child = NULL;
	struct flight f = { .disk = d, .way = w };
	char name[80];

	snprintf(name, sizeof(name), "%s %s %s in flight",
		 disk_kinds[d->id].name, w->name, s->name);
	if (!skip) {
		dio_area_open(&f.area, s);
		fork_problems(&f, &parent, &child);
		dio_area_close(&f.area);
	}
	result(name, "parent sees the read", skip, parent);
	result(name, "child sees the bytes of before", skip, child);
}

/* The disk that the cases are done on now */
static struct disk disk;

static bool is_delayed(void)
{
	return disk.id == TCM_LOOP || disk.id == NVMET;
}

static bool fits(const struct way *w)
{
	return w->nvme == disk_kinds[disk.id].nvme;
}

static void shape_cases(unsigned int i)
{
	const struct dio_shape *s = &shapes[i % ARRAY_SIZE(shapes)];
	const struct way *w = &ways[i / ARRAY_SIZE(shapes)];

	if (!fits(w) || !shape_wanted(s) || (s->nr > 1 && !w->vectors) ||
	    (is_delayed() && !s->fork))
		return;
	if (is_delayed())
		fork_case(&disk, w, s);
	else
		data_case(&disk, w, s);
}

static void failure_cases(unsigned int i)
{
	const struct failure *f = &failures[i % ARRAY_SIZE(failures)];
	const struct way *w = &ways[i / ARRAY_SIZE(failures)];

	if (fits(w) && failure_wanted(f, disk.id, w))
		failure_case(&disk, w, f);
}

static void read_only_cases(unsigned int i)
{
	if (fits(&ways[i]) && !is_delayed() && !ways[i].fixed)
		read_only_case(&disk, &ways[i]);
}

static void leak_cases(unsigned int i)
{
	if (fits(&ways[i]) && !is_delayed() && ways[i].vectors)
		leak_case(&disk, &ways[i]);
}

static void to_from_cases(unsigned int i)
{
	if (!fits(&ways[i]) || disk.id != SCSI_DEBUG || ways[i].give != give_sg)
		return;
	to_from_case(&disk, &ways[i], 8);
	to_from_case(&disk, &ways[i], 1);
}

static const struct dio_case cases[] = {
	{ .run = shape_cases, .nr = ARRAY_SIZE(ways) * ARRAY_SIZE(shapes) },
	{ .run = failure_cases, .nr = ARRAY_SIZE(ways) * ARRAY_SIZE(failures) },
	{ .run = read_only_cases, .nr = ARRAY_SIZE(ways) },
	{ .run = leak_cases, .nr = ARRAY_SIZE(ways) },
	{ .run = to_from_cases, .nr = ARRAY_SIZE(ways) },
};

static pid_t owner;

/* Before lib/disk.c takes down what all this is built on */
static void clean_up(void)
{
	if (getpid() != owner)
		return;
	disks_take_down();
	settings_restore();
}

static const struct dio_option options[] = {
	{ 'q', NULL, "the quick subset: small transfers", .flag = &quick },
	{ 0 }
};

static void all_cases(void)
{
	const char *why = "there is no device to command";
	unsigned int id;

	for (id = 0; id < NR_DISKS; id++) {
		disk = (struct disk){ .id = id };
		if (!dio_cases_wanted(cases, ARRAY_SIZE(cases), NULL))
			continue;
		if (dio_running())
			disk_open(&disk, id);
		if (!disk.skip)
			why = NULL;
		dio_cases(cases, ARRAY_SIZE(cases), NULL);
		if (dio_running())
			disk_close(&disk);
	}
	if (dio_running())
		dio_skip_pins(why);
}

static void start(void)
{
	dio_disk_init();
	owner = getpid();
	atexit(clean_up);
	image = dio_map(DIO_MIB, dio_page_size, false);
}

/* With the ring go the pins of buffers that it may still have. */
static void before_pins(void)
{
	settings_restore();
	if (ring_there)
		io_uring_queue_exit(&ring);
}

int main(int argc, char **argv)
{
	static const struct dio_program program = {
		.options = options, .start = start, .cases = all_cases,
		.end = before_pins,
	};

	return dio_main(&program, argc, argv);
}
