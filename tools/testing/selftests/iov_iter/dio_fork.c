// SPDX-License-Identifier: GPL-2.0
/*
 * An O_DIRECT read that is in flight while its process forks: the parent must
 * see what is read, the child must see what was there before.
 *
 * Both hold only if the pages are pinned.  With mere references fork() shares
 * them, the parent's next store to one of them (next to the read, which is what
 * two unrelated objects in one page do) gives the parent a copy, and the device
 * fills the page that the child is left with.
 *
 * Nothing here depends on timing: dm-delay holds the read, parent and child meet
 * over pipes.
 *
 *	the read	|   before	| parent	| child
 *	----------------+---------------+---------------+-------------
 *	around it	|   before	| stores some	| before
 *	inside of it	|   before	| data read	| before
 *
 * Where a read is at least whole pages, as on a disk with logical blocks of a
 * page, nothing is around it.  Then the parent stores into the read itself,
 * which the data must overwrite, as the device has not delivered it yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "lib/cases.h"
#include "lib/disk.h"
#include "lib/memory.h"
#include "lib/pins.h"
#include "lib/result.h"
#include "lib/system.h"
#include "lib/target.h"

#define HUGE_SIZE	(2 * DIO_MIB)
#define STORED		0xff	/* what the parent stores next to the read */

/* What the buffer held before the read: neither STORED nor a dio_pattern(). */
static unsigned char before(size_t i)
{
	return 0x80 | (i % 61);
}

enum way {
	AIO,
	URING,
	THREAD,
	NR_WAYS,
};

static const char * const way_names[NR_WAYS] = {
	[AIO]		= "aio",
	[URING]		= "uring",
	[THREAD]	= "thread",
};

/* Where in its first page the read starts */
enum at {
	AT_START,	/* of the page */
	AT_BLOCK,	/* one block into it */
	AT_END,		/* the last block of it */
};

static const struct shape {
	size_t length;
	enum at at;
	bool huge;
	bool quick;
} shapes[] = {
	{ 512,		AT_START },
	{ 512,		AT_BLOCK,	.quick = true },
	{ 512,		AT_END },
	{ 4096,		AT_BLOCK },
	{ 65536,	AT_BLOCK,	.quick = true },
	{ 65536,	AT_BLOCK,	.huge = true },
	{ DIO_MIB,	AT_BLOCK },
};

static bool quick, shared;

static size_t offset_of(const struct shape *s, unsigned int block)
{
	if (block >= dio_page_size)
		return 0;
	switch (s->at) {
	case AT_START:
		return 0;
	case AT_BLOCK:
		return block;
	default:
		return dio_page_size - block;
	}
}

static bool wanted(const struct shape *s, unsigned int block)
{
	return s->length % block == 0 && (!quick || s->quick);
}

/* A read in one of the ways; start() returns without waiting for it. */
struct request {
	enum way way;
	int fd;
	void *buf;
	size_t length;
	off_t pos;

	io_context_t aio;
	struct iocb iocb;
	struct io_uring uring;
	pthread_t thread;
	ssize_t result;
};

static void *request_thread(void *arg)
{
	struct request *r = arg;

	r->result = pread(r->fd, r->buf, r->length, r->pos);
	if (r->result < 0)
		r->result = -errno;
	return NULL;
}

/* These three return 0 or a negative errno. */
static int request_prepare(struct request *r)
{
	switch (r->way) {
	case AIO:
		return io_setup(1, &r->aio);
	case URING:
		return io_uring_queue_init(1, &r->uring, 0);
	default:
		return 0;
	}
}

static int request_start(struct request *r)
{
	struct iocb *iocb = &r->iocb;
	struct io_uring_sqe *sqe;
	int ret;

	switch (r->way) {
	case AIO:
		io_prep_pread(iocb, r->fd, r->buf, r->length, r->pos);
		ret = io_submit(r->aio, 1, &iocb);
		break;
	case URING:
		sqe = io_uring_get_sqe(&r->uring);
		io_uring_prep_read(sqe, r->fd, r->buf, r->length, r->pos);
		ret = io_uring_submit(&r->uring);
		break;
	default:
		return -pthread_create(&r->thread, NULL, request_thread, r);
	}
	if (ret < 0)
		return ret;
	return ret == 1 ? 0 : -EAGAIN;
}

