// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel TLS: a record that is received whole, into memory that has room for it,
 * is decrypted into the memory of whoever receives, without a copy.
 *
 * Sender and receiver are the two ends of a TCP connection over loopback; a record
 * of which a part is missing is held back by the sender, which encrypts by the
 * kernel on another connection and forwards what it gets there.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/tls.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "dio_lib.h"
#include "dio_pcrypt.h"

#ifndef TCP_ULP
#define TCP_ULP		31
#endif
#ifndef SOL_TLS
#define SOL_TLS		282
#endif

#define RECORD		16384UL	/* the largest */
#define MAX_LENGTH	(16 * DIO_MIB)
#define UNTOUCHED	0xa5
#define FORKS		50

static unsigned char *data;
static const char *skip;
static char problem[160];

#define because(...) (snprintf(problem, sizeof(problem), __VA_ARGS__), problem)

/* The two ends of a connection */
struct link {
	int from, to;
};

static void result(const char *name, const char *wrong)
{
	char full[96];

	snprintf(full, sizeof(full), "tls %s", name);
	dio_result(full, wrong ? wrong : dio_pins_problem(false));
}

static void named(unsigned short version, const char *name, const char *wrong)
{
	char full[80];

	snprintf(full, sizeof(full), "%s %s", version == TLS_1_3_VERSION ? "1.3" : "1.2", name);
	result(full, wrong);
}

static const char *not_result(ssize_t n, ssize_t want)
{
	if (n < 0)
		n = -errno;
	if (n == want)
		return NULL;
	if (n < 0)
		return because("%s, expected %zd", strerror(-n), want);
	return because("%zd, expected %zd", n, want);
}

static const char *differ(const unsigned char *got, const unsigned char *want, size_t length)
{
	size_t i;

	if (!memcmp(got, want, length))
		return NULL;
	for (i = 0; got[i] == want[i]; i++)
		;
	return because("byte %zu of %zu is %02x instead of %02x", i, length, got[i], want[i]);
}

static void link_close(struct link *l)
{
	close(l->from);
	close(l->to);
}

static void link_open(struct link *l)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	int listener, on = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	l->from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || l->from < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) ||
	    getsockname(listener, (struct sockaddr *)&address, &size) || listen(listener, 1) ||
	    connect(l->from, (struct sockaddr *)&address, sizeof(address)))
		dio_die("no TCP connection: %s\n", strerror(errno));
	l->to = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (l->to < 0)
		dio_die("accept: %s\n", strerror(errno));
	setsockopt(l->from, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	close(listener);
}

/* Encrypt or decrypt from here on, with a key that is no secret: why not, or NULL */
static const char *encrypt(int fd, unsigned short version, int direction)
{
	struct tls12_crypto_info_aes_gcm_128 info = {
		.info = { .version = version, .cipher_type = TLS_CIPHER_AES_GCM_128 },
		.key = "0123456789abcde", .iv = "7654321", .salt = "abc",
	};

	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4))
		return because("TCP_ULP tls: %s", strerror(errno));
	if (setsockopt(fd, SOL_TLS, direction, &info, sizeof(info)))
		return because("TLS keys: %s", strerror(errno));
	return NULL;
}

/* A thread that sends, for more to be sent than the socket takes at once */
struct sender {
	int fd;
	const unsigned char *from;
	size_t length, piece;
};

static void *sender_thread(void *arg)
{
	struct sender *s = arg;
	size_t done, n;

	for (done = 0; done < s->length; done += n) {
		n = s->length - done < s->piece ? s->length - done : s->piece;
		if (send(s->fd, s->from + done, n, 0) != n)
			break;
	}
	return NULL;
}

