// SPDX-License-Identifier: GPL-2.0
/*
 * Random direct I/O, from and to all kinds of user memory, against a model of
 * the file in memory.  Every read is compared with the model, and so are the
 * bytes of the memory that no read may touch; what the writes left is compared
 * with the model through the page cache.
 *
 * The I/O depends on the seed only.  A failed result names the I/O that failed;
 * -s SEED repeats the run.
 */
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <liburing.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "lib/cases.h"
#include "lib/disk.h"
#include "lib/memory.h"
#include "lib/pins.h"
#include "lib/result.h"
#include "lib/system.h"
#include "lib/target.h"

#define AREA_SIZE	DIO_MIB		/* of the file: where the I/O falls */
#define ARENA_SIZE	(64UL * 1024)	/* of memory: where the segments lie */
#define HUGE_SIZE	(2 * DIO_MIB)
#define MAX_SEGMENTS	16
#define MANY_SEGMENTS	1024		/* UIO_MAXIOV, more is EINVAL */
#define LARGE_SIZE	(64 * DIO_MIB)
#define OWN_OFFSET	(2 * DIO_MIB)	/* of OWN_FILE, in the file */
#define SECTOR		512		/* nothing is done in smaller parts */

enum operation {
	PREAD,
	PREADV,
	AIO_READ,
	URING_READ,
	URING_READV,
	URING_READ_FIXED,
	URING_READ_POLLED,
	/* from here on they write */
	PWRITE,
	PWRITEV,
	AIO_WRITE,
	URING_WRITE,
	URING_WRITEV,
	URING_WRITE_FIXED,
	URING_WRITE_POLLED,
	NR_OPERATIONS,
};

static const struct operation_kind {
	const char *name;
	bool vectored;
	bool fixed;		/* memory registered with io_uring beforehand */
	bool polled;
} operation_kinds[NR_OPERATIONS] = {
	[PREAD]			= { "pread" },
	[PREADV]		= { "preadv", .vectored = true },
	[AIO_READ]		= { "aio preadv", .vectored = true },
	[URING_READ]		= { "io_uring read" },
	[URING_READV]		= { "io_uring readv", .vectored = true },
	[URING_READ_FIXED]	= { "io_uring fixed read", .fixed = true },
	[URING_READ_POLLED]	= { "io_uring polled read", .polled = true },
	[PWRITE]		= { "pwrite" },
	[PWRITEV]		= { "pwritev", .vectored = true },
	[AIO_WRITE]		= { "aio pwritev", .vectored = true },
	[URING_WRITE]		= { "io_uring write" },
	[URING_WRITEV]		= { "io_uring writev", .vectored = true },
	[URING_WRITE_FIXED]	= { "io_uring fixed write", .fixed = true },
	[URING_WRITE_POLLED]	= { "io_uring polled write", .polled = true },
};

enum memory {
	ANONYMOUS,
	HUGE,
	HUGETLB,
	SHARED,
	MEMFD,
	PRIVATE_FILE,
	SHARED_FILE,
	OWN_FILE,
	FORKED,
	READ_ONLY,
	NEVER_TOUCHED,
	TAIL_UNMAPPED,
	GUARD_PAGE,
	NR_MEMORIES,
};

/*
 * @reads: whether it is read into; everything is written from
 * @fixed: whether it can be registered with io_uring, which wants to write to
 *	it for good and refuses the pages of most files
 * @hole: whether a part of it is not mapped
 * @read_result: what a read must come to; 0 is all that was asked for
 */
static const struct memory_kind {
	const char *name;
	bool reads, fixed, hole;
	int read_result;
} memory_kinds[NR_MEMORIES] = {
	[ANONYMOUS]	= { "anonymous memory", .reads = true, .fixed = true },
	[HUGE]		= { "a huge page", .reads = true, .fixed = true },
	[HUGETLB]	= { "hugetlb memory", .reads = true, .fixed = true },
	[SHARED]	= { "shared memory", .reads = true, .fixed = true },
	[MEMFD]		= { "a memfd", .reads = true, .fixed = true },
	[PRIVATE_FILE]	= { "a private file mapping", .reads = true },
	[SHARED_FILE]	= { "a shared file mapping", .reads = true },
	[OWN_FILE]	= { "a mapping of another part of the file", .reads = true },
	[FORKED]	= { "memory shared with a child", .reads = true },
	[READ_ONLY]	= { "read-only memory", .reads = true, .read_result = -EFAULT },
	[NEVER_TOUCHED]	= { "memory never touched" },
	[TAIL_UNMAPPED]	= { "memory whose tail is unmapped", .reads = true, .hole = true },
	[GUARD_PAGE]	= { "memory with a guard page", .reads = true, .hole = true },
};

static unsigned long long seed;
static unsigned long long ios = 200;
static bool quick;	/* per result */
static unsigned int block;		/* of the target: the unit of all I/O */
static io_context_t aio;
static struct io_uring uring, polled_uring;
static const char *no_uring, *no_polled_uring;	/* why there is none */
static unsigned char *model;		/* of the file's first AREA_SIZE bytes */
static unsigned char *shadow;		/* what the arena must hold */
static unsigned char *scratch;
static const char * const not_polled = "nothing polls for this device";

static void fill_random(unsigned char *p, size_t n)
{
	unsigned long long word = dio_random(), step = dio_random() | 1;
	size_t i;

	for (i = 0; i < n; i += sizeof(word), word += step)
		memcpy(p + i, &word, sizeof(word));
}

static bool writes(enum operation op)
{
	return op >= PWRITE;
}

/* Pairs that make no sense, or that cannot be: they have no result at all. */
static bool makes_sense(enum operation op, enum memory kind)
{
	if (!writes(op) && !memory_kinds[kind].reads)
		return false;
	if (operation_kinds[op].fixed)
		return memory_kinds[kind].fixed;
	/* What is polled for differs in nothing but the completion. */
	return !operation_kinds[op].polled || kind == ANONYMOUS;
}

/*
 * Memory of one kind: ARENA_SIZE bytes at @mem, but for the @hole from @hole_at
 * on.  Where nothing is unmapped, that is the end.
 */
struct arena {
	enum memory kind;
	unsigned char *mem, *base;
	size_t mapped;			/* at @base */
	size_t hole_at, hole;
	int file;			/* that is mapped */
	pid_t child;			/* of FORKED: shares the memory */
	bool registered;
};

static void child_end(struct arena *a)
{
	if (!a->child)
		return;
	kill(a->child, SIGKILL);
	waitpid(a->child, NULL, 0);
	a->child = 0;
}

/* Only a new child shares what was written or unshared since the last one. */
static void child_renew(struct arena *a)
{
	child_end(a);
	fflush(stdout);
	a->child = fork();
	if (a->child < 0)
		dio_die("fork: %s\n", strerror(errno));
	while (!a->child)
		pause();
}

static void arena_close(struct arena *a)
{
	child_end(a);
	if (a->registered)
		io_uring_unregister_buffers(&uring);
	if (a->base)
		munmap(a->base, a->mapped);
	if (a->file >= 0)
		close(a->file);
}

static void arena_map(struct arena *a, int flags, off_t offset)
{
	if (mmap(a->mem, ARENA_SIZE, PROT_READ | PROT_WRITE, flags | MAP_FIXED,
		 a->file, offset) == MAP_FAILED)
		dio_die("%s: %s\n", memory_kinds[a->kind].name, strerror(errno));
}

