// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for I/O iterators: copying and the extraction of pages.
 *
 * Run on x86_64 under QEMU, or without --arch on UML, by
 *
 *	./tools/testing/kunit/kunit.py run --arch x86_64 iov_iter \
 *		--kconfig_add CONFIG_IOV_ITER_KUNIT_TEST=y
 *
 * The tables say where a row needs more than every architecture has.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/bvec.h>
#include <linux/file.h>
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>
#include <linux/xarray.h>

/* The iterators describe this memory: pages 0 to NR_PAGES - 1 */
#define NR_PAGES	8
#define MEMORY_ORDER	3
#define MEMORY_SIZE	(NR_PAGES * PAGE_SIZE)
/* The index of this memory in the xarray: across the border of two nodes */
#define XA_FIRST	(XA_CHUNK_SIZE - 3)
/* Marks entries of the array that a call must not write */
#define POISON_PAGE	((struct page *)0x5a5aUL)

#define MAX_SEGS	8
#define MAX_CALLS	6
#define MAX_LISTED	(2 * NR_PAGES)

enum kind {
	UBUF,
	IOVEC,
	KVEC,
	BVEC,
	BVEC_FAR,	/* offsets beyond the page that the bio_vec names */
	XARRAY,
};

struct iov_iter_kunit {
	struct mm_struct *mm;
	unsigned long uaddr;		/* the memory in the user address space */
	struct page *pages[NR_PAGES];
	bool user, compound;		/* the owner of the pages */
	u8 *kaddr;			/* all of them, mapped */
	u8 *image;			/* the expected contents */
	u8 *scratch;
	struct xarray xarray;
	struct pipe_inode_info *pipe;

	union {
		struct iovec iov[MAX_SEGS];
		struct kvec kvec[MAX_SEGS];
		struct bio_vec bvec[MAX_SEGS];
	};
};

/*
 * The kinds of iterators, in both directions, and how each retains pages.
 */
static const struct variant {
	const char *name;
	enum kind kind;
	unsigned int direction;
	unsigned int flags;
	unsigned int mode;
} variants[] = {
	{ "ubuf destination",		UBUF,	ITER_DEST,   0,			FOLL_PIN },
	{ "ubuf source",		UBUF,	ITER_SOURCE, 0,			FOLL_GET },
	{ "ubuf pinned source",		UBUF,	ITER_SOURCE, ITER_PIN_SOURCE,	FOLL_PIN },
	{ "ubuf p2pdma destination",	UBUF,	ITER_DEST,   ITER_ALLOW_P2PDMA,	FOLL_PIN },
	{ "iovec destination",		IOVEC,	ITER_DEST,   0,			FOLL_PIN },
	{ "iovec destination, flagged",	IOVEC,	ITER_DEST,   ITER_PIN_SOURCE,	FOLL_PIN },
	{ "iovec source",		IOVEC,	ITER_SOURCE, 0,			FOLL_GET },
	{ "iovec pinned source",	IOVEC,	ITER_SOURCE, ITER_PIN_SOURCE,	FOLL_PIN },
	{ "kvec destination",		KVEC,	ITER_DEST,   0,			0 },
	{ "kvec source",		KVEC,	ITER_SOURCE, ITER_PIN_SOURCE,	0 },
	{ "bvec destination",		BVEC,	ITER_DEST,   0,			0 },
	{ "bvec source",		BVEC,	ITER_SOURCE, 0,			0 },
	{ "far bvec destination",	BVEC_FAR, ITER_DEST, ITER_PIN_SOURCE,	0 },
	{ "far bvec source",		BVEC_FAR, ITER_SOURCE, 0,		0 },
	{ "xarray destination",		XARRAY,	ITER_DEST,   0,			0 },
	{ "xarray source",		XARRAY,	ITER_SOURCE, ITER_PIN_SOURCE,	0 },
};

/*
 * A row gives the segments, and the result that each call must have.  Rows with
 * several segments are for iterators that have segments, the others for all.
 */
#define P(n)	((n) * PAGE_SIZE)
#define ANY	UINT_MAX	/* no limit to the pages */

struct segment {
	size_t start;		/* offset into the memory */
	size_t len;
};

struct call {
	size_t maxsize;
	unsigned int maxpages;
	size_t bytes;		/* the result */
	size_t offset0;
	unsigned int nr;
	u8 page[MAX_LISTED];
};

static const struct extract_row {
	const char *name;
	unsigned int nr_segs;
	struct segment seg[MAX_SEGS];
	size_t advance;		/* before the first call */
	size_t cut;		/* so many bytes are beyond the iterator's count */
	unsigned int nr_calls;
	struct call call[MAX_CALLS];
} rows[] = {
	{
		"one page", 1, { { P(0), P(1) } },
		.nr_calls = 2,
		.call = { { SIZE_MAX, ANY, P(1), 0, 1, { 0 } }, { SIZE_MAX, ANY, 0 } },
	}, {
		"the last page", 1, { { P(7), P(1) } },
		.nr_calls = 1, .call = { { SIZE_MAX, ANY, P(1), 0, 1, { 7 } } },
	}, {
		"inside one page", 1, { { P(2) + 0x200, 0x300 } },
		.nr_calls = 1, .call = { { SIZE_MAX, ANY, 0x300, 0x200, 1, { 2 } } },
	}, {
		"one byte", 1, { { P(3) - 1, 1 } },
		.nr_calls = 1, .call = { { SIZE_MAX, ANY, 1, PAGE_SIZE - 1, 1, { 2 } } },
	}, {
		"one byte into the next page", 1, { { 0x10, P(1) - 0xf } },
		.nr_calls = 1,
		.call = { { SIZE_MAX, ANY, P(1) - 0xf, 0x10, 2, { 0, 1 } } },
	}, {
		"unaligned at both ends", 1, { { 0x800, P(2) } },
		.nr_calls = 1, .call = { { SIZE_MAX, ANY, P(2), 0x800, 3, { 0, 1, 2 } } },
	}, {
		"unaligned start, aligned end", 1, { { P(1) + 0x200, P(2) - 0x200 } },
		.nr_calls = 1, .call = { { SIZE_MAX, ANY, P(2) - 0x200, 0x200, 2, { 1, 2 } } },
	}, {
		"all of the memory", 1, { { P(0), P(8) } },
		.nr_calls = 1,
		.call = { { SIZE_MAX, ANY, P(8), 0, 8, { 0, 1, 2, 3, 4, 5, 6, 7 } } },
	}, {
		"offset in the iterator", 1, { { 0x800, P(4) } }, .advance = P(2) + 0x100,
		.nr_calls = 1,
		.call = { { SIZE_MAX, ANY, P(2) - 0x100, 0x900, 3, { 2, 3, 4 } } },
	}, {
		"count below the segment", 1, { { 0, P(4) } }, .cut = P(2) + 1,
		.nr_calls = 1, .call = { { SIZE_MAX, ANY, P(2) - 1, 0, 2, { 0, 1 } } },
	}, {
		"maxsize 0", 1, { { 0x10, P(2) } },
		.nr_calls = 2,
		.call = { { 0, UINT_MAX, 0 }, { SIZE_MAX, ANY, P(2), 0x10, 3, { 0, 1, 2 } } },
	}, {
		"maxpages 0", 1, { { 0x10, P(2) } },
		.nr_calls = 2,
		.call = { { SIZE_MAX, 0, 0 }, { SIZE_MAX, ANY, P(2), 0x10, 3, { 0, 1, 2 } } },
	}, {
		"maxsize 1", 1, { { 0x10, P(2) } },
		.nr_calls = 2,
		.call = {
			{ 1, UINT_MAX, 1, 0x10, 1, { 0 } },
			{ SIZE_MAX, ANY, P(2) - 1, 0x11, 3, { 0, 1, 2 } },
		},
	}, {
		"maxsize ends inside a page", 1, { { 0x200, P(3) } },
		.nr_calls = 2,
		.call = {
			{ P(1), UINT_MAX, P(1), 0x200, 2, { 0, 1 } },
			{ SIZE_MAX, ANY, P(2), 0x200, 3, { 1, 2, 3 } },
		},
	}, {
		"maxsize ends at a page boundary", 1, { { 0x200, P(3) } },
		.nr_calls = 2,
		.call = {
			{ P(2) - 0x200, UINT_MAX, P(2) - 0x200, 0x200, 2, { 0, 1 } },
			{ SIZE_MAX, ANY, P(1) + 0x200, 0, 2, { 2, 3 } },
		},
	}, {
		"maxsize exact", 1, { { 0x200, P(3) } },
		.nr_calls = 2,
		.call = {
			{ P(3), UINT_MAX, P(3), 0x200, 4, { 0, 1, 2, 3 } },
			{ SIZE_MAX, ANY, 0 },
		},
	}, {
		"maxsize LONG_MAX", 1, { { 0x200, P(3) } },
		.nr_calls = 1,
		.call = { { LONG_MAX, 4, P(3), 0x200, 4, { 0, 1, 2, 3 } } },
	}, {
		"maxpages 1", 1, { { 0x200, P(2) } },
		.nr_calls = 3,
		.call = {
			{ SIZE_MAX, 1, P(1) - 0x200, 0x200, 1, { 0 } },
			{ SIZE_MAX, 1, P(1), 0, 1, { 1 } },
			{ SIZE_MAX, 1, 0x200, 0, 1, { 2 } },
		},
	}, {
		"maxpages exact", 1, { { 0x200, P(2) } },
		.nr_calls = 1, .call = { { SIZE_MAX, 3, P(2), 0x200, 3, { 0, 1, 2 } } },
	}, {
		"maxpages and maxsize, the pages bind", 1, { { 0x200, P(6) } },
		.nr_calls = 2,
		.call = {
			{ P(3), 2, P(2) - 0x200, 0x200, 2, { 0, 1 } },
			{ P(3), 2, P(2), 0, 2, { 2, 3 } },
		},
	}, {
		"maxpages and maxsize, the size binds", 1, { { 0x200, P(6) } },
		.nr_calls = 2,
		.call = {
			{ P(1), 4, P(1), 0x200, 2, { 0, 1 } },
			{ 0x10, 4, 0x10, 0x200, 1, { 1 } },
		},
	}, {
		"two segments that meet at a page boundary",
		2, { { 0x200, P(1) - 0x200 }, { P(3), P(1) } },
		.nr_calls = 2,
		.call = {
			{ SIZE_MAX, ANY, P(2) - 0x200, 0x200, 2, { 0, 3 } },
			{ SIZE_MAX, ANY, 0 },
		},
	}, {
		"three segments joined, the last ends early",
		3, { { P(5), P(2) }, { P(0), P(1) }, { P(2), 0x123 } },
		.nr_calls = 1,
		.call = { { SIZE_MAX, ANY, P(3) + 0x123, 0, 4, { 5, 6, 0, 2 } } },
	}, {
		"eight segments of one page",
		8, { { P(7), P(1) }, { P(6), P(1) }, { P(5), P(1) }, { P(4), P(1) },
		     { P(3), P(1) }, { P(2), P(1) }, { P(1), P(1) }, { P(0), P(1) } },
		.nr_calls = 1,
		.call = { { SIZE_MAX, ANY, P(8), 0, 8, { 7, 6, 5, 4, 3, 2, 1, 0 } } },
	}, {
		"segments of one page, maxsize ends inside of one",
		4, { { P(7), P(1) }, { P(6), P(1) }, { P(5), P(1) }, { P(4), P(1) } },
		.nr_calls = 2,
		.call = {
			{ P(2) + 0x99, ANY, P(2) + 0x99, 0, 3, { 7, 6, 5 } },
			{ SIZE_MAX, ANY, P(2) - 0x99, 0x99, 2, { 5, 4 } },
		},
	}, {
		"segments of one page, the count ends inside of one",
		4, { { P(7), P(1) }, { P(6), P(1) }, { P(5), P(1) }, { P(4), P(1) } },
		.cut = P(1) + 0x99,
		.nr_calls = 1,
		.call = { { SIZE_MAX, ANY, P(3) - 0x99, 0, 3, { 7, 6, 5 } } },
	}, {
		"segments of one page, fewer pages than that",
		4, { { P(7), P(1) }, { P(6), P(1) }, { P(5), P(1) }, { P(4), P(1) } },
		.nr_calls = 2,
		.call = {
			{ SIZE_MAX, 3, P(3), 0, 3, { 7, 6, 5 } },
			{ SIZE_MAX, 3, P(1), 0, 1, { 4 } },
		},
	}, {
		"segments of one page, then not joined",
		3, { { P(7), P(1) }, { P(6), P(1) }, { P(4) + 0x10, P(1) } },
		.nr_calls = 2,
		.call = {
			{ SIZE_MAX, ANY, P(2), 0, 2, { 7, 6 } },
			{ SIZE_MAX, ANY, P(1), 0x10, 2, { 4, 5 } },
		},
	}, {
		"segments of one page, then a shorter one",
		4, { { P(7), P(1) }, { P(6), P(1) }, { P(5), 0x80 }, { P(4), P(1) } },
		.nr_calls = 2,
		.call = {
			{ SIZE_MAX, ANY, P(2) + 0x80, 0, 3, { 7, 6, 5 } },
			{ SIZE_MAX, ANY, P(1), 0, 1, { 4 } },
		},
	}, {
		"one page listed twice", 2, { { P(1), P(1) }, { P(1), P(1) } },
		.nr_calls = 1, .call = { { SIZE_MAX, ANY, P(2), 0, 2, { 1, 1 } } },
	}, {
		"two segments in one page",
		2, { { P(1), 0x200 }, { P(1) + 0x200, 0x200 } },
		.nr_calls = 2,
		.call = {
			{ SIZE_MAX, ANY, 0x200, 0, 1, { 1 } },
			{ SIZE_MAX, ANY, 0x200, 0x200, 1, { 1 } },
		},
	}, {
		"not joined: the first ends inside a page",
		2, { { P(0), P(1) + 0x200 }, { P(4), P(1) } },
		.nr_calls = 2,
		.call = {
			{ SIZE_MAX, ANY, P(1) + 0x200, 0, 2, { 0, 1 } },
			{ SIZE_MAX, ANY, P(1), 0, 1, { 4 } },
		},
	}, {
		"not joined: the second begins inside a page",
		2, { { P(0), P(1) }, { P(4) + 0x200, P(1) } },
		.nr_calls = 2,
		.call = {
			{ SIZE_MAX, ANY, P(1), 0, 1, { 0 } },
			{ SIZE_MAX, ANY, P(1), 0x200, 2, { 4, 5 } },
		},
	}, {
		"an empty segment first",
		2, { { P(3) + 0x111, 0 }, { 0x800, P(1) } },
		.nr_calls = 1, .call = { { SIZE_MAX, ANY, P(1), 0x800, 2, { 0, 1 } } },
	}, {
		"three empty segments first",
		4, { { P(3), 0 }, { P(2), 0 }, { P(1), 0 }, { 0x800, P(1) } },
		.nr_calls = 2,
		.call = {
			{ 0x100, UINT_MAX, 0x100, 0x800, 1, { 0 } },
			{ SIZE_MAX, ANY, P(1) - 0x100, 0x900, 2, { 0, 1 } },
		},
	}, {
		"empty segments where two are joined",
		4, { { P(0), P(1) }, { P(2) + 0x11, 0 }, { P(3), 0 }, { P(1), P(1) } },
		.nr_calls = 1, .call = { { SIZE_MAX, ANY, P(2), 0, 2, { 0, 1 } } },
	}, {
		"an empty segment where two are not joined",
		3, { { P(0), 0x100 }, { P(2), 0 }, { P(1), P(1) } },
		.nr_calls = 2,
		.call = {
			{ SIZE_MAX, ANY, 0x100, 0, 1, { 0 } },
			{ SIZE_MAX, ANY, P(1), 0, 1, { 1 } },
		},
	}, {
		"empty segments last",
		4, { { P(0), P(1) }, { P(1), P(1) }, { P(2) + 0x11, 0 }, { P(3), 0 } },
		.nr_calls = 2,
		.call = { { SIZE_MAX, ANY, P(2), 0, 2, { 0, 1 } }, { SIZE_MAX, ANY, 0 } },
	}, {
		"position at the end of a segment",
		2, { { P(0), 0x300 }, { P(2) + 0x10, P(1) } }, .advance = 0x300,
		.nr_calls = 1, .call = { { SIZE_MAX, ANY, P(1), 0x10, 2, { 2, 3 } } },
	}, {
		"position inside the second segment",
		3, { { P(0), P(1) }, { P(2), P(2) }, { P(5), P(1) } },
		.advance = P(2) + 0x44,
		.nr_calls = 1,
		.call = { { SIZE_MAX, ANY, P(2) - 0x44, 0x44, 2, { 3, 5 } } },
	}, {
		"maxsize ends inside the second segment",
		2, { { P(0), P(1) }, { P(2), P(2) } },
		.nr_calls = 2,
		.call = {
			{ P(1) + 0x99, UINT_MAX, P(1) + 0x99, 0, 2, { 0, 2 } },
			{ SIZE_MAX, ANY, P(2) - 0x99, 0x99, 2, { 2, 3 } },
		},
	}, {
		"maxsize ends with the first segment",
		2, { { P(0), P(1) }, { P(2), P(2) } },
		.nr_calls = 2,
		.call = {
			{ P(1), UINT_MAX, P(1), 0, 1, { 0 } },
			{ SIZE_MAX, ANY, P(2), 0, 2, { 2, 3 } },
		},
	}, {
		"maxpages ends inside the second segment",
		3, { { 0x10, P(1) - 0x10 }, { P(2), P(3) }, { P(6), P(1) } },
		.nr_calls = 2,
		.call = {
			{ SIZE_MAX, 2, P(2) - 0x10, 0x10, 2, { 0, 2 } },
			{ SIZE_MAX, 8, P(3), 0, 3, { 3, 4, 6 } },
		},
	}, {
		"maxpages ends with the first segment",
		2, { { 0x10, P(2) - 0x10 }, { P(4), P(1) } },
		.nr_calls = 2,
		.call = {
			{ SIZE_MAX, 2, P(2) - 0x10, 0x10, 2, { 0, 1 } },
			{ SIZE_MAX, 2, P(1), 0, 1, { 4 } },
		},
	}, {
		"count ends inside the second segment",
		3, { { P(0), P(1) }, { P(2), P(2) }, { P(5), P(1) } }, .cut = P(2) + 0x20,
		.nr_calls = 1,
		.call = { { SIZE_MAX, ANY, P(2) - 0x20, 0, 2, { 0, 2 } } },
	},
};

