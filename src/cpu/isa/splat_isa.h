/* Prototypes of the functions that exist once per instruction set, and of their tables. */
#ifndef IMGTRAIN_CPU_ISA_SPLAT_ISA_H
#define IMGTRAIN_CPU_ISA_SPLAT_ISA_H

#include "cpu/splat/splat_kernels.h"

#define SPLAT_ISA(isa)                                                                             \
    extern const struct splat_kernels splat_kernels_##isa;                                         \
    size_t splat_tile_workspace_##isa(void);                                                       \
    int splat_spans_##isa(const struct splat_projected *, float, int, int, int,                    \
                          struct splat_item *, int);                                               \
    void splat_render_tile_##isa(const struct splat_projected *, const struct splat_item *,        \
                                 const int32_t *, int, const float *, int,                         \
                                 const struct splat_blend *, float, int, int, int, float *,        \
                                 float *const *, float *const *, float *const *);                  \
    void splat_backward_item_##isa(const struct splat_projected *, const struct splat_item *,      \
                                   const float *, int, bool, float, int,                           \
                                   const struct splat_slopes *, float *);                          \
    float splat_share_item_##isa(const struct splat_projected *, const struct splat_item *,        \
                                 const float *, int, bool, float, int,                             \
                                 const struct splat_shown *);

SPLAT_ISA(base)
SPLAT_ISA(avx2)
SPLAT_ISA(avx512)

#endif
