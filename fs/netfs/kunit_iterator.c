// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the functions by which network filesystems extract an iterator.
 *
 * Run on x86_64 under QEMU, or without --arch on UML, with FSCACHE or a filesystem
 * that uses netfs, by
 *
 *	./tools/testing/kunit/kunit.py run --arch x86_64 netfs_iterator \
 *		--kconfig_add CONFIG_FSCACHE=y \
 *		--kconfig_add CONFIG_NETFS_ITERATOR_KUNIT_TEST=y
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <kunit/test.h>
#include <linux/bvec.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/netfs.h>
#include <linux/scatterlist.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/uio.h>
#include <linux/xarray.h>

#define NR_PAGES	6		/* of the memory of the iterators */
#define HOLE		4		/* this page of user memory is not mapped */
#define MAX_SEGS	4
#define MAX_ENTS	8
#define P(n)		((n) * PAGE_SIZE)
#define ANY		UINT_MAX	/* no limit to the entries */

struct netfs_iterator_kunit {
	struct mm_struct *mm;
	unsigned long uaddr;
	struct page *pages[NR_PAGES];
	struct page *compound;		/* the pages, if they are not a user's */
	int refs[NR_PAGES];		/* of each page, before the extraction */
	struct iovec iov[MAX_SEGS];
	struct kvec kvec[MAX_SEGS];
	struct bio_vec bvec[MAX_SEGS];
	struct xarray xarray;
};

struct segment {
	size_t start;			/* offset into the memory */
	size_t len;
};

struct entry {
	u8 page;
	size_t offset;
	size_t len;
};

/*
 * A row gives the segments, and the result that a call must have.  Rows are for both
 * functions and for user and kernel memory; those with the hole for user memory only.
 */
static const struct row {
	const char *name;
	unsigned int nr_segs;
	struct segment seg[MAX_SEGS];
	size_t advance;
	size_t maxsize;
	bool hole;
	ssize_t result;
	unsigned int nr;		/* entries, if their number has no limit */
	struct entry ent[MAX_ENTS];
} rows[] = {
	{
		"one page", 1, { { P(0), P(1) } }, 0, SIZE_MAX, false,
		P(1), 1, { { 0, 0, P(1) } }
	}, {
		"one byte", 1, { { P(1) + 5, 1 } }, 0, SIZE_MAX, false,
		1, 1, { { 1, 5, 1 } }
	}, {
		"unaligned at both ends", 1, { { 100, P(2) } }, 0, SIZE_MAX, false,
		P(2), 3, { { 0, 100, P(1) - 100 }, { 1, 0, P(1) }, { 2, 0, 100 } }
	}, {
		"less is asked for", 1, { { 100, P(2) } }, 0, P(1), false,
		P(1), 2, { { 0, 100, P(1) - 100 }, { 1, 0, 100 } }
	}, {
		"nothing is asked for", 1, { { 100, P(2) } }, 0, 0, false, 0
	}, {
		"nothing is left", 1, { { 100, P(2) } }, P(2), SIZE_MAX, false, 0
	}, {
		"from inside the segment", 1, { { 0, P(3) } }, P(1) + 7, SIZE_MAX, false,
		P(2) - 7, 2, { { 1, 7, P(1) - 7 }, { 2, 0, P(1) } }
	}, {
		"two segments that join", 2, { { P(0) + 9, P(1) - 9 }, { P(1), P(1) } },
		0, SIZE_MAX, false,
		P(2) - 9, 2, { { 0, 9, P(1) - 9 }, { 1, 0, P(1) } }
	}, {
		"two segments in one page", 2, { { 16, 32 }, { 48, 64 } }, 0, SIZE_MAX, false,
		96, 2, { { 0, 16, 32 }, { 0, 48, 64 } }
	}, {
		"segments apart, empty ones between", 4,
		{ { P(3) + 1, 2 }, { P(1), 0 }, { P(0), P(2) }, { P(2) + 8, 8 } },
		0, SIZE_MAX, false, P(2) + 10, 4,
		{ { 3, 1, 2 }, { 0, 0, P(1) }, { 1, 0, P(1) }, { 2, 8, 8 } }
	}, {
		"a limit inside the second segment", 2, { { 16, 32 }, { P(2), P(2) } },
		0, P(1) + 40, false, P(1) + 40, 3,
		{ { 0, 16, 32 }, { 2, 0, P(1) }, { 3, 0, 8 } }
	}, {
		"ends at the hole", 1, { { P(2) + 1, P(3) } }, 0, SIZE_MAX, true,
		P(2) - 1, 2, { { 2, 1, P(1) - 1 }, { 3, 0, P(1) } }
	}, {
		"the second segment is in the hole", 3,
		{ { P(1) + 1, 10 }, { P(4), P(1) }, { P(0), P(1) } }, 0, SIZE_MAX, true,
		10, 1, { { 1, 1, 10 } }
	}, {
		"begins in the hole", 1, { { P(4), P(2) } }, 0, SIZE_MAX, true, -EFAULT
	},
};

