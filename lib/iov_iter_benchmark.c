// SPDX-License-Identifier: GPL-2.0
/*
 * Measure the time to list the pages of an I/O iterator, by kind of iterator, with
 * iov_iter_extract_pages() and with iov_iter_get_pages2(), and the time to release them.
 *
 * Runs once, late in the boot, and prints a line for each kind and number of
 * pages to the kernel log:
 *
 *	iov_iter_benchmark: FUNCTION KIND PAGES NANOSECONDS CALLS
 *
 * FUNCTION is "extract" or "get", "release" or "put".  The time is that of listing all
 * PAGES once, in CALLS calls, or of releasing them.  Every page of user memory is
 * present.  Under QEMU with -icount shift=0,sleep=off and one CPU a nanosecond is an
 * instruction.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bvec.h>
#include <linux/completion.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/xarray.h>

#define MAX_PAGES	256
#define ROUNDS		5
#define REPEATS		16	/* takes of a page before its release */

enum iter_kind { UBUF, IOVEC, KVEC, BVEC, BVEC_LARGE, XARRAY, NR_KINDS };

static const char * const kind_names[] = {
	[UBUF] = "ubuf", [IOVEC] = "iovec", [KVEC] = "kvec", [BVEC] = "bvec",
	[BVEC_LARGE] = "bvec-large", [XARRAY] = "xarray",
};

struct benchmark {
	struct completion done;
	int result;
	unsigned long uaddr;
	struct page *kernel_pages[MAX_PAGES];	/* single pages */
	struct page *large;			/* one large folio of as many pages */
	struct xarray xarray;
	union {
		struct iovec iov[MAX_PAGES];
		struct kvec kvec[MAX_PAGES];
		struct bio_vec bvec[MAX_PAGES];
	};
	struct page *list[REPEATS][MAX_PAGES];
};

/* A segment for each page, because the pages need not be neighbours */
static void init_iter(struct benchmark *b, struct iov_iter *i, enum iter_kind kind,
		      unsigned int direction, unsigned int nr)
{
	size_t count = nr * PAGE_SIZE;
	unsigned int k;

	switch (kind) {
	case UBUF:
		iov_iter_ubuf(i, direction, (void __user *)b->uaddr, count);
		break;
	case IOVEC:
		for (k = 0; k < nr; k++) {
			b->iov[k].iov_base = (void __user *)(b->uaddr + k * PAGE_SIZE);
			b->iov[k].iov_len = PAGE_SIZE;
		}
		iov_iter_init(i, direction, b->iov, nr, count);
		break;
	case KVEC:
		for (k = 0; k < nr; k++) {
			b->kvec[k].iov_base = page_address(b->kernel_pages[k]);
			b->kvec[k].iov_len = PAGE_SIZE;
		}
		iov_iter_kvec(i, direction, b->kvec, nr, count);
		break;
	case BVEC:
		for (k = 0; k < nr; k++)
			bvec_set_page(&b->bvec[k], b->kernel_pages[k], PAGE_SIZE, 0);
		iov_iter_bvec(i, direction, b->bvec, nr, count);
		break;
	case BVEC_LARGE:
		bvec_set_page(&b->bvec[0], b->large, count, 0);
		iov_iter_bvec(i, direction, b->bvec, 1, count);
		break;
	default:
		iov_iter_xarray(i, direction, &b->xarray, 0, count);
		break;
	}
}

struct lister {
	const char *name, *release_name;
	ssize_t (*list)(struct iov_iter *i, struct page **pages, unsigned int maxpages);
	void (*release)(struct page **pages, unsigned int nr, struct iov_iter *i);
};

static ssize_t get_list(struct iov_iter *i, struct page **pages, unsigned int maxpages)
{
	size_t offset;

	return iov_iter_get_pages2(i, pages, LONG_MAX, maxpages, &offset);
}

/* As the callers of iov_iter_get_pages2() do */
static void get_release(struct page **pages, unsigned int nr, struct iov_iter *i)
{
	unsigned int k;

	for (k = 0; k < nr; k++)
		put_page(pages[k]);
}

static const struct lister get = { "get", "put", get_list, get_release };

/* The same file also measures a kernel that lacks the function, to compare. */
#ifdef ITER_PIN_SOURCE
static ssize_t extract_list(struct iov_iter *i, struct page **pages, unsigned int maxpages)
{
	size_t offset;

	return iov_iter_extract_pages(i, &pages, LONG_MAX, maxpages,
				      ITER_PIN_SOURCE, &offset);
}

static void extract_release(struct page **pages, unsigned int nr, struct iov_iter *i)
{
	release_extracted_pages(pages, nr, iov_iter_extract_mode(i, ITER_PIN_SOURCE),
				false);
}

static const struct lister extract = { "extract", "release", extract_list, extract_release };
#endif

/* List all @nr pages.  Returns the number of calls that it took, 0 if one fails. */
static unsigned int list_all(const struct lister *l, struct iov_iter *i,
			     struct page **pages, unsigned int nr)
{
	unsigned int done = 0, calls = 0;

