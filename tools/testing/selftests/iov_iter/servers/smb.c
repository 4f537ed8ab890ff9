// SPDX-License-Identifier: GPL-2.0
/*
 * SMB 3.1.1 over loopback: Samba's smbd or the kernel's ksmbd exports a directory
 * to anybody, who is root then.  All that they keep is in a directory of /tmp.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "../lib/memory.h"
#include "../lib/result.h"
#include "../lib/system.h"
#include "../lib/target.h"

#define SMB_PORT	445
#define START_MS	60000		/* for a server to begin to listen */

#define ADDRESS		"127.0.0.1"
#define SHARE		"export"
#define KSMBD_CONTROL	"/sys/class/ksmbd-control/kill_server"

static const char smbd_conf[] =
	"[global]\n"
	"server role = standalone server\n"
	"interfaces = lo\n"
	"bind interfaces only = yes\n"
	"smb ports = 445\n"
	"disable netbios = yes\n"
	"load printers = no\n"
	"disable spoolss = yes\n"
	"map to guest = Bad User\n"
	"guest account = root\n"
	"log level = 0\n"
	"log file = %1$s/log\n"
	/* 16 MiB in flight, and not as much as there is */
	"smb2 max credits = 256\n"
	"cache directory = %1$s\n"
	"lock directory = %1$s\n"
	"ncalrpc dir = %1$s\n"
	"pid directory = %1$s\n"
	"private dir = %1$s\n"
	"state directory = %1$s\n"
	"[" SHARE "]\n"
	"path = %2$s\n"
	"read only = no\n"
	"guest ok = yes\n"
	"force user = root\n";

static const char ksmbd_conf[] =
	"; %1$s\n"
	"[global]\n"
	"map to guest = bad user\n"
	"guest account = root\n"
	"[" SHARE "]\n"
	"path = %2$s\n"
	"read only = no\n"
	"guest ok = yes\n"
	"force user = root\n"
	"force group = root\n";

static struct {
	bool is_smbd;		/* or ksmbd */
	char dir[32];		/* what the server keeps */
	char conf[48];
	char passwords[48];	/* none, but ksmbd wants the file */
	pid_t pid;		/* of smbd, and its process group */
} smb;

static void make(char *path, size_t size, const char *name, const char *text,
		 const char *exported)
{
	FILE *f;

	snprintf(path, size, "%s/%s", smb.dir, name);
	f = fopen(path, "w");
	if (!f || fprintf(f, text, smb.dir, exported) < 0 || fclose(f))
		dio_die("%s: %s\n", path, strerror(errno));
}

static void run_smbd(void)
{
	const char * const smbd[] = { "smbd", "-D", "-s", smb.conf, NULL };
	unsigned long long start = dio_now_ms();
	char path[64], pid[32];
	int status;

	snprintf(path, sizeof(path), "%s/smbd.pid", smb.dir);
	unlink(path);
	status = dio_run(smbd);
	if (status)
		dio_die("smbd failed with status %d\n", status);
	while (dio_read_file(pid, sizeof(pid), path) || atoi(pid) <= 0)
		if (dio_expired(start))
			dio_die("smbd has not started, see %s/log\n", smb.dir);
	smb.pid = atoi(pid);
}

static void run_ksmbd(void)
{
	const char * const mountd[] = { "ksmbd.mountd", "-C", smb.conf, "-P", smb.passwords, NULL };
	int status = dio_run(mountd);

	if (status)
		dio_die("ksmbd.mountd failed with status %d\n", status);
}

static void run(void)
{
	unsigned long long start = dio_now_ms();

	if (smb.is_smbd)
		run_smbd();
	else
		run_ksmbd();
	while (!dio_port_answers(SMB_PORT)) {
		if (dio_now_ms() - start > START_MS)
			dio_die("nobody listens on the port of SMB after %u s\n",
				START_MS / 1000);
		usleep(10000);
	}
}

static void end(void)
{
	const char * const killall[] = { "killall", "ksmbd.mountd", NULL };

	if (smb.is_smbd) {
		kill(-smb.pid, SIGKILL);
		return;
	}
	/* It must not be told to start anew. */
	dio_run(killall);
	dio_write_file("hard", KSMBD_CONTROL);
}

static void pause_smbd(bool pause)
{
	if (smb.is_smbd)
		kill(-smb.pid, pause ? SIGSTOP : SIGCONT);
}

