/* A trained network in use: its averaged weights and what a tile takes, nothing of the training. */
#ifndef IMGTRAIN_SR_ENLARGER_H
#define IMGTRAIN_SR_ENLARGER_H

#include "sr/tiles.h"

struct store_file;

struct sr_enlarger;

/* The network of a model, of a checkpoint of task sr, or of a file of another program. ERR_DATA. */
int sr_enlarger_design(struct sr_design *design, const struct store_file *file);
/* Device memory of a tile that reads h x w pixels of LQ at most. ways: as sr_tiles_declare. */
int sr_enlarger_bytes(const struct sr_design *design, const struct sr_tile_ways *ways,
                      struct device *device, int h, int w, size_t *bytes);

/* `file` may be closed afterwards; the device must outlive the enlarger. ERR_DATA, naming the file;
 * ERR_DEVICE_MEMORY. */
int sr_enlarger_open(struct sr_enlarger **enlarger, struct device *device,
                     const struct store_file *file, const struct sr_tile_ways *ways, int h, int w);
void sr_enlarger_close(struct sr_enlarger *enlarger); /* accepts NULL */
/* Whether it is of this device and takes tiles that read h x w pixels of LQ, in these ways. */
bool sr_enlarger_fits(const struct sr_enlarger *enlarger, const struct device *device,
                      const struct sr_tile_ways *ways, int h, int w);
const struct sr_design *sr_enlarger_network(const struct sr_enlarger *enlarger);

/* As sr_tiles_enlarge. ERR_DATA when the result is no finite number. */
int sr_enlarger_run(struct sr_enlarger *enlarger, const struct sr_rows *in, int x, int y, int w,
                    int h, float *out, bool (*stop_requested)(void));

#endif
