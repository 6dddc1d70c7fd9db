/* The leaky ReLU with a learnt slope for each channel: see struct nn_prelu in device/nn_ops.h. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/conv_kernels.h"
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

static int reference_prelu_forward(struct device *device, const struct nn_prelu *p, void *y)
{
    (void)device;
    TRY(nn_check_sizes("prelu_forward", p->n, p->pixels, p->c));
    return prelu_over_pixels(&(struct prelu_work){.p = *p, .to = y});
}

static int reference_prelu_dgrad(struct device *device, const struct nn_prelu *p, void *dz,
                                 const void *dy, bool add)
{
    (void)device;
    TRY(nn_check_sizes("prelu_dgrad", p->n, p->pixels, p->c));
    return prelu_over_pixels(&(struct prelu_work){.p = *p, .to = dz, .dy = dy, .add = add});
}

enum { PRELU_SUMS = 16 }; /* channels of a sum: a line of the cache */

/* Sums of strips of channels, an image after the other. */
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

static int reference_prelu_grad(struct device *device, const struct nn_prelu *p, float *dslopes,
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
    ops->prelu_forward = reference_prelu_forward;
    ops->prelu_dgrad = reference_prelu_dgrad;
    ops->prelu_grad = reference_prelu_grad;
}

/* ---- by kernels, where both tensors are of one type ---- */

static const struct conv_kernels *prelu_f32, *prelu_bf16;

static const struct conv_kernels *prelu_kernels(const struct nn_prelu *p)
{
    if (p->z_type != p->y_type) return NULL;
    return p->z_type == NN_BF16 ? prelu_bf16 : prelu_f32;
}

/* Pixels begin .. end - 1. */
static void prelu_rows(void *context, int64_t begin, int64_t end)
{
    const struct prelu_work *w = context;
    const struct conv_kernels *k = prelu_kernels(&w->p);
    size_t at = (size_t)begin * (size_t)w->p.c, rows = (size_t)(end - begin);
    const void *z = nn_from(w->p.z, w->p.z_type, at);
    void *to = nn_to(w->to, w->p.z_type, at);
    if (!w->dy)
        k->prelu_forward(to, z, w->p.slopes, rows, w->p.c);
    else
        k->prelu_dgrad(to, nn_from(w->dy, w->p.y_type, at), z, w->p.slopes, rows, w->p.c, w->add);
}

static int cpu_prelu_forward(struct device *device, const struct nn_prelu *p, void *y)
{
    if (!prelu_kernels(p)) return reference_prelu_forward(device, p, y);
    TRY(nn_check_sizes("prelu_forward", p->n, p->pixels, p->c));
    struct prelu_work work = {.p = *p, .to = y};
    threads_for((int64_t)p->n * p->pixels, threads_grain(p->c / 4 + 1), prelu_rows, &work);
    return OK;
}

static int cpu_prelu_dgrad(struct device *device, const struct nn_prelu *p, void *dz,
                           const void *dy, bool add)
{
    if (!prelu_kernels(p)) return reference_prelu_dgrad(device, p, dz, dy, add);
    TRY(nn_check_sizes("prelu_dgrad", p->n, p->pixels, p->c));
    struct prelu_work work = {.p = *p, .to = dz, .dy = dy, .add = add};
    threads_for((int64_t)p->n * p->pixels, threads_grain(p->c / 4 + 1), prelu_rows, &work);
    return OK;
}

/* Images whose sums are made at once, each by one thread. */
enum { PRELU_IMAGES = 32 };

struct prelu_images {
    struct prelu_work work;
    int first_image, first, count; /* channels */
    float sums[PRELU_IMAGES][CONV_PRELU_SUMS];
};

static void prelu_image_sums(void *context, int64_t begin, int64_t end)
{
    struct prelu_images *i = context;
    const struct nn_prelu *p = &i->work.p;
    for (int64_t image = begin; image < end; image++) {
        size_t at =
            (size_t)(i->first_image + image) * (size_t)p->pixels * (size_t)p->c + (size_t)i->first;
        if (i->work.to) {
            void *to = nn_to(i->work.to, p->z_type, at);
            prelu_kernels(p)->prelu_both(to, i->sums[image], to, nn_from(p->z, p->z_type, at),
                                         p->slopes + i->first, (size_t)p->pixels, p->c, i->count);
            continue;
        }
        prelu_kernels(p)->prelu_sums(i->sums[image], nn_from(i->work.dy, p->y_type, at),
                                     nn_from(p->z, p->z_type, at), (size_t)p->pixels, p->c,
                                     i->count);
    }
}

/* to: dz in the place of dy, or NULL. */
static void prelu_over_images(const struct nn_prelu *p, float *dslopes, const void *dy, void *to)
{
    struct prelu_images i = {.work = {.p = *p, .dy = dy, .to = to}};
    for (i.first = 0; i.first < p->c; i.first += CONV_PRELU_SUMS) {
        i.count = p->c - i.first < CONV_PRELU_SUMS ? p->c - i.first : CONV_PRELU_SUMS;
        for (i.first_image = 0; i.first_image < p->n; i.first_image += PRELU_IMAGES) {
            int images = p->n - i.first_image < PRELU_IMAGES ? p->n - i.first_image : PRELU_IMAGES;
            threads_for(images, threads_grain((int64_t)p->pixels * i.count / 4), prelu_image_sums,
                        &i);
            for (int image = 0; image < images; image++)
                for (int j = 0; j < i.count; j++)
                    dslopes[i.first + j] += i.sums[image][j];
        }
    }
}

static int cpu_prelu_grad(struct device *device, const struct nn_prelu *p, float *dslopes,
                          const void *dy)
{
    if (!prelu_kernels(p)) return reference_prelu_grad(device, p, dslopes, dy);
    TRY(nn_check_sizes("prelu_grad", p->n, p->pixels, p->c));
    prelu_over_images(p, dslopes, dy, NULL);
    return OK;
}

/* In one pass where all threads have an image of their own. */
int nn_prelu_both(const struct nn_ops *ops, const struct nn_prelu *p, void *dz, float *dslopes)
{
    if (prelu_kernels(p) && p->n >= threads_count()) {
        TRY(nn_check_sizes("prelu_grad", p->n, p->pixels, p->c));
        prelu_over_images(p, dslopes, dz, dz);
        return OK;
    }
    TRY(ops->prelu_grad(NULL, p, dslopes, dz));
    return ops->prelu_dgrad(NULL, p, dz, dz, false);
}

void nn_install_prelu_kernels(struct nn_ops *ops, const struct conv_kernels *f32,
                              const struct conv_kernels *bf16)
{
    prelu_f32 = f32;
    prelu_bf16 = bf16;
    ops->prelu_forward = cpu_prelu_forward;
    ops->prelu_dgrad = cpu_prelu_dgrad;
    ops->prelu_grad = cpu_prelu_grad;
}
