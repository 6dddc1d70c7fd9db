/* Every metric of two images whose rows come band by band. */
#include "base/error.h"
#include "metrics/compare.h"
#include "metrics/image_metrics.h"

#include <math.h>
#include <stdlib.h>

struct metric_scorer {
    struct image shape;
    struct compare_window window; /* the images */
    struct compare_window flat;   /* their colours, for FLIP, when they have alpha */
    bool alpha;
    struct ssim_pyramid *pyramid;
    bool all_scales;
    struct flip *flip; /* NULL: it does not apply */
    double squares, errors;
    struct ssim_pyramid *luma_pyramid; /* NULL: not wanted */
    double luma_squares;
    double weight; /* mean of the pixels' weights; 1 without */
};

/* Y of the same rows. */
static int score_add_luma(struct metric_scorer *s, const struct compare_rows *rows, int from,
                          int to)
{
    struct compare_rows luma = *rows;
    luma.luma = true;
    TRY(psnr_add(&s->luma_squares, &luma, from, to));
    return ssim_pyramid_add(s->luma_pyramid, &luma, from, to);
}

static int add_flip(void *argument, const struct compare_rows *rows, int from, int to)
{
    struct metric_scorer *s = argument;
    return flip_add(s->flip, &s->errors, rows, from, to, NULL);
}

static int score_add(void *argument, const struct compare_rows *rows, int from, int to)
{
    struct metric_scorer *s = argument;
    TRY(psnr_add(&s->squares, rows, from, to));
    TRY(ssim_pyramid_add(s->pyramid, rows, from, to));
    if (s->luma_pyramid) TRY(score_add_luma(s, rows, from, to));
    return s->flip && !s->alpha ? add_flip(s, rows, from, to) : OK;
}

static int open_parts(struct metric_scorer *s, const struct image *a, const struct image *b)
{
    struct image wide_a = *a, wide_b = *b;
    if (s->alpha) wide_a.type = wide_b.type = SAMPLE_F32; /* multiplied by alpha */
    TRY(compare_window_open(&s->window, &wide_a, &wide_b, score_add, s));
    TRY(ssim_pyramid_open(&s->pyramid, &wide_a, &wide_b,
                          s->all_scales ? METRIC_MS_SSIM_SCALES : 1));
    int colours = a->channels - s->alpha;
    if (colours != 1 && colours != 3) return OK;
    TRY(flip_open(&s->flip));
    if (!s->alpha) return OK;
    struct image flat = {a->width, a->height, a->channels - 1, SAMPLE_F32, NULL};
    return compare_window_open(&s->flat, &flat, &flat, add_flip, s);
}

int metric_scorer_open(struct metric_scorer **out, const struct image *a, const struct image *b,
                       bool alpha)
{
    *out = NULL;
    TRY(compare_check(a, b));
    struct metric_scorer *s = calloc(1, sizeof *s);
    if (!s) return fail(ERR_SYSTEM, "out of memory");
    s->shape = *a;
    s->alpha = alpha;
    s->weight = 1.0;
    s->all_scales = a->width >= METRIC_MS_SSIM_SIDE && a->height >= METRIC_MS_SSIM_SIDE;
    int code = open_parts(s, a, b);
    if (code < 0)
        metric_scorer_close(s);
    else
        *out = s;
    return code;
}

int metric_scorer_add_luma(struct metric_scorer *s)
{
    const struct image *a = &s->window.rows.a, *b = &s->window.rows.b;
    if (a->channels != 3 || a->type != SAMPLE_U8 || b->type != SAMPLE_U8)
        return fail(ERR_USAGE, "luma is of RGB bytes");
    struct image luma = s->shape;
    luma.channels = 1;
    return ssim_pyramid_open(&s->luma_pyramid, &luma, &luma, 1);
}

void metric_scorer_weigh(struct metric_scorer *s, const uint8_t *weights)
{
    size_t pixels = (size_t)s->shape.width * (size_t)s->shape.height;
    double sum = 0.0;
    for (size_t i = 0; i < pixels; i++)
        sum += weights[i];
    s->weight = sum / (double)pixels;
    s->window.rows.weights = s->flat.rows.weights = weights;
    s->all_scales = false;
}

/* The same image without its last channel, in its own place. */
static void drop_alpha(struct image *image)
{
    float *to = image->data;
    const float *from = image->data;
    size_t pixels = (size_t)image->width * (size_t)image->height,
           channels = (size_t)image->channels;
    for (size_t i = 0; i < pixels; i++, from++)
        for (size_t c = 0; c + 1 < channels; c++)
            *to++ = *from++;
    image->channels--;
}

static int put_with_alpha(struct metric_scorer *s, const struct image *a, const struct image *b)
{
    struct image wide_a = {0}, wide_b = {0};
    int code;
    TRY_CLEANUP(image_premultiply(&wide_a, a));
    TRY_CLEANUP(image_premultiply(&wide_b, b));
    TRY_CLEANUP(compare_window_put(&s->window, &wide_a, &wide_b));
    drop_alpha(&wide_a);
    drop_alpha(&wide_b);
    TRY_CLEANUP(compare_window_put(&s->flat, &wide_a, &wide_b));
cleanup:
    image_free(&wide_a);
    image_free(&wide_b);
    return code;
}

int metric_scorer_put(struct metric_scorer *s, const struct image *a, const struct image *b)
{
    return s->alpha ? put_with_alpha(s, a, b) : compare_window_put(&s->window, a, b);
}

void metric_scorer_end(struct metric_scorer *s, struct metric_scores *scores)
{
    double unknown = (double)NAN;
    *scores = (struct metric_scores){
        .ms_ssim = unknown, .flip = unknown, .psnr_y = unknown, .ssim_y = unknown};
    scores->psnr = psnr_of(s->squares / s->weight, &s->shape);
    ssim_pyramid_end(s->pyramid, &scores->ssim, s->all_scales ? &scores->ms_ssim : NULL);
    if (s->flip) scores->flip = s->errors / s->weight / ((double)s->shape.width * s->shape.height);
    if (!s->luma_pyramid) return;
    struct image luma = s->shape;
    luma.channels = 1;
    scores->psnr_y = psnr_of(s->luma_squares / s->weight, &luma);
    ssim_pyramid_end(s->luma_pyramid, &scores->ssim_y, NULL);
}

void metric_scorer_close(struct metric_scorer *s)
{
    if (!s) return;
    compare_window_close(&s->window);
    compare_window_close(&s->flat);
    ssim_pyramid_close(s->pyramid);
    ssim_pyramid_close(s->luma_pyramid);
    flip_close(s->flip);
    free(s);
}