static const char *exchange(unsigned short version, size_t length, size_t piece, size_t offset)
{
	size_t size = (offset + length + 2 * dio_page_size - 1) & ~(dio_page_size - 1), i;
	unsigned char *mem = dio_map(size, dio_page_size, false);
	struct sender s = { .from = data, .length = length, .piece = piece };
	const char *wrong = NULL;
	pthread_t thread;
	struct link l;
	ssize_t n;

	memset(mem, UNTOUCHED, size);
	link_open(&l);
	if (encrypt(l.from, version, TLS_TX) || encrypt(l.to, version, TLS_RX))
		dio_die("%s\n", problem);
	s.fd = l.from;
	if (pthread_create(&thread, NULL, sender_thread, &s))
		dio_die("no thread\n");
	n = recv(l.to, mem + offset, length, MSG_WAITALL);
	wrong = not_result(n, length);
	if (wrong)
		shutdown(l.to, SHUT_RDWR);
	pthread_join(thread, NULL);
	if (!wrong)
		wrong = differ(mem + offset, data, length);
	for (i = 0; i < size && !wrong; i++)
		if ((i < offset || i >= offset + length) && mem[i] != UNTOUCHED)
			wrong = "bytes around what was received were written to";
	munmap(mem, size);
	link_close(&l);
	return wrong;
}

static void test_lengths(unsigned short version, const char *name, size_t longest)
{
	static const size_t lengths[] = { 1, 511, 4096, 16384, 65537, MAX_LENGTH };
	const size_t offsets[] = { 0, 1, dio_page_size - 1 };
	const char *wrong = NULL;
	char full[64];
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(lengths) && lengths[i] <= longest && !wrong; i++)
		for (k = 0; k < ARRAY_SIZE(offsets) && !wrong; k++)
			if (lengths[i] < MAX_LENGTH || k == 1)
				wrong = exchange(version, lengths[i], lengths[i], offsets[k]);
	snprintf(full, sizeof(full), "%s, all lengths", name);
	result(full, wrong);

	wrong = exchange(version, 200000, 1000, 3);
	if (!wrong)
		wrong = exchange(version, 200000, 16384, 512);
	snprintf(full, sizeof(full), "%s, records of all lengths", name);
	result(full, wrong);
}

/*
 * A link on which a record of @length is on its way.  1.3 decrypts in place only if
 * it is told that there is no padding.
 */
static void link_record(struct link *l, unsigned short version, size_t length)
{
	int on = 1;

	link_open(l);
	if (encrypt(l->from, version, TLS_TX) || encrypt(l->to, version, TLS_RX))
		dio_die("%s\n", problem);
	if (version == TLS_1_3_VERSION &&
	    setsockopt(l->to, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &on, sizeof(on)))
		dio_die("TLS_RX_EXPECT_NO_PAD: %s\n", strerror(errno));
	if (send(l->from, data, length, 0) != length)
		dio_die("send: %s\n", strerror(errno));
}

static void test_segments(unsigned short version)
{
	unsigned char *mem = dio_map(2 * RECORD, dio_page_size, false);
	struct iovec iov[] = {
		{ mem + 10, 1 }, { mem + 11, 0 }, { mem + 11, dio_page_size - 11 },
		{ mem + dio_page_size, dio_page_size }, { mem + 3 * dio_page_size + 7, 3000 },
		{ mem + RECORD, RECORD },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };
	const char *wrong;
	size_t done = 0;
	unsigned int i;
	struct link l;

	link_record(&l, version, RECORD);
	wrong = not_result(recvmsg(l.to, &msg, 0), RECORD);
	for (i = 0; i < ARRAY_SIZE(iov) && !wrong && done < RECORD; i++) {
		size_t n = iov[i].iov_len < RECORD - done ? iov[i].iov_len : RECORD - done;

		wrong = differ(iov[i].iov_base, data + done, n);
		done += n;
	}
	munmap(mem, 2 * RECORD);
	link_close(&l);
	named(version, "several segments", wrong);
}

/* The first pages are there, and pinned before the others turn out not to be. */
static void test_memory(unsigned short version, bool read_only)
{
	unsigned char *mem = dio_map(RECORD, dio_page_size, false);
	const char *wrong;
	struct link l;

	memset(mem, UNTOUCHED, RECORD);
	if (read_only)
		mprotect(mem, RECORD, PROT_READ);
	else
		munmap(mem + RECORD / 2, RECORD / 2);
	link_record(&l, version, RECORD);
	wrong = not_result(recv(l.to, mem, RECORD, 0), -EFAULT);
	if (!wrong && (mem[0] != UNTOUCHED || mem[RECORD / 2 - 1] != UNTOUCHED))
		wrong = "memory was written to";
	munmap(mem, RECORD);
	link_close(&l);
	named(version, read_only ? "into read-only memory" : "into memory that ends", wrong);
}

