#include "diffusion/pipeline/placed_mmdit.h"

#include "base/error.h"
#include "device/device.h"

#include <string.h>

int placed_mmdit_open(struct placed_mmdit *p, struct placement *placement, struct device *device,
                      const struct mmdit_model *model, const struct placed_setup *setup)
{
    struct placed_setup own = *setup;
    *p = (struct placed_mmdit){.model = model, .device = device};
    own.name = "denoiser";
    own.list = &model->list;
    return placed_blocks_open(&p->blocks, placement, &own);
}

void placed_mmdit_close(struct placed_mmdit *p)
{
    mmdit_close(&p->mmdit);
    placed_blocks_close(&p->blocks);
    memset(p, 0, sizeof *p);
}

static int placed_mmdit_memory(void *context, struct plan *plan)
{
    struct placed_mmdit *p = context;
    mmdit_close(&p->mmdit);
    return mmdit_memory(&p->mmdit, p->model, &p->size, p->device, plan, 0);
}

struct placement_stage placed_mmdit_stage(struct placed_mmdit *p, const struct mmdit_size *size,
                                          int64_t passes,
                                          int (*declare_more)(void *context, struct plan *plan),
                                          void *more)
{
    p->size = *size;
    const struct placed_passes all = {.count = passes,
                                      .work = 2 * mmdit_macs(p->model, size) * size->samples,
                                      .memory = placed_mmdit_memory,
                                      .context = p,
                                      .declare_more = declare_more,
                                      .more = more};
    return placed_blocks_stage(&p->blocks, &all);
}

int placed_mmdit_begin(struct placed_mmdit *p, const struct placement_stage *stage)
{
    TRY(placement_begin(p->blocks.placement, stage));
    int code = mmdit_connect(&p->mmdit);
    if (code < 0) placement_end(p->blocks.placement);
    return code;
}
