/* Classes with weights, as users list them. */
#ifndef IMGTRAIN_CMD_CLASS_MIX_H
#define IMGTRAIN_CMD_CLASS_MIX_H

#include <stdint.h>

struct sampler;

enum { CLASS_MIX_MOST = 64 };

/* count 0: none is asked for. */
struct class_mix {
    int count;
    int64_t class[CLASS_MIX_MOST];
    double weight[CLASS_MIX_MOST];
};

/* "3", or "0:0.7,3:0.3". ERR_USAGE. */
int class_mix_parse(struct class_mix *mix, const char *option, const char *text);
/* ERR_USAGE where a model of so many classes has no class `label`; below 0: none is asked for. */
int class_mix_check(int classes, int64_t label);
/* Has a generator make images of several classes. ERR_USAGE for one that it does not have. */
int class_mix_apply(const struct class_mix *mix, struct sampler *sampler);

#endif
