// SPDX-License-Identifier: GPL-2.0
/*
 * SMB 3.1.1 over loopback: Samba's smbd or the kernel's ksmbd exports a directory
 * to anybody, who is root then.  All that they keep is in a directory of /tmp.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>

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

static int mount_smb(const char *dir, unsigned int io_size)
{
	char options[256], *end = options;

	/* Nobody that the server knows: a guest.  Waits for a server that is slow to return. */
	end += sprintf(end, "ip=" ADDRESS ",vers=3.1.1,hard,username=iov_iter,password=none");
	if (io_size)
		sprintf(end, ",rsize=%u,wsize=%u", io_size, io_size);
	return mount("//" ADDRESS "/" SHARE, dir, "cifs", MS_NOATIME, options);
}

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
