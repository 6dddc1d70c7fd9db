#include "sr/sr_eval.h"

#include "base/error.h"
#include "base/json.h"
#include "data/pairs.h"
#include "sr/enlarger.h"
#include "sr/measure.h"
#include "store/safetensors.h"
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { EVAL_TILE = 256 };

struct sr_eval {
    const struct task_evaluation *wanted;
    struct sr_enlarger *enlarger;
    struct pairs *set;
    float *memory;
    struct sr_scores mean;
    double bicubic_y; /* mean */
    int count;
};

static int eval_enlarge(void *context, const struct sr_rows *in, int x, int y, int w, int h,
                        float *out)
{
    struct sr_eval *e = context;
    return sr_enlarger_run(e->enlarger, in, x, y, w, h, out, e->wanted->stop_requested);
}

static void eval_print_row(const char *name, const struct sr_scores *s, double bicubic_y)
{
    printf("%-28s %8.3f %+7.3f %8.5f %8.3f %8.5f %7.3f\n", name, s->psnr_y, s->psnr_y - bicubic_y,
           s->ssim_y, s->psnr, s->ssim, s->colour_shift);
}

static void eval_json_scores(const struct sr_scores *s, double bicubic_y)
{
    const struct {
        const char *key;
        double value;
    } rows[] = {{"psnr_y", s->psnr_y}, {"gain", s->psnr_y - bicubic_y},
                {"ssim_y", s->ssim_y}, {"psnr", s->psnr},
                {"ssim", s->ssim},     {"colour_shift", s->colour_shift}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        printf("%s\"%s\": ", i ? ", " : "", rows[i].key);
        json_write_number(stdout, rows[i].value);
    }
}

static int sr_eval_measure(struct sr_eval *e, int i)
{
    const struct pair *pair = pairs_at(e->set, i);
    const struct sr_design *design = sr_enlarger_network(e->enlarger);
    struct sr_scores scores, bicubic;
    free(e->memory);
    e->memory = malloc(sr_measure_floats(pair->w, pair->h, design->scale) * sizeof *e->memory);
    if (!e->memory) return fail(ERR_SYSTEM, "%s: out of memory", pair->name);
    int border = e->wanted->crop_border >= 0 ? e->wanted->crop_border : design->scale;
    TRY(sr_measure(&bicubic, pair, design->scale, border, NULL, NULL, e->memory));
    TRY(sr_measure(&scores, pair, design->scale, border, eval_enlarge, e, e->memory));
    sr_scores_add(&e->mean, &scores, e->count);
    e->bicubic_y += bicubic.psnr_y / e->count;
    if (!e->wanted->json) {
        eval_print_row(pair->name, &scores, bicubic.psnr_y);
        return OK;
    }
    printf("%s{\"name\": ", i ? ", " : "");
    json_write_string(stdout, pair->name);
    printf(", ");
    eval_json_scores(&scores, bicubic.psnr_y);
    printf("}");
    return OK;
}

static int eval_all(struct sr_eval *e)
{
    bool json = e->wanted->json;
    if (json) {
        printf("{\"model\": ");
        json_write_string(stdout, e->wanted->path);
        printf(", \"data\": ");
        json_write_string(stdout, e->wanted->input);
        printf(", \"scale\": %d, \"images\": [", sr_enlarger_network(e->enlarger)->scale);
    } else {
        printf("%-28s %8s %7s %8s %8s %8s %7s\n", "image", "PSNR-Y", "gain", "SSIM-Y", "PSNR",
               "SSIM", "shift");
    }
    for (int i = 0; i < e->count; i++)
        TRY(sr_eval_measure(e, i));
    if (json) {
        printf("], ");
        eval_json_scores(&e->mean, e->bicubic_y);
        printf("}\n");
    } else {
        eval_print_row("mean", &e->mean, e->bicubic_y);
    }
    return OK;
}

int sr_eval(const struct task_evaluation *wanted)
{
    struct sr_eval e = {.wanted = wanted};
    struct sr_design design;
    int code = OK;
    TRY(sr_enlarger_design(&design, wanted->model));
    int tile = EVAL_TILE + 2 * sr_tiles_overlap(&design);
    struct pairs_options options = {.role = "evaluation",
                                    .gt = wanted->input,
                                    .scale = design.scale,
                                    .least = 1,
                                    .stop_requested = wanted->stop_requested};
    TRY_CLEANUP(sr_enlarger_open(&e.enlarger, wanted->device, wanted->model, NULL, tile, tile));
    TRY_CLEANUP(pairs_open(&e.set, &options));
    e.count = pairs_count(e.set);
    if (wanted->samples < e.count && wanted->samples > 0) e.count = wanted->samples;
    TRY_CLEANUP(eval_all(&e));
cleanup:
    free(e.memory);
    pairs_close(e.set);
    sr_enlarger_close(e.enlarger);
    return code;
}
