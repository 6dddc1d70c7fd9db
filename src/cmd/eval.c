/* imgtrain eval: how alike two pictures are. */
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "cmd/cmd.h"
#include "cmd/eval_gan.h"
#include "cmd/options.h"
#include "device/device.h"
#include "image/image.h"
#include "image/metrics.h"
#include "splat/picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What was measured; NAN where a measure does not apply. */
struct scores {
    double psnr, ssim, ms_ssim, flip;
};

/* ---- the pictures ---- */

/* At its own size, rounded as `imgtrain render` rounds it. */
static int render_model(struct image *picture, const char *path, const char *device_name)
{
    struct splat_model model;
    struct device *device = NULL;
    TRY(splat_model_open(&model, path));
    int code;
    TRY_CLEANUP(device_open(&device, device_name, 0));
    struct splat_window window = splat_window_whole(&model);
    enum sample_type type = model.sample_bits == 8    ? SAMPLE_U8
                            : model.sample_bits == 16 ? SAMPLE_U16
                                                      : SAMPLE_F32;
    TRY_CLEANUP(splat_picture_render(device, &model, NULL, NULL, &window, type, picture));
cleanup:
    device_close(device);
    splat_model_close(&model);
    return code;
}

static bool is_model_file(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && strcasecmp(dot, ".safetensors") == 0;
}

static int is_run_folder(const char *path, bool *is_run)
{
    char *checkpoints = path_join(path, "checkpoints");
    if (!checkpoints) return ERR_SYSTEM;
    *is_run = file_is_dir(checkpoints);
    free(checkpoints);
    return OK;
}

static int load_operand(struct image *picture, const char *path, const char *device_name)
{
    bool is_run;
    TRY(is_run_folder(path, &is_run));
    if (is_run || is_model_file(path)) return render_model(picture, path, device_name);
    return file_is_dir(path) ? image_load_stack(picture, path) : image_load(picture, path);
}

/* ---- making channels comparable ---- */

static void take_over(struct image *to, struct image *from)
{
    image_free(to);
    *to = *from;
}

static int drop_alpha(struct image *picture)
{
    struct image flat;
    TRY(image_over_black(&flat, picture));
    take_over(picture, &flat);
    return OK;
}

static int repeat_grey(struct image *picture)
{
    struct image rgb;
    TRY(image_create(&rgb, picture->width, picture->height, 3, picture->type));
    size_t bytes = sample_bytes(picture->type);
    size_t pixels = (size_t)picture->width * (size_t)picture->height;
    const uint8_t *from = picture->data;
    uint8_t *to = rgb.data;
    for (size_t i = 0; i < pixels; i++, from += bytes)
        for (int c = 0; c < 3; c++, to += bytes)
            memcpy(to, from, bytes);
    take_over(picture, &rgb);
    return OK;
}

/* Alpha that only one of them has is laid over black; grey meets RGB as R = G = B. */
static int match_pictures(struct image *a, struct image *b, char *const *names)
{
    if (a->width != b->width || a->height != b->height)
        return fail(ERR_DATA, "sizes differ: %s is %dx%d, %s is %dx%d", names[0], a->width,
                    a->height, names[1], b->width, b->height);
    int channels[2] = {a->channels, b->channels};
    bool colours = channels[0] <= 4 && channels[1] <= 4;
    if (colours && image_has_alpha(a) != image_has_alpha(b))
        TRY(drop_alpha(image_has_alpha(a) ? a : b));
    if (colours && a->channels == 1 && b->channels == 3) TRY(repeat_grey(a));
    if (colours && b->channels == 1 && a->channels == 3) TRY(repeat_grey(b));
    if (a->channels == b->channels) return OK;
    return fail(ERR_DATA, "channels differ: %s has %d, %s has %d", names[0], channels[0], names[1],
                channels[1]);
}

/* ---- measuring ---- */

/* FLIP is about colours that are seen: alpha lies over black. */
static int measure_flip(const struct image *a, const struct image *b, double *flip)
{
    if (!image_has_alpha(a)) return metric_flip(a, b, flip, NULL);
    struct image flat_a = {0}, flat_b = {0};
    int code;
    TRY_CLEANUP(image_over_black(&flat_a, a));
    TRY_CLEANUP(image_over_black(&flat_b, b));
    TRY_CLEANUP(metric_flip(&flat_a, &flat_b, flip, NULL));
cleanup:
    image_free(&flat_a);
    image_free(&flat_b);
    return code;
}