static const struct variant {
	const char *name;
	enum iter_type type;
	unsigned int direction;
	unsigned int flags;
	unsigned int mode;
} variants[] = {
	{ "ubuf destination", ITER_UBUF, ITER_DEST, 0, FOLL_PIN },
	{ "ubuf pinned source", ITER_UBUF, ITER_SOURCE, ITER_PIN_SOURCE, FOLL_PIN },
	{ "iovec destination", ITER_IOVEC, ITER_DEST, ITER_PIN_SOURCE, FOLL_PIN },
	{ "iovec source", ITER_IOVEC, ITER_SOURCE, 0, FOLL_GET },
	{ "iovec pinned source", ITER_IOVEC, ITER_SOURCE, ITER_PIN_SOURCE, FOLL_PIN },
	{ "bvec destination", ITER_BVEC, ITER_DEST, 0, 0 },
	{ "bvec source", ITER_BVEC, ITER_SOURCE, ITER_PIN_SOURCE, 0 },
	{ "kvec destination", ITER_KVEC, ITER_DEST, ITER_PIN_SOURCE, 0 },
	{ "kvec source", ITER_KVEC, ITER_SOURCE, 0, 0 },
	{ "xarray destination", ITER_XARRAY, ITER_DEST, ITER_PIN_SOURCE, 0 },
	{ "xarray source", ITER_XARRAY, ITER_SOURCE, 0, 0 },
};

struct param {
	const struct row *row;
	const struct variant *variant;
};

static bool user_memory(const struct variant *v)
{
	return v->type == ITER_UBUF || v->type == ITER_IOVEC;
}

static bool makes_sense(const struct row *row, const struct variant *v)
{
	return (user_memory(v) || !row->hole) &&
	       (row->nr_segs == 1 || (v->type != ITER_UBUF && v->type != ITER_XARRAY));
}

static const void *param_next(const void *prev, char *desc)
{
	static struct param params[ARRAY_SIZE(rows) * ARRAY_SIZE(variants)];
	unsigned int i = prev ? (struct param *)prev - params + 1 : 0;

	for (; i < ARRAY_SIZE(params); i++) {
		params[i].row = &rows[i / ARRAY_SIZE(variants)];
		params[i].variant = &variants[i % ARRAY_SIZE(variants)];
		if (!makes_sense(params[i].row, params[i].variant))
			continue;
		snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s: %s", params[i].variant->name,
			 params[i].row->name);
		return &params[i];
	}
	return NULL;
}

/* A user address space of our own for the thread that runs the test */
static void user_init(struct kunit *test)
{
	struct netfs_iterator_kunit *k = test->priv;
	unsigned int n;

	KUNIT_ASSERT_NULL(test, current->mm);
	k->mm = mm_alloc();
	KUNIT_ASSERT_NOT_NULL(test, k->mm);
	k->mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(k->mm, &current->signal->rlim[RLIMIT_STACK]);
	kthread_use_mm(k->mm);
	k->uaddr = vm_mmap(NULL, 0, P(NR_PAGES), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(k->uaddr));
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(k->uaddr + P(HOLE), P(1)));
	for (n = 0; n < NR_PAGES; n++) {
		if (n == HOLE)
			continue;
		KUNIT_ASSERT_EQ(test, 1, get_user_pages_fast(k->uaddr + P(n), 1,
							     FOLL_WRITE, &k->pages[n]));
		put_page(k->pages[n]);
	}
	lru_add_drain_all();
}

