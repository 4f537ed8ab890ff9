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

static struct kunit_case extracted_cases[] = {
	KUNIT_CASE_PARAM(extracted_release_pages, extracted_gen_params),
	KUNIT_CASE_PARAM(extracted_release_range, extracted_gen_params),
	KUNIT_CASE_PARAM(extracted_release_bvecs, extracted_gen_params),
	KUNIT_CASE(extracted_retain_listed),
	KUNIT_CASE(extracted_mode),
	KUNIT_CASE(extracted_fault),
	{}
};

static struct kunit_suite extracted_suite = {
	.name = "iov_iter_extracted",
	.test_cases = extracted_cases,
};

kunit_test_suite(extracted_suite);

MODULE_DESCRIPTION("KUnit tests for extracted pages");
MODULE_LICENSE("GPL");
