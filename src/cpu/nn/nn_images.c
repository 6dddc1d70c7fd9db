/* Operations on batches of images. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"

/* n images of h x w x c; `count` values of each. */
struct image_work {
    float *out;
    const float *in;
    const uint8_t *images, *flip;
    const float *factor;
    int h, w, c;
    size_t count;
};

static void u8_range(void *context, int64_t begin, int64_t end)
{
    const struct image_work *p = context;
    int h = p->h, w = p->w, c = p->c;
    for (int i = (int)begin; i < (int)end; i++) {
        size_t one = (size_t)(h * w * c);
        float *to = p->out + (size_t)i * one;
        const uint8_t *image = p->images + (size_t)i * one;
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                int from = p->flip && p->flip[i] ? w - 1 - x : x;
                for (int j = 0; j < c; j++)
                    *to++ = (float)(image[(y * w + from) * c + j] - 128) * (1.0f / 128);
            }
    }
}

static int cpu_from_u8(struct device *device, float *out, const uint8_t *images,
                       const uint8_t *flip, int n, int h, int w, int c)
{
    (void)device;
    TRY(nn_check_sizes("from_u8", n, h > 0 && w > 0, c));
    struct image_work work = {.out = out, .images = images, .flip = flip, .h = h, .w = w, .c = c};
    threads_for(n, threads_grain(2 * (int64_t)h * w * c), u8_range, &work);
    return OK;
}

static void scale_add_range(void *context, int64_t begin, int64_t end)
{
    const struct image_work *p = context;
    for (int64_t i = begin; i < end; i++) {
        float f = p->factor[i], *to = p->out + (size_t)i * p->count;
        const float *from = p->in + (size_t)i * p->count;
        for (size_t j = 0; j < p->count; j++)
            to[j] += f * from[j];
    }
}

static int cpu_scale_add(struct device *device, float *x, const float *y, const float *factor,
                         int n, size_t count)
{
    (void)device;
    TRY(nn_check_sizes("scale_add", n, 1, 1));
    struct image_work work = {.out = x, .in = y, .factor = factor, .count = count};
    threads_for(n, threads_grain((int64_t)count), scale_add_range, &work);
    return OK;
}

void nn_install_images(struct nn_ops *ops)
{
    ops->from_u8 = cpu_from_u8;
    ops->scale_add = cpu_scale_add;
}