/* A parameter is a row for one variant. */
struct param {
	const struct variant *variant;
	const struct extract_row *row;
};

static const void *param_next(const void *prev, char *desc)
{
	static struct param param;
	unsigned int n = 0;

	if (prev)
		n = (param.variant - variants) * ARRAY_SIZE(rows) +
		    (param.row - rows) + 1;
	for (; n < ARRAY_SIZE(variants) * ARRAY_SIZE(rows); n++) {
		param.variant = &variants[n / ARRAY_SIZE(rows)];
		param.row = &rows[n % ARRAY_SIZE(rows)];
		if (param.row->nr_segs > 1 && (param.variant->kind == UBUF ||
					       param.variant->kind == XARRAY))
			continue;
		snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s: %s",
			 param.variant->name, param.row->name);
		return &param;
	}
	return NULL;
}

static u8 pattern(size_t n)
{
	return n ^ (n >> 8) * 13 ^ 0xa5;
}

/* A user address space of our own for the thread that runs the test */
static void user_mm_init(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	struct mm_struct *mm;

	KUNIT_ASSERT_NULL(test, current->mm);
	mm = mm_alloc();
	KUNIT_ASSERT_NOT_NULL(test, mm);
	mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(mm, &current->signal->rlim[RLIMIT_STACK]);
	kthread_use_mm(mm);
	k->mm = mm;
}

static unsigned long user_map(struct kunit *test, struct file *file,
			      unsigned long size, unsigned long prot,
			      unsigned long flags)
{
	unsigned long uaddr = vm_mmap(file, 0, size, prot, flags, 0);

	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_VALUE(uaddr), "vm_mmap: %ld", (long)uaddr);
	return uaddr;
}

/* The page that the page tables have at a user address; takes no reference */
static struct page *user_page(struct kunit *test, unsigned long uaddr, bool write)
{
	struct page *page;

	KUNIT_ASSERT_EQ(test, 1, get_user_pages_fast(uaddr, 1, write ? FOLL_WRITE : 0,
						     &page));
	put_page(page);
	return page;
}

/* The memory for a kind of iterator, filled with the pattern */
static void memory_init(struct kunit *test, enum kind kind)
{
	struct iov_iter_kunit *k = test->priv;
	struct page *page;
	int n;

	if (kind == UBUF || kind == IOVEC) {
		user_mm_init(test);
		k->user = true;
		k->uaddr = user_map(test, NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS);
		for (n = 0; n < NR_PAGES; n++)
			k->pages[n] = user_page(test, k->uaddr + P(n), true);
		lru_add_drain_all();
	} else if (kind == BVEC || kind == BVEC_FAR) {
		page = alloc_pages(GFP_KERNEL | __GFP_COMP, MEMORY_ORDER);
		KUNIT_ASSERT_NOT_NULL(test, page);
		k->compound = true;
		for (n = 0; n < NR_PAGES; n++)
			k->pages[n] = page + n;
	} else {
		for (n = 0; n < NR_PAGES; n++) {
			k->pages[n] = alloc_page(GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, k->pages[n]);
		}
	}
	if (kind == XARRAY)
		for (n = 0; n < NR_PAGES; n++)
			KUNIT_ASSERT_EQ(test, 0,
					xa_err(xa_store(&k->xarray, XA_FIRST + n,
							k->pages[n], GFP_KERNEL)));

	k->kaddr = vmap(k->pages, NR_PAGES, VM_MAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, k->kaddr);
	for (n = 0; n < MEMORY_SIZE; n++)
		k->image[n] = pattern(n);
	memcpy(k->kaddr, k->image, MEMORY_SIZE);
}

static void iter_init(struct iov_iter_kunit *k, struct iov_iter *iter,
		      const struct variant *v, const struct segment *seg,
		      unsigned int nr_segs, size_t cut)
{
	size_t count = 0;
	unsigned int n;

	for (n = 0; n < nr_segs; n++) {
		count += seg[n].len;
		switch (v->kind) {
		case IOVEC:
			k->iov[n].iov_base = (void __user *)k->uaddr + seg[n].start;
			k->iov[n].iov_len = seg[n].len;
			break;
		case KVEC:
			k->kvec[n].iov_base = k->kaddr + seg[n].start;
			k->kvec[n].iov_len = seg[n].len;
			break;
		case BVEC:
			bvec_set_page(&k->bvec[n], k->pages[seg[n].start / PAGE_SIZE],
				      seg[n].len, offset_in_page(seg[n].start));
			break;
		case BVEC_FAR:
			bvec_set_page(&k->bvec[n], k->pages[0], seg[n].len, seg[n].start);
			break;
		default:
			break;
		}
	}

	count -= cut;
	switch (v->kind) {
	case UBUF:
		iov_iter_ubuf(iter, v->direction, (void __user *)k->uaddr + seg[0].start,
			      count);
		break;
	case IOVEC:
		iov_iter_init(iter, v->direction, k->iov, nr_segs, count);
		break;
	case KVEC:
		iov_iter_kvec(iter, v->direction, k->kvec, nr_segs, count);
		break;
	case BVEC:
	case BVEC_FAR:
		iov_iter_bvec(iter, v->direction, k->bvec, nr_segs, count);
		break;
	case XARRAY:
		iov_iter_xarray(iter, v->direction, &k->xarray,
				P(XA_FIRST) + seg[0].start, count);
		break;
	}
}

