/* imgtrain eval: how alike two images are. */
#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/json.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/fallback.h"
#include "cmd/options.h"
#include "diffusion/diffusion.h"
#include "image/image.h"
#include "image/rows.h"
#include "metrics/image_metrics.h"
#include "metrics/inception.h"
#include "metrics/mask.h"
#include "registry/devices.h"
#include "registry/tasks.h"
#include "run/signals.h"
#include "splat/render.h"
#include "splat/splat.h"
#include "store/checkpoint.h"
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the images ---- */

struct operand {
    const char *path, *device;
    uint64_t memory_limit;
    bool is_model, is_folder;
    bool plain;         /* its channels are no colours with alpha, whatever their number */
    struct image whole; /* an image that is there already */
    struct sample_extent extent;
};

/* A sink that gets every row once: a further attempt at a model passes over those that are there.
 */
struct once_sink {
    const struct image_sink *to;
    bool begun;
    int rows; /* put so far */
};

static int once_begin(void *argument, const struct image *shape)
{
    struct once_sink *once = argument;
    if (once->begun) return OK;
    once->begun = true;
    return once->to->begin ? once->to->begin(once->to->argument, shape) : OK;
}

static int once_put(void *argument, struct image *rows, int y)
{
    struct once_sink *once = argument;
    int known = once->rows - y, end = y + rows->height;
    if (known >= rows->height) return OK;
    once->rows = end;
    if (known <= 0) return once->to->put(once->to->argument, rows, y);
    struct image rest = *rows;
    size_t row = (size_t)rows->width * (size_t)rows->channels * sample_bytes(rows->type);
    rest.data = (uint8_t *)rows->data + (size_t)known * row;
    rest.height -= known;
    return once->to->put(once->to->argument, &rest, y + known);
}

enum { LEAST_ROWS = 16, SAMPLES_AT_ONCE = 16 };

struct model_attempt {
    const struct splat_model *model;
    struct splat_window window;
    struct once_sink once;
};

/* Rounded as `imgtrain render` rounds it. */
static int cmd_eval_attempt_model(void *context, struct device *device, int at_once)
{
    struct model_attempt *a = context;
    const struct image_sink sink = {once_begin, once_put, &a->once};
    enum sample_type type = a->model->sample_bits == 8    ? SAMPLE_U8
                            : a->model->sample_bits == 16 ? SAMPLE_U16
                                                          : SAMPLE_F32;
    return splat_render_bands(device, a->model, &a->window, type, at_once, &sink);
}

/* At its own size. */
static int stream_model(struct operand *operand, const struct image_sink *sink)
{
    struct splat_model model;
    TRY(splat_model_open(&model, operand->path));
    operand->plain = !model.alpha;
    struct model_attempt attempt = {&model, splat_window_whole(&model), {.to = sink}};
    struct fallback fallback = {.task = &task_splat,
                                .whole = model.height,
                                .least = LEAST_ROWS,
                                .unit = "rows",
                                .attempt = cmd_eval_attempt_model,
                                .context = &attempt};
    int code = fallback_run(&fallback, operand->device, operand->memory_limit);
    splat_model_close(&model);
    return code;
}

static int stream_operand(void *argument, const struct image_sink *sink)
{
    struct operand *operand = argument;
    if (operand->whole.data) return image_stream_whole(&operand->whole, sink);
    if (operand->is_model) return stream_model(operand, sink);
    if (operand->is_folder) return image_stream_stack(operand->path, 0, sink);
    return image_stream(operand->path, 0, sink);
}

static bool is_model_file(const char *path)
{
    const char *dot = strrchr(path, '.');
    return (dot && strcasecmp(dot, ".safetensors") == 0) ||
           file_kind_of_path(path).class == FILE_MODEL;
}

static int cmd_eval_is_run_folder(const char *path, bool *is_run)
{
    char *checkpoints = path_join(path, "checkpoints");
    if (!checkpoints) return ERR_SYSTEM;
    *is_run = file_is_dir(checkpoints);
    free(checkpoints);
    return OK;
}

