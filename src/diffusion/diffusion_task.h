/* Inside the task diffusion: its state, and what its files have for each other. */
#ifndef IMGTRAIN_DIFFUSION_DIFFUSION_TASK_H
#define IMGTRAIN_DIFFUSION_DIFFUSION_TASK_H

#include "config/config.h"
#include "diffusion/diffusion_core.h"
#include "diffusion/diffusion_data.h"
#include "diffusion/latent/latent_codec.h"
#include "memory/mode.h"
#include "metrics/sample_metrics.h"
#include "nn/images_seen.h"

struct diffusion_wish;
struct image;
struct store_file;
struct store_writer;
struct task_report;
struct task_setup;

/* Levels of noise at which held-out images are looked at: .1 .3 .5 .7 .9. */
enum { DIFFUSION_LEVELS = 5 };
double diffusion_level(int index);

/* What measurements have found. */
struct diffusion_held {
    double loss[DIFFUSION_LEVELS], mean; /* of the last step; NaN unless it was measured */
    struct sample_metrics samples;       /* of the last step, likewise (diffusion.eval_samples) */
    double best;                         /* mean of the best step; NaN before the first */
    int64_t step;                        /* steps done when it was measured; 0: never */
    int64_t pending;                     /* steps done when a measurement was stopped; 0: none */
    float *ema;                          /* the averaged network of that step: host memory */
};

struct task_state {
    const struct config *config; /* `sized` */
    struct config sized;         /* the config with the present batch; borrows its strings */
    int64_t asked_batch;         /* the config's */
    struct images_seen seen;
    struct device *device;
    struct task_input *own_input;
    struct diffusion_data data;
    struct diffusion_feed feed;
    struct diffusion_design design;
    struct memory_mode mode;
    struct plan *plan;
    struct diffusion_core *core;
    struct kl_folder vae;       /* open where the design has a factor */
    struct latent_codec *codec; /* in `plan` likewise; NULL: on pixels */
    struct diffusion_held held;
    struct diffusion_report report; /* of the last step */
    struct diffusion_rates now;
    float *show;      /* [samples] images of the frame, host: RGB */
    float *drawn;     /* [samples] latents of those; NULL: on pixels */
    float *predicted; /* [micro] images: what the network says, host */
    float *guiding;   /* likewise, without a class */
    bool (*stop_requested)(void);
    int64_t step, steps_done;
    int64_t reported; /* of those */
};

/* ---- diffusion.c ---- */

/* Declares all that training `mode` takes in s->plan, which is empty, in a new s->core. */
int diffusion_declare(struct task_state *s, const struct memory_mode *mode);
void diffusion_free_core(struct diffusion_core *core);
int64_t diffusion_steps(const struct task_state *s);
/* Waits for the reports of the first `steps` steps. */
int diffusion_collect(struct task_state *s, int64_t steps);
void diffusion_fill_report(const struct task_state *s, int64_t step, struct task_report *report);

/* ---- diffusion_latents.c: the autoencoder of latent space ---- */

/* Opens s->vae where the config names one that is wanted. ERR_CONFIG, ERR_INPUT, ERR_DATA. */
int diffusion_open_vae(struct task_state *s);
/* Whether all its weights are numbers. ERR_DATA. */
int diffusion_expect_vae(const struct task_state *s);
/* A new s->codec in s->plan, behind all that a step takes; none where the network sees pixels. */
int diffusion_declare_codec(struct task_state *s);
void diffusion_free_codec(struct latent_codec *codec);
/* Latents of all images, made once for the input: after plan_commit, before the first step. */
int diffusion_make_latents(struct task_state *s, const struct task_setup *setup);
/* n of s->drawn to s->show. */
int diffusion_decode_drawn(struct task_state *s, int n);
/* Whether the checkpoint is of this autoencoder. */
int diffusion_check_vae(const struct task_state *s, const struct store_file *file);

/* ---- diffusion_memory.c: as in struct task ---- */

int diffusion_list_modes(const struct task_state *s, struct memory_mode *list);
int diffusion_need(const struct task_state *s, const struct memory_mode *mode,
                   struct memory_need *need);
const struct memory_mode *diffusion_mode_now(const struct task_state *s);
void diffusion_growth(const struct task_state *s, struct memory_growth *growth);
int diffusion_replan(struct task_state *s, const struct memory_mode *mode);

/* ---- diffusion_held.c ---- */

void diffusion_held_forget(struct diffusion_held *held);
bool diffusion_held_is_due(const struct task_state *s, int64_t steps_done);
/* Into s->held; stopped: s->held.pending says so. */
int diffusion_held_measure(struct task_state *s, int64_t steps_done);
int diffusion_complete(struct task_state *s, struct task_report *report);

/* ---- diffusion_measure.c ---- */

void diffusion_measure_forget(struct sample_metrics *metrics);
/* ERR_STOPPED: nothing is known. */
int diffusion_measure_samples(struct task_state *s, struct sample_metrics *metrics);

/* ---- diffusion_preview.c ---- */

/* At most `samples` of them, into s->show. */
int diffusion_draw_wishes(struct task_state *s, const struct diffusion_wish *wishes, int n);

size_t diffusion_show_floats(const struct task_state *s);
int diffusion_frame(struct task_state *s, int max_side, struct image *image);
int diffusion_reference(struct task_state *s, int max_side, struct image *image);
int diffusion_write_final(struct task_state *s, const char *path);
int diffusion_image_size(const struct task_state *s, int max_side, int *width, int *height);

/* ---- diffusion_checkpoint.c ---- */

int diffusion_save(struct task_state *s, struct store_writer *writer);
int diffusion_save_model(struct task_state *s, struct store_writer *writer);
int diffusion_save_best(struct task_state *s, struct store_writer *writer, int64_t *step);
/* RUN/model. */
int diffusion_write_folder(struct task_state *s, const char *run_dir);
/* Whether the checkpoint is of this network, before memory is planned by it. */
int diffusion_expect_checkpoint(const struct task_state *s, const struct store_file *file);
/* Whether the images are those of the checkpoint; see task_setup.allow_changed_input. */
int diffusion_check_data(const struct task_state *s, const struct task_setup *setup);
int diffusion_load(struct task_state *s, const struct store_file *file);

#endif
