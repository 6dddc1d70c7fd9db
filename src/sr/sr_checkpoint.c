/* What a checkpoint and a model of sr hold. A model's tensors are those that other programs expect,
 * and no more: all else is metadata. */
#include "base/error.h"
#include "base/log.h"
#include "config/config.h"
#include "image/image.h"
#include "nn/trained_file.h"
#include "nn/weights_file.h"
#include "sr/discriminator/sr_gan_files.h"
#include "sr/sr_task.h"
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

/* What the report of a step says besides scores. Returns how many numbers that is. */
enum { REPORT_NUMBERS_MOST = SR_TERMS + 8 };
static int sr_list_numbers(struct task_state *s, struct pending_number list[REPORT_NUMBERS_MOST])
{
    int count = 0;
    struct sr_gan_report *gan = &s->report.gan;
    bool clips = s->core->losses.choices.grad_clip > 0, has_gan = sr_core_has_gan(s->core);
    const struct {
        struct pending_number number;
        bool is_there;
    } others[] = {{{"loss", &s->report.loss}, true},
                  {{"lr", &s->now.adam.lr}, true},
                  {{"grad_norm", &s->report.grad_norm}, clips},
                  {{"gan", &gan->loss}, has_gan},
                  {{"feature", &gan->feature}, has_gan},
                  {{"d_loss", &gan->d_loss}, has_gan},
                  {{"d_real", &gan->score_real}, has_gan},
                  {{"d_fake", &gan->score_made}, has_gan}};
    for (int t = 0; t < SR_TERMS; t++)
        if (sr_term_is_shown(&s->core->losses.choices, t))
            list[count++] =
                (struct pending_number){sr_term_name((enum sr_term)t), &s->report.term[t]};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].is_there) list[count++] = others[i].number;
    return count;
}

int sr_save(struct task_state *s, struct store_writer *writer)
{
    const struct net *net = &s->core->net.net;
    char text[32];
    struct pending_number numbers[REPORT_NUMBERS_MOST];
    TRY(sr_collect(s, s->steps_done));
    if (s->design.norm) TRY(store_set_int(writer, "sr.norm", 1));
    TRY(trained_file_store(&s->core->net, s->device, "", "sr", writer));
    if (sr_core_has_gan(s->core)) TRY(sr_gan_save(&s->core->gan, writer));
    snprintf(text, sizeof text, "%016" PRIx64, s->data.fingerprint);
    if (s->data.cached) TRY(store_set(writer, "sr.fingerprint", text));
    snprintf(text, sizeof text, "%016" PRIx64, s->data.listing);
    TRY(store_set(writer, "sr.listing", text));
    if (s->feed.degrades) TRY(store_set(writer, "sr.jpeg", image_jpeg_version()));
    TRY(sr_store_work(s, writer));
    if (s->best.pending)
        TRY(pending_report_store(writer, "sr", s->best.pending, numbers,
                                 sr_list_numbers(s, numbers)));
    if (s->best.step == 0) return OK;
    TRY(store_set_int(writer, "sr.best_step", s->best.step));
    TRY(store_set_double(writer, "sr.best_psnr_y", s->best.psnr_y));
    return weights_store(writer, "best.", net, s->best.ema);
}

static int sr_store_model(const struct task_state *s, const float *parameters,
                          struct store_writer *writer)
{
    TRY(store_set_int(writer, "sr.scale", s->design.scale));
    TRY(store_set(writer, "sr.network", sr_network_name(s->design.network)));
    return sr_network_store(&s->design, &s->core->net.net, parameters, s->stored, writer);
}

int sr_save_model(struct task_state *s, struct store_writer *writer)
{
    float *ema;
    TRY(trained_net_pull(&s->core->net, s->device, TRAINED_EMA, &ema));
    return sr_store_model(s, ema, writer);
}

int sr_save_best(struct task_state *s, struct store_writer *writer, int64_t *step)
{
    *step = s->best.step;
    return *step > 0 ? sr_store_model(s, s->best.ema, writer) : OK;
}

int sr_expect_checkpoint(const struct task_state *s, const struct store_file *file)
{
    TRY(trained_file_expect(&s->core->net, "", file));
    return sr_core_has_gan(s->core) ? sr_gan_expect(&s->core->gan, file) : OK;
}

/* By their samples where both runs have a cache, else by names and sizes. */
static int sr_same_data(const struct task_state *s, const struct store_file *file, bool *same)
{
    const char *samples = store_get(file, "sr.fingerprint"),
               *listing = store_get(file, "sr.listing");
    if (samples && s->data.cached)
        *same = strtoull(samples, NULL, 16) == s->data.fingerprint;
    else if (listing)
        *same = strtoull(listing, NULL, 16) == s->data.listing;
    else if (samples)
        return fail(ERR_CONFIG,
                    "sr.cache: this run's checkpoint can be resumed with a cache alone");
    else
        return fail(ERR_DATA, "%s: metadata sr.fingerprint is missing", store_path(file));
    return OK;
}

int sr_check_data(const struct task_state *s, const struct task_setup *setup)
{
    const char *folder = setup->config->sr.dataroot_gt;
    bool same = false;
    TRY(sr_same_data(s, setup->resume, &same));
    if (same) return OK;
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

/* Another library may make other bytes of the same image and quality. */
static void sr_check_jpeg(const struct task_state *s, const struct store_file *file)
{
    const char *then = store_get(file, "sr.jpeg"), *now = image_jpeg_version();
    if (s->feed.degrades && then && strcmp(then, now) != 0)
        log_warning("this run was begun with %s, and this is %s: from here on its patches may "
                    "differ from those that it would have seen",
                    then, now);
}

int sr_load(struct task_state *s, const struct store_file *file)
{
    struct trained_net *net = &s->core->net;
    struct pending_number numbers[REPORT_NUMBERS_MOST];
    sr_check_jpeg(s, file);
    TRY(trained_file_load(&s->core->net, s->device, "", "sr", file));
    if (sr_core_has_gan(s->core)) TRY(sr_gan_load(&s->core->gan, file));
    TRY(pending_report_load(file, "sr", s->steps_done, &s->best.pending, numbers,
                            sr_list_numbers(s, numbers)));
    if (!store_get(file, "sr.best_step")) return OK;
    TRY(store_get_int_in(file, "sr.best_step", 1, CHECKPOINT_MOST_STEPS, &s->best.step));
    TRY(store_get_double_in(file, "sr.best_psnr_y", store_finite(), &s->best.psnr_y));
    return weights_load(file, "best.", &net->net, store_finite(), s->best.ema);
}
