// SPDX-License-Identifier: GPL-2.0
/*
 * Nobody authenticates, everything is at 127.0.0.1, and all that the daemons keep is in
 * a directory of /tmp, or on the scratch disk.  They are children of the test, and end
 * with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../lib/daemon.h"
#include "../lib/disk.h"
#include "../lib/memory.h"
#include "../lib/result.h"
#include "../lib/system.h"
#include "ceph.h"

#define FSID		"6f1c2f9e-5d0a-4f43-8a51-6f2b1d0c9e77"
#define ADDRESSES	"[v2:127.0.0.1:3300,v1:127.0.0.1:6789]"
#define DEBUG		"/sys/kernel/debug"

static const char conf[] =
	"[global]\n"
	"fsid = " FSID "\n"
	"mon host = " ADDRESSES "\n"
	"public addr = 127.0.0.1\n"
	"ms bind ipv6 = false\n"
	"auth cluster required = none\n"
	"auth service required = none\n"
	"auth client required = none\n"
	"keyring = %1$s/keyring\n"
	"run dir = %1$s\n"
	"admin socket =\n"
	"log to stderr = false\n"
	"log file = %1$s/$name.log\n"
	"osd pool default size = 1\n"
	"osd pool default min size = 1\n"
	"osd pool default pg autoscale mode = off\n"
	"osd crush chooseleaf type = 0\n"
	"osd erasure code plugins =\n"
	"mon allow pool size one = true\n"
	"mon data avail crit = 1\n"
	"mon data avail warn = 1\n"
	"mds beacon grace = 600\n"
	"[mon]\n"
	"mon data = %1$s/mon\n"
	"[osd]\n"
	"crush location = root=default host=iov_iter\n"
	"osd data = %1$s/osd\n"
	"osd memory target = 939524096\n"
	"bluestore block path = %2$s\n"
	"bluestore compression algorithm =\n"
	"bluestore fsck on mkfs = false\n"
	"[mds]\n"
	"mds data = %1$s/mds\n";

static const char commands[] =
	"osd pool create data 4\n"
	"osd pool create metadata 4\n"
	"fs new cephfs metadata data\n";

static struct {
	char dir[32];
	pid_t mon, osd, mds;
	bool held;
	bool debug_mounted;
} cluster;

static bool too_late(unsigned long long start)
{
	poll(NULL, 0, 100);
	return dio_now_ms() - start > DIO_CEPH_SECONDS * 1000ULL;
}

static void make_dir(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", cluster.dir, name);
	if (mkdir(path, 0700))
		dio_die("%s: %s\n", path, strerror(errno));
}

static void make_file(const char *name, const char *text)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", cluster.dir, name);
	f = fopen(path, "w");
	if (!f || fprintf(f, text, cluster.dir, dio_disk_path()) < 0 || fclose(f))
		dio_die("%s: %s\n", path, strerror(errno));
}

/* A shell's command line, in which $0 is the directory */
static int shell(const char *line)
{
	const char * const sh[] = { "sh", "-c", line, cluster.dir, NULL };

	return dio_run(sh);
}

static void must_run(const char *command)
{
	char line[256], path[64], said[512] = "";
	int status;

	snprintf(line, sizeof(line), "exec timeout %d %s >$0/said 2>&1", DIO_CEPH_SECONDS,
		 command);
	status = shell(line);
	if (!status)
		return;
	snprintf(path, sizeof(path), "%s/said", cluster.dir);
	dio_read_file(said, sizeof(said), path);
	dio_die("%s: status %d: %s\n", command, status, said);
}

static pid_t ceph_start(const char *program, const char *id)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		dio_die("fork: %s\n", strerror(errno));
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execlp(program, program, "-f", "-i", id, NULL);
		_exit(127);
	}
	return pid;
}

static void ceph_end(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

static bool has_ended(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) == pid;
}

static const char *kernel_has_it(void)
{
	bool found = false;
	char line[64];
	FILE *f;

	dio_modprobe("ceph");
	f = fopen("/proc/filesystems", "r");
	while (f && !found && fgets(line, sizeof(line), f))
		found = !strcmp(line, "nodev\tceph\n");
	if (f)
		fclose(f);
	if (!found)
		return "this kernel has no Ceph file system";
	if (access(DEBUG "/ceph", F_OK)) {
		if (mount("debugfs", DEBUG, "debugfs", 0, ""))
			return "debugfs does not tell what is in flight";
		cluster.debug_mounted = true;
	}
	return NULL;
}

/* Nothing of an older store may be found on the disk. */
static void wipe(void)
{
	int fd = open(dio_disk_path(), O_WRONLY | O_CLOEXEC);
	static const char zeros[DIO_MIB];

	if (fd < 0)
		dio_die("%s: %s\n", dio_disk_path(), strerror(errno));
	dio_full_pwrite(fd, zeros, sizeof(zeros), 0);
	fsync(fd);
	close(fd);
}

