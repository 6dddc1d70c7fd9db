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
#include "store/pending_report.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"
#include "task/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the report of a step says besides its measurement. */
enum { REPORT_NUMBERS = 7 };
static void vae_list_numbers(struct task_state *s, struct pending_number list[REPORT_NUMBERS])
{
    const struct pending_number all[REPORT_NUMBERS] = {{"loss", &s->report.loss},
                                                       {"l1", &s->report.l1},
                                                       {"ssim", &s->report.ssim},
                                                       {"kl", &s->report.kl},
                                                       {"grad_norm", &s->report.grad_norm},
                                                       {"lr", &s->now.adam.lr},
                                                       {"ema", &s->now.ema}};
    memcpy(list, all, sizeof all);
}

/* ---- writing ---- */

static int vae_store_shape(const struct task_state *s, const struct kl_config *config,
                           struct store_writer *writer)
{
    TRY(kl_store_config(writer, config));
    return store_set_int(writer, "vae.size", s->config->vae.size);
}

int vae_save(struct task_state *s, struct store_writer *writer)
{
    char text[32];
    struct pending_number numbers[REPORT_NUMBERS];
    TRY(vae_collect(s, s->steps_done));
    TRY(trained_file_store(&s->core->net, s->device, "", "vae", writer));
    TRY(vae_store_shape(s, &s->design, writer));
    snprintf(text, sizeof text, "%016" PRIx64, dataset_fingerprint(s->set));
    TRY(store_set(writer, "vae.fingerprint", text));
    vae_list_numbers(s, numbers);
    if (!s->held.pending) return OK;
    return pending_report_store(writer, "vae", s->held.pending, numbers, REPORT_NUMBERS);
}

int vae_save_model(struct task_state *s, struct store_writer *writer)
{
    float *ema;
    struct kl_config config = s->design;
    TRY(vae_measure_latents(s, &config.shift, &config.scaling));
    TRY(vae_store_shape(s, &config, writer));
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
    struct pending_number numbers[REPORT_NUMBERS];
    TRY(trained_file_load(&s->core->net, s->device, "", "vae", file));
    vae_list_numbers(s, numbers);
    return pending_report_load(file, "vae", s->steps_done, &s->held.pending, numbers,
                               REPORT_NUMBERS);
}