/* The offset into the memory of the byte at @pos of the row's stream */
static size_t row_offset(const struct extract_row *row, size_t pos)
{
	const struct segment *seg = row->seg;

	while (pos >= seg->len)
		pos -= seg++->len;
	return seg->start + pos;
}

static size_t row_count(const struct extract_row *row)
{
	size_t count = 0;
	unsigned int n;

	for (n = 0; n < row->nr_segs; n++)
		count += row->seg[n].len;
	return count - row->cut;
}

static void expect_same(struct kunit *test, const u8 *expected, const u8 *seen,
			size_t size, const char *what)
{
	size_t n;

	if (!memcmp(expected, seen, size))
		return;
	for (n = 0; expected[n] == seen[n]; n++)
		;
	KUNIT_FAIL(test, "%s: byte %zu of %zu is %#x, expected %#x", what, n, size,
		   seen[n], expected[n]);
}

/* Copy the rest from @pos on in pieces, and check that each byte is in its place */
static void expect_stream(struct kunit *test, const struct extract_row *row,
			  const struct iov_iter *iter, size_t pos)
{
	static const size_t piece[] = { 1, 511, PAGE_SIZE - 1, PAGE_SIZE + 3, SIZE_MAX };
	struct iov_iter_kunit *k = test->priv;
	size_t left = row_count(row) - pos, done, n;
	struct iov_iter copy = *iter;
	int round;

	KUNIT_ASSERT_EQ(test, left, iov_iter_count(iter));
	for (done = 0, round = 0; done < left; done += n, round++) {
		n = min(left - done, piece[min_t(int, round, ARRAY_SIZE(piece) - 1)]);
		if (iov_iter_rw(iter) == ITER_SOURCE) {
			KUNIT_ASSERT_EQ(test, n, copy_from_iter(k->scratch, n, &copy));
			for (size_t b = 0; b < n; b++) {
				if (k->scratch[b] == k->image[row_offset(row, pos + done + b)])
					continue;
				KUNIT_FAIL(test, "byte %zu of the stream is wrong",
					   pos + done + b);
				return;
			}
		} else {
			for (size_t b = 0; b < n; b++) {
				k->scratch[b] = pattern(pos + done + b + 77 * round);
				k->image[row_offset(row, pos + done + b)] = k->scratch[b];
			}
			KUNIT_ASSERT_EQ(test, n, copy_to_iter(k->scratch, n, &copy));
		}
	}
	KUNIT_EXPECT_EQ(test, 0, iov_iter_count(&copy));
	expect_same(test, k->image, k->kaddr, MEMORY_SIZE, "memory");
}

static void refs_read(struct iov_iter_kunit *k, int *refs)
{
	int n;

	for (n = 0; n < NR_PAGES; n++)
		refs[n] = page_ref_count(k->pages[n]);
}

static int refs_of_mode(unsigned int mode)
{
	return mode == FOLL_PIN ? GUP_PIN_COUNTING_BIAS : mode == FOLL_GET ? 1 : 0;
}

/* @call listed the pages; it is NULL after their release */
static void expect_refs(struct kunit *test, const int *before, const struct call *call,
			unsigned int mode)
{
	struct iov_iter_kunit *k = test->priv;
	int n, expected[NR_PAGES];

	memcpy(expected, before, sizeof(expected));
	for (n = 0; call && n < call->nr; n++)
		expected[call->page[n]] += refs_of_mode(mode);
	for (n = 0; n < NR_PAGES; n++)
		KUNIT_EXPECT_EQ_MSG(test, expected[n], page_ref_count(k->pages[n]),
				    "references of page %d %s", n,
				    call ? "while it is listed" : "after the release");
}

static void expect_call(struct kunit *test, const struct param *param,
			const struct call *call, struct iov_iter *iter, bool own_array)
{
	const struct variant *v = param->variant;
	struct page *array[MAX_LISTED + 1], **pages = own_array ? array : NULL;
	struct iov_iter_kunit *k = test->priv;
	struct iov_iter before;
	int n, refs[NR_PAGES];
	unsigned int maxpages = call->maxpages;
	size_t offset0 = SIZE_MAX;
	ssize_t bytes;

	if (own_array)
		maxpages = min_t(unsigned int, maxpages, MAX_LISTED);
	for (n = 0; n < ARRAY_SIZE(array); n++)
		array[n] = POISON_PAGE;

	memcpy(&before, iter, sizeof(before));
	refs_read(k, refs);
	KUNIT_EXPECT_EQ(test, v->mode, iov_iter_extract_mode(iter, v->flags));
	bytes = iov_iter_extract_pages(iter, &pages, call->maxsize, maxpages, v->flags,
				       &offset0);
	KUNIT_EXPECT_EQ(test, v->mode, iov_iter_extract_mode(iter, v->flags));
	KUNIT_ASSERT_EQ(test, (ssize_t)call->bytes, bytes);
	KUNIT_EXPECT_EQ(test, iov_iter_count(&before) - bytes, iov_iter_count(iter));
	if (!bytes) {
		expect_same(test, (u8 *)&before, (u8 *)iter, sizeof(before), "iterator");
		KUNIT_EXPECT_PTR_EQ(test, pages, own_array ? array : NULL);
		KUNIT_EXPECT_PTR_EQ(test, array[0], POISON_PAGE);
		expect_refs(test, refs, NULL, 0);
		return;
	}

	KUNIT_ASSERT_NOT_NULL(test, pages);
	KUNIT_EXPECT_EQ(test, call->offset0, offset0);
	for (n = 0; n < call->nr; n++)
		KUNIT_EXPECT_PTR_EQ_MSG(test, k->pages[call->page[n]], pages[n],
					"entry %d of the list is not page %u", n,
					call->page[n]);
	for (n = call->nr; own_array && n < ARRAY_SIZE(array); n++)
		KUNIT_EXPECT_PTR_EQ_MSG(test, array[n], POISON_PAGE,
					"entry %d is written, %u were listed", n, call->nr);
	expect_refs(test, refs, call, v->mode);

	release_extracted_pages(pages, call->nr, v->mode, v->direction == ITER_DEST);
	expect_refs(test, refs, NULL, 0);
	if (!own_array)
		kvfree(pages);
}

/* Each row: the listed pages, their counts until the release, and the iterator */
static void extract_pages(struct kunit *test)
{
	const struct param *param = test->param_value;
	const struct extract_row *row = param->row;
	struct iov_iter_kunit *k = test->priv;
	struct iov_iter iter, again;
	size_t pos;
	int c, own_array;

	memory_init(test, param->variant->kind);
	for (own_array = 0; own_array <= 1; own_array++) {
		iter_init(k, &iter, param->variant, row->seg, row->nr_segs, row->cut);
		/* An advance by 0 would skip empty segments. */
		if (row->advance)
			iov_iter_advance(&iter, row->advance);
		pos = row->advance;
		for (c = 0; c < row->nr_calls; c++) {
			again = iter;
			expect_call(test, param, &row->call[c], &iter, own_array);
			pos += row->call[c].bytes;
			if (row->call[c].bytes > 0) {
				iov_iter_advance(&again, row->call[c].bytes);
				expect_same(test, (u8 *)&again, (u8 *)&iter, sizeof(iter),
					    "iterator");
			}
			expect_stream(test, row, &iter, pos);

			again = iter;
			iov_iter_revert(&again, row->call[c].bytes);
			expect_stream(test, row, &again, pos - row->call[c].bytes);
			expect_call(test, param, &row->call[c], &again, own_array);
		}
	}
}

/* Each row: the copy functions, and iov_iter_zero(), without any extraction */
static void copy(struct kunit *test)
{
	const struct param *param = test->param_value;
	const struct extract_row *row = param->row;
	struct iov_iter_kunit *k = test->priv;
	size_t pos, count = row_count(row);
	struct iov_iter iter;

	memory_init(test, param->variant->kind);
	iter_init(k, &iter, param->variant, row->seg, row->nr_segs, row->cut);
	expect_stream(test, row, &iter, 0);
	if (row->advance)
		iov_iter_advance(&iter, row->advance);
	expect_stream(test, row, &iter, row->advance);
	iov_iter_revert(&iter, row->advance);
	expect_stream(test, row, &iter, 0);

	if (param->variant->direction == ITER_DEST) {
		KUNIT_EXPECT_EQ(test, count, iov_iter_zero(SIZE_MAX, &iter));
		for (pos = 0; pos < count; pos++)
			k->image[row_offset(row, pos)] = 0;
		expect_same(test, k->image, k->kaddr, MEMORY_SIZE, "zeroed memory");
	}
}

/* An extraction that has to fail: it must not change anything */
static void expect_error(struct kunit *test, struct iov_iter *iter, unsigned int flags,
			 ssize_t error)
{
	struct page *array[4], **pages;
	struct iov_iter before;
	size_t offset0;
	int own_array;

	memcpy(&before, iter, sizeof(before));
	for (own_array = 0; own_array <= 1; own_array++) {
		pages = own_array ? array : NULL;
		KUNIT_EXPECT_EQ(test, error,
				iov_iter_extract_pages(iter, &pages, SIZE_MAX,
						       ARRAY_SIZE(array), flags, &offset0));
		KUNIT_EXPECT_PTR_EQ(test, pages, own_array ? array : NULL);
		expect_same(test, (u8 *)&before, (u8 *)iter, sizeof(before), "iterator");
	}
}

/* Extract all into an allocated array, check the length; returns the array */
static struct page **expect_pages(struct kunit *test, struct iov_iter *iter,
				  unsigned int flags, ssize_t bytes, size_t offset0)
{
	struct page **pages = NULL;
	size_t offset;

	KUNIT_ASSERT_EQ(test, bytes, iov_iter_extract_pages(iter, &pages, SIZE_MAX, UINT_MAX,
							    flags, &offset));
	KUNIT_EXPECT_EQ(test, offset0, offset);
	return pages;
}

static const struct variant *next_user_variant(const struct variant *v)
{
	for (v = v ? v + 1 : variants; v < variants + ARRAY_SIZE(variants); v++)
		if (v->kind == UBUF || v->kind == IOVEC)
			return v;
	return NULL;
}

/* Unknown flags, and ITER_ALLOW_P2PDMA for kernel memory: these warn once */
static void reject_flags(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	const struct segment seg = { 0, P(1) };
	const struct variant *v;
	struct iov_iter iter;

	memory_init(test, UBUF);
	for (v = variants; v < variants + ARRAY_SIZE(variants); v++) {
		iter_init(k, &iter, v, &seg, 1, 0);
		expect_error(test, &iter, v->flags | 0x80, -EINVAL);
		if (v->kind != UBUF && v->kind != IOVEC)
			expect_error(test, &iter, ITER_ALLOW_P2PDMA, -EIO);
	}
}

static void reject_discard(struct kunit *test)
{
	struct iov_iter iter;
	u8 byte = 0;

	iov_iter_discard(&iter, ITER_DEST, P(2));
	expect_error(test, &iter, 0, -EFAULT);
	KUNIT_EXPECT_EQ(test, 0, iov_iter_extract_mode(&iter, ITER_PIN_SOURCE));
	KUNIT_EXPECT_EQ(test, 1, copy_to_iter(&byte, 1, &iter));
	KUNIT_EXPECT_EQ(test, P(2) - 1, iov_iter_count(&iter));
}

/* Segments that are all empty, under a count that is not: must not spin or overrun */
static void reject_empty_segments(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	const struct segment seg[2] = { { 0, 0 }, { P(1), 0 } };
	const struct variant *v;
	struct iov_iter iter;

	memory_init(test, IOVEC);
	for (v = variants; v < variants + ARRAY_SIZE(variants); v++) {
		if (v->kind == UBUF || v->kind == XARRAY)
			continue;
		iter_init(k, &iter, v, seg, 2, 0);
		iter.count = P(1);
		expect_error(test, &iter, 0, -EFAULT);
	}
}

/* A mapping of 4 pages with a hole in place of the third */
static unsigned long map_with_hole(struct kunit *test)
{
	unsigned long uaddr = user_map(test, NULL, P(4), PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS);

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(uaddr + P(2), P(1)));
	return uaddr;
}

