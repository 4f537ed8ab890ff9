// SPDX-License-Identifier: GPL-2.0
/* A bio of a page of somebody else, which bio_release_pages() is to leave alone. */
#include "abi.h"

static int __init abi_init(void)
{
	struct page *page = alloc_page(GFP_KERNEL);
	struct bio_vec bvec;
	struct bio bio;
	int before;

	if (!page)
		return -ENOMEM;
	/* If it is put all the same, it must not be the last reference. */
	get_page(page);
	before = page_count(page);
	bio_init(&bio, NULL, &bvec, 1, REQ_OP_READ);
	__bio_add_page(&bio, page, PAGE_SIZE, 0);
	bio_set_flag(&bio, BIO_NO_PAGE_REF);
	bio_release_pages(&bio, false);
	note(page, before);
	if (page_count(page) == before)
		put_page(page);
	__free_page(page);
	return 0;
}
module_init(abi_init);
