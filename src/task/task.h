/* The interface between the training loop and a task: this struct of functions and nothing else. */
#ifndef IMGTRAIN_TASK_TASK_H
#define IMGTRAIN_TASK_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench; /* base/bench.h */
struct config;
struct device;
struct image;
struct memory_mode; /* memory/mode.h */
struct memory_growth;
struct memory_need;
struct option_row; /* base/option_row.h */
struct plan;
struct store_file;
struct store_writer;

/* A task's own state: each task defines its struct and casts. */
struct task_state;

/* The input as a task has read it, kept from one open of a run to the next: a struct of the task's
 * own. */
struct task_input;

/* One number to report, in the order in which it is to be shown. */
struct task_metric {
    const char *name;   /* "psnr": static string, key in metrics.jsonl and in a frame's JSON */
    const char *format; /* "%.2f": how the progress line shows it; NULL = not shown there */
    double value;       /* NaN = not known yet: null in JSON, empty in CSV, not shown */
};

enum { TASK_MAX_METRICS = 32 };

/* The report of a step. Filled by step(); metrics always the same names in the same order. */
struct task_report {
    int metric_count;
    struct task_metric metrics[TASK_MAX_METRICS];
    double loss;       /* non-finite: the loop rolls back once, then exits 30 */
    bool finished;     /* the task's own stopping rule: no further step is wanted */
    bool pending;      /* a stop cut the step's measurement short: complete() makes it */
    char caption[160]; /* drawn into video frames: "step 1200  PSNR 31.42  SSIM 0.912" */
};

/* Arguments of open() besides the config. */
struct task_setup {
    const struct config *config;
    struct device *device;
    const char *run_dir;             /* where caches may be written; NULL: write nothing */
    const char *planned_dir;         /* the run folder to be, which need not exist: its caches may
                                        be read; NULL: none */
    const char *spill_dir;           /* where files without a name may be; NULL: in memory */
    struct task_input **input;       /* filled by the first open; NULL: not kept, and a forecast
                                        looks at no more of it than it must */
    const struct store_file *resume; /* checkpoint to continue from, or NULL */
    bool allow_changed_input;     /* with resume: go on with another input than the checkpoint's */
    bool input_renamed;           /* with resume: the config names the input otherwise than then */
    bool *input_changed;          /* set by open() when it goes on with another; may be NULL */
    bool forecast_only;           /* --dry-run: fill the plan's layout, allocate nothing */
    bool (*stop_requested)(void); /* polled in long phases; then return ERR_STOPPED */

    /* Asked by open() once the input is known, for the mode to run in; NULL: the first of
     * modes(). */
    int (*choose)(void *context, const struct task_state *state, struct memory_mode *mode);
    void *choose_context;

    /* With forecast_only: no input is read, sizes that only the input would tell are taken from
     * here (0: the config says). */
    bool without_input;
    int width, height, channels;
};

/* The request of `imgtrain eval` to a task: a model against its input. */
struct task_evaluation {
    const struct store_file *model; /* NULL: `path` is a model folder as diffusers lays it out */
    const char *path; /* of the model, as it was given: a file, a run folder, or that */
    const char *input;
    struct device *device;
    int samples;          /* at most */
    const char *features; /* Inception's weights (metrics/inception.h), or NULL */
    int crop_border;      /* pixels of each side to leave out; below 0: as many as the task does */
    int at_once;          /* of them: changes no figure */
    bool json;
    bool (*stop_requested)(void);
};

/* One thing that `imgtrain info` says of a file before its tensors. */
struct task_fact {
    const char *key, *label; /* "gaussians" in JSON, "Gaussians" in text */
    int64_t value;
    char text[64]; /* instead of it, where it is not empty */
};

enum { TASK_MAX_MODES = 128, TASK_MAX_FACTS = 4, TASK_MAX_COLUMNS = 12 };

struct task {
    const char *name; /* the value of the config key `task` */

    /* Reads the input, declares every tensor, commits the plan (unless forecast_only), initialises
     * or resumes. *state is owned by the caller, closed by close() also after a failure that set
     * it. */
    int (*open)(struct task_state **state, const struct task_setup *setup);

    /* The plan of an open state: borrowed. */
    const struct plan *(*plan)(const struct task_state *state);

    /* How many images the first `steps` steps, all that are done, have shown, and how many there
     * are to show, which is an epoch. NULL: one image, once a step. */
    void (*images_shown)(const struct task_state *state, int64_t steps, int64_t *shown,
                         int64_t *images);

    /* How many steps the config asks for; what a task finds out in a step may change it. */
    int64_t (*steps)(const struct task_state *state);

    /* Runs training step `step` (0-based). After ERR_DEVICE_MEMORY the same step may be run again
     * and gives what it would have given: what a part of it has applied is not applied twice. Where
     * the device works ahead (device->is_host is false) the state is lost instead.
     * `evaluate`: the loop wants exact metrics (it logs or saves a frame after this step);
     * otherwise expensive ones may be NaN, and those of a device that works ahead an earlier
     * step's. */
    int (*step)(struct task_state *state, int64_t step, bool evaluate, struct task_report *report);

    /* Makes the measurement that a stop left pending, in this process or in the one that wrote the
     * checkpoint, and fills the report of that step as if nothing had stopped it; `pending` again
     * after another stop. Called before the next step. NULL: no measurement is ever pending. */
    int (*complete)(struct task_state *state, struct task_report *report);

