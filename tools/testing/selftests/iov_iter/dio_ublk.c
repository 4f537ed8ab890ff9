// SPDX-License-Identifier: GPL-2.0
/*
 * ublk: the driver copies what is written to the block device into memory of the
 * server, and what is read out of it.  This is about that memory: where it starts,
 * where it ends, and whether it is pinned meanwhile.
 *
 * The server is a process of its own, on io_uring commands as in
 * linux/ublk_cmd.h; it does what it is told through shared memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/ublk_cmd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "lib/cases.h"
#include "lib/measure.h"
#include "lib/memory.h"
#include "lib/pins.h"
#include "lib/result.h"
#include "lib/system.h"

#define CONTROL		"/dev/ublk-control"
#define DEPTH		1	/* a request uses what the one before it was answered with */
#define SECTOR		512
#define MAX_IO		(512 * 1024UL)
#define DISK_SIZE	(20 * DIO_MIB)

/* Memory of the server */
enum memory {
	GOOD,
	UNALIGNED,		/* from a byte inside of a page on */
	READ_ONLY,
	ENDS,			/* the second half is unmapped */
	CLEAN,			/* by dio_map_clean() */
	DEVICE,			/* by dio_map_device(), if there is any */
	NR_MEMORY,
};

static struct shared {
	atomic_int memory;		/* enum memory, for requests from now on */
	atomic_int error;		/* to answer with */
	atomic_bool hold, held;		/* do not answer; is not answered */
	atomic_size_t dirty;		/* bytes of CLEAN, when a request comes */
	unsigned char disk[DISK_SIZE];
} *shared;

static unsigned int device;	/* ublkb0 or another */
static pid_t server, owner;
static struct io_uring control;
static bool added;
static int disk = -1;
static unsigned char *buffers[DEPTH][NR_MEMORY];
/*
 * The server
 */
static void buffers_open(void)
{
	unsigned int tag, m;

	for (tag = 0; tag < DEPTH; tag++) {
		for (m = 0; m < NR_MEMORY; m++) {
			buffers[tag][m] = dio_map(MAX_IO + dio_page_size, dio_page_size, false);
			memset(buffers[tag][m], 0, MAX_IO + dio_page_size);
		}
		munmap(buffers[tag][CLEAN], MAX_IO + dio_page_size);
		buffers[tag][CLEAN] = dio_map_clean(MAX_IO);
		munmap(buffers[tag][DEVICE], MAX_IO + dio_page_size);
		buffers[tag][DEVICE] = dio_map_device(MAX_IO);
		buffers[tag][UNALIGNED] += 100;
		munmap(buffers[tag][ENDS] + MAX_IO / 2, MAX_IO / 2 + dio_page_size);
	}
}

static void protect(bool read_only)
{
	unsigned int tag;

	for (tag = 0; tag < DEPTH; tag++)
		mprotect(buffers[tag][READ_ONLY], MAX_IO,
			 read_only ? PROT_READ : PROT_READ | PROT_WRITE);
}

static void command(struct io_uring *ring, int fd, unsigned int op, unsigned int tag, int answer)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct ublksrv_io_cmd *cmd = (struct ublksrv_io_cmd *)&sqe->cmd;

	if (!sqe)
		_exit(1);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = op;
	sqe->user_data = tag;
	cmd->tag = tag;
	cmd->result = answer;
	cmd->addr = (unsigned long)buffers[tag][shared->memory];
}

/* What the request asks for: bytes done, or a negative errno */
static int serve(const struct ublksrv_io_desc *iod)
{
	unsigned char *at = shared->disk + iod->start_sector * SECTOR;
	unsigned char *memory = (unsigned char *)(unsigned long)iod->addr;
	size_t length = iod->nr_sectors * SECTOR;
	bool read_only = false, clean = false;
	unsigned int tag;

	for (tag = 0; tag < DEPTH; tag++) {
		read_only |= memory == buffers[tag][READ_ONLY];
		clean |= memory == buffers[tag][CLEAN];
	}
	if (clean)
		shared->dirty = dio_dirty(memory);
	if (dio_measuring)
		return length;
	shared->held = shared->hold;
	while (shared->hold)
		sched_yield();
	shared->held = false;
	if (shared->error)
		return -shared->error;
	switch (ublksrv_get_op(iod)) {
	case UBLK_IO_OP_READ:
		if (read_only)
			protect(false);
		if (!clean)
			memcpy(memory, at, length);
		if (read_only)
			protect(true);
		return length;
	case UBLK_IO_OP_WRITE:
		memcpy(at, memory, length);
		return length;
	default:
		return 0;
	}
}

