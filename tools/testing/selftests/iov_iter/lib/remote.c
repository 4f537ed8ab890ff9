// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "area.h"
#include "memory.h"
#include "pins.h"
#include "remote.h"
#include "result.h"

#define GUARD		4096		/* bytes around a buffer that must not change */
#define WRITTEN		0x40		/* kind of what tests write */

/* What was written is there, and nothing around it has changed. */
static const char *written(const struct dio_remote *r, size_t len, off_t pos)
{
	size_t ahead = pos < r->around ? pos : r->around, behind = r->around;
	const char *why = r->has(len, pos, WRITTEN);

	if (pos + len + behind > r->size)
		behind = pos + len < r->size ? r->size - pos - len : 0;
	if (!why && ahead)
		why = r->has(ahead, pos - ahead, 0);
	if (!why && behind)
		why = r->has(behind, pos + len, 0);
	return why;
}

const char *dio_remote_transfer(const struct dio_remote *r, const struct dio_remote_shape *s,
				bool write)
{
	size_t size = s->offset + s->length + 2 * GUARD;
	unsigned char *mem = dio_map(size, dio_page_size, false);
	unsigned char *buf = mem + GUARD + s->offset;
	bool past_end = s->pos + s->length > r->size;
	const char *why;

	memset(mem, DIO_UNTOUCHED, size);
	if (past_end && !write) {
		dio_fill(buf, s->length, s->pos, 0);
		dio_full_pwrite(r->fd, buf, s->length, s->pos);
		memset(mem, DIO_UNTOUCHED, size);
	}
	if (write) {
		dio_fill(buf, s->length, s->pos, WRITTEN);
		why = dio_count(pwrite(r->fd, buf, s->length, s->pos), s->length);
		if (!why)
			why = dio_compare(buf, s->length, s->pos, WRITTEN);
		if (!why)
			why = written(r, s->length, s->pos);
	} else {
		why = dio_count(pread(r->fd, buf, s->length, s->pos), s->length);
		if (!why)
			why = dio_compare(buf, s->length, s->pos, 0);
	}
	if (!why)
		why = dio_unchanged(mem, buf - mem, "before the buffer");
	if (!why)
		why = dio_unchanged(buf + s->length, mem + size - buf - s->length,
				    "behind the buffer");
	munmap(mem, size);
	if (write || past_end)
		r->restore(s->length, s->pos);
	return why;
}

const char *dio_remote_segments(const struct dio_remote *r, off_t pos, bool write, bool aio)
{
	size_t page = dio_page_size, size = 16 * page, len = 0;
	unsigned char *mem = dio_map(size, page, false);
	struct iovec iov[] = {
		{ mem + 1, 10 }, { mem + 11, 1 }, { mem + 100, page - 100 }, { mem, 0 },
		{ mem + page, 3 * page }, { mem + 5 * page, 2 * page + 17 },
		{ mem + 9 * page - 1, 1 }, { mem + 10 * page + 3, 3 * page },
	};
	struct dio_io io = { .fd = r->fd, .aio = aio, .write = write, .iov = iov,
			     .nr = ARRAY_SIZE(iov), .pos = pos };
	const char *why;
	int i;

	memset(mem, DIO_UNTOUCHED, size);
	for (i = 0; i < ARRAY_SIZE(iov); len += iov[i++].iov_len)
		if (write)
			dio_fill(iov[i].iov_base, iov[i].iov_len, pos + len, WRITTEN);
	why = dio_not_result(dio_io_do(&io), len);
	if (write) {
		if (!why)
			why = r->has(len, pos, WRITTEN);
		r->restore(len, pos);
	} else {
		for (i = 0, len = 0; i < ARRAY_SIZE(iov) && !why; len += iov[i++].iov_len)
			why = dio_compare(iov[i].iov_base, iov[i].iov_len, pos + len, 0);
		if (!why)
			why = dio_unchanged(mem + 12, 100 - 12, "between segments");
		if (!why)
			why = dio_unchanged(mem + 7 * page + 17, 2 * page - 18, "between segments");
	}
	munmap(mem, size);
	return why;
}