/* What is encrypted on one link is sent on over another, changed or in parts. */
static void test_forged(const char *name)
{
	unsigned char *mem = dio_map(2 * RECORD, dio_page_size, false);
	const char *wrong;
	struct link in, out;
	ssize_t n;

	link_open(&in);
	link_open(&out);
	if (encrypt(in.from, TLS_1_2_VERSION, TLS_TX) || encrypt(out.to, TLS_1_2_VERSION, TLS_RX))
		dio_die("%s\n", problem);
	if (send(in.from, data, 10000, 0) != 10000)
		dio_die("send: %s\n", strerror(errno));
	/* A header of 5 bytes, 8 of the nonce, a tag of 16 */
	n = recv(in.to, mem, 10000 + 29, MSG_WAITALL);
	if (n != 10000 + 29)
		dio_die("the record has %zd bytes\n", n);
	mem[5000] ^= 1;
	if (send(out.from, mem, n, 0) != n)
		dio_die("send: %s\n", strerror(errno));
	wrong = not_result(recv(out.to, mem, RECORD, 0), -EBADMSG);
	munmap(mem, 2 * RECORD);
	link_close(&in);
	link_close(&out);
	result(name, wrong);
}

/* One that waits for the rest of a record */
struct receiver {
	int fd;
	unsigned char *mem;
	size_t length;
	ssize_t n;
};

static void *receiver_thread(void *arg)
{
	struct receiver *r = arg;

	r->n = recv(r->fd, r->mem, r->length, MSG_WAITALL);
	return NULL;
}

/* fork() and stores around the memory, while a part of a record is there, and after */
static void test_fork(void)
{
	unsigned char *mem = dio_map(2 * RECORD, dio_page_size, false);
	unsigned char *record = dio_map(2 * RECORD, dio_page_size, false);
	struct receiver r = { .mem = mem + 512, .length = 14000 };
	const char *wrong = NULL;
	struct link in, out;
	pthread_t thread;
	ssize_t n;
	pid_t pid;
	int i;

	for (i = 0; i < FORKS && !wrong; i++) {
		memset(mem, UNTOUCHED, 2 * RECORD);
		link_open(&in);
		link_open(&out);
		if (encrypt(in.from, TLS_1_2_VERSION, TLS_TX) ||
		    encrypt(out.to, TLS_1_2_VERSION, TLS_RX))
			dio_die("%s\n", problem);
		if (send(in.from, data, r.length, 0) != r.length)
			dio_die("send: %s\n", strerror(errno));
		n = recv(in.to, record, r.length + 29, MSG_WAITALL);
		r.fd = out.to;
		if (send(out.from, record, n / 2, 0) != n / 2 ||
		    pthread_create(&thread, NULL, receiver_thread, &r))
			dio_die("the record is not received\n");
		pid = fork();
		if (!pid)
			_exit(0);
		mem[0]++;
		if (send(out.from, record + n / 2, n - n / 2, 0) != n - n / 2)
			dio_die("send: %s\n", strerror(errno));
		mem[512 + r.length]++;
		pthread_join(thread, NULL);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		wrong = r.n == r.length ? differ(r.mem, data, r.length) :
					  because("%zd bytes were received", r.n);
		link_close(&in);
		link_close(&out);
	}
	munmap(mem, 2 * RECORD);
	munmap(record, 2 * RECORD);
	result("fork() and stores during a record", wrong);
}

static void test_pins(unsigned short version)
{
	unsigned char *mem = dio_map(RECORD, dio_page_size, false);
	unsigned long long before;
	const char *wrong;
	struct link l;

	memset(mem, UNTOUCHED, RECORD);
	link_record(&l, version, RECORD);
	before = dio_pins_acquired();
	wrong = not_result(recv(l.to, mem, RECORD, 0), RECORD);
	before = dio_pins_acquired() - before;
	if (!wrong && before != RECORD / dio_page_size)
		wrong = because("%llu pins were taken", before);
	munmap(mem, RECORD);
	link_close(&l);
	named(version, "a record is decrypted into pinned memory", wrong);
}

