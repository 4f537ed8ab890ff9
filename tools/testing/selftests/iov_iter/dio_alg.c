// SPDX-License-Identifier: GPL-2.0
/*
 * AF_ALG: user memory that ciphers write to (recvmsg of cbc(aes) and gcm(aes)) and
 * that a hash reads (sendmsg of sha256), against what the library nettle makes of
 * the same data.  What is sent to a cipher is copied by the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/if_alg.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <nettle/aes.h>
#include <nettle/cbc.h>
#include <nettle/gcm.h>
#include <nettle/sha2.h>

#include "lib/cases.h"
#include "lib/disk.h"
#include "lib/measure.h"
#include "lib/memory.h"
#include "lib/pcrypt.h"
#include "lib/pins.h"
#include "lib/result.h"

#define MAX_LENGTH	(256 * 1024UL)
#define LARGE_LENGTH	(16 * DIO_MIB)	/* of a hash */
#define QUEUE_LENGTH	(128 * 1024UL)	/* what a cipher takes before it is read */
#define ASSOC_LENGTH	20UL
#define TAG_LENGTH	16UL
#define FORKS		50

enum algorithm {
	SHA256_HASH,
	CBC,
	GCM,
	PCRYPT,		/* the same, asynchronous */
	NR_ALGORITHMS,
};

static const struct {
	const char *type, *name;
} algorithms[NR_ALGORITHMS] = {
	[SHA256_HASH]	= { "hash", "sha256" },
	[CBC]		= { "skcipher", "cbc(aes)" },
	[GCM]		= { "aead", "gcm(aes)" },
	[PCRYPT]	= { "aead", "gcm(aes) by pcrypt" },
};

static const unsigned char key[16] = "0123456789abcdef";
static const unsigned char iv[16] = "fedcba987654321";	/* GCM: the first 12 */

static unsigned char *plain;	/* LARGE_LENGTH of data, page aligned */
static unsigned char *cipher;	/* MAX_LENGTH of what nettle makes of it */
/* The socket that the algorithm is chosen with, or a negative errno */
static int bind_algorithm(enum algorithm a)
{
	struct sockaddr_alg address = { .salg_family = AF_ALG };
	int fd, ret = 0;

	strcpy((char *)address.salg_type, algorithms[a].type);
	strcpy((char *)address.salg_name, a == PCRYPT ? dio_pcrypt_name() : algorithms[a].name);
	fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    (a != SHA256_HASH && setsockopt(fd, SOL_ALG, ALG_SET_KEY, key, sizeof(key))) ||
	    (a >= GCM && setsockopt(fd, SOL_ALG, ALG_SET_AEAD_AUTHSIZE, NULL, TAG_LENGTH)))
		ret = -errno;
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

/* The socket that data goes through */
static int open_algorithm(enum algorithm a)
{
	int fd, bound = bind_algorithm(a);

	if (bound < 0)
		dio_die("%s: %s\n", algorithms[a].name, strerror(-bound));
	fd = accept4(bound, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		dio_die("%s: accept: %s\n", algorithms[a].name, strerror(errno));
	close(bound);
	return fd;
}

/* Send to a cipher: the first time with what to do */
static ssize_t feed(int fd, enum algorithm a, bool encrypt, const void *data, size_t length,
		    bool first, bool more)
{
	unsigned int iv_length = a == CBC ? 16 : 12;
	char control[CMSG_SPACE(4) + CMSG_SPACE(4 + 16) + CMSG_SPACE(4)] = { 0 };
	struct iovec iov = { (void *)data, length };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	struct af_alg_iv *to;

	if (first) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(4) + CMSG_SPACE(4 + iv_length) +
				     (a == CBC ? 0 : CMSG_SPACE(4));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_ALG;
		c->cmsg_type = ALG_SET_OP;
		c->cmsg_len = CMSG_LEN(4);
		*(unsigned int *)CMSG_DATA(c) = encrypt ? ALG_OP_ENCRYPT : ALG_OP_DECRYPT;
		c = CMSG_NXTHDR(&msg, c);
		c->cmsg_level = SOL_ALG;
		c->cmsg_type = ALG_SET_IV;
		c->cmsg_len = CMSG_LEN(4 + iv_length);
		to = (struct af_alg_iv *)CMSG_DATA(c);
		to->ivlen = iv_length;
		memcpy(to->iv, iv, iv_length);
		if (a != CBC) {
			c = CMSG_NXTHDR(&msg, c);
			c->cmsg_level = SOL_ALG;
			c->cmsg_type = ALG_SET_AEAD_ASSOCLEN;
			c->cmsg_len = CMSG_LEN(4);
			*(unsigned int *)CMSG_DATA(c) = ASSOC_LENGTH;
		}
	}
	return sendmsg(fd, &msg, more ? MSG_MORE : 0);
}

