// SPDX-License-Identifier: GPL-2.0
#define FUSE_USE_VERSION 31

#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../lib/memory.h"
#include "../lib/result.h"
#include "../lib/system.h"
#include "../lib/target.h"
#include "fuse.h"

#define MAX_FILES	16
#define MAX_HELD	64
#define MAX_REQUEST	(DIO_MIB + 64 * 1024)	/* a write, and its header */
#define FIRST_INO	(FUSE_ROOT_ID + 1)

struct dio_fuse *dio_fuse;
static int to_server = -1;

/*
 * The server
 */
static struct file {
	char name[32];		/* empty: unlinked, or none yet */
	int fd;
} files[MAX_FILES];
static unsigned int nr_files;

/* Held answers: all of a read's but the data, or a write's size */
static struct answer {
	fuse_req_t req;
	fuse_ino_t ino;
	size_t size;
	off_t pos;
	bool write;
} held[MAX_HELD];

static struct fuse_session *session;
static unsigned char *regions[DIO_FUSE_CLEAN + 1];	/* to receive requests */
static unsigned char *answers[DIO_FUSE_ENDS + 1];	/* to answer reads from */

static struct file *file_of(fuse_ino_t ino)
{
	return &files[ino - FIRST_INO];
}

static void attributes(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	if (ino == FUSE_ROOT_ID) {
		st->st_mode = S_IFDIR | 0755;
		st->st_nlink = 2;
	} else {
		fstat(file_of(ino)->fd, st);
		st->st_mode = S_IFREG | 0600;
		st->st_nlink = 1;
	}
	st->st_ino = ino;
}

static fuse_ino_t find(const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_files; i++)
		if (!strcmp(files[i].name, name))
			return FIRST_INO + i;
	return 0;
}

static void serve_init(void *unused, struct fuse_conn_info *conn)
{
	const unsigned int splice = FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
				    FUSE_CAP_SPLICE_MOVE;

	conn->want &= ~splice;
	if (dio_fuse->splice)
		conn->want |= conn->capable & splice;
}

static void serve_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = { .ino = find(name) };

	if (!entry.ino) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	attributes(entry.ino, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void serve_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	attributes(ino, &st);
	fuse_reply_attr(req, &st, 0);
}

static void serve_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int valid,
			  struct fuse_file_info *fi)
{
	if ((valid & FUSE_SET_ATTR_SIZE) && ftruncate(file_of(ino)->fd, attr->st_size))
		fuse_reply_err(req, errno);
	else
		serve_getattr(req, ino, fi);
}

static void direct_if_asked(struct fuse_file_info *fi)
{
	fi->direct_io = !!(fi->flags & O_DIRECT);
}

static void serve_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if ((fi->flags & O_TRUNC) && ftruncate(file_of(ino)->fd, 0)) {
		fuse_reply_err(req, errno);
		return;
	}
	direct_if_asked(fi);
	fuse_reply_open(req, fi);
}

static void serve_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
			 struct fuse_file_info *fi)
{
	struct fuse_entry_param entry = { .ino = FIRST_INO + nr_files };

	if (nr_files == MAX_FILES || strlen(name) >= sizeof(files->name)) {
		fuse_reply_err(req, ENOSPC);
		return;
	}
	files[nr_files].fd = memfd_create(name, MFD_CLOEXEC);
	if (files[nr_files].fd < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	strcpy(files[nr_files++].name, name);
	attributes(entry.ino, &entry.attr);
	direct_if_asked(fi);
	fuse_reply_create(req, &entry, fi);
}

static void serve_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_ino_t ino = find(name);

	/* Its number is not used again, and its memory is few. */
	if (ino)
		file_of(ino)->name[0] = '\0';
	fuse_reply_err(req, ino ? 0 : ENOENT);
}

static void serve_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	fuse_reply_err(req, 0);
}

static void serve_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			    off_t length, struct fuse_file_info *fi)
{
	fuse_reply_err(req, fallocate(file_of(ino)->fd, mode, offset, length) ? errno : 0);
}

