// SPDX-License-Identifier: GPL-2.0
/*
 * A TCG plugin of QEMU that counts locked operations by CPU and by address.
 *
 * The guest executes "xchg %bx,%bx" before what is counted, and "xchg %cx,%cx" after it,
 * on each CPU.  What a CPU did between the two is these lines of the file that out= names:
 *
 *	lock CPU ADDRESS TIMES
 *	end CPU
 *
 * A compare-and-exchange that fails is executed again: so retries are operations.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin.h"

#define CPUS	2
#define PCS	4096UL	/* more addresses than are executed */

struct cpu {
	bool counting;
	uint64_t pc[PCS], times[PCS];
};

static struct cpu cpus[CPUS];
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
static FILE *out;

static void begins(unsigned int cpu, void *data)
{
	memset(cpus[cpu].times, 0, sizeof(cpus[cpu].times));
	cpus[cpu].counting = true;
}

static void ends(unsigned int cpu, void *data)
{
	struct cpu *c = &cpus[cpu];
	uint64_t at;

	if (!c->counting)
		return;
	c->counting = false;
	pthread_mutex_lock(&writing);
	for (at = 0; at < PCS; at++)
		if (c->times[at])
			fprintf(out, "lock %u %" PRIx64 " %" PRIu64 "\n", cpu, c->pc[at], c->times[at]);
	fprintf(out, "end %u\n", cpu);
	fflush(out);
	pthread_mutex_unlock(&writing);
}

static void count(unsigned int cpu, void *data)
{
	uint64_t vaddr = (uintptr_t)data, at = vaddr * 0x9e3779b97f4a7c15u >> 52, tries;
	struct cpu *c = &cpus[cpu];

	for (tries = 0; c->counting && tries < PCS; tries++, at = (at + 1) % PCS) {
		if (c->times[at] && c->pc[at] != vaddr)
			continue;
		c->pc[at] = vaddr;
		c->times[at]++;
		return;
	}
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n, all = qemu_plugin_tb_n_insns(tb);

	for (n = 0; n < all; n++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, n);
		const uint8_t *code = qemu_plugin_insn_data(insn);
		size_t size = qemu_plugin_insn_size(insn);
		insn_exec what = IS_BEGIN(code, size) ? begins : IS_END(code, size) ? ends :
				 is_locked(code, size) ? count : NULL;

		if (what)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, what, NO_REGS,
							       (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn));
	}
}

static void finish(qemu_plugin_id_t id, void *data)
{
	fclose(out);
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "locks: give out=FILE\n");
		return 1;
	}
	out = fopen(argv[0] + 4, "w");
	if (!out) {
		fprintf(stderr, "locks: %s can't be written: %m\n", argv[0] + 4);
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return 0;
}
