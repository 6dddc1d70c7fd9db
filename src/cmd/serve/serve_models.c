#include "cmd/serve/serve_models.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "cmd/cmd_load.h"
#include "cmd/info/info_model.h"
#include "device/device.h"
#include "diffusion/model/model_folder.h"
#include "image/image.h"
#include "registry/device_check.h"
#include "registry/devices.h"
#include "sr/enlarger.h"
#include "sr/pretrained.h"
#include "store/checkpoint.h"
#include "task/task.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { CLIMB_SECONDS = 60, CLIMB_MOST_SECONDS = 3600 };
enum { SMALL_JOB = 4 }; /* images; larger ones are not done together */

/* ---- for the kinds ---- */

int serve_model_add(struct serve_job *job, const struct image *image, uint64_t seed)
{
    uint8_t *png;
    size_t bytes;
    TRY(image_encode_png(image, &png, &bytes));
    serve_job_add_image(job, png, bytes, seed);
    return OK;
}

int serve_model_check_pixels(const struct serve_model *model, int64_t w, int64_t h, int n)
{
    if (w <= IMAGE_MAX_SIDE && h <= IMAGE_MAX_SIDE && w * h * n <= model->all->pixels) return OK;
    return fail(ERR_USAGE,
                "%d image%s of %" PRId64 "x%" PRId64 ": more than the %" PRId64
                " pixels that this server makes for a request",
                n, n == 1 ? "" : "s", w, h, model->all->pixels);
}

int serve_model_check_time(const struct serve_model *model)
{
    return model->all->late() ? fail(ERR_STOPPED, "the request takes too long") : OK;
}

int serve_model_seed(struct serve_job *job)
{
    if (job->ask.has_seed) return OK;
    uint32_t seed; /* all generators of noise take 32 bits, and JSON's numbers hold them */
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) return fail(ERR_SYSTEM, "no random seed");
    job->ask.seed = seed;
    job->ask.has_seed = true;
    return OK;
}

/* Messages of commands name options as --size: here these are keys. */
static void models_name_keys(const char *message, char *text, size_t room)
{
    size_t used = 0;
    for (const char *at = message; *at && used + 1 < room; at++) {
        bool begins = at == message || at[-1] == ' ';
        if (begins && at[0] == '-' && at[1] == '-' && at[2] >= 'a' && at[2] <= 'z') at += 2;
        text[used++] = *at;
    }
    text[used] = '\0';
}

/* What is wrong with a model is the log's. */
void serve_model_fail(const struct serve_model *model, struct serve_job *job, int code)
{
    const char *message = error_message();
    char text[512];
    switch (code) {
    case ERR_USAGE:
        models_name_keys(message, text, sizeof text);
        serve_job_fail(job, 400, NULL, "%s", text);
        return;
    case ERR_STOPPED: serve_job_fail(job, 504, "timeout", "the request takes too long"); return;
    case ERR_DEVICE_MEMORY:
        serve_job_fail(job, 503, "out_of_memory", "there is not enough memory for this request");
        break;
    default: serve_job_fail(job, 500, NULL, "the model %s failed", model->name); break;
    }
    log_error("%s: %s", model->name, message);
}

/* ---- one call ---- */

/* Jobs of one model. */
struct serve_call {
    struct serve_model *model;
    struct serve_job *const *jobs;
    int count;
};

static void models_count(struct serve_models *models)
{
    int loaded = 0;
    size_t bytes = models->opened ? models->opened->used_bytes : 0;
    for (int i = 0; i < models->count; i++) {
        const struct serve_model *m = &models->list[i];
        loaded += m->state != NULL;
        if (m->fallback.device && m->fallback.device != models->opened)
            bytes += m->fallback.device->used_bytes;
    }
    atomic_store(&models->loaded, loaded);
    atomic_store(&models->device_bytes, bytes);
}

