/* An image file enlarged by a trained network: rows come in and go out in bands, so neither image
 * needs to fit into memory, and no tile size changes a bit of the result. Grey stays grey, 8 and 16
 * bits stay what they are, alpha is enlarged by the network like a colour. */
#ifndef IMGTRAIN_SR_UPSCALE_H
#define IMGTRAIN_SR_UPSCALE_H

#include <stdbool.h>
#include <stddef.h>

struct device;
struct store_file;

enum sr_alpha { SR_ALPHA_MODEL, SR_ALPHA_NONE };

struct sr_upscale_options {
    int tile;     /* pixels of LQ of a square tile's side; 0: bands of full width, as high as
                     memory allows */
    size_t limit; /* bytes that a tile may take; 0: what is free, 512 MiB at most */
    enum sr_alpha alpha;
    void (*rows_done)(void *context, int done, int total); /* of the input; may be NULL */
    void *context;
    bool (*stop_requested)(void);
};

/* Writes `out` (by its ending) from `in`, atomically. ERR_DATA, ERR_INPUT, ...: the file's;
 * ERR_DEVICE_MEMORY when not even the smallest tile fits. */
int sr_upscale_file(struct device *device, const struct store_file *model, const char *in,
                    const char *out, const struct sr_upscale_options *options);

#endif