static void kernel_init(struct kunit *test)
{
	struct netfs_iterator_kunit *k = test->priv;
	unsigned int n;

	k->compound = alloc_pages(GFP_KERNEL | __GFP_COMP, get_order(P(NR_PAGES)));
	KUNIT_ASSERT_NOT_NULL(test, k->compound);
	xa_init(&k->xarray);
	for (n = 0; n < NR_PAGES; n++) {
		k->pages[n] = nth_page(k->compound, n);
		KUNIT_ASSERT_NULL(test, xa_store(&k->xarray, n, k->compound, GFP_KERNEL));
	}
}

/* The iterator of a row, and what the counts of the pages are before */
static void iter_init(struct kunit *test, struct iov_iter *iter,
		      const struct row *row, const struct variant *v)
{
	struct netfs_iterator_kunit *k = test->priv;
	size_t count = 0;
	unsigned int n;

	if (!k->pages[0]) {
		if (user_memory(v))
			user_init(test);
		else
			kernel_init(test);
		for (n = 0; n < NR_PAGES; n++)
			k->refs[n] = k->pages[n] ? page_ref_count(k->pages[n]) : 0;
	}
	for (n = 0; n < row->nr_segs; n++) {
		const struct segment *s = &row->seg[n];

		if (user_memory(v)) {
			k->iov[n].iov_base = (void __user *)(k->uaddr + s->start);
			k->iov[n].iov_len = s->len;
		} else if (v->type == ITER_KVEC) {
			k->kvec[n].iov_base = page_address(k->pages[0]) + s->start;
			k->kvec[n].iov_len = s->len;
		} else {
			k->bvec[n].bv_page = k->pages[s->start / PAGE_SIZE];
			k->bvec[n].bv_offset = offset_in_page(s->start);
			k->bvec[n].bv_len = s->len;
		}
		count += s->len;
	}
	switch (v->type) {
	case ITER_UBUF:
		iov_iter_ubuf(iter, v->direction, k->iov[0].iov_base, count);
		break;
	case ITER_IOVEC:
		iov_iter_init(iter, v->direction, k->iov, row->nr_segs, count);
		break;
	case ITER_KVEC:
		iov_iter_kvec(iter, v->direction, k->kvec, row->nr_segs, count);
		break;
	case ITER_XARRAY:
		iov_iter_xarray(iter, v->direction, &k->xarray, row->seg[0].start, count);
		break;
	default:
		iov_iter_bvec(iter, v->direction, k->bvec, row->nr_segs, count);
		break;
	}
	iov_iter_advance(iter, row->advance);
}

static int refs_of_mode(unsigned int mode)
{
	return mode == FOLL_PIN ? GUP_PIN_COUNTING_BIAS : mode == FOLL_GET ? 1 : 0;
}

/* Each page is held once for each of the first @nr entries of the row, by the mode. */
static void expect_held(struct kunit *test, const struct row *row, unsigned int nr,
			unsigned int mode)
{
	struct netfs_iterator_kunit *k = test->priv;
	unsigned int n, e;
	int refs;

	for (n = 0; n < NR_PAGES; n++) {
		if (!k->pages[n])
			continue;
		refs = k->refs[n];
		for (e = 0; e < nr; e++)
			if (row->ent[e].page == n)
				refs += refs_of_mode(mode);
		KUNIT_EXPECT_EQ_MSG(test, refs, page_ref_count(k->pages[n]), "page %u", n);
	}
}

static void expect_entry(struct kunit *test, const struct row *row, unsigned int e,
			 struct page *page, size_t offset, size_t len)
{
	struct netfs_iterator_kunit *k = test->priv;

