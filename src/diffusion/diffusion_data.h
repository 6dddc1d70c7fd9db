/* The images of the task diffusion, and what a step shows of them: each with noise mixed in, what
 * the network is to make of that, and its class. Pure functions of (seed, step, place in the
 * batch). */
#ifndef IMGTRAIN_DIFFUSION_DIFFUSION_DATA_H
#define IMGTRAIN_DIFFUSION_DIFFUSION_DATA_H

#include "diffusion/diffusion_schedule.h"

#include <stddef.h>
#include <stdint.h>

struct dataset;
struct dataset_item;
struct latent_set;
struct task_input;
struct task_setup;

struct diffusion_data {
    struct dataset *set;              /* the input's, borrowed; NULL: not read */
    const struct latent_set *latents; /* likewise, what an autoencoder made of it; NULL: pixels */
    bool captions;                    /* texts in place of classes */
    int classes;                      /* of the set, or different texts, also when it is not read */
    int longest;                      /* bytes of the longest text */
    uint64_t fingerprint;
};

/* The images that an earlier open has read, or read now, as setup->input says; else into *own,
 * which diffusion_free_input frees. ERR_CONFIG, ERR_INPUT, ERR_DATA. */
int diffusion_data_open(struct diffusion_data *data, struct task_input **own,
                        const struct task_setup *setup);
void diffusion_free_input(struct task_input *input);

/* Where the latents of the input's images go, which are made once: for who makes them. */
struct latent_set **diffusion_input_latents(struct task_input *input);

/* What the network is told of an image: rows of a table. A class is one of them, a text one for
 * each of its bytes; one more says nothing. */
struct diffusion_conditions {
    bool captions;
    int count;     /* rows of the table */
    int rows_most; /* that an image is told by */
};
enum { DIFFUSION_TEXT_MOST = 256 };
struct diffusion_conditions diffusion_conditions_of(const struct diffusion_data *data);
/* Of class `label`, or of a text; label < 0 and text NULL: of nothing. Rows that are not used say
 * nothing. */
void diffusion_condition_set(const struct diffusion_conditions *conditions, int label,
                             const char *text, int *rows, int *length);
/* Of an image of the set. */
void diffusion_condition_of(const struct diffusion_data *data, int label, int *rows, int *length);

/* What a step takes from its images. */
struct diffusion_feed {
    const struct diffusion_data *data; /* borrowed */
    uint64_t seed;
    struct diffusion_times times;
    double dropout;              /* share that is shown without class or text */
    int width, height, channels; /* of what the network sees */
};

/* Where it goes. Images are [height][width][channels], in -1..1 where they are no latents. */
struct diffusion_samples {
    float *noisy;   /* [n] images: (1 - t) image + t noise */
    float *target;  /* [n] images: image - noise, what the network is to say */
    float *time;    /* [n]: 1 - t */
    int *condition; /* [n][rows_most]: rows of the table */
    int *length;    /* [n]: how many of them count */
};

/* Samples first .. first + n - 1 of step `step`, which begins with image `shown` of the run. */
void diffusion_feed_fill(const struct diffusion_feed *feed, uint64_t step, uint64_t shown,
                         int first, int n, const struct diffusion_samples *out);
/* Image `index` of those that dataset_measured has, at noise level t, with noise of its own that is
 * the same in every run of that seed. */
void diffusion_feed_held(const struct diffusion_feed *feed, int index, double t,
                         const struct diffusion_samples *out);

#endif