static int open_operand(struct operand *operand, const char *path, const char *device,
                        uint64_t memory_limit)
{
    bool is_run;
    TRY(cmd_eval_is_run_folder(path, &is_run));
    *operand = (struct operand){.path = path, .device = device, .memory_limit = memory_limit};
    operand->is_model = is_run || is_model_file(path);
    operand->is_folder = operand->plain = file_is_dir(path);
    return OK;
}

/* ---- making channels comparable ---- */

/* What is done to the rows of both images. */
struct matching {
    bool flatten[2], repeat[2]; /* alpha over black; grey as R = G = B */
};

/* With its alpha, if it has one. */
static int repeat_grey(struct image *rgb, const struct image *grey)
{
    TRY(image_create(rgb, grey->width, grey->height, grey->channels + 2, grey->type));
    size_t bytes = sample_bytes(grey->type), pixel = bytes * (size_t)grey->channels;
    size_t pixels = (size_t)grey->width * (size_t)grey->height;
    const uint8_t *from = grey->data;
    uint8_t *to = rgb->data;
    for (size_t i = 0; i < pixels; i++, from += pixel) {
        for (int c = 0; c < 2; c++, to += bytes)
            memcpy(to, from, bytes);
        memcpy(to, from, pixel);
        to += pixel;
    }
    return OK;
}

/* Alpha that only one of them has is laid over black; grey meets RGB as R = G = B. The shapes
 * become those that are compared. */
static int match_shapes(struct matching *m, struct image shape[2], const bool alpha[2],
                        char *const *names)
{
    int channels[2] = {shape[0].channels, shape[1].channels};
    bool colours = channels[0] <= 4 && channels[1] <= 4;
    if (shape[0].width != shape[1].width || shape[0].height != shape[1].height)
        return fail(ERR_DATA, "sizes differ: %s is %dx%d, %s is %dx%d", names[0], shape[0].width,
                    shape[0].height, names[1], shape[1].width, shape[1].height);
    for (int i = 0; i < 2 && colours; i++) {
        m->flatten[i] = alpha[i] && channels[1 - i] % 2 != 0;
        if (!m->flatten[i]) continue;
        shape[i].channels--;
        shape[i].type = SAMPLE_F32;
    }
    for (int i = 0; i < 2 && colours; i++)
        m->repeat[i] = shape[i].channels <= 2 && shape[1 - i].channels == shape[i].channels + 2 &&
                       (shape[i].channels == 1 || (alpha[0] && alpha[1]));
    for (int i = 0; i < 2; i++)
        if (m->repeat[i]) shape[i].channels += 2;
    if (shape[0].channels == shape[1].channels) return OK;
    return fail(ERR_DATA, "channels differ: %s has %d, %s has %d", names[0], channels[0], names[1],
                channels[1]);
}

/* *matched: the rows, or new ones in *made. */
static int match_rows(const struct matching *m, int which, const struct image *rows,
                      struct image *made, const struct image **matched)
{
    struct image flat = {0};
    *matched = rows;
    if (m->flatten[which]) {
        TRY(image_over_black(&flat, rows));
        *made = flat;
        *matched = made;
    }
    if (!m->repeat[which]) return OK;
    int code = repeat_grey(made, *matched == rows ? rows : &flat);
    image_free(&flat);
    *matched = made;
    return code;
}

/* ---- measuring ---- */

/* The range that is compared; what lies beside it is cut. */
struct sample_range {
    double low, high;
    bool given;
};

/* PSNR of the logarithms: samples of high dynamic range differ by ratios. */
struct log_sums {
    double squares, low, high;
    int64_t samples;
};

/* How papers on super-resolution measure. */
struct paper_options {
    int64_t border; /* pixels of each side that are left out */
    bool luma;      /* 8 bits; PSNR and SSIM of Y too */
};