static const char *start(bool is_smbd, const char *dir)
{
	const char * const modprobe[] = { "modprobe", "-a", "cifs", "ksmbd", NULL };
	const char * const probe[] = {
		is_smbd ? "smbd" : "ksmbd.mountd", "--version", NULL };

	dio_run(modprobe);
	if (dio_run(probe) == 127)
		return is_smbd ? "smbd is not installed" :
					 "ksmbd.mountd is not installed";
	if (!is_smbd && access(KSMBD_CONTROL, F_OK))
		return "this kernel has no SMB server";
	if (dio_port_answers(SMB_PORT))
		return "an SMB server runs already";

	smb.is_smbd = is_smbd;
	strcpy(smb.dir, "/tmp/iov_iter.XXXXXX");
	if (!mkdtemp(smb.dir))
		dio_die("%s: %s\n", smb.dir, strerror(errno));
	make(smb.conf, sizeof(smb.conf), "smb.conf",
	     is_smbd ? smbd_conf : ksmbd_conf, dir);
	make(smb.passwords, sizeof(smb.passwords), "passwords", "", "");
	run();
	return NULL;
}

static void stop(void)
{
	const char * const rm[] = { "rm", "-rf", smb.dir, NULL };
	unsigned long long start = dio_now_ms();

	pause_smbd(false);
	end();
	while (dio_port_answers(SMB_PORT) && !dio_expired(start))
		;
	dio_run(rm);
}

static int mount_port(const char *dir, unsigned int io_size, unsigned short port)
{
	char options[256], *end = options;

	/* Nobody that the server knows: a guest.  Waits for a server that is slow to return. */
	end += sprintf(end, "ip=" ADDRESS ",port=%u,vers=3.1.1,hard", port);
	end += sprintf(end, ",username=iov_iter,password=none");
	if (io_size)
		sprintf(end, ",rsize=%u,wsize=%u", io_size, io_size);
	return mount("//" ADDRESS "/" SHARE, dir, "cifs", MS_NOATIME, options);
}

static int mount_smb(const char *dir, unsigned int io_size)
{
	return mount_port(dir, io_size, SMB_PORT);
}

/*
 * The liar: a proxy in front of the server, which passes on all but what it lies
 * about.  Numbers on the wire are little-endian, but for the length of a message.
 */
#define MESSAGE_MAX	(16 << 20)
#define SMB2_READ	8
#define SMB2_WRITE	9
#define FROM_SERVER	1		/* in the flags */
#define MORE		512		/* bytes at the end of what was read */

struct smb2_header {
	uint8_t id[4];
	uint16_t size, charge;
	uint32_t status;
	uint16_t command, credits;
	uint32_t flags, next;
	uint64_t message, process, session;
	uint8_t signature[16];
};

/* The start of the answer to a read, of a write, and the answer to that */
struct smb2_read_answer {
	uint16_t size;
	uint8_t offset, reserved;
	uint32_t length, remaining, flags;
};

struct smb2_write {
	uint16_t size, offset;
	uint32_t length;
};

struct smb2_write_answer {
	uint16_t size, reserved;
	uint32_t length, remaining;
	uint16_t channel_offset, channel_length;
};

struct message {
	uint32_t unused;		/* no gap between the next two */
	uint32_t length;		/* of the rest, big-endian */
	struct smb2_header header;
	union {
		struct smb2_read_answer read_answer;
		struct smb2_write write;
		struct smb2_write_answer write_answer;
		uint8_t rest[MESSAGE_MAX];
	};
};

static struct {
	enum dio_lie lie;
	int listens, client, server;
	pthread_t thread;
	sem_t read_on;
	bool answered, lied;
	uint64_t early;			/* the message that was answered */
	struct message message;
} liar;

