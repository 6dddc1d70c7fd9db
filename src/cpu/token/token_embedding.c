/* Rows out of a table, and rows that are one token: see struct token_embedding and struct
 * token_pads in device/token_ops.h. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/token/token_cpu.h"
#include "cpu/token/token_element.h"

#include <string.h>

enum { EMBEDDING_STRIP = 16 }; /* columns that a thread adds to: a line of the cache */

struct embedding_work {
    const struct token_embedding *e;
    float *to; /* out or dtable */
    const float *d;
};

static void embedding_rows(void *context, int64_t begin, int64_t end)
{
    const struct embedding_work *w = context;
    size_t width = (size_t)w->e->width;
    for (int64_t row = begin; row < end; row++) {
        size_t from = (size_t)w->e->ids[row] * width;
        for (size_t j = 0; j < width; j++)
            w->to[(size_t)row * width + j] = token_element(w->e->table, w->e->table_type, from + j);
    }
}

static int reference_embedding_gather(struct device *device, const struct token_embedding *e,
                                      float *out)
{
    (void)device;
    TRY(token_check_embedding(e));
    struct embedding_work work = {.e = e, .to = out};
    threads_for(e->rows, threads_grain(e->width), embedding_rows, &work);
    return OK;
}

static void embedding_columns(void *context, int64_t begin, int64_t end)
{
    const struct embedding_work *w = context;
    size_t width = (size_t)w->e->width, first = (size_t)begin * EMBEDDING_STRIP;
    size_t last = (size_t)end * EMBEDDING_STRIP < width ? (size_t)end * EMBEDDING_STRIP : width;
    for (int row = 0; row < w->e->rows; row++) {
        float *to = w->to + (size_t)w->e->ids[row] * width;
        for (size_t j = first; j < last; j++)
            to[j] += w->d[(size_t)row * width + j];
    }
}

static int reference_embedding_grad(struct device *device, const struct token_embedding *e,
                                    float *dtable, const float *d)
{
    (void)device;
    TRY(token_check_embedding(e));
    struct embedding_work work = {.e = e, .to = dtable, .d = d};
    threads_for((e->width + EMBEDDING_STRIP - 1) / EMBEDDING_STRIP,
                threads_grain((int64_t)e->rows * EMBEDDING_STRIP), embedding_columns, &work);
    return OK;
}

/* ---- pads ---- */

struct pads_work {
    const struct token_pads *p;
    float *x; /* or dx */
    const float *token;
    float *dtoken;
};

static void pads_rows(void *context, int64_t begin, int64_t end)
{
    const struct pads_work *w = context;
    size_t width = (size_t)w->p->width;
    for (int64_t row = begin; row < end; row++)
        if (row % w->p->tokens >= w->p->lengths[row / w->p->tokens])
            memcpy(w->x + (size_t)row * width, w->token, width * sizeof(float));
}

static int reference_pads_set(struct device *device, const struct token_pads *p, float *x,
                              const float *token)
{
    (void)device;
    TRY(token_check_pads(p));
    struct pads_work work = {.p = p, .x = x, .token = token};
    threads_for((int64_t)p->samples * p->tokens, threads_grain(p->width), pads_rows, &work);
    return OK;
}

static void pads_columns(void *context, int64_t begin, int64_t end)
{
    const struct pads_work *w = context;
    for (int64_t j = begin; j < end; j++)
        for (int sample = 0; sample < w->p->samples; sample++) {
            float sum = 0;
            for (int token = w->p->lengths[sample]; token < w->p->tokens; token++) {
                size_t row = (size_t)sample * (size_t)w->p->tokens + (size_t)token;
                float *dx = &w->x[row * (size_t)w->p->width + (size_t)j];
                sum += *dx;
                *dx = 0;
            }
            w->dtoken[j] += sum;
        }
}

static int reference_pads_backward(struct device *device, const struct token_pads *p, float *dtoken,
                                   float *dx)
{
    (void)device;
    TRY(token_check_pads(p));
    struct pads_work work = {.p = p, .x = dx, .dtoken = dtoken};
    threads_for(p->width, threads_grain((int64_t)p->samples * p->tokens), pads_columns, &work);
    return OK;
}

void token_install_embedding(struct token_ops *ops)
{
    ops->embedding_gather = reference_embedding_gather;
    ops->embedding_grad = reference_embedding_grad;
    ops->pads_set = reference_pads_set;
    ops->pads_backward = reference_pads_backward;
}