static int request_wait(struct request *r)
{
	struct __kernel_timespec uring_limit = { .tv_sec = DIO_DEADLINE_SECONDS };
	struct timespec limit = { .tv_sec = DIO_DEADLINE_SECONDS };
	struct io_uring_cqe *cqe;
	struct io_event event;
	int ret;

	switch (r->way) {
	case AIO:
		ret = io_getevents(r->aio, 1, 1, &event, &limit);
		if (ret != 1)
			return ret < 0 ? ret : -ETIMEDOUT;
		r->result = event.res;
		return 0;
	case URING:
		ret = io_uring_wait_cqe_timeout(&r->uring, &cqe, &uring_limit);
		if (ret)
			return ret;
		r->result = cqe->res;
		io_uring_cqe_seen(&r->uring, cqe);
		return 0;
	default:
		clock_gettime(CLOCK_REALTIME, &limit);
		limit.tv_sec += DIO_DEADLINE_SECONDS;
		return -pthread_timedjoin_np(r->thread, NULL, &limit);
	}
}

static void request_finish(struct request *r)
{
	if (r->way == AIO)
		io_destroy(r->aio);
	else if (r->way == URING)
		io_uring_queue_exit(&r->uring);
}

/* What one side saw; the child's comes over a pipe. */
struct view {
	size_t wrong;		/* bytes of the read: LOST or SAW */
	size_t disturbed;	/* bytes that are neither what was nor what is read */
	size_t around;		/* bytes around the read that changed */
};

struct buffer {
	unsigned char *mem;
	size_t size;		/* whole pages */
	size_t offset;		/* where the read starts */
	size_t length;		/* and how much it reads */
	off_t pos;		/* of what */
};

static struct view look(const struct buffer *b, bool is_child)
{
	struct view v = { 0 };
	size_t i;

	for (i = 0; i < b->size; i++) {
		size_t in = i - b->offset;
		unsigned char data = b->mem[i];

		if (i < b->offset || in >= b->length) {
			bool stored = !is_child && (i == 0 || i == b->size - 1);

			v.around += data != (stored ? STORED : before(i));
			continue;
		}
		if (data == (is_child ? before(i) : dio_pattern(b->pos + in)))
			continue;
		if (data == (is_child ? dio_pattern(b->pos + in) : before(i)) ||
		    (!is_child && data == STORED))
			v.wrong++;
		else
			v.disturbed++;
	}
	return v;
}

struct child {
	pid_t pid;
	int to, from;
};

/* The child waits for a byte, looks, answers and ends. */
static int child_start(struct child *c, const struct buffer *b)
{
	int to[2], from[2];

	if (pipe(to) || pipe(from))
		return -errno;
	fflush(stdout);
	c->pid = fork();
	if (c->pid < 0) {
		int error = errno;

		close(to[0]);
		close(to[1]);
		close(from[0]);
		close(from[1]);
		return -error;
	}
	if (!c->pid) {
		struct view v;
		char go;

		close(to[1]);
		close(from[0]);
		if (read(to[0], &go, 1) != 1)
			_exit(1);
		v = look(b, true);
		_exit(write(from[1], &v, sizeof(v)) != sizeof(v));
	}
	close(to[0]);
	close(from[1]);
	c->to = to[1];
	c->from = from[0];
	return 0;
}

static int child_ask(struct child *c, struct view *v)
{
	struct pollfd answer = { .fd = c->from, .events = POLLIN };
	int ret = 0;

	if (write(c->to, "", 1) != 1 ||
	    poll(&answer, 1, DIO_DEADLINE_SECONDS * 1000) != 1 ||
	    read(c->from, v, sizeof(*v)) != sizeof(*v)) {
		kill(c->pid, SIGKILL);
		ret = -ECHILD;
	}
	waitpid(c->pid, NULL, 0);
	close(c->to);
	close(c->from);
	return ret;
}

static void report(const char *name, const char *claim, const struct view *v,
		   size_t length, const char *verb)
{
	const char *problem = NULL;
	char full[128];

	if (v->wrong)
		problem = dio_because("%s %zu of %zu bytes", verb, v->wrong, length);
	else if (v->disturbed || v->around)
		problem = dio_because("%zu foreign bytes inside, %zu around", v->disturbed,
				      v->around);
	snprintf(full, sizeof(full), "%s: %s", name, claim);
	dio_result(full, problem);
}

static const char * const parent_claim = "parent sees the read";
static const char * const child_claim = "child sees the bytes of before";