struct measurement {
    char *const *names;
    struct operand *operands[2];
    struct sample_range range;
    struct paper_options paper;
    const char *mask_path; /* NULL: all pixels count alike */
    struct image mask;
    int width, height, row; /* of the images as they are; the next that comes */
    bool alpha[2];
    struct matching matching;
    struct image shape; /* that is compared */
    struct metric_scorer *scorer;
    struct log_sums logs;
};

/* ---- a range other than 0..1 ---- */

/* *ranged becomes the rows as shares of the range; alpha stays. */
static int range_rows(const struct sample_range *range, const struct image *rows, bool alpha,
                      struct image *ranged)
{
    TRY(image_create(ranged, rows->width, rows->height, rows->channels, SAMPLE_F32));
    size_t count = (size_t)rows->width * (size_t)rows->height * (size_t)rows->channels;
    size_t channels = (size_t)rows->channels;
    float *to = ranged->data;
    for (size_t i = 0; i < count; i++) {
        double v = (double)image_sample(rows, i);
        bool kept = alpha && i % channels == channels - 1;
        to[i] = (float)(kept ? v : (v - range->low) / (range->high - range->low));
    }
    return OK;
}

static void add_logs(struct log_sums *logs, const struct image *a, const struct image *b)
{
    const double least = 1e-4; /* a black sample has no logarithm */
    size_t count = (size_t)a->width * (size_t)a->height * (size_t)a->channels;
    for (size_t i = 0; i < count; i++) {
        double x = log2(fmax((double)image_sample(a, i), least));
        double y = log2(fmax((double)image_sample(b, i), least));
        bool first = logs->samples++ == 0;
        if (first || fmin(x, y) < logs->low) logs->low = fmin(x, y);
        if (first || fmax(x, y) > logs->high) logs->high = fmax(x, y);
        logs->squares += (x - y) * (x - y);
    }
}

/* NAN where no sample of high dynamic range was seen. */
static double log_psnr(const struct measurement *m)
{
    const struct log_sums *logs = &m->logs;
    bool wide = m->operands[0]->extent.high > 1.0f || m->operands[1]->extent.high > 1.0f;
    double range = logs->high - logs->low;
    if (!wide || logs->samples == 0 || !(range > 0.0)) return (double)NAN;
    if (!(logs->squares > 0.0)) return (double)INFINITY;
    return 10.0 * log10(range * range * (double)logs->samples / logs->squares);
}

static int eval_parse_range(const char *text, struct sample_range *range)
{
    char *end;
    *range = (struct sample_range){0.0, 1.0, text != NULL};
    if (!text) return OK;
    range->low = strtod(text, &end);
    bool sound = end != text && *end == ':';
    const char *second = sound ? end + 1 : text;
    range->high = strtod(second, &end);
    sound = sound && end != second && *end == '\0' && isfinite(range->low) &&
            isfinite(range->high) && range->low < range->high;
    return sound ? OK : fail(ERR_USAGE, "--range %s: LO:HI is wanted, as 0:100", text);
}

/* ---- as papers measure ---- */

static int cut_shapes(struct measurement *m, struct image shape[2])
{
    int64_t border = m->paper.border;
    m->width = shape[0].width;
    m->height = shape[0].height;
    for (int i = 0; i < 2; i++) {
        if (2 * border >= shape[i].width || 2 * border >= shape[i].height)
            return fail(ERR_USAGE, "--crop-border %lld leaves nothing of %s, which is %dx%d",
                        (long long)border, m->names[i], shape[i].width, shape[i].height);
        shape[i].width -= 2 * (int)border;
        shape[i].height -= 2 * (int)border;
    }
    return OK;
}

/* *cut becomes the part of `rows`, from row m->row on, that lies within the border: no data if none
 * does. */
static int cut_rows(const struct measurement *m, const struct image *rows, struct image *cut)
{
    int border = (int)m->paper.border, from = m->row, to = m->row + rows->height;
    if (from < border) from = border;
    if (to > m->height - border) to = m->height - border;
    if (from >= to) return OK;
    TRY(image_create(cut, rows->width - 2 * border, to - from, rows->channels, rows->type));
    size_t pixel = sample_bytes(rows->type) * (size_t)rows->channels;
    size_t row = (size_t)rows->width * pixel, bytes = (size_t)cut->width * pixel;
    for (int y = from; y < to; y++)
        memcpy((uint8_t *)cut->data + (size_t)(y - from) * bytes,
               (const uint8_t *)rows->data + (size_t)(y - m->row) * row + (size_t)border * pixel,
               bytes);
    return OK;
}

