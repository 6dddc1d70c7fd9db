/* The build of src/cpu/isa/ that this machine runs. */
#ifndef IMGTRAIN_CPU_ISA_H
#define IMGTRAIN_CPU_ISA_H

/* Each level has all instructions of those below it; the flags stand in the Makefile. */
enum cpu_isa {
    CPU_ISA_BASE,
    CPU_ISA_AVX2,
    CPU_ISA_AVX512,
    CPU_ISA_AVX512_BF16,
    CPU_ISA_AMX, /* its tiles, and products of bf16 in them; the system grants their state */
    CPU_ISAS
};

/* The best level that the machine and its system support; the environment variable IMGTRAIN_ISA
 * (base, avx2, avx512, avx512bf16, amx) lowers it, so that one machine can test
 * them all; any other value is warned of, once. */
enum cpu_isa cpu_isa(void);
const char *cpu_isa_name(enum cpu_isa isa);

#endif
