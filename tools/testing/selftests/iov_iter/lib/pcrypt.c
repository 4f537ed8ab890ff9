// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/if_alg.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "memory.h"
#include "pcrypt.h"
#include "result.h"
#include "system.h"
#include "target.h"

#define RT_RUNTIME	"/proc/sys/kernel/sched_rt_runtime_us"

static char name[64];

/* The driver of gcm(aes) that is used, as /proc/crypto tells it */
struct driver {
	char name[128];
	int priority;
	int users;
	bool passed;	/* the kernel's own tests of it */
	bool async;
};

static bool find_driver(struct driver *best)
{
	char line[256], value[128], algorithm[128] = "";
	struct driver d = { .priority = -1 };
	FILE *f = fopen("/proc/crypto", "re");
	bool found = false;

	best->priority = -1;
	while (f && fgets(line, sizeof(line), f)) {
		if (line[0] == '\n')
			d = (struct driver){ .priority = -1 };
		if (sscanf(line, "%*s : %127s", value) != 1)
			continue;
		if (!strncmp(line, "name ", 5))
			strcpy(algorithm, value);
		else if (!strncmp(line, "driver ", 7))
			strcpy(d.name, value);
		else if (!strncmp(line, "priority ", 9))
			d.priority = atoi(value);
		else if (!strncmp(line, "refcnt ", 7))
			d.users = atoi(value);
		else if (!strncmp(line, "selftest ", 9))
			d.passed = !strcmp(value, "passed");
		else if (!strncmp(line, "async ", 6))
			d.async = !strcmp(value, "yes");
		/* The last line of an AEAD */
		if (strncmp(line, "geniv ", 6) || strcmp(algorithm, "gcm(aes)") ||
		    !d.passed || d.priority <= best->priority)
			continue;
		*best = d;
		found = true;
	}
	if (f)
		fclose(f);
	return found;
}

static int bind_aead(const char *algorithm)
{
	struct sockaddr_alg address = { .salg_family = AF_ALG, .salg_type = "aead" };
	int fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), ret = 0;

	if (fd < 0)
		return -errno;
	strcpy((char *)address.salg_name, algorithm);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		ret = -errno;
	close(fd);
	return ret;
}

/*
 * Where requests are done, and where they end: on one CPU, by kernel threads that do
 * not run while a thread of SCHED_FIFO has it.
 */
static const char * const masks[] = {
	"/sys/kernel/pcrypt/pencrypt/parallel_cpumask",
	"/sys/kernel/pcrypt/pencrypt/serial_cpumask",
	"/sys/kernel/pcrypt/pdecrypt/parallel_cpumask",
	"/sys/kernel/pcrypt/pdecrypt/serial_cpumask",
};

static struct {
	pthread_t thread;
	cpu_set_t there, elsewhere, before;
	char runtime[32];
	atomic_bool keep, kept;
} hold;

static const char *can_hold(void)
{
	struct sched_param param = { .sched_priority = 1 }, normal = { 0 };
	unsigned int cpu = 32, i;
	char mask[16];
	int ret;

	sched_getaffinity(0, sizeof(hold.before), &hold.before);
	while (cpu && !CPU_ISSET(cpu - 1, &hold.before))
		cpu--;
	if (!cpu || CPU_COUNT(&hold.before) < 2)
		return "there is one CPU only";
	cpu--;
	CPU_ZERO(&hold.there);
	CPU_SET(cpu, &hold.there);
	hold.elsewhere = hold.before;
	CPU_CLR(cpu, &hold.elsewhere);
	if (dio_read_file(hold.runtime, sizeof(hold.runtime), RT_RUNTIME))
		return "no " RT_RUNTIME;
	if (sched_setscheduler(0, SCHED_FIFO, &param))
		return "no SCHED_FIFO";
	sched_setscheduler(0, SCHED_OTHER, &normal);
	snprintf(mask, sizeof(mask), "%x", 1U << cpu);
	for (i = 0; i < ARRAY_SIZE(masks); i++) {
		ret = dio_write_file(mask, "%s", masks[i]);
		if (!ret)
			continue;
		return dio_because("%s: %s", masks[i], strerror(-ret));
	}
	return NULL;
}