/* *made becomes the same as RGB bytes; *rows as well. */
static int paper_rows(const struct image **rows, struct image *made)
{
    struct image bytes;
    TRY(image_convert(&bytes, *rows, SAMPLE_U8));
    image_free(made);
    *made = bytes;
    *rows = made;
    if (bytes.channels == 3) return OK;
    int code = repeat_grey(made, &bytes);
    image_free(&bytes);
    return code;
}

static int paper_shapes(const struct measurement *m, struct image shape[2])
{
    if (shape[0].channels != 1 && shape[0].channels != 3)
        return fail(ERR_USAGE, "--y is of grey and RGB; %s and %s have %d channels", m->names[0],
                    m->names[1], shape[0].channels);
    for (int i = 0; i < 2; i++) {
        shape[i].channels = 3;
        shape[i].type = SAMPLE_U8;
    }
    return OK;
}

static int cmd_eval_begin(void *argument, const struct image *a, const struct image *b)
{
    struct measurement *m = argument;
    struct image shape[2] = {*a, *b};
    const bool alpha[2] = {image_has_alpha(a) && !m->operands[0]->plain,
                           image_has_alpha(b) && !m->operands[1]->plain};
    m->alpha[0] = alpha[0];
    m->alpha[1] = alpha[1];
    if (m->range.given) shape[0].type = shape[1].type = SAMPLE_F32;
    TRY(match_shapes(&m->matching, shape, alpha, m->names));
    TRY(cut_shapes(m, shape));
    if (m->paper.luma) TRY(paper_shapes(m, shape));
    m->shape = shape[0];
    TRY(metric_scorer_open(&m->scorer, &shape[0], &shape[1],
                           alpha[0] && alpha[1] && image_has_alpha(&shape[0])));
    if (m->mask_path) {
        TRY(mask_load(&m->mask, m->mask_path, m->shape.width, m->shape.height));
        metric_scorer_weigh(m->scorer, m->mask.data);
    }
    return m->paper.luma ? metric_scorer_add_luma(m->scorer) : OK;
}

static int cmd_eval_put(void *argument, const struct image *a, const struct image *b)
{
    struct measurement *m = argument;
    struct image made[2] = {{0}, {0}}, ranged[2] = {{0}, {0}}, cut[2] = {{0}, {0}};
    const struct image *rows[2] = {a, b}, *matched[2];
    int code = OK;
    for (int i = 0; i < 2 && m->paper.border; i++) {
        TRY_CLEANUP(cut_rows(m, rows[i], &cut[i]));
        rows[i] = &cut[i];
    }
    m->row += a->height;
    if (!rows[0]->data) goto cleanup;
    a = rows[0];
    b = rows[1];
    for (int i = 0; i < 2; i++)
        sample_extent_add(&m->operands[i]->extent, rows[i], (float)m->range.low,
                          (float)m->range.high);
    if ((a->type == SAMPLE_F32 || b->type == SAMPLE_F32) && a->channels == b->channels &&
        !m->alpha[0] && !m->alpha[1] && !m->mask_path)
        add_logs(&m->logs, a, b);
    for (int i = 0; i < 2; i++) {
        if (m->range.given) {
            TRY_CLEANUP(range_rows(&m->range, rows[i], m->alpha[i], &ranged[i]));
            rows[i] = &ranged[i];
        }
        TRY_CLEANUP(match_rows(&m->matching, i, rows[i], &made[i], &matched[i]));
        if (m->paper.luma) TRY_CLEANUP(paper_rows(&matched[i], &made[i]));
    }
    code = metric_scorer_put(m->scorer, matched[0], matched[1]);
cleanup:
    for (int i = 0; i < 2; i++) {
        image_free(&made[i]);
        image_free(&ranged[i]);
        image_free(&cut[i]);
    }
    return code;
}