	while (done < nr) {
		ssize_t bytes = l->list(i, pages + done, nr - done);

		if (bytes <= 0) {
			l->release(pages, done, i);
			return 0;
		}
		done += bytes / PAGE_SIZE;
		calls++;
	}
	return calls;
}

static void measure(struct benchmark *b, const struct lister *l, enum iter_kind kind,
		    unsigned int direction, unsigned int nr)
{
	const char *to = direction == ITER_DEST ? "dest" : "source";
	u64 best = U64_MAX, best_release = U64_MAX;
	unsigned int round, k, calls = 0;

	for (round = 0; round < ROUNDS; round++) {
		struct iov_iter start, i;
		u64 time, empty;

		init_iter(b, &start, kind, direction, nr);
		empty = ktime_get_ns();
		time = ktime_get_ns();
		empty = time - empty;
		for (k = 0; k < REPEATS; k++) {
			i = start;
			calls = list_all(l, &i, b->list[k], nr);
			if (!calls)
				break;
		}
		time = ktime_get_ns() - time - empty;
		best = min(best, div_u64(time, REPEATS));
		time = ktime_get_ns();
		while (k--)
			l->release(b->list[k], nr, &start);
		time = ktime_get_ns() - time - empty;
		best_release = min(best_release, div_u64(time, REPEATS));
		if (!calls) {
			pr_info("%s %s-%s %u is refused\n", l->name, kind_names[kind], to, nr);
			return;
		}
	}
	pr_info("%s %s-%s %u %llu %u\n", l->name, kind_names[kind], to, nr, best, calls);
	pr_info("%s %s-%s %u %llu 1\n", l->release_name, kind_names[kind], to, nr, best_release);
}

static int set_up(struct benchmark *b)
{
	struct page *page;
	unsigned int k;

	xa_init(&b->xarray);
	b->large = alloc_pages(GFP_KERNEL | __GFP_COMP, get_order(MAX_PAGES * PAGE_SIZE));
	if (!b->large)
		return -ENOMEM;
	for (k = 0; k < MAX_PAGES; k++) {
		b->kernel_pages[k] = alloc_page(GFP_KERNEL);
		if (!b->kernel_pages[k])
			return -ENOMEM;
		if (xa_err(xa_store(&b->xarray, k, b->kernel_pages[k], GFP_KERNEL)))
			return -ENOMEM;
	}
	b->uaddr = vm_mmap(NULL, 0, MAX_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, 0);
	if (IS_ERR_VALUE(b->uaddr))
		return b->uaddr;
	for (k = 0; k < MAX_PAGES; k++) {
		if (get_user_pages_fast(b->uaddr + k * PAGE_SIZE, 1, FOLL_WRITE, &page) != 1)
			return -EFAULT;
		put_page(page);
	}
	return 0;
}

static void tear_down(struct benchmark *b)
{
	unsigned int k;

	xa_destroy(&b->xarray);
	for (k = 0; k < MAX_PAGES && b->kernel_pages[k]; k++)
		__free_page(b->kernel_pages[k]);
	if (b->large)
		__free_pages(b->large, get_order(MAX_PAGES * PAGE_SIZE));
}

static void run(struct benchmark *b)
{
	static const unsigned int sizes[] = { 1, 16, 64, MAX_PAGES };
	unsigned int kind, direction, s;

	for (kind = 0; kind < NR_KINDS; kind++)
		for (direction = ITER_DEST; direction <= ITER_SOURCE; direction++)
			for (s = 0; s < ARRAY_SIZE(sizes); s++) {
				measure(b, &get, kind, direction, sizes[s]);
#ifdef ITER_PIN_SOURCE
				measure(b, &extract, kind, direction, sizes[s]);
#endif
			}
}

/* In an address space of its own, which ends with the thread's use of it */
static int benchmark_thread(void *data)
{
	struct benchmark *b = data;
	struct mm_struct *mm = mm_alloc();

	b->result = -ENOMEM;
	if (mm) {
		mm->task_size = TASK_SIZE;
		arch_pick_mmap_layout(mm, &current->signal->rlim[RLIMIT_STACK]);
		kthread_use_mm(mm);
		b->result = set_up(b);
		if (!b->result)
			run(b);
		tear_down(b);
		kthread_unuse_mm(mm);
		mmput(mm);
	}
	complete(&b->done);
	return 0;
}

static int __init iov_iter_benchmark(void)
{
	struct benchmark *b = kvzalloc(sizeof(*b), GFP_KERNEL);
	struct task_struct *thread;
	int ret;

	if (!b)
		return -ENOMEM;
	init_completion(&b->done);
	thread = kthread_run(benchmark_thread, b, "iov_iter_benchmark");
	if (IS_ERR(thread)) {
		ret = PTR_ERR(thread);
	} else {
		wait_for_completion(&b->done);
		ret = b->result;
	}
	kvfree(b);
	return ret;
}
late_initcall(iov_iter_benchmark);
