/* What a checkpoint and a model of diffusion hold. A model's tensors have the names that S3-DiT's
 * have elsewhere; beside them stands the table of conditions. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config/config.h"
#include "data/dataset.h"
#include "diffusion/diffusion_task.h"
#include "diffusion/model/model_write.h"
#include "diffusion/text/token_tables.h"
#include "nn/trained_file.h"
#include "nn/weights_file.h"
#include "store/checkpoint.h"
#include "store/pending_report.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"
#include "task/task.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the report of a step says besides its measurement. */
enum { REPORT_NUMBERS = 4 };
static void diffusion_list_numbers(struct task_state *s, struct pending_number list[REPORT_NUMBERS])
{
    const struct pending_number all[REPORT_NUMBERS] = {{"loss", &s->report.loss},
                                                       {"grad_norm", &s->report.grad_norm},
                                                       {"lr", &s->now.adam.lr},
                                                       {"ema", &s->now.ema}};
    memcpy(list, all, sizeof all);
}

/* ---- writing ---- */

/* What using the network needs to know: its shape, and what its classes are called. */
static int diffusion_store_shape(const struct task_state *s, struct store_writer *writer)
{
    char key[40];
    TRY(diffusion_design_store(&s->design, writer));
    TRY(store_set_double(writer, "diffusion.shift", s->config->diffusion.shift));
    for (int i = 0; !s->data.captions && i < s->data.classes; i++) {
        snprintf(key, sizeof key, "diffusion.class.%d", i);
        TRY(store_set(writer, key, dataset_class_name(s->data.set, i)));
    }
    return OK;
}

int diffusion_save(struct task_state *s, struct store_writer *writer)
{
    const struct trained_net *net = &s->core->net;
    char text[32];
    struct pending_number numbers[REPORT_NUMBERS];
    TRY(diffusion_collect(s, s->steps_done));
    TRY(trained_file_store(&s->core->net, s->device, "", "diffusion", writer));
    snprintf(text, sizeof text, "%016" PRIx64, s->data.fingerprint);
    TRY(store_set(writer, "diffusion.fingerprint", text));
    TRY(diffusion_store_shape(s, writer));
    TRY(images_seen_store(&s->seen, "diffusion", s->config->diffusion.batch, writer));
    diffusion_list_numbers(s, numbers);
    if (s->held.pending)
        TRY(pending_report_store(writer, "diffusion", s->held.pending, numbers, REPORT_NUMBERS));
    if (s->held.step == 0) return OK;
    TRY(store_set_int(writer, "diffusion.best_step", s->held.step));
    TRY(store_set_double(writer, "diffusion.best_held_loss", s->held.best));
    return weights_store(writer, "best.", &net->net, s->held.ema);
}

static int diffusion_store_model(const struct task_state *s, const float *parameters,
                                 struct store_writer *writer)
{
    TRY(diffusion_store_shape(s, writer));
    return weights_store(writer, "", &s->core->net.net, parameters);
}

int diffusion_save_model(struct task_state *s, struct store_writer *writer)
{
    float *ema;
    TRY(trained_net_pull(&s->core->net, s->device, TRAINED_EMA, &ema));
    return diffusion_store_model(s, ema, writer);
}

int diffusion_save_best(struct task_state *s, struct store_writer *writer, int64_t *step)
{
    *step = s->held.step;
    return *step > 0 ? diffusion_store_model(s, s->held.ema, writer) : OK;
}

/* The averaged network once more, as a folder that `imgtrain generate` and diffusers open. */
int diffusion_write_folder(struct task_state *s, const char *run_dir)
{
    const struct diffusion_network *network = &s->core->network;
    int count = s->data.captions ? 0 : s->data.classes;
    const char **names = calloc((size_t)count + 1, sizeof *names);
    char *folder = path_join(run_dir, "model");
    struct tokenizer *text = NULL;
    float *ema;
    int code = names && folder ? OK : fail(ERR_SYSTEM, "out of memory");
    TRY_CLEANUP(code);
    for (int i = 0; i < count; i++)
        names[i] = dataset_class_name(s->data.set, i);
    TRY_CLEANUP(s->data.captions ? tokenizer_of_bytes(&text)
                                 : tokenizer_of_labels(&text, count, names));
    TRY_CLEANUP(trained_net_pull(&s->core->net, s->device, TRAINED_EMA, &ema));
    const struct model_writing writing = {
        .dit = &network->model,
        .parameters = ema,
        .table = ema + network->table,
        .text = text,
        .vae = s->design.factor ? &s->vae : NULL,
        .shift = s->config->diffusion.shift,
        .defaults = {.width = diffusion_width(s->config),
                     .height = diffusion_height(s->config),
                     .steps = (int)s->config->diffusion.sample_steps,
                     .guidance = s->data.classes ? s->config->diffusion.guidance : 0,
                     .seed = fmin((double)(uint64_t)s->config->seed, 0x1p53)}};
    code = model_folder_write(folder, &writing);
cleanup:
    tokenizer_close(text);
    free(names);
    free(folder);
    return code;
}

/* ---- reading ---- */

int diffusion_expect_checkpoint(const struct task_state *s, const struct store_file *file)
{
    return trained_file_expect(&s->core->net, "", file);
}

int diffusion_check_data(const struct task_state *s, const struct task_setup *setup)
{
    const char *fingerprint = store_get(setup->resume, "diffusion.fingerprint");
    const char *folder = setup->config->diffusion.data;
    if (!fingerprint)
        return fail(ERR_DATA, "%s: metadata diffusion.fingerprint is missing",
                    store_path(setup->resume));
    if (strtoull(fingerprint, NULL, 16) == s->data.fingerprint) return OK;
    if (!setup->allow_changed_input)
        return fail(ERR_CONFIG,
                    "%s: these are not the images that this run began with: put them back, or go "
                    "on with these by --allow-changed-input",
                    folder);
    log_warning("--allow-changed-input: going on with the images of %s, which are not those that "
                "this run began with",
                folder);
    if (setup->input_changed) *setup->input_changed = true;
    return OK;
}

int diffusion_load(struct task_state *s, const struct store_file *file)
{
    struct trained_net *net = &s->core->net;
    struct pending_number numbers[REPORT_NUMBERS];
    TRY(trained_file_load(&s->core->net, s->device, "", "diffusion", file));
    diffusion_list_numbers(s, numbers);
    TRY(pending_report_load(file, "diffusion", s->steps_done, &s->held.pending, numbers,
                            REPORT_NUMBERS));
    if (!store_get(file, "diffusion.best_step")) return OK;
    TRY(store_get_int_in(file, "diffusion.best_step", 1, CHECKPOINT_MOST_STEPS, &s->held.step));
    TRY(store_get_double_in(file, "diffusion.best_held_loss", store_not_negative(), &s->held.best));
    return weights_load(file, "best.", &net->net, store_finite(), s->held.ema);
}
