/* The leaky ReLU with a learnt slope for each channel: see struct nn_prelu in device/nn_ops.h. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "cpu/nn/nn_types.h"

enum { PRELU_STRIP = 64 }; /* channels at a time */

struct prelu_work {
    struct nn_prelu p;
    void *to;       /* y or dz */
    const void *dy; /* NULL: forward */
    float *dslopes;
    bool add;
};

/* Channels `first` .. first + count - 1 of a pixel, whose first element is `at`. */
static void prelu_strip(const struct prelu_work *w, size_t at, int first, size_t count)
{
    float z_room[PRELU_STRIP], y_room[PRELU_STRIP], dz[PRELU_STRIP];
    const float *slopes = w->p.slopes + first;
    const float *z = nn_floats(w->p.z, w->p.z_type, at, count, z_room);
    if (!w->dy) {
        float *y = nn_target(w->to, w->p.y_type, at, y_room);
        for (size_t j = 0; j < count; j++)
            y[j] = z[j] > 0 ? z[j] : slopes[j] * z[j];
        nn_rounded(w->to, w->p.y_type, at, count, y);
        return;
    }
    const float *dy = nn_floats(w->dy, w->p.y_type, at, count, y_room);
    for (size_t j = 0; j < count; j++)
        dz[j] = z[j] > 0 ? dy[j] : slopes[j] * dy[j];
    for (size_t j = 0; w->add && j < count; j++)
        dz[j] += nn_get(w->to, w->p.z_type, at + j);
    for (size_t j = 0; j < count; j++)
        nn_put(w->to, w->p.z_type, at + j, dz[j]);
}

static void prelu_pixels(void *context, int64_t begin, int64_t end)
{
    const struct prelu_work w = *(const struct prelu_work *)context;
    for (int64_t pixel = begin; pixel < end; pixel++)
        for (int first = 0; first < w.p.c; first += PRELU_STRIP) {
            int count = w.p.c - first < PRELU_STRIP ? w.p.c - first : PRELU_STRIP;
            prelu_strip(&w, (size_t)pixel * (size_t)w.p.c + (size_t)first, first, (size_t)count);
        }
}

static int prelu_over_pixels(const struct prelu_work *work)
{
    struct prelu_work own = *work;
    threads_for((int64_t)own.p.n * own.p.pixels, threads_grain(own.p.c), prelu_pixels, &own);
    return OK;
}

static int cpu_prelu_forward(struct device *device, const struct nn_prelu *p, void *y)
{
    (void)device;
    TRY(nn_check_sizes("prelu_forward", p->n, p->pixels, p->c));
    return prelu_over_pixels(&(struct prelu_work){.p = *p, .to = y});
}

static int cpu_prelu_dgrad(struct device *device, const struct nn_prelu *p, void *dz,
                           const void *dy, bool add)
{
    (void)device;
    TRY(nn_check_sizes("prelu_dgrad", p->n, p->pixels, p->c));
    return prelu_over_pixels(&(struct prelu_work){.p = *p, .to = dz, .dy = dy, .add = add});
}

enum { PRELU_SUMS = 16 }; /* channels of a sum: a line of the cache */

/* Sums of strips of channels, a picture after the other. */
static void prelu_sums(void *context, int64_t begin, int64_t end)
{
    const struct prelu_work w = *(const struct prelu_work *)context;
    for (int first = (int)begin * PRELU_SUMS; first < w.p.c && first < (int)end * PRELU_SUMS;
         first += PRELU_SUMS) {
        size_t count = (size_t)(w.p.c - first < PRELU_SUMS ? w.p.c - first : PRELU_SUMS);
        size_t at = (size_t)first;
        for (int picture = 0; picture < w.p.n; picture++) {
            float sum[PRELU_SUMS] = {0}, z_room[PRELU_SUMS], dy_room[PRELU_SUMS];
            for (int i = 0; i < w.p.pixels; i++, at += (size_t)w.p.c) {
                const float *z = nn_floats(w.p.z, w.p.z_type, at, count, z_room);
                const float *dy = nn_floats(w.dy, w.p.y_type, at, count, dy_room);
                for (size_t j = 0; j < count; j++)
                    sum[j] += z[j] > 0 ? 0 : z[j] * dy[j];
            }
            for (size_t j = 0; j < count; j++)
                w.dslopes[(size_t)first + j] += sum[j];
        }
    }
}

static int cpu_prelu_grad(struct device *device, const struct nn_prelu *p, float *dslopes,
                          const void *dy)
{
    (void)device;
    TRY(nn_check_sizes("prelu_grad", p->n, p->pixels, p->c));
    struct prelu_work work = {.p = *p, .dy = dy, .dslopes = dslopes};
    threads_for((p->c + PRELU_SUMS - 1) / PRELU_SUMS,
                threads_grain((int64_t)p->n * p->pixels * PRELU_SUMS), prelu_sums, &work);
    return OK;
}

void nn_install_prelu(struct nn_ops *ops)
{
    ops->prelu_forward = cpu_prelu_forward;
    ops->prelu_dgrad = cpu_prelu_dgrad;
    ops->prelu_grad = cpu_prelu_grad;
}
