// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for PCI peer-to-peer memory that is mapped to user space: who is given
 * its pages, and what they are not merged with.  The memory is real, as far as its
 * struct pages are concerned, but there is no device behind it: it is not accessed.
 *
 * Needs CONFIG_IOV_ITER_P2PDMA_KUNIT_TEST=y, and kunit.filter_glob=iov_iter_p2pdma
 * if nothing else is to be run.
 */

#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/bvec.h>
#include <linux/hmm.h>
#include <linux/ioport.h>
#include <linux/kthread.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/scatterlist.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/uio.h>

#include "../block/blk.h"

#define NR_PAGES	4
/* Two providers whose memory adjoins; as small as memremap_pages() takes them */
#define PROVIDER_SIZE	SZ_2M
#define PROVIDER_PAGES	(PROVIDER_SIZE / PAGE_SIZE)

struct p2pdma_test {
	struct mm_struct *mm;
	struct resource res;
	struct dev_pagemap pgmaps[2];
	int nr_pgmaps;
	/* the two last pages of the first provider, the two first of the second */
	struct page *pages[NR_PAGES];
	unsigned long uaddr;	/* where these are mapped, one after the other */
};

static struct page *freed_page;
static int freed_count;

static void test_page_free(struct page *page)
{
	freed_page = page;
	freed_count = page_ref_count(page);
	percpu_ref_put(&page->pgmap->ref);
}

static const struct dev_pagemap_ops test_pgmap_ops = {
	.page_free = test_page_free,
};

enum call {
	PLAIN,
	UNLOCKED,
	FAST,
	FAST_BVECS,
	EXTRACT,
	EXTRACT_BVECS,
};

static const struct param {
	const char *name;
	enum call call;
	bool pin;
} params[] = {
	{ "get_user_pages",		PLAIN,		false },
	{ "get_user_pages_unlocked",	UNLOCKED,	false },
	{ "get_user_pages_fast",	FAST,		false },
	{ "pin_user_pages",		PLAIN,		true },
	{ "pin_user_pages_unlocked",	UNLOCKED,	true },
	{ "pin_user_pages_fast",	FAST,		true },
	{ "pin_user_bvecs_fast",	FAST_BVECS,	true },
	{ "iov_iter_extract_pages, references",	EXTRACT, false },
	{ "iov_iter_extract_pages, pins",	EXTRACT, true },
	{ "iov_iter_extract_bvecs",	EXTRACT_BVECS,	true },
};