/* These two tell whether the connection is there still. */
static bool get(int fd, void *buf, size_t len)
{
	return !len || recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

static bool put(int fd, const void *buf, size_t len)
{
	return send(fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool answer_early(const struct message *m)
{
	struct {
		uint32_t unused, length;
		struct smb2_header header;
		struct smb2_write_answer answer;
	} a = { .header = m->header };

	a.length = htonl(sizeof(a.header) + sizeof(a.answer));
	a.header.credits = m->header.charge;
	a.header.flags |= htole32(FROM_SERVER);
	a.answer.size = htole16(sizeof(a.answer) + 1);
	a.answer.length = m->write.length;
	liar.early = m->header.message;
	liar.lied = true;
	if (!put(liar.client, &a.length, sizeof(a) - sizeof(a.unused)))
		return false;
	__atomic_store_n(&liar.answered, true, __ATOMIC_RELEASE);
	while (sem_wait(&liar.read_on))
		;
	__atomic_store_n(&liar.answered, false, __ATOMIC_RELEASE);
	return true;
}

static bool pass_on(bool from_server)
{
	int from = from_server ? liar.server : liar.client;
	int to = from_server ? liar.client : liar.server;
	size_t start = sizeof(liar.message.header) + sizeof(struct smb2_write), length;
	struct message *m = &liar.message;

	if (!get(from, &m->length, sizeof(m->length)))
		return false;
	length = ntohl(m->length);
	if (length > MESSAGE_MAX)
		return false;
	if (start > length)
		start = length;
	memset(&m->header, 0, sizeof(m->header));
	if (!get(from, &m->header, start))
		return false;
	if (!from_server && liar.lie == DIO_ANSWERS_EARLY && !liar.lied &&
	    le16toh(m->header.command) == SMB2_WRITE &&
	    le32toh(m->write.length) >= DIO_MIB / 2 && !answer_early(m))
		return false;
	if (!get(from, (char *)&m->header + start, length - start))
		return false;
	if (from_server && liar.lied && m->header.message == liar.early)
		return true;
	if (from_server && liar.lie == DIO_ANSWERS_MORE && !m->header.status &&
	    le16toh(m->header.command) == SMB2_READ) {
		memset((char *)&m->header + length, DIO_UNTOUCHED ^ 0xff, MORE);
		length += MORE;
		m->length = htonl(length);
		m->read_answer.length = htole32(le32toh(m->read_answer.length) + MORE);
	}
	return put(to, &m->length, sizeof(m->length) + length);
}

static void *lie(void *unused)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(SMB_PORT) };
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };
	bool there = true;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	liar.client = accept(liar.listens, NULL, NULL);
	if (liar.client < 0)
		return NULL;
	liar.server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (liar.server < 0 || connect(liar.server, (struct sockaddr *)&to, sizeof(to)))
		dio_die("the liar does not reach the server: %s\n", strerror(errno));
	fds[0].fd = liar.client;
	fds[1].fd = liar.server;
	while (there && poll(fds, 2, -1) > 0) {
		if (fds[0].revents)
			there = pass_on(false);
		if (there && fds[1].revents)
			there = pass_on(true);
	}
	close(liar.server);
	close(liar.client);
	return NULL;
}

static int mount_liar(const char *dir, enum dio_lie what)
{
	/* A client that is not read from waits soon: small packets, which open no window. */
	static const int room = 65536, segment = 1400;
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof(at);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	liar.lie = what;
	liar.answered = false;
	liar.lied = false;
	sem_init(&liar.read_on, 0, 0);
	liar.listens = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (liar.listens < 0 ||
	    setsockopt(liar.listens, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) ||
	    setsockopt(liar.listens, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)) ||
	    bind(liar.listens, (struct sockaddr *)&at, sizeof(at)) || listen(liar.listens, 1) ||
	    getsockname(liar.listens, (struct sockaddr *)&at, &size))
		dio_die("the liar cannot listen: %s\n", strerror(errno));
	if (pthread_create(&liar.thread, NULL, lie, NULL))
		dio_die("no thread for the liar\n");
	return mount_port(dir, 0, ntohs(at.sin_port));
}

static bool liar_answered(void)
{
	return __atomic_load_n(&liar.answered, __ATOMIC_ACQUIRE);
}

static void liar_reads_on(void)
{
	sem_post(&liar.read_on);
}

static void stop_liar(void)
{
	/* Who still waits for a client gets none. */
	shutdown(liar.listens, SHUT_RDWR);
	liar_reads_on();
	pthread_join(liar.thread, NULL);
	close(liar.listens);
	sem_destroy(&liar.read_on);
}

static const struct dio_liar smbd_liar = {
	.mount = mount_liar, .answered = liar_answered, .read_on = liar_reads_on,
	.stop = stop_liar,
};

/* A server of SMB has as many threads as it likes to. */
static void set_threads(unsigned int nr)
{
	if (!nr)
		end();
}

static void let_go(const char *dir)
{
}

static unsigned long long calls(const char *dir, const char *procedure)
{
	const char *want = strcmp(procedure, "READ") ? "Writes: %llu total" : "Reads: %llu total";
	FILE *f = fopen("/proc/fs/cifs/Stats", "r");
	unsigned long long nr, all = 0;
	char line[256];

	if (!f)
		dio_die("/proc/fs/cifs/Stats: %s\n", strerror(errno));
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, want, &nr) == 1)
			all += nr;
	fclose(f);
	return all;
}

static const char *start_smbd(const char *dir)
{
	return start(true, dir);
}

static const char *start_ksmbd(const char *dir)
{
	return start(false, dir);
}

static struct dio_daemon smbd = {
	.name = "smb", .start = start_smbd, .stop = stop, .mount = mount_smb, .run = run,
	.threads = set_threads, .let_go = let_go, .calls = calls, .pause = pause_smbd,
	.liar = &smbd_liar,
	.port = SMB_PORT, .bad_block = EIO,
};

/* It calls any error that it does not know a bad handle. */
static struct dio_daemon ksmbd = {
	.name = "ksmbd", .start = start_ksmbd, .stop = stop, .mount = mount_smb, .run = run,
	.threads = set_threads, .let_go = let_go, .calls = calls,
	.port = SMB_PORT, .bad_block = EBADF,
};

static __attribute__((constructor)) void add(void)
{
	dio_daemon_add(&smbd);
	dio_daemon_add(&ksmbd);
}
