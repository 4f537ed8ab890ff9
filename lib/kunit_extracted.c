// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for pages that were extracted from an iterator: how they are held,
 * taken once more, and released.
 *
 * ./tools/testing/kunit/kunit.py run --arch x86_64 iov_iter_extracted \
 *	--kconfig_add CONFIG_EXTRACTED_KUNIT_TEST=y
 */

#include <kunit/test.h>
#include <linux/bvec.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/uio.h>

#define NR_PAGES	4

struct extracted_param {
	const char *name;
	unsigned int mode;
	unsigned int order;	/* of the allocation: 0 for NR_PAGES single pages */
	bool dirty;
};

static const struct extracted_param extracted_params[] = {
	{ "references of small pages", EXTRACTED_REFFED, 0, false },
	{ "references of small pages, dirtied", EXTRACTED_REFFED, 0, true },
	{ "pins of small pages", EXTRACTED_PINNED, 0, false },
	{ "pins of small pages, dirtied", EXTRACTED_PINNED, 0, true },
	{ "references of a large folio", EXTRACTED_REFFED, 2, false },
	{ "references of a large folio, dirtied", EXTRACTED_REFFED, 2, true },
	{ "pins of a large folio", EXTRACTED_PINNED, 2, false },
	{ "pins of a large folio, dirtied", EXTRACTED_PINNED, 2, true },
	{ "nothing held of small pages, not dirtied", 0, 0, true },
	{ "nothing held of a large folio, not dirtied", 0, 2, true },
};

