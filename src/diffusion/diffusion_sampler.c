#include "diffusion/diffusion_sampler.h"

#include "base/error.h"
#include "base/file.h"
#include "device/device.h"
#include "diffusion/latent/latent_codec.h"
#include "diffusion/model/model_folder.h"
#include "diffusion/text/token_tables.h"
#include "memory/plan.h"
#include "store/tensor_range.h"

#include <math.h>
#include <stdlib.h>

struct diffusion_sampler {
    struct device *device;
    struct diffusion_network network;
    struct net net;
    struct plan *plan;
    int micro;
    double shift;
    float *parameters;
    char *inputs, *host_inputs;          /* of the device, and of the host where that is another */
    float *out;                          /* [micro] images, of the device */
    float *predicted, *without, *images; /* likewise, of the host */
    const struct kl_folder *vae;         /* of a model in latent space, */
    struct latent_codec codec;
    float *decoded; /* and one image in pixels; NULL: images are that */
    float *host_parameters;
    char *path; /* of the file, for messages */
    bool (*stop_requested)(void);
};

/* What the network reads of `micro` images, one array behind the other. */
struct sampler_inputs {
    struct diffusion_samples samples;
    float *time;
    size_t bytes;
};

static struct sampler_inputs sampler_layout(const struct diffusion_sampler *s, char *memory)
{
    const struct diffusion_design *design = &s->network.design;
    size_t n = (size_t)s->micro, rows = n * (size_t)design->conditions.rows_most;
    size_t image = diffusion_image_floats(design);
    const size_t parts[] = {n * image * sizeof(float), n * sizeof(float), rows * sizeof(int),
                            n * sizeof(int), n * S3DIT_TIME_FEATURES * sizeof(float)};
    char *at[5];
    struct sampler_inputs in = {.bytes = 0};
    for (int i = 0; i < 5; i++) {
        at[i] = memory ? memory + in.bytes : NULL;
        in.bytes += plan_aligned(parts[i]);
    }
    in.samples = (struct diffusion_samples){.noisy = (void *)at[0],
                                            .time = (void *)at[1],
                                            .condition = (void *)at[2],
                                            .length = (void *)at[3]};
    in.time = (void *)at[4];
    return in;
}

static int sampler_declare_all(struct diffusion_sampler *s)
{
    const struct diffusion_design *design = &s->network.design;
    size_t image = diffusion_image_floats(design);
    size_t images = (size_t)s->micro * image * sizeof(float), in = sampler_layout(s, NULL).bytes;
    size_t weights = s->net.floats * sizeof(float), host = s->device->is_host ? 0 : 1;
    size_t pixels = (size_t)diffusion_shown_width(design) * (size_t)diffusion_shown_height(design);
    int phases, rows;
    const struct {
        const char *name;
        enum plan_kind kind;
        size_t bytes;
        void **slot;
    } buffers[] = {
        {"net.parameters", PLAN_PARAMETERS, weights, (void **)&s->parameters},
        {"inputs", PLAN_DATA, in, (void **)&s->inputs},
        {"out", PLAN_ACTIVATIONS, images, (void **)&s->out},
        {"predicted", PLAN_HOST, images, (void **)&s->predicted},
        {"guiding", PLAN_HOST, images, (void **)&s->without},
        {"images", PLAN_HOST, images, (void **)&s->images},
        {"decoded", PLAN_HOST, design->factor ? pixels * 3 * sizeof(float) : 0,
         (void **)&s->decoded},
        {"inputs.host", PLAN_HOST, host * in, (void **)&s->host_inputs},
        {"net.parameters.host", PLAN_HOST, host * weights, (void **)&s->host_parameters},
    };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        TRY(plan_declare(s->plan, buffers[i].name, buffers[i].kind, buffers[i].bytes, PLAN_ALWAYS,
                         buffers[i].slot));
    TRY(diffusion_network_declare(&s->network, s->micro, S3DIT_FORWARD_ONLY, s->device, s->plan,
                                  &phases));
    if (design->factor == 0) return OK;
    int width = diffusion_shown_width(design), height = diffusion_shown_height(design);
    TRY(plan_layout(s->plan));
    TRY(latent_codec_choose_rows(s->vae, height, width, false, s->device, s->plan, &rows));
    return latent_codec_declare(&s->codec, s->vae, height, width, false, rows, s->device,
                                phases + 1, s->plan);
}