static void user_unmapped(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	const struct variant *v;
	struct iov_iter iter;
	unsigned long uaddr;
	struct page **pages;

	user_mm_init(test);
	uaddr = map_with_hole(test);
	for (v = next_user_variant(NULL); v; v = next_user_variant(v)) {
		/* the first page is a hole */
		k->uaddr = uaddr + P(2);
		iter_init(k, &iter, v, &(struct segment){ 0x30, P(1) }, 1, 0);
		expect_error(test, &iter, v->flags, -EFAULT);

		/* the third page is a hole: the call lists the pages before it */
		k->uaddr = uaddr;
		iter_init(k, &iter, v, &(struct segment){ 0x30, P(4) - 0x30 }, 1, 0);
		pages = expect_pages(test, &iter, v->flags, P(2) - 0x30, 0x30);
		KUNIT_EXPECT_EQ(test, P(2), iov_iter_count(&iter));
		release_extracted_pages(pages, 2, v->mode, false);
		kvfree(pages);
		expect_error(test, &iter, v->flags, -EFAULT);
	}
}

/* A segment that faults ends the list, even if the list could be joined to it */
static void user_unmapped_segment(struct kunit *test)
{
	const struct segment seg[3] = { { P(1), P(1) }, { P(2), P(1) }, { P(3), P(1) } };
	struct iov_iter_kunit *k = test->priv;
	const struct variant *v;
	struct page *page, **pages;
	struct iov_iter iter;
	int refs;

	user_mm_init(test);
	k->uaddr = map_with_hole(test);
	page = user_page(test, k->uaddr + P(1), true);
	lru_add_drain_all();
	refs = page_ref_count(page);
	for (v = next_user_variant(NULL); v; v = next_user_variant(v)) {
		if (v->kind != IOVEC)
			continue;
		iter_init(k, &iter, v, seg, 3, 0);
		pages = expect_pages(test, &iter, v->flags, P(1), 0);
		KUNIT_EXPECT_PTR_EQ(test, page, pages[0]);
		KUNIT_EXPECT_EQ(test, refs + refs_of_mode(v->mode), page_ref_count(page));
		release_extracted_pages(pages, 1, v->mode, false);
		kvfree(pages);
		KUNIT_EXPECT_EQ(test, refs, page_ref_count(page));
		expect_error(test, &iter, v->flags, -EFAULT);
	}
}

