// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "result.h"
#include "system.h"

int dio_write_file(const char *value, const char *format, ...)
{
	char path[300];
	va_list args;
	int fd, ret = 0;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

int dio_read_file(char *value, size_t size, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, value, size - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	value[n] = '\0';
	return 0;
}

int dio_run(const char * const argv[])
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return -1;
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], (char * const *)argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

void dio_modprobe(const char *module)
{
	const char * const modprobe[] = { "modprobe", module, NULL };

	dio_run(modprobe);
}

bool dio_by_netfs(void)
{
	return !access("/proc/fs/netfs", F_OK);
}

bool dio_port_answers(unsigned short port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool answers;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	answers = fd >= 0 && !connect(fd, (struct sockaddr *)&to, sizeof(to));
	if (fd >= 0)
		close(fd);
	return answers;
}

bool dio_waits(pid_t pid, pid_t tid)
{
	unsigned long long start = dio_now_ms();
	char path[64], stat[512], *state;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	do {
		if (dio_read_file(stat, sizeof(stat), path))
			return false;
		state = strrchr(stat, ')');
		if (state && state[1] && state[2] == 'D')
			return true;
		if (state && state[1] && state[2] == 'Z')
			return false;
	} while (!dio_expired(start));
	return false;
}

bool dio_dies(pid_t pid)
{
	unsigned long long start = dio_now_ms();
	int status;

	kill(pid, SIGKILL);
	while (!waitpid(pid, &status, WNOHANG))
		if (dio_expired(start))
			return false;
	return true;
}
