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

#include "lib/cases.h"
#include "lib/disk.h"
#include "lib/measure.h"
#include "lib/memory.h"
#include "lib/pcrypt.h"
#include "lib/pins.h"
#include "lib/result.h"
#include "lib/system.h"

#ifndef TCP_ULP
#define TCP_ULP		31
#endif
#ifndef SOL_TLS
#define SOL_TLS		282
#endif

#define RECORD		16384UL	/* the largest */
#define MAX_LENGTH	(16 * DIO_MIB)
#define FORKS		50

static unsigned char *data;
/* The two ends of a connection */
struct link {
	int from, to;
};

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
		return dio_because("TCP_ULP tls: %s", strerror(errno));
	if (setsockopt(fd, SOL_TLS, direction, &info, sizeof(info)))
		return dio_because("TLS keys: %s", strerror(errno));
	return NULL;
}

static void must_encrypt(int fd, unsigned short version, int direction)
{
	const char *why = encrypt(fd, version, direction);

	if (why)
		dio_die("%s\n", why);
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

	memset(mem, DIO_UNTOUCHED, size);
	link_open(&l);
	must_encrypt(l.from, version, TLS_TX);
	must_encrypt(l.to, version, TLS_RX);
	s.fd = l.from;
	if (pthread_create(&thread, NULL, sender_thread, &s))
		dio_die("no thread\n");
	n = recv(l.to, mem + offset, length, MSG_WAITALL);
	wrong = dio_count(n, length);
	if (wrong)
		shutdown(l.to, SHUT_RDWR);
	pthread_join(thread, NULL);
	if (!wrong)
		wrong = dio_differ(mem + offset, data, length);
	for (i = 0; i < size && !wrong; i++)
		if ((i < offset || i >= offset + length) && mem[i] != DIO_UNTOUCHED)
			wrong = "bytes around what was received were written to";
	munmap(mem, size);
	link_close(&l);
	return wrong;
}

/* The ways: two versions, and the first with an asynchronous cipher */
enum way {
	TLS_1_2,
	TLS_1_3,
	BY_PCRYPT,
	NR_WAYS,
};

static const char * const way_names[NR_WAYS] = { "1.2", "1.3", "1.2 by pcrypt" };

static unsigned short version_of(enum way way)
{
	return way == TLS_1_3 ? TLS_1_3_VERSION : TLS_1_2_VERSION;
}

static void label_lengths(char *name, size_t size, unsigned int way)
{
	snprintf(name, size, "%s, all lengths", way_names[way]);
}

static const char *test_lengths(unsigned int way)
{
	static const size_t lengths[] = { 1, 511, 4096, 16384, 65537, MAX_LENGTH };
	const size_t offsets[] = { 0, 1, dio_page_size - 1 };
	const char *wrong = NULL;
	unsigned int i, k;

	if (way == BY_PCRYPT && dio_pcrypt_start())
		return dio_skip(dio_pcrypt_start());
	for (i = 0; i < ARRAY_SIZE(lengths) && !wrong; i++)
		for (k = 0; k < ARRAY_SIZE(offsets) && !wrong; k++)
			if (lengths[i] < MAX_LENGTH || (k == 1 && way != BY_PCRYPT))
				wrong = exchange(version_of(way), lengths[i], lengths[i],
						 offsets[k]);
	return wrong;
}

static void label_records(char *name, size_t size, unsigned int way)
{
	snprintf(name, size, "%s, records of all lengths", way_names[way]);
}

static const char *test_records(unsigned int way)
{
	const char *wrong;

	if (way == BY_PCRYPT && dio_pcrypt_start())
		return dio_skip(dio_pcrypt_start());
	wrong = exchange(version_of(way), 200000, 1000, 3);
	return wrong ? wrong : exchange(version_of(way), 200000, 16384, 512);
}

/*
 * A link on which a record of @length is on its way.  1.3 decrypts in place only if
 * it is told that there is no padding.
 */
static void link_record(struct link *l, unsigned short version, size_t length)
{
	int on = 1;

	link_open(l);
	must_encrypt(l->from, version, TLS_TX);
	must_encrypt(l->to, version, TLS_RX);
	if (version == TLS_1_3_VERSION &&
	    setsockopt(l->to, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &on, sizeof(on)))
		dio_die("TLS_RX_EXPECT_NO_PAD: %s\n", strerror(errno));
	if (send(l->from, data, length, 0) != length)
		dio_die("send: %s\n", strerror(errno));
}

static const char *test_segments(unsigned short version)
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
	wrong = dio_count(recvmsg(l.to, &msg, 0), RECORD);
	for (i = 0; i < ARRAY_SIZE(iov) && !wrong && done < RECORD; i++) {
		size_t n = iov[i].iov_len < RECORD - done ? iov[i].iov_len : RECORD - done;

		wrong = dio_differ(iov[i].iov_base, data + done, n);
		done += n;
	}
	munmap(mem, 2 * RECORD);
	link_close(&l);
	return wrong;
}