static void answer_now(const struct answer *a)
{
	unsigned char *memory = answers[dio_fuse->answer];
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(a->size);
	int fd = file_of(a->ino)->fd, ret;
	struct stat st;
	ssize_t n;

	if (dio_fuse->error) {
		if (!dio_fuse->error_after) {
			fuse_reply_err(a->req, dio_fuse->error);
			return;
		}
		dio_fuse->error_after--;
	}
	if (a->write) {
		fuse_reply_write(a->req, a->size);
		return;
	}
	if (dio_fuse->splice) {
		fstat(fd, &st);
		if (a->pos >= st.st_size)
			data.buf[0].size = 0;
		else if (a->size > st.st_size - a->pos)
			data.buf[0].size = st.st_size - a->pos;
		data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
		data.buf[0].fd = fd;
		data.buf[0].pos = a->pos;
		fuse_reply_data(a->req, &data, FUSE_BUF_SPLICE_MOVE);
		return;
	}
	if (dio_fuse->null) {
		fuse_reply_buf(a->req, (char *)memory, a->size);
		return;
	}
	/* Filled before it becomes what the test asks for, see regions_open() */
	if (dio_fuse->answer == DIO_FUSE_READ_ONLY)
		mprotect(memory, MAX_REQUEST, PROT_READ | PROT_WRITE);
	n = pread(fd, memory, dio_fuse->answer == DIO_FUSE_ENDS ? dio_page_size : a->size, a->pos);
	if (dio_fuse->answer == DIO_FUSE_READ_ONLY)
		mprotect(memory, MAX_REQUEST, PROT_READ);
	if (n < 0) {
		fuse_reply_err(a->req, errno);
		return;
	}
	ret = fuse_reply_buf(a->req, (char *)memory,
			     dio_fuse->answer == DIO_FUSE_ENDS ? a->size : n);
	if (ret)
		dio_fuse->failed = -ret;
}

static void answer_held(int error)
{
	unsigned int nr = dio_fuse->held, i;

	dio_fuse->held = 0;
	for (i = 0; i < nr; i++) {
		if (error)
			fuse_reply_err(held[i].req, error);
		else
			answer_now(&held[i]);
	}
}

static void note_interrupt(fuse_req_t req, void *unused)
{
	dio_fuse->interrupted++;
}

static void answer(const struct answer *a)
{
	if (!dio_fuse->hold || dio_fuse->held == MAX_HELD) {
		answer_now(a);
		return;
	}
	held[dio_fuse->held] = *a;
	fuse_req_interrupt_func(a->req, note_interrupt, NULL);
	dio_fuse->held++;
}

static void serve_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t pos,
		       struct fuse_file_info *fi)
{
	struct answer a = { .req = req, .ino = ino, .size = size, .pos = pos };

	answer(&a);
}

static void serve_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size,
			off_t pos, struct fuse_file_info *fi)
{
	struct answer a = { .req = req, .ino = ino, .size = size, .pos = pos, .write = true };
	int error = dio_fuse->error && !dio_fuse->error_after ? dio_fuse->error : 0;

	if (!error && !dio_fuse->null && pwrite(file_of(ino)->fd, data, size, pos) != size)
		error = EIO;
	if (error)
		fuse_reply_err(req, error);
	else
		answer(&a);
}

static const struct fuse_lowlevel_ops operations = {
	.init		= serve_init,
	.lookup		= serve_lookup,
	.getattr	= serve_getattr,
	.setattr	= serve_setattr,
	.open		= serve_open,
	.create		= serve_create,
	.unlink		= serve_unlink,
	.fsync		= serve_fsync,
	.fallocate	= serve_fallocate,
	.read		= serve_read,
	.write		= serve_write,
};

static void regions_open(unsigned char **memory)
{
	unsigned int i;

	for (i = 0; i <= DIO_FUSE_ENDS; i++) {
		memory[i] = dio_map(MAX_REQUEST, dio_page_size, false);
		memset(memory[i], 0, MAX_REQUEST);
	}
	mprotect(memory[DIO_FUSE_READ_ONLY], MAX_REQUEST, PROT_READ);
	munmap(memory[DIO_FUSE_ENDS] + dio_page_size, MAX_REQUEST - dio_page_size);
}

/* One request.  A read of /dev/fuse that fails ends that request with EIO. */
static void serve_one(void)
{
	struct fuse_buf buf = { 0 };
	ssize_t n;

	if (dio_fuse->receive == DIO_FUSE_GOOD) {
		/* Into memory of the library's, or by a pipe */
		n = fuse_session_receive_buf(session, &buf);
		if (n > 0)
			fuse_session_process_buf(session, &buf);
		if (!(buf.flags & FUSE_BUF_IS_FD))
			free(buf.mem);
	} else {
		buf.mem = regions[dio_fuse->receive];
		n = read(fuse_session_fd(session), buf.mem, MAX_REQUEST);
		if (n < 0)
			n = -errno;
		buf.size = n;
		if (buf.mem == regions[DIO_FUSE_CLEAN])
			dio_fuse->dirty = dio_dirty(buf.mem);
		if (n > 0)
			fuse_session_process_buf(session, &buf);
	}
	if (n < 0)
		dio_fuse->failed = -n;
	if (n == -ENODEV)
		fuse_session_exit(session);
}

