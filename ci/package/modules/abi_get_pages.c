// SPDX-License-Identifier: GPL-2.0
/* User memory by iov_iter_get_pages2(), put by put_page(). */
#include "abi.h"

static int __init abi_init(void)
{
	struct user_page user;
	struct iov_iter iter;
	struct page *page;
	size_t offset;
	int ret;

	ret = user_page_get(&user);
	if (ret)
		return ret;
	iov_iter_ubuf(&iter, ITER_DEST, (void __user *)user.address, PAGE_SIZE);
	ret = iov_iter_get_pages2(&iter, &page, PAGE_SIZE, 1, &offset);
	if (ret > 0) {
		put_page(page);
		note(user.page, user.count);
		if (page != user.page)
			strscpy(result, "another page", sizeof(result));
		ret = 0;
	}
	user_page_put(&user);
	return ret;
}
module_init(abi_init);
