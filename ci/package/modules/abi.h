/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the modules of ci/package/abi have in common.  Each of them does at its loading what
 * a module written for the base does, with one page.  Then it says whether the page is held
 * as often as before, in /sys/module/NAME/parameters/result.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/uio.h>

static char result[80];
module_param_string(result, result, sizeof(result), 0444);
MODULE_PARM_DESC(result, "right, or what is wrong");
MODULE_DESCRIPTION("What a module that was built for another kernel does here");
MODULE_LICENSE("GPL");

/* One page of the process that loads the module, which has it mapped. */
struct user_page {
	unsigned long address;
	struct page *page;
	int count;
};

static inline int user_page_get(struct user_page *user)
{
	user->address = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				MAP_ANONYMOUS | MAP_PRIVATE, 0);
	if (IS_ERR_VALUE(user->address))
		return (int)user->address;
	if (get_user_pages_fast(user->address, 1, FOLL_WRITE, &user->page) != 1) {
		vm_munmap(user->address, PAGE_SIZE);
		return -EFAULT;
	}
	user->count = page_count(user->page);
	return 0;
}

static inline void user_page_put(struct user_page *user)
{
	put_page(user->page);
	vm_munmap(user->address, PAGE_SIZE);
}

static inline void note(struct page *page, int before)
{
	int left = page_count(page) - before;

	if (!left)
		strscpy(result, "right", sizeof(result));
	else
		snprintf(result, sizeof(result), "references left: %d%s", left,
			 page_maybe_dma_pinned(page) ? ", and the page looks pinned" : "");
}

/* What a bio needs to be given pages of a user: a disk, which does nothing. */
static inline int bio_of_user_page(struct bio *bio, struct bio_vec *bvec, struct gendisk *disk,
				   struct user_page *user)
{
	struct iov_iter iter;

	iov_iter_ubuf(&iter, ITER_DEST, (void __user *)user->address, PAGE_SIZE);
	bio_init(bio, disk->part0, bvec, 1, REQ_OP_READ);
	return bio_iov_iter_get_pages(bio, &iter);
}

static void __exit abi_exit(void)
{
}
module_exit(abi_exit);