static void server_run(void)
{
	const struct ublksrv_io_desc *iods;
	struct io_uring ring;
	struct io_uring_cqe *cqe;
	unsigned int tag;
	char path[32];
	int fd, answer;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	buffers_open();
	snprintf(path, sizeof(path), "/dev/ublkc%u", device);
	fd = open(path, O_RDWR | O_CLOEXEC);
	iods = mmap(NULL, dio_page_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd,
		    UBLKSRV_CMD_BUF_OFFSET);
	if (fd < 0 || iods == MAP_FAILED || io_uring_queue_init(DEPTH, &ring, 0))
		_exit(1);
	for (tag = 0; tag < DEPTH; tag++)
		command(&ring, fd, UBLK_IO_FETCH_REQ, tag, 0);
	while (io_uring_submit_and_wait(&ring, 1) >= 0) {
		while (!io_uring_peek_cqe(&ring, &cqe)) {
			tag = cqe->user_data;
			answer = cqe->res;
			io_uring_cqe_seen(&ring, cqe);
			if (answer != UBLK_IO_RES_OK)
				_exit(0);
			answer = serve(&iods[tag]);
			command(&ring, fd, UBLK_IO_COMMIT_AND_FETCH_REQ, tag, answer);
		}
	}
	_exit(1);
}

/*
 * The device
 */
static int control_command(unsigned int op, void *data, size_t length, unsigned long long inlined)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&control);
	struct ublksrv_ctrl_cmd *cmd = (struct ublksrv_ctrl_cmd *)&sqe->cmd;
	struct io_uring_cqe *cqe;
	int fd, ret;

	fd = open(CONTROL, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = op;
	cmd->dev_id = op == UBLK_CMD_ADD_DEV ? -1 : device;
	cmd->queue_id = -1;
	cmd->addr = (unsigned long)data;
	cmd->len = length;
	cmd->data[0] = inlined;
	ret = io_uring_submit(&control);
	if (ret >= 0)
		ret = io_uring_wait_cqe(&control, &cqe);
	if (ret >= 0) {
		ret = cqe->res;
		io_uring_cqe_seen(&control, cqe);
	}
	close(fd);
	return ret;
}

static void device_open(void)
{
	struct ublksrv_ctrl_dev_info info = {
		.nr_hw_queues = 1, .queue_depth = DEPTH, .max_io_buf_bytes = MAX_IO,
		.dev_id = -1,
	};
	struct ublk_params params = {
		.len = sizeof(params), .types = UBLK_PARAM_TYPE_BASIC,
		.basic = {
			.logical_bs_shift = 9, .physical_bs_shift = 12, .io_opt_shift = 12,
			.io_min_shift = 9, .max_sectors = MAX_IO / SECTOR,
			.dev_sectors = DISK_SIZE / SECTOR,
		},
	};
	unsigned long long start = dio_now_ms();
	char path[32];
	int ret;

	ret = control_command(UBLK_CMD_ADD_DEV, &info, sizeof(info), 0);
	if (ret)
		dio_die("no ublk device: %s\n", strerror(-ret));
	device = info.dev_id;
	added = true;
	ret = control_command(UBLK_CMD_SET_PARAMS, &params, sizeof(params), 0);
	if (ret)
		dio_die("ublk parameters: %s\n", strerror(-ret));
	snprintf(path, sizeof(path), "/dev/ublkc%u", device);
	while (access(path, F_OK))
		if (dio_expired(start))
			dio_die("there is no %s\n", path);
	server = fork();
	if (server < 0)
		dio_die("fork: %s\n", strerror(errno));
	if (!server)
		server_run();
	ret = control_command(UBLK_CMD_START_DEV, NULL, 0, server);
	if (ret)
		dio_die("ublk does not start: %s\n", strerror(-ret));
	snprintf(path, sizeof(path), "/dev/ublkb%u", device);
	do {
		disk = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
		if (disk < 0 && dio_expired(start))
			dio_die("%s: %s\n", path, strerror(errno));
	} while (disk < 0);
}

static void device_close(void)
{
	if (!added)
		return;
	added = false;
	shared->hold = false;
	close(disk);
	control_command(UBLK_CMD_STOP_DEV, NULL, 0, 0);
	control_command(UBLK_CMD_DEL_DEV, NULL, 0, 0);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}