static void restore_short(const struct dio_remote *r)
{
	if (r->restore_short)
		r->restore_short();
}

const char *dio_remote_end(const struct dio_remote *r)
{
	static const struct {
		off_t pos;
		size_t want;
	} reads[] = {
		{ 0, 5001 }, { 1, 5000 }, { 4095, 906 }, { 5000, 1 }, { 5001, 0 }, { 9000, 0 },
	};
	size_t len = 5 * dio_page_size;
	unsigned char *mem = dio_map(len, dio_page_size, false);
	const char *why = NULL;
	int i, fd = r->shorten();

	for (i = 0; i < ARRAY_SIZE(reads) && !why; i++) {
		size_t want = reads[i].want;

		memset(mem, DIO_UNTOUCHED, len);
		why = dio_count(pread(fd, mem + 7, len - 7, reads[i].pos), want);
		if (!why)
			why = dio_compare(mem + 7, want, reads[i].pos, 0);
		if (!why)
			why = dio_unchanged(mem + 7 + want + r->pad, len - 7 - want - r->pad,
					    "past the end");
	}
	restore_short(r);
	munmap(mem, len);
	return why;
}

const char *dio_remote_splice_end(const struct dio_remote *r)
{
	static const off_t from[] = { 0, 4095, 4097, DIO_SHORT, 9000 };
	size_t len = 16 * dio_page_size;
	unsigned char *mem = dio_map(len, dio_page_size, false);
	int p[2], there, i, fd = r->shorten();
	const char *why = NULL;

	for (i = 0; i < ARRAY_SIZE(from) && !why; i++) {
		off_t pos = from[i];
		size_t want = pos < DIO_SHORT ? DIO_SHORT - pos : 0;

		if (pipe2(p, O_CLOEXEC))
			dio_die("pipe: %s\n", strerror(errno));
		why = dio_count(splice(fd, &pos, p[1], NULL, len, 0), want);
		if (!why && !ioctl(p[0], FIONREAD, &there) && there != want)
			why = dio_because("LEAKED: the pipe has %d bytes of %zu", there, want);
		if (!why && want)
			why = dio_count(read(p[0], mem, len), want);
		if (!why)
			why = dio_compare(mem, want, from[i], 0);
		close(p[0]);
		close(p[1]);
	}
	restore_short(r);
	munmap(mem, len);
	return why;
}

const char *dio_remote_unmapped(const struct dio_remote *r, bool write, bool segments, bool aio)
{
	size_t page = dio_page_size, there = 3 * page - 100 - (segments ? page : 0);
	unsigned char *mem = dio_map(4 * page, page, false);
	struct iovec iov[] = {
		{ mem + 100, segments ? there : there + page }, { mem + 3 * page, page },
	};
	struct dio_io io = { .fd = r->fd, .aio = aio, .write = write, .iov = iov,
			     .nr = 1 + segments, .pos = 4321 };
	const char *why = NULL;
	ssize_t n;

	memset(mem, DIO_UNTOUCHED, 3 * page);
	munmap(mem + 3 * page, page);
	if (write)
		dio_fill(mem + 100, there, io.pos, WRITTEN);
	n = dio_io_do(&io);
	if (n != -EFAULT || !r->read_may_fault || aio || write)
		why = dio_not_result(n, there);
	if (!why && n > 0)
		why = write ? written(r, n, io.pos) : dio_compare(mem + 100, n, io.pos, 0);
	io.iov = &iov[1];
	io.nr = 1;
	iov[1].iov_len = page;
	if (!why && dio_io_do(&io) != -EFAULT)
		why = "there was no memory at all, and no EFAULT";
	munmap(mem, 3 * page);
	if (write)
		r->restore(there, io.pos);
	return why;
}