static void param_desc(const struct param *param, char *desc)
{
	strscpy(desc, param->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(p2pdma, params, param_desc);

/* A list of pages, by any of the calls; bio_vecs are taken apart again. */
static long take(const struct param *param, unsigned long uaddr, unsigned int nr,
		 bool allow, struct page **pages)
{
	unsigned int extract = (param->pin ? ITER_PIN_SOURCE : 0) |
			       (allow ? ITER_ALLOW_P2PDMA : 0);
	unsigned int gup = allow ? FOLL_PCI_P2PDMA : 0, nr_bvecs = 0, n = 0, k;
	unsigned short nr_extracted = 0;
	struct bio_vec bvecs[NR_PAGES + 1];
	struct iov_iter iter;
	struct iovec iov;
	size_t offset;
	long ret;

	ret = import_single_range(ITER_SOURCE, (void __user *)uaddr, nr * PAGE_SIZE,
				  &iov, &iter);
	if (ret)
		return ret;

	switch (param->call) {
	case PLAIN:
		mmap_read_lock(current->mm);
		ret = param->pin ? pin_user_pages(uaddr, nr, gup, pages, NULL) :
				   get_user_pages(uaddr, nr, gup, pages, NULL);
		mmap_read_unlock(current->mm);
		return ret;
	case UNLOCKED:
		return param->pin ? pin_user_pages_unlocked(uaddr, nr, pages, gup) :
				    get_user_pages_unlocked(uaddr, nr, pages, gup);
	case FAST:
		return param->pin ? pin_user_pages_fast(uaddr, nr, gup, pages) :
				    get_user_pages_fast(uaddr, nr, gup, pages);
	case EXTRACT:
		ret = iov_iter_extract_pages(&iter, &pages, nr * PAGE_SIZE, nr,
					     extract, &offset);
		return ret > 0 ? ret / PAGE_SIZE : ret;
	case FAST_BVECS:
		ret = pin_user_bvecs_fast(uaddr, nr * PAGE_SIZE, gup, bvecs, &nr_bvecs,
					  ARRAY_SIZE(bvecs));
		break;
	case EXTRACT_BVECS:
		ret = iov_iter_extract_bvecs(&iter, bvecs, nr * PAGE_SIZE, &nr_extracted,
					     ARRAY_SIZE(bvecs), 0, extract);
		nr_bvecs = nr_extracted;
		break;
	}
	for (k = 0; k < nr_bvecs; k++) {
		unsigned int i;

		for (i = 0; i < bvecs[k].bv_len / PAGE_SIZE; i++)
			pages[n++] = bvecs[k].bv_page + i;
	}
	return ret > 0 ? n : ret;
}

/* Nobody is given the pages who has not asked for them. */
static void is_refused(struct kunit *test)
{
	const struct param *param = test->param_value;
	struct p2pdma_test *t = test->priv;
	struct page *pages[NR_PAGES];
	int n;

	KUNIT_EXPECT_EQ(test, take(param, t->uaddr, NR_PAGES, false, pages), -EREMOTEIO);
	for (n = 0; n < NR_PAGES; n++)
		KUNIT_EXPECT_EQ_MSG(test, page_ref_count(t->pages[n]), 2, "page %d", n);
}

/* Who asks for them is, and each is held once. */
static void is_taken(struct kunit *test)
{
	const struct param *param = test->param_value;
	struct p2pdma_test *t = test->priv;
	struct page *pages[NR_PAGES];
	int n;

	KUNIT_ASSERT_EQ(test, take(param, t->uaddr, NR_PAGES, true, pages), NR_PAGES);
	for (n = 0; n < NR_PAGES; n++) {
		KUNIT_EXPECT_PTR_EQ_MSG(test, pages[n], t->pages[n], "page %d", n);
		KUNIT_EXPECT_EQ_MSG(test, page_ref_count(t->pages[n]),
				    2 + (param->pin ? GUP_PIN_COUNTING_BIAS : 1),
				    "page %d", n);
	}
	release_extracted_pages(pages, NR_PAGES, param->pin ? FOLL_PIN : FOLL_GET, true);
	for (n = 0; n < NR_PAGES; n++)
		KUNIT_EXPECT_EQ_MSG(test, page_ref_count(t->pages[n]), 2, "page %d", n);
}

/* Memory of the host before it is listed all the same. */
static void ends_list(struct kunit *test)
{
	const struct param *param = test->param_value;
	struct p2pdma_test *t = test->priv;
	struct page *pages[NR_PAGES];

	/* The page below has not been touched yet: it is shared memory of its own. */
	KUNIT_ASSERT_EQ(test, take(param, t->uaddr - PAGE_SIZE, NR_PAGES, false, pages), 1);
	KUNIT_EXPECT_FALSE(test, is_pci_p2pdma_page(pages[0]));
	release_extracted_pages(pages, 1, param->pin ? FOLL_PIN : FOLL_GET, false);

	KUNIT_ASSERT_EQ(test, take(param, t->uaddr - PAGE_SIZE, NR_PAGES, true, pages),
			NR_PAGES);
	KUNIT_EXPECT_PTR_EQ(test, pages[1], t->pages[0]);
	release_extracted_pages(pages, NR_PAGES, param->pin ? FOLL_PIN : FOLL_GET, false);
}

/* A pin for good would keep the device. */
static void is_not_pinned_for_long(struct kunit *test)
{
	struct p2pdma_test *t = test->priv;
	struct page *page;

	KUNIT_EXPECT_EQ(test, pin_user_pages_fast(t->uaddr, 1, FOLL_LONGTERM, &page),
			-EREMOTEIO);
	mmap_read_lock(current->mm);
	KUNIT_EXPECT_EQ(test, pin_user_pages(t->uaddr, 1, FOLL_LONGTERM, &page, NULL),
			-EREMOTEIO);
	mmap_read_unlock(current->mm);
}

static bool test_invalidate(struct mmu_interval_notifier *notifier,
			    const struct mmu_notifier_range *range, unsigned long seq)
{
	mmu_interval_set_seq(notifier, seq);
	return true;
}

static const struct mmu_interval_notifier_ops test_notifier_ops = {
	.invalidate = test_invalidate,
};

/* HMM takes no page, but its callers have it mapped for a device all the same. */
static void is_not_listed_by_hmm(struct kunit *test)
{
	struct mmu_interval_notifier notifier = {};
	struct p2pdma_test *t = test->priv;
	unsigned long pfn = 0;
	struct hmm_range range = {
		.notifier = &notifier, .start = t->uaddr, .end = t->uaddr + PAGE_SIZE,
		.hmm_pfns = &pfn,
	};

	KUNIT_ASSERT_EQ(test, mmu_interval_notifier_insert(&notifier, t->mm, t->uaddr, PAGE_SIZE,
							   &test_notifier_ops), 0);
	range.notifier_seq = mmu_interval_read_begin(&notifier);
	mmap_read_lock(t->mm);
	/* what is there, and then: it is wanted */
	KUNIT_EXPECT_EQ(test, hmm_range_fault(&range), 0);
	KUNIT_EXPECT_EQ(test, pfn, HMM_PFN_ERROR);
	range.default_flags = HMM_PFN_REQ_FAULT;
	KUNIT_EXPECT_EQ(test, hmm_range_fault(&range), -EFAULT);
	mmap_read_unlock(t->mm);
	mmu_interval_notifier_remove(&notifier);
}

/* Who has a page can take it again, without asking again. */
static void is_retained(struct kunit *test)
{
	struct p2pdma_test *t = test->priv;
	struct page *page = t->pages[0];

	KUNIT_EXPECT_EQ(test, retain_extracted_page(page, FOLL_PIN), 0);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 2 + GUP_PIN_COUNTING_BIAS);
	release_extracted_range(page, 1, FOLL_PIN, false);
	KUNIT_EXPECT_EQ(test, retain_listed_page(page), FOLL_GET);
	release_extracted_range(page, 1, FOLL_GET, false);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 2);
}

