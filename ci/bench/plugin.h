/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the TCG plugins here have in common.  Debian's QEMU has the interface, but not its
 * header: the declarations are those of version 1, for QEMU 7.2 and later.
 */
#ifndef CI_BENCH_PLUGIN_H
#define CI_BENCH_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;
struct qemu_info;
typedef void (*tb_trans)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*insn_exec)(unsigned int cpu, void *data);
typedef void (*mem_access)(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data);
typedef void (*at_exit)(qemu_plugin_id_t id, void *data);

enum { NO_REGS };
enum { INLINE_ADD_U64 };
enum { MEM_RW = 3 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_trans cb);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, insn_exec cb,
					    int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op,
						void *ptr, uint64_t imm);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, mem_access cb,
				      int flags, int rw, void *data);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info, uint64_t vaddr);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *hwaddr);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *hwaddr);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, at_exit cb, void *data);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc,
			       char **argv);

/* The instructions that dio_bench executes before and after what is counted */
#define IS_BEGIN(code, size)	((size) == 3 && !memcmp(code, "\x66\x87\xdb", 3))
#define IS_END(code, size)	((size) == 3 && !memcmp(code, "\x66\x87\xc9", 3))

/* With a LOCK prefix, or xchg with memory, which locks without one */
static inline bool is_locked(const uint8_t *code, size_t size)
{
	size_t n;

	for (n = 0; n < size; n++) {
		uint8_t byte = code[n];

		if (byte == 0xf0)
			return true;
		if (byte == 0x66 || byte == 0xf2 || byte == 0xf3 || byte == 0x2e || byte == 0x36 ||
		    byte == 0x3e || byte == 0x26 || byte == 0x64 || byte == 0x65 ||
		    (byte & 0xf0) == 0x40)
			continue;
		return (byte == 0x86 || byte == 0x87) && n + 1 < size && code[n + 1] < 0xc0;
	}
	return false;
}

#endif /* CI_BENCH_PLUGIN_H */
