/* The images that the generator was trained on: those held out, to be projected, and the nearest of
 * the others, which a projection has to be better than. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/project/project.h"
#include "config/config.h"
#include "data/channels.h"
#include "data/dataset.h"
#include "gan/gan_checkpoint.h"
#include "gan/gan_schedule.h"
#include "run/signals.h"

#include <stdlib.h>
#include <string.h>

/* As the training opened it: the split is the seed's. */
static int project_data_open(struct dataset **set, const struct project *p,
                             const struct config *config, char *cache)
{
    const struct dataset_options options = {.folder = config->gan.data,
                                            .width = p->w,
                                            .height = p->h,
                                            .labels = scan_labels_of(config->gan.labels),
                                            .label_file = config->gan.labels,
                                            .channels = gan_channels(config),
                                            .must = p->channels,
                                            .flip = config->gan.flip,
                                            .seed = (uint64_t)config->seed,
                                            .cache_dir = cache,
                                            .stop_requested = signals_stop_requested};
    if (!config->gan.data[0])
        return fail(ERR_USAGE, "--held-out: this model does not say what it was trained on");
    TRY(dataset_open(set, &options));
    if (dataset_channels(*set) != p->channels)
        return fail(ERR_DATA, "%s: its images have %d channels now, but the model %d",
                    config->gan.data, dataset_channels(*set), p->channels);
    return OK;
}

/* Evenly among those that are held out, which are in the order of their names. */
static int project_data_add(struct project *p, const struct dataset *set, const char *folder)
{
    int wanted = (int)p->options->held_out, held = dataset_held_count(set);
    if (held < wanted)
        return fail(ERR_USAGE, "--held-out %d: of %s %d images are held out", wanted, folder, held);
    for (int i = 0; i < wanted; i++) {
        int index = (int)((int64_t)i * held / wanted);
        const char *name = dataset_held_name(set, index);
        char *path =
            name ? path_join(folder, name) : string_format("%s: held-out image %d", folder, index);
        TRY(project_add_file(p, path, false));
        struct project_image *image = &p->images[p->count - 1];
        image->target = malloc((size_t)project_image_bytes(p));
        if (!image->target) return fail(ERR_SYSTEM, "out of memory");
        memcpy(image->target, dataset_held(set, index).pixels, (size_t)project_image_bytes(p));
    }
    return OK;
}

static void project_data_mirror(const struct project *p, const uint8_t *from, uint8_t *to)
{
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++)
            memcpy(to + (ptrdiff_t)(y * p->w + x) * p->channels,
                   from + (ptrdiff_t)(y * p->w + p->w - 1 - x) * p->channels, (size_t)p->channels);
}

static void project_data_compare(struct project *p, const uint8_t *pixels)
{
    for (int i = 0; i < p->count; i++) {
        double psnr = project_psnr(p, p->images[i].target, pixels);
        if (psnr > p->images[i].training) p->images[i].training = psnr;
    }
}

/* Mirrored ones, too, where the training saw them so. */
static int project_data_nearest(struct project *p, const struct dataset *set, bool flip)
{
    uint8_t *mirrored = malloc((size_t)project_image_bytes(p));
    if (!mirrored) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < dataset_train_count(set); i++) {
        const uint8_t *pixels = dataset_train(set, i).pixels;
        project_data_compare(p, pixels);
        if (!flip) continue;
        project_data_mirror(p, pixels, mirrored);
        project_data_compare(p, mirrored);
    }
    free(mirrored);
    return OK;
}

int project_data(struct project *p, const char *model)
{
    struct config *config = NULL;
    struct dataset *set = NULL;
    char *cache = dataset_cache_folder(file_is_dir(model) ? model : NULL);
    int code;
    TRY_CLEANUP(gan_load_config(&config, p->file));
    TRY_CLEANUP(project_data_open(&set, p, config, cache));
    TRY_CLEANUP(project_data_add(p, set, config->gan.data));
    TRY_CLEANUP(project_load(p));
    code = project_data_nearest(p, set, config->gan.flip);
cleanup:
    dataset_close(set);
    config_free(config);
    free(cache);
    return code;
}