/* What nettle makes of the first @length bytes of @plain, in @cipher */
static void expect_cbc(size_t length)
{
	struct CBC_CTX(struct aes128_ctx, AES_BLOCK_SIZE) cbc;

	aes128_set_encrypt_key(&cbc.ctx, key);
	CBC_SET_IV(&cbc, iv);
	CBC_ENCRYPT(&cbc, aes128_encrypt, length, cipher, plain);
}

/* The data that is only authenticated, the rest encrypted, the tag behind it */
static void expect_gcm(size_t length)
{
	struct gcm_aes128_ctx gcm;

	gcm_aes128_set_key(&gcm, key);
	gcm_aes128_set_iv(&gcm, 12, iv);
	memcpy(cipher, plain, ASSOC_LENGTH);
	gcm_aes128_update(&gcm, ASSOC_LENGTH, plain);
	gcm_aes128_encrypt(&gcm, length - ASSOC_LENGTH, cipher + ASSOC_LENGTH,
			   plain + ASSOC_LENGTH);
	gcm_aes128_digest(&gcm, TAG_LENGTH, cipher + length);
}

/*
 * 1. The hash: it reads user memory.
 */
static const char *digest_differs(int fd, const void *data, size_t length)
{
	unsigned char got[SHA256_DIGEST_SIZE], want[SHA256_DIGEST_SIZE];
	struct sha256_ctx context;
	const char *wrong;

	sha256_init(&context);
	sha256_update(&context, length, data);
	sha256_digest(&context, sizeof(want), want);
	wrong = dio_count(read(fd, got, sizeof(got)), sizeof(got));
	return wrong ? wrong : dio_differ(got, want, sizeof(got));
}

static const char *test_hash_lengths(unsigned int unused)
{
	static const size_t lengths[] = {
		0, 1, 511, 4096, 4097, 65536, 65537, DIO_MIB + 3, LARGE_LENGTH - 4096,
	};
	int fd = open_algorithm(SHA256_HASH);
	const char *wrong = NULL;
	unsigned int i, offset;

	for (i = 0; i < ARRAY_SIZE(lengths) && !wrong; i++) {
		for (offset = 0; offset < 3 && !wrong; offset++) {
			wrong = dio_count(send(fd, plain + offset, lengths[i], 0), lengths[i]);
			if (!wrong)
				wrong = digest_differs(fd, plain + offset, lengths[i]);
		}
	}
	close(fd);
	return wrong;
}

static const char *test_hash_chained(unsigned int unused)
{
	const size_t pieces[] = { 1, 4095, 4096, 0, 8192, 100, 70000, 3 };
	int fd = open_algorithm(SHA256_HASH);
	const char *wrong = NULL;
	size_t done = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pieces) && !wrong; i++) {
		wrong = dio_count(send(fd, plain + done, pieces[i],
				       i + 1 < ARRAY_SIZE(pieces) ? MSG_MORE : 0), pieces[i]);
		done += pieces[i];
	}
	if (!wrong)
		wrong = digest_differs(fd, plain, done);
	close(fd);
	return wrong;
}

static const char *test_hash_segments(unsigned int unused)
{
	struct iovec iov[] = {
		{ plain, 1 }, { plain + 1, 0 }, { plain + 1, 4095 }, { plain + 4096, 4096 },
		{ plain + 8192, 0 }, { plain + 8192, 100000 }, { plain + 108192, 7 },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };
	int fd = open_algorithm(SHA256_HASH);
	const char *wrong;

	wrong = dio_count(sendmsg(fd, &msg, 0), 108199);
	if (!wrong)
		wrong = digest_differs(fd, plain, 108199);
	close(fd);
	return wrong;
}