static void both_skip(const char *name, const char *reason)
{
	char full[128];

	snprintf(full, sizeof(full), "%s: %s", name, parent_claim);
	dio_result_skip(full, reason);
	snprintf(full, sizeof(full), "%s: %s", name, child_claim);
	dio_result_skip(full, reason);
}

static void both_fail(const char *name, const char *step, int error)
{
	const char *problem = dio_because("set-up: %s: %s", step, strerror(-error));
	char full[128];

	snprintf(full, sizeof(full), "%s: %s", name, parent_claim);
	dio_result(full, problem);
	snprintf(full, sizeof(full), "%s: %s", name, child_claim);
	dio_result(full, problem);
}

static void run_case(struct dio_target *t, unsigned int i_case)
{
	const struct shape *s = &shapes[i_case % ARRAY_SIZE(shapes)];
	enum way way = i_case / ARRAY_SIZE(shapes);
	struct request r = { .way = way, .fd = t->fd, .length = s->length };
	struct buffer b = { .length = s->length, .offset = offset_of(s, t->block) };
	struct view parent, from_child;
	struct child c = { 0 };
	char name[64];
	bool held;
	size_t i;
	int ret;

	if (!wanted(s, t->block))
		return;
	snprintf(name, sizeof(name), "%s %s %zu at %zu%s", t->name, way_names[way],
		 b.length, b.offset, s->huge ? " huge" : "");
	if (t->skip)
		return both_skip(name, t->skip);
	if (!t->holdable)
		return both_skip(name, "nothing holds the reads of this device");

	ret = request_prepare(&r);
	if (ret)
		return both_skip(name, strerror(-ret));

	b.size = b.offset + b.length;
	b.size = (b.size + dio_page_size - 1) & ~(dio_page_size - 1);
	b.pos = DIO_MIB + b.offset;
	b.mem = dio_map(s->huge ? HUGE_SIZE : b.size,
			s->huge ? HUGE_SIZE : dio_page_size, s->huge);
	for (i = 0; i < b.size; i++)
		b.mem[i] = before(i);
	if (s->huge && !dio_is_huge(b.mem)) {
		both_skip(name, "the kernel gave no huge page");
		goto unmap;
	}
	r.buf = b.mem + b.offset;
	r.pos = b.pos;

	dio_hold();
	ret = request_start(&r);
	if (ret) {
		dio_release();
		both_fail(name, "submission", ret);
		goto unmap;
	}
	/* From here on the read must be waited for, whatever else goes wrong. */
	held = dio_wait_held();

	ret = child_start(&c, &b);
	if (ret)
		dio_die("%s: no child: %s\n", name, strerror(-ret));

	/*
	 * The stores that make fork()'s sharing end.  Not into the read itself,
	 * unless there is nothing else in its pages.
	 */
	if (b.offset || b.length == b.size)
		b.mem[0] = STORED;
	if (b.offset + b.length < b.size || b.length == b.size)
		b.mem[b.size - 1] = STORED;

	held = held && dio_held();
	dio_release();
	ret = request_wait(&r);
	if (ret)
		dio_die("%s: the read does not end: %s\n", name, strerror(-ret));

	parent = look(&b, false);
	ret = child_ask(&c, &from_child);

	if (!held) {
		both_fail(name, "the read did not stay in flight", -ETIME);
	} else if (r.result != (ssize_t)b.length) {
		both_fail(name, "the read failed or is short", r.result < 0 ? r.result : -EIO);
	} else if (ret) {
		both_fail(name, "the child did not answer", ret);
	} else {
		report(name, parent_claim, &parent, b.length, "LOST");
		report(name, child_claim, &from_child, b.length, "SAW");
	}
unmap:
	request_finish(&r);
	munmap(b.mem, s->huge ? HUGE_SIZE : b.size);
}

/* What is not about the target is done on one of them. */
static bool is_first(const struct dio_target *t)
{
	return !strcmp(t->name, dio_target_name(0));
}

/* The pages that the pool of hugetlb memory had before map_hugetlb() */
static const char pool_size[] = "/proc/sys/vm/nr_hugepages";
static char pool_before[24] = "0";