/* Read-only memory can be a source, pinned too, but no destination */
static void user_read_only(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	const struct variant *v;
	struct iov_iter iter;
	struct page **pages;

	user_mm_init(test);
	k->uaddr = user_map(test, NULL, P(2), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
	for (v = next_user_variant(NULL); v; v = next_user_variant(v)) {
		iter_init(k, &iter, v, &(struct segment){ 0x10, P(1) }, 1, 0);
		if (v->direction == ITER_DEST) {
			expect_error(test, &iter, v->flags, -EFAULT);
			continue;
		}
		pages = expect_pages(test, &iter, v->flags, P(1), 0x10);
		release_extracted_pages(pages, 2, v->mode, false);
		kvfree(pages);
	}
}

/* Untouched memory: the zero page as a source, a new page as a destination */
static void user_zero_page(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	const struct variant *v;
	struct iov_iter iter;
	struct page **pages;
	int refs;

	user_mm_init(test);
	for (v = next_user_variant(NULL); v; v = next_user_variant(v)) {
		k->uaddr = user_map(test, NULL, P(1), PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS);
		iter_init(k, &iter, v, &(struct segment){ 0, P(1) }, 1, 0);
		refs = page_ref_count(ZERO_PAGE(k->uaddr));
		pages = expect_pages(test, &iter, v->flags, P(1), 0);
		KUNIT_EXPECT_EQ(test, v->direction == ITER_SOURCE, is_zero_page(pages[0]));
		/* exempt from pins, not from references */
		KUNIT_EXPECT_EQ(test, refs + (v->mode == FOLL_GET),
				page_ref_count(ZERO_PAGE(k->uaddr)));
		release_extracted_pages(pages, 1, v->mode, v->direction == ITER_DEST);
		KUNIT_EXPECT_EQ(test, refs, page_ref_count(ZERO_PAGE(k->uaddr)));
		kvfree(pages);
	}
}

/* i->nofault: the call does not fault pages in */
static void user_nofault(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	const struct variant *v;
	struct iov_iter iter;
	struct page **pages;

	user_mm_init(test);
	for (v = next_user_variant(NULL); v; v = next_user_variant(v)) {
		k->uaddr = user_map(test, NULL, P(2), PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS);
		iter_init(k, &iter, v, &(struct segment){ 0, P(2) }, 1, 0);
		iter.nofault = true;
		expect_error(test, &iter, v->flags, -EFAULT);

		user_page(test, k->uaddr, true);
		pages = expect_pages(test, &iter, v->flags, P(1), 0);
		release_extracted_pages(pages, 1, v->mode, false);
		kvfree(pages);
		KUNIT_EXPECT_TRUE(test, iter.nofault);
		expect_error(test, &iter, v->flags, -EFAULT);
	}
}

/* fault_in_iov_iter_pinnable(): stops at a hole, and does not move the iterator */
static void user_fault_in(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	const struct variant *v;
	struct iov_iter iter;
	struct page **pages;
	unsigned long uaddr;

	user_mm_init(test);
	for (v = next_user_variant(NULL); v; v = next_user_variant(v)) {
		if (v->mode != FOLL_PIN)
			continue;
		/* two pages, and then a hole */
		uaddr = map_with_hole(test);
		k->uaddr = uaddr;
		iter_init(k, &iter, v, &(struct segment){ 0x30, P(4) - 0x30 }, 1, 0);
		iter.nofault = true;
		expect_error(test, &iter, v->flags, -EFAULT);
		KUNIT_EXPECT_EQ(test, 0, fault_in_iov_iter_pinnable(&iter, 0));
		KUNIT_EXPECT_EQ(test, 0, fault_in_iov_iter_pinnable(&iter, P(1)));
		KUNIT_EXPECT_EQ(test, P(2), fault_in_iov_iter_pinnable(&iter, P(4) - 0x30));
		/* the iterator's count limits it */
		KUNIT_EXPECT_EQ(test, P(2) + 7, fault_in_iov_iter_pinnable(&iter, P(4) - 0x30 + 7));
		KUNIT_EXPECT_TRUE(test, iter.nofault);
		KUNIT_EXPECT_EQ(test, P(4) - 0x30, iov_iter_count(&iter));
		pages = expect_pages(test, &iter, v->flags, P(2) - 0x30, 0x30);
		release_extracted_pages(pages, 2, v->mode, false);
		kvfree(pages);
	}
	iov_iter_kvec(&iter, ITER_SOURCE, &(struct kvec){ NULL, P(1) }, 1, P(1));
	KUNIT_EXPECT_EQ(test, 0, fault_in_iov_iter_pinnable(&iter, P(1)));
}

/* The rows again, for iov_iter_extract_bvecs(), with pinned user memory */
static const void *bvecs_param_next(const void *prev, char *desc)
{
	const struct param *param = prev;

	do {
		param = param_next(param, desc);
	} while (param && param->variant->mode != FOLL_PIN);
	return param;
}

/*
 * Do the bio_vecs list these bytes of the row's stream, in this order?  Adds up
 * how often each page is listed.
 */
static void expect_bvecs(struct kunit *test, const struct extract_row *row, size_t pos,
			 size_t bytes, const struct bio_vec *bv, unsigned int nr,
			 int *listed)
{
	struct iov_iter_kunit *k = test->priv;
	size_t offset, left, n, at;

	for (; nr; nr--, bv++) {
		KUNIT_ASSERT_NE(test, 0, bv->bv_len);
		offset = bv->bv_offset;
		for (left = bv->bv_len; left; left -= n, offset += n, pos += n, bytes -= n) {
			n = min(left, PAGE_SIZE - offset_in_page(offset));
			KUNIT_ASSERT_LE(test, n, bytes);
			at = row_offset(row, pos);
			KUNIT_EXPECT_PTR_EQ(test, k->pages[at / PAGE_SIZE],
					    nth_page(bv->bv_page, offset / PAGE_SIZE));
			KUNIT_EXPECT_EQ(test, offset_in_page(at), offset_in_page(offset));
			KUNIT_EXPECT_EQ(test, at + n - 1, row_offset(row, pos + n - 1));
			listed[at / PAGE_SIZE]++;
		}
	}
	KUNIT_EXPECT_EQ(test, 0, bytes);
}

/* Extract the whole row, at most @maxsize at a time, into tables of @max_bvecs */
static void expect_tables(struct kunit *test, const struct param *param,
			  unsigned int max_bvecs, size_t maxsize)
{
	const struct extract_row *row = param->row;
	size_t pos = row->advance, table_pos = pos, left = row_count(row) - pos;
	struct iov_iter_kunit *k = test->priv;
	struct bio_vec bvecs[MAX_LISTED + 1];
	int n, refs[NR_PAGES], listed[NR_PAGES];
	struct iov_iter iter, before;
	unsigned short nr = 0, was;
	ssize_t bytes;

	iter_init(k, &iter, param->variant, row->seg, row->nr_segs, row->cut);
	if (row->advance)
		iov_iter_advance(&iter, row->advance);
	refs_read(k, refs);
	while (left) {
		bvecs[max_bvecs].bv_page = POISON_PAGE;
		before = iter;
		was = nr;
		bytes = iov_iter_extract_bvecs(&iter, bvecs, maxsize, &nr, max_bvecs, 0,
					       param->variant->flags);
		KUNIT_EXPECT_PTR_EQ(test, POISON_PAGE, bvecs[max_bvecs].bv_page);
		KUNIT_ASSERT_GE(test, bytes, 0);
		KUNIT_ASSERT_LE(test, (size_t)bytes, min(maxsize, left));
		KUNIT_ASSERT_LE(test, nr, max_bvecs);
		pos += bytes;
		left -= bytes;
		expect_stream(test, row, &iter, pos);
		if (!bytes) {
			/* full, and the next page does not adjoin */
			KUNIT_ASSERT_EQ(test, nr, max_bvecs);
			KUNIT_EXPECT_EQ(test, was, nr);
			expect_same(test, (u8 *)&before, (u8 *)&iter, sizeof(iter), "iterator");
		} else {
			if (nr < max_bvecs)
				KUNIT_EXPECT_EQ(test, min(maxsize, left + bytes), (size_t)bytes);
			if (left)
				continue;
		}

		memset(listed, 0, sizeof(listed));
		expect_bvecs(test, row, table_pos, pos - table_pos, bvecs, nr, listed);
		for (n = 0; n < NR_PAGES; n++)
			KUNIT_EXPECT_EQ_MSG(test, refs[n] + listed[n] * GUP_PIN_COUNTING_BIAS,
					    page_ref_count(k->pages[n]), "page %d", n);
		release_extracted_bvecs(bvecs, nr, FOLL_PIN,
					param->variant->direction == ITER_DEST);
		expect_refs(test, refs, NULL, 0);
		table_pos = pos;
		nr = 0;
	}
}

static void extract_bvecs(struct kunit *test)
{
	static const size_t maxsizes[] = { 1, 511, PAGE_SIZE, PAGE_SIZE + 1, SIZE_MAX };
	static const unsigned int max_bvecs[] = { 1, 2, 3, MAX_LISTED };
	const struct param *param = test->param_value;
	int s, m;

	memory_init(test, param->variant->kind);
	for (s = 0; s < ARRAY_SIZE(maxsizes); s++) {
		/* only short rows go byte by byte */
		if (maxsizes[s] < PAGE_SIZE && row_count(param->row) > 64 * maxsizes[s])
			continue;
		for (m = 0; m < ARRAY_SIZE(max_bvecs); m++)
			expect_tables(test, param, max_bvecs[m], maxsizes[s]);
	}
}

static const struct variant *next_pinned_variant(const struct variant *v)
{
	do {
		v = next_user_variant(v);
	} while (v && v->mode != FOLL_PIN);
	return v;
}

/* An extraction that lists nothing: neither table nor iterator may change */
static void expect_no_bvecs(struct kunit *test, struct iov_iter *iter, unsigned int flags,
			    unsigned int max_bvecs, size_t maxsize, ssize_t result)
{
	struct bio_vec bvecs[2] = { { .bv_page = POISON_PAGE, .bv_len = 8 },
				    { .bv_page = POISON_PAGE } };
	struct iov_iter before;
	unsigned short nr = 1;

	memcpy(&before, iter, sizeof(before));
	KUNIT_EXPECT_EQ(test, result, iov_iter_extract_bvecs(iter, bvecs, maxsize, &nr,
							     max_bvecs, 0, flags));
	KUNIT_EXPECT_EQ(test, 1, nr);
	KUNIT_EXPECT_EQ(test, 8, bvecs[0].bv_len);
	KUNIT_EXPECT_PTR_EQ(test, POISON_PAGE, bvecs[1].bv_page);
	expect_same(test, (u8 *)&before, (u8 *)iter, sizeof(before), "iterator");
}

/* Unknown flags, and memory that is not pinned: these warn once each */
static void bvecs_reject(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	const struct segment seg = { 0, P(1) };
	const struct variant *v;
	struct iov_iter iter;

	memory_init(test, UBUF);
	for (v = variants; v < variants + ARRAY_SIZE(variants); v++) {
		iter_init(k, &iter, v, &seg, 1, 0);
		expect_no_bvecs(test, &iter, v->flags | 0x80, 2, SIZE_MAX, -EINVAL);
		if (v->mode != FOLL_PIN)
			expect_no_bvecs(test, &iter, v->flags, 2, SIZE_MAX, -EINVAL);
	}
}

/* A size of 0, a full table, a hole at the start, and pages before a hole */
/* These pages have been released. */
static void expect_no_pins(struct kunit *test, unsigned long uaddr, unsigned int pages)
{
	unsigned int n;

	for (n = 0; n < pages; n++) {
		struct page *page = user_page(test, uaddr + P(n), false);

		KUNIT_EXPECT_FALSE_MSG(test, !is_zero_page(page) &&
				       page_ref_count(compound_head(page)) >= GUP_PIN_COUNTING_BIAS,
				       "page %u", n);
	}
}

static void bvecs_limits(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	const struct variant *v;
	struct bio_vec bvecs[4];
	struct iov_iter iter;
	unsigned long uaddr;
	unsigned short nr;

	user_mm_init(test);
	uaddr = map_with_hole(test);
	for (v = next_pinned_variant(NULL); v; v = next_pinned_variant(v)) {
		k->uaddr = uaddr;
		iter_init(k, &iter, v, &(struct segment){ 0x30, P(4) - 0x30 }, 1, 0);
		expect_no_bvecs(test, &iter, v->flags, 2, 0, 0);
		expect_no_bvecs(test, &iter, v->flags, 1, SIZE_MAX, 0);

		nr = 0;
		KUNIT_EXPECT_EQ(test, P(2) - 0x30,
				iov_iter_extract_bvecs(&iter, bvecs, SIZE_MAX, &nr, 4, 0,
						       v->flags));
		KUNIT_EXPECT_EQ(test, 0x30, bvecs[0].bv_offset);
		KUNIT_EXPECT_EQ(test, P(2), iov_iter_count(&iter));
		release_extracted_bvecs(bvecs, nr, FOLL_PIN, false);
		expect_no_bvecs(test, &iter, v->flags, 2, SIZE_MAX, -EFAULT);
		expect_no_pins(test, uaddr, 2);
		iov_iter_advance(&iter, P(2));
		expect_no_bvecs(test, &iter, v->flags, 2, SIZE_MAX, 0);
	}
}

/* Address and length of each segment, against a mask of the bits that must be 0 */
static void bvecs_alignment(struct kunit *test)
{
	static const struct {
		struct segment seg[2];
		ssize_t result;
	} *c, cases[] = {
		{ { { 0x200, 0x400 }, { P(2), 0x600 } }, 0xa00 },
		{ { { 0x204, 0x400 }, { P(2), 0x600 } }, -EINVAL },
		{ { { 0x200, 0x404 }, { P(2), 0x600 } }, -EINVAL },
		{ { { 0x200, 0x400 }, { P(2) + 4, 0x600 } }, 0x400 },
		{ { { 0x200, 0x400 }, { P(2), 0x604 } }, 0x400 },
		/* These adjoin: together they are aligned, but not each. */
		{ { { 0x200, 0x404 }, { 0x604, 0x1fc } }, -EINVAL },
		{ { { 0x200, 0x400 }, { 0x600, 0x1fc } }, 0x400 },
	};
	struct iov_iter_kunit *k = test->priv;
	const struct variant *v;
	struct bio_vec bvecs[4];
	struct iov_iter iter;
	unsigned short nr;

	memory_init(test, UBUF);
	for (v = next_pinned_variant(NULL); v; v = next_pinned_variant(v)) {
		const unsigned int nr_segs = v->kind == UBUF ? 1 : 2;

		for (c = cases; c < cases + ARRAY_SIZE(cases); c++) {
			ssize_t result = c->result;

			if (nr_segs == 1 && result > 0)
				result = c->seg[0].len;
			iter_init(k, &iter, v, c->seg, nr_segs, 0);
			nr = 0;
			KUNIT_EXPECT_EQ_MSG(test, result,
					    iov_iter_extract_bvecs(&iter, bvecs, SIZE_MAX,
								   &nr, ARRAY_SIZE(bvecs),
								   0x1ff, v->flags),
					    "case %td", c - cases);
			KUNIT_EXPECT_EQ_MSG(test, result > 0, nr > 0, "case %td", c - cases);
			release_extracted_bvecs(bvecs, nr, FOLL_PIN, false);
		}
	}
}

/*
 * Untouched memory, of more pages than a call faults in at a time.  A source lists
 * the zero page in an entry for each, without a pin.  A destination pins new pages.
 */
static void bvecs_untouched(struct kunit *test)
{
	enum { PAGES = 45 };
	struct bio_vec *bvecs = kunit_kcalloc(test, PAGES + 1, sizeof(*bvecs), GFP_KERNEL);
	struct iov_iter_kunit *k = test->priv;
	const struct variant *v;
	struct iov_iter iter;
	unsigned short nr;
	unsigned int n, i;

	KUNIT_ASSERT_NOT_NULL(test, bvecs);
	user_mm_init(test);
	for (v = next_pinned_variant(NULL); v; v = next_pinned_variant(v)) {
		size_t bytes = 0;

		k->uaddr = user_map(test, NULL, P(PAGES), PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS);
		iter_init(k, &iter, v, &(struct segment){ 0, P(PAGES) }, 1, 0);
		/* one entry is there already */
		bvecs[0] = (struct bio_vec){ .bv_page = POISON_PAGE, .bv_len = 8 };
		nr = 1;
		KUNIT_ASSERT_EQ(test, P(PAGES),
				iov_iter_extract_bvecs(&iter, bvecs, SIZE_MAX, &nr,
						       PAGES + 1, 0, v->flags));
		KUNIT_EXPECT_PTR_EQ(test, POISON_PAGE, bvecs[0].bv_page);
		KUNIT_EXPECT_EQ(test, 8, bvecs[0].bv_len);
		for (n = 1; n < nr; n++)
			for (i = 0; i < bvecs[n].bv_len; i += PAGE_SIZE, bytes += PAGE_SIZE)
				KUNIT_EXPECT_PTR_EQ(test,
						    user_page(test, k->uaddr + bytes, false),
						    nth_page(bvecs[n].bv_page, i / PAGE_SIZE));
		KUNIT_EXPECT_EQ(test, P(PAGES), bytes);
		if (v->direction == ITER_SOURCE && is_zero_page(bvecs[1].bv_page))
			KUNIT_EXPECT_EQ(test, PAGES + 1, nr);
		release_extracted_bvecs(bvecs + 1, nr - 1, FOLL_PIN,
					v->direction == ITER_DEST);
		expect_no_pins(test, k->uaddr, PAGES);
	}
}

/*
 * A folio whose count has little room left is refused a pin, without a warning.  A
 * reference still succeeds.
 */
static void expect_exhausted(struct kunit *test, struct page *page, size_t start)
{
	struct page *head = compound_head(page), **pages;
	struct iov_iter_kunit *k = test->priv;
	int refs = page_ref_count(head);
	const struct variant *v;
	struct iov_iter iter;

	for (v = next_user_variant(NULL); v; v = next_user_variant(v)) {
		page_ref_add(head, INT_MAX / 2);
		iter_init(k, &iter, v, &(struct segment){ start + 0x200, 0x200 }, 1, 0);
		if (v->mode == FOLL_PIN) {
			expect_error(test, &iter, v->flags, -ENOMEM);
			expect_no_bvecs(test, &iter, v->flags, 2, SIZE_MAX, -ENOMEM);
			KUNIT_EXPECT_EQ(test, -ENOMEM, retain_extracted_page(page, FOLL_PIN));
		} else {
			pages = expect_pages(test, &iter, v->flags, 0x200, 0x200);
			KUNIT_EXPECT_PTR_EQ(test, page, pages[0]);
			release_extracted_pages(pages, 1, v->mode, false);
			kvfree(pages);
		}
		page_ref_sub(head, INT_MAX / 2);
		KUNIT_ASSERT_EQ(test, refs, page_ref_count(head));
	}
}

static void pins_exhausted(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	struct bio_vec bvecs[4];
	const struct variant *v;
	struct iov_iter iter;
	struct page **pages;
	unsigned short nr;

	memory_init(test, UBUF);
	expect_exhausted(test, k->pages[1], P(1));

	/* the call lists the pages before it */
	for (v = next_pinned_variant(NULL); v; v = next_pinned_variant(v)) {
		page_ref_add(k->pages[2], INT_MAX / 2);
		iter_init(k, &iter, v, &(struct segment){ 8, P(4) }, 1, 0);
		pages = expect_pages(test, &iter, v->flags, P(2) - 8, 8);
		release_extracted_pages(pages, 2, FOLL_PIN, false);
		kvfree(pages);

		iter_init(k, &iter, v, &(struct segment){ 8, P(4) }, 1, 0);
		nr = 0;
		KUNIT_EXPECT_EQ(test, P(2) - 8,
				iov_iter_extract_bvecs(&iter, bvecs, SIZE_MAX, &nr, 4, 0,
						       v->flags));
		release_extracted_bvecs(bvecs, nr, FOLL_PIN, false);
		page_ref_sub(k->pages[2], INT_MAX / 2);
	}
}

/* While a fork() write-protects the page tables, pages come from the slow path */
static void bvecs_during_fork(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	struct bio_vec bvecs[NR_PAGES];
	int n, refs[NR_PAGES];
	const struct variant *v;
	struct iov_iter iter;
	unsigned short nr;

	memory_init(test, UBUF);
	refs_read(k, refs);
	for (v = next_pinned_variant(NULL); v; v = next_pinned_variant(v)) {
		iter_init(k, &iter, v, &(struct segment){ 0, MEMORY_SIZE }, 1, 0);
		nr = 0;
		mmap_write_lock(current->mm);
		raw_write_seqcount_begin(&current->mm->write_protect_seq);
		mmap_write_unlock(current->mm);
		KUNIT_EXPECT_EQ(test, MEMORY_SIZE,
				iov_iter_extract_bvecs(&iter, bvecs, SIZE_MAX, &nr, NR_PAGES,
						       0, v->flags));
		mmap_write_lock(current->mm);
		raw_write_seqcount_end(&current->mm->write_protect_seq);
		mmap_write_unlock(current->mm);
		/* The slow path marks pages as accessed: that may hold them for a while. */
		lru_add_drain_all();
		for (n = 0; n < NR_PAGES; n++)
			KUNIT_EXPECT_EQ(test, refs[n] + GUP_PIN_COUNTING_BIAS,
					page_ref_count(k->pages[n]));
		release_extracted_bvecs(bvecs, nr, FOLL_PIN, false);
		expect_refs(test, refs, NULL, 0);
	}
}

/* A killed thread does not wait for page faults */
static void user_killed(struct kunit *test)
{
	struct sighand_struct *sighand = rcu_dereference_protected(current->sighand, true);
	struct iov_iter_kunit *k = test->priv;
	const struct variant *v;
	struct iov_iter iter;

	user_mm_init(test);
	k->uaddr = user_map(test, NULL, P(1), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS);
	for (v = next_user_variant(NULL); v; v = next_user_variant(v)) {
		iter_init(k, &iter, v, &(struct segment){ 0, P(1) }, 1, 0);
		spin_lock_irq(&sighand->siglock);
		sigaddset(&current->pending.signal, SIGKILL);
		set_thread_flag(TIF_SIGPENDING);
		spin_unlock_irq(&sighand->siglock);
		expect_error(test, &iter, v->flags, -EINTR);
		flush_signals(current);
	}
}

/* A call that lists nothing frees its array: 4 MiB for each of these calls */
static void user_array_freed(struct kunit *test)
{
	unsigned long free, lost, size;
	struct page **pages = NULL;
	struct iov_iter iter;
	unsigned long uaddr;
	size_t offset0;
	int n;

	user_mm_init(test);
	uaddr = map_with_hole(test) + P(2);
	free = global_zone_page_state(NR_FREE_PAGES);
	for (n = 0; n < 16; n++) {
		iov_iter_ubuf(&iter, ITER_DEST, (void __user *)uaddr, MAX_RW_COUNT);
		KUNIT_EXPECT_EQ(test, -EFAULT,
				iov_iter_extract_pages(&iter, &pages, SIZE_MAX, UINT_MAX, 0,
						       &offset0));
	}
	lost = free - min(free, global_zone_page_state(NR_FREE_PAGES));
	size = DIV_ROUND_UP(MAX_RW_COUNT / PAGE_SIZE * sizeof(struct page *), PAGE_SIZE);
	KUNIT_EXPECT_LT_MSG(test, lost, 8 * size, "pages that are gone");
}

/* A mapped file: shared, its own pages; private and written to, copies of them */
static void user_file(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	struct page *cached, **pages;
	const struct variant *v;
	struct iov_iter iter;
	struct file *file;
	bool shared;
	int refs;

	if (!IS_ENABLED(CONFIG_SHMEM))
		kunit_skip(test, "needs CONFIG_SHMEM");
	user_mm_init(test);
	file = shmem_kernel_file_setup("iov_iter_kunit", P(2), 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	cached = shmem_read_mapping_page(file->f_mapping, 1);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cached);
	for (int n = 0; n < 2; n++) {
		shared = n;
		for (v = next_user_variant(NULL); v; v = next_user_variant(v)) {
			k->uaddr = user_map(test, file, P(2), PROT_READ | PROT_WRITE,
					    shared ? MAP_SHARED : MAP_PRIVATE);
			user_page(test, k->uaddr + P(1), false);
			lru_add_drain_all();
			refs = page_ref_count(cached);
			iter_init(k, &iter, v, &(struct segment){ P(1) + 8, 16 }, 1, 0);
			pages = expect_pages(test, &iter, v->flags, 16, 8);
			if (shared || v->direction == ITER_SOURCE) {
				KUNIT_EXPECT_PTR_EQ(test, cached, pages[0]);
				KUNIT_EXPECT_EQ(test, refs + refs_of_mode(v->mode),
						page_ref_count(cached));
				ClearPageDirty(cached);
				release_extracted_pages(pages, 1, v->mode,
							v->direction == ITER_DEST);
				KUNIT_EXPECT_EQ(test, refs, page_ref_count(cached));
				KUNIT_EXPECT_EQ(test, v->direction == ITER_DEST,
						PageDirty(cached));
			} else {
				KUNIT_EXPECT_PTR_NE(test, cached, pages[0]);
				release_extracted_pages(pages, 1, v->mode, true);
			}
			kvfree(pages);
			vm_munmap(k->uaddr, P(2));
		}
	}
	put_page(cached);
	fput(file);
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/* Map a huge page at k->uaddr, touched: its head */
static struct page *map_thp(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	struct page *head;

	if (!has_transparent_hugepage())
		kunit_skip(test, "this CPU has no huge pages");
	user_mm_init(test);
	k->uaddr = user_map(test, NULL, 2 * HPAGE_PMD_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS);
	k->uaddr = ALIGN(k->uaddr, HPAGE_PMD_SIZE);
	KUNIT_ASSERT_EQ(test, 0, do_madvise(current->mm, k->uaddr, HPAGE_PMD_SIZE,
					    MADV_HUGEPAGE));
	head = user_page(test, k->uaddr, true);
	if (!PageHead(head))
		kunit_skip(test, "no huge page was to be had");
	lru_add_drain_all();
	return head;
}

/* A huge page: exact pin counts until the release, also by range and unaligned */
static void user_thp(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	const struct variant *v;
	struct page *head, **pages;
	struct iov_iter iter;
	int refs, pins, n;

	head = map_thp(test);
	for (v = next_user_variant(NULL); v; v = next_user_variant(v)) {
		refs = page_ref_count(head);
		pins = head_compound_pincount(head);
		iter_init(k, &iter, v, &(struct segment){ P(2) + 0x200, P(5) }, 1, 0);
		pages = expect_pages(test, &iter, v->flags, P(5), 0x200);
		for (n = 0; n < 6; n++)
			KUNIT_EXPECT_PTR_EQ(test, head + 2 + n, pages[n]);
		KUNIT_EXPECT_EQ(test, refs + 6, page_ref_count(head));
		KUNIT_EXPECT_EQ(test, pins + (v->mode == FOLL_PIN ? 6 : 0),
				head_compound_pincount(head));
		release_extracted_pages(pages, 1, v->mode, v->direction == ITER_DEST);
		release_extracted_range(pages[1], 5, v->mode, v->direction == ITER_DEST);
		KUNIT_EXPECT_EQ(test, refs, page_ref_count(head));
		KUNIT_EXPECT_EQ(test, pins, head_compound_pincount(head));
		kvfree(pages);
	}
}

/* A huge page that is mapped by PTEs: the page at its head is not a small one */
static void user_thp_by_ptes(struct kunit *test)
{
	struct page *head = map_thp(test), *pages[4];
	struct iov_iter_kunit *k = test->priv;
	int refs, pins;

	/* A hole splits the entry of the table, and not the folio. */
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(k->uaddr + P(64), PAGE_SIZE));
	KUNIT_ASSERT_TRUE(test, PageHead(head));
	refs = page_ref_count(head);
	pins = head_compound_pincount(head);
	KUNIT_EXPECT_EQ(test, 4, pin_user_pages_fast(k->uaddr, 4, FOLL_WRITE, pages));
	KUNIT_EXPECT_PTR_EQ(test, head, pages[0]);
	KUNIT_EXPECT_EQ(test, refs + 4, page_ref_count(head));
	KUNIT_EXPECT_EQ(test, pins + 4, head_compound_pincount(head));
	unpin_user_pages(pages, 4);
	KUNIT_EXPECT_EQ(test, refs, page_ref_count(head));
	KUNIT_EXPECT_EQ(test, pins, head_compound_pincount(head));
}

static void thp_pins_exhausted(struct kunit *test)
{
	struct page *head = map_thp(test);
	int pins = head_compound_pincount(head);

	expect_exhausted(test, head, 0);
	expect_exhausted(test, head + 3, P(3));
	KUNIT_EXPECT_EQ(test, pins, head_compound_pincount(head));
}

/* Extract from the huge page, into what may be a table with entries already */
static void expect_thp_bvecs(struct kunit *test, const struct variant *v, size_t start,
			     size_t len, struct bio_vec *bvecs, unsigned short *nr,
			     unsigned int max_bvecs, unsigned int expected_nr)
{
	struct iov_iter_kunit *k = test->priv;
	struct iov_iter iter;

	iter_init(k, &iter, v, &(struct segment){ start, len }, 1, 0);
	KUNIT_EXPECT_EQ(test, expected_nr ? (ssize_t)len : 0,
			iov_iter_extract_bvecs(&iter, bvecs, SIZE_MAX, nr, max_bvecs, 0,
					       v->flags));
	KUNIT_EXPECT_EQ(test, expected_nr ? 0 : len, iov_iter_count(&iter));
	if (expected_nr)
		KUNIT_EXPECT_EQ(test, expected_nr, *nr);
}

/* A huge page is one bio_vec, which grows if the next data adjoins it */
static void bvecs_thp(struct kunit *test)
{
	static const struct {
		size_t start, len;
		unsigned int max_bvecs, nr;	/* 0: refused, the table is full */
		int pins;			/* so far */
	} *c, cases[] = {
		{ P(2) + 0x200, P(5) - 0x200, 4, 1, 5 },
		{ P(7), P(2), 1, 1, 7 },	/* adjoins, also in a full table */
		{ P(9), 0x200, 1, 1, 8 },	/* adjoins, but ends early */
		/* goes on inside of the page: an entry and a pin of its own */
		{ P(9) + 0x200, 0x200, 2, 2, 9 },
		{ P(11), P(1), 3, 3, 10 },
		/* begins inside of the page that would adjoin */
		{ P(12) + 0x400, 0x400, 4, 4, 11 },
		{ P(20), P(1), 4, 0, 11 },	/* does not adjoin */
	};
	static const struct segment listed[4] = {
		{ P(2) + 0x200, P(7) }, { P(9) + 0x200, 0x200 },
		{ P(11), P(1) }, { P(12) + 0x400, 0x400 },
	};
	struct bio_vec bvecs[4], *bv;
	const struct variant *v;
	struct page *head;
	int refs, pins;
	unsigned short nr;

	head = map_thp(test);
	for (v = next_pinned_variant(NULL); v; v = next_pinned_variant(v)) {
		refs = page_ref_count(head);
		pins = head_compound_pincount(head);
		nr = 0;
		for (c = cases; c < cases + ARRAY_SIZE(cases); c++) {
			expect_thp_bvecs(test, v, c->start, c->len, bvecs, &nr, c->max_bvecs,
					 c->nr);
			KUNIT_EXPECT_EQ(test, refs + c->pins, page_ref_count(head));
			KUNIT_EXPECT_EQ(test, pins + c->pins, head_compound_pincount(head));
		}
		KUNIT_ASSERT_EQ(test, 4, nr);
		for (bv = bvecs; bv < bvecs + nr; bv++) {
			const struct segment *seg = &listed[bv - bvecs];

			KUNIT_EXPECT_PTR_EQ(test, head + seg->start / PAGE_SIZE, bv->bv_page);
			KUNIT_EXPECT_EQ(test, offset_in_page(seg->start), bv->bv_offset);
			KUNIT_EXPECT_EQ(test, seg->len, bv->bv_len);
		}

		/* an entry does not grow beyond the maximum of its length */
		bvecs[3].bv_offset = 0;
		bvecs[3].bv_len = UINT_MAX - P(1) + 1;
		bvecs[3].bv_page = head + 20 - bvecs[3].bv_len / PAGE_SIZE;
		expect_thp_bvecs(test, v, P(20), P(1), bvecs, &nr, 4, 0);
		bvec_set_page(&bvecs[3], head + 12, 0x400, 0x400);

		release_extracted_bvecs(bvecs, 4, FOLL_PIN, v->direction == ITER_DEST);
		KUNIT_EXPECT_EQ(test, refs, page_ref_count(head));
		KUNIT_EXPECT_EQ(test, pins, head_compound_pincount(head));
	}
}
#else
static void user_thp(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_TRANSPARENT_HUGEPAGE");
}

static void user_thp_by_ptes(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_TRANSPARENT_HUGEPAGE");
}

static void thp_pins_exhausted(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_TRANSPARENT_HUGEPAGE");
}

static void bvecs_thp(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_TRANSPARENT_HUGEPAGE");
}
#endif

/* The release by range: over several folios, inside of one, and with a mode of 0 */
static void release_range(struct kunit *test)
{
	static const struct {
		gfp_t gfp;
		unsigned int mode;
	} *c, cases[] = {
		{ GFP_KERNEL, FOLL_GET },
		{ GFP_KERNEL, 0 },
		{ GFP_KERNEL | __GFP_COMP, FOLL_GET },
		{ GFP_KERNEL | __GFP_COMP, 0 },
	};
	struct page *page;
	int n, refs;

	for (c = cases; c < cases + ARRAY_SIZE(cases); c++) {
		page = alloc_pages(c->gfp, MEMORY_ORDER);
		KUNIT_ASSERT_NOT_NULL(test, page);
		if (!(c->gfp & __GFP_COMP))
			split_page(page, MEMORY_ORDER);
		for (n = 1; n < 6 && c->mode; n++)
			get_page(page + n);

		release_extracted_range(page + 1, 5, c->mode, true);
		for (n = 0; n < NR_PAGES; n++) {
			bool released = PageCompound(page) || (n >= 1 && n < 6);

			refs = page_ref_count(compound_head(page + n));
			KUNIT_EXPECT_EQ_MSG(test, 1, refs, "page %d", n);
			/* with a mode of 0 it dirties nothing */
			KUNIT_EXPECT_EQ_MSG(test, released && c->mode, PageDirty(page + n),
					    "page %d", n);
		}
		for (n = 0; n < NR_PAGES; n++) {
			ClearPageDirty(compound_head(page + n));
			if (!PageCompound(page))
				__free_page(page + n);
		}
		if (PageCompound(page))
			__free_pages(page, MEMORY_ORDER);
	}
}

/* retain_extracted_page() by each mode: one release for each take */
static void retain_page(struct kunit *test)
{
	static const struct {
		gfp_t gfp;
		unsigned int mode;
		int refs, pins;		/* what one more take adds */
	} *c, cases[] = {
		{ GFP_KERNEL, 0, 0, 0 },
		{ GFP_KERNEL, FOLL_GET, 1, 0 },
		{ GFP_KERNEL, FOLL_PIN, GUP_PIN_COUNTING_BIAS, 0 },
		{ GFP_KERNEL | __GFP_COMP, 0, 0, 0 },
		{ GFP_KERNEL | __GFP_COMP, FOLL_GET, 1, 0 },
		{ GFP_KERNEL | __GFP_COMP, FOLL_PIN, 1, 1 },
	};
	struct page *page;
	int times;

	for (c = cases; c < cases + ARRAY_SIZE(cases); c++) {
		bool compound = c->gfp & __GFP_COMP;

		page = alloc_pages(c->gfp, compound ? MEMORY_ORDER : 0);
		KUNIT_ASSERT_NOT_NULL(test, page);
		/* of a compound page, one in the middle */
		for (times = 1; times <= 2; times++) {
			KUNIT_EXPECT_EQ(test, 0, retain_extracted_page(page + 2 * compound,
								       c->mode));
			KUNIT_EXPECT_EQ(test, 1 + times * c->refs, page_ref_count(page));
			if (compound)
				KUNIT_EXPECT_EQ(test, times * c->pins,
						head_compound_pincount(page));
		}
		for (times = 0; times < 2; times++)
			release_extracted_range(page + 2 * compound, 1, c->mode, false);
		KUNIT_EXPECT_EQ(test, 1, page_ref_count(page));
		if (compound)
			KUNIT_EXPECT_EQ(test, 0, head_compound_pincount(page));
		__free_pages(page, compound ? MEMORY_ORDER : 0);
	}

	/* Without a compound page, only the first of two has a reference to give. */
	page = alloc_pages(GFP_KERNEL, 1);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_EQ(test, FOLL_GET, retain_listed_page(page));
	KUNIT_EXPECT_EQ(test, 2, page_ref_count(page));
	release_extracted_range(page, 1, FOLL_GET, false);
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(page));
	KUNIT_EXPECT_EQ(test, 0, retain_listed_page(page + 1));
	KUNIT_EXPECT_EQ(test, 0, page_ref_count(page + 1));
	__free_pages(page, 1);

	/* The zero page is not pinned, and its count does not move. */
	times = page_ref_count(ZERO_PAGE(0));
	KUNIT_EXPECT_EQ(test, 0, retain_extracted_page(ZERO_PAGE(0), FOLL_PIN));
	KUNIT_EXPECT_EQ(test, times, page_ref_count(ZERO_PAGE(0)));
	release_extracted_range(ZERO_PAGE(0), 1, FOLL_PIN, false);
	KUNIT_EXPECT_EQ(test, times, page_ref_count(ZERO_PAGE(0)));
}