static void clean_up(void)
{
	if (getpid() == owner)
		device_close();
}

/*
 * The tests
 */
static const size_t lengths[] = { 512, 4096, 4608, 65536, MAX_IO, 16 * DIO_MIB };

static const char *transfer(bool write, size_t length, off_t pos)
{
	unsigned char *mem = dio_map(length, dio_page_size, false);
	const char *wrong;
	size_t i;

	for (i = 0; i < length; i++)
		mem[i] = write ? dio_pattern(pos + i + 77) : 0xa5;
	wrong = dio_count(write ? pwrite(disk, mem, length, pos) :
			  pread(disk, mem, length, pos), length);
	if (!wrong)
		wrong = dio_differ(mem, shared->disk + pos, length);
	for (i = 0; write && !wrong && i < length; i++)
		if (shared->disk[pos + i] != dio_pattern(pos + i + 77))
			wrong = dio_because("byte %zu of %zu was written wrongly", i, length);
	munmap(mem, length);
	return wrong;
}

/* The memory that a request uses is named when the one before it is answered. */
static void use_memory(enum memory memory)
{
	char *mem = dio_map(dio_page_size, dio_page_size, false);

	shared->memory = memory;
	dio_full_pread(disk, mem, SECTOR, 0);
	munmap(mem, dio_page_size);
}

static void disk_fill(void)
{
	size_t i;

	for (i = 0; i < DISK_SIZE; i++)
		shared->disk[i] = dio_pattern(i);
}

static const struct {
	const char *name;
	enum memory memory;
} memories[] = {
	{ "memory of the server", GOOD },
	{ "unaligned memory of the server", UNALIGNED },
};

static void label_data(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s %s", i & 1 ? "pwrite into" : "pread from",
		 memories[i / 2].name);
}

static const char *test_data(unsigned int i_case)
{
	const char *wrong = NULL;
	unsigned int i;

	use_memory(memories[i_case / 2].memory);
	disk_fill();
	for (i = 0; i < ARRAY_SIZE(lengths) && !wrong; i++)
		wrong = transfer(i_case & 1, lengths[i], 3 * SECTOR);
	use_memory(GOOD);
	return wrong;
}

static const char *test_read_only(unsigned int unused)
{
	const char *wrong;

	disk_fill();
	use_memory(READ_ONLY);
	wrong = transfer(false, 65536, 0);
	use_memory(GOOD);
	return wrong;
}

/* What does not fit into the memory of the server comes in a second request. */
static const char *test_ends(unsigned int unused)
{
	const char *wrong;

	disk_fill();
	use_memory(ENDS);
	wrong = transfer(true, MAX_IO, 0);
	use_memory(GOOD);
	return wrong;
}

static const char *test_error(unsigned int write)
{
	char *mem = dio_map(4096, dio_page_size, false);
	const char *wrong;

	shared->error = EIO;
	wrong = dio_count(write ? pwrite(disk, mem, 4096, 0) : pread(disk, mem, 4096, 0), -EIO);
	shared->error = 0;
	munmap(mem, 4096);
	return wrong;
}

static const char *test_pins(unsigned int write)
{
	unsigned long long before;
	char *mem = dio_map(65536, dio_page_size, false);
	const char *wrong;

	memset(mem, 0, 65536);
	before = dio_pins_acquired();
	wrong = dio_count(write ? pwrite(disk, mem, 65536, 0) : pread(disk, mem, 65536, 0), 65536);
	/* 16 pages of this process, 16 of the server */
	if (!wrong)
		wrong = dio_pins_taken(before, 32);
	munmap(mem, 65536);
	return wrong;
}

static void test_dirty(unsigned int unused)
{
	static const char * const names[] = { "pread leaves the memory of the server clean",
					      "pwrite makes the memory of the server dirty" };
	size_t length = 16 * dio_page_size;
	const char *wrong;
	char *mem;

	if (dio_lists(names, ARRAY_SIZE(names)))
		return;
	mem = dio_map(length, dio_page_size, false);
	memset(mem, 0, length);
	use_memory(CLEAN);
	/* What the first leaves behind the second one finds. */
	wrong = dio_count(pread(disk, mem, length, 0), length);
	if (!wrong)
		wrong = dio_count(pread(disk, mem, length, 0), length);
	if (!wrong && shared->dirty)
		wrong = dio_because("%zu bytes are dirty", (size_t)shared->dirty);
	dio_report(names[0], wrong);
	wrong = dio_count(pwrite(disk, mem, length, 0), length);
	if (!wrong && shared->dirty != length)
		wrong = dio_because("%zu bytes are dirty instead of %zu", (size_t)shared->dirty,
				    length);
	munmap(mem, length);
	dio_report(names[1], wrong);
	use_memory(GOOD);
	disk_fill();
}