/* A private hugetlb mapping of one page, with as many in the pool to spare, or NULL */
static unsigned char *map_hugetlb(unsigned int spare)
{
	unsigned char *mem;

	dio_read_file(pool_before, sizeof(pool_before), pool_size);
	dio_write_file(spare ? "2" : "1", pool_size);
	mem = mmap(NULL, HUGE_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (mem == MAP_FAILED) {
		dio_write_file(pool_before, pool_size);
		return NULL;
	}
	return mem;
}

static void unmap_hugetlb(void *mem)
{
	munmap(mem, HUGE_SIZE);
	dio_write_file(pool_before, pool_size);
}

/* Why the cases of hugetlb memory cannot run on a target, or NULL */
static const char *no_hugetlb(const struct dio_target *t)
{
	return shared ? "-s leaves the settings of the system alone" : t->skip;
}

/*
 * fork() takes a page of the pool for the child's copy of a hugetlb page that is
 * pinned.  If there is none it fails with ENOMEM, and the read goes on.
 */
static void run_hugetlb(struct dio_target *t, unsigned int spare)
{
	struct buffer b = { .length = t->block, .offset = t->block, .pos = DIO_MIB + t->block };
	struct request r = { .way = AIO, .fd = t->fd, .length = b.length, .pos = b.pos };
	struct view parent, from_child = { 0 };
	const char *problem = NULL;
	struct child c = { 0 };
	int ret, forked;
	char name[80];
	size_t i;

	if (!is_first(t))
		return;
	snprintf(name, sizeof(name), "%s fork() beside a read into hugetlb memory, %u to spare",
		 t->name, spare);
	if (no_hugetlb(t))
		return dio_result_skip(name, no_hugetlb(t));
	if (!t->holdable)
		return dio_result_skip(name, "nothing holds the reads of this device");
	b.mem = map_hugetlb(spare);
	if (!b.mem)
		return dio_result_skip(name, "the kernel gave no hugetlb page");
	b.size = HUGE_SIZE;
	for (i = 0; i < b.size; i++)
		b.mem[i] = before(i);
	r.buf = b.mem + b.offset;
	ret = request_prepare(&r);
	if (ret)
		dio_die("io_setup: %s\n", strerror(-ret));

	dio_hold();
	ret = request_start(&r);
	if (ret)
		dio_die("%s: %s\n", name, strerror(-ret));
	if (!dio_wait_held())
		problem = "the read did not stay in flight";
	forked = child_start(&c, &b);
	b.mem[0] = STORED;
	b.mem[b.size - 1] = STORED;
	dio_release();
	ret = request_wait(&r);
	if (ret)
		dio_die("%s: the read does not end: %s\n", name, strerror(-ret));
	parent = look(&b, false);
	ret = forked ? 0 : child_ask(&c, &from_child);

	if (!problem && r.result != (ssize_t)b.length)
		problem = "the read failed or is short";
	if (!problem && (parent.wrong || parent.disturbed || parent.around))
		problem = "LOST: the parent does not see the read";
	if (!problem && forked != (spare ? 0 : -ENOMEM))
		problem = forked ? strerror(-forked) : "fork() did not fail";
	if (!problem && ret)
		problem = "the child did not answer";
	if (!problem && (from_child.wrong || from_child.disturbed || from_child.around))
		problem = "SAW: the child does not see the bytes of before";
	/* Once the read is done, the next child shares what was read. */
	if (!problem && !spare &&
	    (child_start(&c, &b) || child_ask(&c, &from_child) || from_child.wrong != b.length))
		problem = "a child of after the read does not see it";
	request_finish(&r);
	unmap_hugetlb(b.mem);
	dio_result(name, problem);
}

/*
 * With hugetlb_optimize_vmemmap, most struct pages of a hugetlb page are one: every
 * 64th looks like the head, has the count of the head, and may not be written to.
 * Pin such pages alone, while nothing is mapped there yet and when it is.
 */
static void run_hugetlb_pages(struct dio_target *t, unsigned int unused)
{
	static const char * const optimize = "/proc/sys/vm/hugetlb_optimize_vmemmap";
	static const unsigned int indices[] = { 0, 1, 64, 65, 128, 448 };
	const char *problem = NULL;
	unsigned int i, touched;
	struct utsname kernel;
	unsigned char *mem;
	char name[80], was[8];
	size_t k;

	if (!is_first(t))
		return;
	snprintf(name, sizeof(name), "%s reads into single pages of hugetlb memory", t->name);
	if (no_hugetlb(t))
		return dio_result_skip(name, no_hugetlb(t));
	if (dio_read_file(was, sizeof(was), optimize))
		return dio_result_skip(name, "the kernel cannot optimize hugetlb memory");
	/* It copies the head to every 64th page, and finds them in a bad state. */
	if (!uname(&kernel) && !strncmp(kernel.release, "6.12.", 5))
		return dio_result_skip(name, "6.12 does not free such memory as it should");
	dio_write_file("1", optimize);
	mem = map_hugetlb(0);
	dio_write_file(was, optimize);
	if (!mem)
		return dio_result_skip(name, "the kernel gave no hugetlb page");
	for (i = 0; i < ARRAY_SIZE(indices); i++) {
		unsigned char *page = mem + indices[i] * dio_page_size;
		off_t pos = DIO_MIB + i * dio_page_size;

		if (indices[i] * dio_page_size >= HUGE_SIZE)
			break;
		if (madvise(mem, HUGE_SIZE, MADV_DONTNEED))
			dio_die("madvise: %s\n", strerror(errno));
		for (touched = 0; touched < 2 && !problem; touched++) {
			if (pread(t->fd, page, dio_page_size, pos) != (ssize_t)dio_page_size)
				problem = "a read failed or is short";
			for (k = 0; k < dio_page_size && !problem; k++)
				if (page[k] != dio_pattern(pos + k))
					problem = "not the data that was read";
			memset(page, STORED, dio_page_size);
		}
	}
	unmap_hugetlb(mem);
	dio_result(name, problem ? problem : dio_pins_problem(true));
}

/* Forks as often as it was asked for; its argument counts down. */
static void *fork_thread(void *arg)
{
	unsigned int *left = arg;

	while (__atomic_load_n(left, __ATOMIC_ACQUIRE)) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			dio_die("fork: %s\n", strerror(errno));
		__atomic_sub_fetch(left, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/*
 * Reads that fork() meets while they are being set up: what was pinned of a buffer
 * is given back when the page tables turn out to be write-protected meanwhile.
 */
static void run_storm(struct dio_target *t, unsigned int unused)
{
	enum { LENGTH = 256 * 1024 };
	unsigned int left = quick ? 300 : 2000, reads = 0;
	const char *problem = NULL;
	unsigned char *buf;
	pthread_t thread;
	char name[64];
	size_t i;

	if (!is_first(t))
		return;
	snprintf(name, sizeof(name), "%s reads while a thread forks", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	buf = dio_map(LENGTH, dio_page_size, false);
	memset(buf, STORED, LENGTH);
	if (pthread_create(&thread, NULL, fork_thread, &left))
		dio_die("pthread_create: %s\n", strerror(errno));
	for (; __atomic_load_n(&left, __ATOMIC_ACQUIRE) && !problem; reads++) {
		off_t pos = reads % 8 * LENGTH;

		if (pread(t->fd, buf, LENGTH, pos) != LENGTH)
			problem = "a read failed or is short";
		for (i = 0; i < LENGTH && !problem; i += 97)
			if (buf[i] != dio_pattern(pos + i))
				problem = "LOST: not the data that was read";
	}
	__atomic_store_n(&left, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	munmap(buf, LENGTH);
	dio_result(name, problem || shared ? problem : dio_pins_problem(true));
}

static const struct dio_option options[] = {
	{ 'q', NULL, "the quick subset: two sizes of each kind of I/O", .flag = &quick },
	{ 's', NULL, "others use the system: no hugetlb memory, and their pins are not counted",
	  .flag = &shared },
	DIO_OPTION_TARGETS,
	{ 0 }
};

static const struct dio_case cases[] = {
	{ .run_on = run_case, .nr = NR_WAYS * ARRAY_SIZE(shapes) },
	{ .run_on = run_storm },
	{ .run_on = run_hugetlb, .i = 1 },
	{ .run_on = run_hugetlb, .i = 0 },
	{ .run_on = run_hugetlb_pages },
};

static void all_cases(void)
{
	dio_cases_on_targets(cases, ARRAY_SIZE(cases), NULL);
}

static void start(void)
{
	if (shared)
		dio_skip_pins("-s: others take and release pins, too");
	dio_disk_init();
}

int main(int argc, char **argv)
{
	static const struct dio_program program = {
		.options = options, .defaults = dio_target_network,
		.start = start, .cases = all_cases,
	};

	return dio_main(&program, argc, argv);
}