    /* The image of the current state for a frame, scaled to fit max_side (0: full size): 8-bit
     * RGB. */
    int (*image)(struct task_state *state, int max_side, struct image *image);

    /* The image shown beside every frame (the target, real samples), likewise; ERR_USAGE when
     * none. */
    int (*reference)(struct task_state *state, int max_side, struct image *image);

    /* Adds everything that the next step depends on. Data stays valid until the next step. */
    int (*save)(struct task_state *state, struct store_writer *writer);

    /* Adds only what using the result needs (model.safetensors). */
    int (*save_model)(struct task_state *state, struct store_writer *writer);

    /* Names of reference() and image() below them in the video: at most 7 letters. NULL: "target"
     * and "render". */
    const char *labels[2];

    /* Names for columns of equal width that an image() without reference() has, from the left, at
     * most 7 letters each; returns how many. NULL: none. */
    int (*columns)(const struct task_state *state, const char *names[TASK_MAX_COLUMNS]);

    /* Writes the result as an image at full size: final.png. */
    int (*write_final)(struct task_state *state, const char *path);

    void (*close)(struct task_state *state); /* accepts NULL */

    /* Frees what open() kept, after the last close(); accepts NULL. NULL: it keeps nothing. */
    void (*free_input)(struct task_input *input);

    /* The size of what picture() gives, known after open, also with forecast_only; NULL: unknown.
     */
    int (*image_size)(const struct task_state *state, int max_side, int *width, int *height);

    /* Like save_model, of the best state the run has seen and its number of steps:
     * best.safetensors. *step 0: there is none. NULL: no such thing. */
    int (*save_best)(struct task_state *state, struct store_writer *writer, int64_t *step);

    /* ---- what memory can be saved by; all four or none ---- */

    /* Every mode the task can run in with this config and device, without `work`: by level, then by
     * ever less memory; the first is the fastest. Known when open() asks, also with forecast_only.
     * Returns how many, at most TASK_MAX_MODES. */
    int (*modes)(const struct task_state *state, struct memory_mode *list);

    /* The need of one mode (with its `work`, where that is not 0): nothing is allocated on the
     * device or read again, and the state stays as it is. ERR_USAGE for a part of the work that the
     * task does not have, ERR_CONFIG for one that is not possible. */
    int (*need)(const struct task_state *state, const struct memory_mode *mode,
                struct memory_need *need);

    /* The mode it runs in now (or, with forecast_only, would): borrowed. */
    const struct memory_mode *(*mode)(const struct task_state *state);

    /* Between steps, or after one that failed with ERR_DEVICE_MEMORY: another mode, the same state
     * to the bit. ERR_DEVICE_MEMORY: not enough for it; then only replan(), save() and close() may
     * be called until a replan() succeeds. */
    int (*replan)(struct task_state *state, const struct memory_mode *mode);

    /* The work that replan() can be asked for; steps() may change with it, and the checkpoint says
     * what was done. NULL: none. */
    void (*growth)(const struct task_state *state, struct memory_growth *growth);

    /* What keys of the config that allow some of the modes only come to, in one line
     * (memory/restriction.h); "" where none is set. NULL: there are no such keys. */
    void (*restrictions)(const struct task_state *state, char *line);

    /* Further files of a finished run, written into run_dir; NULL: none. */
    int (*extra_files)(struct task_state *state, const char *run_dir);

    /* The PNGs that write_final and extra_files leave beside final.png, so that a damaged one is
     * made again: the name of number `index`, false behind the last. NULL: none. */
    bool (*image_name)(const struct task_state *state, int index, char *name, size_t room);

    /* Why a run may not go on with another value of `key`, where there is more to say than that it
     * may not: fails with that; else OK. NULL: nothing to say of any. */
    int (*fail_changed)(const char *key, const char *stored, const char *current);

    /* ---- what commands ask ---- */

    /* The input, which numbered run folders are named after where no config file is; NULL: they are
     * named after the task. */
    const char *(*input_path)(const struct config *config);

    /* Overrides (key=value) that make a run as short as IMGTRAIN_TESTING wants it; ends with NULL.
     */
    const char *const *testing;

    /* Before an open() of `imgtrain plan`, whose --size is in setup (width 0: none given): whether
     * that can be planned; sets without_input where no input need be read. */
    int (*prepare_plan)(struct task_setup *setup);

    /* How many things there are to say of a file, also of one that names no task, and which: at
     * most TASK_MAX_FACTS. NULL: never any. */
    int (*describe)(const struct store_file *file, struct task_fact *facts);

    /* Measures a model against an input and prints that. NULL: its models are compared as images.
     */
    int (*evaluate)(const struct task_evaluation *wanted);
    bool evaluate_crops;         /* it heeds crop_border, and measures luma */
    bool evaluate_makes_samples; /* it heeds features */
    const char
        *operations; /* tables of operations that it uses, blanks between: "nn gan" (check/) */

    /* Times steps. Its own options of `imgtrain bench`, where they are kept, whose defaults stand
     * there; what is wrong with several together (NULL: nothing can be). */
    int (*bench)(struct bench *bench);
    const struct option_row *bench_options;
    int (*bench_check)(void);
};

#endif
