// SPDX-License-Identifier: GPL-2.0
/*
 * What network filesystems make of the iterator of a direct I/O: an iterator that
 * outlives the caller of read() or write().
 *
 * Its pages stay held as the iterator that they come from says.  What is made from
 * them has no say in that: a BVEC iterator over pinned pages extracts with a mode of
 * 0, as those pages have an owner.
 */
#include <linux/bvec.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/netfs.h>
#include <linux/slab.h>
#include <linux/uio.h>

/*
 * List the pages in @bv[], of which @max entries are free.  The page pointers, less
 * than half the size, wait in the end of that array and are overtaken by none.
 */
static ssize_t extract_to_bvec(struct iov_iter *iter, size_t maxsize,
			       unsigned int extract_flags, struct bio_vec *bv,
			       unsigned int max, unsigned int *nr)
{
	struct page **pages = (struct page **)(bv + max) - max;
	ssize_t bytes, left;
	size_t offset;

	BUILD_BUG_ON(sizeof(*bv) < 2 * sizeof(*pages));

	bytes = iov_iter_extract_pages(iter, &pages, maxsize, max, extract_flags,
				       &offset);
	for (left = bytes, *nr = 0; left > 0; left -= bv++->bv_len, ++*nr) {
		size_t len = min_t(size_t, left, PAGE_SIZE - offset);
		struct page *page = *pages++;

		bv->bv_page = page;
		bv->bv_offset = offset;
		bv->bv_len = len;
		offset = 0;
	}
	return bytes;
}

/**
 * netfs_extract_iter - Extract pages of user memory and make an iterator of them
 * @iter: A UBUF or IOVEC iterator.
 * @maxsize: How many bytes to extract at most.
 * @extract_flags: %ITER_ALLOW_P2PDMA and %ITER_PIN_SOURCE, or 0.
 * @xi: What is extracted.  Whatever it contained before is overwritten.
 *
 * @xi->iter becomes a BVEC iterator of the same direction over the next bytes of
 * @iter, which is advanced by them.  It can be used by any thread and after the
 * address space is gone, copied, advanced and reverted.  Each entry of @xi->bv,
 * which it goes over, lies in one page; there are @xi->nr_bv of them.
 *
 * @xi->mode says how the pages are held: as iov_iter_extract_mode() answers for
 * @iter and not for @xi->iter.  netfs_release_extracted_iter() gives back the pages
 * and frees the entries, when nobody uses @xi->iter or a copy of it any more.
 *
 * If the result is not positive, then @iter is as it was, and there is nothing to
 * be given back: to do so is allowed and has no effect.
 *
 * Context: May sleep.  As for iov_iter_extract_pages(), @iter is about the current
 * mm, whose mmap_lock must not be held.
 * Return:
 * * the number of bytes, never more than @maxsize.  Fewer than asked for is no
 *   error: they end before memory that is not accessible
 * * 0 only if @maxsize or the count of @iter is 0
 * * -EFAULT if the first page is not accessible
 * * -ENOMEM if there is no memory for the entries or to fault in the first page
 * * -EINTR if a fatal signal is pending
 * * -EIO if @iter is not about user memory, which is a bug of the caller
 * * -EINVAL for flags that are not known
 */
ssize_t netfs_extract_iter(struct iov_iter *iter, size_t maxsize,
			   unsigned int extract_flags,
			   struct netfs_extracted_iter *xi)
{
	struct iov_iter counted = *iter;
	unsigned int max, nr;
	size_t bytes = 0;
	ssize_t ret = 0;

	memset(xi, 0, sizeof(*xi));
	if (WARN_ON_ONCE(!user_backed_iter(iter)))
		return -EIO;
	maxsize = min3(maxsize, iov_iter_count(iter), (size_t)MAX_RW_COUNT);
	iov_iter_truncate(&counted, maxsize);
	max = iov_iter_npages(&counted, INT_MAX);
	if (!max)
		return 0;
	xi->bv = kvmalloc_array(max, sizeof(*xi->bv), GFP_KERNEL);
	if (!xi->bv)
		return -ENOMEM;
	xi->mode = iov_iter_extract_mode(iter, extract_flags);

	while (bytes < maxsize && xi->nr_bv < max) {
		ret = extract_to_bvec(iter, maxsize - bytes, extract_flags,
				      xi->bv + xi->nr_bv, max - xi->nr_bv, &nr);
		if (ret <= 0)
			break;
		xi->nr_bv += nr;
		bytes += ret;
	}
	if (!bytes) {
		kvfree(xi->bv);
		memset(xi, 0, sizeof(*xi));
		return ret;
	}
	iov_iter_bvec(&xi->iter, iov_iter_rw(iter), xi->bv, xi->nr_bv, bytes);
	return bytes;
}
EXPORT_SYMBOL_GPL(netfs_extract_iter);

/**
 * netfs_release_extracted_iter - Give back what netfs_extract_iter() took
 * @xi: What was extracted; empty afterwards.
 * @mark_dirty: Mark the folios dirty first: they were written to.
 *
 * Releases each page by the mode that it was extracted with, and frees @xi->bv.
 * @xi->iter and its copies must not be used any more.
 *
 * Context: May sleep.
 */
void netfs_release_extracted_iter(struct netfs_extracted_iter *xi, bool mark_dirty)
{
	release_extracted_bvecs(xi->bv, xi->nr_bv, xi->mode, mark_dirty);
	kvfree(xi->bv);
	memset(xi, 0, sizeof(*xi));
}
EXPORT_SYMBOL_GPL(netfs_release_extracted_iter);
