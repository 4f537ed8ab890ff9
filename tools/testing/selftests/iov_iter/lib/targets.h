/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The table of targets: all that is known of one is in its row.  target.c includes it,
 * and tells what the fields are.  ci/guest reads the same rows for the kernel's
 * configuration, modules, and programs that make file systems.
 */
#define ON_EXT4	.fs = "ext4", .package = "e2fsprogs", .mkfs = MKFS_EXT4
/* Without the lazy parts nothing goes on in the background. */
#define MKFS_EXT4	\
	"mkfs.ext4 -q -F -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 @"

DIO_ROW("raw")
DIO_ROW("ext4", ON_EXT4, .config = "EXT4_FS", .modules = "ext4")
DIO_ROW("xfs",
	.config = "XFS_FS", .modules = "xfs", .package = "xfsprogs", .fs = "xfs",
	.mkfs = "mkfs.xfs -q -f @")
DIO_ROW("btrfs",
	.config = "BTRFS_FS", .modules = "btrfs", .package = "btrfs-progs", .fs = "btrfs",
	.mkfs = "mkfs.btrfs -q -f -m single -d single @", .block = 4096, .copies_from = true,
	.copies_to = true)
/* With checksums, btrfs of 6.12 writes through the page cache. */
DIO_ROW("btrfs-nodatasum",
	.config = "BTRFS_FS", .modules = "btrfs", .package = "btrfs-progs", .fs = "btrfs",
	.mkfs = "mkfs.btrfs -q -f -m single -d single @", .options = "nodatasum",
	.block = 4096, .copies_from = true, .copies_to = true)
/* One node of the cluster that it is for */
DIO_ROW("gfs2",
	.config = "GFS2_FS", .modules = "gfs2", .package = "gfs2-utils", .fs = "gfs2",
	.mkfs = "mkfs.gfs2 -q -O -p lock_nolock -j 1 -J 8 @", .copies_from = true)
DIO_ROW("f2fs",
	.config = "F2FS_FS", .modules = "f2fs", .package = "f2fs-tools", .fs = "f2fs",
	.mkfs = "mkfs.f2fs -q -f @", .block = 4096)
/* Blocks of less than a page: a page has several, and can span two bios. */
DIO_ROW("ext2",
	.config = "EXT2_FS", .modules = "ext2", .package = "e2fsprogs", .fs = "ext2",
	.mkfs = "mkfs.ext2 -q -F -b 1024 @", .zeroes = true)
DIO_ROW("vfat",
	.config = "VFAT_FS NLS_CODEPAGE_437 NLS_ISO8859_1 FAT_DEFAULT_UTF8",
	.modules = "vfat nls_cp437 nls_iso8859-1 nls_ascii nls_utf8", .package = "dosfstools",
	.fs = "vfat", .mkfs = "mkfs.vfat -F 32 -s 1 @", .zeroes = true)
DIO_ROW("exfat",
	.config = "EXFAT_FS", .modules = "exfat", .package = "exfatprogs", .fs = "exfat",
	.mkfs = "mkfs.exfat @", .zeroes = true)
DIO_ROW("udf",
	.config = "UDF_FS", .modules = "udf", .package = "udftools", .fs = "udf",
	.mkfs = "mkfs.udf --media-type=hd @", .zeroes = true)
DIO_ROW("jfs",
	.config = "JFS_FS", .modules = "jfs", .package = "jfsutils", .fs = "jfs",
	.mkfs = "mkfs.jfs -q @", .zeroes = true)
DIO_ROW("nilfs2",
	.config = "NILFS2_FS", .modules = "nilfs2", .package = "nilfs-tools", .fs = "nilfs2",
	.mkfs = "mkfs.nilfs2 -q -f @", .buffered_writes = true)
DIO_ROW("hfsplus",
	.config = "HFSPLUS_FS NLS_UTF8", .modules = "hfsplus nls_utf8", .fs = "hfsplus",
	.mkfs = "mkfs.hfsplus @", .zeroes = true,
	.never = "Debian 12 and 13 have no package of mkfs.hfsplus")
DIO_ROW("4kn",
	.config = "BLK_DEV_LOOP", .modules = "loop", .below = ON_LOOP_4K, .block = 4096)
DIO_ROW("4kn-ext4", ON_EXT4, .config = "BLK_DEV_LOOP EXT4_FS", .modules = "loop ext4",
	.below = ON_LOOP_4K, .block = 4096)
DIO_ROW("dm-linear",
	.config = "BLK_DEV_DM", .modules = "dm-mod", .layer = LINEAR)
DIO_ROW("dm-crypt",
	.config = "DM_CRYPT CRYPTO_AES CRYPTO_XTS", .modules = "dm-crypt aes_generic xts",
	.layer = CRYPT)
DIO_ROW("dm-snapshot",
	.config = "DM_SNAPSHOT", .modules = "dm-snapshot", .layer = SNAPSHOT)
DIO_ROW("md-raid1",
	.config = "MD BLK_DEV_MD MD_RAID1", .modules = "raid1", .package = "mdadm",
	.layer = RAID1)
DIO_ROW("loop",
	.config = "BLK_DEV_LOOP EXT4_FS", .modules = "loop ext4", .layer = LOOP)
DIO_ROW("zonefs",
	.config = "BLK_DEV_ZONED ZONEFS_FS BLK_DEV_NULL_BLK CONFIGFS_FS",
	.modules = "null_blk zonefs configfs", .fs = "zonefs", .below = ON_NULL_BLK_ZONED)
DIO_ROW("nvme",
	.config = "BLK_DEV_NVME", .modules = "nvme", .below = ON_NVME)
/* Servers write through their page cache; what they export is an ext4. */
DIO_ROW("smb", ON_EXT4, .config = "CIFS",
	.modules = "cifs ccm cmac ecb hmac md5 sha256_generic sha512_generic nls_utf8",
	.server = "smb", .buffered_writes = true)
DIO_ROW("ksmbd", ON_EXT4, .config = "CIFS SMB_SERVER", .modules = "cifs nls_utf8",
	.server = "ksmbd", .buffered_writes = true)
DIO_ROW("nfs3", ON_EXT4, .config = "NFS_FS NFS_V3 NFSD", .modules = "nfsv3 nfsd",
	.server = "nfs3", .buffered_writes = true)
/* Four requests to a page; it would take long for a large file. */
DIO_ROW("nfs3-1k", ON_EXT4, .config = "NFS_FS NFS_V3 NFSD", .modules = "nfsv3 nfsd",
	.server = "nfs3", .io_size = 1024, .mib = 64, .buffered_writes = true)
DIO_ROW("nfs4", ON_EXT4, .config = "NFS_FS NFS_V4 NFS_V4_1 NFS_V4_2 NFSD NFSD_V4",
	.modules = "nfsv4 nfsd", .server = "nfs4", .buffered_writes = true)
DIO_ROW("fuse", .config = "FUSE_FS", .modules = "fuse", .server = "fuse")

#undef ON_EXT4
#undef MKFS_EXT4