	KUNIT_EXPECT_PTR_EQ_MSG(test, k->pages[row->ent[e].page], page, "entry %u", e);
	KUNIT_EXPECT_EQ_MSG(test, row->ent[e].offset, offset, "entry %u", e);
	KUNIT_EXPECT_EQ_MSG(test, row->ent[e].len, len, "entry %u", e);
}

/* Pages of a user that were clean are dirty after a release with @dirty */
static void clear_dirty(struct kunit *test)
{
	struct netfs_iterator_kunit *k = test->priv;
	unsigned int n;

	for (n = 0; n < NR_PAGES; n++)
		if (k->mm && k->pages[n])
			ClearPageDirty(k->pages[n]);
}

static void expect_dirty(struct kunit *test, const struct row *row, bool dirty)
{
	struct netfs_iterator_kunit *k = test->priv;
	unsigned int e;

	for (e = 0; k->mm && e < row->nr; e++)
		KUNIT_EXPECT_EQ_MSG(test, dirty, PageDirty(k->pages[row->ent[e].page]),
				    "entry %u", e);
}

static void user_iter(struct kunit *test)
{
	const struct param *p = test->param_value;
	struct netfs_extracted_iter xi;
	struct iov_iter iter;
	size_t count;
	unsigned int e;
	ssize_t ret;

	if (!user_memory(p->variant))
		kunit_skip(test, "only for user memory");
	iter_init(test, &iter, p->row, p->variant);
	count = iov_iter_count(&iter);
	memset(&xi, 0x5a, sizeof(xi));
	ret = netfs_extract_user_iter(&iter, p->row->maxsize, p->variant->flags, &xi);
	KUNIT_EXPECT_EQ(test, p->row->result, ret);
	KUNIT_EXPECT_EQ(test, count - max_t(ssize_t, ret, 0), iov_iter_count(&iter));
	KUNIT_ASSERT_EQ(test, p->row->nr, xi.nr_bv);
	expect_held(test, p->row, p->row->nr, p->variant->mode);
	if (ret > 0) {
		KUNIT_EXPECT_EQ(test, p->variant->mode, xi.mode);
		KUNIT_EXPECT_TRUE(test, iov_iter_is_bvec(&xi.iter));
		KUNIT_EXPECT_EQ(test, p->variant->direction, iov_iter_rw(&xi.iter));
		KUNIT_EXPECT_EQ(test, ret, iov_iter_count(&xi.iter));
		KUNIT_EXPECT_PTR_EQ(test, (const struct bio_vec *)xi.bv, xi.iter.bvec);
		KUNIT_EXPECT_EQ(test, (unsigned long)xi.nr_bv, xi.iter.nr_segs);
	} else {
		KUNIT_EXPECT_NULL(test, xi.bv);
	}
	for (e = 0; e < xi.nr_bv; e++)
		expect_entry(test, p->row, e, xi.bv[e].bv_page, xi.bv[e].bv_offset,
			     xi.bv[e].bv_len);
	clear_dirty(test);
	netfs_release_extracted_iter(&xi, p->variant->direction == ITER_DEST);
	KUNIT_EXPECT_NULL(test, xi.bv);
	expect_dirty(test, p->row, p->variant->direction == ITER_DEST);
	expect_held(test, p->row, 0, 0);
	/* A second release gives nothing back. */
	netfs_release_extracted_iter(&xi, false);
	expect_held(test, p->row, 0, 0);
}

/* Entries in use: they must stay, and they count when the table gets full. */
#define BEFORE		2

static struct page *const before = (struct page *)0x5a5a00UL;

static void table_init(struct kunit *test, struct sg_table *sgt, unsigned int used,
		       unsigned int room)
{
	unsigned int n;

	memset(sgt, 0, sizeof(*sgt));
	sgt->sgl = kunit_kcalloc(test, used + room + 1, sizeof(*sgt->sgl), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, sgt->sgl);
	sg_init_table(sgt->sgl, used + room + 1);
	sgt->orig_nents = used + room;
	for (n = 0; n < used + room + 1; n++)
		sg_set_page(&sgt->sgl[n], before, 1, n);
	sgt->nents = used;
}