/* Widened, into the flat range. */
static int sampler_widen(const struct diffusion_sampler *s, const struct store_tensor *tensor,
                         size_t count, float *to)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = (float)tensor_number(tensor, i);
        if (!isfinite(to[i]))
            return fail(ERR_DATA, "%s: tensor %s holds a NaN or an infinity", s->path,
                        tensor->name);
    }
    return OK;
}

static int sampler_load_weights(struct diffusion_sampler *s, const struct model_folder *model)
{
    const struct s3dit_model *dit = &s->network.model;
    float *to = s->host_parameters ? s->host_parameters : s->parameters;
    size_t table = (size_t)tokenizer_rows(model->reader.tokens) * (size_t)dit->config.text_dim;
    for (int i = 0; i < dit->list.tensor_count; i++)
        TRY(sampler_widen(s, model->weights[i], dit->list.tensors[i].count,
                          to + dit->list.tensors[i].offset));
    TRY(sampler_widen(s, model->reader.table, table, to + s->network.table));
    return device_send(s->device, s->parameters, to, s->net.floats * sizeof(float));
}

/* What the training had as its design. ERR_DATA for a model that is none of ours. */
static int sampler_design_of(struct diffusion_design *design, const struct model_folder *model)
{
    const struct tokenizer *text = model->reader.tokens;
    bool has_bytes = tokenizer_kind_of(text) == TOKENIZER_BYTES;
    int scale = model_scale(model), most = s3dit_text_most(&model->dit.config);
    TRY(model_expect_s3dit(model));
    *design = (struct diffusion_design){
        .dit = model->dit.config,
        .width = model->defaults.width / scale,
        .height = model->defaults.height / scale,
        .factor = model->has_vae ? scale : 0,
        .conditions = {.captions = has_bytes, .count = tokenizer_rows(text), .rows_most = 1}};
    if (has_bytes)
        design->conditions.rows_most = most < DIFFUSION_TEXT_MOST ? most : DIFFUSION_TEXT_MOST;
    if (design->width == 0 || design->height == 0)
        return fail(ERR_DATA, "%s: it does not say what size it was trained at", model->path);
    if (model->schedule.kind != SIGMA_SHIFT_STATIC)
        return fail(ERR_DATA,
                    "%s: its levels of noise depend on the image's size, which no "
                    "training has",
                    model->path);
    for (int byte = 0; has_bytes && byte < 256; byte++)
        if (tokenizer_byte(text, byte) != byte)
            return fail(ERR_DATA, "%s: its tokens are in another order than a training's",
                        model->path);
    if (tokenizer_none(text) != tokenizer_rows(text) - 1)
        return fail(ERR_DATA, "%s: the row that says nothing is not its table's last", model->path);
    if (s3dit_check_size(&design->dit, design->height, design->width,
                         design->conditions.rows_most) < 0)
        return fail_within(ERR_DATA, "%s", model->path);
    return OK;
}

int diffusion_sampler_open(struct diffusion_sampler **out, struct device *device,
                           const struct model_folder *model, int micro)
{
    struct diffusion_sampler *s = calloc(1, sizeof *s);
    struct diffusion_design design;
    int code = OK;
    *out = NULL;
    if (!s) return fail(ERR_SYSTEM, "out of memory");
    s->device = device;
    s->micro = micro > 0 ? micro : 1;
    s->plan = plan_create();
    s->path = string_format("%s", model->path);
    s->vae = model->has_vae ? &model->vae : NULL;
    s->shift = model->schedule.shift;
    if (!s->plan || !s->path) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    TRY_CLEANUP(token_check_device(device));
    TRY_CLEANUP(sampler_design_of(&design, model));
    TRY_CLEANUP(diffusion_network_open(&s->network, &design));
    TRY_CLEANUP(diffusion_network_list(&s->network, &s->net));
    TRY_CLEANUP(sampler_declare_all(s));
    TRY_CLEANUP(plan_commit(s->plan, device));
    TRY_CLEANUP(sampler_load_weights(s, model));
    TRY_CLEANUP(diffusion_network_connect(&s->network));
    *out = s;
    return OK;
cleanup:
    diffusion_sampler_close(s);
    return code;
}