static void test_dirty(unsigned short version)
{
	unsigned char *mem = dio_map_clean(RECORD);
	const char *wrong;
	struct link l;

	link_record(&l, version, RECORD);
	wrong = not_result(recv(l.to, mem, RECORD, 0), RECORD);
	if (!wrong)
		wrong = dio_dirty_problem(mem, RECORD);
	munmap(mem, RECORD);
	link_close(&l);
	named(version, "a record makes dirty what it is decrypted into", wrong);
}

/* One that is not data, after data: what it was decrypted into is not what is told. */
static void test_control(unsigned short version)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(unsigned char))];
	} control = { .header = {
		.cmsg_len = CMSG_LEN(sizeof(unsigned char)), .cmsg_level = SOL_TLS,
		.cmsg_type = TLS_SET_RECORD_TYPE,
	} };
	unsigned char *mem = dio_map(2 * RECORD, dio_page_size, false);
	struct iovec iov = { data + 1000, 2 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const char *wrong;
	struct link l;

	*CMSG_DATA(&control.header) = 100;	/* application data is 23 */
	memset(mem, UNTOUCHED, 2 * RECORD);
	link_record(&l, version, 3000);
	if (sendmsg(l.from, &msg, 0) != 2)
		dio_die("sendmsg: %s\n", strerror(errno));
	wrong = not_result(recv(l.to, mem, RECORD, 0), 3000);
	if (!wrong)
		wrong = differ(mem, data, 3000);
	/* Without room for its type it is refused, and stays; with it, it is told. */
	if (!wrong)
		wrong = not_result(recv(l.to, mem, RECORD, 0), -EIO);
	iov.iov_base = mem;
	iov.iov_len = RECORD;
	memset(&control, 0, sizeof(control));
	if (!wrong)
		wrong = not_result(recvmsg(l.to, &msg, 0), 2);
	if (!wrong && (control.header.cmsg_level != SOL_TLS ||
		       control.header.cmsg_type != TLS_GET_RECORD_TYPE ||
		       *CMSG_DATA(&control.header) != 100))
		wrong = "its type is not told";
	if (!wrong)
		wrong = differ(mem, data + 1000, 2);
	munmap(mem, 2 * RECORD);
	link_close(&l);
	named(version, "a record that is no data", wrong);
}

/*
 * A cipher that is asynchronous: what it has done is let go of by whoever receives, when
 * all of a recv() is decrypted.
 */
struct asker {
	int fd;
	unsigned char *mem;
	size_t length;
	pthread_t thread;
	pid_t tid;
	ssize_t n;
};

static void *asker_thread(void *arg)
{
	struct asker *a = arg;

	__atomic_store_n(&a->tid, syscall(SYS_gettid), __ATOMIC_RELAXED);
	a->n = recv(a->fd, a->mem, a->length, MSG_WAITALL);
	if (a->n < 0)
		a->n = -errno;
	return NULL;
}

static void asker_start(struct asker *a, int fd, unsigned char *mem, size_t length)
{
	*a = (struct asker){ .fd = fd, .mem = mem, .length = length };
	dio_pcrypt_hold();
	if (pthread_create(&a->thread, NULL, asker_thread, a))
		dio_die("no thread\n");
}

/* Until it waits for the cipher: why it does not, or NULL */
static const char *asker_wait(struct asker *a)
{
	return dio_pcrypt_wait_held(&a->tid) ? NULL : "it does not wait for the cipher";
}

static const char *asker_end(struct asker *a)
{
	dio_pcrypt_release();
	pthread_join(a->thread, NULL);
	return a->n == a->length ? differ(a->mem, data, a->length) :
				   because("recv() gave %zd, expected %zu", a->n, a->length);
}

/* A link whose receiver has the asynchronous cipher */
static void link_async(struct link *l, size_t length)
{
	struct pollfd readable = { .events = POLLIN };
	int users = dio_pcrypt_users();

	link_record(l, TLS_1_2_VERSION, length);
	if (dio_pcrypt_users() <= users)
		dio_die("TLS does not use %s\n", dio_pcrypt_name());
	readable.fd = l->to;
	if (poll(&readable, 1, DIO_DEADLINE_SECONDS * 1000) != 1)
		dio_die("the record is not received\n");
}

static const char *no_file;	/* why */