const char *dio_remote_read_only(const struct dio_remote *r)
{
	size_t len = 3 * dio_page_size;
	unsigned char *mem = dio_map(len, dio_page_size, false);
	const char *why;

	dio_fill(mem, len, 99, WRITTEN);
	mprotect(mem, len, PROT_READ);
	why = dio_count(pwrite(r->fd, mem, len, 99), len);
	if (!why)
		why = r->has(len, 99, WRITTEN);
	if (!why && (pread(r->fd, mem, len, 5) != -1 || errno != EFAULT))
		why = "a read into it has not ended in EFAULT";
	if (!why)
		why = dio_compare(mem, len, 99, WRITTEN);
	munmap(mem, len);
	r->restore(len, 99);
	return why;
}

const char *dio_remote_dirty(const struct dio_remote *r, bool write)
{
	const char *why = dio_dirty_io(r->fd, write);

	if (write)
		r->restore(4 * dio_page_size, 0);
	return why;
}

const char *dio_remote_pins(const struct dio_remote *r, bool write, unsigned long long want)
{
	size_t len = 16 * dio_page_size;
	unsigned char *mem = dio_map(len, dio_page_size, false);
	unsigned long long before;
	const char *why;

	dio_fill(mem, len, 0, 0);
	before = dio_pins_acquired();
	why = dio_count(write ? pwrite(r->fd, mem, len, 0) : pread(r->fd, mem, len, 0), len);
	if (!why)
		why = dio_pins_taken(before, want);
	munmap(mem, len);
	return why;
}

static void pipe_open(int p[2], size_t len)
{
	if (pipe2(p, O_CLOEXEC) || fcntl(p[0], F_SETPIPE_SZ, 4 * len) < 0)
		dio_die("pipe: %s\n", strerror(errno));
}

const char *dio_remote_splice_from(const struct dio_remote *r, off_t pos)
{
	size_t len = 16 * dio_page_size, at;
	unsigned char *mem = dio_map(len, dio_page_size, false);
	const char *why = NULL;
	off_t from = pos;
	ssize_t n;
	int p[2];

	pipe_open(p, len);
	for (at = 0; at < len && !why; at += n) {
		n = splice(r->fd, &from, p[1], NULL, len - at, 0);
		if (n <= 0)
			why = dio_because("splice: %s", n ? strerror(errno) : "no progress");
		else
			why = dio_count(read(p[0], mem + at, n), n);
	}
	if (!why)
		why = dio_compare(mem, len, pos, 0);
	close(p[0]);
	close(p[1]);
	munmap(mem, len);
	return why;
}

const char *dio_remote_splice_into(const struct dio_remote *r, off_t pos)
{
	size_t len = 16 * dio_page_size, at;
	unsigned char *mem = dio_map(len, dio_page_size, false);
	const char *why = NULL;
	off_t to = pos;
	ssize_t n;
	int p[2];

	pipe_open(p, len);
	dio_fill(mem, len, pos, WRITTEN);
	if (write(p[1], mem, len) != len)
		dio_die("pipe: %s\n", strerror(errno));
	for (at = 0; at < len && !why; at += n) {
		n = splice(p[0], NULL, r->fd, &to, len - at, 0);
		if (n <= 0)
			why = dio_because("splice: %s", n ? strerror(errno) : "no progress");
	}
	if (!why)
		why = r->has(len, pos, WRITTEN);
	r->restore(len, pos);
	close(p[0]);
	close(p[1]);
	munmap(mem, len);
	return why;
}

/* It stayed in flight, is not held any more, and all of it was done: NULL, or why not */
static const char *release(const struct dio_remote *r, struct dio_io *io, const char *why)
{
	size_t length = io->iov[0].iov_len;
	ssize_t n;

	if (dio_io_done(io) && !why)
		why = "set-up: it did not stay in flight";
	if (r->release)
		r->release();
	n = dio_io_end(io, r->seconds);
	return why ? why : dio_not_result(n, length);
}

