/* Chooses the instruction set at run time. */
#include "cpu/isa/splat_isa.h"

#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#define CPU_HAS(feature) __builtin_cpu_supports(feature)
static const struct splat_kernels *best(void)
{
    if (CPU_HAS("avx512f") && CPU_HAS("avx512bw") && CPU_HAS("avx512dq") && CPU_HAS("avx512vl"))
        return &splat_kernels_avx512;
    if (CPU_HAS("avx2") && CPU_HAS("fma")) return &splat_kernels_avx2;
    return &splat_kernels_base;
}

static const struct splat_kernels *const tables[] = {&splat_kernels_base, &splat_kernels_avx2,
                                                     &splat_kernels_avx512};
#else
static const struct splat_kernels *best(void)
{
    return &splat_kernels_base;
}

static const struct splat_kernels *const tables[] = {&splat_kernels_base};
#endif

/* Position in `tables`: a larger one needs more of the CPU. */
static int rank(const struct splat_kernels *kernels)
{
    int r = 0;
    while (tables[r] != kernels)
        r++;
    return r;
}

const struct splat_kernels *splat_kernels_get(void)
{
    const struct splat_kernels *chosen = best();
    const char *wanted = getenv("IMGTRAIN_ISA");
    for (int i = 0; wanted && i < rank(chosen); i++)
        if (strcmp(tables[i]->isa, wanted) == 0) return tables[i];
    return chosen;
}

size_t splat_tile_scratch(void)
{
    return splat_tile_scratch_base(); /* the same for all */
}
