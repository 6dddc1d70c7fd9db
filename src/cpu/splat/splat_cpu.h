/* The splat operations of the CPU device: see device/splat_ops.h for what each one does. */
#ifndef IMGTRAIN_CPU_SPLAT_SPLAT_CPU_H
#define IMGTRAIN_CPU_SPLAT_SPLAT_CPU_H

#include "device/splat_ops.h"

extern const struct splat_ops splat_cpu_ops;

int splat_cpu_adam(struct device *device, const struct splat_adam *groups, int group_count,
                   int64_t count, const struct splat_rows *rows, int32_t t, double b2,
                   int64_t *skipped);
int splat_cpu_fake_quantize(struct device *device, const float *values, int64_t count, int bits,
                            float *out);
/* Workspace for `count` draws, behind that of a scene. */
size_t splat_sample_bytes(int width, int height, int64_t count);
int splat_cpu_sample(struct device *device, const struct splat_workspace *workspace,
                     const struct splat_view *view, const struct splat_blend *blend,
                     const struct splat_target *target, const struct splat_sample *sample);
int splat_cpu_importance(struct device *device, const struct splat_workspace *workspace,
                         const struct splat_view *view, const struct splat_blend *blend,
                         const struct splat_target *target, double *importance);

#endif