static int models_attempt(void *context, struct device *device, int at_once)
{
    struct serve_model *model = context;
    const struct serve_call *call = model->all->call;
    device->stop_requested = model->all->late;
    for (int i = 0; i < call->count; i++)
        serve_job_clear_images(call->jobs[i]); /* of an attempt that failed */
    int code = model->kind->run(model, device, at_once, call->jobs, call->count);
    device->stop_requested = NULL;
    return code;
}

/* The memory of all other models, which are loaded again when they are asked. */
static bool models_relieve(void *context)
{
    struct serve_model *model = context;
    struct serve_models *models = model->all;
    bool any = false;
    for (int i = 0; i < models->count; i++) {
        struct serve_model *other = &models->list[i];
        if (other == model || !other->state || other->fallback.device != model->fallback.device)
            continue;
        log_info("%s: unloaded for %s", other->name, model->name);
        other->kind->unload(other);
        any = true;
    }
    return any;
}

/* The device of all models, held against this one's operations. */
static int models_open_device(struct serve_models *models, struct serve_model *model)
{
    const struct task *task = model->kind->task;
    const struct device_use use = {
        .task = task, .spec = models->device, .limit = models->memory_limit};
    if (!models->opened) return device_open_for(&models->opened, &use);
    return device_check(models->opened, task, false);
}

static int models_open_fallback(struct serve_models *models, struct serve_model *model)
{
    struct fallback *f = &model->fallback;
    if (f->device) return OK;
    *f = (struct fallback){.task = model->kind->task,
                           .whole = model->kind->whole,
                           .least = model->kind->least,
                           .unit = model->kind->unit,
                           .attempt = models_attempt,
                           .context = model,
                           .relieve = models_relieve};
    int code = models_open_device(models, model);
    f->lent = code == OK ? models->opened : NULL;
    const char *device = models->device;
    if (code < 0 &&
        strcmp(device, "auto") == 0) { /* its check failed, or there is no room for it */
        log_warning("%s: going on with the CPU", error_message());
        device = "cpu";
        model->is_barred = code != ERR_DEVICE_MEMORY;
        code = OK;
    }
    return code < 0 ? code : fallback_open(f, device, models->memory_limit);
}

/* Without a device, as before its first work and once it goes back, it has not. */
static bool models_has_fallen(const struct serve_model *model)
{
    return model->fallback.device && model->fallback.device != model->fallback.lent;
}

/* Down to less at a time counts where it would stay so. */
static bool models_is_low(const struct serve_model *model)
{
    const struct fallback *f = &model->fallback;
    if (!f->device || model->is_barred) return false;
    return models_has_fallen(model) || (!model->kind->prepare && f->at_once < f->whole);
}

/* Sets when the device is tried again: ever later, until all is as it was. */
static void models_plan_climb(struct serve_model *model)
{
    double now = clock_seconds();
    if (!models_is_low(model)) {
        model->climb_at = model->pause = 0;
    } else if (model->climb_at <= now) {
        model->pause = model->pause > 0    ? fmin(2 * model->pause, CLIMB_MOST_SECONDS)
                       : load_is_testing() ? 1e-3
                                           : CLIMB_SECONDS;
        model->climb_at = now + model->pause;
    }
}

/* Whoever took the device's memory may have given it back. */
static void models_climb(struct serve_model *model)
{
    if (model->climb_at == 0 || clock_seconds() < model->climb_at) return;
    log_info("%s: the device again, with %d %s at a time", model->name, model->fallback.whole,
             model->kind->unit);
    model->kind->unload(model);
    fallback_close(&model->fallback);
}

static int models_call(struct serve_model *model, struct serve_job *const *jobs, int count)
{
    const struct serve_kind *kind = model->kind;
    struct serve_call call = {model, jobs, count};
    model->all->call = &call;
    TRY(models_open_fallback(model->all, model));
    if (kind->prepare) {
        TRY(kind->prepare(model, jobs[0], &model->fallback.whole));
        model->fallback.at_once = model->fallback.whole;
    }
    return jobs[0]->status ? OK : fallback_call(&model->fallback);
}

