// SPDX-License-Identifier: GPL-2.0
/*
 * vhost-scsi: SCSI commands whose data is in memory of a virtual machine, which
 * is memory of the process that has the machine.  This one has none, but rings of
 * its own, and addresses that are the same for the "guest" as for itself.
 *
 *	ramdisk		a ram disk of the target: it copies
 *	disk		a block device of the target, dm-delay: commands in flight
 *	pi		a ram disk with protection information
 *
 * A command that the driver turns down because of its memory is answered with
 * VIRTIO_SCSI_S_BAD_TARGET.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/vhost.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/area.h"
#include "lib/cases.h"
#include "lib/disk.h"
#include "lib/dm.h"
#include "lib/measure.h"
#include "lib/memory.h"
#include "lib/pins.h"
#include "lib/result.h"
#include "lib/system.h"

#define VHOST_SCSI	"/dev/vhost-scsi"
#define POSITION	DIO_MIB		/* of what is read and written */
#define DEVICE_SECTORS	(64 * DIO_MIB / DIO_BLOCK)
#define RAMDISK_SIZE	(16 * DIO_MIB)	/* 4096 pages of the target, which have 4 KiB */
#define QUEUE		2		/* after the control and the event queue */
#define QUEUE_SIZE	256
#define MAX_VECTORS	200
#define MAX_COMMANDS	16		/* at once */
#define MAX_PAGES	2048		/* that a command may have */
#define TUPLE		8		/* bytes of protection information for a block */

#define TEST_UNIT_READY	0x00
#define INQUIRY		0x12
#define READ_10		0x28
#define WRITE_10	0x2a
#define CHECK_CONDITION	2		/* status */
#define NOTHING		0xee		/* response that nobody gives */

static const struct dio_shape shapes[] = {
	{ "512 bytes", 0, 512, 0, 1 },
	{ "a page", 0, 4096, 0, 1 },
	{ "offset 512", 512, 1024, 0, 1, .fork = true },
	{ "over the end of a page", 3584, 1024, 0, 1, .fork = true },
	{ "unaligned", 1, 1024, 0, 1, .odd = true },
	{ "64 KiB at 512", 512, 65536, 0, 1, .fork = true },
	{ "huge page", 4096, 262144, 0, 1, .huge = true },
	{ "two adjacent in one page", 512, 512, 512, 2, .fork = true },
	{ "two apart in one page", 512, 512, 1024, 2 },
	{ "8 adjacent pages", 0, 4096, 4096, 8 },
	{ "16 pages", 0, 4096, 8192, 16 },
	{ "200 apart", 512, 512, 1024, MAX_VECTORS, .fork = true },
	{ "64 unaligned", 7, 1000, 1503, 64, .odd = true },
	{ "2048 pages", 0, MAX_PAGES * 4096UL, 0, 1 },
};

static const struct dio_shape one_page = { "a page", 0, 4096, 0, 1 };
static const struct dio_shape pages16 = { "16 pages", 0, 65536, 0, 1 };
static const struct dio_shape tail = { "two pages", 0, 8192, 0, 1 };
static const struct dio_shape two_pages = { "two pages apart", 0, 4096, 4096, 2 };
static const struct dio_shape too_much = { "too much", 0, MAX_PAGES * 4096UL + DIO_BLOCK, 0, 1 };

/*
 * The device, and its only queue that is used
 */
enum lun {
	RAMDISK,
	DISK,
	PI,
	NO_LUN,			/* there is none of this number */
	NR_LUNS,
};

static const char * const lun_names[NR_LUNS] = { "ramdisk", "disk", "pi", "no LUN" };

/* Header and answer of a command in flight.  The driver copies them. */
struct slot {
	union {
		struct virtio_scsi_cmd_req req;
		struct virtio_scsi_cmd_req_pi req_pi;
	};
	struct virtio_scsi_cmd_resp resp;
};

static struct {
	int fd, kick, call;
	bool pi;		/* headers have fields for protection information */
	struct vring ring;
	struct slot *slots;
	unsigned int used_desc, used_slots;
	unsigned short seen;	/* of the used ring */
} guest = { .fd = -1 };

struct command {
	enum lun lun;
	unsigned char cdb[16];
	bool write;			/* the device reads the memory */
	const struct iovec *iov;
	unsigned int nr;
	const struct iovec *pi;		/* comes before it */
	unsigned int pi_claim;		/* bytes of it, if not all of @pi */
};

static void guest_close(void)
{
	if (guest.fd < 0)
		return;
	close(guest.fd);
	close(guest.kick);
	close(guest.call);
	munmap(guest.ring.desc, vring_size(QUEUE_SIZE, dio_page_size));
	munmap(guest.slots, MAX_COMMANDS * sizeof(*guest.slots));
	guest.fd = -1;
}

static void guest_ioctl(unsigned long request, const void *arg, const char *what)
{
	if (ioctl(guest.fd, request, arg))
		dio_die("%s: %s\n", what, strerror(errno));
}

#define GUEST_IOCTL(request, arg) guest_ioctl(request, arg, #request)

#define LIO_NAME	"naa.5001405773110001"

/* All of this process is memory of the guest, wherever something is mapped. */
static void guest_memory(void)
{
	struct vhost_memory *table;

	table = calloc(1, sizeof(*table) + sizeof(table->regions[0]));
	if (!table)
		dio_die("no memory for a table\n");
	table->nregions = 1;
	table->regions[0].guest_phys_addr = dio_page_size;
	table->regions[0].userspace_addr = dio_page_size;
	/* Half of the address space is more than mmap() gives, on any machine. */
	table->regions[0].memory_size = (sizeof(long) == 8 ? 1ULL << 47 : 3ULL << 30) -
					2 * dio_page_size;
	GUEST_IOCTL(VHOST_SET_MEM_TABLE, table);
	free(table);
}

static void describe(unsigned int first, void *addr, size_t length, bool device_writes)
{
	unsigned int n = guest.used_desc++;
	struct vring_desc *desc = &guest.ring.desc[n];

	if (n >= QUEUE_SIZE)
		dio_die("a command has too many vectors\n");
	if (n > first) {
		desc[-1].flags |= VRING_DESC_F_NEXT;
		desc[-1].next = n;
	}
	desc->addr = (uintptr_t)addr;
	desc->len = length;
	desc->flags = device_writes ? VRING_DESC_F_WRITE : 0;
}