static const char *test_hash_read_only(unsigned int unused)
{
	size_t length = 8 * dio_page_size;
	unsigned char *mem = dio_map(length, dio_page_size, false);
	int fd = open_algorithm(SHA256_HASH);
	const char *wrong;

	memcpy(mem, plain, length);
	mprotect(mem, length, PROT_READ);
	wrong = dio_count(send(fd, mem + 1, length - 1, 0), length - 1);
	if (!wrong)
		wrong = digest_differs(fd, plain + 1, length - 1);
	munmap(mem, length);
	close(fd);
	return wrong;
}

static const char *test_hash_ends(unsigned int unused)
{
	size_t half = 4 * dio_page_size;
	unsigned char *mem = dio_map(2 * half, dio_page_size, false);
	int fd = open_algorithm(SHA256_HASH);
	const char *wrong;

	memcpy(mem, plain, half);
	munmap(mem + half, half);
	wrong = dio_count(send(fd, mem + 1, 2 * half - 1, 0), half - 1);
	if (!wrong)
		wrong = digest_differs(fd, plain + 1, half - 1);
	munmap(mem, half);
	close(fd);
	return wrong;
}

static const char *test_hash_unmapped(unsigned int unused)
{
	size_t length = 4 * dio_page_size;
	unsigned char *mem = dio_map(length, dio_page_size, false);
	int fd = open_algorithm(SHA256_HASH);
	const char *wrong;

	munmap(mem, length);
	wrong = dio_count(send(fd, mem, length, 0), -EFAULT);
	/* And the socket is as new. */
	if (!wrong)
		wrong = dio_count(send(fd, plain, 10, 0), 10);
	if (!wrong)
		wrong = digest_differs(fd, plain, 10);
	close(fd);
	return wrong;
}

/* Pages of a pipe, and of a file: they are handed on by reference. */
static const char *test_hash_pipe(unsigned int unused)
{
	int fd = open_algorithm(SHA256_HASH), fds[2];
	size_t length = 8 * dio_page_size;
	const char *wrong;

	if (pipe2(fds, O_CLOEXEC))
		dio_die("pipe: %s\n", strerror(errno));
	wrong = dio_count(write(fds[1], plain, length), length);
	if (!wrong)
		wrong = dio_count(splice(fds[0], NULL, fd, NULL, length, 0), length);
	if (!wrong)
		wrong = digest_differs(fd, plain, length);
	close(fds[0]);
	close(fds[1]);
	close(fd);
	return wrong;
}

static const char *test_hash_file(unsigned int unused)
{
	int fd = open_algorithm(SHA256_HASH), file;
	size_t length = 100000;
	const char *wrong;

	file = memfd_create("dio_alg", MFD_CLOEXEC);
	if (file < 0 || write(file, plain, length) != length || lseek(file, 0, SEEK_SET))
		dio_die("memfd: %s\n", strerror(errno));
	wrong = dio_count(sendfile(fd, file, NULL, length), length);
	if (!wrong)
		wrong = digest_differs(fd, plain, length);
	close(file);
	close(fd);
	return wrong;
}

/*
 * 2. The ciphers: they write to user memory.
 */
static size_t out_length(enum algorithm a, bool encrypt, size_t length)
{
	if (a == CBC)
		return length;
	return encrypt ? length + TAG_LENGTH : length - TAG_LENGTH;
}

/*
 * Encrypt or decrypt @length bytes, tag included, sent in pieces of @piece, to
 * memory at @offset of a page.
 */