const char *dio_remote_fork(const struct dio_remote *r, bool aio, size_t length, size_t offset,
			    const char **child_why)
{
	size_t size = (offset + length + dio_page_size) & ~(dio_page_size - 1), i;
	unsigned char *mem = dio_map(size, dio_page_size, false), *buf = mem + offset;
	struct dio_io io = { .fd = r->fd, .aio = aio, .mem = buf, .length = length, .pos = 12345 };
	size_t lost = 0, saw = 0, foreign = 0;
	int go[2], answer[2];
	const char *why;
	pid_t pid;

	for (i = 0; i < size; i++)
		mem[i] = dio_before(i);
	if (pipe(go) || pipe(answer))
		dio_die("pipe: %s\n", strerror(errno));
	why = r->hold(&io);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		char byte;

		close(go[1]);
		if (read(go[0], &byte, 1) < 0)
			_exit(1);
		for (i = 0; i < length; i++)
			saw += buf[i] != dio_before(offset + i);
		_exit(write(answer[1], &saw, sizeof(saw)) != sizeof(saw));
	}
	for (i = 0; i < length && !why; i++)
		if (buf[i] != dio_before(offset + i))
			why = "set-up: a part was read before fork()";
	if (offset)
		mem[0] = DIO_STORED;
	mem[size - 1] = DIO_STORED;
	why = release(r, &io, why);
	for (i = 0; i < size; i++) {
		bool inside = i >= offset && i < offset + length;

		if (inside && mem[i] == dio_before(i))
			lost++;
		else if (inside ? mem[i] != dio_pattern(io.pos + i - offset) :
			 mem[i] != dio_before(i) && mem[i] != DIO_STORED)
			foreign++;
	}
	if (!why && lost)
		why = dio_because("LOST %zu of %zu bytes", lost, length);
	if (!why && foreign)
		why = dio_because("%zu foreign bytes", foreign);
	*child_why = NULL;
	if (write(go[1], "", 1) != 1 || read(answer[0], &saw, sizeof(saw)) != sizeof(saw))
		*child_why = "the child does not answer";
	else if (saw)
		*child_why = dio_because("SAW %zu of %zu bytes", saw, length);
	waitpid(pid, NULL, 0);
	for (i = 0; i < 2; i++) {
		close(go[i]);
		close(answer[i]);
	}
	munmap(mem, size);
	return why;
}

const char *dio_remote_fork_write(const struct dio_remote *r, bool aio, size_t pages)
{
	size_t size = pages * dio_page_size;
	unsigned char *mem = dio_map(size, dio_page_size, false);
	struct dio_io io = { .fd = r->fd, .aio = aio, .write = true, .mem = mem + 7,
			     .length = size - 9, .pos = 3 };
	const char *why;
	pid_t pid;

	dio_fill(io.mem, io.length, io.pos, WRITTEN);
	why = r->hold(&io);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		memset(mem, DIO_STORED, size);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	why = release(r, &io, why);
	if (!why)
		why = r->has(io.length, io.pos, WRITTEN);
	if (!why)
		why = dio_compare(io.mem, io.length, io.pos, WRITTEN);
	munmap(mem, size);
	r->restore(io.length, io.pos);
	return why;
}

static bool interrupted;

static void on_signal(int signal)
{
	interrupted = true;
}

const char *dio_remote_signal(const struct dio_remote *r, bool write)
{
	size_t length = 8 * dio_page_size;
	struct dio_io io = { .fd = r->fd, .write = write, .length = length, .pos = 77 };
	struct sigaction action = { .sa_handler = on_signal };
	const char *why;

	io.mem = dio_map(length, dio_page_size, false);
	sigaction(SIGUSR1, &action, NULL);
	interrupted = false;
	dio_fill(io.mem, length, io.pos, WRITTEN);
	why = r->hold(&io);
	pthread_kill(io.thread, SIGUSR1);
	why = release(r, &io, why);
	if (!why && !interrupted)
		why = "the signal was not handled";
	if (!why)
		why = write ? r->has(length, io.pos, WRITTEN) :
			      dio_compare(io.mem, length, io.pos, 0);
	if (write)
		r->restore(length, io.pos);
	munmap(io.mem, length);
	return why;
}