static struct page *kernel_page(const void *kaddr)
{
	return is_vmalloc_or_module_addr(kaddr) ? vmalloc_to_page(kaddr) : virt_to_page(kaddr);
}

static u8 static_memory[3 * PAGE_SIZE] __aligned(16);

/* Slab, vmalloc, stack and static memory: listed, without a change of counts */
static void kvec_memory(struct kunit *test)
{
	u8 stack[96];
	struct {
		const char *name;
		u8 *kaddr;
		size_t size;
	} *m, memory[] = {
		{ "kmalloc", kunit_kzalloc(test, 200, GFP_KERNEL), 200 },
		{ "kmalloc, pages", kunit_kzalloc(test, P(3), GFP_KERNEL), P(3) },
		{ "vmalloc", vmalloc(P(3)), P(3) },
		{ "stack", stack, sizeof(stack) },
		{ "static", static_memory, sizeof(static_memory) },
	};
	struct kvec kvec;
	struct iov_iter iter;
	struct page **pages;
	int n, nr, refs;

	for (m = memory; m < memory + ARRAY_SIZE(memory); m++) {
		KUNIT_ASSERT_NOT_NULL_MSG(test, m->kaddr, "%s", m->name);
		kvec.iov_base = m->kaddr + 13;
		kvec.iov_len = m->size - 13;
		iov_iter_kvec(&iter, ITER_DEST, &kvec, 1, kvec.iov_len);
		refs = page_ref_count(kernel_page(kvec.iov_base));
		pages = expect_pages(test, &iter, 0, kvec.iov_len,
				     offset_in_page(kvec.iov_base));
		nr = DIV_ROUND_UP(offset_in_page(kvec.iov_base) + kvec.iov_len, PAGE_SIZE);
		for (n = 0; n < nr; n++)
			KUNIT_EXPECT_PTR_EQ_MSG(test, pages[n],
						kernel_page(kvec.iov_base + P(n)),
						"%s: page %d", m->name, n);
		KUNIT_EXPECT_EQ_MSG(test, refs, page_ref_count(pages[0]), "%s", m->name);
		kvfree(pages);
	}
	vfree(memory[2].kaddr);
}