static void expect_untouched(struct kunit *test, struct sg_table *sgt, unsigned int n)
{
	KUNIT_EXPECT_PTR_EQ_MSG(test, before, sg_page(&sgt->sgl[n]), "entry %u", n);
	KUNIT_EXPECT_EQ_MSG(test, 1U, sgt->sgl[n].length, "entry %u", n);
	KUNIT_EXPECT_EQ_MSG(test, n, sgt->sgl[n].offset, "entry %u", n);
}

/* @limit entries at most: by the argument, or by the room that the table has */
static void sg_limited(struct kunit *test, unsigned int used, unsigned int limit,
		       bool by_room)
{
	const struct param *p = test->param_value;
	unsigned int e, nr = min(p->row->nr, limit);
	struct sg_table sgt;
	struct iov_iter iter;
	ssize_t ret, want = 0;
	size_t count;

	iter_init(test, &iter, p->row, p->variant);
	count = iov_iter_count(&iter);
	table_init(test, &sgt, used, by_room ? limit : MAX_ENTS);
	ret = netfs_extract_iter_to_sg(&iter, p->row->maxsize, by_room ? ANY : limit,
				       p->variant->flags, &sgt);
	for (e = 0; e < nr; e++)
		want += p->row->ent[e].len;
	if (p->row->result < 0 && limit)
		want = p->row->result;
	KUNIT_EXPECT_EQ_MSG(test, want, ret, "limit %u", limit);
	KUNIT_EXPECT_EQ(test, count - max_t(ssize_t, ret, 0), iov_iter_count(&iter));
	KUNIT_ASSERT_EQ(test, used + nr, sgt.nents);
	expect_held(test, p->row, nr, p->variant->mode);
	for (e = 0; e < used; e++)
		expect_untouched(test, &sgt, e);
	for (e = 0; e < nr; e++)
		expect_entry(test, p->row, e, sg_page(&sgt.sgl[used + e]),
			     sgt.sgl[used + e].offset, sgt.sgl[used + e].length);
	for (e = used + nr; e < sgt.orig_nents + 1; e++)
		expect_untouched(test, &sgt, e);
	netfs_release_sg_pages(&sgt, used, nr, p->variant->mode, false);
	expect_held(test, p->row, 0, 0);
}

static void iter_to_sg(struct kunit *test)
{
	const struct param *p = test->param_value;
	unsigned int limits[] = { 0, 1, p->row->nr ? p->row->nr - 1 : 0, p->row->nr, ANY };
	unsigned int n;

	for (n = 0; n < ARRAY_SIZE(limits); n++) {
		sg_limited(test, 0, limits[n], false);
		sg_limited(test, BEFORE, limits[n], false);
		if (limits[n] == ANY)
			continue;
		sg_limited(test, 0, limits[n], true);
		sg_limited(test, BEFORE, limits[n], true);
	}
}

/* Fill one table entry by entry, until the iterator is empty */
static void iter_to_sg_in_calls(struct kunit *test)
{
	const struct param *p = test->param_value;
	struct sg_table sgt;
	struct iov_iter iter;
	unsigned int e;

	if (p->row->maxsize != SIZE_MAX)
		kunit_skip(test, "bounded in bytes");
	iter_init(test, &iter, p->row, p->variant);
	table_init(test, &sgt, 0, MAX_ENTS);
	for (e = 0; e < p->row->nr; e++) {
		KUNIT_EXPECT_EQ(test, (ssize_t)p->row->ent[e].len,
				netfs_extract_iter_to_sg(&iter, SIZE_MAX, 1,
							 p->variant->flags, &sgt));
		/* The list may end here meanwhile. */
		sg_mark_end(&sgt.sgl[e]);
		KUNIT_EXPECT_EQ(test, e + 1, (unsigned int)sg_nents(sgt.sgl));
	}
	KUNIT_EXPECT_EQ(test, p->row->hole ? -EFAULT : 0,
			netfs_extract_iter_to_sg(&iter, SIZE_MAX, 1, p->variant->flags, &sgt));
	if (p->row->nr)
		KUNIT_EXPECT_EQ(test, p->row->nr, (unsigned int)sg_nents(sgt.sgl));
	KUNIT_ASSERT_EQ(test, p->row->nr, sgt.nents);
	for (e = 0; e < p->row->nr; e++)
		expect_entry(test, p->row, e, sg_page(&sgt.sgl[e]), sgt.sgl[e].offset,
			     sgt.sgl[e].length);
	expect_held(test, p->row, p->row->nr, p->variant->mode);
	/* From the end: by entry, as from the start */
	clear_dirty(test);
	for (e = p->row->nr; e--;)
		netfs_release_sg_pages(&sgt, e, 1, p->variant->mode,
				       p->variant->direction == ITER_DEST);
	expect_held(test, p->row, 0, 0);
	expect_dirty(test, p->row, p->variant->direction == ITER_DEST);
}