static const char *convert(enum algorithm a, bool encrypt, size_t length, size_t piece,
			   size_t offset)
{
	size_t out = out_length(a, encrypt, length), done, size, n;
	const unsigned char *from = encrypt ? plain : cipher;
	const unsigned char *want = encrypt ? cipher : plain;
	int fd = open_algorithm(a);
	const char *wrong = NULL;
	unsigned char *mem;

	size = (offset + out + 2 * dio_page_size - 1) & ~(dio_page_size - 1);
	mem = dio_map(size, dio_page_size, false);
	memset(mem, DIO_UNTOUCHED, size);
	for (done = 0; done < length && !wrong; done += n) {
		n = length - done < piece ? length - done : piece;
		wrong = dio_count(feed(fd, a, encrypt, from + done, n, !done,
				       done + n < length), n);
	}
	if (!wrong)
		wrong = dio_count(read(fd, mem + offset, out), out);
	if (!wrong)
		wrong = dio_differ(mem + offset, want, out);
	for (n = 0; n < size && !wrong; n++)
		if ((n < offset || n >= offset + out) && mem[n] != DIO_UNTOUCHED)
			wrong = "bytes around what was read were written to";
	munmap(mem, size);
	close(fd);
	return wrong;
}

static void label_cipher(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s, %s", algorithms[CBC + i / 2].name,
		 i & 1 ? "encrypt" : "decrypt");
}

static const char *test_cipher(unsigned int i_case)
{
	enum algorithm a = CBC + i_case / 2;
	bool encrypt = i_case & 1;
	static const size_t lengths[] = { 32, 4096, 4112, 65536, QUEUE_LENGTH - 64 };
	const size_t offsets[] = { 0, 1, dio_page_size - 1 };
	const char *wrong = NULL;
	unsigned int i, k;
	size_t length;

	if (a == PCRYPT && dio_pcrypt_start())
		return dio_skip(dio_pcrypt_start());
	for (i = 0; i < ARRAY_SIZE(lengths) && !wrong; i++) {
		length = lengths[i];
		if (a == CBC) {
			expect_cbc(length);
		} else {
			expect_gcm(length);
			if (!encrypt)
				length += TAG_LENGTH;
		}
		for (k = 0; k < ARRAY_SIZE(offsets) && !wrong; k++)
			wrong = convert(a, encrypt, length, length, offsets[k]);
		if (!wrong)
			wrong = convert(a, encrypt, length, 1000, 16);
	}
	return wrong;
}

/* What is sent at once is read in parts, each by several segments. */
static const char *test_parts(unsigned int unused)
{
	unsigned char *mem = dio_map(MAX_LENGTH, dio_page_size, false);
	int fd = open_algorithm(CBC);
	size_t length = 65536, done;
	const char *wrong;

	expect_cbc(length);
	memset(mem, DIO_UNTOUCHED, MAX_LENGTH);
	wrong = dio_count(feed(fd, CBC, true, plain, length, true, false), length);
	for (done = 0; done < length && !wrong; done += 16384) {
		struct iovec iov[] = {
			{ mem + done, 5 }, { mem + done + 5, 0 }, { mem + done + 5, 4091 },
			{ mem + done + 4096, 8192 }, { mem + done + 12288, 4096 },
		};

		wrong = dio_count(readv(fd, iov, ARRAY_SIZE(iov)), 16384);
	}
	if (!wrong)
		wrong = dio_differ(mem, cipher, length);
	munmap(mem, MAX_LENGTH);
	close(fd);
	return wrong;
}

/*
 * A read that fails takes nothing: the data is there for the next one.  What was
 * pinned before the memory ended is to be released.
 */