static const char *start(void)
{
	struct driver d;
	int ret;

	dio_modprobe("pcrypt");
	ret = bind_aead("gcm(aes)");
	if (ret || !find_driver(&d))
		return "no gcm(aes)";
	if (strncmp(d.name, "pcrypt(", 7)) {
		if (strlen(d.name) + sizeof("pcrypt()") > sizeof(name))
			return "the name of gcm(aes) is too long for pcrypt()";
		sprintf(name, "pcrypt(%s)", d.name);
		ret = bind_aead(name);
		if (ret)
			return dio_because("no %s: %s", name, strerror(-ret));
		find_driver(&d);
	}
	if (strncmp(d.name, "pcrypt(", 7) || !d.async || strlen(d.name) >= sizeof(name))
		return "gcm(aes) is not pcrypt's";
	strcpy(name, d.name);
	return can_hold();
}

const char *dio_pcrypt_start(void)
{
	static const char *missing;
	static bool tried;

	if (!tried)
		missing = start();
	tried = true;
	return missing;
}

const char *dio_pcrypt_name(void)
{
	return name;
}

int dio_pcrypt_users(void)
{
	struct driver d;

	return find_driver(&d) && !strcmp(d.name, name) ? d.users : 0;
}

static void *keep_thread(void *arg)
{
	hold.kept = true;
	while (hold.keep)
		;
	return NULL;
}

void dio_pcrypt_hold(void)
{
	struct sched_param param = { .sched_priority = 1 };
	pthread_attr_t attr;
	int ret;

	/* By default others get a part of each second. */
	ret = dio_write_file("-1", RT_RUNTIME);
	if (ret)
		dio_die("%s: %s\n", RT_RUNTIME, strerror(-ret));
	sched_setaffinity(0, sizeof(hold.elsewhere), &hold.elsewhere);
	hold.keep = true;
	hold.kept = false;
	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &param);
	pthread_attr_setaffinity_np(&attr, sizeof(hold.there), &hold.there);
	ret = pthread_create(&hold.thread, &attr, keep_thread, NULL);
	pthread_attr_destroy(&attr);
	if (ret)
		dio_die("no thread of SCHED_FIFO: %s\n", strerror(ret));
	while (!hold.kept)
		sched_yield();
}

void dio_pcrypt_release(void)
{
	hold.keep = false;
	pthread_join(hold.thread, NULL);
	dio_write_file(hold.runtime, RT_RUNTIME);
	sched_setaffinity(0, sizeof(hold.before), &hold.before);
}

/* It is not to be interrupted then, which is told as D. */
bool dio_pcrypt_wait_held(const pid_t *tid)
{
	unsigned long long start = dio_now_ms();
	char path[64], stat[512], *state = NULL;
	pid_t id;

	while (!state || state[1] != ' ' || state[2] != 'D') {
		if (dio_expired(start))
			return false;
		id = __atomic_load_n(tid, __ATOMIC_RELAXED);
		snprintf(path, sizeof(path), "/proc/self/task/%d/stat", id);
		if (id && !dio_read_file(stat, sizeof(stat), path))
			state = strrchr(stat, ')');
	}
	return true;
}

static struct {
	struct dio_target target;
	unsigned char *mem;
	size_t length;
	int fd;
} file;

const char *dio_pcrypt_file_open(size_t length, unsigned char **mem)
{
	dio_target_select("ext4");
	dio_target_open(&file.target, 0);
	if (file.target.skip)
		return file.target.skip;
	file.length = length;
	file.fd = open(file.target.path, O_RDWR | O_CLOEXEC);
	if (file.fd < 0)
		dio_die("%s: %s\n", file.target.path, strerror(errno));
	file.mem = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
	if (file.mem == MAP_FAILED)
		dio_die("mmap of a file: %s\n", strerror(errno));
	memset(file.mem, DIO_UNTOUCHED, length);
	if (fsync(file.fd))
		dio_die("fsync: %s\n", strerror(errno));
	*mem = file.mem;
	return NULL;
}

const char *dio_pcrypt_file_write_back(void)
{
	unsigned long long start = dio_now_ms();
	size_t dirty;

	do {
		if (sync_file_range(file.fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE |
				    SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER))
			dio_die("sync_file_range: %s\n", strerror(errno));
		dirty = dio_dirty(file.mem);
	} while (dirty && !dio_expired(start));
	if (!dirty)
		return NULL;
	return dio_because("set-up: %zu bytes are dirty after write-back", dirty);
}

void dio_pcrypt_file_close(unsigned char *buf)
{
	munmap(file.mem, file.length);
	if (fsync(file.fd))
		dio_die("fsync: %s\n", strerror(errno));
	close(file.fd);
	/* By direct I/O: from the disk, not from pages that are cached and clean */
	dio_full_pread(file.target.fd, buf, file.length, 0);
	dio_target_close(&file.target);
}
