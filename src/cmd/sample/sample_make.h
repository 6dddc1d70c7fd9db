/* What `imgtrain sample` leaves: files, a grid, a walk. */
#ifndef IMGTRAIN_CMD_SAMPLE_MAKE_H
#define IMGTRAIN_CMD_SAMPLE_MAKE_H

#include <stdbool.h>
#include <stdint.h>

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

/* The images of the list into options->output; columns x rows: a grid, where not 0. Files that
 * are there are written again. ERR_USAGE for what the model does not have; ERR_STOPPED. */
int sample_make(struct sampler *sampler, const struct sample_options *options,
                const struct seed_list *list, int columns, int rows);

#endif