void diffusion_sampler_close(struct diffusion_sampler *s)
{
    if (!s) return;
    plan_free(s->plan);
    latent_codec_close(&s->codec);
    diffusion_network_close(&s->network);
    net_free(&s->net);
    free(s->path);
    free(s);
}

void diffusion_sampler_listen(struct diffusion_sampler *s, bool (*stop_requested)(void))
{
    s->stop_requested = s->codec.stop_requested = stop_requested;
}

const struct diffusion_design *diffusion_sampler_design(const struct diffusion_sampler *s)
{
    return &s->network.design;
}

static int sampler_predict(void *context, int n, float *out)
{
    struct diffusion_sampler *s = context;
    char *memory = s->host_inputs ? s->host_inputs : s->inputs;
    struct sampler_inputs host = sampler_layout(s, memory), in = sampler_layout(s, s->inputs);
    const struct diffusion_design *design = &s->network.design;
    size_t image = diffusion_image_floats(design);
    s3dit_time_features(&design->dit, host.samples.time, n, host.time);
    TRY(device_send(s->device, s->inputs, memory, in.bytes));
    const struct diffusion_pass pass = {.parameters = s->parameters,
                                        .n = n,
                                        .image = in.samples.noisy,
                                        .time = in.time,
                                        .condition = in.samples.condition,
                                        .length = host.samples.length,
                                        .stop_requested = s->stop_requested};
    TRY(diffusion_network_forward(&s->network, &pass, s->out));
    return device_fetch(s->device, out, s->out, (size_t)n * image * sizeof(float));
}

/* Pixels of `channels` numbers as RGB. Weights that are finite may be so large that what they make
 * is not. */
static int sampler_as_bytes(const struct diffusion_sampler *s, const float *images, size_t pixels,
                            size_t channels, uint8_t *out)
{
    for (size_t i = 0; i < pixels * channels; i++)
        if (!isfinite(images[i]))
            return fail(ERR_DATA, "%s: its weights make images that are no finite numbers",
                        s->path);
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++)
            out[i * 3 + c] = diffusion_byte(images[i * channels + (channels == 3 ? c : 0)]);
    return OK;
}

/* n images that were drawn. */
static int sampler_show(struct diffusion_sampler *s, int n, uint8_t *out)
{
    const struct diffusion_design *design = &s->network.design;
    size_t pixels = (size_t)diffusion_shown_width(design) * (size_t)diffusion_shown_height(design);
    if (design->factor == 0)
        return sampler_as_bytes(s, s->images, (size_t)n * pixels, (size_t)design->dit.channels,
                                out);
    TRY(latent_codec_begin(&s->codec, true));
    for (int i = 0; i < n; i++) {
        const float *latents = s->images + (size_t)i * diffusion_image_floats(design);
        TRY(latent_codec_decode(&s->codec, latents, s->decoded));
        TRY(sampler_as_bytes(s, s->decoded, pixels, 3, out + (size_t)i * pixels * 3));
    }
    return OK;
}

int diffusion_sampler_make(struct diffusion_sampler *s, int steps, double guidance,
                           const struct diffusion_wish *wishes, int n, uint8_t *out)
{
    const struct diffusion_design *design = &s->network.design;
    size_t bytes =
        (size_t)diffusion_shown_width(design) * (size_t)diffusion_shown_height(design) * 3;
    const struct diffusion_drawing drawing = {
        .width = design->width,
        .height = design->height,
        .channels = design->dit.channels,
        .conditions = design->conditions,
        .steps = steps,
        .guidance = guidance,
        .shift = s->shift,
        .in = sampler_layout(s, s->host_inputs ? s->host_inputs : s->inputs).samples,
        .out = s->predicted,
        .without = s->without,
        .predict = sampler_predict,
        .context = s,
    };
    for (int first = 0; first < n; first += s->micro) {
        int some = n - first < s->micro ? n - first : s->micro;
        TRY(diffusion_draw(&drawing, wishes + first, some, s->images));
        TRY(sampler_show(s, some, out + (size_t)first * bytes));
    }
    return OK;
}
