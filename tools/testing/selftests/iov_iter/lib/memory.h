/* SPDX-License-Identifier: GPL-2.0 */
/* Memory that I/O is done with, what it holds, and random numbers */
#ifndef IOV_ITER_LIB_MEMORY_H
#define IOV_ITER_LIB_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define DIO_MIB			(1024UL * 1024)

extern size_t dio_page_size;

/* A byte of the test file as dio_target_open() wrote it: below 0x80. */
static inline unsigned char dio_pattern(off_t pos)
{
	return (pos + (pos >> 9) * 7 + (pos >> 16) * 3) & 0x7f;
}

/* What memory has that nothing was read into: never a dio_pattern() */
#define DIO_UNTOUCHED	0xa5

/* What a file is to hold from @pos on; another @kind differs everywhere. */
void dio_fill(unsigned char *buf, size_t len, off_t pos, unsigned int kind);
/*
 * Each returns NULL if the check holds, otherwise a description of the mismatch: that
 * memory has what dio_fill() makes, is all DIO_UNTOUCHED, is the same as other memory.
 */
const char *dio_compare(const unsigned char *buf, size_t len, off_t pos, unsigned int kind);
const char *dio_unchanged(const unsigned char *buf, size_t len, const char *where);
const char *dio_differ(const unsigned char *got, const unsigned char *want, size_t len);

/* The same sequence for the same seed everywhere, unlike random() */
void dio_random_seed(unsigned long long seed);
unsigned long long dio_random(void);
size_t dio_below(size_t n);

/* Memory of @size bytes, aligned to @align; huge pages are avoided or asked for. */
void *dio_map(size_t size, size_t align, bool huge);
/* Whether huge pages back the memory at @addr. */
bool dio_is_huge(const void *addr);

/*
 * Shared memory of @size bytes that is mapped writable, is zero, and is clean until
 * somebody stores to it, or marks it dirty because he wrote to it in another way.
 */
void *dio_map_clean(size_t size);

/*
 * Peer-to-peer memory of a PCI device, from the p2pmem/allocate that
 * IOV_ITER_DEVICE_MEMORY names.  Most users of memory have to refuse it.  NULL if there is
 * none: DIO_NO_DEVICE_MEMORY says so.
 */
void *dio_map_device(size_t size);
#define DIO_NO_DEVICE_MEMORY	"IOV_ITER_DEVICE_MEMORY names no file"
/* How many bytes of it are dirty */
size_t dio_dirty(const void *mem);
/*
 * Why not @want bytes of it are dirty, or NULL.  Waits for as many to become so:
 * a read may return before the last of those who hold its pages lets go of them.
 */
const char *dio_dirty_problem(const void *mem, size_t want);
/* The same of a pread() or pwrite() of such memory, at the start of a file */
const char *dio_dirty_io(int fd, bool write);
/*
 * The same of a pread() into a huge page of shared memory.  It must be there still when
 * all that is clean is taken away.  False: there are no such pages, and @why.
 */
bool dio_dirty_huge_io(int fd, const char **why);

void dio_full_pread(int fd, void *buf, size_t len, off_t pos);
void dio_full_pwrite(int fd, const void *buf, size_t len, off_t pos);

#endif /* IOV_ITER_LIB_MEMORY_H */