static void models_run(void *context, struct serve_job *const *jobs, int count, bool (*late)(void))
{
    struct serve_models *models = context;
    struct serve_model *model = &models->list[jobs[0]->model];
    models_climb(model);
    bool was_loaded = model->state != NULL, had_fallen = models_has_fallen(model);
    models->late = late;
    int code = models_call(model, jobs, count);
    for (int i = 0; code < 0 && i < count; i++)
        serve_model_fail(model, jobs[i], code);
    if (model->kind->finish) model->kind->finish(model);
    if (!had_fallen && models_has_fallen(model)) atomic_fetch_add(&models->fallen, 1);
    if (!was_loaded && model->state) log_info("%s: loaded", model->name);
    models_plan_climb(model);
    models_count(models);
}

/* ---- which model ---- */

static void models_choose(void *context, struct serve_job *job)
{
    const struct serve_models *models = context;
    const char *name = job->ask.model;
    for (int i = 0; i < models->count; i++) {
        const struct serve_model *m = &models->list[i];
        bool can = m->kind->endpoints >> job->ask.endpoint & 1;
        if (name ? strcmp(name, m->name) != 0 : !can) continue;
        job->model = i;
        job->ask.wrong = can ? NULL : "model";
        if (!can)
            serve_job_fail(job, 400, NULL, "%s is a model of task %s, which %s is not for", name,
                           m->kind->task->name, serve_endpoint_path(job->ask.endpoint));
        return;
    }
    job->ask.wrong = "model";
    if (name)
        serve_job_fail(job, 404, "model_not_found", "there is no model %.60s here", name);
    else
        serve_job_fail(job, 404, "model_not_found", "no model of this server is for %s",
                       serve_endpoint_path(job->ask.endpoint));
}

static bool models_join(void *context, const struct serve_job *one, const struct serve_job *other)
{
    const struct serve_models *models = context;
    return one->model == other->model && models->list[one->model].kind->joins &&
           one->ask.n <= SMALL_JOB && other->ask.n <= SMALL_JOB;
}

static void models_list(void *context, FILE *out)
{
    const struct serve_models *models = context;
    for (int i = 0; i < models->count; i++) {
        fputs(i ? ", {\"id\": " : "{\"id\": ", out);
        json_write_string(out, models->list[i].name);
        fprintf(out, ", \"object\": \"model\", \"owned_by\": \"imgtrain\", \"task\": \"%s\"}",
                models->list[i].kind->task->name);
    }
}

static void models_measure(void *context, FILE *out)
{
    struct serve_models *models = context;
    fprintf(out,
            "# HELP imgtrain_models_loaded Models in memory.\n"
            "# TYPE imgtrain_models_loaded gauge\nimgtrain_models_loaded %d\n"
            "# HELP imgtrain_device_memory_bytes Allocated on the device now.\n"
            "# TYPE imgtrain_device_memory_bytes gauge\nimgtrain_device_memory_bytes %zu\n"
            "# HELP imgtrain_fallbacks_total Models that went on with the CPU for want of memory.\n"
            "# TYPE imgtrain_fallbacks_total counter\nimgtrain_fallbacks_total %d\n",
            atomic_load(&models->loaded), atomic_load(&models->device_bytes),
            atomic_load(&models->fallen));
}

struct serve_backend serve_models_backend(struct serve_models *models)
{
    return (struct serve_backend){models,     models_choose, models_join,
                                  models_run, models_list,   models_measure};
}

/* ---- the list ---- */

static const struct serve_kind *const models_kinds[] = {&serve_kind_gan, &serve_kind_diffusion,
                                                        &serve_kind_splat, &serve_kind_sr};