static void *held_read(void *arg)
{
	char *mem = dio_map(4096, dio_page_size, false);
	ssize_t n = pread(disk, mem, 4096, 0);

	*(ssize_t *)arg = n < 0 ? -errno : n;
	munmap(mem, 4096);
	return NULL;
}

static const char *test_killed(unsigned int unused)
{
	unsigned long long start = dio_now_ms();
	const char *wrong = NULL;
	pthread_t thread;
	ssize_t n = 0;

	shared->hold = true;
	if (pthread_create(&thread, NULL, held_read, &n))
		dio_die("no thread\n");
	while (!shared->held)
		if (dio_expired(start))
			dio_die("the read does not reach the server\n");
	kill(server, SIGKILL);
	pthread_join(thread, NULL);
	shared->hold = false;
	if (n != -EIO)
		wrong = dio_because("the read gave %zd", n);
	device_close();
	if (!wrong)
		wrong = dio_pins_problem(false);
	shared->held = false;
	device_open();
	if (!wrong)
		wrong = transfer(false, 65536, 0);
	return wrong;
}

/*
 * The driver can't copy from memory of a PCI device.  It asks the server again and again,
 * until that names other memory.
 */
static const char *test_device(unsigned int unused)
{
	const char *wrong = NULL;
	pthread_t thread;
	ssize_t n = 0;

	if (!getenv("IOV_ITER_DEVICE_MEMORY"))
		return dio_skip(DIO_NO_DEVICE_MEMORY);
	shared->memory = DEVICE;
	if (pthread_create(&thread, NULL, held_read, &n))
		dio_die("no thread\n");
	usleep(500 * 1000);
	if (n)
		wrong = "the driver has taken the memory";
	shared->memory = GOOD;
	pthread_join(thread, NULL);
	if (!wrong && n != 4096)
		wrong = dio_because("the read gave %zd", n);
	return wrong ? wrong : transfer(false, 65536, 0);
}

static const struct dio_case cases[] = {
	{ .label = label_data, .test = test_data, .nr = 2 * ARRAY_SIZE(memories) },
	{ "pread from read-only memory of the server", .test = test_read_only },
	{ "pwrite into memory of the server that ends", .test = test_ends },
	{ "pread, the server says EIO", .test = test_error, .i = false },
	{ "pwrite, the server says EIO", .test = test_error, .i = true },
	{ "pread pins the memory of the server", .test = test_pins, .i = false },
	{ "pwrite pins the memory of the server", .test = test_pins, .i = true },
	{ .run = test_dirty },
	{ "pread from device memory of the server: it is asked again", .test = test_device },
	{ "pread, the server is killed and started again", .test = test_killed },
};

static void all_cases(void)
{
	dio_prefix("ublk");
	dio_cases(cases, ARRAY_SIZE(cases), NULL);
}

static void read_or_write(unsigned char *memory, size_t bytes, bool write)
{
	if (write)
		dio_full_pwrite(disk, memory, bytes, 0);
	else
		dio_full_pread(disk, memory, bytes, 0);
}

static noreturn void measure(void)
{
	dio_measure("ublk", false, read_or_write);
	dio_measure("ublk", true, read_or_write);
	dio_measured();
	exit(0);
}

static const struct dio_option options[] = {
	DIO_OPTION_MEASURE,
	{ 0 }
};

static void start(void)
{
	owner = getpid();
	dio_modprobe("ublk_drv");
	if (access(CONTROL, R_OK | W_OK))
		dio_skip_all(CONTROL ": %s\n", strerror(errno));
	if (io_uring_queue_init(4, &control, IORING_SETUP_SQE128))
		dio_skip_all("io_uring has no large entries\n");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		dio_die("mmap: %s\n", strerror(errno));
	disk_fill();
	atexit(clean_up);
	device_open();
	if (dio_measuring)
		measure();
}

int main(int argc, char **argv)
{
	static const struct dio_program program = {
		.options = options, .start = start, .cases = all_cases, .end = device_close,
	};

	return dio_main(&program, argc, argv);
}