static const char *arena_map_huge(struct arena *a)
{
	a->mapped = HUGE_SIZE;
	if (a->kind == HUGE) {
		a->base = dio_map(HUGE_SIZE, HUGE_SIZE, true);
		memset(a->base, 0, HUGE_SIZE);
		if (!dio_is_huge(a->base))
			return "the kernel gave no huge page";
	} else {
		dio_write_file("8", "/proc/sys/vm/nr_hugepages");
		a->base = mmap(NULL, HUGE_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
		if (a->base == MAP_FAILED) {
			a->base = NULL;
			return "the kernel gave no hugetlb page";
		}
	}
	/* The end of it, after a start that is aligned to nothing but pages */
	a->mem = a->base + HUGE_SIZE - ARENA_SIZE;
	return NULL;
}

/* A file for a mapping: of the target's file system, or in memory */
static const char *arena_file(struct arena *a, const struct dio_target *t)
{
	char path[100];

	if (a->kind == OWN_FILE) {
		if (t->append)
			return "a sequential zone cannot be mapped for writing";
		a->file = open(t->path, O_RDWR);
		return NULL;
	}
	if (a->kind == MEMFD || !t->dir[0] || t->append) {
		if (a->kind == SHARED_FILE)
			return "there is no file system for one more file";
		a->file = memfd_create("dio_integrity", 0);
	} else {
		snprintf(path, sizeof(path), "%s/mapped", t->dir);
		a->file = open(path, O_RDWR | O_CREAT, 0600);
	}
	if (a->file < 0 || ftruncate(a->file, ARENA_SIZE))
		return "there is no file to map";
	return NULL;
}

static const char *arena_open(struct arena *a, enum memory kind, const struct dio_target *t)
{
	const char *skip = NULL;

	memset(a, 0, sizeof(*a));
	a->kind = kind;
	a->file = -1;
	a->hole_at = ARENA_SIZE;
	if (kind == HUGE || kind == HUGETLB)
		return arena_map_huge(a);

	/* One page more, to unmap it: nothing else gets mapped there meanwhile. */
	a->mapped = ARENA_SIZE;
	a->base = dio_map(ARENA_SIZE + dio_page_size, dio_page_size, false);
	munmap(a->base + ARENA_SIZE, dio_page_size);
	a->mem = a->base;
	switch (kind) {
	case SHARED:
		arena_map(a, MAP_SHARED | MAP_ANONYMOUS, 0);
		break;
	case OWN_FILE:
	case MEMFD:
	case PRIVATE_FILE:
	case SHARED_FILE:
		skip = arena_file(a, t);
		if (!skip)
			arena_map(a, kind == PRIVATE_FILE ? MAP_PRIVATE : MAP_SHARED,
				  kind == OWN_FILE ? OWN_OFFSET : 0);
		break;
	case TAIL_UNMAPPED:
		a->hole = dio_page_size;
		break;
	case GUARD_PAGE:
		a->hole = dio_page_size;
		a->hole_at = ARENA_SIZE / 2;
		mprotect(a->mem + a->hole_at, a->hole, PROT_NONE);
		break;
	default:
		break;
	}
	return skip;
}

static const char *arena_register(struct arena *a)
{
	struct iovec iov = { a->mem, ARENA_SIZE };
	int ret = io_uring_register_buffers(&uring, &iov, 1);

	a->registered = !ret;
	return ret ? strerror(-ret) : NULL;
}

static size_t behind_hole(const struct arena *a)
{
	size_t end = a->hole_at + a->hole;

	return end < ARENA_SIZE ? end : ARENA_SIZE;
}

static void arena_from_shadow(struct arena *a)
{
	size_t end = behind_hole(a);

	memcpy(a->mem, shadow, a->hole_at);
	memcpy(a->mem + end, shadow + end, ARENA_SIZE - end);
}

/*
 * Give the arena its contents for the next I/O, and @shadow the same.  A private
 * file mapping gets it through the file, so that the I/O meets the file's pages.
 */
static void arena_fill(struct arena *a, enum operation op)
{
	if (writes(op) && a->kind != NEVER_TOUCHED)
		fill_random(shadow, ARENA_SIZE);
	else
		memset(shadow, writes(op) ? 0 : DIO_UNTOUCHED, ARENA_SIZE);

	switch (a->kind) {
	case PRIVATE_FILE:
		dio_full_pwrite(a->file, shadow, ARENA_SIZE, 0);
		madvise(a->mem, ARENA_SIZE, MADV_DONTNEED);
		break;
	case NEVER_TOUCHED:
		madvise(a->mem, ARENA_SIZE, MADV_DONTNEED);
		break;
	case READ_ONLY:
		mprotect(a->mem, ARENA_SIZE, PROT_READ | PROT_WRITE);
		arena_from_shadow(a);
		mprotect(a->mem, ARENA_SIZE, PROT_READ);
		break;
	case FORKED:
		arena_from_shadow(a);
		child_renew(a);
		break;
	default:
		arena_from_shadow(a);
	}
}

/* What the arena, and the file under a private mapping, hold; NULL if right. */
static const char *arena_check(struct arena *a, enum operation op)
{
	size_t end = behind_hole(a);

	if (memcmp(a->mem, shadow, a->hole_at) ||
	    memcmp(a->mem + end, shadow + end, ARENA_SIZE - end))
		return writes(op) ? "a write changed its source" : "wrong bytes in memory";
	if (a->kind == PRIVATE_FILE && !writes(op)) {
		dio_full_pread(a->file, scratch, ARENA_SIZE, 0);
		memset(shadow, DIO_UNTOUCHED, ARENA_SIZE);
		if (memcmp(scratch, shadow, ARENA_SIZE))
			return "a read changed the file under a private mapping";
	}
	return NULL;
}

struct io {
	struct iovec iov[MAX_SEGMENTS];
	int nr;
	size_t length;		/* of all segments */
	size_t good;		/* of it, before what is not mapped */
	off_t pos;
};

static void io_add(struct io *io, unsigned char *base, size_t len)
{
	io->iov[io->nr].iov_base = base;
	io->iov[io->nr].iov_len = len;
	io->nr++;
	io->length += len;
}

/* How many bytes come before the first one in the hole */
static size_t before_hole(const struct io *io, const struct arena *a)
{
	size_t good = 0;
	int i;

	for (i = 0; i < io->nr; i++) {
		size_t at = (unsigned char *)io->iov[i].iov_base - a->mem;
		size_t len = io->iov[i].iov_len;

		if (len && at + len > a->hole_at && at < a->hole_at + a->hole)
			return good + (at < a->hole_at ? a->hole_at - at : 0);
		good += len;
	}
	return good;
}

/*
 * Cut segments out of the arena, from its start to its end so that they do not
 * overlap: whole pages that join, blocks that share a page, empty ones.
 */
static void io_cut(struct io *io, struct arena *a, enum operation op)
{
	size_t page = dio_page_size, unit = page < block ? block : page;
	int want = operation_kinds[op].vectored ? 1 + dio_below(MAX_SEGMENTS) : 1;
	size_t at = dio_below(2 * unit / block) * block;
	bool tail = a->kind == TAIL_UNMAPPED;
	size_t len;

	memset(io, 0, sizeof(*io));
	if (tail && want == MAX_SEGMENTS)
		want--;
	while (io->nr < want && at < ARENA_SIZE) {
		size_t room = ARENA_SIZE - at;

		switch (dio_below(5)) {
		case 0:		/* empty, wherever it points to; alignment is checked even so */
			if (!operation_kinds[op].vectored)
				continue;
			io_add(io, a->mem + dio_below(ARENA_SIZE / block) * block, 0);
			continue;
		case 1:		/* to the end of the page: the next may join */
			len = unit - at % unit + dio_below(3) * unit;
			break;
		case 2:		/* after a gap, within the page where it can be */
			at += block;
			room -= block;
			len = block;
			break;
		case 3:
			len = (1 + dio_below(unit / block)) * block;
			break;
		default:
			len = want == 1 ? ARENA_SIZE : 4 * unit;
			len = (1 + dio_below(len / block)) * block;
		}
		if (len > room)
			len = room;
		if (len)
			io_add(io, a->mem + at, len);
		at += len;
	}
	io->good = io->length;
	if (tail) {
		/* A single segment reaches over the end; of many, the last does. */
		len = (1 + dio_below(8)) * block;
		if (want == 1) {
			io->nr = 0;
			io->length = 0;
			io_add(io, a->mem + ARENA_SIZE - len, len + unit);
			io->good = len;
		} else {
			io_add(io, a->mem + ARENA_SIZE, unit);
		}
	} else if (!io->length) {
		io->nr = 0;
		io_add(io, a->mem, block);
		io->good = io->length;
	}
	if (a->kind == GUARD_PAGE)
		io->good = before_hole(io, a);
	io->pos = dio_below((AREA_SIZE - io->length) / block + 1) * block;
}

static ssize_t aio_do(struct io *io, int fd, bool write)
{
	struct timespec limit = { .tv_sec = DIO_DEADLINE_SECONDS };
	struct iocb iocb, *list = &iocb;
	struct io_event event;
	int ret;

	if (write)
		io_prep_pwritev(&iocb, fd, io->iov, io->nr, io->pos);
	else
		io_prep_preadv(&iocb, fd, io->iov, io->nr, io->pos);
	ret = io_submit(aio, 1, &list);
	if (ret != 1)
		return ret;
	if (io_getevents(aio, 1, 1, &event, &limit) != 1)
		dio_die("an aio request does not end\n");
	return (long)event.res;
}

static ssize_t uring_do(struct io *io, int fd, enum operation op)
{
	struct io_uring *ring = operation_kinds[op].polled ? &polled_uring : &uring;
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	struct iovec *iov = io->iov;
	ssize_t n;
	int ret;

	switch (op) {
	case URING_READV:
		io_uring_prep_readv(sqe, fd, iov, io->nr, io->pos);
		break;
	case URING_WRITEV:
		io_uring_prep_writev(sqe, fd, iov, io->nr, io->pos);
		break;
	case URING_READ_FIXED:
		io_uring_prep_read_fixed(sqe, fd, iov->iov_base, iov->iov_len, io->pos, 0);
		break;
	case URING_WRITE_FIXED:
		io_uring_prep_write_fixed(sqe, fd, iov->iov_base, iov->iov_len, io->pos, 0);
		break;
	default:
		if (writes(op))
			io_uring_prep_write(sqe, fd, iov->iov_base, iov->iov_len, io->pos);
		else
			io_uring_prep_read(sqe, fd, iov->iov_base, iov->iov_len, io->pos);
	}
	ret = io_uring_submit_and_wait(ring, 1);
	if (ret < 0)
		return ret;
	ret = io_uring_wait_cqe(ring, &cqe);
	if (ret)
		dio_die("an io_uring request does not end: %s\n", strerror(-ret));
	n = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return n;
}

/* The number of bytes, or a negative errno */
static ssize_t io_do(struct io *io, int fd, enum operation op)
{
	ssize_t n;

	switch (op) {
	case PREAD:
		n = pread(fd, io->iov[0].iov_base, io->iov[0].iov_len, io->pos);
		break;
	case PREADV:
		n = preadv(fd, io->iov, io->nr, io->pos);
		break;
	case PWRITE:
		n = pwrite(fd, io->iov[0].iov_base, io->iov[0].iov_len, io->pos);
		break;
	case PWRITEV:
		n = pwritev(fd, io->iov, io->nr, io->pos);
		break;
	case AIO_READ:
	case AIO_WRITE:
		return aio_do(io, fd, writes(op));
	default:
		return uring_do(io, fd, op);
	}
	return n < 0 ? -errno : n;
}

/* Copy @n bytes between the segments' place in @shadow and the model. */
static void apply(struct io *io, struct arena *a, bool to_model, size_t n)
{
	off_t pos = io->pos;
	int i;

	for (i = 0; i < io->nr && n; i++) {
		unsigned char *in_shadow =
			shadow + ((unsigned char *)io->iov[i].iov_base - a->mem);
		size_t len = io->iov[i].iov_len < n ? io->iov[i].iov_len : n;

		if (to_model)
			memcpy(model + pos, in_shadow, len);
		else
			memcpy(in_shadow, model + pos, len);
		pos += len;
		n -= len;
	}
}

/*
 * After a failed I/O of which a part may have been done: each block is either as
 * it was or as it would be.  Takes over into the model what a write did, and
 * into @shadow what a read did.
 */
static const char *apply_partly(struct io *io, struct arena *a, int fd, enum operation op)
{
	off_t pos = io->pos;
	size_t n = io->good;
	unsigned char *mine, *theirs;
	int i;

	if (writes(op))
		dio_full_pread(fd, scratch, io->good, io->pos);
	for (i = 0; i < io->nr && n; i++) {
		size_t at = (unsigned char *)io->iov[i].iov_base - a->mem, k, len;

		len = io->iov[i].iov_len < n ? io->iov[i].iov_len : n;
		for (k = 0; k < len; k += SECTOR) {
			if (writes(op)) {
				theirs = scratch + (pos - io->pos) + k;
				if (!memcmp(theirs, model + pos + k, SECTOR))
					continue;
				mine = shadow + at + k;
				if (memcmp(theirs, mine, SECTOR))
					return "a failed write left wrong bytes";
				memcpy(model + pos + k, mine, SECTOR);
			} else {
				theirs = a->mem + at + k;
				if (!memcmp(theirs, shadow + at + k, SECTOR))
					continue;
				if (memcmp(theirs, model + pos + k, SECTOR))
					return "a failed read left wrong bytes";
				memcpy(shadow + at + k, theirs, SECTOR);
			}
		}
		pos += len;
		n -= len;
	}
	return NULL;
}

/*
 * After a write that met unmapped memory: fs/direct-io.c writes zeros to what is
 * left of the blocks that it has mapped, lest they show what they held before.
 * Everywhere else nothing is written there.
 */
static const char *apply_zeros(struct io *io, const struct dio_target *t)
{
	static const unsigned char zeros[SECTOR];
	size_t k, len = io->length - io->good;
	off_t pos = io->pos + io->good;

	dio_full_pread(t->fd, scratch, len, pos);
	for (k = 0; k < len; k += SECTOR) {
		if (!memcmp(scratch + k, model + pos + k, SECTOR))
			continue;
		if (!t->zeroes || memcmp(scratch + k, zeros, SECTOR))
			return "bytes are written that come from nowhere";
		memcpy(model + pos + k, zeros, SECTOR);
	}
	return NULL;
}

static const char *io_check(struct io *io, struct arena *a, const struct dio_target *t,
			    enum operation op, ssize_t n)
{
	const char *wrong;
	int want = writes(op) ? 0 : memory_kinds[a->kind].read_result;

	if (want) {
		if (n != want)
			return "not the error it must be";
	} else if (io->good < io->length) {
		/* Short, or all of it an error: file systems differ. */
		if (n == -EFAULT) {
			wrong = t->append && writes(op) ? NULL :
				apply_partly(io, a, t->fd, op);
			if (wrong)
				return wrong;
		} else if (n <= 0 || n > io->good) {
			return "neither short nor EFAULT";
		}
		wrong = writes(op) && !t->append ? apply_zeros(io, t) : NULL;
		if (wrong)
			return wrong;
	} else if (n != io->length) {
		return "failed or short";
	}
	if (n > 0)
		apply(io, a, writes(op), n);
	return arena_check(a, op);
}

/*
 * Where the file only grows, the next write goes to its end, and what a failed
 * one left is told by its size.  It begins anew before it would be full.
 */
static void append_prepare(struct dio_target *t, struct io *io)
{
	struct stat st;

	if (fstat(t->fd, &st))
		dio_die("%s: %s\n", t->path, strerror(errno));
	if (st.st_size + io->length > AREA_SIZE) {
		if (ftruncate(t->fd, 0))
			dio_die("%s: the zone is not reset: %s\n", t->path, strerror(errno));
		st.st_size = 0;
	}
	io->pos = st.st_size;
}

static const char *append_check(struct dio_target *t, struct io *io, struct arena *a, ssize_t n)
{
	struct stat st;

	if (fstat(t->fd, &st))
		dio_die("%s: %s\n", t->path, strerror(errno));
	if (n >= 0 && st.st_size != io->pos + n)
		return "the file has not grown by what was written";
	if (n < 0 && (st.st_size < io->pos || st.st_size > io->pos + io->good))
		return "a failed write has changed the size of the file";
	if (n < 0)
		apply(io, a, true, st.st_size - io->pos);
	return NULL;
}

/* Compare the file with the model, through the page cache, freshly read. */
static const char *read_back(const struct dio_target *t)
{
	int fd = open(t->path, O_RDONLY);
	size_t i, size = AREA_SIZE;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		dio_die("%s: %s\n", t->path, strerror(errno));
	if (t->append && st.st_size < AREA_SIZE)
		size = st.st_size;
	if (t->dir[0])
		posix_fadvise(fd, 0, AREA_SIZE, POSIX_FADV_DONTNEED);
	else
		ioctl(fd, BLKFLSBUF, 0);
	dio_full_pread(fd, scratch, size, 0);
	close(fd);
	if (!memcmp(scratch, model, size))
		return NULL;
	for (i = 0; scratch[i] == model[i]; i++)
		;
	return dio_because("the file differs from the model at byte %zu", i);
}

static const char *run_one(struct dio_target *t, enum operation op, struct arena *a, int i)
{
	const char *wrong;
	struct io io;
	ssize_t n;

	io_cut(&io, a, op);
	if (t->append && writes(op))
		append_prepare(t, &io);
	arena_fill(a, op);
	n = io_do(&io, t->fd, op);
	if (n == -EOPNOTSUPP && operation_kinds[op].polled)
		return not_polled;
	wrong = io_check(&io, a, t, op, n);
	if (!wrong && t->append && writes(op))
		wrong = append_check(t, &io, a, n);
	if (!wrong)
		return NULL;
	return dio_because("I/O %d, %zu bytes in %d segments at %lld, result %zd: %s",
			   i, io.length, io.nr, (long long)io.pos, n, wrong);
}

/* Why this cannot be tried, or NULL */
static const char *set_up(struct dio_target *t, enum operation op, enum memory kind,
			  struct arena *a)
{
	const struct operation_kind *o = &operation_kinds[op];
	const char *skip = NULL;

	if (o->polled)
		skip = no_polled_uring;
	else if (op == URING_READ || op == URING_READV || op == URING_WRITE ||
		 op == URING_WRITEV || o->fixed)
		skip = no_uring;
	/*
	 * An error makes zonefs read-only, and one of an asynchronous read takes
	 * a mutex where it must not: that is not what is tested here.
	 */
	if (t->append && memory_kinds[kind].hole && op != PREAD && op != PREADV)
		skip = "zonefs does not bear partial I/O";
	if (!skip)
		skip = arena_open(a, kind, t);
	if (!skip && o->fixed)
		skip = arena_register(a);
	return skip;
}

static void run_kind(struct dio_target *t, unsigned int i_case)
{
	enum operation op = i_case / NR_MEMORIES;
	enum memory kind = i_case % NR_MEMORIES;
	struct arena a = { .file = -1 };
	const char *wrong = t->skip;
	unsigned long long pins;
	char name[120];
	int i;

	if (!makes_sense(op, kind))
		return;
	snprintf(name, sizeof(name), "%s %s %s %s", t->name, operation_kinds[op].name,
		 writes(op) ? "from" : "into", memory_kinds[kind].name);
	/* Every result can be had alone, whatever ran before it. */
	dio_random_seed(seed + op * NR_MEMORIES + kind + 1);

	if (!wrong)
		wrong = set_up(t, op, kind, &a);
	if (wrong) {
		arena_close(&a);
		return dio_result_skip(name, wrong);
	}
	pins = dio_pins_acquired();
	for (i = 0; i < ios && !wrong; i++)
		wrong = run_one(t, op, &a, i);
	arena_close(&a);
	if (wrong == not_polled)
		return dio_result_skip(name, wrong);
	/* Registered memory was pinned before; a few reads may all miss the blocks of btrfs. */
	if (!wrong && kind == ANONYMOUS && ios >= 10 && dio_pins_acquired() == pins &&
	    !operation_kinds[op].fixed && !(writes(op) && t->buffered_writes))
		wrong = "no pin was taken";
	if (!wrong && writes(op))
		wrong = read_back(t);
	/* The next result starts from what is there, not from this failure. */
	if (wrong && writes(op) && !t->append)
		dio_full_pread(t->fd, model, AREA_SIZE, 0);
	dio_result(name, wrong);
}

/*
 * Memory that ends after less than a page.  Where that is less than a logical
 * block, nothing can be read, and the page that was taken is to be given back.
 */
static void run_fault(struct dio_target *t, unsigned int unused)
{
	/* Never more than what is mapped, but less than a logical block of a page */
	size_t len = block < dio_page_size ? dio_page_size : 2 * dio_page_size;
	size_t there = dio_page_size - SECTOR;
	const char *wrong = NULL;
	unsigned char *mem;
	char name[80];
	ssize_t n;

	snprintf(name, sizeof(name), "%s pread into less than a page", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	mem = dio_map(2 * dio_page_size, dio_page_size, false);
	munmap(mem + dio_page_size, dio_page_size);
	n = pread(t->fd, mem + SECTOR, len, 0);
	/* Some demand that memory is aligned to a block, too. */
	if (n < 0 && errno != EFAULT && (errno != EINVAL || block == SECTOR))
		wrong = strerror(errno);
	else if (n > (ssize_t)there)
		wrong = "more was read than there is memory for";
	else if (n > 0 && memcmp(mem + SECTOR, model, n))
		wrong = "wrong bytes in memory";
	munmap(mem, dio_page_size);
	dio_result(name, wrong);
}

/*
 * More pages than a bio has, from inside a page on: where the logical block is a
 * page, the end of each bio is trimmed, and the next one begins there.
 */
static void run_trim(struct dio_target *t, unsigned int unused)
{
	size_t len = 3 * DIO_MIB;
	unsigned char *mem, *whole;
	char name[80];

	snprintf(name, sizeof(name), "%s pread of more than a bio, from inside a page", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	mem = dio_map(len + dio_page_size, dio_page_size, false);
	whole = dio_map(len, dio_page_size, false);
	dio_full_pread(t->fd, whole, len, 0);
	dio_full_pread(t->fd, mem + SECTOR, len, 0);
	dio_result(name, memcmp(mem + SECTOR, whole, len) ? "wrong bytes in memory" : NULL);
	munmap(mem, len + dio_page_size);
	munmap(whole, len);
}

/* Two segments in one page, apart and adjacent, in a single read */
static void run_one_page(struct dio_target *t, unsigned int unused)
{
	size_t gap;
	const char *wrong = NULL;
	struct iovec iov[2];
	unsigned char *page;
	char name[80];

	snprintf(name, sizeof(name), "%s preadv of two segments in one page", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (dio_page_size < 4 * block)
		return dio_result_skip(name, "a page has less than four logical blocks");

	page = dio_map(dio_page_size, dio_page_size, false);
	for (gap = 0; gap <= block && !wrong; gap += block) {
		memset(page, DIO_UNTOUCHED, dio_page_size);
		memset(shadow, DIO_UNTOUCHED, dio_page_size);
		iov[0] = (struct iovec){ page + block, block };
		iov[1] = (struct iovec){ page + 2 * block + gap, block };
		memcpy(shadow + block, model, block);
		memcpy(shadow + 2 * block + gap, model + block, block);
		if (preadv(t->fd, iov, 2, 0) != 2 * block)
			wrong = "failed or short";
		else if (memcmp(page, shadow, dio_page_size))
			wrong = "wrong bytes in memory";
	}
	munmap(page, dio_page_size);
	dio_result(name, wrong);
}

/* The second segment is misaligned: an error after the first was taken, or short */
static void run_misaligned(struct dio_target *t, unsigned int unused)
{
	unsigned char *mem;
	const char *wrong = NULL;
	struct iovec iov[2];
	char name[80];
	ssize_t n;

	snprintf(name, sizeof(name), "%s preadv whose second segment is misaligned", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	mem = dio_map(3 * dio_page_size, dio_page_size, false);
	memset(mem, DIO_UNTOUCHED, 3 * dio_page_size);
	iov[0] = (struct iovec){ mem, dio_page_size };
	iov[1] = (struct iovec){ mem + dio_page_size + 1, dio_page_size };
	n = preadv(t->fd, iov, 2, 0);
	/* Some devices can do any alignment: then all of it is read. */
	if (n < 0 && errno != EINVAL)
		wrong = strerror(errno);
	else if (n > 0 && memcmp(mem, model, n < dio_page_size ? n : dio_page_size))
		wrong = "wrong bytes in the first segment";
	munmap(mem, 3 * dio_page_size);
	dio_result(name, wrong);
}

/* Pages with data, a hole behind each of them, and a bit of a page to end in it */
static off_t make_sparse(const char *path, unsigned char *whole)
{
	off_t size = 5 * dio_page_size + 100;
	int i, fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || ftruncate(fd, size))
		dio_die("%s: no test file: %s\n", path, strerror(errno));
	for (i = 0; i < 4; i += 2) {
		fill_random(whole + i * dio_page_size, dio_page_size);
		dio_full_pwrite(fd, whole + i * dio_page_size, dio_page_size, i * dio_page_size);
	}
	fsync(fd);
	close(fd);
	return size;
}

/* More is asked for than there is: what was taken for the rest is to be given back. */
static void run_end(struct dio_target *t, unsigned int unused)
{
	size_t len = 128 * dio_page_size;
	unsigned char *mem, *whole;
	const char *wrong = NULL;
	char name[80], path[100];
	off_t size, from, pos;
	int fd;

	snprintf(name, sizeof(name), "%s pread from holes and past the end", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (t->append)
		return dio_result_skip(name, "there is no file system for one more file");

	mem = dio_map(len, dio_page_size, false);
	whole = dio_map(len, dio_page_size, false);
	snprintf(path, sizeof(path), "%s", t->path);
	if (t->dir[0]) {
		snprintf(path, sizeof(path), "%s/sparse", t->dir);
		from = 0;
		size = make_sparse(path, whole);
	} else {
		size = lseek(t->fd, 0, SEEK_END);
		from = size - 5 * dio_page_size;
		dio_full_pread(t->fd, whole, size - from, from);
	}
	fd = open(path, O_RDONLY | O_DIRECT);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	for (pos = from; pos < size + dio_page_size && !wrong; pos += block) {
		ssize_t want = pos < size ? size - pos : 0;

		memset(mem, DIO_UNTOUCHED, len);
		if (pread(fd, mem, len, pos) != want)
			wrong = "a read did not end where the file does";
		else if (memcmp(mem, whole + (pos - from), want))
			wrong = "wrong bytes in memory";
	}
	close(fd);
	if (t->dir[0])
		unlink(path);
	munmap(mem, len);
	munmap(whole, len);
	dio_result(name, wrong);
}

/*
 * Writes of less than a block of the file system, to where no data was: the rest
 * of the block must become zeros, which iomap writes from its own zero page.
 */
static void run_zeroing(struct dio_target *t, unsigned int unwritten)
{
	const char *wrong = NULL;
	unsigned char *buf;
	char name[80];
	char path[100];
	int i, fd;

	snprintf(name, sizeof(name), "%s writes of a sector into %s", t->name,
		 unwritten ? "an unwritten extent" : "a hole");
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (!t->dir[0] || t->append)
		return dio_result_skip(name, "there is no file system for one more file");
	snprintf(path, sizeof(path), "%s/zeroing", t->dir);
	/* Where there is no fallocate(), the C library writes bytes: not directly. */
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || (unwritten ? posix_fallocate(fd, 0, AREA_SIZE) : ftruncate(fd, AREA_SIZE)))
		dio_die("%s: no test file\n", path);
	close(fd);
	fd = open(path, O_RDWR | O_DIRECT);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));

	dio_random_seed(seed + unwritten + 1);
	buf = dio_map(dio_page_size, dio_page_size, false);
	memset(model, 0, AREA_SIZE);
	for (i = 0; i < ios && !wrong; i++) {
		off_t pos = dio_below(AREA_SIZE / block) * block;

		fill_random(buf, block);
		memcpy(model + pos, buf, block);
		if (pwrite(fd, buf, block, pos) != block)
			wrong = "a write failed";
	}
	munmap(buf, dio_page_size);
	if (!wrong) {
		/* Direct, then through the page cache */
		dio_full_pread(fd, scratch, AREA_SIZE, 0);
		if (memcmp(scratch, model, AREA_SIZE))
			wrong = "the file differs from the model";
	}
	close(fd);
	if (!wrong) {
		struct dio_target file = *t;

		strcpy(file.path, path);
		wrong = read_back(&file);
	}
	unlink(path);
	dio_result(name, wrong);
}

/*
 * Writes of a sector into a file that shares its first block, then an end of all
 * sharing there.  What was written to a hole far from that block must stay.
 */
static void run_unshare(struct dio_target *t, unsigned int unused)
{
	enum { FAR = 64 * 1024, SIZE = 128 * 1024 };
	char name[80], path[100], clone[100];
	const char *wrong = NULL;
	unsigned char *buf;
	int fd, other;

	snprintf(name, sizeof(name), "%s fallocate() unshares one block and keeps others", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (!t->dir[0] || t->append)
		return dio_result_skip(name, "there is no file system for one more file");
	snprintf(path, sizeof(path), "%s/shares", t->dir);
	snprintf(clone, sizeof(clone), "%s/clone", t->dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
	other = open(clone, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || other < 0)
		dio_die("%s: no test file: %s\n", path, strerror(errno));

	buf = dio_map(SIZE, dio_page_size, false);
	dio_fill(buf, dio_page_size, 0, 0);
	dio_full_pwrite(fd, buf, dio_page_size, 0);
	if (ftruncate(fd, SIZE))
		dio_die("%s: %s\n", path, strerror(errno));
	if (ioctl(other, FICLONE, fd)) {
		dio_result_skip(name, "this file system does not share blocks");
		goto out;
	}
	/* A page of the cache each, on xfs with blocks larger than a sector */
	dio_fill(buf, block, 0, 1);
	dio_full_pwrite(fd, buf, block, 0);
	dio_fill(buf, block, FAR, 1);
	dio_full_pwrite(fd, buf, block, FAR);
	if (fallocate(fd, FALLOC_FL_UNSHARE_RANGE, 0, dio_page_size)) {
		if (errno == EOPNOTSUPP) {
			dio_result_skip(name, "this file system does not unshare blocks");
			goto out;
		}
		wrong = strerror(errno);
	}
	if (!wrong) {
		dio_full_pread(fd, buf, SIZE, 0);
		wrong = dio_compare(buf, block, 0, 1);
	}
	if (!wrong)
		wrong = dio_compare(buf + FAR, block, FAR, 1);
	dio_result(name, wrong);
out:
	munmap(buf, SIZE);
	close(other);
	close(fd);
	unlink(clone);
	unlink(path);
}

/* Up to MANY_SEGMENTS, as many as a call takes: empty ones, in one page, joined */
static int cut_many(struct iovec *iov, unsigned char *mem, size_t *length)
{
	size_t at = 0, len;
	int nr;

	*length = 0;
	for (nr = 0; nr < MANY_SEGMENTS && *length < DIO_FILE_SIZE - 2 * dio_page_size; nr++) {
		switch (dio_below(4)) {
		case 0:
			len = 0;
			break;
		case 1:
			len = block;
			break;
		case 2:
			at += block;
			len = block;
			break;
		default:
			len = block < dio_page_size ? dio_page_size - at % dio_page_size : block;
		}
		iov[nr].iov_base = mem + at;
		iov[nr].iov_len = len;
		at += len;
		*length += len;
	}
	return nr;
}

/* Whether the segments hold what lies at @data, or make them hold it */
static bool many_hold(const struct iovec *iov, int nr, const unsigned char *data, bool fill)
{
	for (; nr--; iov++) {
		if (fill)
			memcpy(iov->iov_base, data, iov->iov_len);
		else if (memcmp(iov->iov_base, data, iov->iov_len))
			return false;
		data += iov->iov_len;
	}
	return true;
}

static void run_many_segments(struct dio_target *t, unsigned int write)
{
	static struct iovec iov[MANY_SEGMENTS];
	unsigned char *whole, *mem;
	const char *wrong = NULL;
	char name[80];
	size_t length;
	int nr;

	snprintf(name, sizeof(name), "%s %s of up to %d segments", t->name,
		 write ? "pwritev" : "preadv", MANY_SEGMENTS);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (write && t->append)
		return dio_result_skip(name, "this file is not written to in the middle");

	whole = dio_map(DIO_FILE_SIZE, dio_page_size, false);
	mem = dio_map(2 * DIO_FILE_SIZE, dio_page_size, false);
	dio_full_pread(t->fd, whole, DIO_FILE_SIZE, 0);
	dio_random_seed(seed + write + 1);
	nr = cut_many(iov, mem, &length);
	if (write) {
		fill_random(whole, DIO_FILE_SIZE);
		many_hold(iov, nr, whole, true);
	}
	if ((write ? pwritev(t->fd, iov, nr, 0) : preadv(t->fd, iov, nr, 0)) != length)
		wrong = "failed or short";
	else if (write)
		dio_full_pread(t->fd, mem, length, 0);
	if (!wrong && (write ? !!memcmp(mem, whole, length) : !many_hold(iov, nr, whole, false)))
		wrong = "wrong bytes";
	munmap(mem, 2 * DIO_FILE_SIZE);
	munmap(whole, DIO_FILE_SIZE);
	dio_result(name, wrong);
}

/* How many pages of the page cache a direct write of AREA_SIZE makes dirty */
static unsigned long long dirtied_by_pwrite(struct dio_target *t, const void *mem,
					    const char **wrong)
{
	unsigned long long dirtied;

	sync();
	dirtied = dio_vmstat("nr_dirtied");
	if (pwrite(t->fd, mem, AREA_SIZE, 0) != AREA_SIZE)
		*wrong = "failed or short";
	return dio_vmstat("nr_dirtied") - dirtied;
}

/*
 * A pin of memory that is shared since a fork() takes a page fault.  Where faults
 * are disabled at first, the write must not end up in the page cache for that.
 */
static void run_stays_direct(struct dio_target *t, unsigned int unused)
{
	struct arena a = { .kind = FORKED, .file = -1, .mapped = AREA_SIZE };
	/* For what the file system writes about itself */
	unsigned long long dirtied, some = AREA_SIZE / dio_page_size / 2;
	const char *wrong = NULL;
	char name[80];

	snprintf(name, sizeof(name), "%s pwrite from memory shared with a child is direct",
		 t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (t->buffered_writes || t->append)
		return dio_result_skip(name, t->append ?
				       "this file is not written to in the middle" :
				       "this file system writes through the page cache");
	a.base = dio_map(AREA_SIZE, dio_page_size, false);
	memcpy(a.base, model, AREA_SIZE);
	dirtied = dirtied_by_pwrite(t, a.base, &wrong);
	if (!wrong && dirtied > some) {
		arena_close(&a);
		return dio_result_skip(name, "this kernel writes it through the page cache");
	}
	child_renew(&a);
	if (!wrong)
		dirtied = dirtied_by_pwrite(t, a.base, &wrong);
	if (!wrong && dirtied > some) {
		wrong = dio_because("%llu pages of the page cache became dirty",
				    dirtied);
	}
	arena_close(&a);
	dio_result(name, wrong);
}

/*
 * A preadv() or pwritev() by a child, as one that never ends can't be killed.  What
 * it is about is shared memory.
 */
static ssize_t bounded_io(int fd, const struct iovec *iov, int nr, bool write_to)
{
	unsigned long long start = dio_now_ms();
	struct pollfd end = { .events = POLLIN };
	ssize_t n = -ETIMEDOUT;
	int pipefd[2];
	pid_t child;

	if (pipe(pipefd))
		dio_die("pipe: %s\n", strerror(errno));
	fflush(stdout);
	child = fork();
	if (child < 0)
		dio_die("fork: %s\n", strerror(errno));
	if (!child) {
		n = write_to ? pwritev(fd, iov, nr, 0) : preadv(fd, iov, nr, 0);
		if (n < 0)
			n = -errno;
		_exit(write(pipefd[1], &n, sizeof(n)) != sizeof(n));
	}
	end.fd = pipefd[0];
	if (poll(&end, 1, dio_ms_left(start)) == 1) {
		if (read(pipefd[0], &n, sizeof(n)) != sizeof(n))
			dio_die("the child says nothing\n");
		waitpid(child, NULL, 0);
	} else {
		kill(child, SIGKILL);
	}
	close(pipefd[0]);
	close(pipefd[1]);
	return n;
}

/*
 * Memory that its process can use, but nobody can pin: secret memory, of which there
 * are @first pages before it that can be.  Direct I/O is refused there, or short, if
 * the file system does not go through the page cache then.
 */
static const char *secret_problem(struct dio_target *t, unsigned char *secret, int first,
				  bool write)
{
	unsigned char *mem = mmap(NULL, dio_page_size, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t head = first * dio_page_size;
	struct iovec iov[] = { { mem, head }, { secret, ARENA_SIZE - head } };
	bool copies = write ? t->copies_from || t->buffered_writes : t->copies_to;
	const char *wrong = NULL;
	ssize_t n;

	if (mem == MAP_FAILED)
		dio_die("shared memory: %s\n", strerror(errno));
	fill_random(mem, dio_page_size);
	fill_random(secret, ARENA_SIZE);
	n = bounded_io(t->fd, iov + !first, 2 - !first, write);
	if (n == -ETIMEDOUT)
		wrong = "does not end";
	else if (copies || (!first && n >= 0))
		wrong = dio_count(n, copies ? ARENA_SIZE : -EFAULT);
	else if (n < 0 && n != -EFAULT)
		wrong = strerror(-n);
	if (!wrong && n > 0) {
		dio_full_pread(t->fd, scratch, ARENA_SIZE, 0);
		if (memcmp(scratch, mem, (size_t)n < head ? n : head) ||
		    ((size_t)n > head && memcmp(scratch + head, secret, n - head)))
			wrong = "wrong bytes";
	}
	munmap(mem, dio_page_size);
	if (!wrong)
		return NULL;
	return dio_because("%s%s", first ? "after a page of other memory: " : "",
			   wrong);
}

static void run_secret(struct dio_target *t, unsigned int write)
{
	unsigned char *secret;
	const char *wrong;
	char name[80];
	int fd;

	snprintf(name, sizeof(name), "%s %s secret memory", t->name,
		 write ? "pwrite from" : "pread into");
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (t->append || t->server)
		return dio_result_skip(name, t->append ?
				       "this file is not written to in the middle" :
				       "dio_network has what a server's client can't pin");
	fd = syscall(SYS_memfd_secret, 0);
	if (fd < 0)
		return dio_result_skip(name, "no memfd_secret(): boot with secretmem.enable=1");
	if (ftruncate(fd, ARENA_SIZE))
		dio_die("secret memory: %s\n", strerror(errno));
	secret = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (secret == MAP_FAILED)
		dio_die("secret memory: %s\n", strerror(errno));
	wrong = secret_problem(t, secret, 0, write);
	if (!wrong)
		wrong = secret_problem(t, secret, 1, write);
	munmap(secret, ARENA_SIZE);
	close(fd);
	dio_result(name, wrong);
}

/* More than a zone append takes: each call is short, and the file goes on from there */
static void run_large_append(struct dio_target *t)
{
	unsigned char *from = dio_map(DIO_FILE_SIZE, dio_page_size, false);
	unsigned char *to = dio_map(DIO_FILE_SIZE, dio_page_size, false);
	const char *wrong = NULL;
	size_t done = 0;
	char name[80];

	snprintf(name, sizeof(name), "%s appends of more than a bio", t->name);
	fill_random(from, DIO_FILE_SIZE);
	if (ftruncate(t->fd, 0))
		dio_die("%s: the zone is not reset: %s\n", t->path, strerror(errno));
	while (!wrong && done < DIO_FILE_SIZE) {
		ssize_t n = pwrite(t->fd, from + done, DIO_FILE_SIZE - done, done);

		if (n <= 0)
			wrong = n ? strerror(errno) : "nothing was written";
		else
			done += n;
	}
	if (!wrong && pread(t->fd, to, DIO_FILE_SIZE, 0) != DIO_FILE_SIZE)
		wrong = "the read failed or is short";
	if (!wrong && memcmp(from, to, DIO_FILE_SIZE))
		wrong = "wrong bytes";
	munmap(from, DIO_FILE_SIZE);
	munmap(to, DIO_FILE_SIZE);
	dio_result(name, wrong);
}

/* One call of 64 MiB each way, of memory that begins inside a page */
static void run_large(struct dio_target *t, unsigned int unused)
{
	size_t offset = block < dio_page_size ? block : 0;
	unsigned char *from, *to;
	const char *wrong = NULL;
	char name[80], path[100];
	off_t pos = 0;
	int fd;

	snprintf(name, sizeof(name), "%s pwrite and pread of %lu MiB", t->name,
		 LARGE_SIZE / DIO_MIB);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (quick)
		return dio_result_skip(name, "it is slow, and -q is given");
	if (t->append)
		return run_large_append(t);
	if (t->size < LARGE_SIZE + 2 * DIO_FILE_SIZE)
		return dio_result_skip(name, "the device is smaller");

	if (t->dir[0]) {
		snprintf(path, sizeof(path), "%s/large", t->dir);
		fd = open(path, O_RDWR | O_CREAT | O_DIRECT, 0600);
	} else {
		fd = open(t->path, O_RDWR | O_DIRECT);
		pos = DIO_FILE_SIZE;
	}
	if (fd < 0)
		dio_die("no file of %lu MiB: %s\n", LARGE_SIZE / DIO_MIB, strerror(errno));
	from = dio_map(LARGE_SIZE + dio_page_size, dio_page_size, false);
	to = dio_map(LARGE_SIZE + dio_page_size, dio_page_size, true);
	fill_random(from, LARGE_SIZE + dio_page_size);
	if (pwrite(fd, from + offset, LARGE_SIZE, pos) != LARGE_SIZE)
		wrong = "the write failed or is short";
	else if (pread(fd, to + offset, LARGE_SIZE, pos) != LARGE_SIZE)
		wrong = "the read failed or is short";
	else if (memcmp(from + offset, to + offset, LARGE_SIZE))
		wrong = "wrong bytes";
	munmap(from, LARGE_SIZE + dio_page_size);
	munmap(to, LARGE_SIZE + dio_page_size);
	close(fd);
	if (t->dir[0])
		unlink(path);
	dio_result(name, wrong);
}

/* A read that is held in flight: by another thread, or by AIO */
struct held_read {
	bool async;
	int fd;
	unsigned char *to;
	size_t length;
	ssize_t result;
	pthread_t thread;
	struct iocb iocb;
};

static void *held_read_thread(void *arg)
{
	struct held_read *r = arg;

	r->result = pread(r->fd, r->to, r->length, 0);
	return NULL;
}

static void held_read_start(struct held_read *r)
{
	struct iocb *iocb = &r->iocb;

	dio_hold();
	if (r->async)
		io_prep_pread(iocb, r->fd, r->to, r->length, 0);
	if (r->async ? io_submit(aio, 1, &iocb) != 1 :
		       pthread_create(&r->thread, NULL, held_read_thread, r))
		dio_die("no read is submitted\n");
	if (!dio_wait_held())
		dio_die("the read is not held\n");
}

static void held_read_end(struct held_read *r)
{
	struct io_event event;

	dio_release();
	if (!r->async)
		pthread_join(r->thread, NULL);
	else if (io_getevents(aio, 1, 1, &event, NULL) == 1)
		r->result = event.res;
}

/*
 * A read into half a page of a mapped file, which is written back while the read
 * is in flight, and then dirtied anew in its first block only.  When the read is
 * done the page is dirty, but the blocks that were read into are not.
 */
static void run_partly_dirty(struct dio_target *t, unsigned int async)
{
	struct held_read r = { .async = async, .fd = t->fd, .length = dio_page_size / 2 };
	const char *wrong = NULL;
	char name[80], path[100];
	unsigned char *page;
	size_t i;
	int fd;

	snprintf(name, sizeof(name), "%s %s into a page that is dirty in part", t->name,
		 async ? "aio" : "pread");
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (!t->dir[0] || t->append)
		return dio_result_skip(name, "there is no file to be mapped");
	if (!t->holdable || block > r.length)
		return dio_result_skip(name, t->holdable ? "a block is more than half a page" :
				       "no read can be held in flight");
	if (t->held_as_whole)
		return dio_result_skip(name, "nothing can be written back meanwhile");

	snprintf(path, sizeof(path), "%s/mapped", t->dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0)
		dio_die("%s: %s\n", path, strerror(errno));
	memset(scratch, 0xaa, dio_page_size);
	dio_full_pwrite(fd, scratch, dio_page_size, 0);
	page = mmap(NULL, dio_page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED || fsync(fd))
		dio_die("%s: %s\n", path, strerror(errno));

	r.to = page + r.length;
	held_read_start(&r);
	if (fsync(fd))
		dio_die("%s: fsync: %s\n", path, strerror(errno));
	dio_full_pwrite(fd, scratch, 1, 0);
	held_read_end(&r);
	if (r.result != r.length)
		wrong = "failed or short";
	munmap(page, dio_page_size);

	/* Out of memory, for what is on the disk to be seen */
	if (fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		dio_die("%s: is not written back\n", path);
	dio_full_pread(fd, scratch, dio_page_size, 0);
	for (i = 0; i < dio_page_size && !wrong; i++) {
		if (scratch[i] == (i < r.length ? 0xaa : model[i - r.length]))
			continue;
		wrong = dio_because("byte %zu of the page is not on the disk", i);
	}
	close(fd);
	unlink(path);
	dio_result(name, wrong);
}

#define WORK_EVENT "/sys/kernel/tracing/events/workqueue/workqueue_execute_start"

/* Have the kernel count what workers run, by function, or end that. */
static int count_work(bool start)
{
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, "");
	return dio_write_file(start ? "hist:keys=function.sym" : "!hist:keys=function.sym",
			      WORK_EVENT "/trigger");
}

/* How often the worker of bio_check_pages_dirty() was run, or -1 */
static int dirty_work(void)
{
	static const char function[] = " bio_dirty_fn ";
	char line[256], *hits;
	FILE *hist = fopen(WORK_EVENT "/hist", "r");
	int n = 0;

	if (!hist)
		return -1;
	while (fgets(line, sizeof(line), hist)) {
		hits = strstr(line, "hitcount:");
		if (hits && strstr(line, function))
			n = atoi(hits + strlen("hitcount:"));
	}
	fclose(hist);
	return n;
}

/*
 * The pages of a file have been dirtied before they are read into, and are still dirty
 * afterwards, of a single block each: no worker has to look at them again.
 */
static void run_no_worker(struct dio_target *t, unsigned int unused)
{
	struct iocb iocbs[8], *list[8];
	struct io_event events[8];
	const char *wrong = NULL;
	char name[80], path[100];
	unsigned char *mem;
	int fd, i, round, n;

	snprintf(name, sizeof(name), "%s aio into a shared file mapping takes no worker", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	if (!t->dir[0] || t->append || t->buffered_writes || t->zeroes || t->held_as_whole)
		return dio_result_skip(name, "there is no file of large blocks to be mapped");
	if (count_work(true))
		return dio_result_skip(name, "this kernel does not count what workers do");
	snprintf(path, sizeof(path), "%s/mapped", t->dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, ARENA_SIZE))
		dio_die("%s: %s\n", path, strerror(errno));
	mem = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	/* Without read-ahead each folio is a page. */
	if (mem == MAP_FAILED || madvise(mem, ARENA_SIZE, MADV_RANDOM))
		dio_die("%s: %s\n", path, strerror(errno));
	for (round = 0; round < 8 && !wrong; round++) {
		memset(mem, DIO_UNTOUCHED, ARENA_SIZE);
		for (i = 0; i < 8; i++) {
			list[i] = &iocbs[i];
			io_prep_pread(list[i], t->fd, mem + i * ARENA_SIZE / 8, ARENA_SIZE / 8,
				      i * ARENA_SIZE / 8);
		}
		for (i = 0; i < 8; i++)
			if (io_submit(aio, 1, &list[i]) != 1 ||
			    io_getevents(aio, 1, 1, &events[i], NULL) != 1)
				dio_die("no read is submitted\n");
		if (memcmp(mem, model, ARENA_SIZE))
			wrong = "wrong bytes in memory";
	}
	n = dirty_work();
	count_work(false);
	if (!wrong && n) {
		wrong = dio_because("a worker was run %d times for %d reads", n,
				    round * 8);
	}
	munmap(mem, ARENA_SIZE);
	close(fd);
	unlink(path);
	dio_result(name, wrong);
}

static const struct dio_option options[] = {
	{ 'n', "COUNT", "so many I/Os per result instead of 200", .number = &ios },
	{ 'q', NULL, "without what writes and reads 64 MiB", .flag = &quick },
	{ 's', "SEED", "repeat the run that printed this seed", .number = &seed },
	DIO_OPTION_TARGETS,
	{ 0 }
};

static unsigned char *map(size_t size)
{
	return dio_map(size, dio_page_size, false);
}

static void rings_init(void)
{
	int ret = io_uring_queue_init(4, &uring, 0);

	no_uring = ret ? strerror(-ret) : NULL;
	ret = io_uring_queue_init(4, &polled_uring, IORING_SETUP_IOPOLL);
	no_polled_uring = ret ? strerror(-ret) : NULL;
}

static void opened(struct dio_target *t)
{
	block = t->block;
	dio_full_pread(t->fd, model, AREA_SIZE, 0);
}

/* What reads, then what writes: a zone cannot be brought back to what it was. */
static const struct dio_case cases[] = {
	{ .run_on = run_trim },
	{ .run_on = run_fault },
	{ .run_on = run_one_page },
	{ .run_on = run_misaligned },
	{ .run_on = run_end },
	{ .run_on = run_partly_dirty, .nr = 2 },
	{ .run_on = run_no_worker },
	{ .run_on = run_many_segments, .i = false },
	{ .run_on = run_kind, .nr = NR_OPERATIONS * NR_MEMORIES },
	{ .run_on = run_stays_direct },
	{ .run_on = run_secret, .i = true },
	{ .run_on = run_secret, .i = false },
	{ .run_on = run_many_segments, .i = true },
	{ .run_on = run_large },
	{ .run_on = run_zeroing, .nr = 2 },
	{ .run_on = run_unshare },
};

static void all_cases(void)
{
	dio_cases_on_targets(cases, ARRAY_SIZE(cases), opened);
}

static void defaults(void)
{
	if (!seed) {
		seed = dio_now_ms();
		dio_again("-s %llu", seed);
	}
	dio_target_network();
}

static void start(void)
{
	int error;

	dio_disk_init();
	dio_print("seed %llu: repeat with -s %llu\n", seed, seed);
	dio_again("-s %llu", seed);
	error = io_setup(1, &aio);
	if (error)
		dio_die("io_setup: %s\n", strerror(-error));
	rings_init();
	model = map(AREA_SIZE);
	scratch = map(AREA_SIZE);
	shadow = map(ARENA_SIZE + dio_page_size);
}

static void end(void)
{
	io_destroy(aio);
}

int main(int argc, char **argv)
{
	static const struct dio_program program = {
		.options = options, .defaults = defaults, .start = start,
		.cases = all_cases, .end = end, .no_pins = true,
	};

	return dio_main(&program, argc, argv);
}
