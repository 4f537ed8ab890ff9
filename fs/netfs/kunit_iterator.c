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
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/uio.h>

#define NR_PAGES	6		/* of the memory of the iterators */
#define HOLE		4		/* this page of user memory is not mapped */
#define MAX_SEGS	4
#define MAX_ENTS	8
#define P(n)		((n) * PAGE_SIZE)

struct netfs_iterator_kunit {
	struct mm_struct *mm;
	unsigned long uaddr;
	struct page *pages[NR_PAGES];
	int refs[NR_PAGES];		/* of each page, before anything is extracted */
	struct iovec iov[MAX_SEGS];
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

/* What is extracted from which segments */
static const struct row {
	const char *name;
	unsigned int nr_segs;
	struct segment seg[MAX_SEGS];
	size_t advance;
	size_t maxsize;
	ssize_t result;
	unsigned int nr;		/* entries */
	struct entry ent[MAX_ENTS];
} rows[] = {
	{
		"one page", 1, { { P(0), P(1) } }, 0, SIZE_MAX,
		P(1), 1, { { 0, 0, P(1) } }
	}, {
		"one byte", 1, { { P(1) + 5, 1 } }, 0, SIZE_MAX,
		1, 1, { { 1, 5, 1 } }
	}, {
		"unaligned at both ends", 1, { { 100, P(2) } }, 0, SIZE_MAX,
		P(2), 3, { { 0, 100, P(1) - 100 }, { 1, 0, P(1) }, { 2, 0, 100 } }
	}, {
		"less is asked for", 1, { { 100, P(2) } }, 0, P(1),
		P(1), 2, { { 0, 100, P(1) - 100 }, { 1, 0, 100 } }
	}, {
		"nothing is asked for", 1, { { 100, P(2) } }, 0, 0, 0
	}, {
		"nothing is left", 1, { { 100, P(2) } }, P(2), SIZE_MAX, 0
	}, {
		"from inside the segment", 1, { { 0, P(3) } }, P(1) + 7, SIZE_MAX,
		P(2) - 7, 2, { { 1, 7, P(1) - 7 }, { 2, 0, P(1) } }
	}, {
		"two segments that join", 2, { { P(0) + 9, P(1) - 9 }, { P(1), P(1) } },
		0, SIZE_MAX,
		P(2) - 9, 2, { { 0, 9, P(1) - 9 }, { 1, 0, P(1) } }
	}, {
		"two segments in one page", 2, { { 16, 32 }, { 48, 64 } }, 0, SIZE_MAX,
		96, 2, { { 0, 16, 32 }, { 0, 48, 64 } }
	}, {
		"segments apart, empty ones between", 4,
		{ { P(3) + 1, 2 }, { P(1), 0 }, { P(0), P(2) }, { P(2) + 8, 8 } },
		0, SIZE_MAX, P(2) + 10, 4,
		{ { 3, 1, 2 }, { 0, 0, P(1) }, { 1, 0, P(1) }, { 2, 8, 8 } }
	}, {
		"a limit inside the second segment", 2, { { 16, 32 }, { P(2), P(2) } },
		0, P(1) + 40, P(1) + 40, 3,
		{ { 0, 16, 32 }, { 2, 0, P(1) }, { 3, 0, 8 } }
	}, {
		"ends at the hole", 1, { { P(2) + 1, P(3) } }, 0, SIZE_MAX,
		P(2) - 1, 2, { { 2, 1, P(1) - 1 }, { 3, 0, P(1) } }
	}, {
		"the second segment is in the hole", 3,
		{ { P(1) + 1, 10 }, { P(4), P(1) }, { P(0), P(1) } }, 0, SIZE_MAX,
		10, 1, { { 1, 1, 10 } }
	}, {
		"begins in the hole", 1, { { P(4), P(2) } }, 0, SIZE_MAX, -EFAULT
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
};

struct param {
	const struct row *row;
	const struct variant *variant;
};

static bool makes_sense(const struct row *row, const struct variant *v)
{
	return row->nr_segs == 1 || v->type != ITER_UBUF;
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

/* The iterator of a row, and what the counts of the pages are before */
static void iter_init(struct kunit *test, struct iov_iter *iter,
		      const struct row *row, const struct variant *v)
{
	struct netfs_iterator_kunit *k = test->priv;
	size_t count = 0;
	unsigned int n;

	if (!k->pages[0]) {
		user_init(test);
		for (n = 0; n < NR_PAGES; n++)
			k->refs[n] = k->pages[n] ? page_ref_count(k->pages[n]) : 0;
	}
	for (n = 0; n < row->nr_segs; n++) {
		const struct segment *s = &row->seg[n];

		k->iov[n].iov_base = (void __user *)(k->uaddr + s->start);
		k->iov[n].iov_len = s->len;
		count += s->len;
	}
	if (v->type == ITER_UBUF)
		iov_iter_ubuf(iter, v->direction, k->iov[0].iov_base, count);
	else
		iov_iter_init(iter, v->direction, k->iov, row->nr_segs, count);
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
		if (k->pages[n])
			ClearPageDirty(k->pages[n]);
}

static void expect_dirty(struct kunit *test, const struct row *row, bool dirty)
{
	struct netfs_iterator_kunit *k = test->priv;
	unsigned int e;

	for (e = 0; e < row->nr; e++)
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

	iter_init(test, &iter, p->row, p->variant);
	count = iov_iter_count(&iter);
	memset(&xi, 0x5a, sizeof(xi));
	ret = netfs_extract_iter(&iter, p->row->maxsize, p->variant->flags, &xi);
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

static int netfs_iterator_kunit_init(struct kunit *test)
{
	test->priv = kunit_kzalloc(test, sizeof(struct netfs_iterator_kunit), GFP_KERNEL);
	return test->priv ? 0 : -ENOMEM;
}

static void netfs_iterator_kunit_exit(struct kunit *test)
{
	struct netfs_iterator_kunit *k = test->priv;

	/* A thread that was aborted by an assertion has left its mm already. */
	if (k->mm && current->mm == k->mm) {
		kthread_unuse_mm(k->mm);
		mmput(k->mm);
	}
}

static struct kunit_case netfs_iterator_kunit_cases[] = {
	KUNIT_CASE_PARAM(user_iter, param_next),
	{}
};

static struct kunit_suite netfs_iterator_kunit_suite = {
	.name = "netfs_iterator",
	.init = netfs_iterator_kunit_init,
	.exit = netfs_iterator_kunit_exit,
	.test_cases = netfs_iterator_kunit_cases,
};

kunit_test_suites(&netfs_iterator_kunit_suite);
