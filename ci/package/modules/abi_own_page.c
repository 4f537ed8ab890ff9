// SPDX-License-Identifier: GPL-2.0
/* A bio of a page that the module took itself, and that bio_release_pages() is to put. */
#include "abi.h"

static int __init abi_init(void)
{
	struct page *page = alloc_page(GFP_KERNEL);
	struct bio_vec bvec;
	struct bio bio;
	int before;

	if (!page)
		return -ENOMEM;
	before = page_count(page);
	bio_init(&bio, NULL, &bvec, 1, REQ_OP_READ);
	get_page(page);
	__bio_add_page(&bio, page, PAGE_SIZE, 0);
	bio_release_pages(&bio, false);
	note(page, before);
	__free_page(page);
	return 0;
}
module_init(abi_init);