static void extracted_desc(const struct extracted_param *param, char *desc)
{
	strscpy(desc, param->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(extracted, extracted_params, extracted_desc);

static void extracted_free(void *page)
{
	folio_put(page_folio((struct page *)page));
}

/* NR_PAGES pages that the row asks for; the test frees them at its end. */
static void extracted_alloc(struct kunit *test, struct page **pages)
{
	const struct extracted_param *param = test->param_value;
	struct page *page = NULL;
	int i;

	for (i = 0; i < NR_PAGES; i++) {
		if (!param->order || !i) {
			page = alloc_pages(GFP_KERNEL | __GFP_COMP, param->order);
			KUNIT_ASSERT_NOT_NULL(test, page);
			KUNIT_ASSERT_EQ(test, 0,
					kunit_add_action_or_reset(test, extracted_free, page));
		}
		pages[i] = param->order ? page + i : page;
	}
}

/* Take each page once by retain_extracted_page(), and tell whether that shows. */
static void extracted_take(struct kunit *test, struct page **pages)
{
	const struct extracted_param *param = test->param_value;
	int i;

	for (i = 0; i < NR_PAGES; i++)
		KUNIT_ASSERT_EQ(test, 0, retain_extracted_page(pages[i], param->mode));
	for (i = 0; i < NR_PAGES; i++)
		KUNIT_EXPECT_EQ_MSG(test, param->mode == EXTRACTED_PINNED,
				    folio_maybe_dma_pinned(page_folio(pages[i])),
				    "page %d", i);
}

/* Is each page as extracted_alloc() has left it, but for what the row says of dirty? */
static void extracted_check(struct kunit *test, struct page **pages)
{
	const struct extracted_param *param = test->param_value;
	int i;

	for (i = 0; i < NR_PAGES; i++) {
		struct folio *folio = page_folio(pages[i]);

		KUNIT_EXPECT_EQ_MSG(test, 1, folio_ref_count(folio), "page %d", i);
		KUNIT_EXPECT_FALSE_MSG(test, folio_maybe_dma_pinned(folio), "page %d", i);
		KUNIT_EXPECT_EQ_MSG(test, param->mode && param->dirty,
				    folio_test_dirty(folio), "page %d", i);
	}
	for (i = 0; i < NR_PAGES; i++)
		folio_clear_dirty(page_folio(pages[i]));
}

static void extracted_release_pages(struct kunit *test)
{
	const struct extracted_param *param = test->param_value;
	struct page *pages[NR_PAGES];

	extracted_alloc(test, pages);
	extracted_take(test, pages);
	release_extracted_pages(pages, NR_PAGES, param->mode, param->dirty);
	extracted_check(test, pages);
}

static void extracted_release_range(struct kunit *test)
{
	const struct extracted_param *param = test->param_value;
	struct page *pages[NR_PAGES];
	int i;

	extracted_alloc(test, pages);
	extracted_take(test, pages);
	if (param->order) {
		/* in two parts, which meet inside of the folio */
		release_extracted_range(pages[0], 1, param->mode, param->dirty);
		release_extracted_range(pages[1], NR_PAGES - 1, param->mode, param->dirty);
	} else {
		for (i = 0; i < NR_PAGES; i++)
			release_extracted_range(pages[i], 1, param->mode, param->dirty);
	}
	extracted_check(test, pages);
}

static void extracted_release_bvecs(struct kunit *test)
{
	const struct extracted_param *param = test->param_value;
	struct bio_vec bvecs[NR_PAGES];
	struct page *pages[NR_PAGES];
	unsigned int nr = 0;
	int i;

	extracted_alloc(test, pages);
	extracted_take(test, pages);
	if (param->order) {
		/* the end of page 0 and all of 1; page 3 by an offset beyond page 2 */
		bvec_set_page(&bvecs[nr++], pages[0], PAGE_SIZE + 1, PAGE_SIZE - 1);
		bvec_set_page(&bvecs[nr++], pages[2], 1, 0);
		bvec_set_page(&bvecs[nr++], pages[2], 512, PAGE_SIZE + 512);
	} else {
		for (i = 0; i < NR_PAGES; i++)
			bvec_set_page(&bvecs[nr++], pages[i], 512, i * 512);
	}
	release_extracted_bvecs(bvecs, nr, param->mode, param->dirty);
	extracted_check(test, pages);
}

/* Of several pages that are no compound page, only the first has a count. */
static void extracted_retain_listed(struct kunit *test)
{
	struct page *page = alloc_pages(GFP_KERNEL, 1);

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_EQ(test, EXTRACTED_REFFED, retain_listed_page(page));
	KUNIT_EXPECT_EQ(test, 2, page_count(page));
	release_extracted_range(page, 1, EXTRACTED_REFFED, false);
	KUNIT_EXPECT_EQ(test, 1, page_count(page));
	KUNIT_EXPECT_EQ(test, 0, retain_listed_page(page + 1));
	KUNIT_EXPECT_EQ(test, 0, page_count(page + 1));
	__free_pages(page, 1);
}

static void extracted_mode(struct kunit *test)
{
	struct kvec kvec = { .iov_base = test, .iov_len = 1 };
	struct iov_iter iter;

	iov_iter_ubuf(&iter, ITER_DEST, (void __user *)PAGE_SIZE, 1);
	KUNIT_EXPECT_EQ(test, EXTRACTED_PINNED, iov_iter_extract_mode(&iter));
	iov_iter_ubuf(&iter, ITER_SOURCE, (void __user *)PAGE_SIZE, 1);
	KUNIT_EXPECT_EQ(test, EXTRACTED_PINNED, iov_iter_extract_mode(&iter));
	iov_iter_kvec(&iter, ITER_DEST, &kvec, 1, 1);
	KUNIT_EXPECT_EQ(test, 0, iov_iter_extract_mode(&iter));
}

/* Nothing is pinned of memory without access, and no list is left to the caller. */
static void extracted_fault(struct kunit *test)
{
	struct page *array[1], **pages = NULL;
	struct iov_iter iter;
	unsigned long addr;
	size_t offset;

	addr = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_NONE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, 0, addr);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	iov_iter_ubuf(&iter, ITER_DEST, (void __user *)addr, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, -EFAULT,
			iov_iter_extract_pages(&iter, &pages, PAGE_SIZE, 1, 0, &offset));
	KUNIT_EXPECT_NULL(test, pages);
	KUNIT_EXPECT_EQ(test, PAGE_SIZE, iov_iter_count(&iter));

	/* A list of the caller's stays where it is. */
	pages = array;
	KUNIT_EXPECT_EQ(test, -EFAULT,
			iov_iter_extract_pages(&iter, &pages, PAGE_SIZE, 1, 0, &offset));
	KUNIT_EXPECT_PTR_EQ(test, &array[0], pages);
}

#define P(n)	((n) * PAGE_SIZE)

/* Segments of NR_PAGES pages of user memory, and what is extracted of them */
static const struct bvecs_param {
	const char *name;
	unsigned int nr_segs;
	struct {
		unsigned long start, len;
	} seg[4];
	ssize_t bytes;
	size_t maxsize;			/* 0 for all */
	unsigned short max_bvecs;	/* 0 for as many as there can be */
	unsigned int mask;
} bvecs_params[] = {
	{ "one page", 1, { { 0, P(1) } }, P(1) },
	{ "all pages", 1, { { 0, P(4) } }, P(4) },
	{ "from within a page to within another", 1, { { 100, P(2) } }, P(2) },
	{ "one byte", 1, { { P(4) - 1, 1 } }, 1 },
	{ "no more than maxsize", 1, { { 0, P(4) } }, P(1) + 1, .maxsize = P(1) + 1 },
	{ "segments with gaps", 3, { { 0, 512 }, { P(1) + 512, P(1) }, { P(3), 1 } },
	  512 + P(1) + 1 },
	{ "empty segments", 4, { { 0, 0 }, { 512, 512 }, { 0, 0 }, { P(2), 512 } }, 1024 },
	{ "segments that adjoin", 3, { { 0, 512 }, { 512, 512 }, { 1024, P(1) } },
	  1024 + P(1) },
	{ "segments that adjoin, and maxsize", 2, { { 0, 512 }, { 512, P(1) } }, 1024,
	  .maxsize = 1024 },
	{ "segments from last to first", 3, { { P(2), P(1) }, { P(1), P(1) }, { 0, P(1) } },
	  P(3) },
	{ "the same page twice", 2, { { 0, 512 }, { 1024, 512 } }, 1024 },
	{ "a table that gets full", 2, { { 0, 512 }, { 1024, 512 } }, 512, .max_bvecs = 1 },
	{ "segments as aligned as they must be", 2, { { 512, 512 }, { P(1), 1024 } }, 1536,
	  .mask = 511 },
	{ "a second segment that is not aligned", 2, { { 512, 512 }, { P(1) + 1, 512 } }, 512,
	  .mask = 511 },
	{ "a first segment that is not aligned", 1, { { 1, 512 } }, -EINVAL, .mask = 511 },
};

static void bvecs_desc(const struct bvecs_param *param, char *desc)
{
	strscpy(desc, param->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(bvecs, bvecs_params, bvecs_desc);

static unsigned long bvecs_map(struct kunit *test)
{
	unsigned long addr = kunit_vm_mmap(test, NULL, 0, P(NR_PAGES), PROT_READ | PROT_WRITE,
					   MAP_ANONYMOUS | MAP_PRIVATE, 0);

	KUNIT_ASSERT_NE(test, 0, addr);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	return addr;
}

/* The zero page takes no pins. */
static void bvecs_expect_pinned(struct kunit *test, struct page *page, bool pinned)
{
	if (!is_zero_page(page))
		KUNIT_EXPECT_EQ(test, pinned, folio_maybe_dma_pinned(page_folio(page)));
}

/* Do the bio_vecs have the bytes of the segments, in their order, and pins of their own? */
static void bvecs_compare(struct kunit *test, const struct bio_vec *bvecs, unsigned int nr,
			  struct page **pages)
{
	const struct bvecs_param *param = test->param_value;
	unsigned long seg = 0, seg_done = 0, done, bytes = 0, len;
	unsigned int k;

	for (k = 0; k < nr; k++) {
		for (done = 0; done < bvecs[k].bv_len; done += len) {
			unsigned long at = bvecs[k].bv_offset + done, want;
			struct page *page = nth_page(bvecs[k].bv_page, at / PAGE_SIZE);

			while (seg < param->nr_segs && seg_done == param->seg[seg].len) {
				seg++;
				seg_done = 0;
			}
			KUNIT_ASSERT_LT_MSG(test, seg, param->nr_segs, "bio_vec %u", k);
			want = param->seg[seg].start + seg_done;
			KUNIT_EXPECT_PTR_EQ_MSG(test, pages[want / PAGE_SIZE], page,
						"bio_vec %u at %lu", k, done);
			KUNIT_EXPECT_EQ_MSG(test, offset_in_page(want), offset_in_page(at),
					    "bio_vec %u at %lu", k, done);
			bvecs_expect_pinned(test, page, true);
			len = min3(bvecs[k].bv_len - done, param->seg[seg].len - seg_done,
				   PAGE_SIZE - offset_in_page(at));
			seg_done += len;
			bytes += len;
		}
	}
	KUNIT_EXPECT_EQ(test, param->bytes, bytes);
}

static void bvecs_run(struct kunit *test, unsigned int dir, bool touched, bool ubuf)
{
	const struct bvecs_param *param = test->param_value;
	const unsigned int gup_flags = dir == ITER_DEST ? FOLL_WRITE : 0;
	unsigned long addr = bvecs_map(test);
	struct bio_vec bvecs[8] = {};
	struct page *pages[NR_PAGES];
	struct iov_iter iter;
	struct iovec iov[4];
	unsigned short nr = 0;
	size_t count = 0;
	ssize_t bytes;
	int i;

	if (touched) {
		KUNIT_ASSERT_EQ(test, NR_PAGES,
				pin_user_pages_fast(addr, NR_PAGES, FOLL_WRITE, pages));
		unpin_user_pages(pages, NR_PAGES);
	}
	for (i = 0; i < param->nr_segs; i++) {
		iov[i].iov_base = (void __user *)addr + param->seg[i].start;
		iov[i].iov_len = param->seg[i].len;
		count += iov[i].iov_len;
	}
	if (ubuf)
		iov_iter_ubuf(&iter, dir, iov[0].iov_base, count);
	else
		iov_iter_init(&iter, dir, iov, param->nr_segs, count);

	bytes = iov_iter_extract_bvecs(&iter, bvecs, param->maxsize ?: SIZE_MAX, &nr,
				       param->max_bvecs ?: ARRAY_SIZE(bvecs), param->mask, 0);
	KUNIT_EXPECT_EQ(test, param->bytes, bytes);
	if (bytes <= 0) {
		KUNIT_EXPECT_EQ(test, 0, nr);
		KUNIT_EXPECT_EQ(test, count, iov_iter_count(&iter));
		return;
	}
	KUNIT_EXPECT_EQ(test, count - bytes, iov_iter_count(&iter));
	KUNIT_EXPECT_LE(test, nr, param->max_bvecs ?: ARRAY_SIZE(bvecs));

	/* Which pages these are, without pins of ours */
	KUNIT_ASSERT_EQ(test, NR_PAGES, pin_user_pages_fast(addr, NR_PAGES, gup_flags, pages));
	unpin_user_pages(pages, NR_PAGES);
	bvecs_compare(test, bvecs, nr, pages);
	release_extracted_bvecs(bvecs, nr, EXTRACTED_PINNED, false);
	for (i = 0; i < NR_PAGES; i++)
		bvecs_expect_pinned(test, pages[i], false);
}

static void extracted_bvecs(struct kunit *test)
{
	const struct bvecs_param *param = test->param_value;
	unsigned int k;

	for (k = 0; k < (param->nr_segs == 1 ? 8 : 4); k++)
		bvecs_run(test, k & 1 ? ITER_SOURCE : ITER_DEST, k & 2, k & 4);
}

/* The list ends before a page that is not there; behind it, that is an error. */
static void extracted_bvecs_fault(struct kunit *test)
{
	unsigned long addr = bvecs_map(test);
	struct bio_vec bvecs[NR_PAGES];
	struct iov_iter iter;
	unsigned short nr = 0;
	unsigned int before;

	KUNIT_ASSERT_EQ(test, 0, vm_munmap(addr + P(2), P(1)));
	iov_iter_ubuf(&iter, ITER_DEST, (void __user *)addr, P(NR_PAGES));
	KUNIT_EXPECT_EQ(test, P(2), iov_iter_extract_bvecs(&iter, bvecs, SIZE_MAX, &nr,
							   NR_PAGES, 0, 0));
	KUNIT_EXPECT_EQ(test, P(2), iov_iter_count(&iter));
	before = nr;
	KUNIT_EXPECT_EQ(test, -EFAULT, iov_iter_extract_bvecs(&iter, bvecs, SIZE_MAX, &nr,
							      NR_PAGES, 0, 0));
	KUNIT_EXPECT_EQ(test, P(2), iov_iter_count(&iter));
	KUNIT_EXPECT_EQ(test, before, nr);
	release_extracted_bvecs(bvecs, nr, EXTRACTED_PINNED, false);
}

/* A second call goes on in the table; a table without entries takes nothing. */
static void extracted_bvecs_go_on(struct kunit *test)
{
	unsigned long addr = bvecs_map(test);
	struct bio_vec bvecs[NR_PAGES];
	struct page *pages[NR_PAGES];
	struct iov_iter iter;
	unsigned short nr = 0;
	unsigned int k, bytes = 0;

	iov_iter_ubuf(&iter, ITER_DEST, (void __user *)addr, P(NR_PAGES));
	KUNIT_EXPECT_EQ(test, 0, iov_iter_extract_bvecs(&iter, bvecs, SIZE_MAX, &nr, 0, 0, 0));
	KUNIT_EXPECT_EQ(test, P(1), iov_iter_extract_bvecs(&iter, bvecs, P(1), &nr,
							   NR_PAGES, 0, 0));
	KUNIT_EXPECT_EQ(test, P(3), iov_iter_extract_bvecs(&iter, bvecs, SIZE_MAX, &nr,
							   NR_PAGES, 0, 0));
	KUNIT_EXPECT_EQ(test, 0, iov_iter_count(&iter));
	for (k = 0; k < nr; k++)
		bytes += bvecs[k].bv_len;
	KUNIT_EXPECT_EQ(test, P(NR_PAGES), bytes);
	release_extracted_bvecs(bvecs, nr, EXTRACTED_PINNED, false);

	KUNIT_ASSERT_EQ(test, NR_PAGES,
			pin_user_pages_fast(addr, NR_PAGES, FOLL_WRITE, pages));
	unpin_user_pages(pages, NR_PAGES);
	for (k = 0; k < NR_PAGES; k++)
		bvecs_expect_pinned(test, pages[k], false);
}

static struct kunit_case extracted_cases[] = {
	KUNIT_CASE_PARAM(extracted_release_pages, extracted_gen_params),
	KUNIT_CASE_PARAM(extracted_release_range, extracted_gen_params),
	KUNIT_CASE_PARAM(extracted_release_bvecs, extracted_gen_params),
	KUNIT_CASE(extracted_retain_listed),
	KUNIT_CASE(extracted_mode),
	KUNIT_CASE(extracted_fault),
	KUNIT_CASE_PARAM(extracted_bvecs, bvecs_gen_params),
	KUNIT_CASE(extracted_bvecs_fault),
	KUNIT_CASE(extracted_bvecs_go_on),
	{}
};

static struct kunit_suite extracted_suite = {
	.name = "iov_iter_extracted",
	.test_cases = extracted_cases,
};

kunit_test_suite(extracted_suite);

MODULE_DESCRIPTION("KUnit tests for extracted pages");
MODULE_LICENSE("GPL");
