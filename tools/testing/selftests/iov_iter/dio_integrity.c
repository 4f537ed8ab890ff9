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
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "dio_lib.h"

#define AREA_SIZE	DIO_MIB		/* of the file: where the I/O falls */
#define ARENA_SIZE	(64UL * 1024)	/* of memory: where the segments lie */
#define HUGE_SIZE	(2 * DIO_MIB)
#define MAX_SEGMENTS	16
#define IOS_PER_RESULT	200
#define UNTOUCHED	0xa5		/* what memory holds before a read */

enum operation {
	PREAD,
	PREADV,
	AIO_READ,
	PWRITE,
	PWRITEV,
	AIO_WRITE,
	NR_OPERATIONS,
};

static const char * const operation_names[NR_OPERATIONS] = {
	[PREAD]		= "pread",
	[PREADV]	= "preadv",
	[AIO_READ]	= "aio preadv",
	[PWRITE]	= "pwrite",
	[PWRITEV]	= "pwritev",
	[AIO_WRITE]	= "aio pwritev",
};

enum memory {
	ANONYMOUS,
	HUGE,
	SHARED,
	PRIVATE_FILE,
	READ_ONLY,
	NEVER_TOUCHED,
	TAIL_UNMAPPED,
	NR_MEMORIES,
};

/*
 * @reads: @writes: whether I/O of that direction is tried
 * @read_result: what a read must come to; 0 is all that was asked for
 */
static const struct memory_kind {
	const char *name;
	bool reads, writes;
	int read_result;
} memory_kinds[NR_MEMORIES] = {
	[ANONYMOUS]	= { "anonymous memory", true, true, 0 },
	[HUGE]		= { "a huge page", true, true, 0 },
	[SHARED]	= { "shared memory", true, true, 0 },
	[PRIVATE_FILE]	= { "a private file mapping", true, true, 0 },
	[READ_ONLY]	= { "read-only memory", true, true, -EFAULT },
	[NEVER_TOUCHED]	= { "memory never touched", false, true, 0 },
	[TAIL_UNMAPPED]	= { "memory whose tail is unmapped", true, true, 0 },
};

static unsigned long long seed, state;
static io_context_t aio;
static unsigned char *model;		/* of the file's first AREA_SIZE bytes */
static unsigned char *shadow;		/* what the arena must hold */
static unsigned char *scratch;
static char problem[160];

/* xorshift64*: the same sequence everywhere, unlike random() */
static unsigned long long random64(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dULL;
}

static size_t below(size_t n)
{
	return (random64() >> 33) % n;
}

static void fill_random(unsigned char *p, size_t n)
{
	unsigned long long word = random64(), step = random64() | 1;
	size_t i;

	for (i = 0; i < n; i += sizeof(word), word += step)
		memcpy(p + i, &word, sizeof(word));
}

static bool writes(enum operation op)
{
	return op >= PWRITE;
}

/* Memory of one kind.  The page behind @mem + ARENA_SIZE is never mapped. */
struct arena {
	enum memory kind;
	unsigned char *mem;
	size_t mapped;
	int file;			/* of PRIVATE_FILE */
};

