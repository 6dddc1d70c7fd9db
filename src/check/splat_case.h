/* The scene that the cases of splats share: a few Gaussians, a target, and what is right of a pixel
 * in double. */
#ifndef IMGTRAIN_CHECK_SPLAT_CASE_H
#define IMGTRAIN_CHECK_SPLAT_CASE_H

#include "check/op_cases.h"

enum { WIDTH = 22, HEIGHT = 18, CHANNELS = 3, COUNT = 14, SAMPLES = WIDTH * HEIGHT * CHANNELS };

#define SPLAT_KIND(op)                                                                             \
    .table = "splat", .name = "splat." #op, .offset = offsetof(struct splat_ops, op),              \
    .describe = describe_##op, .run = run_##op, .truth = truth_##op

void splat_case_add_range(struct op_case *c, const char *name, size_t count, double low,
                          double high);
/* Gaussians and a workspace; the target, [height][channels][width]. */
void splat_case_add_scene(struct op_case *c);
void splat_case_add_target(struct op_case *c);
size_t splat_case_workspace(const struct device *device, const struct op_case *c);

/* What an operation is handed, and how the case blends. */
struct splat_view splat_case_view(const struct op_call *call);
struct splat_target splat_case_target(const struct op_call *call);
struct splat_workspace splat_case_workspace_of(const struct op_call *call);
const struct splat_blend *splat_case_blend(const struct op_case *c);

/* One pixel's CHANNELS numbers, at (x, y) in pixels of the model; without Gaussian `without` (-1:
 * with all), which leaves the others as they were blended. Was it among them? */
bool splat_case_truth_pixel(const struct op_data *d, double x, double y, int without, double *out);

#endif
