/* QEMU plugin: counts the guest instructions that a region of an aarch64 program executes.
 *
 *     qemu-aarch64 -plugin libcount.so,out=FILE ...
 *
 * The program calls prctl(0x45444745, 0) where a region begins and prctl(0x45444745, n) where
 * region n ends; a kernel answers EINVAL, so a device does not mind.  Each end appends to FILE
 *
 *     region n
 *     block ADDRESS SIMD MEMORY BRANCH OTHER     one a translation block that ran: instructions
 *
 * Right for one running thread: concurrent threads' counts can be lost.  Debian ships no header
 * of the plugin interface (version 1, QEMU 7.2), so what is used of it is declared here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGION 0x45444745
#define PRCTL 167 /* the system call's number on aarch64 */
#define EXPORT __attribute__((visibility("default")))

struct tb;
struct insn;
typedef uint64_t id_t64;
size_t qemu_plugin_tb_n_insns(const struct tb *);
uint64_t qemu_plugin_tb_vaddr(const struct tb *);
struct insn *qemu_plugin_tb_get_insn(const struct tb *, size_t);
const void *qemu_plugin_insn_data(const struct insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(id_t64, void (*)(id_t64, struct tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct tb *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_syscall_cb(
    id_t64, void (*)(id_t64, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                     uint64_t, uint64_t, uint64_t));
enum { ADD_U64 = 0 }; /* of enum qemu_plugin_op */

enum { SIMD, MEMORY, BRANCH, OTHER, CLASSES };

struct block {
    struct block *next;
    uint64_t address, runs, size[CLASSES];
};
static struct block *blocks;
static FILE *out;

/* Bits 28..25 are the main groups of the A64 encoding (Arm ARM, C4.1). */
static int class_of(uint32_t word)
{
    unsigned group = word >> 25 & 15;
    if ((group & 5) == 4)
        return MEMORY;
    if ((group & 7) == 7)
        return SIMD;
    return (group & 14) == 10 ? BRANCH : OTHER;
}

static void translated(id_t64 id, struct tb *tb)
{
    struct block *b = calloc(1, sizeof *b);
    b->address = qemu_plugin_tb_vaddr(tb);
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof word);
        b->size[class_of(word)]++;
    }
    b->next = blocks;
    blocks = b;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &b->runs, 1);
}

static void system_call(id_t64 id, unsigned cpu, int64_t number, uint64_t a, uint64_t n, uint64_t c,
                        uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    if (number != PRCTL || a != REGION)
        return;
    if (n)
        fprintf(out, "region %" PRIu64 "\n", n);
    for (struct block *b = blocks; b; b = b->next) {
        if (n && b->runs) {
            fprintf(out, "block %" PRIx64, b->address);
            for (int i = 0; i < CLASSES; i++)
                fprintf(out, " %" PRIu64, b->runs * b->size[i]);
            fputc('\n', out);
        }
        b->runs = 0;
    }
    fflush(out);
}

EXPORT int qemu_plugin_version = 1;

EXPORT int qemu_plugin_install(id_t64 id, const void *info, int argc, char **argv)
{
    if (argc != 1 || strncmp(argv[0], "out=", 4) || !(out = fopen(argv[0] + 4, "w")))
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, system_call);
    return 0;
}