/* More pages than one extraction takes, to tables that are chained */
static void iter_to_sg_chained(struct kunit *test)
{
	struct netfs_iterator_kunit *k = test->priv;
	unsigned int n, nr = 3 * SG_MAX_SINGLE_ALLOC / 2;
	struct scatterlist *sg;
	struct sg_table sgt;
	struct iov_iter iter;
	struct bio_vec *bv;

	kernel_init(test);
	bv = kunit_kcalloc(test, nr, sizeof(*bv), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bv);
	for (n = 0; n < nr; n++) {
		bv[n].bv_page = k->pages[n % NR_PAGES];
		bv[n].bv_len = PAGE_SIZE;
	}
	KUNIT_ASSERT_EQ(test, 0, sg_alloc_table(&sgt, nr, GFP_KERNEL));
	sgt.nents = 0;
	iov_iter_bvec(&iter, ITER_SOURCE, bv, nr, P(nr));
	KUNIT_EXPECT_EQ(test, (ssize_t)P(nr - 1),
			netfs_extract_iter_to_sg(&iter, P(nr - 1), ANY, 0, &sgt));
	KUNIT_EXPECT_EQ(test, (ssize_t)P(1),
			netfs_extract_iter_to_sg(&iter, SIZE_MAX, ANY, 0, &sgt));
	KUNIT_EXPECT_EQ(test, 0, netfs_extract_iter_to_sg(&iter, SIZE_MAX, ANY, 0, &sgt));
	KUNIT_EXPECT_EQ(test, nr, sgt.nents);
	for_each_sg(sgt.sgl, sg, nr, n)
		if (sg_page(sg) != k->pages[n % NR_PAGES] || sg->length != PAGE_SIZE)
			break;
	KUNIT_EXPECT_EQ(test, nr, n);
	netfs_release_sg_pages(&sgt, 0, nr, 0, false);
	sg_free_table(&sgt);
}

static int netfs_iterator_kunit_init(struct kunit *test)
{
	test->priv = kunit_kzalloc(test, sizeof(struct netfs_iterator_kunit), GFP_KERNEL);
	return test->priv ? 0 : -ENOMEM;
}

static void netfs_iterator_kunit_exit(struct kunit *test)
{
	struct netfs_iterator_kunit *k = test->priv;

	if (k->compound) {
		xa_destroy(&k->xarray);
		__free_pages(k->compound, get_order(P(NR_PAGES)));
	}
	/* A thread that was aborted by an assertion has left its mm already. */
	if (k->mm && current->mm == k->mm) {
		kthread_unuse_mm(k->mm);
		mmput(k->mm);
	}
}

static struct kunit_case netfs_iterator_kunit_cases[] = {
	KUNIT_CASE_PARAM(user_iter, param_next),
	KUNIT_CASE_PARAM(iter_to_sg, param_next),
	KUNIT_CASE_PARAM(iter_to_sg_in_calls, param_next),
	KUNIT_CASE(iter_to_sg_chained),
	{}
};

static struct kunit_suite netfs_iterator_kunit_suite = {
	.name = "netfs_iterator",
	.init = netfs_iterator_kunit_init,
	.exit = netfs_iterator_kunit_exit,
	.test_cases = netfs_iterator_kunit_cases,
};

kunit_test_suites(&netfs_iterator_kunit_suite);