static void expect_bvecs(struct kunit *test, const struct bio_vec *bvecs, unsigned int nr)
{
	struct p2pdma_test *t = test->priv;

	KUNIT_ASSERT_EQ(test, nr, 2);
	KUNIT_EXPECT_PTR_EQ(test, bvecs[0].bv_page, t->pages[0]);
	KUNIT_EXPECT_EQ(test, bvecs[0].bv_len, 2 * PAGE_SIZE);
	KUNIT_EXPECT_PTR_EQ(test, bvecs[1].bv_page, t->pages[2]);
	KUNIT_EXPECT_EQ(test, bvecs[1].bv_len, 2 * PAGE_SIZE);
}

/* Pages that adjoin share a bio_vec if they have the same provider. */
static void bvecs_end_at_provider(struct kunit *test)
{
	struct p2pdma_test *t = test->priv;
	struct bio_vec bvecs[NR_PAGES];
	unsigned int nr = 0;

	KUNIT_ASSERT_EQ(test, pin_user_bvecs_fast(t->uaddr, NR_PAGES * PAGE_SIZE,
						  FOLL_PCI_P2PDMA, bvecs, &nr, NR_PAGES),
			NR_PAGES * PAGE_SIZE);
	expect_bvecs(test, bvecs, nr);
	release_extracted_bvecs(bvecs, nr, FOLL_PIN, false);
}