/* Addresses without a page: an error at the start, else the end of the list */
static void kvec_no_page(struct kunit *test)
{
	struct kvec kvec[2];
	struct iov_iter iter;
	struct page **pages;
	u8 *kaddr;

	kaddr = vmalloc(P(1));
	KUNIT_ASSERT_NOT_NULL(test, kaddr);
	/* the guard page follows */
	kvec[0] = (struct kvec){ kaddr + 5, P(2) - 5 };
	iov_iter_kvec(&iter, ITER_SOURCE, kvec, 1, P(2) - 5);
	pages = expect_pages(test, &iter, 0, P(1) - 5, 5);
	KUNIT_EXPECT_PTR_EQ(test, pages[0], vmalloc_to_page(kaddr));
	kvfree(pages);
	expect_error(test, &iter, 0, -EFAULT);

	kvec[0] = (struct kvec){ kaddr, P(1) };
	kvec[1] = (struct kvec){ kaddr + P(1), P(1) };
	iov_iter_kvec(&iter, ITER_SOURCE, kvec, 2, P(2));
	kvfree(expect_pages(test, &iter, 0, P(1), 0));
	expect_error(test, &iter, 0, -EFAULT);
	vfree(kaddr);

	if (IS_ENABLED(CONFIG_X86_64)) {
		kvec[0] = (struct kvec){ (void *)PAGE_SIZE, P(1) };
		iov_iter_kvec(&iter, ITER_SOURCE, kvec, 1, P(1));
		expect_error(test, &iter, 0, -EFAULT);
	}
}

#ifdef CONFIG_BLOCK
/* A bio refuses KVEC, because it does not flush the kernel's mapping */
static void kvec_bio(struct kunit *test)
{
	struct kvec kvec = { static_memory, 512 };
	struct iov_iter iter;
	struct bio_vec bvec;
	struct bio bio;

	bio_init(&bio, NULL, &bvec, 1, REQ_OP_READ);
	iov_iter_kvec(&iter, ITER_DEST, &kvec, 1, 512);
	KUNIT_EXPECT_EQ(test, -EFAULT, bio_iov_iter_get_pages(&bio, &iter));
	KUNIT_EXPECT_EQ(test, 512, iov_iter_count(&iter));
	KUNIT_EXPECT_EQ(test, 0, bio.bi_vcnt);
	bio_uninit(&bio);
}
#else
static void kvec_bio(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_BLOCK");
}
#endif

#ifdef CONFIG_HIGHMEM
static void kvec_kmap(struct kunit *test)
{
	struct page *page = alloc_page(GFP_HIGHUSER);
	struct iov_iter iter;
	struct kvec kvec;

	KUNIT_ASSERT_NOT_NULL(test, page);
	if (!PageHighMem(page)) {
		__free_page(page);
		kunit_skip(test, "no page in high memory was to be had");
	}
	kvec = (struct kvec){ kmap_high(page), PAGE_SIZE };
	iov_iter_kvec(&iter, ITER_SOURCE, &kvec, 1, PAGE_SIZE);
	expect_error(test, &iter, 0, -EFAULT);
	kunmap_high(page);

	kvec.iov_base = kmap_local_page(page);
	iov_iter_kvec(&iter, ITER_SOURCE, &kvec, 1, PAGE_SIZE);
	expect_error(test, &iter, 0, -EFAULT);
	kunmap_local(kvec.iov_base);
	__free_page(page);
}
#else
static void kvec_kmap(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_HIGHMEM");
}
#endif

/* Bio_vecs whose pages are in different folios */
static void bvec_folios(struct kunit *test)
{
	struct page *page[2], **pages;
	struct bio_vec bvec[2];
	struct iov_iter iter;
	int n;

	for (n = 0; n < 2; n++) {
		page[n] = alloc_pages(GFP_KERNEL | __GFP_COMP, 2);
		KUNIT_ASSERT_NOT_NULL(test, page[n]);
	}
	bvec_set_page(&bvec[0], page[0] + 1, P(2) + 0x10, P(1) - 0x10);
	bvec_set_page(&bvec[1], page[1], P(1), P(2));
	iov_iter_bvec(&iter, ITER_DEST, bvec, 2, P(3) + 0x10);
	pages = expect_pages(test, &iter, 0, P(3) + 0x10, P(1) - 0x10);
	KUNIT_EXPECT_PTR_EQ(test, pages[0], page[0] + 1);
	KUNIT_EXPECT_PTR_EQ(test, pages[1], page[0] + 2);
	KUNIT_EXPECT_PTR_EQ(test, pages[2], page[0] + 3);
	KUNIT_EXPECT_PTR_EQ(test, pages[3], page[1] + 2);
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(page[0]));
	kvfree(pages);
	for (n = 0; n < 2; n++)
		__free_pages(page[n], 2);
}

/* No call lists more than MAX_RW_COUNT, and the offset is not part of that */
static void bvec_max_rw_count(struct kunit *test)
{
	struct bio_vec bvec;
	struct iov_iter iter;
	struct page *page;

	if (!IS_ENABLED(CONFIG_SPARSEMEM_VMEMMAP) && !IS_ENABLED(CONFIG_FLATMEM))
		kunit_skip(test, "needs struct pages that are one array");
	page = alloc_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, page);
	/* only the first page is there: the others are listed, never looked at */
	bvec_set_page(&bvec, page, UINT_MAX, 0x123);
	iov_iter_bvec(&iter, ITER_SOURCE, &bvec, 1, UINT_MAX);
	kvfree(expect_pages(test, &iter, 0, MAX_RW_COUNT, 0x123));
	KUNIT_EXPECT_EQ(test, UINT_MAX - MAX_RW_COUNT, iov_iter_count(&iter));
	__free_page(page);
}

