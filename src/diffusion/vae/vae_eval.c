#include "diffusion/vae/vae_eval.h"

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "data/dataset.h"
#include "diffusion/latent/latent_codec.h"
#include "memory/plan.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"
#include "task/task.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { EVAL_SIDE_MOST = 1024 };

double vae_psnr(const float *made, const float *image, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double colour = fmin(fmax((double)made[i], -1), 1);
        double d = (colour - (double)image[i]) / 2;
        sum += d * d;
    }
    return -10 * log10(fmax(sum / (double)count, 1e-10));
}

struct vae_eval {
    const struct task_evaluation *wanted;
    struct kl_folder vae;
    struct latent_codec codec;
    struct plan *plan; /* of the codec alone */
    struct dataset *set;
    int side, count;
    size_t latent_count; /* numbers of an image's latents */
    float *image, *made, *latents;
    double psnr, least, sum, squares; /* sums: of latents */
    double numbers;
};

/* The mean, as a denoiser takes it, and what the decoder makes of it. */
static int eval_make_again(struct vae_eval *e)
{
    const struct kl_config *config = &e->vae.config;
    TRY(latent_codec_begin(&e->codec, false));
    TRY(latent_codec_encode(&e->codec, e->image, e->latents, NULL));
    for (size_t i = 0; i < e->latent_count; i++)
        e->latents[i] = (e->latents[i] - (float)config->shift) * (float)config->scaling;
    TRY(latent_codec_begin(&e->codec, true));
    return latent_codec_decode(&e->codec, e->latents, e->made);
}

static int eval_image(struct vae_eval *e, int index)
{
    int trained = dataset_train_count(e->set);
    size_t floats = (size_t)e->side * (size_t)e->side * KL_IMAGE_CHANNELS;
    if (e->wanted->stop_requested && e->wanted->stop_requested())
        return fail(ERR_STOPPED, "stopped");
    const struct dataset_item item =
        index < trained ? dataset_train(e->set, index) : dataset_held(e->set, index - trained);
    dataset_item_values(e->set, &item, e->image);
    TRY(eval_make_again(e));
    double psnr = vae_psnr(e->made, e->image, floats);
    e->psnr += psnr / e->count;
    if (index == 0 || psnr < e->least) e->least = psnr;
    for (size_t i = 0; i < e->latent_count; i++) {
        e->sum += (double)e->latents[i];
        e->squares += (double)e->latents[i] * (double)e->latents[i];
        e->numbers++;
    }
    return OK;
}

static void vae_eval_print(const struct vae_eval *e)
{
    double mean = e->sum / e->numbers, deviation = sqrt(e->squares / e->numbers - mean * mean);
    const struct {
        const char *key;
        double value;
    } rows[] = {{"psnr", e->psnr},
                {"least_psnr", e->least},
                {"latent_mean", mean},
                {"latent_deviation", deviation}};
    if (e->wanted->json) printf("{\"images\": %d", e->count);
    if (!e->wanted->json) printf("%-16s %d\n", "images", e->count);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!e->wanted->json) {
            printf("%-16s %.3f\n", rows[i].key, rows[i].value);
            continue;
        }
        printf(", \"%s\": ", rows[i].key);
        json_write_number(stdout, rows[i].value);
    }
    if (e->wanted->json) puts("}");
}

static int eval_open_codec(struct vae_eval *e)
{
    e->plan = plan_create();
    if (!e->plan) return ERR_SYSTEM;
    TRY(latent_codec_declare(&e->codec, &e->vae, e->side, e->side, true, 0, e->wanted->device, 0,
                             e->plan));
    e->codec.stop_requested = e->wanted->stop_requested;
    return plan_commit(e->plan, e->wanted->device);
}

static int eval_open(struct vae_eval *e)
{
    int64_t side;
    TRY(store_get_int_in(e->wanted->model, "vae.size", 1, EVAL_SIDE_MOST, &side));
    e->side = (int)side;
    TRY(kl_folder_open_any(&e->vae, store_path(e->wanted->model)));
    if (e->vae.step >= 0)
        log_info("%s: the averaged network of a checkpoint, after %" PRId64
                 " steps; its latents are not normalised yet",
                 e->vae.path, e->vae.step);
    const struct dataset_options options = {.folder = e->wanted->input,
                                            .width = e->side,
                                            .height = e->side,
                                            .labels = SCAN_LABELS_NONE,
                                            .stop_requested = e->wanted->stop_requested};
    TRY(dataset_open(&e->set, &options));
    e->count = dataset_train_count(e->set) + dataset_held_count(e->set);
    if (e->wanted->samples > 0 && e->count > e->wanted->samples) e->count = e->wanted->samples;
    TRY(eval_open_codec(e));
    size_t image = (size_t)e->side * (size_t)e->side * KL_IMAGE_CHANNELS;
    e->latent_count = net_elements(&e->codec.decoder.net, 0);
    e->image = malloc((2 * image + e->latent_count) * sizeof *e->image);
    if (!e->image) return fail(ERR_SYSTEM, "out of memory");
    e->made = e->image + image;
    e->latents = e->made + image;
    return OK;
}

int vae_evaluate(const struct task_evaluation *wanted)
{
    struct vae_eval e = {.wanted = wanted};
    int code = eval_open(&e);
    for (int i = 0; code == OK && i < e.count; i++)
        code = eval_image(&e, i);
    if (code == OK) vae_eval_print(&e);
    plan_free(e.plan);
    latent_codec_close(&e.codec);
    kl_folder_close(&e.vae);
    dataset_close(e.set);
    free(e.image);
    return code;
}