static void test_cipher_memory(unsigned int a)
{
	size_t half = 4 * dio_page_size, length = 2 * half - 64, out;
	static const char * const cases[] = { " into read-only memory", " into memory that ends",
					      " into two segments, the second read-only",
					      ", read again after these" };
	unsigned char *mem, *good;
	const char *wrong;
	char names[4][80];
	unsigned int i;
	int fd;

	for (i = 0; i < 4; i++) {
		snprintf(names[i], sizeof(names[i]), "%s%s", algorithms[a].name, cases[i]);
		dio_lists_one(names[i]);
	}
	if (dio_results.dry)
		return;
	mem = dio_map(2 * half, dio_page_size, false);
	good = dio_map(2 * half, dio_page_size, false);
	fd = open_algorithm(a);
	if (a == CBC)
		expect_cbc(length);
	else
		expect_gcm(length);
	out = out_length(a, true, length);
	memset(mem, DIO_UNTOUCHED, 2 * half);
	wrong = dio_count(feed(fd, a, true, plain, length, true, false), length);
	for (i = 0; i < 3; i++) {
		struct iovec iov[] = { { good, half }, { mem + half, half } };

		if (i == 0)
			mprotect(mem, 2 * half, PROT_READ);
		else
			munmap(mem + half, half);
		if (!wrong && i < 2)
			wrong = dio_count(read(fd, mem + 1, out), -EFAULT);
		else if (!wrong)
			wrong = dio_count(readv(fd, iov, 2), -EFAULT);
		if (!wrong && (mem[0] != DIO_UNTOUCHED || mem[half - 1] != DIO_UNTOUCHED))
			wrong = "memory was written to";
		dio_report(names[i], wrong);
		if (i == 0)
			mprotect(mem, 2 * half, PROT_READ | PROT_WRITE);
	}
	if (!wrong)
		wrong = dio_count(read(fd, good, out), out);
	if (!wrong)
		wrong = dio_differ(good, cipher, out);
	munmap(mem, half);
	munmap(good, 2 * half);
	close(fd);
	dio_report(names[3], wrong);
}

static const char *test_forged(unsigned int unused)
{
	unsigned char *mem = dio_map(MAX_LENGTH, dio_page_size, false);
	int fd = open_algorithm(GCM);
	size_t length = 20000;
	const char *wrong;

	expect_gcm(length);
	cipher[length] ^= 1;
	wrong = dio_count(feed(fd, GCM, false, cipher, length + TAG_LENGTH, true, false),
			  length + TAG_LENGTH);
	if (!wrong)
		wrong = dio_count(read(fd, mem, length), -EBADMSG);
	munmap(mem, MAX_LENGTH);
	close(fd);
	return wrong;
}

/* By the path that need not wait, though this cipher is done when it returns */
static const char *test_aio(unsigned int unused)
{
	unsigned char *mem = dio_map(MAX_LENGTH, dio_page_size, false);
	struct iocb iocb, *list = &iocb;
	int i, fd = open_algorithm(GCM);
	const char *wrong = NULL;
	struct io_event event;
	io_context_t aio = 0;
	size_t length = 60000;

	expect_gcm(length);
	if (io_setup(1, &aio))
		dio_die("io_setup: %s\n", strerror(errno));
	for (i = 0; i < 20 && !wrong; i++) {
		memset(mem, DIO_UNTOUCHED, MAX_LENGTH);
		wrong = dio_count(feed(fd, GCM, true, plain, length, true, false), length);
		io_prep_pread(&iocb, fd, mem + 512, length + TAG_LENGTH, 0);
		if (io_submit(aio, 1, &list) != 1 ||
		    io_getevents(aio, 1, 1, &event, NULL) != 1)
			dio_die("aio: %s\n", strerror(errno));
		if (!wrong && event.res != length + TAG_LENGTH)
			wrong = dio_because("the read gave %ld", (long)event.res);
		if (!wrong)
			wrong = dio_differ(mem + 512, cipher, length + TAG_LENGTH);
	}
	io_destroy(aio);
	munmap(mem, MAX_LENGTH);
	close(fd);
	return wrong;
}

/* One thread decrypts, this one forks and stores around what is read. */
struct reader {
	int fd;
	unsigned char *mem;
	size_t length;
	atomic_bool done;
	ssize_t n;
};

static void *reader_thread(void *arg)
{
	struct reader *r = arg;

	r->n = read(r->fd, r->mem, r->length);
	r->done = true;
	return NULL;
}

