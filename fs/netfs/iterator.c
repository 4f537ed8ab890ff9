// SPDX-License-Identifier: GPL-2.0
/*
 * Network filesystems turn the iterator of a direct I/O into one that outlives the
 * caller of read() or write(), or into a scatterlist.
 *
 * The mode of the original iterator says how the pages are held.  The mode of the
 * new one does not: a BVEC iterator over pinned pages has a mode of 0, because these
 * pages have an owner.
 */
#include <linux/bvec.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/netfs.h>
#include <linux/scatterlist.h>
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
 * netfs_extract_user_iter - Extract pages of user memory and make an iterator of them
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
ssize_t netfs_extract_user_iter(struct iov_iter *iter, size_t maxsize,
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
EXPORT_SYMBOL_GPL(netfs_extract_user_iter);

/**
 * netfs_release_extracted_iter - Give back what netfs_extract_user_iter() took
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

/*
 * The entry behind @sg, in a table that has one, wherever its list ended so far:
 * that is noted in @end
 */
static struct scatterlist *netfs_next_entry(struct scatterlist *sg,
					    struct scatterlist **end)
{
	if (sg_is_last(sg)) {
		sg_unmark_end(sg);
		*end = sg;
	}
	return sg_next(sg);
}

/**
 * netfs_extract_iter_to_sg - Extract pages of an iterator and append them to a table
 * @iter: An iterator of any kind.
 * @maxsize: How many bytes to append at most.
 * @maxents: How many entries to append at most.
 * @extract_flags: %ITER_ALLOW_P2PDMA and %ITER_PIN_SOURCE, or 0.
 * @sgt: The table.  @sgt->nents of its @sgt->orig_nents entries are in use.
 *
 * Lists the next bytes of @iter, which is advanced by them, in the entries that
 * follow those in use.  Each new entry lies in one page and holds what there is in
 * that page.  A table that was allocated with more entries than are in use can be
 * filled in several calls, and from several iterators; set @sgt->nents to 0 before
 * the first one.  The end of the list is not marked: to have it end at the last
 * entry in use, call sg_mark_end().  A further call takes that mark away.
 *
 * The pages are held as iov_iter_extract_mode() answers for @iter and
 * @extract_flags.  That is not noted in the table.  The caller keeps it, with the
 * number of the first entry and of entries, and passes them to
 * netfs_release_sg_pages().
 *
 * If the result is not positive, then @iter and @sgt are as they were.
 *
 * Context: May sleep.  As for iov_iter_extract_pages(), a UBUF or IOVEC iterator is
 * about the current mm, whose mmap_lock must not be held.
 * Return:
 * * the number of bytes appended, never more than @maxsize.  Fewer than asked for
 *   is no error: they end where @maxents is reached, where the table is full, and
 *   before memory that can't be listed
 * * 0 only if @maxsize, @maxents or the count of @iter is 0, or the table is full
 * * -EFAULT, -ENOMEM, -EINTR, -EIO, -EINVAL as iov_iter_extract_pages(), about the
 *   first page
 */
ssize_t netfs_extract_iter_to_sg(struct iov_iter *iter, size_t maxsize,
				 unsigned int maxents, unsigned int extract_flags,
				 struct sg_table *sgt)
{
	struct page *array[16], **pages = array;
	struct scatterlist *sg = sgt->sgl, *end = NULL;
	size_t offset, bytes = 0;
	ssize_t left = 0;
	unsigned int i;

	maxents = min(maxents, sgt->orig_nents - sgt->nents);
	for (i = 0; maxents && i < sgt->nents; i++)
		sg = netfs_next_entry(sg, &end);

	while (bytes < maxsize && maxents) {
		left = iov_iter_extract_pages(iter, &pages, maxsize - bytes,
					      min_t(unsigned int, maxents,
						    ARRAY_SIZE(array)),
					      extract_flags, &offset);
		if (left <= 0)
			break;
		bytes += left;
		for (i = 0; left > 0; i++) {
			size_t len = min_t(size_t, left, PAGE_SIZE - offset);

			sg_set_page(sg, array[i], len, offset);
			if (++sgt->nents < sgt->orig_nents)
				sg = netfs_next_entry(sg, &end);
			left -= len;
			offset = 0;
		}
		maxents -= i;
	}
	if (bytes)
		return bytes;
	if (end)
		sg_mark_end(end);
	return left;
}
EXPORT_SYMBOL_GPL(netfs_extract_iter_to_sg);

/**
 * netfs_release_sg_pages - Give back what netfs_extract_iter_to_sg() took
 * @sgt: The table.
 * @first: The number of the first entry whose page is to be released.
 * @nents: How many entries there are from there on.
 * @mode: How their pages are held: what iov_iter_extract_mode() answered for the
 *	iterator that they come from.
 * @mark_dirty: Mark the folios dirty first: they were written to.
 *
 * The table is as it was, but for that these entries must not be used any more.
 * Entries that come from iterators of another mode take another call.
 *
 * Context: May sleep if @mark_dirty is set, any context otherwise.
 */
void netfs_release_sg_pages(struct sg_table *sgt, unsigned int first,
			    unsigned int nents, unsigned int mode, bool mark_dirty)
{
	struct scatterlist *sg = sgt->sgl;

	if (!nents)
		return;
	while (first--)
		sg = sg_next(sg);
	for (; nents--; sg = sg_next(sg))
		release_extracted_range(sg_page(sg), 1, mode, mark_dirty);
}
EXPORT_SYMBOL_GPL(netfs_release_sg_pages);
