/* imgtrain plan MODEL: what generating an image takes, in every way to place the weights. */
#ifndef IMGTRAIN_CMD_PLAN_MODEL_H
#define IMGTRAIN_CMD_PLAN_MODEL_H

#include <stdbool.h>
#include <stdint.h>

struct model_plan {
    const char *operand, *arch; /* one of them */
    const char *size, *sizes, *device, *offload, *dtype;
    int64_t steps;
    uint64_t limit;
    bool from_image; /* begun with an image */
    bool json;
};

int plan_model(const struct model_plan *plan);

#endif
