#include "cpu/isa.h"

#include "base/log.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"base", "avx2", "avx512", "avx512bf16", "amx"};

const char *cpu_isa_name(enum cpu_isa isa)
{
    return names[isa];
}

#if defined __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LEAF_AMX_BF16 = 1 << 22, LEAF_AMX_TILE = 1 << 24 }; /* of leaf 7, edx */
enum { XSTATE_TILE_DATA = 18, XSTATE_TILES = 3 << 17 };    /* of xcr0 */
enum { GET_XCR0 = 0, REQUEST_PERMISSION = 0x1023 /* ARCH_REQ_XCOMP_PERM of Linux 5.16 */ };

/* Tiles are 8 KiB of each thread's state, which the system keeps for those that ask: once a
 * process, before its threads begin or not. */
static bool has_amx(void)
{
    unsigned a, b, c = 0, d = 0, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    if (!(d & LEAF_AMX_TILE) || !(d & LEAF_AMX_BF16)) return false;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(GET_XCR0));
    if ((low & XSTATE_TILES) != XSTATE_TILES) return false;
#ifdef SYS_arch_prctl
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, XSTATE_TILE_DATA) == 0;
#else
    return false;
#endif
}

static bool has_f16c(void)
{
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static enum cpu_isa isa_detect(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c())
        return CPU_ISA_BASE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return CPU_ISA_AVX2;
    if (!__builtin_cpu_supports("avx512bf16")) return CPU_ISA_AVX512;
    return has_amx() ? CPU_ISA_AMX : CPU_ISA_AVX512_BF16;
}
#else
static enum cpu_isa isa_detect(void)
{
    return CPU_ISA_BASE;
}
#endif

static void warn_of_no_effect(enum cpu_isa best)
{
    const char *wanted = getenv("IMGTRAIN_ISA");
    for (int level = CPU_ISA_BASE; wanted && level <= (int)best; level++)
        if (strcmp(wanted, names[level]) == 0) return;
    if (wanted && *wanted)
        log_warning("IMGTRAIN_ISA=%s has no effect: this machine can do base to %s", wanted,
                    names[best]);
}

/* Asked for every row of an image, and CPUID takes 13 us in a virtual machine. */
static enum cpu_isa isa_detected(void)
{
    static atomic_int kept = -1;
    int isa = atomic_load_explicit(&kept, memory_order_relaxed);
    if (isa < 0) {
        isa = (int)isa_detect();
        if (atomic_exchange(&kept, isa) < 0) warn_of_no_effect((enum cpu_isa)isa);
    }
    return (enum cpu_isa)isa;
}

enum cpu_isa cpu_isa(void)
{
    enum cpu_isa isa = isa_detected();
    const char *wanted = getenv("IMGTRAIN_ISA");
    for (int level = CPU_ISA_BASE; wanted && level < (int)isa; level++)
        if (strcmp(wanted, names[level]) == 0) isa = (enum cpu_isa)level;
    return isa;
}