/* The same where a call goes on with the last entry of the one before. */
static void bvecs_go_on_within_provider(struct kunit *test)
{
	struct p2pdma_test *t = test->priv;
	struct bio_vec bvecs[NR_PAGES + 1];
	unsigned int nr = 0;

	KUNIT_ASSERT_EQ(test, pin_user_bvecs_fast(t->uaddr, 2 * PAGE_SIZE, FOLL_PCI_P2PDMA,
						  bvecs, &nr, ARRAY_SIZE(bvecs)),
			2 * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, pin_user_bvecs_fast(t->uaddr + 2 * PAGE_SIZE, 2 * PAGE_SIZE,
						  FOLL_PCI_P2PDMA, bvecs, &nr,
						  ARRAY_SIZE(bvecs)),
			2 * PAGE_SIZE);
	expect_bvecs(test, bvecs, nr);
	release_extracted_bvecs(bvecs, nr, FOLL_PIN, false);
}

static void bio_ends_segment_at_provider(struct kunit *test)
{
	struct p2pdma_test *t = test->priv;
	struct bio_vec bvecs[NR_PAGES];
	struct bio bio;
	int n;

	bio_init(&bio, NULL, bvecs, NR_PAGES, REQ_OP_READ);
	for (n = 0; n < NR_PAGES; n++)
		KUNIT_EXPECT_EQ(test, bio_add_page(&bio, t->pages[n], PAGE_SIZE, 0), PAGE_SIZE);
	expect_bvecs(test, bvecs, bio.bi_vcnt);
	bio_uninit(&bio);
}

static struct request_queue *test_queue(struct kunit *test)
{
	struct request_queue *q = kunit_kzalloc(test, sizeof(*q), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, q);
	blk_set_stacking_limits(&q->limits);
	return q;
}

static void request_ends_segment_at_provider(struct kunit *test)
{
	struct request_queue *q = test_queue(test);
	struct p2pdma_test *t = test->priv;
	struct bio_vec bvecs[NR_PAGES];
	int n;

	for (n = 0; n < NR_PAGES; n++)
		bvec_set_page(&bvecs[n], t->pages[n], PAGE_SIZE, 0);
	KUNIT_EXPECT_TRUE(test, biovec_phys_mergeable(q, &bvecs[0], &bvecs[1]));
	KUNIT_EXPECT_FALSE(test, biovec_phys_mergeable(q, &bvecs[1], &bvecs[2]));
	KUNIT_EXPECT_TRUE(test, biovec_phys_mergeable(q, &bvecs[2], &bvecs[3]));
}

/* A bio ends where a second provider's memory begins, whatever is in between. */
static void bio_has_one_provider(struct kunit *test)
{
	struct request_queue *q = test_queue(test);
	struct p2pdma_test *t = test->priv;
	struct bio_vec bvecs[NR_PAGES];
	bool same_page = false;
	struct bio bio;

	bio_init(&bio, NULL, bvecs, NR_PAGES, REQ_OP_DRV_IN);
	KUNIT_EXPECT_EQ(test, bio_add_hw_page(q, &bio, t->pages[0], PAGE_SIZE, 0, UINT_MAX,
					      &same_page), PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, bio_add_hw_page(q, &bio, ZERO_PAGE(0), PAGE_SIZE, 0, UINT_MAX,
					      &same_page), PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, bio_add_hw_page(q, &bio, t->pages[2], PAGE_SIZE, 0, UINT_MAX,
					      &same_page), 0);
	KUNIT_EXPECT_EQ(test, bio_add_hw_page(q, &bio, t->pages[1], PAGE_SIZE, 0, UINT_MAX,
					      &same_page), PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, bio.bi_vcnt, 3);
	bio_uninit(&bio);
}

