/* What a checkpoint and a model of vae hold. Tensors have the names that an AutoencoderKL's have
 * elsewhere. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config/config.h"
#include "data/dataset.h"
#include "diffusion/vae/kl_file.h"
#include "diffusion/vae/vae_task.h"
#include "nn/trained_file.h"
#include "nn/weights_file.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"
#include "task/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- a step whose measurement was stopped: what else its report says ---- */

enum { REPORT_NUMBERS = 7 };
struct vae_number {
    const char *key;
    double *value;
};

static void vae_list_numbers(struct task_state *s, struct vae_number list[REPORT_NUMBERS])
{
    const struct vae_number all[REPORT_NUMBERS] = {{"vae.report.loss", &s->report.loss},
                                                   {"vae.report.l1", &s->report.l1},
                                                   {"vae.report.ssim", &s->report.ssim},
                                                   {"vae.report.kl", &s->report.kl},
                                                   {"vae.report.grad_norm", &s->report.grad_norm},
                                                   {"vae.report.lr", &s->now.adam.lr},
                                                   {"vae.report.ema", &s->now.ema}};
    for (int i = 0; i < REPORT_NUMBERS; i++)
        list[i] = all[i];
}

static int vae_store_pending(struct task_state *s, struct store_writer *writer)
{
    struct vae_number list[REPORT_NUMBERS];
    vae_list_numbers(s, list);
    TRY(store_set_int(writer, "vae.pending", s->held.pending));
    for (int i = 0; i < REPORT_NUMBERS; i++)
        TRY(store_set_double(writer, list[i].key, *list[i].value));
    return OK;
}

static int vae_load_pending(struct task_state *s, const struct store_file *file)
{
    struct vae_number list[REPORT_NUMBERS];
    int64_t *pending = &s->held.pending;
    if (!store_get(file, "vae.pending")) return OK;
    TRY(store_get_int_in(file, "vae.pending", 1, CHECKPOINT_MOST_STEPS, pending));
    if (*pending != s->steps_done)
        return fail(ERR_DATA, "%s: vae.pending is %" PRId64 ", but the step %" PRId64,
                    store_path(file), *pending, s->steps_done);
    vae_list_numbers(s, list);
    for (int i = 0; i < REPORT_NUMBERS; i++)
        TRY(store_get_double_in(file, list[i].key, store_finite(), list[i].value));
    return OK;
}

/* ---- writing ---- */

int vae_save(struct task_state *s, struct store_writer *writer)
{
    char text[32];
    TRY(vae_collect(s, s->steps_done));
    TRY(trained_file_store(&s->core->net, s->device, "", "vae", writer));
    snprintf(text, sizeof text, "%016" PRIx64, dataset_fingerprint(s->set));
    TRY(store_set(writer, "vae.fingerprint", text));
    return s->held.pending ? vae_store_pending(s, writer) : OK;
}

int vae_save_model(struct task_state *s, struct store_writer *writer)
{
    float *ema;
    struct kl_config config = s->design;
    TRY(vae_measure_latents(s, &config.shift, &config.scaling));
    TRY(kl_store_config(writer, &config));
    TRY(store_set_int(writer, "vae.size", s->config->vae.size));
    TRY(trained_net_pull(&s->core->net, s->device, TRAINED_EMA, &ema));
    return weights_store(writer, "", &s->core->net.net, ema);
}

int vae_write_folder(struct task_state *s, const char *run_dir)
{
    float *ema;
    struct kl_config config = s->design;
    char *folder = path_join(run_dir, "vae");
    int code = folder ? vae_measure_latents(s, &config.shift, &config.scaling) : ERR_SYSTEM;
    if (code == OK) code = trained_net_pull(&s->core->net, s->device, TRAINED_EMA, &ema);
    if (code == OK)
        code = kl_write_folder(folder, &config, (int)s->config->vae.size, &s->core->net.net, ema);
    free(folder);
    return code;
}

/* ---- reading ---- */

int vae_expect_checkpoint(const struct task_state *s, const struct store_file *file)
{
    return trained_file_expect(&s->core->net, "", file);
}

int vae_check_data(const struct task_state *s, const struct task_setup *setup)
{
    const char *fingerprint = store_get(setup->resume, "vae.fingerprint");
    const char *folder = setup->config->vae.data;
    if (!fingerprint)
        return fail(ERR_DATA, "%s: metadata vae.fingerprint is missing", store_path(setup->resume));
    if (strtoull(fingerprint, NULL, 16) == dataset_fingerprint(s->set)) return OK;
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

int vae_load(struct task_state *s, const struct store_file *file)
{
    TRY(trained_file_load(&s->core->net, s->device, "", "vae", file));
    return vae_load_pending(s, file);
}
