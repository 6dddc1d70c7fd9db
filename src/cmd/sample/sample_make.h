/* What `imgtrain sample` leaves: files, a grid, a walk. */
#ifndef IMGTRAIN_CMD_SAMPLE_MAKE_H
#define IMGTRAIN_CMD_SAMPLE_MAKE_H

#include <stdbool.h>
#include <stdint.h>

struct image;
struct sampler;
struct seed_list;

struct sample_options {
    const char *seeds, *output, *grid, *walk, *device;
    int64_t label, frames, fps, scale, batch;
    uint64_t memory_limit;
};

/* By the ending of the name. */
bool sample_is_picture(const char *path);
bool sample_is_video(const char *path);

/* Copies w x h pixels (RGB) to (x, y) of a larger image, each `scale` times wide and high. */
void sample_paste(struct image *to, int x, int y, const uint8_t *pixels, int w, int h, int scale);

/* ERR_USAGE where the model has no class `label`; below 0: none is asked for. */
int sample_check_class(const struct sampler *sampler, int64_t label);

/* The images of the list into options->output; columns x rows: a grid, where not 0. Files that
 * are there are written again. ERR_USAGE for what the model does not have; ERR_STOPPED. */
int sample_make(struct sampler *sampler, const struct sample_options *options,
                const struct seed_list *list, int columns, int rows);

#endif
