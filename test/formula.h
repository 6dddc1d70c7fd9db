/* Weights and inputs by the formula of scripts/reference/s3dit_goldens.py, so that no file holds
 * them: number `index` of what is called `name`. */
#ifndef IMGTRAIN_TEST_FORMULA_H
#define IMGTRAIN_TEST_FORMULA_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t formula_hash(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

static inline uint64_t formula_word_of(uint64_t hash, uint64_t index)
{
    uint64_t z = hash + index + 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline uint64_t formula_word(const char *name, uint64_t index)
{
    return formula_word_of(formula_hash(name), index);
}

static inline double formula_uniform_of(uint64_t hash, uint64_t index)
{
    return (double)(formula_word_of(hash, index) >> 40) / 0x1p23 - 1;
}

static inline double formula_uniform(const char *name, uint64_t index)
{
    return formula_uniform_of(formula_hash(name), index);
}

static inline void formula_fill(float *to, size_t count, const char *name, double scale,
                                double offset)
{
    uint64_t hash = formula_hash(name);
    for (size_t i = 0; i < count; i++)
        to[i] = (float)(offset + scale * formula_uniform_of(hash, i));
}

#endif
