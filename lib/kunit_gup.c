// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the functions that take pages of user memory: each must hold the
 * pages that it lists, in the same way with and without an MMU.
 *
 *	./tools/testing/kunit/kunit.py run --arch x86_64 iov_iter_gup \
 *		--kconfig_add CONFIG_IOV_ITER_GUP_KUNIT_TEST=y
 */

#include <kunit/test.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>

#define NR_PAGES	4

enum call {
	PLAIN,
	UNLOCKED,
	FAST,
};

static const struct param {
	const char *name;
	enum call call;
	bool pin;
} params[] = {
	{ "get_user_pages", PLAIN, false },
	{ "get_user_pages_unlocked", UNLOCKED, false },
	{ "get_user_pages_fast", FAST, false },
	{ "pin_user_pages", PLAIN, true },
	{ "pin_user_pages_unlocked", UNLOCKED, true },
	{ "pin_user_pages_fast", FAST, true },
};

static void param_desc(const struct param *param, char *desc)
{
	strscpy(desc, param->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(gup, params, param_desc);

static long take(const struct param *param, unsigned long uaddr, struct page **pages)
{
	long nr;

	switch (param->call) {
	case PLAIN:
		mmap_read_lock(current->mm);
		nr = param->pin ? pin_user_pages(uaddr, NR_PAGES, FOLL_WRITE, pages, NULL) :
				  get_user_pages(uaddr, NR_PAGES, FOLL_WRITE, pages, NULL);
		mmap_read_unlock(current->mm);
		return nr;
	case UNLOCKED:
		return param->pin ? pin_user_pages_unlocked(uaddr, NR_PAGES, pages, FOLL_WRITE) :
				    get_user_pages_unlocked(uaddr, NR_PAGES, pages, FOLL_WRITE);
	default:
		return param->pin ? pin_user_pages_fast(uaddr, NR_PAGES, FOLL_WRITE, pages) :
				    get_user_pages_fast(uaddr, NR_PAGES, FOLL_WRITE, pages);
	}
}

/* Each listed page has one hold, and the matching release gives it back. */
static void holds_pages(struct kunit *test)
{
	const struct param *param = test->param_value;
	struct page *pages[NR_PAGES];
	int before[NR_PAGES], n;
	unsigned long uaddr;

	uaddr = vm_mmap(NULL, 0, NR_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, 0);
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_VALUE(uaddr), "vm_mmap: %ld", (long)uaddr);

	/* Pins have been tested already without an MMU, references not. */
	KUNIT_ASSERT_EQ(test, NR_PAGES, pin_user_pages_fast(uaddr, NR_PAGES, FOLL_WRITE, pages));
	unpin_user_pages(pages, NR_PAGES);
	lru_add_drain_all();
	for (n = 0; n < NR_PAGES; n++)
		before[n] = page_ref_count(pages[n]);

	KUNIT_ASSERT_EQ(test, NR_PAGES, take(param, uaddr, pages));
	/* A page that was touched may wait for its list, which takes a reference. */
	lru_add_drain_all();
	for (n = 0; n < NR_PAGES; n++)
		KUNIT_EXPECT_EQ_MSG(test, page_ref_count(pages[n]),
				    before[n] + (param->pin ? GUP_PIN_COUNTING_BIAS : 1),
				    "page %d", n);
	if (param->pin)
		unpin_user_pages(pages, NR_PAGES);
	else
		release_pages(pages, NR_PAGES);
	for (n = 0; n < NR_PAGES; n++)
		KUNIT_EXPECT_EQ_MSG(test, page_ref_count(pages[n]), before[n], "page %d", n);
	vm_munmap(uaddr, NR_PAGES * PAGE_SIZE);
}

static int gup_test_init(struct kunit *test)
{
	struct mm_struct *mm = mm_alloc();

	if (!mm)
		return -ENOMEM;
#ifdef CONFIG_MMU
	mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(mm, &current->signal->rlim[RLIMIT_STACK]);
#endif
	kthread_use_mm(mm);
	test->priv = mm;
	return 0;
}

static void gup_test_exit(struct kunit *test)
{
	struct mm_struct *mm = test->priv;

	/* The thread of the test may have ended by now, and has left its mm then. */
	if (!mm || current->mm != mm)
		return;
	kthread_unuse_mm(mm);
	mmput(mm);
}

static struct kunit_case gup_test_cases[] = {
	KUNIT_CASE_PARAM(holds_pages, gup_gen_params),
	{}
};

static struct kunit_suite gup_test_suite = {
	.name = "iov_iter_gup",
	.init = gup_test_init,
	.exit = gup_test_exit,
	.test_cases = gup_test_cases,
};

kunit_test_suite(gup_test_suite);