static void fill_header(struct slot *s, const struct command *c)
{
	unsigned char lun[8] = { 1, 1, 0x40, c->lun };
	size_t claim = c->pi_claim ? c->pi_claim : c->pi ? c->pi->iov_len : 0;

	memset(s, 0, sizeof(*s));
	s->resp.response = NOTHING;
	/* The LUN comes first in both. */
	memcpy(s->req.lun, lun, sizeof(lun));
	if (!guest.pi) {
		memcpy(s->req.cdb, c->cdb, sizeof(c->cdb));
		return;
	}
	memcpy(s->req_pi.cdb, c->cdb, sizeof(c->cdb));
	if (c->write)
		s->req_pi.pi_bytesout = claim;
	else
		s->req_pi.pi_bytesin = claim;
}

/* Put a command on the ring, among those that are there. */
static struct slot *submit(const struct command *c)
{
	struct slot *s = &guest.slots[guest.used_slots++];
	unsigned int i, first = guest.used_desc;
	unsigned short at = guest.ring.avail->idx;

	fill_header(s, c);
	describe(first, s, guest.pi ? sizeof(s->req_pi) : sizeof(s->req), false);
	if (!c->write)
		describe(first, &s->resp, sizeof(s->resp), true);
	if (c->pi)
		describe(first, c->pi->iov_base, c->pi->iov_len, !c->write);
	for (i = 0; i < c->nr; i++)
		describe(first, c->iov[i].iov_base, c->iov[i].iov_len, !c->write);
	if (c->write)
		describe(first, &s->resp, sizeof(s->resp), true);

	guest.ring.avail->ring[at % QUEUE_SIZE] = first;
	__atomic_store_n(&guest.ring.avail->idx, at + 1, __ATOMIC_RELEASE);
	if (eventfd_write(guest.kick, 1))
		dio_die("kick: %s\n", strerror(errno));
	return s;
}

static void guest_open(bool pi);

static const char no_answer[] = "it is not answered";

/*
 * Wait until all that is on the ring was answered: NULL, or what is wrong.  Then
 * the device is a new one, and the slots are gone.
 */
static const char *wait_answers(void)
{
	struct pollfd fds = { guest.call, POLLIN };
	unsigned long long start = dio_now_ms();
	eventfd_t n;

	while (__atomic_load_n(&guest.ring.used->idx, __ATOMIC_ACQUIRE) !=
	       (unsigned short)(guest.seen + guest.used_slots)) {
		if (poll(&fds, 1, dio_ms_left(start)) == 0 || !dio_ms_left(start)) {
			guest_close();
			guest_open(guest.pi);
			return no_answer;
		}
		if (eventfd_read(guest.call, &n) && errno != EAGAIN)
			dio_die("eventfd: %s\n", strerror(errno));
	}
	guest.seen += guest.used_slots;
	guest.used_slots = 0;
	guest.used_desc = 0;
	return NULL;
}

/* NULL if the command was answered as it should be */
static const char *not_answer(const struct slot *s, int response, int status)
{
	static char problem[96];

	if (s->resp.response == response && s->resp.status == status)
		return NULL;
	snprintf(problem, sizeof(problem), "response %u status %u instead of %d and %d",
		 s->resp.response, s->resp.status, response, status);
	return problem;
}

static const char *run(const struct command *c, int response, int status)
{
	const struct slot *s = submit(c);
	const char *problem = wait_answers();

	return problem ? problem : not_answer(s, response, status);
}

/* A LUN that was added is told of to the others once, in place of what they do. */
static void guest_attend(void)
{
	struct command c = { .cdb = { TEST_UNIT_READY } };

	for (c.lun = RAMDISK; c.lun < NO_LUN; c.lun++) {
		const struct slot *s;
		unsigned int tries = 0;

		do {
			s = submit(&c);
			if (wait_answers())
				dio_die("%s: no answer\n", lun_names[c.lun]);
		} while (not_answer(s, VIRTIO_SCSI_S_OK, 0) && ++tries < NR_LUNS);
		if (tries == NR_LUNS)
			dio_die("%s: %s\n", lun_names[c.lun],
				not_answer(s, VIRTIO_SCSI_S_OK, 0));
	}
}