static const char *test_fork(unsigned int unused)
{
	size_t length = QUEUE_LENGTH - 1024;
	unsigned char *mem = dio_map(MAX_LENGTH, dio_page_size, false);
	struct reader r = { .mem = mem + 512, .length = length };
	const char *wrong = NULL;
	pthread_t thread;
	pid_t pid;
	int i;

	expect_cbc(length);
	for (i = 0; i < FORKS && !wrong; i++) {
		memset(mem, DIO_UNTOUCHED, MAX_LENGTH);
		r.fd = open_algorithm(CBC);
		r.done = false;
		wrong = dio_count(feed(r.fd, CBC, false, cipher, length, true, false), length);
		if (pthread_create(&thread, NULL, reader_thread, &r))
			dio_die("no thread\n");
		do {
			pid = fork();
			if (!pid)
				_exit(0);
			mem[0]++;
			mem[512 + length]++;
			if (pid > 0)
				waitpid(pid, NULL, 0);
		} while (!r.done);
		pthread_join(thread, NULL);
		if (!wrong && r.n != length)
			wrong = dio_because("%zd bytes were read", r.n);
		if (!wrong)
			wrong = dio_differ(r.mem, plain, length);
		close(r.fd);
	}
	munmap(mem, MAX_LENGTH);
	return wrong;
}

/*
 * 3. Are there pins?
 */
static void label_pins(char *name, size_t size, unsigned int a)
{
	snprintf(name, size, "%s pins what it %s", algorithms[a].name,
		 a == SHA256_HASH ? "reads" : "writes to");
}

static const char *test_pins(unsigned int a)
{
	unsigned long long before = dio_pins_acquired();
	size_t pages = 8, length = pages * dio_page_size;
	unsigned char *mem = dio_map(length, dio_page_size, false);
	int fd = open_algorithm(a);
	const char *wrong = NULL;

	memset(mem, 0, length);
	if (a == SHA256_HASH)
		wrong = dio_count(send(fd, mem, length, 0), length);
	else
		wrong = dio_count(feed(fd, a, true, plain, length - (a == CBC ? 0 : TAG_LENGTH),
				       true, false), length - (a == CBC ? 0 : TAG_LENGTH));
	if (!wrong && a != SHA256_HASH)
		wrong = dio_count(read(fd, mem, length), length);
	if (!wrong)
		wrong = dio_pins_taken(before, pages);
	close(fd);
	munmap(mem, length);
	return wrong;
}

/* The operation writes to what read() is given, and a hash reads what send() is given. */
static void label_dirty(char *name, size_t size, unsigned int a)
{
	snprintf(name, size, "%s %s", algorithms[a].name, a == SHA256_HASH ?
		 "leaves clean what it reads" : "marks dirty what it writes to");
}

static const char *test_dirty(unsigned int a)
{
	size_t length = 8 * dio_page_size, fed = length - (a == GCM ? TAG_LENGTH : 0);
	unsigned char *mem = dio_map_clean(length);
	int fd = open_algorithm(a);
	const char *wrong;

	if (a == SHA256_HASH) {
		wrong = dio_count(send(fd, mem, length, 0), length);
	} else {
		wrong = dio_count(feed(fd, a, true, plain, fed, true, false), fed);
		if (!wrong)
			wrong = dio_count(read(fd, mem, length), length);
	}
	if (!wrong)
		wrong = dio_dirty_problem(mem, a == SHA256_HASH ? 0 : length);
	close(fd);
	munmap(mem, length);
	return wrong;
}

/*
 * 4. A cipher that is asynchronous: an aio returns before it is done, and what it has
 * written to is let go of later, not by whoever has called.
 */
struct aio {
	io_context_t context;
	int fd;
};

/* Give it @length bytes, and have the result of @out written to @to, not yet. */
static const char *aio_hold(struct aio *aio, bool encrypt, size_t length, void *to, size_t out)
{
	int users = dio_pcrypt_users();
	struct iocb iocb, *list = &iocb;
	struct timespec now = { 0 };
	struct io_event event;
	const char *wrong;

	aio->context = NULL;
	if (io_setup(1, &aio->context))
		dio_die("io_setup: %s\n", strerror(errno));
	aio->fd = open_algorithm(PCRYPT);
	if (dio_pcrypt_users() <= users)
		dio_die("/proc/crypto does not tell who uses %s\n", dio_pcrypt_name());
	wrong = dio_count(feed(aio->fd, PCRYPT, encrypt, encrypt ? plain : cipher, length, true,
			       false), length);
	io_prep_pread(&iocb, aio->fd, to, out, 0);
	dio_pcrypt_hold();
	if (io_submit(aio->context, 1, &list) != 1)
		dio_die("io_submit failed\n");
	if (!wrong && io_getevents(aio->context, 0, 1, &event, &now))
		wrong = "it is done, though the cipher is asynchronous and held";
	return wrong;
}