static const char *start(const char *unused)
{
	const char *why = kernel_has_it();
	char path[64];

	if (why)
		return why;
	if (shell("for i in ceph ceph-mon ceph-osd ceph-mds monmaptool; do\n"
		  "	command -v $i || exit 1\n"
		  "done"))
		return "ceph is not installed: the monitor, the OSD, the MDS and its tools";
	if (dio_port_answers(DIO_CEPH_PORT_V1) || dio_port_answers(DIO_CEPH_PORT_V2))
		return "a Ceph monitor runs already";

	strcpy(cluster.dir, "/tmp/iov_iter.XXXXXX");
	if (!mkdtemp(cluster.dir))
		dio_die("%s: %s\n", cluster.dir, strerror(errno));
	make_dir("osd");
	make_dir("mds");
	make_file("ceph.conf", conf);
	make_file("commands", commands);
	snprintf(path, sizeof(path), "%s/ceph.conf", cluster.dir);
	setenv("CEPH_CONF", path, 1);
	wipe();

	must_run("monmaptool --create --fsid " FSID " --addv a '" ADDRESSES "' $0/monmap");
	must_run("ceph-mon --mkfs -i a --monmap $0/monmap");
	cluster.mon = ceph_start("ceph-mon", "a");
	must_run("ceph-osd --mkfs -i 0");
	cluster.osd = ceph_start("ceph-osd", "0");
	cluster.mds = ceph_start("ceph-mds", "a");
	must_run("ceph <$0/commands");
	return NULL;
}

static void stop(void)
{
	ceph_end(&cluster.mds);
	ceph_end(&cluster.osd);
	ceph_end(&cluster.mon);
	if (cluster.dir[0])
		shell("exec rm -rf $0");
	if (cluster.debug_mounted)
		umount(DEBUG);
}

static int mount_by(const char *dir, const char *source, const char *options)
{
	unsigned long long start = dio_now_ms();

	while (mount(source, dir, "ceph", MS_NOATIME, options)) {
		/* There is no metadata server yet. */
		if (errno != EHOSTUNREACH && errno != ETIMEDOUT && errno != EIO)
			return -1;
		if (has_ended(cluster.mon) || has_ended(cluster.osd) || has_ended(cluster.mds))
			dio_die("a daemon of Ceph has ended\n");
		if (too_late(start))
			return -1;
	}
	return 0;
}

static int mount_v1(const char *dir, unsigned int unused)
{
	return mount_by(dir, "127.0.0.1:6789:/", "name=admin");
}

static int mount_v2(const char *dir, unsigned int unused)
{
	return mount_by(dir, "127.0.0.1:3300:/", "name=admin,ms_mode=crc");
}

/* Its object store is what I/O waits for, and what is ended and run again. */
static void hold(bool hold)
{
	if (hold == cluster.held)
		return;
	cluster.held = hold;
	kill(cluster.osd, hold ? SIGSTOP : SIGCONT);
	/* until all of its threads are */
	if (hold && waitpid(cluster.osd, NULL, WUNTRACED) != cluster.osd)
		dio_die("the OSD does not stop: %s\n", strerror(errno));
}

static void set_threads(unsigned int nr)
{
	if (nr)
		return;
	ceph_end(&cluster.osd);
	cluster.held = false;
}

static void run(void)
{
	cluster.osd = ceph_start("ceph-osd", "0");
}

unsigned int dio_ceph_held(void)
{
	unsigned int requests, all = 0;
	char text[64];
	glob_t found;
	size_t i;

	if (glob(DEBUG "/ceph/*/osdc", 0, NULL, &found))
		return 0;
	for (i = 0; i < found.gl_pathc; i++)
		if (!dio_read_file(text, sizeof(text), found.gl_pathv[i]) &&
		    sscanf(text, "REQUESTS %u ", &requests) == 1)
			all += requests;
	globfree(&found);
	return all;
}

static struct dio_daemon ceph[] = {
	{
		.name = "ceph", .start = start, .stop = stop, .mount = mount_v1, .run = run,
		.threads = set_threads, .pause = hold, .port = DIO_CEPH_PORT_V1,
		.bad_block = EIO,
	},
	{
		.name = "ceph2", .start = start, .stop = stop, .mount = mount_v2, .run = run,
		.threads = set_threads, .pause = hold, .port = DIO_CEPH_PORT_V2,
		.bad_block = EIO,
	},
};

static __attribute__((constructor)) void add(void)
{
	dio_daemon_add(&ceph[0]);
	dio_daemon_add(&ceph[1]);
}
