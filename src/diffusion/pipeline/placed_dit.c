#include "diffusion/pipeline/placed_dit.h"

#include "base/error.h"
#include "device/device.h"

#include <string.h>

int placed_dit_open(struct placed_dit *p, struct placement *placement, struct device *device,
                    const struct s3dit_model *model, const struct placed_setup *setup)
{
    struct placed_setup own = *setup;
    *p = (struct placed_dit){.model = model, .device = device};
    own.name = "denoiser";
    own.list = &model->list;
    return placed_blocks_open(&p->blocks, placement, &own);
}

void placed_dit_close(struct placed_dit *p)
{
    s3dit_close(&p->dit);
    placed_blocks_close(&p->blocks);
    memset(p, 0, sizeof *p);
}

static int placed_dit_memory(void *context, struct plan *plan)
{
    struct placed_dit *p = context;
    s3dit_close(&p->dit);
    return s3dit_memory(&p->dit, p->model, &p->size, S3DIT_FORWARD_ONLY, p->device, plan, 0);
}

struct placement_stage placed_dit_stage(struct placed_dit *p, const struct s3dit_size *size,
                                        int64_t passes,
                                        int (*declare_more)(void *context, struct plan *plan),
                                        void *more)
{
    p->size = *size;
    const struct placed_passes all = {.count = passes,
                                      .work = 2 * s3dit_macs(p->model, size, true) * size->samples,
                                      .memory = placed_dit_memory,
                                      .context = p,
                                      .declare_more = declare_more,
                                      .more = more};
    return placed_blocks_stage(&p->blocks, &all);
}

int placed_dit_begin(struct placed_dit *p, const struct placement_stage *stage)
{
    TRY(placement_begin(p->blocks.placement, stage));
    int code = s3dit_connect(&p->dit);
    if (code < 0) placement_end(p->blocks.placement);
    return code;
}
