/* The autoencoder in training: buffers by the memory plan, one step, the update, and what it makes
 * of images between steps. Knows nothing of files: the images of a batch come from a callback. */
#ifndef IMGTRAIN_DIFFUSION_VAE_VAE_CORE_H
#define IMGTRAIN_DIFFUSION_VAE_VAE_CORE_H

#include "diffusion/vae/kl.h"
#include "math/optimiser.h"
#include "nn/passes.h"
#include "nn/stepper.h"
#include "nn/trained_net.h"

struct device;
struct plan;

struct vae_mode {
    int batch;          /* images of a step */
    int micro;          /* images at a time */
    bool checkpointing; /* blocks are made again in the backward pass */
    bool offload;       /* moments and EMA are host-resident */
};

/* What a step is told. */
struct vae_losses {
    double mse, ssim, kl; /* weights beside that of mean |d|, which is 1 */
    double clip;          /* largest norm of the gradient; 0: none */
};
struct vae_rates {
    struct adam_rates adam;
    double ema; /* the average's share of itself */
};

/* Fills images [side][side][3] in -1..1, and normal numbers [side / f][side / f][latents], of
 * samples first .. first + n - 1 of the step's batch: host memory. */
typedef int vae_fill(void *context, int first, int n, float *images, float *noise);

struct vae_numbers {
    struct adam_f32 adam;
    float ema;
};
/* What a step gets from the host; a device with memory of its own gets it in one copy. */
struct vae_inputs {
    char *memory;
    struct vae_numbers *numbers;
    float *images, *noise; /* [span]: of a micro-batch, or (ahead) of the batch */
};

/* What the offload stream carries, in the order of a step. */
enum { VAE_OFFLOAD_MOMENTS, VAE_OFFLOAD_EMA, VAE_OFFLOAD_RANGES };

/* The report of a step; colours count as 0..1. */
struct vae_report {
    double loss, l1, mse, ssim, kl; /* kl: of an image's latents */
    double grad_norm;               /* before it is clipped; 0 where nothing is */
};

struct vae_core {
    struct device *device;
    struct kl_config config;
    struct vae_mode mode;
    struct vae_losses losses;
    int side, moments; /* moments: the encoder's last layer */
    struct trained_net net;
    struct network_pass learn, back;
    struct stepper stepper;
    bool ahead; /* the device has memory of its own */
    int span;   /* images whose inputs are there at a time */
    struct vae_inputs inputs, host[2];
    char *inputs_memory;
    float *constants, *host_constants;  /* weights and bias that make -1..1 colours of 0..1 */
    float *shown, *target, *shown_grad; /* [micro] images in 0..1 */
    double *sums;
    void *workspace;
    vae_fill *fill; /* of the present step */
    void *fill_context;
};

/* Builds the networks in an empty core and declares every buffer in `plan`. The core must stay
 * where it is; vae_core_close takes it in any case. */
int vae_core_declare(struct vae_core *core, const struct kl_config *config, int side,
                     const struct vae_mode *mode, const struct vae_losses *losses,
                     struct device *device, struct plan *plan);
void vae_core_close(struct vae_core *core);
/* After plan_commit. */
int vae_core_connect(struct vae_core *core);
void vae_core_listen(struct vae_core *core, bool (*stop_requested)(void));

/* First weights; EMA = they. */
int vae_core_initialise(struct vae_core *core, uint64_t seed);

/* One step. The device may still be at it when this returns. A step that fails has changed nothing
 * where the device is the host. */
int vae_train_step(struct vae_core *core, const struct vae_rates *rates, vae_fill *fill,
                   void *context);
/* The report of the last step (back 0) or of the one before it (back 1), when it is done. */
int vae_core_report(struct vae_core *core, int back, struct vae_report *report);

/* Between steps: where to put `n` images, at most `micro`, and what the averaged network makes of
 * them: moments, and images of the means; host memory, either may be NULL. */
float *vae_core_images(const struct vae_core *core);
int vae_core_try(struct vae_core *core, int n, float *moments, float *images);

#endif
