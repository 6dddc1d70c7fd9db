/* What `imgtrain sample` leaves: files, a grid, a walk. */
#ifndef IMGTRAIN_CMD_SAMPLE_MAKE_H
#define IMGTRAIN_CMD_SAMPLE_MAKE_H

#include "cmd/sample/class_mix.h"

#include <stdbool.h>
#include <stdint.h>

struct image;
struct latent_file;
struct sampler;
struct seed_list;

struct sample_options {
    const char *seeds, *output, *grid, *interpolate, *latents, *edit, *class, *tags, *device;
    bool video;
    int64_t frames, fps, scale, batch;
    double truncation, strength;
    uint64_t memory_limit;
};

/* Which images are wanted: of seeds, or of latents where there are some. */
struct sample_list {
    const struct seed_list *seeds;
    const struct latent_file *latents;
    const struct latent_file *edit; /* added to each, options->strength times; NULL: none */
    struct class_mix classes;       /* none: they take turns */
    bool walk;                      /* from each to the next */
    int columns, rows;              /* of a grid; 0: none */
};

int sample_list_count(const struct sample_list *list);

/* By the ending of the name. */
bool sample_is_picture(const char *path);
bool sample_is_video(const char *path);

/* Copies w x h pixels of as many 8-bit channels to (x, y) of a larger image, each `scale` times
 * wide and high. */
void sample_paste(struct image *to, int x, int y, const uint8_t *pixels, int w, int h, int scale);

/* The images of the list into options->output. Files that are there are written again. ERR_USAGE
 * for what the model does not have; ERR_DATA for latents of another length than its own;
 * ERR_STOPPED. */
int sample_make(struct sampler *sampler, const struct sample_options *options,
                const struct sample_list *list);

#endif
