// SPDX-License-Identifier: GPL-2.0
/* A bio of user memory, released as block/fops.c does: by bio_release_pages(). */
#include "abi.h"

static int __init abi_init(void)
{
	struct user_page user;
	struct gendisk *disk;
	struct bio_vec bvec;
	struct bio bio;
	int ret;

	disk = blk_alloc_disk(NUMA_NO_NODE);
	if (!disk)
		return -ENOMEM;
	ret = user_page_get(&user);
	if (ret)
		goto out;
	ret = bio_of_user_page(&bio, &bvec, disk, &user);
	if (!ret) {
		bio_release_pages(&bio, false);
		note(user.page, user.count);
	}
	user_page_put(&user);
out:
	put_disk(disk);
	return ret;
}
module_init(abi_init);