/* Both images pass by in bands. Of two models the second is rendered first, as a whole: one
 * device is open at a time. */
static int cmd_eval_measure(struct measurement *m, struct operand *a, struct operand *b)
{
    if (a->is_model && b->is_model) {
        struct image whole;
        const struct image_sink collector = image_collector(&whole);
        int code = stream_model(b, &collector);
        b->whole = whole;
        TRY(code);
    }
    const struct image_source sources[2] = {{stream_operand, a}, {stream_operand, b}};
    const struct image_pair_sink to = {cmd_eval_begin, cmd_eval_put, m};
    return image_stream_pair(&sources[0], &sources[1], &to);
}

/* ---- printing ---- */

static void say_cut(const struct measurement *m)
{
    for (int i = 0; i < 2; i++) {
        const struct sample_extent *extent = &m->operands[i]->extent;
        if (extent->outside > 0)
            log_warning("%s: %lld of %lld samples lie outside %g..%g (%g to %g) and are cut%s",
                        m->names[i], (long long)extent->outside, (long long)extent->samples,
                        m->range.low, m->range.high, (double)extent->low, (double)extent->high,
                        m->range.given ? "" : "; --range LO:HI measures another range");
    }
}

static void cmd_eval_print_text(const struct measurement *m, const struct metric_scores *scores)
{
    const struct image *a = &m->shape;
    double logs = log_psnr(m);
    printf("size     %dx%d, %d channel%s\n", a->width, a->height, a->channels,
           a->channels == 1 ? "" : "s");
    if (isinf(scores->psnr))
        printf("psnr     inf: no difference\n");
    else
        printf("psnr     %.4f dB\n", scores->psnr);
    if (isinf(logs))
        printf("log-psnr inf: no difference\n");
    else if (!isnan(logs))
        printf("log-psnr %.4f dB, of the samples' logarithms (0.0001 at least)\n", logs);
    if (isnan(scores->ssim))
        printf("ssim     -: no window has its middle where the mask counts\n");
    else
        printf("ssim     %.6f\n", scores->ssim);
    if (isinf(scores->psnr_y))
        printf("psnr-y   inf: no difference\n");
    else if (!isnan(scores->psnr_y))
        printf("psnr-y   %.4f dB\n", scores->psnr_y);
    if (!isnan(scores->ssim_y)) printf("ssim-y   %.6f\n", scores->ssim_y);
    if (m->mask_path)
        printf("ms-ssim  -: not with a mask\n");
    else if (isnan(scores->ms_ssim))
        printf("ms-ssim  -: a side is below %d pixels\n", METRIC_MS_SSIM_SIDE);
    else
        printf("ms-ssim  %.6f\n", scores->ms_ssim);
    if (isnan(scores->flip))
        printf("flip     -: not grey or RGB\n");
    else
        printf("flip     %.6f\n", scores->flip);
}

static void cmd_eval_print_json(const struct measurement *m, const struct metric_scores *scores)
{
    const struct image *a = &m->shape;
    char *const *names = m->names;
    const struct {
        const char *key;
        double value;
    } rows[] = {{"psnr", scores->psnr},   {"ssim", scores->ssim},     {"ms_ssim", scores->ms_ssim},
                {"flip", scores->flip},   {"psnr_y", scores->psnr_y}, {"ssim_y", scores->ssim_y},
                {"log_psnr", log_psnr(m)}};
    printf("{\"a\": ");
    json_write_string(stdout, names[0]);
    printf(", \"b\": ");
    json_write_string(stdout, names[1]);
    printf(", \"width\": %d, \"height\": %d, \"channels\": %d, \"identical\": %s", a->width,
           a->height, a->channels, isinf(scores->psnr) ? "true" : "false");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        printf(", \"%s\": ", rows[i].key);
        json_write_number(stdout, rows[i].value);
    }
    printf(", \"range\": [%.9g, %.9g], \"outside\": [%lld, %lld]}\n", m->range.low, m->range.high,
           (long long)m->operands[0]->extent.outside, (long long)m->operands[1]->extent.outside);
}

