/* Gaussian splats on CUDA: the table of operations, and what its files share. */
#ifndef IMGTRAIN_CUDA_SPLAT_SPLAT_CUDA_H
#define IMGTRAIN_CUDA_SPLAT_SPLAT_CUDA_H

#include "cuda/splat/cuda_splat_gradient.h"
#include "cuda/splat/cuda_splat_ssim.h"
#include "cuda/splat/splat_tile.h"

extern const struct splat_ops splat_cuda_ops;

/* Gives back what training has prepared; before the device closes. */
void splat_cuda_close(void);
void splat_train_close(void); /* its part in splat_train.cu */

/* What comparisons leave, in device memory that stays for as long as the device is open: [0] of
 * those that are waited for at once, [1] of training, which may be ahead. seen: pinned memory for
 * as many, that they are copied to. */
int splat_cuda_statuses(struct device *device, struct splat_status **statuses,
                        struct splat_status **seen);

/* Queues one comparison of the view with the target: everything from the projection to the gradient
 * (gradients) or to the sums of what a viewer sees (gradients NULL, power > 0). update, check: as
 * in splat_gradient_finish and splat_gradient_sums. */
struct splat_comparison {
    const struct splat_view *view;
    const struct splat_target *target;
    const struct splat_loss *loss;
    const struct splat_gradients *gradients;
    const struct splat_update *update;
    float power;
    bool check;
};
int splat_cuda_compare(const struct splat_scene *scene, const struct splat_comparison *c);

/* splat_train.cu, splat_sample.cu, splat_importance.cu */
int splat_cuda_train(struct device *device, const struct splat_workspace *workspace,
                     const struct splat_training *training, bool wait, struct splat_sums *sums,
                     int64_t *skipped);
int splat_cuda_sample(struct device *device, const struct splat_workspace *workspace,
                      const struct splat_view *view, const struct splat_blend *blend,
                      const struct splat_target *target, const struct splat_sample *sample);

int splat_cuda_importance(struct device *device, const struct splat_workspace *workspace,
                          const struct splat_view *view, const struct splat_blend *blend,
                          const struct splat_target *target, double *importance);

/* Rates and bounds of the groups as the kernels read them. */
struct splat_rates splat_rates_of(const struct splat_adam *groups, int group_count, int32_t t,
                                  double b2);

#endif
