/* Renderings over HTTP: as `imgtrain render -o FILE.png` makes them. */
#include "base/error.h"
#include "cmd/render_window.h"
#include "cmd/serve/serve_models.h"
#include "image/rows.h"
#include "splat/render.h"
#include "splat/splat.h"

#include <math.h>
#include <stdlib.h>

enum { LEAST_ROWS = 16, MOST_CHANNELS = 4 };

struct served_splat {
    struct splat_model model;
    struct splat_window window; /* of the present request */
};

/* Rows on their way into an image, unless there is no time left for it. */
struct splat_timed {
    const struct serve_model *model;
    struct image_sink to;
};

static int splat_begin_timed(void *argument, const struct image *shape)
{
    const struct splat_timed *timed = argument;
    return timed->to.begin(timed->to.argument, shape);
}

static int splat_put_timed(void *argument, struct image *rows, int y)
{
    const struct splat_timed *timed = argument;
    TRY(serve_model_check_time(timed->model));
    return timed->to.put(timed->to.argument, rows, y);
}

static int serve_splat_load(struct serve_model *model)
{
    struct served_splat *served;
    if (model->state) return OK;
    served = calloc(1, sizeof *served);
    if (!served) return fail(ERR_SYSTEM, "out of memory");
    int code = splat_model_open(&served->model, model->path);
    if (code == OK && served->model.channels > MOST_CHANNELS)
        code = fail(ERR_DATA, "%s: a texture stack of %d channels: a PNG holds %d", model->path,
                    served->model.channels, MOST_CHANNELS);
    if (code == OK) {
        model->state = served;
        return OK;
    }
    splat_model_close(&served->model);
    free(served);
    return code;
}

static int serve_splat_prepare(struct serve_model *model, struct serve_job *job, int *whole)
{
    TRY(serve_splat_load(model));
    struct served_splat *served = model->state;
    struct splat_window *w = &served->window;
    TRY(render_window_read(w, &served->model, job->ask.size, (double)NAN, job->ask.crop));
    TRY(splat_window_check(w));
    *whole = w->height;
    return serve_model_check_pixels(model, w->width, w->height, 1);
}

static int serve_splat_run(struct serve_model *model, struct device *device, int at_once,
                           struct serve_job *const *jobs, int count)
{
    const struct served_splat *served = model->state;
    struct image image = {0};
    struct splat_timed timed = {model, image_collector(&image)};
    const struct image_sink sink = {splat_begin_timed, splat_put_timed, &timed};
    (void)count;
    int code = splat_render_bands(device, &served->model, &served->window,
                                  render_window_type(".png", &served->model), at_once, &sink);
    if (code == OK) code = serve_model_add(jobs[0], &image, 0);
    image_free(&image);
    return code;
}

static void serve_splat_unload(struct serve_model *model)
{
    struct served_splat *served = model->state;
    if (!served) return;
    splat_model_close(&served->model);
    free(served);
    model->state = NULL;
}

const struct serve_kind serve_kind_splat = {.task = &task_splat,
                                            .endpoints = 1u << SERVE_RENDER,
                                            .unit = "rows",
                                            .least = LEAST_ROWS,
                                            .prepare = serve_splat_prepare,
                                            .run = serve_splat_run,
                                            .unload = serve_splat_unload};
