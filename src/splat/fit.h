/* The state of a fit of Gaussians to an image. splat_step.h makes one step of it. */
#ifndef IMGTRAIN_SPLAT_FIT_H
#define IMGTRAIN_SPLAT_FIT_H

#include "memory/mode.h"
#include "memory/plan.h"
#include "splat/model.h"
#include "splat/splat_schedule.h"
#include "splat/target.h"

struct config;
struct device;

/* Copies for the host of the arrays of a fit: see splat/host_mirror.h. */
struct splat_host {
    float *group[SPLAT_GROUPS], *first[SPLAT_GROUPS], *second[SPLAT_GROUPS];
    int32_t *born;
    float *axes, *moments;
};

/* What a goal decides on the way (splat_goal.h); part of a checkpoint where there is a goal. */
struct splat_goal {
    int64_t steps;   /* that schedules end with: the config's, until a goal says otherwise */
    int64_t done;    /* steps, by what was decided last */
    int64_t planned; /* Gaussians that the fit is made for at the moment; its capacity, unless it
                        finds out how many it takes */
    bool finds;      /* it does: num_gaussians is auto, and there is a target_psnr */
    bool settled;    /* it has */
    int64_t tail; /* step at which the last round began that added Gaussians at the end; 0: none */
    int64_t rounds; /* how many there were */
    int64_t look;   /* steps after which the PSNR is measured next; 0: not for a goal */
    int64_t seen;   /* steps after which it was last measured */
    double seen_psnr;
    double rise;     /* how fast it rises at most just now, dB a step */
    double brake;    /* what learning rates are lowered by just before the end; 1: nothing */
    double seconds;  /* that earlier processes took */
    double opened;   /* the clock when this one began */
    double rate;     /* seconds of a step; 0: not known yet */
    int64_t looks;   /* how often this process looked at the clock, */
    int64_t timed;   /* at which step the last time, */
    double timed_at; /* and when */
};

struct splat_fit {
    const struct config *config;
    struct device *device;
    struct plan *plan;
    struct memory_mode mode;           /* how memory is saved */
    const struct splat_source *source; /* the image, in host memory: borrowed */
    const char *spill_dir;             /* where files without a name may be; NULL: in memory */
    struct splat_target image; /* the image as it is fitted, in host memory: see splat/size.h */
    struct spill image_bytes;  /* its data, where that is not the source's */
    struct splat_model model;
    float *gradient[SPLAT_GROUPS], *first[SPLAT_GROUPS], *second[SPLAT_GROUPS];
    float *quantized[SPLAT_GROUPS]; /* NULL unless quantisation-aware */
    struct splat_host host;         /* what the host sees of the above */
    int32_t *born;                  /* [capacity]: updates before the Gaussian was added */
    bool in_axes;                   /* the optimiser has axes: splat_rows */
    float *axes, *moments;          /* NULL without */
    int32_t updates;
    struct splat_workspace workspace;
    struct splat_target target; /* the target of the fit */
    struct splat_target
        full; /* the target of measurements: that of the fit, or the image at full size */
    void *target_data, *full_data; /* copies; NULL where the mapped ones are used */
    void *mask_data;               /* likewise, of the mask */
    bool target_there;             /* they are filled */
    struct splat_schedule schedule;
    struct splat_goal goal;
    int64_t grow_every, grow_times,
        grow_first;       /* resolved from the config, see splat_growth_plan */
    int64_t grown_at;     /* step at which the last Gaussians were added; -1: not yet */
    int64_t relocated_at; /* step at which some were last moved; 0: not yet */
    double psnr, ssim;    /* as last measured; NaN before */
    float *whole;         /* owned: shapes of a model saved at another size than it is trained at */
};

/* Takes over the sizes of the target, for up to `capacity` Gaussians that are as the config says.
 */
void splat_fit_describe(struct splat_fit *fit, const struct splat_source *source, int64_t capacity);

/* Learning rate of weights; 0: there are none, or they stay as they are. */
double splat_fit_weight_rate(const struct splat_fit *fit);

/* Floats a Gaussian of the optimiser's axes and of its moments; 0 without. */
int splat_fit_axes(const struct splat_fit *fit);
int splat_fit_moments(const struct splat_fit *fit);

/* Declares in `plan` every buffer that a described fit takes in the memory mode `mode`. */
int splat_fit_declare(struct splat_fit *fit, struct plan *plan, const struct memory_mode *mode);

/* Points the targets to where the plan put them: after the commit, and after a replan. */
void splat_fit_connect(struct splat_fit *fit);

/* Copies the image to its place in the plan, after the commit. */
int splat_fit_load_target(struct splat_fit *fit);

/* Bits of each group, 0 where training is not quantised. */
void splat_fit_bits(const struct splat_fit *fit, int *bits);

/* The workspace for evaluating and rendering at full size. */
struct splat_workspace splat_fit_measuring(const struct splat_fit *fit);

/* Measures psnr and ssim of the model after `step` updates; `schedule`: the plateau schedule sees
 * them. */
int splat_fit_measure(struct splat_fit *fit, int64_t step, bool schedule);

/* The parameters that are rendered now: quantised where training is. */
int splat_fit_groups(struct splat_fit *fit, float *const **groups);

#endif
