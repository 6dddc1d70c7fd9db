/* Inside the task sr: its state, and what its files have for each other. */
#ifndef IMGTRAIN_SR_SR_TASK_H
#define IMGTRAIN_SR_SR_TASK_H

#include "memory/mode.h"
#include "sr/measure.h"
#include "sr/sr_core.h"
#include "sr/sr_data.h"
#include "sr/sr_feed.h"
#include "task/task.h"

struct config;
struct image;
struct store_file;
struct store_writer;
struct task_report;
struct task_setup;

enum { SR_SHOWN = 6 };

/* One row of a frame: a part of a held-out image. */
struct sr_shown {
    const struct pair *pair;
    int x, y; /* in LQ */
};

/* What measurements have found. */
struct sr_best {
    struct sr_scores scores; /* of the last step; unknown unless it was measured */
    double psnr_y;           /* of the best step; NaN before the first */
    int64_t step;            /* steps done when it was measured; 0: never */
    int64_t pending;         /* steps done when a measurement was stopped; 0: none */
    float *ema;              /* the averaged network of that step: host memory */
};

struct task_state {
    const struct config *config;
    struct device *device;
    struct task_input *own_input;
    struct sr_data data;
    struct sr_feed feed;
    struct sr_design design;
    struct memory_mode mode;
    struct plan *plan;
    struct sr_core *core;
    struct sr_best best;
    struct sr_scores bicubic; /* of the held-out images; unknown until it is asked for */
    struct sr_shown shown[SR_SHOWN];
    int shown_count, shown_side; /* pixels of LQ */
    float *show;                 /* pixels of the frame, host */
    float *stored;               /* what a model file has beyond the parameters, host */
    float *measuring;            /* sr_measure_floats of the largest held-out image, host */
    struct sr_report report;     /* of the last step */
    struct sr_rates now;
    bool (*stop_requested)(void);
    int64_t step, steps_done;
    int64_t reported; /* of those */
};

/* ---- sr.c ---- */

/* Declares all that training `mode` takes in s->plan, which is empty, in a new s->core. */
int sr_declare(struct task_state *s, const struct memory_mode *mode);
void sr_free_core(struct sr_core *core);
/* Waits for the report of step `step`. */
int sr_collect(struct task_state *s, int64_t steps);
void sr_fill_report(const struct task_state *s, int64_t step, struct task_report *report);

/* ---- sr_memory.c: as in struct task ---- */

/* ERR_CONFIG for a memory.schedule that is none, before data is looked at. */
int sr_check_schedule(const struct config *config);
/* What a step does: of the config, of the checkpoint, or by memory.schedule; into s->mode.work.
 * ERR_CONFIG where an image has no room for such patches. */
int sr_begin_work(struct task_state *s, const struct store_file *resume);
int sr_store_work(const struct task_state *s, struct store_writer *writer);
void sr_growth(const struct task_state *s, struct memory_growth *growth);

int sr_list_modes(const struct task_state *s, struct memory_mode *list);
int sr_need(const struct task_state *s, const struct memory_mode *mode, struct memory_need *need);
const struct memory_mode *sr_mode_now(const struct task_state *s);
int sr_replan(struct task_state *s, const struct memory_mode *mode);

/* ---- sr_preview.c ---- */

int sr_choose_shown(struct task_state *s);
size_t sr_show_floats(const struct task_state *s);
size_t sr_measuring_floats(const struct task_state *s);
bool sr_measure_is_due(const struct task_state *s, int64_t steps_done);
/* Into s->best; stopped: s->best.pending says so. */
int sr_measure_all(struct task_state *s, int64_t steps_done);
int sr_complete(struct task_state *s, struct task_report *report);
int sr_frame(struct task_state *s, int max_side, struct image *image);
int sr_reference(struct task_state *s, int max_side, struct image *image);
int sr_columns(const struct task_state *s, const char *names[TASK_MAX_COLUMNS]);
int sr_write_final(struct task_state *s, const char *path);
int sr_image_size(const struct task_state *s, int max_side, int *width, int *height);

/* ---- sr_checkpoint.c ---- */

int sr_save(struct task_state *s, struct store_writer *writer);
int sr_save_model(struct task_state *s, struct store_writer *writer);
int sr_save_best(struct task_state *s, struct store_writer *writer, int64_t *step);
/* Whether the checkpoint is of this network and these images, before memory is planned by it. */
int sr_expect_checkpoint(const struct task_state *s, const struct store_file *file);
/* Whether the images are those of the checkpoint; see task_setup.allow_changed_input. */
int sr_check_data(const struct task_state *s, const struct task_setup *setup);
int sr_load(struct task_state *s, const struct store_file *file);

#endif
