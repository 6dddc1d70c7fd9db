/* MMDiT as the denoiser of a pipeline: it is told sigma, guidance as a number, and one vector of a
 * text besides its rows; it says noise minus image. */
#include "base/error.h"
#include "device/device.h"
#include "diffusion/pipeline/pipeline_internal.h"
#include "memory/plan.h"

#include <stdlib.h>
#include <string.h>

static int denoise_mmdit_open(struct pipeline *p)
{
    const struct model_folder *model = p->model;
    const struct placed_setup setup = {.weights = model->weights,
                                       .matrices = p->weights,
                                       .bf16 = p->bf16,
                                       .key = model->path,
                                       .shards = model->denoiser};
    return placed_mmdit_open(&p->mmdit, p->placement, p->device, &model->mmdit, &setup);
}

static void denoise_mmdit_close(struct pipeline *p)
{
    placed_mmdit_close(&p->mmdit);
}

/* All rows take part, so texts are filled up to one length. */
static bool denoise_mmdit_same_text(int rows, int others)
{
    return rows == others;
}

static int denoise_mmdit_declare(void *context, struct plan *plan)
{
    struct pipeline *p = context;
    size_t n = (size_t)p->size.samples * sizeof(float);
    TRY(pipeline_declare_inputs(p, plan));
    TRY(plan_declare(plan, "guidance", PLAN_DATA, n * MMDIT_TIME_FEATURES, PLAN_ALWAYS,
                     (void **)&p->guidance));
    return plan_declare(plan, "pooled", PLAN_DATA, n * (size_t)p->model->network.pooled_dim,
                        PLAN_ALWAYS, (void **)&p->pooled);
}

static struct placement_stage denoise_mmdit_stage(struct pipeline *p, int64_t passes)
{
    const struct mmdit_size size = {.samples = p->size.samples,
                                    .height = p->size.height,
                                    .width = p->size.width,
                                    .text_rows = p->size.text_rows};
    return placed_mmdit_stage(&p->mmdit, &size, passes, denoise_mmdit_declare, p);
}

static int denoise_mmdit_begin(struct pipeline *p, const struct placement_stage *stage)
{
    return placed_mmdit_begin(&p->mmdit, stage);
}

/* The same for all images. */
static int mmdit_send_to_all(struct pipeline *p, float *to, const float *row, size_t width,
                             int samples)
{
    float *rows = malloc((size_t)samples * width * sizeof *rows);
    if (!rows) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < samples; i++)
        memcpy(rows + (size_t)i * width, row, width * sizeof *rows);
    int code = device_send(p->device, to, rows, (size_t)samples * width * sizeof *rows);
    free(rows);
    return code;
}

static int denoise_mmdit_tell(struct pipeline *p, int samples)
{
    float features[MMDIT_TIME_FEATURES], guidance = (float)p->request.guidance;
    mmdit_time_features(&guidance, 1, features);
    TRY(mmdit_send_to_all(p, p->guidance, features, MMDIT_TIME_FEATURES, samples));
    return mmdit_send_to_all(p, p->pooled, pipeline_pooled(p), (size_t)p->model->network.pooled_dim,
                             samples);
}

/* In the reference's roundings: its schedule holds a thousand times the level. */
static void denoise_mmdit_tell_time(const struct pipeline *p, float sigma, float *features)
{
    float time = sigma * 1000.0F / 1000.0F;
    (void)p;
    mmdit_time_features(&time, 1, features);
}

static int denoise_mmdit_forward(struct pipeline *p, int samples,
                                 const struct pipeline_watch *watch)
{
    const struct block_source source = placed_blocks_source(&p->mmdit.blocks);
    const struct mmdit_batch batch = {.samples = samples,
                                      .image = p->image,
                                      .time = p->time,
                                      .guidance = p->guidance,
                                      .pooled = p->pooled,
                                      .text = p->text,
                                      .stop_requested = watch->stop_requested};
    return mmdit_forward(&p->mmdit.mmdit, &source, &batch, p->out);
}

const struct denoise_kind denoise_mmdit = {.time_features = MMDIT_TIME_FEATURES,
                                           .sign = 1,
                                           .open = denoise_mmdit_open,
                                           .close = denoise_mmdit_close,
                                           .same_text = denoise_mmdit_same_text,
                                           .stage = denoise_mmdit_stage,
                                           .begin = denoise_mmdit_begin,
                                           .tell = denoise_mmdit_tell,
                                           .tell_time = denoise_mmdit_tell_time,
                                           .forward = denoise_mmdit_forward};
