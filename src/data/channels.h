/* What the pixels of a data set hold, and what is best for the images of a folder. */
#ifndef IMGTRAIN_DATA_CHANNELS_H
#define IMGTRAIN_DATA_CHANNELS_H

#include "data/dataset_options.h"

/* A pixel whose alpha is below it (of 255) makes an image one with alpha: scanned and converted
 * images have borders of 254. */
enum { CHANNELS_ALPHA_BELOW = 250 };

int channels_count(enum dataset_channels channels); /* of AUTO 0 */
/* Of 1, 3 or 4; of any other number AUTO. */
enum dataset_channels channels_of(int count);
const char *channels_name(enum dataset_channels channels); /* "rgb", ... */

/* What AUTO is for these images: RGBA where at least half of those that can be read have a pixel
 * with alpha below CHANNELS_ALPHA_BELOW; else GREY where in all of them the channels of each pixel
 * differ by one of 255 at most; else RGB. Says so in a line. Images are decoded until it is known:
 * none whose file has no alpha to find it, few to find a colour. ERR_STOPPED, ERR_SYSTEM, ERR_IO.
 */
int channels_look(enum dataset_channels *channels, const struct dataset_options *options,
                  const struct scan *scan);

#endif