static void serve(int commands)
{
	struct pollfd fds[] = {
		{ .fd = fuse_session_fd(session), .events = POLLIN },
		{ .fd = commands, .events = POLLIN },
	};
	char command;

	/* Before there is room at the end of others that has to stay */
	regions[DIO_FUSE_CLEAN] = dio_map_clean(MAX_REQUEST);
	regions_open(regions);
	regions_open(answers);
	while (!fuse_session_exited(session)) {
		if (poll(fds, 2, -1) < 0)
			break;
		if (fds[1].revents) {
			if (read(commands, &command, 1) != 1)
				break;
			answer_held(command == 'i' ? EINTR : 0);
		}
		if (fds[0].revents)
			serve_one();
	}
}

/*
 * The test
 */
static void tell_server(char command)
{
	unsigned long long start = dio_now_ms();

	if (write(to_server, &command, 1) != 1)
		dio_die("the FUSE server takes no command: %s\n", strerror(errno));
	while (dio_fuse->held)
		if (dio_expired(start))
			dio_die("the FUSE server does not answer\n");
}

void dio_fuse_release(void)
{
	dio_fuse->hold = false;
	tell_server('r');
}

void dio_fuse_interrupt(void)
{
	dio_fuse->hold = false;
	tell_server('i');
}

/* The mount is made before the fork(), so that it is there for the test at once. */
const char *dio_fuse_open(bool splice)
{
	struct fuse_args args = FUSE_ARGS_INIT(1, &program_invocation_short_name);
	int commands[2];
	pid_t server;

	dio_modprobe("fuse");
	if (access("/dev/fuse", R_OK | W_OK))
		return "there is no /dev/fuse";
	if (!dio_fuse) {
		dio_fuse = mmap(NULL, sizeof(*dio_fuse), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (dio_fuse == MAP_FAILED)
			dio_die("mmap: %s\n", strerror(errno));
	}
	memset(dio_fuse, 0, sizeof(*dio_fuse));
	dio_fuse->splice = splice;
	strcpy(dio_fuse->dir, "/tmp/iov_iter.XXXXXX");
	if (!mkdtemp(dio_fuse->dir))
		dio_die("%s: %s\n", dio_fuse->dir, strerror(errno));

	session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	if (!session || fuse_session_mount(session, dio_fuse->dir))
		dio_die("%s: the FUSE file system is not mounted\n", dio_fuse->dir);
	if (pipe2(commands, O_CLOEXEC))
		dio_die("pipe: %s\n", strerror(errno));
	fflush(stdout);
	server = fork();
	if (server < 0)
		dio_die("fork: %s\n", strerror(errno));
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(commands[1]);
		serve(commands[0]);
		_exit(0);
	}
	dio_fuse->server = server;
	close(commands[0]);
	to_server = commands[1];
	/* Only the server's: with it the connection ends. */
	close(fuse_session_fd(session));
	return NULL;
}

void dio_fuse_close(void)
{
	if (to_server < 0)
		return;
	close(to_server);
	to_server = -1;
	if (umount2(dio_fuse->dir, MNT_DETACH))
		dio_print("%s: umount: %s\n", dio_fuse->dir, strerror(errno));
	kill(dio_fuse->server, SIGKILL);
	waitpid(dio_fuse->server, NULL, 0);
	rmdir(dio_fuse->dir);
}

static const char *target_open(struct dio_target *t)
{
	const char *skip = dio_fuse_open(false);

	if (!skip)
		strcpy(t->dir, dio_fuse->dir);
	return skip;
}

static const char *null_open(struct dio_target *t)
{
	const char *skip = target_open(t);

	if (!skip)
		dio_fuse->null = true;
	return skip;
}

static void target_hold(bool hold)
{
	if (hold)
		dio_fuse->hold = true;
	else
		dio_fuse_release();
}

static unsigned int target_held(void)
{
	return dio_fuse->held;
}

static struct dio_daemon fuse = {
	.name	= "fuse",
	.open	= target_open,
	.close	= dio_fuse_close,
	.holder	= { .hold = target_hold, .held = target_held },
};

/* To measure what the kernel does */
static struct dio_daemon fuse_null = {
	.name = "fuse-null", .open = null_open, .close = dio_fuse_close,
};

static __attribute__((constructor)) void add(void)
{
	dio_daemon_add(&fuse);
	dio_daemon_add(&fuse_null);
}