static void guest_open(bool pi)
{
	struct vhost_scsi_target target = { .abi_version = VHOST_SCSI_ABI_VERSION };
	struct vhost_vring_state state = { QUEUE, QUEUE_SIZE };
	struct vhost_vring_addr addr = { QUEUE };
	unsigned long long features = pi ? 1ULL << VIRTIO_SCSI_F_T10_PI : 0;
	struct vhost_vring_file file = { QUEUE };
	void *ring;

	guest.fd = open(VHOST_SCSI, O_RDWR | O_CLOEXEC);
	if (guest.fd < 0)
		dio_die(VHOST_SCSI ": %s\n", strerror(errno));
	guest.pi = pi;
	guest.kick = eventfd(0, EFD_CLOEXEC);
	guest.call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring = mmap(NULL, vring_size(QUEUE_SIZE, dio_page_size), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	guest.slots = mmap(NULL, MAX_COMMANDS * sizeof(*guest.slots), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (guest.kick < 0 || guest.call < 0 || ring == MAP_FAILED || guest.slots == MAP_FAILED)
		dio_die("no ring: %s\n", strerror(errno));
	vring_init(&guest.ring, QUEUE_SIZE, ring, dio_page_size);
	guest.seen = 0;
	guest.used_desc = 0;
	guest.used_slots = 0;

	GUEST_IOCTL(VHOST_SET_OWNER, NULL);
	GUEST_IOCTL(VHOST_SET_FEATURES, &features);
	guest_memory();
	GUEST_IOCTL(VHOST_SET_VRING_NUM, &state);
	state.num = 0;
	GUEST_IOCTL(VHOST_SET_VRING_BASE, &state);
	addr.desc_user_addr = (uintptr_t)guest.ring.desc;
	addr.avail_user_addr = (uintptr_t)guest.ring.avail;
	addr.used_user_addr = (uintptr_t)guest.ring.used;
	GUEST_IOCTL(VHOST_SET_VRING_ADDR, &addr);
	file.fd = guest.call;
	GUEST_IOCTL(VHOST_SET_VRING_CALL, &file);
	strcpy(target.vhost_wwpn, LIO_NAME);
	GUEST_IOCTL(VHOST_SCSI_SET_ENDPOINT, &target);
	file.fd = guest.kick;
	GUEST_IOCTL(VHOST_SET_VRING_KICK, &file);
	guest_attend();
}

static struct command transfer(enum lun lun, bool write, const struct iovec *iov,
			       unsigned int nr, off_t pos, size_t length)
{
	unsigned int lba = pos / DIO_BLOCK, blocks = length / DIO_BLOCK;
	struct command c = { .lun = lun, .write = write, .iov = iov, .nr = nr };

	c.cdb[0] = write ? WRITE_10 : READ_10;
	c.cdb[2] = lba >> 24;
	c.cdb[3] = lba >> 16;
	c.cdb[4] = lba >> 8;
	c.cdb[5] = lba;
	c.cdb[7] = blocks >> 8;
	c.cdb[8] = blocks;
	return c;
}

static struct command area_command(enum lun lun, bool write, const struct dio_area *a)
{
	return transfer(lun, write, a->iov, a->shape->nr, POSITION, dio_shape_length(a->shape));
}

/*
 * The target
 */
#define CONFIG	"/sys/kernel/config/target/"
#define DISK_HBA	"core/iblock_7732"
#define RAM_HBA		"core/rd_mcp_7732"
#define WWN		"vhost/" LIO_NAME
#define TPG		WWN "/tpgt_1"

/* What configfs is told, step by step; undone in the reverse order */
static const struct step {
	enum {
		STEP_MAKE,	/* a directory */
		STEP_WRITE,
		STEP_LINK,
	} what;
	const char *path;
	const char *value;
	bool device;		/* the path of the dm-delay device follows */
	bool shared;		/* may be there already */
} steps[] = {
	{ STEP_MAKE, DISK_HBA },
	{ STEP_MAKE, DISK_HBA "/disk" },
	{ STEP_WRITE, DISK_HBA "/disk/control", "udev_path=", .device = true },
	{ STEP_WRITE, DISK_HBA "/disk/enable", "1" },
	{ STEP_MAKE, RAM_HBA },
	{ STEP_MAKE, RAM_HBA "/ramdisk" },
	{ STEP_WRITE, RAM_HBA "/ramdisk/control", "rd_pages=4096" },
	{ STEP_WRITE, RAM_HBA "/ramdisk/enable", "1" },
	{ STEP_MAKE, RAM_HBA "/pi" },
	{ STEP_WRITE, RAM_HBA "/pi/control", "rd_pages=4096" },
	{ STEP_WRITE, RAM_HBA "/pi/enable", "1" },
	{ STEP_WRITE, RAM_HBA "/pi/attrib/pi_prot_type", "1" },
	{ STEP_MAKE, "vhost", .shared = true },
	{ STEP_MAKE, WWN },
	{ STEP_MAKE, TPG },
	{ STEP_WRITE, TPG "/nexus", LIO_NAME },
	{ STEP_MAKE, TPG "/lun/lun_0" },
	{ STEP_LINK, TPG "/lun/lun_0/link", RAM_HBA "/ramdisk" },
	{ STEP_MAKE, TPG "/lun/lun_1" },
	{ STEP_LINK, TPG "/lun/lun_1/link", DISK_HBA "/disk" },
	{ STEP_MAKE, TPG "/lun/lun_2" },
	{ STEP_LINK, TPG "/lun/lun_2/link", RAM_HBA "/pi" },
};

static bool undo[ARRAY_SIZE(steps)];

static int step_do(const struct step *s, bool *made)
{
	char path[300], value[300];
	int ret;

	snprintf(path, sizeof(path), CONFIG "%s", s->path);
	switch (s->what) {
	case STEP_WRITE:
		snprintf(value, sizeof(value), "%s%s", s->value,
			 s->device ? dio_delay_path() : "");
		return dio_write_file(value, "%s", path);
	case STEP_LINK:
		snprintf(value, sizeof(value), CONFIG "%s", s->value);
		ret = symlink(value, path) ? -errno : 0;
		break;
	default:
		ret = mkdir(path, 0755) ? -errno : 0;
		if (ret == -EEXIST && s->shared)
			return 0;
	}
	*made = !ret;
	return ret;
}

/* Skips the test if the kernel lacks one of the kinds of things. */
static void target_open(void)
{
	unsigned long long sectors;
	unsigned int i, block;
	int ret;

	ret = dio_device_size(dio_disk_path(), &sectors, &block);
	if (!ret && block > DIO_BLOCK)
		dio_skip_all("%s has blocks of %u bytes\n", dio_disk_path(), block);
	if (!ret && sectors < RAMDISK_SIZE / DIO_BLOCK)
		dio_skip_all("%s has less than 16 MiB\n", dio_disk_path());
	if (!ret)
		ret = dio_delay_open(dio_disk_path(),
				     sectors < DEVICE_SECTORS ? sectors : DEVICE_SECTORS,
				     false);
	if (ret)
		dio_die("dm-delay: %s\n", strerror(-ret));
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		ret = step_do(&steps[i], &undo[i]);
		if (!ret)
			continue;
		if (steps[i].what == STEP_MAKE)
			dio_skip_all(CONFIG "%s: %s\n", steps[i].path, strerror(-ret));
		dio_die(CONFIG "%s: %s\n", steps[i].path, strerror(-ret));
	}
}

static bool holding;
static int delay_fd = -1;	/* the disk */
static pid_t owner;

static void release(void)
{
	dio_release();
	holding = false;
}

static void hold(void)
{
	dio_hold();
	holding = true;
}

/* Before dio_lib takes down what all this is built on */
static void clean_up(void)
{
	unsigned int i = ARRAY_SIZE(steps);

	if (getpid() != owner)
		return;
	if (holding)
		release();
	guest_close();
	while (i--) {
		char path[300];

		if (!undo[i])
			continue;
		undo[i] = false;
		snprintf(path, sizeof(path), CONFIG "%s", steps[i].path);
		if (steps[i].what == STEP_LINK ? unlink(path) : rmdir(path))
			dio_print("%s stays behind: %s\n", path, strerror(errno));
	}
	if (delay_fd >= 0)
		close(delay_fd);
	dio_delay_close();
}

/*
 * What a LUN holds.  The disk is looked at through its block device, the ram disk
 * by commands of the plainest kind.
 */
static unsigned char *image;
#define IMAGE_SIZE	(MAX_PAGES * 4096UL + 4096)

static void lun_io(enum lun lun, bool write, size_t length, off_t pos)
{
	size_t done, step;

	if (lun == DISK && write)
		dio_full_pwrite(delay_fd, image, length, pos);
	else if (lun == DISK)
		dio_full_pread(delay_fd, image, length, pos);
	for (done = 0; lun != DISK && done < length; done += step) {
		struct iovec iov = { image + done };
		struct command c;
		const char *wrong;

		step = length - done < DIO_MIB ? length - done : DIO_MIB;
		iov.iov_len = step;
		c = transfer(lun, write, &iov, 1, pos + done, step);
		wrong = run(&c, VIRTIO_SCSI_S_OK, 0);
		if (wrong)
			dio_die("%s: %s\n", lun_names[lun], wrong);
	}
}

/* A block on either side of what a command of @length reads or writes, too */
static void lun_fill(enum lun lun, size_t length, unsigned char salt)
{
	size_t i;

	for (i = 0; i < length + 2 * DIO_BLOCK; i++)
		image[i] = dio_data(salt, i);
	lun_io(lun, true, length + 2 * DIO_BLOCK, POSITION - DIO_BLOCK);
}

/* How many bytes differ from @salt around and @inside a transfer */
static size_t lun_wrong(enum lun lun, size_t length, unsigned char salt, unsigned char inside)
{
	size_t i, wrong = 0;

	memset(image, 0, length + 2 * DIO_BLOCK);
	lun_io(lun, false, length + 2 * DIO_BLOCK, POSITION - DIO_BLOCK);
	for (i = 0; i < length + 2 * DIO_BLOCK; i++) {
		bool around = i < DIO_BLOCK || i >= DIO_BLOCK + length;

		wrong += image[i] != dio_data(around ? salt : inside, i);
	}
	return wrong;
}

static void result(enum lun lun, const char *name, const char *claim, const char *problem)
{
	char full[128];

	snprintf(full, sizeof(full), "%s %s: %s", lun_names[lun], name, claim);
	dio_result(full, problem ? problem : dio_pins_problem(false));
}

/* As dio_lists(), of one claim or two */
static bool lists(enum lun lun, const char *name, const char *claim, const char *second)
{
	char full[128];

	snprintf(full, sizeof(full), "%s %s: %s", lun_names[lun], name, claim);
	if (!dio_lists_one(full))
		return false;
	return second ? lists(lun, name, second, NULL) : true;
}

static const char *read_problem(enum lun lun, struct dio_area *a)
{
	struct command c = area_command(lun, false, a);
	unsigned char salt = dio_next_salt();
	const char *problem;

	lun_fill(lun, dio_shape_length(a->shape), salt);
	dio_area_fill(a, 0, false);
	problem = run(&c, VIRTIO_SCSI_S_OK, 0);
	return problem ? problem : dio_wrong_bytes(dio_area_wrong(a, salt, true), 0);
}

static const char *write_problem(enum lun lun, struct dio_area *a, bool read_only)
{
	unsigned char old = dio_next_salt(), new = dio_next_salt();
	size_t length = dio_shape_length(a->shape);
	struct command c = area_command(lun, true, a);
	const char *problem;

	lun_fill(lun, length, old);
	dio_area_fill(a, new, true);
	if (read_only && mprotect(a->mem, a->size, PROT_READ))
		dio_die("mprotect: %s\n", strerror(errno));
	problem = run(&c, VIRTIO_SCSI_S_OK, 0);
	if (problem)
		return problem;
	return dio_wrong_bytes(dio_area_wrong(a, new, true), lun_wrong(lun, length, old, new));
}

static void data_case(enum lun lun, const struct dio_shape *s)
{
	struct dio_area a;
	char full[96];

	if (lists(lun, s->name, "read", "write"))
		return;
	dio_area_open(&a, s);
	dio_area_fill(&a, 0, false);
	if (s->huge && !dio_is_huge(a.mem)) {
		snprintf(full, sizeof(full), "%s %s: read", lun_names[lun], s->name);
		dio_result_skip(full, "the kernel gave no huge page");
		snprintf(full, sizeof(full), "%s %s: write", lun_names[lun], s->name);
		dio_result_skip(full, "the kernel gave no huge page");
	} else {
		result(lun, s->name, "read", read_problem(lun, &a));
		result(lun, s->name, "write", write_problem(lun, &a, false));
	}
	dio_area_close(&a);
}

static void pins_case(enum lun lun, bool write)
{
	struct dio_area a;
	struct command c;
	unsigned long long pins;
	const char *problem;

	if (lists(lun, write ? "write" : "read", "16 pages are pinned", NULL))
		return;
	dio_area_open(&a, &pages16);
	dio_area_fill(&a, 0, false);
	c = area_command(lun, write, &a);
	pins = dio_pins_acquired();
	problem = run(&c, VIRTIO_SCSI_S_OK, 0);
	if (!problem)
		problem = dio_pins_taken(pins, 16);
	dio_area_close(&a);
	result(lun, write ? "write" : "read", "16 pages are pinned", problem);
}

static void dirty_case(enum lun lun, bool write)
{
	size_t length = 16 * dio_page_size;
	const char *claim = write ? "what it reads stays clean" :
				    "what it writes to becomes dirty";
	struct iovec iov = { NULL, length };
	struct command c;
	const char *problem;

	if (lists(lun, write ? "write" : "read", claim, NULL))
		return;
	iov.iov_base = dio_map_clean(length);
	c = transfer(lun, write, &iov, 1, POSITION, length);
	problem = run(&c, VIRTIO_SCSI_S_OK, 0);
	if (!problem)
		problem = dio_dirty_problem(iov.iov_base, write ? 0 : length);
	munmap(iov.iov_base, length);
	result(lun, write ? "write" : "read", claim, problem);
}

static void inquiry_case(unsigned int lun)
{
	struct iovec iov = { NULL, 36 };
	struct command c = { .lun = lun, .cdb = { INQUIRY, 0, 0, 0, 36 }, .iov = &iov, .nr = 1 };
	unsigned char *mem;
	const char *problem;

	if (lists(lun, "INQUIRY", "its data is right", NULL))
		return;
	mem = dio_map(dio_page_size, dio_page_size, false);
	/* Over the end of no page: the target knows one piece only */
	iov.iov_base = mem + 101;
	memset(mem, 0xa5, dio_page_size);
	problem = run(&c, VIRTIO_SCSI_S_OK, 0);
	if (!problem && memcmp(mem + 101 + 8, "LIO-ORG ", 8))
		problem = "no vendor LIO-ORG";
	if (!problem && (mem[100] != 0xa5 || mem[137] != 0xa5))
		problem = "bytes around it were written";
	munmap(mem, dio_page_size);
	result(lun, "INQUIRY", "its data is right", problem);
}

static void read_only_source_case(unsigned int lun)
{
	struct dio_area a;

	if (lists(lun, "write from read-only memory", "data", NULL))
		return;
	dio_area_open(&a, &one_page);
	result(lun, "write from read-only memory", "data", write_problem(lun, &a, true));
	dio_area_close(&a);
}

/*
 * Memory of a file that is open for reading only.  What a command reads must not
 * get into the file.
 */
static void read_only_file_case(unsigned int lun)
{
	unsigned char page[4096], now[4096];
	struct iovec iov;
	struct command c;
	const char *problem;
	char path[64];
	void *mem;
	int fd, ro;

	if (lists(lun, "read into a read-only file", "is refused", NULL))
		return;
	memset(page, 0xa5, sizeof(page));
	fd = memfd_create("iov_iter", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || ro < 0)
		dio_die("no file to map: %s\n", strerror(errno));
	dio_full_pwrite(fd, page, sizeof(page), 0);
	mem = mmap(NULL, sizeof(page), PROT_READ, MAP_SHARED, ro, 0);
	if (mem == MAP_FAILED)
		dio_die("mmap: %s\n", strerror(errno));
	iov = (struct iovec){ mem, sizeof(page) };
	lun_fill(lun, sizeof(page), dio_next_salt());
	c = transfer(lun, false, &iov, 1, POSITION, sizeof(page));
	problem = run(&c, VIRTIO_SCSI_S_BAD_TARGET, 0);
	dio_full_pread(fd, now, sizeof(now), 0);
	if (memcmp(page, now, sizeof(page)))
		problem = "the file was WRITTEN to";
	munmap(mem, sizeof(page));
	close(ro);
	close(fd);
	result(lun, "read into a read-only file", "is refused", problem);
}

/* Memory of a PCI device */
static void device_memory_case(unsigned int i)
{
	const char *name = i & 1 ? "write from device memory" : "read into device memory";
	enum lun lun = i / 2;
	const char *problem;
	struct iovec iov;
	struct command c;
	char full[128];

	if (lists(lun, name, "is refused", NULL))
		return;
	iov = (struct iovec){ dio_map_device(dio_page_size), dio_page_size };
	if (!iov.iov_base) {
		snprintf(full, sizeof(full), "%s %s: is refused", lun_names[lun], name);
		dio_result_skip(full, DIO_NO_DEVICE_MEMORY);
		return;
	}
	c = transfer(lun, i & 1, &iov, 1, POSITION, dio_page_size);
	problem = run(&c, VIRTIO_SCSI_S_BAD_TARGET, 0);
	munmap(iov.iov_base, dio_page_size);
	result(lun, name, "is refused", problem);
}

/* The same command again and again, each time from memory that is new */
static const struct failure {
	const char *name;
	const struct dio_shape *shape;
	enum {
		AS_IT_IS,
		READ_ONLY,
		FIRST_UNMAPPED,
		SECOND_UNMAPPED,
		BAD_SECTOR,		/* of the disk, below the second block */
		BEHIND_THE_END,		/* of the disk */
		TOO_FEW_BLOCKS,		/* the command asks for less than the memory */
		TOO_MANY_BLOCKS,
	} damage;
	bool write;
	int response, status;
	unsigned int times;
	bool disk_only;
} failures[] = {
	{ "read into read-only memory", &one_page, READ_ONLY, false,
	  VIRTIO_SCSI_S_BAD_TARGET, 0, 200 },
	{ "read into two pages, the second unmapped", &tail, SECOND_UNMAPPED, false,
	  VIRTIO_SCSI_S_BAD_TARGET, 0, 200 },
	{ "write from two pages, the second unmapped", &tail, SECOND_UNMAPPED, true,
	  VIRTIO_SCSI_S_BAD_TARGET, 0, 200 },
	{ "read into two vectors, the second unmapped", &two_pages, SECOND_UNMAPPED, false,
	  VIRTIO_SCSI_S_BAD_TARGET, 0, 200 },
	{ "write from two vectors, the second unmapped", &two_pages, SECOND_UNMAPPED, true,
	  VIRTIO_SCSI_S_BAD_TARGET, 0, 200 },
	{ "read into two vectors, the first unmapped", &two_pages, FIRST_UNMAPPED, false,
	  VIRTIO_SCSI_S_BAD_TARGET, 0, 200 },
	{ "write from two vectors, the first unmapped", &two_pages, FIRST_UNMAPPED, true,
	  VIRTIO_SCSI_S_BAD_TARGET, 0, 200 },
	{ "read of 2049 pages", &too_much, AS_IT_IS, false, VIRTIO_SCSI_S_BAD_TARGET, 0, 8 },
	{ "write of 2049 pages", &too_much, AS_IT_IS, true, VIRTIO_SCSI_S_BAD_TARGET, 0, 8 },
	{ "read of a bad sector", &tail, BAD_SECTOR, false,
	  VIRTIO_SCSI_S_OK, CHECK_CONDITION, 200, .disk_only = true },
	{ "write of a bad sector", &tail, BAD_SECTOR, true,
	  VIRTIO_SCSI_S_OK, CHECK_CONDITION, 200, .disk_only = true },
	{ "read behind the end", &tail, BEHIND_THE_END, false,
	  VIRTIO_SCSI_S_OK, CHECK_CONDITION, 200 },
	{ "write behind the end", &tail, BEHIND_THE_END, true,
	  VIRTIO_SCSI_S_OK, CHECK_CONDITION, 200 },
	{ "read of more than the memory", &tail, TOO_MANY_BLOCKS, false,
	  VIRTIO_SCSI_S_OK, CHECK_CONDITION, 200 },
	{ "write of more than the memory", &tail, TOO_MANY_BLOCKS, true,
	  VIRTIO_SCSI_S_OK, CHECK_CONDITION, 200 },
	{ "write of less than the memory", &tail, TOO_FEW_BLOCKS, true,
	  VIRTIO_SCSI_S_OK, CHECK_CONDITION, 200 },
};

/* What was wrong with the last one */
static const char *repeat(enum lun lun, const struct failure *f, unsigned int times)
{
	const char *problem = NULL;
	struct command c;
	struct dio_area a;

	while (times-- && problem != no_answer) {
		dio_area_open(&a, f->shape);
		memset(a.mem, 0x5a, a.size);
		c = area_command(lun, f->write, &a);
		switch (f->damage) {
		case READ_ONLY:
			mprotect(a.mem, a.size, PROT_READ);
			break;
		case FIRST_UNMAPPED:
			munmap(a.mem, dio_page_size);
			break;
		case SECOND_UNMAPPED:
			munmap(a.mem + dio_page_size, dio_page_size);
			break;
		case BEHIND_THE_END:
			memset(c.cdb + 2, 0x7f, 4);
			break;
		case TOO_FEW_BLOCKS:
			c.cdb[8]--;
			break;
		case TOO_MANY_BLOCKS:
			c.cdb[8]++;
			break;
		default:
			break;
		}
		problem = run(&c, f->response, f->status);
		if (!problem && f->damage == READ_ONLY && a.mem[100] != 0x5a)
			problem = "the memory was WRITTEN to";
		dio_area_close(&a);
	}
	return problem;
}

static bool quick;

static unsigned int how_often(unsigned int times)
{
	return quick && times > 50 ? 50 : times;
}

struct repetition {
	enum lun lun;
	const struct failure *failure;
};

static const char *repeat_failure(const void *arg, unsigned int times)
{
	const struct repetition *r = arg;

	return repeat(r->lun, r->failure, times) == no_answer ? no_answer : NULL;
}

static void failure_case(enum lun lun, const struct failure *f)
{
	const struct repetition r = { lun, f };
	const char *problem;

	if (lists(lun, f->name, "fails cleanly", "no page stays behind"))
		return;
	if (f->damage == BAD_SECTOR)
		dio_break_reads(POSITION / DIO_BLOCK + 1, 1);
	/* What is allocated once is allocated now. */
	problem = repeat(lun, f, f->times / 8 + 1);
	result(lun, f->name, "fails cleanly", problem);
	if (problem != no_answer)
		problem = dio_leak_problem(repeat_failure, &r, how_often(f->times));
	result(lun, f->name, "no page stays behind", problem);
	if (f->damage == BAD_SECTOR)
		dio_break_reads(0, 0);
}

static void no_lun_case(unsigned int write)
{
	static const struct failure f = { .shape = &tail, .response = VIRTIO_SCSI_S_OK,
					  .status = CHECK_CONDITION, .times = 200 };
	struct failure mine = f;
	const struct repetition r = { NO_LUN, &mine };

	if (lists(NO_LUN, write ? "write" : "read", "fails cleanly", "no page stays behind"))
		return;
	mine.write = write;
	result(NO_LUN, write ? "write" : "read", "fails cleanly", repeat(NO_LUN, &mine, 20));
	result(NO_LUN, write ? "write" : "read", "no page stays behind",
	       dio_leak_problem(repeat_failure, &r, how_often(f.times)));
}

/* Several commands at once, to parts of one page each */
static void many_case(unsigned int lun)
{
	const struct dio_shape s = { "16 blocks", 0, 16 * DIO_BLOCK, 0, 1 };
	struct slot *slots[MAX_COMMANDS];
	struct iovec iov[MAX_COMMANDS];
	unsigned char salt = dio_next_salt();
	const char *problem;
	struct dio_area a;
	unsigned int i;

	if (lists(lun, "16 commands at once", "read", NULL))
		return;
	dio_area_open(&a, &s);
	dio_area_fill(&a, 0, false);
	lun_fill(lun, s.length, salt);
	for (i = 0; i < MAX_COMMANDS; i++) {
		struct command c;

		iov[i].iov_base = a.mem + i * DIO_BLOCK;
		iov[i].iov_len = DIO_BLOCK;
		c = transfer(lun, false, &iov[i], 1, POSITION + i * DIO_BLOCK, DIO_BLOCK);
		slots[i] = submit(&c);
	}
	problem = wait_answers();
	for (i = 0; i < MAX_COMMANDS && !problem; i++)
		problem = not_answer(slots[i], VIRTIO_SCSI_S_OK, 0);
	if (!problem)
		problem = dio_wrong_bytes(dio_area_wrong(&a, salt, true), 0);
	dio_area_close(&a);
	result(lun, "16 commands at once", "read", problem);
}

static void fork_case(const struct dio_shape *s)
{
	const char *parent, *child;
	unsigned char salt = dio_next_salt();
	const struct slot *slot;
	struct command c;
	struct dio_area a;
	int pipe_end;
	pid_t pid;
	bool held;

	if (lists(DISK, s->name, "in flight, parent sees the read",
		  "in flight, child sees the bytes of before"))
		return;
	dio_area_open(&a, s);
	lun_fill(DISK, dio_shape_length(s), salt);
	dio_area_fill(&a, 0, false);
	c = area_command(DISK, false, &a);
	hold();
	slot = submit(&c);
	held = dio_wait_held();
	pid = dio_child_start(&a, &pipe_end);

	dio_area_store(&a);
	held = held && dio_held();
	release();
	parent = wait_answers();
	child = dio_child_problem(pid, pipe_end);
	if (!parent)
		parent = not_answer(slot, VIRTIO_SCSI_S_OK, 0);
	if (!held)
		parent = "the read did not stay in flight";
	if (parent)
		child = parent;
	else
		parent = dio_area_lost(&a, salt);
	dio_area_close(&a);
	result(DISK, s->name, "in flight, parent sees the read", parent);
	result(DISK, s->name, "in flight, child sees the bytes of before", child);
}

static void *close_thread(void *unused)
{
	guest_close();
	return NULL;
}

/* The device is closed: that waits for the commands in flight. */
static void close_case(unsigned int unused)
{
	unsigned char salt = dio_next_salt();
	const char *problem = NULL;
	pthread_t thread;
	struct command c;
	struct dio_area a;

	if (lists(DISK, "closed with a read in flight", "data", NULL))
		return;
	dio_area_open(&a, &pages16);
	lun_fill(DISK, dio_shape_length(&pages16), salt);
	dio_area_fill(&a, 0, false);
	c = area_command(DISK, false, &a);
	hold();
	submit(&c);
	if (!dio_wait_held())
		problem = "the read is not held";
	if (pthread_create(&thread, NULL, close_thread, NULL))
		dio_die("there is no thread\n");
	/* It does not run, as it waits. */
	if (!dio_wait_held())
		problem = "the read did not stay in flight";
	release();
	pthread_join(thread, NULL);
	if (!problem)
		problem = dio_wrong_bytes(dio_area_wrong(&a, salt, true), 0);
	dio_area_close(&a);
	result(DISK, "closed with a read in flight", "data", problem);
	guest_open(false);
}

static noreturn void child_with_reads(int ready)
{
	struct command c;
	struct dio_area a;
	unsigned int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	guest_open(false);
	dio_area_open(&a, &pages16);
	dio_area_fill(&a, 0, false);
	c = area_command(DISK, false, &a);
	for (i = 0; i < 4; i++)
		submit(&c);
	if (write(ready, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void killed_case(unsigned int unused)
{
	const char *problem = NULL;
	struct dio_area a;
	int ends[2];
	pid_t pid;
	char byte;

	if (lists(DISK, "killed with reads in flight", "no page stays pinned",
		  "the next one reads"))
		return;
	/* The target has one such process at a time. */
	guest_close();
	if (pipe(ends))
		dio_die("pipe: %s\n", strerror(errno));
	hold();
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		dio_die("fork: %s\n", strerror(errno));
	if (!pid)
		child_with_reads(ends[1]);
	close(ends[1]);
	if (read(ends[0], &byte, 1) != 1)
		problem = "the child did not come so far";
	else if (!dio_wait_held())
		problem = "the read is not held";
	close(ends[0]);
	kill(pid, SIGKILL);
	release();
	waitpid(pid, NULL, 0);
	result(DISK, "killed with reads in flight", "no page stays pinned", problem);

	guest_open(false);
	dio_area_open(&a, &pages16);
	result(DISK, "killed with reads in flight", "the next one reads", read_problem(DISK, &a));
	dio_area_close(&a);
}

/*
 * Protection information: a checksum, a tag and the number of the block for each
 */
static unsigned int crc_t10dif(const unsigned char *p, size_t n)
{
	unsigned int crc = 0, bit;

	while (n--) {
		crc ^= *p++ << 8;
		for (bit = 0; bit < 8; bit++)
			crc = crc & 0x8000 ? crc << 1 ^ 0x18bb7 : crc << 1;
	}
	return crc;
}

static void fill_tuples(unsigned char *tuples, const unsigned char *mem, size_t length)
{
	unsigned int lba = POSITION / DIO_BLOCK, crc;

	for (; length; length -= DIO_BLOCK, mem += DIO_BLOCK, tuples += TUPLE, lba++) {
		crc = crc_t10dif(mem, DIO_BLOCK);
		tuples[0] = crc >> 8;
		tuples[1] = crc;
		tuples[2] = 0x12;
		tuples[3] = 0x34;
		tuples[4] = lba >> 24;
		tuples[5] = lba >> 16;
		tuples[6] = lba >> 8;
		tuples[7] = lba;
	}
}

/* The target takes no tuple that is in two pages: all offsets are multiples of it. */
#define PI_LENGTH	65536UL
#define PI_TUPLES	(PI_LENGTH / DIO_BLOCK * TUPLE)

static void pi_data_case(unsigned int two_pages)
{
	const char *name = two_pages ? "64 KiB, tuples of two pages" : "64 KiB";
	unsigned char *mem, *back, *tuples, *tuples_back, salt = dio_next_salt();
	struct iovec iov = { NULL, PI_LENGTH }, pi = { NULL, PI_TUPLES };
	size_t i, offset = two_pages ? 3496 : 0;
	const char *problem;
	struct command c;

	if (lists(PI, name, "write", "read"))
		return;
	mem = dio_map(PI_LENGTH, dio_page_size, false);
	back = dio_map(PI_LENGTH, dio_page_size, false);
	tuples = dio_map(2 * dio_page_size, dio_page_size, false) + offset;
	tuples_back = dio_map(2 * dio_page_size, dio_page_size, false) + offset;
	iov.iov_base = mem;
	pi.iov_base = tuples;
	c = transfer(PI, true, &iov, 1, POSITION, PI_LENGTH);
	for (i = 0; i < PI_LENGTH; i++)
		mem[i] = dio_data(salt, i);
	fill_tuples(tuples, mem, PI_LENGTH);
	c.pi = &pi;
	c.cdb[1] = 1 << 5;
	problem = run(&c, VIRTIO_SCSI_S_OK, 0);
	result(PI, name, "write", problem);
	iov.iov_base = back;
	pi.iov_base = tuples_back;
	c = transfer(PI, false, &iov, 1, POSITION, PI_LENGTH);
	c.pi = &pi;
	c.cdb[1] = 1 << 5;
	problem = run(&c, VIRTIO_SCSI_S_OK, 0);
	if (!problem && memcmp(mem, back, PI_LENGTH))
		problem = "the data is wrong";
	if (!problem && memcmp(tuples, tuples_back, PI_TUPLES))
		problem = "the protection information is wrong";
	result(PI, name, "read", problem);
	munmap(mem, PI_LENGTH);
	munmap(back, PI_LENGTH);
	munmap(tuples - offset, 2 * dio_page_size);
	munmap(tuples_back - offset, 2 * dio_page_size);
}

/* What is unmapped: the protection information, or the data */
static const char *pi_repeat(bool write, bool data_gone, unsigned int times)
{
	const char *problem = NULL;

	while (times-- && problem != no_answer) {
		unsigned char *mem = dio_map(PI_LENGTH, dio_page_size, false);
		unsigned char *tuples = dio_map(2 * dio_page_size, dio_page_size, false);
		struct iovec iov = { mem, PI_LENGTH }, pi = { tuples + 3496, PI_TUPLES };
		struct command c = transfer(PI, write, &iov, 1, POSITION, PI_LENGTH);

		c.pi = &pi;
		c.cdb[1] = 1 << 5;
		memset(mem, 0, PI_LENGTH);
		memset(tuples, 0, 2 * dio_page_size);
		if (data_gone)
			munmap(mem + PI_LENGTH - dio_page_size, dio_page_size);
		else
			munmap(tuples + dio_page_size, dio_page_size);
		problem = run(&c, VIRTIO_SCSI_S_BAD_TARGET, 0);
		munmap(mem, PI_LENGTH);
		munmap(tuples, 2 * dio_page_size);
	}
	return problem;
}

static const char *pi_repeat_failure(const void *arg, unsigned int times)
{
	const unsigned int *i = arg;

	return pi_repeat(*i & 1, *i & 2, times) == no_answer ? no_answer : NULL;
}

static void pi_unmapped_case(unsigned int i)
{
	bool write = i & 1, data_gone = i & 2;
	const char *problem;
	char name[64];

	snprintf(name, sizeof(name), "%s, %s unmapped", write ? "write" : "read",
		 data_gone ? "data" : "protection information");
	if (lists(PI, name, "fails cleanly", "no page stays behind"))
		return;
	problem = pi_repeat(write, data_gone, 20);
	result(PI, name, "fails cleanly", problem);
	if (problem != no_answer)
		problem = dio_leak_problem(pi_repeat_failure, &i, how_often(200));
	result(PI, name, "no page stays behind", problem);
}

static bool pi_alone;

/* More of it is said to be there than the memory has, or as much */
static void pi_alone_case(unsigned int i)
{
	bool write = i & 1, more = i & 2;
	struct iovec iov = { NULL, DIO_BLOCK };
	struct command c;
	unsigned char *mem;
	char name[64];

	snprintf(name, sizeof(name), "%s of %sprotection information",
		 write ? "write" : "read", more ? "more than all " : "nothing but ");
	if (!pi_alone || lists(PI, name, "is refused", NULL))
		return;
	mem = dio_map(dio_page_size, dio_page_size, false);
	memset(mem, 0, dio_page_size);
	iov.iov_base = mem;
	c = transfer(PI, write, &iov, 1, POSITION, DIO_BLOCK);
	c.pi_claim = more ? 3 * DIO_BLOCK : DIO_BLOCK;
	result(PI, name, "is refused", run(&c, VIRTIO_SCSI_S_BAD_TARGET, 0));
	munmap(mem, dio_page_size);
}

static void read_or_write(unsigned char *memory, size_t bytes, bool write)
{
	struct iovec iov = { memory, bytes };
	struct command c = transfer(RAMDISK, write, &iov, 1, POSITION, bytes);
	const char *wrong = run(&c, VIRTIO_SCSI_S_OK, 0);

	if (wrong)
		dio_die("%s: %s\n", lun_names[RAMDISK], wrong);
}

static noreturn void measure(void)
{
	guest_open(false);
	dio_measure("vhost-scsi", false, read_or_write);
	dio_measure("vhost-scsi", true, read_or_write);
	dio_measured();
	exit(0);
}

static const struct dio_option options[] = {
	DIO_OPTION_MEASURE,
	{ 'q', NULL, "the quick subset: fewer commands to look for leaks", .flag = &quick },
	{ 'p', NULL, "commands without data too, which kernels that lack a fix do not survive",
	  .flag = &pi_alone },
	{ 0 }
};

static bool failure_wanted(enum lun lun, const struct failure *f)
{
	return lun == DISK || !f->disk_only;
}

/* These are cases of the ram disk, and then of the disk. */
static void shape_cases(unsigned int i)
{
	enum lun lun = i / ARRAY_SIZE(shapes);
	const struct dio_shape *s = &shapes[i % ARRAY_SIZE(shapes)];

	if (lun != DISK || !s->odd)
		data_case(lun, s);
}

static void failure_cases(unsigned int i)
{
	enum lun lun = i / ARRAY_SIZE(failures);
	const struct failure *f = &failures[i % ARRAY_SIZE(failures)];

	if (failure_wanted(lun, f))
		failure_case(lun, f);
}

static void fork_cases(unsigned int i)
{
	if (shapes[i].fork)
		fork_case(&shapes[i]);
}

static void pins_cases(unsigned int i)
{
	pins_case(i / 2, i & 1);
}

static void dirty_cases(unsigned int i)
{
	dirty_case(i / 2, i & 1);
}

#define LUNS	2	/* RAMDISK and DISK */

static const struct dio_case cases[] = {
	{ .run = shape_cases, .nr = LUNS * ARRAY_SIZE(shapes) },
	{ .run = failure_cases, .nr = LUNS * ARRAY_SIZE(failures) },
	{ .run = pins_cases, .nr = LUNS * 2 },
	{ .run = dirty_cases, .nr = LUNS * 2 },
	{ .run = inquiry_case, .nr = LUNS },
	{ .run = read_only_source_case, .nr = LUNS },
	{ .run = read_only_file_case, .nr = LUNS },
	{ .run = device_memory_case, .nr = LUNS * 2 },
	{ .run = many_case, .nr = LUNS },
	{ .run = fork_cases, .nr = ARRAY_SIZE(shapes) },
	{ .run = no_lun_case, .nr = 2 },
	{ .run = close_case },
	{ .run = killed_case },
};

static const struct dio_case pi_cases[] = {
	{ .run = pi_data_case, .nr = 2 },
	{ .run = pi_unmapped_case, .nr = 4 },
	{ .run = pi_alone_case, .nr = 4 },
};

static void all_cases(void)
{
	if (dio_running())
		guest_open(false);
	dio_cases(cases, ARRAY_SIZE(cases), NULL);
	if (dio_running()) {
		guest_close();
		guest_open(true);
	}
	dio_cases(pi_cases, ARRAY_SIZE(pi_cases), NULL);
	if (dio_running())
		guest_close();
}

static void start(void)
{
	dio_disk_init();
	dio_modprobe("target_core_mod");
	dio_modprobe("target_core_iblock");
	dio_modprobe("vhost_scsi");
	mount("none", "/sys/kernel/config", "configfs", 0, "");
	if (access(CONFIG "core", F_OK))
		dio_skip_all("there is no SCSI target in configfs\n");
	if (access(VHOST_SCSI, R_OK | W_OK))
		dio_skip_all(VHOST_SCSI ": %s\n", strerror(errno));
	owner = getpid();
	atexit(clean_up);
	target_open();
	delay_fd = open(dio_delay_path(), O_RDWR | O_DIRECT | O_CLOEXEC);
	if (delay_fd < 0)
		dio_die("%s: %s\n", dio_delay_path(), strerror(errno));
	image = dio_map(IMAGE_SIZE, dio_page_size, false);
	if (dio_measuring)
		measure();
}

int main(int argc, char **argv)
{
	static const struct dio_program program = {
		.options = options, .start = start, .cases = all_cases,
	};

	return dio_main(&program, argc, argv);
}