static const char *async_dirty(void)
{
	unsigned char *mem = dio_map_clean(RECORD);
	const char *wrong, *late;
	struct asker a;
	struct link l;

	link_async(&l, RECORD);
	asker_start(&a, l.to, mem, RECORD);
	wrong = asker_wait(&a);
	if (!wrong && dio_dirty(mem))
		wrong = "set-up: it was not held";
	late = asker_end(&a);
	if (!wrong)
		wrong = late;
	if (!wrong && dio_dirty(mem) != RECORD)
		wrong = because("%zu bytes are dirty instead of %lu", dio_dirty(mem), RECORD);
	munmap(mem, RECORD);
	link_close(&l);
	return wrong;
}

/* What it has not written yet is written back, and nobody stores to it later. */
static const char *async_file(void)
{
	unsigned char *mem, *disk = dio_map(2 * RECORD, dio_page_size, false);
	const char *wrong, *late;
	struct asker a;
	struct link l;

	no_file = dio_pcrypt_file_open(2 * RECORD, &mem);
	if (no_file)
		return NULL;
	link_async(&l, RECORD);
	asker_start(&a, l.to, mem + 512, RECORD);
	wrong = asker_wait(&a);
	if (!wrong)
		wrong = dio_pcrypt_file_write_back();
	if (!wrong && mem[512] != UNTOUCHED)
		wrong = "set-up: it was not held";
	late = asker_end(&a);
	if (!wrong)
		wrong = late;
	dio_pcrypt_file_close(disk);
	if (!wrong)
		wrong = differ(disk + 512, data, RECORD);
	munmap(disk, 2 * RECORD);
	link_close(&l);
	return wrong;
}

static void test_async(void)
{
	static const struct {
		const char *name;
		const char *(*run)(void);
	} tests[] = {
		{ "a record makes dirty what it is decrypted into", async_dirty },
		{ "into a file that is written back meanwhile: is on the disk", async_file },
	};
	const char *missing = dio_pcrypt_start(), *wrong;
	char name[96];
	size_t i;

	if (missing) {
		dio_result_skip("tls 1.2 by pcrypt, all lengths", missing);
		dio_result_skip("tls 1.2 by pcrypt, records of all lengths", missing);
		dio_result_skip("tls 1.2 by pcrypt, a forged record", missing);
	} else {
		test_lengths(TLS_1_2_VERSION, "1.2 by pcrypt", MAX_LENGTH - 1);
		test_forged("1.2 by pcrypt, a forged record");
	}
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		snprintf(name, sizeof(name), "tls 1.2 by pcrypt, %s", tests[i].name);
		no_file = NULL;
		wrong = missing ? NULL : tests[i].run();
		if (missing || no_file)
			dio_result_skip(name, missing ? missing : no_file);
		else
			result(name + strlen("tls "), wrong);
	}
}

int main(void)
{
	const char * const modprobe[] = { "modprobe", "tls", NULL };
	const char * const up[] = { "ip", "link", "set", "lo", "up", NULL };
	struct link l;
	size_t i;

	ksft_print_header();
	dio_disk_init();
	dio_run(modprobe);
	dio_run(up);
	link_open(&l);
	skip = encrypt(l.to, TLS_1_2_VERSION, TLS_RX);
	link_close(&l);
	if (skip)
		ksft_exit_skip("%s\n", skip);
	ksft_set_plan(4 + 2 * (1 + 2 + 1 + 1 + 1) + 1 + 1 + 5 + 1);
	data = dio_map(MAX_LENGTH, dio_page_size, false);
	for (i = 0; i < MAX_LENGTH; i++)
		data[i] = dio_pattern(i);
	dio_pins_start();

	test_lengths(TLS_1_2_VERSION, "1.2", MAX_LENGTH);
	test_lengths(TLS_1_3_VERSION, "1.3", MAX_LENGTH);
	for (i = 0; i < 2; i++) {
		unsigned short version = i ? TLS_1_3_VERSION : TLS_1_2_VERSION;

		test_segments(version);
		test_memory(version, true);
		test_memory(version, false);
		test_pins(version);
		test_dirty(version);
		test_control(version);
	}
	test_forged("a forged record");
	test_fork();
	test_async();
	dio_result("pins taken are released", dio_pins_problem(true));
	ksft_finished();
}