/* how: its names, range, paper and mask. */
static int cmd_eval_evaluate(const struct measurement *how, const char *device,
                             uint64_t memory_limit, bool json)
{
    struct operand a, b = {0};
    struct measurement m = *how;
    char *const *names = m.names;
    struct metric_scores scores;
    int code;
    m.operands[0] = &a;
    m.operands[1] = &b;
    if (m.mask_path && m.paper.border > 0)
        return fail(ERR_USAGE, "--mask and --crop-border: blacken the border in the mask instead");
    TRY(open_operand(&a, names[0], device, memory_limit));
    TRY(open_operand(&b, names[1], device, memory_limit));
    TRY_CLEANUP(cmd_eval_measure(&m, &a, &b));
    metric_scorer_end(m.scorer, &scores);
    say_cut(&m);
    if (json)
        cmd_eval_print_json(&m, &scores);
    else
        cmd_eval_print_text(&m, &scores);
cleanup:
    image_free(&m.mask);
    metric_scorer_close(m.scorer);
    image_free(&b.whole);
    return code;
}

/* ---- a model of a task that measures its own ---- */

/* The model, checkpoint or run at `path`, where its task measures it in its own way: else *task is
 * NULL, as for an image, a folder of them, or nothing, which others say. */
static int cmd_eval_open_model(const char *path, struct store_file **file, const struct task **task)
{
    *file = NULL;
    *task = NULL;
    if (file_is_dir(path) && file_exists_in(path, "model_index.json")) {
        *task = &task_diffusion;
        return OK;
    }
    int code = file_exists(path) ? checkpoint_open(path, file) : ERR_INPUT;
    const char *name = code == OK ? store_get(*file, "task") : NULL;
    for (int i = 0; name && task_at(i); i++)
        if (task_at(i)->evaluate && strcmp(task_at(i)->name, name) == 0) *task = task_at(i);
    if (!*task) {
        store_close(*file);
        *file = NULL;
    }
    bool passing = code == ERR_SYSTEM || code == ERR_IO || code == ERR_ACCESS;
    return passing ? code : OK;
}

struct task_attempt {
    const struct task *task;
    struct task_evaluation *wanted;
};

static int cmd_eval_attempt_task(void *context, struct device *device, int at_once)
{
    struct task_attempt *a = context;
    a->wanted->device = device;
    a->wanted->at_once = at_once;
    return a->task->evaluate(a->wanted);
}

static int cmd_eval_by_task(const struct task *task, struct task_evaluation *wanted,
                            const char *device, uint64_t memory_limit)
{
    struct task_attempt attempt = {task, wanted};
    struct fallback fallback = {.task = task,
                                .whole = SAMPLES_AT_ONCE,
                                .least = 1,
                                .unit = "samples",
                                .attempt = cmd_eval_attempt_task,
                                .context = &attempt};
    signals_install();
    /* what is wrong with it shows before samples are made */
    if (wanted->features && task->evaluate_makes_samples) TRY(inception_check(wanted->features));
    return fallback_run(&fallback, device, memory_limit);
}

