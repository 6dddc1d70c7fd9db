/* S3-DiT as the denoiser of a pipeline: it is told 1 - sigma, and says image minus noise. */
#include "base/error.h"
#include "diffusion/pipeline/pipeline_internal.h"

static int denoise_s3dit_open(struct pipeline *p)
{
    const struct model_folder *model = p->model;
    const struct placed_setup setup = {.weights = model->weights,
                                       .matrices = p->weights,
                                       .bf16 = p->bf16,
                                       .key = model->path,
                                       .shards = model->denoiser};
    return placed_dit_open(&p->s3dit, p->placement, p->device, &model->dit, &setup);
}

static void denoise_s3dit_close(struct pipeline *p)
{
    placed_dit_close(&p->s3dit);
}

static bool denoise_s3dit_same_text(int rows, int others)
{
    return s3dit_padded(rows) == s3dit_padded(others);
}

static struct placement_stage denoise_s3dit_stage(struct pipeline *p, int64_t passes)
{
    const struct s3dit_size size = {.samples = p->size.samples,
                                    .height = p->size.height,
                                    .width = p->size.width,
                                    .text_rows = p->size.text_rows,
                                    .mixed_text = p->size.mixed_text,
                                    .chunk = 1};
    return placed_dit_stage(&p->s3dit, &size, passes, pipeline_declare_inputs, p);
}

static int denoise_s3dit_begin(struct pipeline *p, const struct placement_stage *stage)
{
    return placed_dit_begin(&p->s3dit, stage);
}

static void denoise_s3dit_tell_time(const struct pipeline *p, float sigma, float *features)
{
    float s = sigmas_model_time(sigma);
    s3dit_time_features(&p->model->dit.config, &s, 1, features);
}

static int denoise_s3dit_forward(struct pipeline *p, int samples,
                                 const struct pipeline_watch *watch)
{
    const struct block_source source = placed_blocks_source(&p->s3dit.blocks);
    const struct s3dit_batch batch = {.samples = samples,
                                      .image = p->image,
                                      .time = p->time,
                                      .text = p->text,
                                      .lengths = p->lengths,
                                      .stop_requested = watch->stop_requested};
    return s3dit_forward(&p->s3dit.dit, &source, &batch, p->out);
}

const struct denoise_kind denoise_s3dit = {.time_features = S3DIT_TIME_FEATURES,
                                           .sign = -1,
                                           .open = denoise_s3dit_open,
                                           .close = denoise_s3dit_close,
                                           .same_text = denoise_s3dit_same_text,
                                           .stage = denoise_s3dit_stage,
                                           .begin = denoise_s3dit_begin,
                                           .tell_time = denoise_s3dit_tell_time,
                                           .forward = denoise_s3dit_forward};