/* The first pages are there, and pinned before the others turn out not to be. */
static const char *test_memory(unsigned short version, bool read_only)
{
	unsigned char *mem = dio_map(RECORD, dio_page_size, false);
	const char *wrong;
	struct link l;

	memset(mem, DIO_UNTOUCHED, RECORD);
	if (read_only)
		mprotect(mem, RECORD, PROT_READ);
	else
		munmap(mem + RECORD / 2, RECORD / 2);
	link_record(&l, version, RECORD);
	wrong = dio_count(recv(l.to, mem, RECORD, 0), -EFAULT);
	if (!wrong && (mem[0] != DIO_UNTOUCHED || mem[RECORD / 2 - 1] != DIO_UNTOUCHED))
		wrong = "memory was written to";
	munmap(mem, RECORD);
	link_close(&l);
	return wrong;
}

/* What is encrypted on one link is sent on over another, changed or in parts. */
static const char *test_forged(unsigned int way)
{
	unsigned char *mem;
	const char *wrong;
	struct link in, out;
	ssize_t n;

	if (way == BY_PCRYPT && dio_pcrypt_start())
		return dio_skip(dio_pcrypt_start());
	mem = dio_map(2 * RECORD, dio_page_size, false);
	link_open(&in);
	link_open(&out);
	must_encrypt(in.from, TLS_1_2_VERSION, TLS_TX);
	must_encrypt(out.to, TLS_1_2_VERSION, TLS_RX);
	if (send(in.from, data, 10000, 0) != 10000)
		dio_die("send: %s\n", strerror(errno));
	/* A header of 5 bytes, 8 of the nonce, a tag of 16 */
	n = recv(in.to, mem, 10000 + 29, MSG_WAITALL);
	if (n != 10000 + 29)
		dio_die("the record has %zd bytes\n", n);
	mem[5000] ^= 1;
	if (send(out.from, mem, n, 0) != n)
		dio_die("send: %s\n", strerror(errno));
	wrong = dio_count(recv(out.to, mem, RECORD, 0), -EBADMSG);
	munmap(mem, 2 * RECORD);
	link_close(&in);
	link_close(&out);
	return wrong;
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
static const char *test_fork(unsigned int unused)
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
		memset(mem, DIO_UNTOUCHED, 2 * RECORD);
		link_open(&in);
		link_open(&out);
		must_encrypt(in.from, TLS_1_2_VERSION, TLS_TX);
		must_encrypt(out.to, TLS_1_2_VERSION, TLS_RX);
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
		wrong = r.n == r.length ? dio_differ(r.mem, data, r.length) :
					  dio_because("%zd bytes were received", r.n);
		link_close(&in);
		link_close(&out);
	}
	munmap(mem, 2 * RECORD);
	munmap(record, 2 * RECORD);
	return wrong;
}

static const char *test_pins(unsigned short version)
{
	unsigned char *mem = dio_map(RECORD, dio_page_size, false);
	unsigned long long before;
	const char *wrong;
	struct link l;

	memset(mem, DIO_UNTOUCHED, RECORD);
	link_record(&l, version, RECORD);
	before = dio_pins_acquired();
	wrong = dio_count(recv(l.to, mem, RECORD, 0), RECORD);
	if (!wrong)
		wrong = dio_pins_taken(before, RECORD / dio_page_size);
	munmap(mem, RECORD);
	link_close(&l);
	return wrong;
}

static const char *test_dirty(unsigned short version)
{
	unsigned char *mem = dio_map_clean(RECORD);
	const char *wrong;
	struct link l;

	link_record(&l, version, RECORD);
	wrong = dio_count(recv(l.to, mem, RECORD, 0), RECORD);
	if (!wrong)
		wrong = dio_dirty_problem(mem, RECORD);
	munmap(mem, RECORD);
	link_close(&l);
	return wrong;
}

/* One that is not data, after data: what it was decrypted into is not what is told. */
static const char *test_control(unsigned short version)
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
	memset(mem, DIO_UNTOUCHED, 2 * RECORD);
	link_record(&l, version, 3000);
	if (sendmsg(l.from, &msg, 0) != 2)
		dio_die("sendmsg: %s\n", strerror(errno));
	wrong = dio_count(recv(l.to, mem, RECORD, 0), 3000);
	if (!wrong)
		wrong = dio_differ(mem, data, 3000);
	/* Without room for its type it is refused, and stays; with it, it is told. */
	if (!wrong)
		wrong = dio_count(recv(l.to, mem, RECORD, 0), -EIO);
	iov.iov_base = mem;
	iov.iov_len = RECORD;
	memset(&control, 0, sizeof(control));
	if (!wrong)
		wrong = dio_count(recvmsg(l.to, &msg, 0), 2);
	if (!wrong && (control.header.cmsg_level != SOL_TLS ||
		       control.header.cmsg_type != TLS_GET_RECORD_TYPE ||
		       *CMSG_DATA(&control.header) != 100))
		wrong = "its type is not told";
	if (!wrong)
		wrong = dio_differ(mem, data + 1000, 2);
	munmap(mem, 2 * RECORD);
	link_close(&l);
	return wrong;
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
	return a->n == a->length ? dio_differ(a->mem, data, a->length) :
				   dio_because("recv() gave %zd, expected %zu", a->n, a->length);
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
		wrong = dio_because("%zu bytes are dirty instead of %lu", dio_dirty(mem), RECORD);
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

	wrong = dio_pcrypt_file_open(2 * RECORD, &mem);
	if (wrong)
		return dio_skip(wrong);
	link_async(&l, RECORD);
	asker_start(&a, l.to, mem + 512, RECORD);
	wrong = asker_wait(&a);
	if (!wrong)
		wrong = dio_pcrypt_file_write_back();
	if (!wrong && mem[512] != DIO_UNTOUCHED)
		wrong = "set-up: it was not held";
	late = asker_end(&a);
	if (!wrong)
		wrong = late;
	dio_pcrypt_file_close(disk);
	if (!wrong)
		wrong = dio_differ(disk + 512, data, RECORD);
	munmap(disk, 2 * RECORD);
	link_close(&l);
	return wrong;
}

