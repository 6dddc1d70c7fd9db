/* Options of `imgtrain upscale` that others read, too. */
#ifndef IMGTRAIN_CMD_CMD_UPSCALE_H
#define IMGTRAIN_CMD_CMD_UPSCALE_H

#include "sr/upscale/upscale.h"

/* text: of --scale; NULL: not given, and *scale stays. ERR_USAGE. */
int upscale_read_scale(const char *text, double *scale);
/* text: of --alpha. ERR_USAGE. */
int upscale_read_alpha(const char *text, enum sr_alpha *alpha);

#endif
