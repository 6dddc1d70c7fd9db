/* Inside the task gan: its state, and what its files have for each other. */
#ifndef IMGTRAIN_GAN_GAN_TASK_H
#define IMGTRAIN_GAN_GAN_TASK_H

#include "config/config.h"
#include "data/tags.h"
#include "gan/best_model.h"
#include "gan/core.h"
#include "gan/gan_checkpoint.h"
#include "gan/gan_schedule.h"
#include "memory/mode.h"
#include "nn/images_seen.h"

struct dataset;
struct dataset_item;
struct image;
struct task_report;

/* Running means of what this process has measured: they decide what is said, and no more. */
struct gan_overfit {
    double gap, span; /* D's score of learnt images less that of held-out ones; of samples */
    int count;
    bool said;
};

struct task_state {
    const struct config *config; /* `sized` */
    struct config sized;         /* the config with the present batch; borrows its strings */
    int64_t asked_batch;         /* the config's */
    struct images_seen seen;
    struct device *device;
    struct dataset *set;          /* the input's */
    struct task_input *own_input; /* where nobody else keeps it */
    int classes, channels;        /* of the set, also when it is not loaded */
    struct tag_sets tags;         /* which are the classes; of trials another's. count 0: none */
    struct memory_mode mode;      /* how memory is saved */
    bool amp;                     /* mixed precision: a part of the result, so no way to save */
    bool conv_library;            /* cuDNN may take convolutions: device/conv_library.h */
    struct plan *plan;
    struct gan_core *core;
    struct gan_progress progress; /* what a checkpoint holds besides tensors */
    struct best_model best;
    struct gan_schedule now;
    struct dataset_item *items; /* [micro] */
    float *latents;             /* [micro] */
    float *show;                /* [samples] generated images, host */
    struct gan_report d, g;     /* of the last step */
    double gap;
    bool gap_pending; /* a stop came before it was known; best.pending tells of which step */
    bool identity_warned;
    struct gan_overfit overfit;
    bool (*stop_requested)(void);
    int64_t step;       /* the one that fill() is asked about */
    int64_t steps_done; /* by this process; the checkpoint's at first */
    int64_t reported;   /* of those */
};

/* ---- gan_pending.c: a step whose measurement was stopped ---- */

/* What the report of that step says besides, into and from a checkpoint. */
int gan_pending_store(struct task_state *s, struct store_writer *writer);
int gan_pending_load(struct task_state *s, const struct store_file *file);

/* ---- gan.c ---- */

/* Declares all that training `mode` takes in s->plan, which is empty, in a new s->core. */
int gan_declare(struct task_state *s, const struct config *config, const struct memory_mode *mode);
void gan_free_core(struct gan_core *core);
int64_t gan_steps(const struct task_state *s);
/* Waits for the reports of the first `steps` steps; the last one's is in d and g. */
int gan_collect(struct task_state *s, int64_t steps);
void gan_fill_report(const struct task_state *s, int64_t step, struct task_report *report);

/* ---- gan_memory.c: as in struct task ---- */

int gan_list(const struct task_state *s, struct memory_mode *list);
int gan_need(const struct task_state *s, const struct memory_mode *mode, struct memory_need *need);
const struct memory_mode *gan_mode_now(const struct task_state *s);
void gan_restrictions(const struct task_state *s, char *line);
void gan_growth(const struct task_state *s, struct memory_growth *growth);
int gan_replan(struct task_state *s, const struct memory_mode *mode);

/* ---- gan_preview.c ---- */

/* The metrics after `steps_done` steps, into s->best. */
int gan_measure(struct task_state *s, int64_t steps_done);
bool gan_measure_is_due(const struct task_state *s, int64_t steps_done);
/* What is to be measured after that step, the gap where it is asked for; stopped:
 * s->best.pending and s->gap_pending say what is left. */
int gan_measure_step(struct task_state *s, int64_t steps_done, bool gap);
/* Whether work on the host ends with ERR_STOPPED when a stop is requested; else it does not look.
 */
void gan_listen(struct task_state *s, bool listens);
/* Mean score of training less held-out images, into s->gap. */
int gan_measure_gap(struct task_state *s);

/* One more measurement. True once: when, over some of them, D tells learnt images from held-out
 * ones by most of what it tells them from samples by. */
bool gan_overfit_shows(struct gan_overfit *overfit, double gap, double span);

/* As in struct task. */
int gan_complete(struct task_state *s, struct task_report *report);
int gan_picture(struct task_state *s, int max_side, struct image *picture);
int gan_reference(struct task_state *s, int max_side, struct image *picture);
int gan_write_final(struct task_state *s, const char *path);
int gan_image_size(const struct task_state *s, int max_side, int *width, int *height);

#endif
