// SPDX-License-Identifier: GPL-2.0
/*
 * A TCG plugin of QEMU that tells what a call costs beyond its instructions: locked
 * operations, loads and stores, distinct cache lines, and misses of a modelled cache.
 *
 * The guest executes "xchg %bx,%bx" before the call and "xchg %cx,%cx" after it: these
 * do nothing.  What is between the two is one line of the file that out= names:
 *
 *	call N instructions I locked L loads R stores W lines D l1 M l2 M
 *
 * With pcs=FILE, each address at which instructions were executed is a line of that file:
 *
 *	pc N ADDRESS TIMES
 *
 * With only=instructions, nothing else is counted, and the guest is faster.  With
 * not=BEGIN-END, two addresses, what is between them is not counted: a loop that waits.
 *
 * The model has an L1 of 32 KiB with 8 ways and an L2 of 1 MiB with 16 ways, lines of 64
 * bytes, physical addresses, and the least recently used line leaves.  It sees data
 * only, and keeps its state between calls.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

#define LINE_SHIFT	6
#define MAX_WAYS	16
#define MAX_SETS	1024
#define SEEN_SIZE	(1UL << 20)	/* more lines than a call touches */
#define PCS		(1UL << 16)	/* more addresses than a call executes */

struct cache {
	unsigned int sets, ways;
	uint64_t tag[MAX_SETS][MAX_WAYS];	/* the most recently used first; 0 is none */
	uint64_t misses;
};

static struct cache l1 = { .sets = 64, .ways = 8 }, l2 = { .sets = 1024, .ways = 16 };
static uint64_t seen[SEEN_SIZE], seen_in[SEEN_SIZE];	/* a line, and in which call */
static uint64_t instructions, begin, locked, loads, stores, lines, calls;
static uint64_t pc[PCS], times[PCS];	/* an address, and how often in this call */
static uint64_t not_begin, not_end;	/* addresses of what does not count */
static bool counting, only_instructions;
static FILE *out, *pcs;

static bool hit(struct cache *cache, uint64_t line)
{
	uint64_t *set = cache->tag[line % cache->sets], tag = line + 1;
	unsigned int way;
	bool found;

	for (way = 0; way < cache->ways - 1 && set[way] != tag; way++)
		;
	found = set[way] == tag;
	memmove(set + 1, set, way * sizeof(*set));
	set[0] = tag;
	cache->misses += !found;
	return found;
}

static void note_line(uint64_t line)
{
	uint64_t at = line * 0x9e3779b97f4a7c15u >> 44, tries;

	for (tries = 0; seen_in[at] == calls + 1; at = (at + 1) % SEEN_SIZE) {
		if (seen[at] == line)
			return;
		if (++tries == SEEN_SIZE) {
			fprintf(stderr, "cost: a call touches more than %lu cache lines\n", SEEN_SIZE);
			exit(1);
		}
	}
	seen[at] = line;
	seen_in[at] = calls + 1;
	lines++;
}

static void access_memory(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	struct qemu_plugin_hwaddr *hwaddr = qemu_plugin_get_hwaddr(info, vaddr);
	uint64_t line;

	if (!hwaddr || qemu_plugin_hwaddr_is_io(hwaddr))
		return;
	line = qemu_plugin_hwaddr_phys_addr(hwaddr) >> LINE_SHIFT;
	if (!hit(&l1, line))
		hit(&l2, line);
	if (!counting)
		return;
	if (qemu_plugin_mem_is_store(info))
		stores++;
	else
		loads++;
	note_line(line);
}

static void count_locked(unsigned int cpu, void *data)
{
	locked += counting;
}

static void count_pc(unsigned int cpu, void *data)
{
	uint64_t vaddr = (uintptr_t)data, at = vaddr * 0x9e3779b97f4a7c15u >> 48, tries;

	for (tries = 0; counting && tries < PCS; tries++, at = (at + 1) % PCS) {
		if (times[at] && pc[at] != vaddr)
			continue;
		pc[at] = vaddr;
		times[at]++;
		return;
	}
}

static void print_pcs(void)
{
	uint64_t at;

	for (at = 0; at < PCS; at++)
		if (times[at])
			fprintf(pcs, "pc %" PRIu64 " %" PRIx64 " %" PRIu64 "\n", calls, pc[at], times[at]);
	memset(times, 0, sizeof(times));
}

static void call_begins(unsigned int cpu, void *data)
{
	locked = loads = stores = lines = 0;
	l1.misses = l2.misses = 0;
	begin = instructions;
	counting = true;
}

static void call_ends(unsigned int cpu, void *data)
{
	if (!counting)
		return;
	counting = false;
	calls++;
	/* without the instruction that ends it */
	fprintf(out, "call %" PRIu64 " instructions %" PRIu64 " locked %" PRIu64 " loads %" PRIu64
		" stores %" PRIu64 " lines %" PRIu64 " l1 %" PRIu64 " l2 %" PRIu64 "\n", calls,
		instructions - begin, locked, loads, stores, lines, l1.misses, l2.misses);
	fflush(out);
	if (pcs)
		print_pcs();
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n, count = qemu_plugin_tb_n_insns(tb);

	for (n = 0; n < count; n++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, n);
		const uint8_t *code = qemu_plugin_insn_data(insn);
		size_t size = qemu_plugin_insn_size(insn);
		uint64_t vaddr = qemu_plugin_insn_vaddr(insn);

		if (vaddr >= not_begin && vaddr < not_end)
			continue;
		if (IS_END(code, size))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, call_ends, NO_REGS, NULL);
		qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, &instructions, 1);
		if (IS_BEGIN(code, size))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, call_begins, NO_REGS, NULL);
		if (pcs)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, count_pc, NO_REGS,
							       (void *)(uintptr_t)vaddr);
		if (only_instructions)
			continue;
		if (is_locked(code, size))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, count_locked, NO_REGS, NULL);
		qemu_plugin_register_vcpu_mem_cb(insn, access_memory, NO_REGS, MEM_RW, NULL);
	}
}

static void finish(qemu_plugin_id_t id, void *data)
{
	fclose(out);
	if (pcs)
		fclose(pcs);
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
	int n;

	for (n = 0; n < argc; n++) {
		FILE **file = !strncmp(argv[n], "out=", 4) ? &out : !strncmp(argv[n], "pcs=", 4) ? &pcs : NULL;

		if (!strcmp(argv[n], "only=instructions")) {
			only_instructions = true;
			continue;
		}
		if (sscanf(argv[n], "not=%" SCNx64 "-%" SCNx64, &not_begin, &not_end) == 2)
			continue;
		if (!file) {
			fprintf(stderr, "cost: unknown argument %s; out=FILE, pcs=FILE, only=instructions and not=BEGIN-END are known\n",
				argv[n]);
			return 1;
		}
		*file = fopen(argv[n] + 4, "w");
		if (!*file) {
			fprintf(stderr, "cost: %s can't be written: %m\n", argv[n] + 4);
			return 1;
		}
	}
	if (!out) {
		fprintf(stderr, "cost: give out=FILE\n");
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return 0;
}
