/* What `imgtrain project` works on: images, and the latents that draw them. */
#ifndef IMGTRAIN_CMD_PROJECT_H
#define IMGTRAIN_CMD_PROJECT_H

#include <stdbool.h>
#include <stdint.h>

struct store_file;

struct project_options {
    const char *output, *towards, *device;
    int64_t steps, tune, candidates, label, held_out;
    double lr, tune_lr;
    uint64_t memory_limit;
};

struct project_image {
    char *path;      /* owned */
    bool towards;    /* of the second set */
    uint64_t seed;   /* of the sample that was nearest */
    double nearest;  /* its PSNR */
    double training; /* that of the nearest image of the training; 0: not asked */
    double *psnr;    /* [steps + tune + 1]: before each step, and of the result */
    uint8_t *target; /* [h][w][channels] as in image/premultiplied.h */
    uint8_t *projected;
};

struct project {
    const struct project_options *options;
    const struct store_file *file; /* the generator's */
    int w, h, channels, z, classes;
    struct project_image *images;
    int count, second; /* images, and how many of them are of the second set */
    float *latents;    /* [count][z] */
    int *labels;       /* [count] */
};

static inline int project_steps(const struct project *p)
{
    return (int)(p->options->steps + p->options->tune);
}

static inline int project_image_bytes(const struct project *p)
{
    return p->w * p->h * p->channels;
}

/* ---- project_images.c ---- */

/* An image, or those of a folder. */
int project_add(struct project *project, const char *path, bool towards);
/* Takes `path` (malloc), whatever comes of it; NULL: there was no memory for it. */
int project_add_file(struct project *project, char *path, bool towards);
/* Decodes those that have no pixels yet, for a generator of project->w x project->h. */
int project_load(struct project *project);
void project_free(struct project *project);

/* ---- project_data.c ---- */

/* For --held-out: adds images that the training of `model` (RUN or file) held out, loads all, and
 * looks for the nearest image of the training. ERR_USAGE: fewer are held out. */
int project_data(struct project *project, const char *model);

/* ---- project_descend.c ---- */

struct device;

/* Of two images of the project's size, dB. */
double project_psnr(const struct project *project, const uint8_t *a, const uint8_t *b);

/* Fills in latents, labels, PSNRs and projected images, with at_once images at a time; writes the
 * video, and the generator where it is tuned. */
int project_descend(struct project *project, struct device *device, int at_once);

/* ---- project_files.c ---- */

/* ERR_OUTPUT where the folder has a result already. */
int project_check_output(const char *folder);
/* latents.npy, projected.csv, metrics.csv, images, direction.npy. */
int project_write(const struct project *project);
/* How many of `images` a sheet has side by side: no more than encoders of videos take. */
int project_columns(const struct project *project, int images);
/* The images first .. first + n - 1 above what draws them now ([n] images), in `columns` columns.
 */
struct image;
int project_sheet(const struct project *project, int first, int n, int columns,
                  const uint8_t *drawn, struct image *sheet);

#endif