static const char *test_read_only(unsigned short version)
{
	return test_memory(version, true);
}

static const char *test_ends(unsigned short version)
{
	return test_memory(version, false);
}

static const struct {
	const char *name;
	const char *(*run)(unsigned short version);
} record_tests[] = {
	{ "several segments", test_segments },
	{ "into read-only memory", test_read_only },
	{ "into memory that ends", test_ends },
	{ "a record is decrypted into pinned memory", test_pins },
	{ "a record makes dirty what it is decrypted into", test_dirty },
	{ "a record that is no data", test_control },
};

static void label_record(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s %s", way_names[i / ARRAY_SIZE(record_tests)],
		 record_tests[i % ARRAY_SIZE(record_tests)].name);
}

static const char *test_record(unsigned int i)
{
	unsigned short version = version_of(i / ARRAY_SIZE(record_tests));

	return record_tests[i % ARRAY_SIZE(record_tests)].run(version);
}

static const struct {
	const char *name;
	const char *(*run)(void);
} async_tests[] = {
	{ "a record makes dirty what it is decrypted into", async_dirty },
	{ "into a file that is written back meanwhile: is on the disk", async_file },
};

static void label_async(char *name, size_t size, unsigned int i)
{
	snprintf(name, size, "%s, %s", way_names[BY_PCRYPT], async_tests[i].name);
}

static const char *test_async(unsigned int i)
{
	return dio_pcrypt_start() ? dio_skip(dio_pcrypt_start()) : async_tests[i].run();
}

static const struct dio_case cases[] = {
	{ .label = label_lengths, .test = test_lengths, .nr = 2 },
	{ .label = label_records, .test = test_records, .nr = 2 },
	{ .label = label_record, .test = test_record, .nr = 2 * ARRAY_SIZE(record_tests) },
	{ "a forged record", .test = test_forged, .i = TLS_1_2 },
	{ "fork() and stores during a record", .test = test_fork },
	/* From here on the cipher is asynchronous. */
	{ .label = label_lengths, .test = test_lengths, .i = BY_PCRYPT },
	{ .label = label_records, .test = test_records, .i = BY_PCRYPT },
	{ "1.2 by pcrypt, a forged record", .test = test_forged, .i = BY_PCRYPT },
	{ .label = label_async, .test = test_async, .nr = ARRAY_SIZE(async_tests) },
};

static void all_cases(void)
{
	dio_prefix("tls");
	dio_cases(cases, ARRAY_SIZE(cases), NULL);
}

static struct link measured;

/* Records of 16 KiB, of which no more are sent than the sockets take */
static void send_and_receive(unsigned char *memory, size_t bytes, bool write)
{
	size_t part = bytes < 4 * RECORD ? bytes : 4 * RECORD, done;

	for (done = 0; done < bytes; done += part)
		if (send(measured.from, data + done, part, 0) != part ||
		    recv(measured.to, memory + done, part, MSG_WAITALL) != part)
			dio_die("TLS: %s\n", strerror(errno));
}

static noreturn void measure(void)
{
	link_open(&measured);
	must_encrypt(measured.from, TLS_1_2_VERSION, TLS_TX);
	must_encrypt(measured.to, TLS_1_2_VERSION, TLS_RX);
	dio_measure("tls", false, send_and_receive);
	link_close(&measured);
	dio_measured();
	exit(0);
}

static const struct dio_option options[] = {
	DIO_OPTION_MEASURE,
	{ 0 }
};

static void start(void)
{
	const char * const up[] = { "ip", "link", "set", "lo", "up", NULL };
	const char *missing;
	struct link l;
	size_t i;

	dio_disk_init();
	dio_modprobe("tls");
	dio_run(up);
	link_open(&l);
	missing = encrypt(l.to, TLS_1_2_VERSION, TLS_RX);
	link_close(&l);
	if (missing)
		dio_skip_all("%s\n", missing);
	data = dio_map(MAX_LENGTH, dio_page_size, false);
	for (i = 0; i < MAX_LENGTH; i++)
		data[i] = dio_pattern(i);
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