/* A folder as diffusers lays it out, or a network that another program trained. */
static bool models_is_foreign(struct serve_model *model)
{
    struct store_file *file = NULL;
    struct sr_design design;
    char *folder = NULL;
    if (model_folder_find(&folder, model->path) == OK && info_is_model(folder))
        model->kind = &serve_kind_diffusion;
    free(folder);
    if (model->kind) return true;
    if (!file_is_dir(model->path) && sr_pretrained_open(&file, model->path) == OK &&
        sr_enlarger_design(&design, file) == OK)
        model->kind = &serve_kind_sr;
    store_close(file);
    return model->kind != NULL;
}

/* By what the file says of itself. */
static int models_find_kind(struct serve_model *model)
{
    struct store_file *file;
    char why[320];
    int opened = checkpoint_open(model->path, &file);
    snprintf(why, sizeof why, "%s", error_message());
    if (opened < 0) return models_is_foreign(model) ? OK : fail(opened, "%s", why);
    const char *task = store_get(file, "task");
    for (size_t i = 0; task && i < sizeof models_kinds / sizeof *models_kinds; i++)
        if (strcmp(models_kinds[i]->task->name, task) == 0) model->kind = models_kinds[i];
    int code = model->kind ? OK
                           : fail(ERR_DATA, "%s: a model of task %s cannot be served", model->path,
                                  task ? task : "?");
    store_close(file);
    return code;
}

/* runs/a/model.safetensors is a, and so is runs/a. */
static char *models_name(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    char *name = string_format("%.*s", (int)length, path), *slash;
    if (!name) return NULL;
    slash = strrchr(name, '/');
    const char *last = slash ? slash + 1 : name;
    if (slash && slash > name &&
        (strcmp(last, "model.safetensors") == 0 || strcmp(last, "best.safetensors") == 0)) {
        *slash = '\0';
        slash = strrchr(name, '/');
        last = slash ? slash + 1 : name;
    }
    const char *end = strstr(last, ".safetensors");
    char *own =
        string_format("%.*s", (int)(end && end > last ? (size_t)(end - last) : strlen(last)), last);
    free(name);
    return own;
}

static int models_add(struct serve_models *models, const char *operand)
{
    struct serve_model *model = &models->list[models->count];
    const char *equals = strchr(operand, '=');
    bool named = equals && equals > operand && !memchr(operand, '/', (size_t)(equals - operand));
    model->all = models;
    model->path = named ? equals + 1 : operand;
    model->name =
        named ? string_format("%.*s", (int)(equals - operand), operand) : models_name(operand);
    if (!model->name) return ERR_SYSTEM;
    models->count++;
    for (int i = 0; i + 1 < models->count; i++)
        if (strcmp(models->list[i].name, model->name) == 0)
            return fail(ERR_USAGE, "%s: two models are named %s: NAME=%s gives it another", operand,
                        model->name, model->path);
    return models_find_kind(model);
}

/* That a device of this name is there. The thread that works opens its own, as CUDA is chosen for
 * each thread. */
static int models_check_device(const char *spec)
{
    struct device *device;
    if (strcmp(spec, "auto") == 0) return OK;
    int code = device_open(&device, spec, 0);
    device_close(device);
    return code == ERR_DEVICE_MEMORY ? OK : code; /* there may be some when it is asked */
}

int serve_models_open(struct serve_models *models, char *const *operands, int count)
{
    TRY(models_check_device(models->device));
    models->list = calloc((size_t)count, sizeof *models->list);
    if (!models->list) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < count; i++)
        TRY(models_add(models, operands[i]));
    return OK;
}

void serve_models_close(struct serve_models *models)
{
    for (int i = 0; i < models->count; i++) {
        struct serve_model *model = &models->list[i];
        if (model->kind) model->kind->unload(model);
        fallback_close(&model->fallback);
        free(model->name);
    }
    device_close(models->opened);
    free(models->list);
    *models = (struct serve_models){0};
}
