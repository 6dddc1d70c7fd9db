/* The models that `imgtrain serve` answers with: what is known of each before it is loaded, and the
 * calls that load it, use it and give its memory back. Each kind of model has a file of its own
 * beside this one. */
#ifndef IMGTRAIN_CMD_SERVE_SERVE_MODELS_H
#define IMGTRAIN_CMD_SERVE_SERVE_MODELS_H

#include "cmd/fallback.h"
#include "serve/serve_job.h"

#include <stdatomic.h>

struct serve_model;

/* What a task's models can do. */
struct serve_kind {
    const struct task *task;
    unsigned endpoints; /* 1 << SERVE_..., of those that they answer */
    const char *unit;   /* of `at_once`: "images" */
    int whole;          /* at a time; 0: `prepare` says */
    int least;
    /* Loads what of the model is not on a device and reads what the job asks for; fails the job, or
     * an error is its own. *whole: of its units. NULL: nothing to do. One job at a time then. */
    int (*prepare)(struct serve_model *model, struct serve_job *job, int *whole);
    /* Adds images to the jobs, or fails some of them; loads model->state where it is NULL. An error
     * is that of all that have no answer yet, and after it nothing of the device is held.
     * ERR_DEVICE_MEMORY: again with less at a time, or on the CPU. */
    int (*run)(struct serve_model *model, struct device *device, int at_once,
               struct serve_job *const *jobs, int count);
    /* Drops what `prepare` has made, also after its error. NULL: nothing. */
    void (*finish)(struct serve_model *model);
    void (*unload)(struct serve_model *model); /* accepts one that is not loaded */
    bool joins;                                /* small jobs of one model are done together */
};

extern const struct serve_kind serve_kind_gan, serve_kind_diffusion, serve_kind_splat,
    serve_kind_sr;

struct serve_model {
    char *name;       /* that clients use */
    const char *path; /* as it was given */
    const struct serve_kind *kind;
    void *state; /* the kind's own; NULL: not loaded */
    struct fallback fallback;
    double climb_at, pause; /* of the clock, in seconds: when the device is tried again after it
                               had too little memory, 0: it had not; what it waited last */
    bool is_barred;         /* from the device: its check failed */
    struct serve_models *all;
};

struct serve_models {
    struct serve_model *list; /* [count] */
    int count;
    const char *device;
    uint64_t memory_limit;
    int64_t pixels;            /* of the images of a request at most */
    struct device *opened;     /* shared; NULL: none yet */
    bool (*late)(void);        /* of the present call */
    struct serve_call *call;   /* it */
    atomic_int loaded, fallen; /* models: that are loaded; that went down to the CPU */
    atomic_size_t device_bytes;
};

/* operands: [count] MODEL or NAME=MODEL. Looks what each is, and loads none. ERR_USAGE for two of
 * one name; ERR_CONFIG, ERR_DEVICE for a device that is not there; the errors of opening. */
int serve_models_open(struct serve_models *models, char *const *operands, int count);
void serve_models_close(struct serve_models *models);

/* What serve_run takes. */
struct serve_backend serve_models_backend(struct serve_models *models);

/* ---- for the kinds ---- */

/* An image as PNG to the job. */
struct image;
int serve_model_add(struct serve_job *job, const struct image *image, uint64_t seed);
/* ERR_USAGE for more pixels than a request may have: n images of w x h. */
int serve_model_check_pixels(const struct serve_model *model, int64_t w, int64_t h, int n);
/* ERR_STOPPED once the request's time is up. */
int serve_model_check_time(const struct serve_model *model);
/* The job's seed, drawn where the client gave none. */
int serve_model_seed(struct serve_job *job);
/* Fails a job with this thread's message, in a client's words. */
void serve_model_fail(const struct serve_model *model, struct serve_job *job, int code);

#endif
