/* Enlarged pictures over HTTP: as `imgtrain upscale -o FILE.png` makes them. The picture that was
 * sent and the result pass through files of names that the server chose. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse_number.h"
#include "cmd/cmd_upscale.h"
#include "cmd/serve/serve_models.h"
#include "image/image.h"
#include "sr/enlarger.h"
#include "sr/pretrained.h"
#include "sr/sr.h"
#include "sr/upscale/upscale.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct served_sr {
    struct store_file *file;
    int scale;                   /* the network's */
    struct sr_enlarger *network; /* open since the request before, or NULL */
    struct sr_upscale_options options;
    char *folder, *in, *out; /* of the present request */
};

/* ---- the picture that was sent ---- */

static int serve_sr_make_folder(struct served_sr *s)
{
    s->folder = string_format("%s/imgtrain-serve-XXXXXX", file_temporary_folder());
    if (!s->folder) return ERR_SYSTEM;
    if (!mkdtemp(s->folder)) {
        int code = fail_errno(ERR_IO, "%s", s->folder);
        free(s->folder);
        s->folder = NULL;
        return code;
    }
    s->in = path_join(s->folder, "picture");
    s->out = path_join(s->folder, "enlarged.png");
    return s->in && s->out ? OK : ERR_SYSTEM;
}

static void serve_sr_drop_folder(struct served_sr *s)
{
    if (s->in) unlink(s->in);
    if (s->out) unlink(s->out);
    if (s->folder && rmdir(s->folder) != 0) log_warning("%s is left", s->folder);
    free(s->in);
    free(s->out);
    free(s->folder);
    s->in = s->out = s->folder = NULL;
}

static int serve_sr_write(const char *path, const uint8_t *data, size_t bytes)
{
    FILE *file = fopen(path, "wbxe");
    if (!file) return fail_errno(ERR_IO, "%s", path);
    bool whole = fwrite(data, 1, bytes, file) == bytes;
    if (fclose(file) != 0 || !whole) return fail_errno(ERR_IO, "%s", path);
    return OK;
}

/* What is wrong with the picture is the client's: without the name of its file. */
static int serve_sr_fail_picture(const struct served_sr *s, struct serve_job *job, int code)
{
    const char *message = error_message();
    size_t length = strlen(s->in);
    if (code != ERR_DATA || strncmp(message, s->in, length) != 0) return code;
    serve_job_fail(job, 400, NULL, "the picture%s", message + length);
    return OK;
}

static int serve_sr_check(const struct serve_model *model, struct serve_job *job)
{
    struct served_sr *s = model->state;
    enum sample_type type;
    int w, h, channels, code = image_probe(s->in, &w, &h, &channels, &type);
    if (code < 0) return serve_sr_fail_picture(s, job, code);
    double scale = s->options.scale > s->scale ? s->options.scale : s->scale;
    TRY(serve_model_check_pixels(model, w, h, 1));
    return serve_model_check_pixels(model, (int64_t)(w * scale), (int64_t)(h * scale), 1);
}

/* ---- the model ---- */

static int serve_sr_load(struct serve_model *model)
{
    struct sr_design design;
    if (model->state) return OK;
    struct served_sr *s = calloc(1, sizeof *s);
    if (!s) return fail(ERR_SYSTEM, "out of memory");
    int code = sr_pretrained_open(&s->file, model->path);
    if (code == OK) code = sr_enlarger_design(&design, s->file);
    if (code == OK) {
        s->scale = design.scale;
        model->state = s;
        return OK;
    }
    store_close(s->file);
    free(s);
    return code;
}

static int serve_sr_prepare(struct serve_model *model, struct serve_job *job, int *whole)
{
    TRY(serve_sr_load(model));
    struct served_sr *s = model->state;
    *whole = 1;
    s->options = (struct sr_upscale_options){.overlap = SR_OVERLAP_AUTO,
                                             .limit = (size_t)model->all->memory_limit,
                                             .stop_requested = model->all->late,
                                             .kept = &s->network};
    TRY(upscale_read_scale(job->ask.scale, &s->options.scale));
    TRY(upscale_read_alpha(job->ask.alpha ? job->ask.alpha : "model", &s->options.alpha));
    TRY(serve_sr_make_folder(s));
    TRY(serve_sr_write(s->in, job->body, job->body_bytes));
    return serve_sr_check(model, job);
}

static int serve_sr_enlarge(const struct served_sr *s, struct device *device, struct serve_job *job)
{
    struct sr_upscale_report report;
    uint8_t *png;
    size_t bytes;
    int code = sr_upscale_file(device, s->file, s->in, s->out, &s->options, &report);
    if (code < 0) return serve_sr_fail_picture(s, job, code);
    TRY(file_read(s->out, SIZE_MAX >> 1, &png, &bytes));
    serve_job_add_image(job, png, bytes, 0);
    return OK;
}

static int serve_sr_run(struct serve_model *model, struct device *device, int at_once,
                        struct serve_job *const *jobs, int count)
{
    (void)at_once;
    (void)count;
    return jobs[0]->status ? OK : serve_sr_enlarge(model->state, device, jobs[0]);
}

static void serve_sr_finish(struct serve_model *model)
{
    if (model->state) serve_sr_drop_folder(model->state);
}

static void serve_sr_unload(struct serve_model *model)
{
    struct served_sr *s = model->state;
    if (!s) return;
    serve_sr_drop_folder(s);
    sr_enlarger_close(s->network);
    store_close(s->file);
    free(s);
    model->state = NULL;
}

const struct serve_kind serve_kind_sr = {.task = &task_sr,
                                         .endpoints = 1u << SERVE_UPSCALE,
                                         .unit = "tiles",
                                         .least = 1,
                                         .prepare = serve_sr_prepare,
                                         .run = serve_sr_run,
                                         .finish = serve_sr_finish,
                                         .unload = serve_sr_unload};