static const char *aio_end(struct aio *aio, ssize_t want)
{
	struct io_event event;
	const char *wrong = NULL;

	if (io_getevents(aio->context, 1, 1, &event, NULL) != 1)
		dio_die("io_getevents failed\n");
	if ((long)event.res != want)
		wrong = dio_because("the read gave %ld, expected %zd", (long)event.res, want);
	io_destroy(aio->context);
	if (aio->fd >= 0)
		close(aio->fd);
	return wrong;
}

static const char *async_dirty(void)
{
	size_t length = 16 * dio_page_size - TAG_LENGTH, out = length + TAG_LENGTH;
	unsigned char *mem = dio_map_clean(out);
	const char *wrong, *late;
	struct aio aio;

	expect_gcm(length);
	wrong = aio_hold(&aio, true, length, mem, out);
	dio_pcrypt_release();
	late = aio_end(&aio, out);
	if (!wrong)
		wrong = late;
	/* Whoever is told that it is done may rely on it. */
	if (!wrong && dio_dirty(mem) != out)
		wrong = dio_because("%zu bytes are dirty instead of %zu", dio_dirty(mem), out);
	if (!wrong)
		wrong = dio_differ(mem, cipher, out);
	munmap(mem, out);
	return wrong;
}

/* What it has not written yet is written back, and nobody stores to it later. */
static const char *async_file(void)
{
	size_t length = 60000, out = length + TAG_LENGTH, size = 16 * dio_page_size;
	unsigned char *mem, *disk = dio_map(size, dio_page_size, false);
	const char *wrong, *late;
	struct aio aio;

	wrong = dio_pcrypt_file_open(size, &mem);
	if (wrong)
		return dio_skip(wrong);
	expect_gcm(length);
	wrong = aio_hold(&aio, true, length, mem + 512, out);
	if (!wrong)
		wrong = dio_pcrypt_file_write_back();
	/* What is encrypted there is copied there first. */
	if (!wrong && !dio_differ(mem + 512, cipher, out))
		wrong = "set-up: it was not held";
	dio_pcrypt_release();
	late = aio_end(&aio, out);
	if (!wrong)
		wrong = late;
	if (!wrong)
		wrong = dio_differ(mem + 512, cipher, out);
	dio_pcrypt_file_close(disk);
	if (!wrong)
		wrong = dio_differ(disk + 512, cipher, out);
	munmap(disk, size);
	return wrong;
}

static const char *async_close(void)
{
	unsigned char *mem = dio_map(MAX_LENGTH, dio_page_size, false);
	const char *wrong, *late;
	struct aio aio;
	size_t length = 60000;

	expect_gcm(length);
	memset(mem, DIO_UNTOUCHED, MAX_LENGTH);
	wrong = aio_hold(&aio, true, length, mem + 1, length + TAG_LENGTH);
	close(aio.fd);
	aio.fd = -1;
	dio_pcrypt_release();
	late = aio_end(&aio, length + TAG_LENGTH);
	if (!wrong)
		wrong = late;
	if (!wrong)
		wrong = dio_differ(mem + 1, cipher, length + TAG_LENGTH);
	munmap(mem, MAX_LENGTH);
	return wrong;
}

static const char *async_forged(void)
{
	unsigned char *mem = dio_map(MAX_LENGTH, dio_page_size, false);
	const char *wrong, *late;
	struct aio aio;
	size_t length = 20000;

	expect_gcm(length);
	cipher[length] ^= 1;
	wrong = aio_hold(&aio, false, length + TAG_LENGTH, mem, length);
	dio_pcrypt_release();
	late = aio_end(&aio, -EBADMSG);
	munmap(mem, MAX_LENGTH);
	return wrong ? wrong : late;
}

static const struct {
	const char *name;
	const char *(*run)(void);
} async_tests[] = {
	{ "marks dirty what it writes to", async_dirty },
	{ "into a file that is written back meanwhile: is on the disk", async_file },
	{ "the socket closed meanwhile", async_close },
	{ "a forged tag", async_forged },
};