/* Holes, value and zero entries: an error at the start, else the end of the list */
static void xarray_holes(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	struct iov_iter iter;
	struct page **pages;
	int what;

	memory_init(test, XARRAY);
	for (what = 0; what < 3; what++) {
		void *entry = what == 1 ? xa_mk_value(17) : what == 2 ? XA_ZERO_ENTRY : NULL;

		if (entry)
			xa_store(&k->xarray, XA_FIRST + 3, entry, GFP_KERNEL);
		else
			xa_erase(&k->xarray, XA_FIRST + 3);

		/* in the middle, then first; with and without an offset */
		iov_iter_xarray(&iter, ITER_DEST, &k->xarray, P(XA_FIRST) + 0x21, P(6));
		pages = expect_pages(test, &iter, 0, P(3) - 0x21, 0x21);
		KUNIT_EXPECT_PTR_EQ(test, k->pages[2], pages[2]);
		kvfree(pages);
		expect_error(test, &iter, 0, -EFAULT);
		iov_iter_xarray(&iter, ITER_DEST, &k->xarray, P(XA_FIRST + 3) + 0x21, P(2));
		expect_error(test, &iter, 0, -EFAULT);

		/* behind it, up to the last entry */
		iov_iter_xarray(&iter, ITER_DEST, &k->xarray, P(XA_FIRST + 4) + 1, P(20));
		pages = expect_pages(test, &iter, 0, P(4) - 1, 1);
		KUNIT_EXPECT_PTR_EQ(test, k->pages[7], pages[3]);
		kvfree(pages);
		expect_error(test, &iter, 0, -EFAULT);
	}
	/* an empty array, and one with a single entry at index 0 */
	xa_destroy(&k->xarray);
	iov_iter_xarray(&iter, ITER_SOURCE, &k->xarray, 5, P(1));
	expect_error(test, &iter, 0, -EFAULT);
	xa_store(&k->xarray, 0, k->pages[5], GFP_KERNEL);
	pages = expect_pages(test, &iter, 0, P(1) - 5, 5);
	KUNIT_EXPECT_PTR_EQ(test, k->pages[5], pages[0]);
	kvfree(pages);
}

/* Large folios in one entry each: from their middle, across, to their middle */
static void xarray_large_folios(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	static const struct {
		size_t start, len;
		unsigned int first, nr;
	} *c, cases[] = {
		{ P(8), P(8), 0, 8 },
		{ P(8) + 0x10, P(4), 0, 5 },
		{ P(10) + 0x10, P(1) - 0x10, 2, 1 },
		{ P(11), P(1), 3, 1 },
		{ P(11), P(2), 3, 2 },
		{ P(11) + 9, P(4), 3, 5 },
		{ P(14) + 9, P(3) - 9, 6, 3 },
	};
	struct folio *folio[2];
	struct iov_iter iter;
	struct page **pages, *small;
	int n;

	if (!IS_ENABLED(CONFIG_XARRAY_MULTI))
		kunit_skip(test, "needs CONFIG_XARRAY_MULTI");
	/* two folios of four pages at 8 and 12, a page at 16 */
	for (n = 0; n < 2; n++) {
		XA_STATE_ORDER(xas, &k->xarray, (8 + 4 * n), 2);

		folio[n] = page_folio(alloc_pages(GFP_KERNEL | __GFP_COMP, 2));
		KUNIT_ASSERT_NOT_NULL(test, folio[n]);
		do {
			xas_lock(&xas);
			xas_store(&xas, folio[n]);
			xas_unlock(&xas);
		} while (xas_nomem(&xas, GFP_KERNEL));
		KUNIT_ASSERT_EQ(test, 0, xas_error(&xas));
	}
	small = alloc_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, small);
	xa_store(&k->xarray, 16, small, GFP_KERNEL);

	for (c = cases; c < cases + ARRAY_SIZE(cases); c++) {
		iov_iter_xarray(&iter, ITER_DEST, &k->xarray, c->start, c->len);
		pages = expect_pages(test, &iter, 0, c->len, offset_in_page(c->start));
		for (n = 0; n < c->nr; n++) {
			unsigned int at = c->first + n;

			KUNIT_EXPECT_PTR_EQ_MSG(test, pages[n], at == 8 ? small :
						folio_page(folio[at / 4], at % 4),
						"case %td, entry %d", c - cases, n);
		}
		kvfree(pages);
	}
	xa_destroy(&k->xarray);
	for (n = 0; n < 2; n++)
		__free_pages(&folio[n]->page, 2);
	__free_page(small);
}

/* References to pages that a call appends to a pipe outlive a revert */
static void pipe_extract(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	struct page **pages;
	struct iov_iter iter;
	u8 byte[100];
	int n;

	k->pipe = alloc_pipe_info();
	KUNIT_ASSERT_NOT_NULL(test, k->pipe);
	iov_iter_pipe(&iter, ITER_DEST, k->pipe, P(3) + 200);
	KUNIT_EXPECT_EQ(test, FOLL_GET, iov_iter_extract_mode(&iter, 0));
	KUNIT_EXPECT_EQ(test, FOLL_GET, iov_iter_extract_mode(&iter, ITER_PIN_SOURCE));

	/* go on in the page that a copy has begun */
	memset(byte, 0x77, sizeof(byte));
	KUNIT_ASSERT_EQ(test, 100, copy_to_iter(byte, 100, &iter));
	pages = expect_pages(test, &iter, 0, P(3) + 100, 100);
	KUNIT_EXPECT_EQ(test, 0, iov_iter_count(&iter));
	KUNIT_EXPECT_EQ(test, 4, pipe_occupancy(k->pipe->head, k->pipe->tail));
	for (n = 0; n < 4; n++) {
		KUNIT_EXPECT_PTR_EQ(test, pages[n], k->pipe->bufs[n].page);
		KUNIT_EXPECT_EQ(test, n < 3 ? PAGE_SIZE : 200, k->pipe->bufs[n].len);
		KUNIT_EXPECT_EQ_MSG(test, 2, page_ref_count(pages[n]), "page %d", n);
	}
	KUNIT_EXPECT_EQ(test, 0x77, *(u8 *)page_address(pages[0]));

	/* a revert takes pages out of the pipe; the list still holds them */
	iov_iter_revert(&iter, P(3) + 100);
	KUNIT_EXPECT_EQ(test, 1, pipe_occupancy(k->pipe->head, k->pipe->tail));
	KUNIT_EXPECT_EQ(test, 100, k->pipe->bufs[0].len);
	KUNIT_EXPECT_EQ(test, 2, page_ref_count(pages[0]));
	for (n = 1; n < 4; n++)
		KUNIT_ASSERT_EQ_MSG(test, 1, page_ref_count(pages[n]), "page %d", n);
	release_extracted_pages(pages, 4, FOLL_GET, false);
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(k->pipe->bufs[0].page));
	kvfree(pages);

	/* and it can go on from there, with limits */
	pages = NULL;
	KUNIT_EXPECT_EQ(test, P(2) - 100,
			iov_iter_extract_pages(&iter, &pages, P(3), 2, 0, &(size_t){ 0 }));
	KUNIT_EXPECT_EQ(test, P(1) + 200, iov_iter_count(&iter));
	release_extracted_pages(pages, 2, FOLL_GET, false);
	kvfree(pages);
	KUNIT_EXPECT_EQ(test, 1, copy_to_iter(byte, 1, &iter));
	KUNIT_EXPECT_EQ(test, 3, pipe_occupancy(k->pipe->head, k->pipe->tail));
}

/* A pipe takes as many pages as it has room for, then none */
static void pipe_full_error(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	unsigned int room;
	struct page **pages;
	struct iov_iter iter;

	k->pipe = alloc_pipe_info();
	KUNIT_ASSERT_NOT_NULL(test, k->pipe);
	room = k->pipe->max_usage;
	iov_iter_pipe(&iter, ITER_DEST, k->pipe, P(room + 2));
	expect_error(test, &iter, 0x80, -EINVAL);
	expect_error(test, &iter, ITER_ALLOW_P2PDMA, -EIO);
	pages = expect_pages(test, &iter, 0, P(room), 0);
	release_extracted_pages(pages, room, FOLL_GET, false);
	kvfree(pages);
	expect_error(test, &iter, 0, -EFAULT);
	KUNIT_EXPECT_EQ(test, P(2), iov_iter_count(&iter));
}

static int iov_iter_kunit_init(struct kunit *test)
{
	struct iov_iter_kunit *k = kunit_kzalloc(test, sizeof(*k), GFP_KERNEL);

	if (!k)
		return -ENOMEM;
	k->image = vmalloc(2 * MEMORY_SIZE);
	if (!k->image)
		return -ENOMEM;
	k->scratch = k->image + MEMORY_SIZE;
	xa_init(&k->xarray);
	test->priv = k;
	return 0;
}

static void iov_iter_kunit_exit(struct kunit *test)
{
	struct iov_iter_kunit *k = test->priv;
	int n;

	if (!k)
		return;
	if (k->kaddr)
		vunmap(k->kaddr);
	vfree(k->image);
	xa_destroy(&k->xarray);
	if (k->compound)
		__free_pages(k->pages[0], MEMORY_ORDER);
	else
		for (n = 0; n < NR_PAGES && !k->user; n++)
			if (k->pages[n])
				__free_page(k->pages[n]);
	if (k->pipe)
		free_pipe_info(k->pipe);
	/* A thread that was aborted by an assertion has left its mm already. */
	if (k->mm && current->mm == k->mm) {
		kthread_unuse_mm(k->mm);
		mmput(k->mm);
	}
}

static struct kunit_case iov_iter_kunit_cases[] = {
	KUNIT_CASE_PARAM(copy, param_next),
	KUNIT_CASE_PARAM(extract_pages, param_next),
	KUNIT_CASE(reject_flags),
	KUNIT_CASE(reject_discard),
	KUNIT_CASE(reject_empty_segments),
	KUNIT_CASE(user_unmapped),
	KUNIT_CASE(user_unmapped_segment),
	KUNIT_CASE(user_read_only),
	KUNIT_CASE(user_zero_page),
	KUNIT_CASE(user_nofault),
	KUNIT_CASE(user_fault_in),
	KUNIT_CASE(user_killed),
	KUNIT_CASE(user_array_freed),
	KUNIT_CASE(user_file),
	KUNIT_CASE(user_thp),
	KUNIT_CASE(user_thp_by_ptes),
	KUNIT_CASE_PARAM(extract_bvecs, bvecs_param_next),
	KUNIT_CASE(bvecs_reject),
	KUNIT_CASE(bvecs_limits),
	KUNIT_CASE(bvecs_alignment),
	KUNIT_CASE(bvecs_untouched),
	KUNIT_CASE(bvecs_during_fork),
	KUNIT_CASE(pins_exhausted),
	KUNIT_CASE(thp_pins_exhausted),
	KUNIT_CASE(bvecs_thp),
	KUNIT_CASE(release_range),
	KUNIT_CASE(retain_page),
	KUNIT_CASE(kvec_memory),
	KUNIT_CASE(kvec_no_page),
	KUNIT_CASE(kvec_bio),
	KUNIT_CASE(kvec_kmap),
	KUNIT_CASE(bvec_folios),
	KUNIT_CASE(bvec_max_rw_count),
	KUNIT_CASE(xarray_holes),
	KUNIT_CASE(xarray_large_folios),
	KUNIT_CASE(pipe_extract),
	KUNIT_CASE(pipe_full_error),
	{}
};

static struct kunit_suite iov_iter_kunit_suite = {
	.name = "iov_iter",
	.init = iov_iter_kunit_init,
	.exit = iov_iter_kunit_exit,
	.test_cases = iov_iter_kunit_cases,
};

kunit_test_suites(&iov_iter_kunit_suite);
