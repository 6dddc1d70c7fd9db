#include "cmd/sample/class_mix.h"

#include "base/error.h"
#include "base/parse_number.h"
#include "gan/sampler.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { CLASS_HIGHEST = 1 << 20 };

/* "K" or "K:WEIGHT", of `length` bytes. */
static bool class_mix_add(struct class_mix *mix, const char *text, size_t length)
{
    char part[64];
    int64_t class;
    double weight = 1;
    if (mix->count == CLASS_MIX_MOST || length >= sizeof part) return false;
    memcpy(part, text, length);
    part[length] = '\0';
    char *colon = strchr(part, ':');
    if (colon) *colon = '\0';
    if (!number_parse_int(part, &class) || class < 0 || class > CLASS_HIGHEST) return false;
    if (colon && (!number_parse_double(colon + 1, &weight) || !(weight >= 0) || weight > 1e6))
        return false;
    mix->class[mix->count] = class;
    mix->weight[mix->count++] = weight;
    return true;
}

int class_mix_parse(struct class_mix *mix, const char *option, const char *text)
{
    double sum = 0;
    *mix = (struct class_mix){0};
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        if (!class_mix_add(mix, at, length))
            return fail(ERR_USAGE,
                        "%s %s: a class from 0, or up to %d of them with weights like 0:0.7,3:0.3",
                        option, text, CLASS_MIX_MOST);
        sum += mix->weight[mix->count - 1];
        at += length;
        if (!*at) break;
    }
    return sum > 0 ? OK : fail(ERR_USAGE, "%s %s: all weights are 0", option, text);
}

int class_mix_check(int classes, int64_t label)
{
    if (label >= 0 && classes == 0)
        return fail(ERR_USAGE, "--class %" PRId64 ": this model has no classes", label);
    if (label >= classes && classes > 0)
        return fail(ERR_USAGE, "--class %" PRId64 ": this model has %d classes, 0 to %d", label,
                    classes, classes - 1);
    return OK;
}

int class_mix_apply(const struct class_mix *mix, struct sampler *sampler)
{
    for (int i = 0; i < mix->count; i++)
        TRY(class_mix_check(sampler_classes(sampler), mix->class[i]));
    if (mix->count < 2) return OK;
    double *weights = calloc((size_t)sampler_classes(sampler), sizeof *weights);
    if (!weights) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < mix->count; i++)
        weights[mix->class[i]] += mix->weight[i];
    int code = sampler_mix(sampler, weights);
    free(weights);
    return code;
}
