/* Inside the task vae: its state, and what its files have for each other. */
#ifndef IMGTRAIN_DIFFUSION_VAE_VAE_TASK_H
#define IMGTRAIN_DIFFUSION_VAE_VAE_TASK_H

#include "diffusion/vae/vae_core.h"
#include "diffusion/vae/vae_data.h"
#include "memory/mode.h"

struct config;
struct image;
struct store_file;
struct store_writer;
struct task_report;
struct task_setup;

/* What measurements have found. */
struct vae_held {
    double psnr;     /* of the last step; NaN unless it was measured */
    int64_t pending; /* steps done when a measurement was stopped; 0: none */
};

struct task_state {
    const struct config *config;
    struct device *device;
    struct task_input *own_input;
    const struct dataset *set;
    struct vae_feed feed;
    struct kl_config design;
    struct memory_mode mode;
    struct plan *plan;
    struct vae_core *core;
    struct vae_held held;
    struct vae_report report; /* of the last step */
    struct vae_rates now;
    float *show;    /* [samples] images of the frame, host */
    float *made;    /* [micro] images, host */
    float *moments; /* [micro] of images, host */
    bool (*stop_requested)(void);
    int64_t step, steps_done;
    int64_t reported; /* of those */
};

/* ---- vae.c ---- */

/* Declares all that training `mode` takes in s->plan, which is empty, in a new s->core. */
int vae_declare(struct task_state *s, const struct memory_mode *mode);
void vae_free_core(struct vae_core *core);
int64_t vae_steps(const struct task_state *s);
/* Waits for the reports of the first `steps` steps. */
int vae_collect(struct task_state *s, int64_t steps);
void vae_fill_report(const struct task_state *s, int64_t step, struct task_report *report);

/* ---- vae_memory.c: as in struct task ---- */

int vae_list_modes(const struct task_state *s, struct memory_mode *list);
int vae_need(const struct task_state *s, const struct memory_mode *mode, struct memory_need *need);
const struct memory_mode *vae_mode_now(const struct task_state *s);
int vae_replan(struct task_state *s, const struct memory_mode *mode);

/* ---- vae_shown.c ---- */

bool vae_held_is_due(const struct task_state *s, int64_t steps_done);
/* Into s->held; stopped: s->held.pending says so. */
int vae_held_measure(struct task_state *s, int64_t steps_done);
int vae_complete(struct task_state *s, struct task_report *report);
/* Mean and 1 / deviation of the latents of some training images. */
int vae_measure_latents(struct task_state *s, double *shift, double *scaling);
size_t vae_show_floats(const struct task_state *s);
int vae_frame(struct task_state *s, int max_side, struct image *image);
int vae_reference(struct task_state *s, int max_side, struct image *image);
int vae_write_final(struct task_state *s, const char *path);
int vae_image_size(const struct task_state *s, int max_side, int *width, int *height);

/* ---- vae_checkpoint.c ---- */

int vae_save(struct task_state *s, struct store_writer *writer);
int vae_save_model(struct task_state *s, struct store_writer *writer);
/* The averaged network as a folder that diffusers opens: RUN/vae. */
int vae_write_folder(struct task_state *s, const char *run_dir);
/* Whether the checkpoint is of this network, before memory is planned by it. */
int vae_expect_checkpoint(const struct task_state *s, const struct store_file *file);
/* Whether the images are those of the checkpoint; see task_setup.allow_changed_input. */
int vae_check_data(const struct task_state *s, const struct task_setup *setup);
int vae_load(struct task_state *s, const struct store_file *file);

#endif
