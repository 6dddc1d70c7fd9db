/* The images that `imgtrain project` is given. */
#include "base/error.h"
#include "base/file.h"
#include "cmd/project/project.h"
#include "data/channels.h"
#include "data/dataset_build.h"
#include "data/scan.h"
#include "run/signals.h"

#include <stdlib.h>

enum { PROJECT_MOST = 4096 };

int project_add_file(struct project *p, char *path, bool towards)
{
    if (!path) return ERR_SYSTEM;
    struct project_image *images =
        p->count < PROJECT_MOST ? realloc(p->images, ((size_t)p->count + 1) * sizeof *p->images)
                                : NULL;
    if (!images) {
        free(path);
        return p->count < PROJECT_MOST ? fail(ERR_SYSTEM, "out of memory")
                                       : fail(ERR_USAGE, "more than %d images", PROJECT_MOST);
    }
    p->images = images;
    p->images[p->count++] = (struct project_image){.path = path, .towards = towards};
    p->second += towards;
    return OK;
}

int project_add(struct project *p, const char *path, bool towards)
{
    struct scan scan;
    if (!file_is_dir(path)) return project_add_file(p, string_format("%s", path), towards);
    int code = scan_folder(&scan, path, SCAN_LABELS_NONE, signals_stop_requested);
    for (int i = 0; code == OK && i < scan.count; i++)
        code = project_add_file(p, path_join(path, scan.files[i].name), towards);
    scan_free(&scan);
    return code;
}

int project_load(struct project *p)
{
    const struct dataset_options options = {
        .width = p->w, .height = p->h, .channels = channels_of(p->channels)};
    size_t bytes = (size_t)project_image_bytes(p), points = (size_t)project_steps(p) + 1;
    p->latents = calloc((size_t)p->count * (size_t)p->z, sizeof *p->latents);
    p->labels = calloc((size_t)p->count, sizeof *p->labels);
    if (!p->latents || !p->labels) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < p->count; i++) {
        struct project_image *image = &p->images[i];
        bool enlarged, is_loaded = image->target != NULL;
        if (!is_loaded) image->target = malloc(bytes);
        image->projected = calloc(1, bytes);
        image->psnr = calloc(points, sizeof *image->psnr);
        if (!image->target || !image->projected || !image->psnr)
            return fail(ERR_SYSTEM, "out of memory");
        if (is_loaded) continue;
        TRY(dataset_build_decode(image->target, image->path, &options, &enlarged));
    }
    return OK;
}

void project_free(struct project *p)
{
    for (int i = 0; i < p->count; i++) {
        free(p->images[i].path);
        free(p->images[i].target);
        free(p->images[i].projected);
        free(p->images[i].psnr);
    }
    free(p->images);
    free(p->latents);
    free(p->labels);
}
