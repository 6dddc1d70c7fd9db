/* Chooses the instruction set at run time. */
#include "cpu/isa.h"
#include "cpu/isa/splat_isa.h"

const struct splat_kernels *splat_kernels_get(void)
{
    switch (cpu_isa()) {
#ifdef __x86_64__
    case CPU_ISA_AMX:
    case CPU_ISA_AVX512_BF16:
    case CPU_ISA_AVX512: return &splat_kernels_avx512;
    case CPU_ISA_AVX2: return &splat_kernels_avx2;
#endif
    default: return &splat_kernels_base;
    }
}

size_t splat_tile_workspace(void)
{
    return splat_tile_workspace_base(); /* the same for all */
}
