/* imgtrain bench MODEL: the ladder, measured (imgtrain plan --sizes: foreseen): the same image in
 * every way to place the weights. */
#ifndef IMGTRAIN_CMD_BENCH_MODEL_H
#define IMGTRAIN_CMD_BENCH_MODEL_H

#include <stdbool.h>
#include <stdint.h>

struct model_bench {
    const char *operand, *arch; /* one of them */
    const char *sizes;          /* "512,768": NULL: the model's own, three quarters, half */
    const char *device, *dtype; /* dtype NULL: auto */
    int64_t steps, threads;
    uint64_t limit;
    bool from_image; /* begun with an image */
    bool json;
    bool forecast_only; /* what each row would take; no weights are needed, nothing is made */
};

int bench_model(const struct model_bench *bench);

#endif