int cmd_eval(int argc, char **argv)
{
    bool json = false;
    int64_t samples = 2000;
    uint64_t memory_limit = 0;
    const char *device_name = "auto", *range_text = NULL, *mask = NULL, *features = NULL;
    struct sample_range range;
    struct paper_options paper = {.border = -1};
    const struct option_row rows[] = {
        {.name = "json",
         .flag = &json,
         .help = "print a JSON object; null: infinite (then \"identical\") or not applicable"},
        {.name = "range",
         .argument = "LO:HI",
         .text = &range_text,
         .help = "of float images: the samples that are black and white (0:1)"},
        {.name = "y",
         .flag = &paper.luma,
         .help = "of 8 bits, with PSNR and SSIM of luma (16 + 65.481 R + 128.553 G + 24.966 B)"},
        {.name = "crop-border",
         .argument = "N",
         .integer = &paper.border,
         .low = 0,
         .high = IMAGE_MAX_SIDE,
         .help = "leave out N pixels of each side (0; of a network of task sr its scale)"},
        {.name = "mask",
         .argument = "FILE",
         .text = &mask,
         .help = "an image of the same size: how much each pixel counts, white to black"},
        {.name = "samples",
         .argument = "N",
         .integer = &samples,
         .low = 1,
         .high = 100000,
         .help = "of a generator: at most so many samples and images (2000)"},
        {.name = "features",
         .argument = "FILE",
         .text = &features,
         .help = "of a generator: FID and KID, too, by these weights of Inception v3: safetensors "
                 "with\ntorchvision's names (imgtrain convert makes it of a .pth)"},
        OPTION_DEVICE(&device_name),
        OPTION_MEMORY_LIMIT(&memory_limit,
                            "most device memory to use: 512MB, 2GB; below it less at a time"),
        {0},
    };
    const struct option_usage usage = {
        .usage =
            "imgtrain eval A B [--range LO:HI] [--y] [--crop-border N] [--mask FILE] [--json]\n"
            "       imgtrain eval GENERATOR FOLDER [--samples N] [--features FILE] [--json]",
        .about =
            "Compares two images of equal size: PSNR (over all samples, 16 bits as 16), "
            "SSIM, MS-SSIM\nand mean LDR-FLIP (67 pixels per degree). Each is an image, a "
            "folder of images (a texture\nstack), or a splat model, checkpoint or run, "
            "which is rendered at its own size.\n"
            "Where both have alpha it counts as a channel, and colours count multiplied by it, as\n"
            "they are fitted (for FLIP over black); alpha that only one has is laid over black.\n"
            "Grey meets RGB as R = G = B. Samples outside 0..1 (PFM, float TIFF) are cut and "
            "counted, unless\n--range says what is black and white; log-psnr has them all.\n"
            "--y and --crop-border measure as papers on super-resolution and BasicSR do.\n\n"
            "A generator (a model, checkpoint or run of task gan or diffusion, or a model folder) "
            "is measured against a folder "
            "of images:\nrKID, sliced Wasserstein distance, precision, recall, density, "
            "coverage, MS-SSIM of pairs,\nnearest-neighbour ratio. These compare models of "
            "one data set and size, nothing else.",
        .options = rows,
        .min_operands = 2,
        .max_operands = 2,
        .examples = "imgtrain eval render.png photo.png\n"
                    "imgtrain eval runs/photo-001 photo.png --json\n"
                    "imgtrain eval enlarged.png original.png --y --crop-border 4\n"
                    "imgtrain eval runs/photos-001 photos/\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    TRY(eval_parse_range(range_text, &range));
    const struct task *task;
    struct store_file *model;
    TRY(cmd_eval_open_model(argv[1], &model, &task));
    if (!task) {
        options_without_effect("samples features", "on images: for a generator and a folder");
        if (paper.border < 0) paper.border = 0;
        const struct measurement how = {
            .names = argv + 1, .range = range, .paper = paper, .mask_path = mask};
        return cmd_eval_evaluate(&how, device_name, memory_limit, json);
    }
    struct task_evaluation wanted = {.model = model,
                                     .path = argv[1],
                                     .input = argv[2],
                                     .samples = (int)samples,
                                     .features = features,
                                     .crop_border = (int)paper.border,
                                     .json = json,
                                     .stop_requested = signals_stop_requested};
    if (!task->evaluate_crops)
        options_without_effect("y crop-border", "on a model that its task measures");
    if (!task->evaluate_makes_samples)
        options_without_effect("features", "on a model that makes no samples");
    int code = range.given || mask
                   ? fail(ERR_USAGE, "--%s is for two images", range.given ? "range" : "mask")
                   : cmd_eval_by_task(task, &wanted, device_name, memory_limit);
    store_close(model);
    return code;
}
