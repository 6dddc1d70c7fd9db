#include "diffusion/pipeline/placed_text.h"

#include "base/error.h"
#include "base/file.h"
#include "device/device.h"

#include <stdlib.h>

int placed_text_open(struct placed_text *p, struct placement *placement, struct device *device,
                     const struct text_encoder *encoder, const struct placed_setup *setup)
{
    struct placed_setup own = *setup;
    char *key = string_format("%s#%s", setup->key, setup->name); /* one folder has several */
    *p = (struct placed_text){.encoder = *encoder, .device = device};
    if (!key) return fail(ERR_SYSTEM, "out of memory");
    own.list = encoder->list;
    own.key = key;
    int code = placed_blocks_open(&p->blocks, placement, &own);
    free(key);
    return code;
}

void placed_text_close(struct placed_text *p)
{
    placed_blocks_close(&p->blocks);
}

static int placed_text_declare(void *context, int chunking, struct plan *plan)
{
    struct placed_text *p = context;
    (void)chunking;
    return text_pass_memory(&p->pass, &p->encoder, &p->size, p->device, plan);
}

struct placement_stage placed_text_stage(struct placed_text *p, const char *name,
                                         const struct text_size *size)
{
    p->size = *size;
    return (struct placement_stage){.name = name,
                                    .component = p->blocks.component,
                                    .passes = 1,
                                    .work = 2 * text_macs(&p->encoder, size),
                                    .declare = placed_text_declare,
                                    .chunkings = 1,
                                    .context = p};
}

int placed_text_run(struct placed_text *p, const float *table, float *rows,
                    bool (*stop_requested)(void))
{
    const struct block_source source = placed_blocks_source(&p->blocks);
    size_t bytes = (size_t)p->pass.rows * (size_t)p->encoder.width * sizeof *rows;
    TRY(text_pass_connect(&p->pass, table));
    TRY(device_send(p->device, p->pass.x, rows, bytes));
    TRY(text_pass_forward(&p->pass, &source, stop_requested));
    return device_fetch(p->device, rows, p->pass.x, bytes);
}
