/* An image file enlarged by a trained network: rows come in and go out in bands, so neither image
 * needs to fit into memory, and no tile size changes a bit of the result where tiles overlap by all
 * that a pixel depends on. Grey stays grey, 8 and 16 bits stay what they are. */
#ifndef IMGTRAIN_SR_UPSCALE_UPSCALE_H
#define IMGTRAIN_SR_UPSCALE_UPSCALE_H

#include <stdbool.h>
#include <stddef.h>

struct device;
struct sr_enlarger;
struct store_file;

enum sr_alpha {
    SR_ALPHA_MODEL,   /* the network enlarges it like a colour */
    SR_ALPHA_BICUBIC, /* MATLAB's bicubic does */
    SR_ALPHA_NONE,    /* it is left out */
};

enum { SR_OVERLAP_AUTO = -1, SR_OVERLAP_EXACT = -2 };

struct sr_upscale_options {
    double scale;     /* of the result; 0: the network's. What differs is resampled by bicubic */
    int tile;         /* pixels of LQ of a square tile's side; 0: bands of full width, as high as
                         memory allows */
    int overlap;      /* pixels of LQ; SR_OVERLAP_AUTO: sr_tiles_overlap */
    bool turns;       /* the mean of all eight turns */
    bool mixed;       /* values in between as bf16, where the device has it */
    bool check_seams; /* every tile is made once more with the exact overlap */
    size_t limit;     /* bytes that a tile may take; 0: what is free, 512 MiB at most */
    enum sr_alpha alpha;
    void (*rows_done)(void *context, int done, int total); /* of the input; may be NULL */
    void *context;
    bool (*stop_requested)(void);
    /* The network, open for the next image of the same model: the caller closes it before the
     * device. *kept is NULL at first, and after ERR_DEVICE_MEMORY. NULL: each opens its own. */
    struct sr_enlarger **kept;
};

/* What became of an image. */
struct sr_upscale_report {
    int width, height; /* of the result */
    int tile_width, tile_height, overlap;
    size_t bytes; /* of device memory */
    /* check_seams: the largest difference from what tiles cannot change, in levels of 255, and
     * where in the network's result */
    double seam;
    int seam_x, seam_y;
};

/* Writes `out` (by its ending) from `in`, atomically. ERR_DATA, ERR_INPUT, ...: the file's;
 * ERR_DEVICE_MEMORY when not even the smallest tile fits. */
int sr_upscale_file(struct device *device, const struct store_file *model, const char *in,
                    const char *out, const struct sr_upscale_options *options,
                    struct sr_upscale_report *report);

#endif