static void label_async(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s, aio, %s", algorithms[PCRYPT].name, async_tests[i].name);
}

static const char *test_async(unsigned int i)
{
	return dio_pcrypt_start() ? dio_skip(dio_pcrypt_start()) : async_tests[i].run();
}

static const struct dio_case cases[] = {
	{ "sha256, one send", .test = test_hash_lengths },
	{ "sha256, chained", .test = test_hash_chained },
	{ "sha256, several segments", .test = test_hash_segments },
	{ "sha256 of read-only memory", .test = test_hash_read_only },
	{ "sha256 of memory that ends", .test = test_hash_ends },
	{ "sha256 of unmapped memory", .test = test_hash_unmapped },
	{ "sha256 of a pipe", .test = test_hash_pipe },
	{ "sha256 of a file", .test = test_hash_file },
	{ .label = label_cipher, .test = test_cipher, .nr = 4 },
	{ "cbc(aes), several segments", .test = test_parts },
	{ .run = test_cipher_memory, .i = CBC },
	{ .run = test_cipher_memory, .i = GCM },
	{ "gcm(aes), a forged tag", .test = test_forged },
	{ "gcm(aes), aio", .test = test_aio },
	{ "cbc(aes), fork() and stores during reads", .test = test_fork },
	{ .label = label_pins, .test = test_pins, .i = SHA256_HASH, .nr = 3 },
	{ .label = label_dirty, .test = test_dirty, .i = SHA256_HASH, .nr = 3 },
	/* From here on gcm(aes) is asynchronous. */
	{ .label = label_cipher, .test = test_cipher, .i = 4, .nr = 2 },
	{ .label = label_async, .test = test_async, .nr = ARRAY_SIZE(async_tests) },
};

static void all_cases(void)
{
	dio_prefix("alg");
	dio_cases(cases, ARRAY_SIZE(cases), NULL);
}

static int measured;	/* the socket */

static void hash(unsigned char *memory, size_t bytes, bool write)
{
	unsigned char digest[SHA256_DIGEST_SIZE];

	if (send(measured, memory, bytes, 0) != bytes ||
	    read(measured, digest, sizeof(digest)) != sizeof(digest))
		dio_die("%s: %s\n", algorithms[SHA256_HASH].name, strerror(errno));
}

static void encrypt_parts(unsigned char *memory, size_t bytes, bool write)
{
	size_t part = bytes < 65536 ? bytes : 65536, done;

	for (done = 0; done < bytes; done += part)
		if (feed(measured, CBC, true, plain + done, part, true, false) != part ||
		    read(measured, memory + done, part) != part)
			dio_die("%s: %s\n", algorithms[CBC].name, strerror(errno));
}

static noreturn void measure(void)
{
	measured = open_algorithm(SHA256_HASH);
	dio_measure("alg-sha256", true, hash);
	close(measured);
	measured = open_algorithm(CBC);
	dio_measure("alg-cbc", false, encrypt_parts);
	dio_measured();
	exit(0);
}

static const struct dio_option options[] = {
	DIO_OPTION_MEASURE,
	{ 0 }
};

static void start(void)
{
	enum algorithm a;
	size_t i;
	int fd;

	dio_disk_init();
	for (a = 0; a <= GCM; a++) {
		fd = bind_algorithm(a);
		if (fd < 0)
			dio_skip_all("no %s: %s\n", algorithms[a].name, strerror(-fd));
		close(fd);
	}
	plain = dio_map(LARGE_LENGTH, dio_page_size, false);
	cipher = dio_map(MAX_LENGTH, dio_page_size, false);
	dio_random_seed(1);
	for (i = 0; i < LARGE_LENGTH; i += sizeof(unsigned long long))
		*(unsigned long long *)(plain + i) = dio_random();
	if (dio_measuring)
		measure();
}

int main(int argc, char **argv)
{
	static const struct dio_program program = {
		.options = options, .start = start, .cases = all_cases,
	};

	return dio_main(&program, argc, argv);
}