/* What direct I/O of a disk makes of user memory, in blocks of a page */
static const struct io {
	const char *name;
	blk_opf_t op;
	bool takes;	/* does the queue take peer-to-peer memory? */
} ios[] = {
	{ "write",				REQ_OP_WRITE,		true },
	{ "zone append",			REQ_OP_ZONE_APPEND,	true },
	{ "write, of a queue that does not",	REQ_OP_WRITE,		false },
	{ "zone append, of a queue that does not", REQ_OP_ZONE_APPEND,	false },
};

static void io_desc(const struct io *io, char *desc)
{
	strscpy(desc, io->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(ios, ios, io_desc);

static struct block_device *test_disk(struct kunit *test)
{
	struct block_device *bdev = kunit_kzalloc(test, sizeof(*bdev), GFP_KERNEL);
	const struct io *io = test->param_value;

	KUNIT_ASSERT_NOT_NULL(test, bdev);
	bdev->bd_queue = test_queue(test);
	bdev->bd_queue->limits.logical_block_size = PAGE_SIZE;
	if (io->takes)
		__set_bit(QUEUE_FLAG_PCI_P2PDMA, &bdev->bd_queue->queue_flags);
	return bdev;
}

/* The next bio: that it has @bytes, or else an error, and that the rest is still to do */
static void expect_bio(struct kunit *test, struct block_device *bdev, struct iov_iter *iter,
		       int bytes)
{
	const struct io *io = test->param_value;
	struct p2pdma_test *t = test->priv;
	size_t before = iov_iter_count(iter);
	struct bio_vec bvecs[2 * NR_PAGES];
	bool has_p2pdma = false;
	struct bio bio;
	int n, ret;

	bio_init(&bio, NULL, bvecs, ARRAY_SIZE(bvecs), io->op);
	bio.bi_bdev = bdev;
	ret = bio_iov_iter_get_pages(&bio, iter);
	if (bytes < 0) {
		KUNIT_EXPECT_EQ(test, ret, bytes);
		bytes = 0;
	} else {
		KUNIT_EXPECT_EQ(test, ret, 0);
	}
	KUNIT_EXPECT_EQ(test, bio.bi_iter.bi_size, bytes);
	KUNIT_EXPECT_EQ(test, iov_iter_count(iter), before - bytes);
	for (n = 0; n < bio.bi_vcnt; n++)
		has_p2pdma |= is_pci_p2pdma_page(bvecs[n].bv_page);
	if (bytes)
		KUNIT_EXPECT_EQ(test, !!(bio.bi_opf & REQ_NOMERGE), has_p2pdma);
	bio_release_pages(&bio, false);
	for (n = 0; n < NR_PAGES; n++)
		KUNIT_EXPECT_EQ_MSG(test, page_ref_count(t->pages[n]), 2, "page %d", n);
	bio_uninit(&bio);
}

/* A bio for each provider: the first one also has the page of the host before it. */
static void io_has_one_provider(struct kunit *test)
{
	struct block_device *bdev = test_disk(test);
	const struct io *io = test->param_value;
	struct p2pdma_test *t = test->priv;
	struct iov_iter iter;
	struct iovec iov;

	KUNIT_ASSERT_EQ(test, import_single_range(ITER_SOURCE,
						  (void __user *)(t->uaddr - PAGE_SIZE),
						  (NR_PAGES + 1) * PAGE_SIZE, &iov, &iter), 0);
	if (io->takes) {
		expect_bio(test, bdev, &iter, 3 * PAGE_SIZE);
		expect_bio(test, bdev, &iter, 2 * PAGE_SIZE);
	} else {
		expect_bio(test, bdev, &iter, PAGE_SIZE);
		expect_bio(test, bdev, &iter, -EREMOTEIO);
	}
}

/* The second block is in the memory of both: it is in no bio, and no page is kept. */
static void io_ends_with_a_block(struct kunit *test)
{
	struct block_device *bdev = test_disk(test);
	const struct io *io = test->param_value;
	struct p2pdma_test *t = test->priv;
	struct iov_iter iter;
	struct iovec iov;

	KUNIT_ASSERT_EQ(test, import_single_range(ITER_SOURCE, (void __user *)(t->uaddr + 512),
						  3 * PAGE_SIZE, &iov, &iter), 0);
	if (io->takes)
		expect_bio(test, bdev, &iter, PAGE_SIZE);
	expect_bio(test, bdev, &iter, -EREMOTEIO);
}

static void expect_sgl(struct kunit *test, struct scatterlist *sgl, unsigned int nents)
{
	struct p2pdma_test *t = test->priv;

	KUNIT_ASSERT_EQ(test, nents, 2);
	KUNIT_EXPECT_PTR_EQ(test, sg_page(sgl), t->pages[0]);
	KUNIT_EXPECT_EQ(test, sgl->length, 2 * PAGE_SIZE);
	KUNIT_EXPECT_PTR_EQ(test, sg_page(sg_next(sgl)), t->pages[2]);
	KUNIT_EXPECT_EQ(test, sg_next(sgl)->length, 2 * PAGE_SIZE);
}

static void sg_ends_segment_at_provider(struct kunit *test)
{
	struct p2pdma_test *t = test->priv;
	struct sg_table sgt;

	KUNIT_ASSERT_EQ(test, sg_alloc_table_from_pages(&sgt, t->pages, NR_PAGES, 0,
							NR_PAGES * PAGE_SIZE, GFP_KERNEL), 0);
	expect_sgl(test, sgt.sgl, sgt.orig_nents);
	sg_free_table(&sgt);
}

/* The same where a call goes on with the last entry of the one before. */
static void sg_goes_on_within_provider(struct kunit *test)
{
	struct p2pdma_test *t = test->priv;
	struct sg_append_table append = {};
	int n, ret;

	for (n = 0; n < NR_PAGES; n++) {
		ret = sg_alloc_append_table_from_pages(&append, t->pages + n, 1, 0, PAGE_SIZE,
						       UINT_MAX, NR_PAGES - n - 1, GFP_KERNEL);
		KUNIT_EXPECT_EQ(test, ret, 0);
	}
	expect_sgl(test, append.sgt.sgl, append.sgt.orig_nents);
	sg_free_append_table(&append);
}

/* A page has a count when its owner gets it back, who may hand it out at once. */
static void is_given_back_with_a_count(struct kunit *test)
{
	struct p2pdma_test *t = test->priv;
	struct page *page = t->pages[0] - 1;
	int n;

	/* in one case after I/O by pins, which are dropped in one step */
	for (n = 0; n < 2; n++) {
		freed_page = NULL;
		percpu_ref_get(&page->pgmap->ref);
		if (n) {
			KUNIT_EXPECT_EQ(test, retain_extracted_page(page, FOLL_PIN), 0);
			put_page(page);
			KUNIT_EXPECT_NULL(test, freed_page);
			release_extracted_range(page, 1, FOLL_PIN, false);
		} else {
			put_page(page);
		}
		KUNIT_EXPECT_PTR_EQ(test, freed_page, page);
		KUNIT_EXPECT_EQ(test, freed_count, 1);
		KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);
	}
}

static int map_pages(struct p2pdma_test *t)
{
	struct vm_area_struct *vma;
	unsigned long uaddr;
	int n, ret = 0;

	/* shared, so that it is mapped writable; the first page is left to itself */
	uaddr = vm_mmap(NULL, 0, (NR_PAGES + 1) * PAGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, 0);
	if (IS_ERR_VALUE(uaddr))
		return uaddr;
	t->uaddr = uaddr + PAGE_SIZE;
	mmap_write_lock(t->mm);
	vma = find_vma(t->mm, uaddr);
	for (n = 0; n < NR_PAGES && !ret; n++)
		ret = vm_insert_page(vma, t->uaddr + n * PAGE_SIZE, t->pages[n]);
	mmap_write_unlock(t->mm);
	return ret;
}

static int p2pdma_test_init(struct kunit *test)
{
	struct p2pdma_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	struct page *page;
	int n, ret;

	if (!t)
		return -ENOMEM;
	test->priv = t;
	t->res.name = "iov_iter_p2pdma";
	t->res.flags = IORESOURCE_MEM;
	/* addresses that every 64-bit CPU has, and nobody else uses */
	ret = allocate_resource(&iomem_resource, &t->res, 2 * PROVIDER_SIZE, SZ_4G,
				16ULL * SZ_4G - 1, 2 * PROVIDER_SIZE, NULL, NULL);
	if (ret) {
		t->res.name = NULL;
		return ret;
	}
	for (n = 0; n < 2; n++) {
		struct dev_pagemap *pgmap = &t->pgmaps[n];
		void *addr;

		pgmap->range.start = t->res.start + n * PROVIDER_SIZE;
		pgmap->range.end = pgmap->range.start + PROVIDER_SIZE - 1;
		pgmap->nr_range = 1;
		pgmap->type = MEMORY_DEVICE_PCI_P2PDMA;
		pgmap->ops = &test_pgmap_ops;
		addr = memremap_pages(pgmap, NUMA_NO_NODE);
		if (IS_ERR(addr))
			return PTR_ERR(addr);
		t->nr_pgmaps++;
	}
	page = pfn_to_page(PHYS_PFN(t->pgmaps[1].range.start));
	for (n = 0; n < NR_PAGES; n++)
		t->pages[n] = page - NR_PAGES / 2 + n;

	t->mm = mm_alloc();
	if (!t->mm)
		return -ENOMEM;
	t->mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(t->mm, &current->signal->rlim[RLIMIT_STACK]);
	kthread_use_mm(t->mm);
	return map_pages(t);
}

static void p2pdma_test_exit(struct kunit *test)
{
	struct p2pdma_test *t = test->priv;

	if (!t)
		return;
	/* A thread that was aborted by an assertion has left its mm already. */
	if (t->mm && current->mm == t->mm) {
		kthread_unuse_mm(t->mm);
		mmput(t->mm);
	}
	while (t->nr_pgmaps--)
		memunmap_pages(&t->pgmaps[t->nr_pgmaps]);
	if (t->res.name)
		release_resource(&t->res);
}

static struct kunit_case p2pdma_test_cases[] = {
	KUNIT_CASE_PARAM(is_refused, p2pdma_gen_params),
	KUNIT_CASE_PARAM(is_taken, p2pdma_gen_params),
	KUNIT_CASE_PARAM(ends_list, p2pdma_gen_params),
	KUNIT_CASE(is_not_pinned_for_long),
	KUNIT_CASE(is_not_listed_by_hmm),
	KUNIT_CASE(is_retained),
	KUNIT_CASE(is_given_back_with_a_count),
	KUNIT_CASE(bvecs_end_at_provider),
	KUNIT_CASE(bvecs_go_on_within_provider),
	KUNIT_CASE(bio_ends_segment_at_provider),
	KUNIT_CASE(request_ends_segment_at_provider),
	KUNIT_CASE(bio_has_one_provider),
	KUNIT_CASE_PARAM(io_has_one_provider, ios_gen_params),
	KUNIT_CASE_PARAM(io_ends_with_a_block, ios_gen_params),
	KUNIT_CASE(sg_ends_segment_at_provider),
	KUNIT_CASE(sg_goes_on_within_provider),
	{}
};

static struct kunit_suite p2pdma_test_suite = {
	.name = "iov_iter_p2pdma",
	.init = p2pdma_test_init,
	.exit = p2pdma_test_exit,
	.test_cases = p2pdma_test_cases,
};

kunit_test_suite(p2pdma_test_suite);