static int measure(const struct image *a, const struct image *b, struct scores *scores)
{
    *scores = (struct scores){.ms_ssim = (double)NAN, .flip = (double)NAN};
    TRY(metric_psnr(a, b, &scores->psnr));
    TRY(metric_ssim(a, b, &scores->ssim));
    if (a->width >= METRIC_MS_SSIM_SIDE && a->height >= METRIC_MS_SSIM_SIDE)
        TRY(metric_ms_ssim(a, b, &scores->ms_ssim));
    if (a->channels <= 4) TRY(measure_flip(a, b, &scores->flip));
    return OK;
}

/* ---- printing ---- */

static void print_text(const struct image *a, const struct scores *scores)
{
    printf("size     %dx%d, %d channel%s\n", a->width, a->height, a->channels,
           a->channels == 1 ? "" : "s");
    if (isinf(scores->psnr))
        printf("psnr     inf: no difference\n");
    else
        printf("psnr     %.4f dB\n", scores->psnr);
    printf("ssim     %.6f\n", scores->ssim);
    if (isnan(scores->ms_ssim))
        printf("ms-ssim  -: a side is below %d pixels\n", METRIC_MS_SSIM_SIDE);
    else
        printf("ms-ssim  %.6f\n", scores->ms_ssim);
    if (isnan(scores->flip))
        printf("flip     -: more than 4 channels\n");
    else
        printf("flip     %.6f\n", scores->flip);
}

static void print_json(const struct image *a, const struct scores *scores, char *const *names)
{
    const struct {
        const char *key;
        double value;
    } rows[] = {{"psnr", scores->psnr},
                {"ssim", scores->ssim},
                {"ms_ssim", scores->ms_ssim},
                {"flip", scores->flip}};
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
    printf("}\n");
}

static int evaluate(char *const *names, const char *device_name, bool json)
{
    struct image a = {0}, b = {0};
    struct scores scores;
    int code;
    TRY_CLEANUP(load_operand(&a, names[0], device_name));
    TRY_CLEANUP(load_operand(&b, names[1], device_name));
    TRY_CLEANUP(match_pictures(&a, &b, names));
    TRY_CLEANUP(measure(&a, &b, &scores));
    if (json)
        print_json(&a, &scores, names);
    else
        print_text(&a, &scores);
cleanup:
    image_free(&a);
    image_free(&b);
    return code;
}

int cmd_eval(int argc, char **argv)
{
    bool json = false;
    int64_t samples = 2000;
    const char *device_name = "auto";
    const struct option_row rows[] = {
        {.name = "json",
         .flag = &json,
         .help = "print a JSON object; null: infinite (then \"identical\") or not applicable"},
        {.name = "samples",
         .argument = "N",
         .integer = &samples,
         .help = "of a generator: at most so many samples and pictures (2000)"},
        {.name = "device",
         .argument = "NAME",
         .text = &device_name,
         .help = "renders models: auto, cpu, cuda or cuda:N"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain eval A B [--json]\n"
                 "       imgtrain eval GENERATOR FOLDER [--samples N] [--json]",
        .about =
            "Compares two pictures of equal size: PSNR (over all samples, 16 bits as 16), "
            "SSIM, MS-SSIM\nand mean LDR-FLIP (67 pixels per degree). Each is a picture, a "
            "folder of pictures (a texture\nstack), or a splat model, checkpoint or run, "
            "which is rendered at its own size.\nAlpha counts as a channel where both have "
            "it (for FLIP it lies over black); alpha that only\none has is laid over black. "
            "Grey meets RGB as R = G = B.\n\n"
            "A generator (a model, checkpoint or run of task gan) is measured against a folder "
            "of pictures:\nrKID, sliced Wasserstein distance, precision, recall, density, "
            "coverage, MS-SSIM of pairs,\nnearest-neighbour ratio. These compare models of "
            "one data set and size, nothing else.",
        .options = rows,
        .min_operands = 2,
        .max_operands = 2,
        .examples = "imgtrain eval render.png photo.png\n"
                    "imgtrain eval runs/photo-001 photo.png --json\n"
                    "imgtrain eval runs/photos-001 photos/\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    if (samples < 1 || samples > 100000)
        return fail(ERR_USAGE, "--samples %lld: it must be 1 to 100000", (long long)samples);
    if (eval_gan_is(argv[1])) return eval_gan(argv[1], argv[2], device_name, (int)samples, json);
    return evaluate(argv + 1, device_name, json);
}