static const char *arena_open(struct arena *a, enum memory kind)
{
	unsigned char *base;

	a->kind = kind;
	a->file = -1;
	a->mapped = kind == HUGE ? HUGE_SIZE : ARENA_SIZE;
	/* One page more, to unmap it: nothing else gets mapped there meanwhile. */
	base = dio_map(a->mapped + dio_page_size, kind == HUGE ? HUGE_SIZE : dio_page_size,
		       kind == HUGE);
	munmap(base + a->mapped, dio_page_size);
	/* The arena is the end of the mapping. */
	a->mem = base + a->mapped - ARENA_SIZE;

	switch (kind) {
	case HUGE:
		memset(base, 0, HUGE_SIZE);
		if (!dio_is_huge(base)) {
			munmap(base, HUGE_SIZE);
			return "the kernel gave no huge page";
		}
		break;
	case SHARED:
		if (mmap(a->mem, ARENA_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			dio_die("shared memory: %s\n", strerror(errno));
		break;
	case PRIVATE_FILE:
		a->file = memfd_create("dio_integrity", 0);
		if (a->file < 0) {
			munmap(base, a->mapped);
			return "there is no memfd_create()";
		}
		if (ftruncate(a->file, ARENA_SIZE) ||
		    mmap(a->mem, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
			 a->file, 0) == MAP_FAILED)
			dio_die("private file mapping: %s\n", strerror(errno));
		break;
	default:
		break;
	}
	return NULL;
}

static void arena_close(struct arena *a)
{
	if (a->file >= 0)
		close(a->file);
	munmap(a->mem + ARENA_SIZE - a->mapped, a->mapped);
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
		memset(shadow, writes(op) ? 0 : UNTOUCHED, ARENA_SIZE);

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
		memcpy(a->mem, shadow, ARENA_SIZE);
		mprotect(a->mem, ARENA_SIZE, PROT_READ);
		break;
	default:
		memcpy(a->mem, shadow, ARENA_SIZE);
	}
}

/* What the arena, and the file under a private mapping, hold; NULL if right. */
static const char *arena_check(struct arena *a, enum operation op)
{
	if (memcmp(a->mem, shadow, ARENA_SIZE))
		return writes(op) ? "a write changed its source" : "wrong bytes in memory";
	if (a->kind == PRIVATE_FILE && !writes(op)) {
		dio_full_pread(a->file, scratch, ARENA_SIZE, 0);
		memset(shadow, UNTOUCHED, ARENA_SIZE);
		if (memcmp(scratch, shadow, ARENA_SIZE))
			return "a read changed the file under a private mapping";
	}
	return NULL;
}

struct io {
	struct iovec iov[MAX_SEGMENTS];
	int nr;
	size_t length;		/* of all segments */
	size_t good;		/* of it, before the unmapped tail */
	off_t pos;
};

static void io_add(struct io *io, unsigned char *base, size_t len)
{
	io->iov[io->nr].iov_base = base;
	io->iov[io->nr].iov_len = len;
	io->nr++;
	io->length += len;
}

/*
 * Cut segments out of the arena, from its start to its end so that they do not
 * overlap: whole pages that join, blocks that share a page, empty ones.
 */
static void io_cut(struct io *io, struct arena *a, enum operation op)
{
	size_t block = dio_block_size, page = dio_page_size;
	int want = op == PREAD || op == PWRITE ? 1 : 1 + below(MAX_SEGMENTS);
	size_t at = below(2 * page / block) * block;
	bool tail = a->kind == TAIL_UNMAPPED;
	size_t len;

	memset(io, 0, sizeof(*io));
	if (tail && want == MAX_SEGMENTS)
		want--;
	while (io->nr < want && at < ARENA_SIZE) {
		size_t room = ARENA_SIZE - at;

		switch (below(5)) {
		case 0:		/* empty, wherever it points to; alignment is checked even so */
			io_add(io, a->mem + below(ARENA_SIZE / block) * block, 0);
			continue;
		case 1:		/* to the end of the page: the next may join */
			len = page - at % page + below(3) * page;
			break;
		case 2:		/* after a gap, within the page where it can be */
			at += block;
			room -= block;
			len = block;
			break;
		case 3:
			len = (1 + below(page / block)) * block;
			break;
		default:
			len = want == 1 ? ARENA_SIZE : 4 * page;
			len = (1 + below(len / block)) * block;
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
		len = (1 + below(8)) * block;
		if (want == 1) {
			io->nr = 0;
			io->length = 0;
			io_add(io, a->mem + ARENA_SIZE - len, len + page);
			io->good = len;
		} else {
			io_add(io, a->mem + ARENA_SIZE, page);
		}
	} else if (!io->length) {
		io->nr = 0;
		io_add(io, a->mem, block);
		io->good = io->length;
	}
	io->pos = below((AREA_SIZE - io->length) / block + 1) * block;
}

/* The number of bytes, or a negative errno */
static ssize_t io_do(struct io *io, int fd, enum operation op)
{
	struct iocb iocb, *list = &iocb;
	struct timespec limit = { .tv_sec = DIO_DEADLINE_SECONDS };
	struct io_event event;
	ssize_t n;
	int ret;

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
	default:
		if (op == AIO_READ)
			io_prep_preadv(&iocb, fd, io->iov, io->nr, io->pos);
		else
			io_prep_pwritev(&iocb, fd, io->iov, io->nr, io->pos);
		ret = io_submit(aio, 1, &list);
		if (ret != 1)
			return ret;
		if (io_getevents(aio, 1, 1, &event, &limit) != 1)
			dio_die("an aio request does not end\n");
		return (long)event.res;
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
		for (k = 0; k < len; k += dio_block_size) {
			if (writes(op)) {
				theirs = scratch + (pos - io->pos) + k;
				if (!memcmp(theirs, model + pos + k, dio_block_size))
					continue;
				mine = shadow + at + k;
				if (memcmp(theirs, mine, dio_block_size))
					return "a failed write left wrong bytes";
				memcpy(model + pos + k, mine, dio_block_size);
			} else {
				theirs = a->mem + at + k;
				if (!memcmp(theirs, shadow + at + k, dio_block_size))
					continue;
				if (memcmp(theirs, model + pos + k, dio_block_size))
					return "a failed read left wrong bytes";
				memcpy(shadow + at + k, theirs, dio_block_size);
			}
		}
		pos += len;
		n -= len;
	}
	return NULL;
}

static const char *io_check(struct io *io, struct arena *a, int fd, enum operation op,
			    ssize_t n)
{
	const char *wrong;
	int want = writes(op) ? 0 : memory_kinds[a->kind].read_result;

	if (want) {
		if (n != want)
			return "not the error it must be";
	} else if (a->kind == TAIL_UNMAPPED) {
		/* Short, or all of it an error: file systems differ. */
		if (n == -EFAULT) {
			wrong = apply_partly(io, a, fd, op);
			if (wrong)
				return wrong;
		} else if (n <= 0 || n > io->good) {
			return "neither short nor EFAULT";
		}
	} else if (n != io->length) {
		return "failed or short";
	}
	if (n > 0)
		apply(io, a, writes(op), n);
	return arena_check(a, op);
}

/* Compare the file with the model, through the page cache, freshly read. */
static const char *read_back(const struct dio_target *t)
{
	int fd = open(t->path, O_RDONLY);
	size_t i;

	if (fd < 0)
		dio_die("%s: %s\n", t->path, strerror(errno));
	if (t->dir[0])
		posix_fadvise(fd, 0, AREA_SIZE, POSIX_FADV_DONTNEED);
	else
		ioctl(fd, BLKFLSBUF, 0);
	dio_full_pread(fd, scratch, AREA_SIZE, 0);
	close(fd);
	if (!memcmp(scratch, model, AREA_SIZE))
		return NULL;
	for (i = 0; scratch[i] == model[i]; i++)
		;
	snprintf(problem, sizeof(problem), "the file differs from the model at byte %zu", i);
	return problem;
}

static void run_kind(struct dio_target *t, enum operation op, enum memory kind)
{
	const char *wrong = NULL;
	unsigned long long pins;
	struct arena a;
	struct io io;
	char name[80];
	ssize_t n;
	int i;

	snprintf(name, sizeof(name), "%s %s %s %s", t->name, operation_names[op],
		 writes(op) ? "from" : "into", memory_kinds[kind].name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	/* Every result can be had alone, whatever ran before it. */
	state = seed + op * NR_MEMORIES + kind + 1;
	random64();

	wrong = arena_open(&a, kind);
	if (wrong)
		return dio_result_skip(name, wrong);
	pins = dio_pins_acquired();
	for (i = 0; i < IOS_PER_RESULT && !wrong; i++) {
		io_cut(&io, &a, op);
		arena_fill(&a, op);
		n = io_do(&io, t->fd, op);
		wrong = io_check(&io, &a, t->fd, op, n);
		if (wrong) {
			snprintf(problem, sizeof(problem),
				 "I/O %d, %zu bytes in %d segments at %lld, result %zd: %s",
				 i, io.length, io.nr, (long long)io.pos, n, wrong);
			wrong = problem;
		}
	}
	arena_close(&a);
	if (!wrong && kind == ANONYMOUS && dio_pins_acquired() == pins)
		wrong = "no pin was taken";
	if (!wrong && writes(op))
		wrong = read_back(t);
	/* The next result starts from what is there, not from this failure. */
	if (wrong && writes(op))
		dio_full_pread(t->fd, model, AREA_SIZE, 0);
	dio_result(name, wrong);
}

/*
 * Memory that ends after less than a page.  Where that is less than a logical
 * block, nothing can be read, and the page that was taken is to be given back.
 */
static void run_fault(struct dio_target *t)
{
	size_t len = dio_page_size, there = dio_page_size - 512;
	const char *wrong = NULL;
	unsigned char *mem;
	char name[80];
	ssize_t n;

	snprintf(name, sizeof(name), "%s pread into less than a page", t->name);
	if (t->skip)
		return dio_result_skip(name, t->skip);
	mem = dio_map(2 * dio_page_size, dio_page_size, false);
	munmap(mem + dio_page_size, dio_page_size);
	n = pread(t->fd, mem + 512, len, 0);
	if (n < 0 && errno != EFAULT)
		wrong = strerror(errno);
	else if (n > (ssize_t)there)
		wrong = "more was read than there is memory for";
	else if (n > 0 && memcmp(mem + 512, model, n))
		wrong = "wrong bytes in memory";
	munmap(mem, dio_page_size);
	dio_result(name, wrong);
}

/*
 * More pages than a bio has, from inside a page on: where the logical block is a
 * page, the end of each bio is trimmed, and the next one begins there.
 */
static void run_trim(struct dio_target *t)
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
	dio_full_pread(t->fd, mem + 512, len, 0);
	dio_result(name, memcmp(mem + 512, whole, len) ? "wrong bytes in memory" : NULL);
	munmap(mem, len + dio_page_size);
	munmap(whole, len);
}

/* Two segments in one page, apart and adjacent, in a single read */
static void run_one_page(struct dio_target *t)
{
	size_t block = dio_block_size, gap;
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
		memset(page, UNTOUCHED, dio_page_size);
		memset(shadow, UNTOUCHED, dio_page_size);
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
static void run_misaligned(struct dio_target *t)
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
	memset(mem, UNTOUCHED, 3 * dio_page_size);
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

/*
 * Writes of less than a block of the file system, to where no data was: the rest
 * of the block must become zeros, which iomap writes from its own zero page.
 */
static void run_zeroing(struct dio_target *t, bool unwritten)
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
	snprintf(path, sizeof(path), "%s/zeroing", t->dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
	if (fd < 0 || (unwritten ? posix_fallocate(fd, 0, AREA_SIZE) : ftruncate(fd, AREA_SIZE)))
		dio_die("%s: no test file\n", path);

	state = seed + unwritten + 1;
	random64();
	buf = dio_map(dio_page_size, dio_page_size, false);
	memset(model, 0, AREA_SIZE);
	for (i = 0; i < IOS_PER_RESULT && !wrong; i++) {
		off_t pos = below(AREA_SIZE / dio_block_size) * dio_block_size;

		fill_random(buf, dio_block_size);
		memcpy(model + pos, buf, dio_block_size);
		if (pwrite(fd, buf, dio_block_size, pos) != dio_block_size)
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

static void help(FILE *to)
{
	fprintf(to,
		"usage: dio_integrity [-s SEED]\n"
		"  -s SEED  repeat the run that printed this seed\n"
		"The disk named by the environment variable IOV_ITER_DISK is overwritten;\n"
		"without it a ram disk is used.\n");
}

static int usage_error(const char *what)
{
	fprintf(stderr, "dio_integrity: '%s' is not understood\n", what);
	help(stderr);
	return KSFT_FAIL;
}

static unsigned char *map(size_t size)
{
	return dio_map(size, dio_page_size, false);
}

int main(int argc, char **argv)
{
	unsigned int id, op, kind, per_target = 4, zeroing = 0;
	struct dio_target target;
	int option, error;
	char *end;

	seed = dio_now_ms();
	while ((option = getopt(argc, argv, "s:h")) != -1) {
		switch (option) {
		case 's':
			seed = strtoull(optarg, &end, 0);
			if (end == optarg || *end)
				return usage_error(optarg);
			break;
		case 'h':
			help(stdout);
			return KSFT_PASS;
		default:
			help(stderr);
			return KSFT_FAIL;
		}
	}
	if (optind < argc)
		return usage_error(argv[optind]);

	ksft_print_header();
	dio_disk_init();
	for (op = 0; op < NR_OPERATIONS; op++)
		for (kind = 0; kind < NR_MEMORIES; kind++)
			per_target += writes(op) ? memory_kinds[kind].writes
						 : memory_kinds[kind].reads;
	for (id = 0; id < DIO_NR_TARGETS; id++)
		zeroing += id == DIO_RAW ? 0 : 2;
	ksft_set_plan(per_target * DIO_NR_TARGETS + zeroing + 1);
	ksft_print_msg("seed %llu: repeat with -s %llu\n", seed, seed);

	error = io_setup(1, &aio);
	if (error)
		dio_die("io_setup: %s\n", strerror(-error));
	model = map(AREA_SIZE);
	scratch = map(AREA_SIZE);
	shadow = map(ARENA_SIZE + dio_page_size);

	for (id = 0; id < DIO_NR_TARGETS; id++) {
		dio_target_open(&target, id);
		if (!target.skip)
			dio_full_pread(target.fd, model, AREA_SIZE, 0);
		for (op = 0; op < NR_OPERATIONS; op++)
			for (kind = 0; kind < NR_MEMORIES; kind++)
				if (writes(op) ? memory_kinds[kind].writes
					       : memory_kinds[kind].reads)
					run_kind(&target, op, kind);
		run_trim(&target);
		run_fault(&target);
		run_one_page(&target);
		run_misaligned(&target);
		if (id != DIO_RAW) {
			run_zeroing(&target, false);
			run_zeroing(&target, true);
		}
		dio_target_close(&target);
	}
	io_destroy(aio);
	dio_result("pins taken are released", dio_pins_problem(false));
	ksft_finished();
}
