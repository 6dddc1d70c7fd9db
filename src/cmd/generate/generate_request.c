#include "cmd/generate/generate_request.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse_number.h"
#include "base/version.h"
#include "cmd/cmd_load.h"
#include "cmd/named_model.h"
#include "cmd/options.h"
#include "data/dataset.h"
#include "device/device.h"
#include "diffusion/model/model_trained.h"
#include "diffusion/text/token_tables.h"
#include "diffusion/text/unicode_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PROMPT_MOST = 1 << 20, TESTING_STEPS = 4, TESTING_SIDE = 256 };

/* ---- --like ---- */

struct like_row {
    const char *key;
    const char **option;
};

static int apply_like(struct generate_job *job, struct generate_options *o)
{
    TRY(png_texts_read(&job->like, o->like));
    if (!png_texts_find(&job->like, "model_hash") || !png_texts_find(&job->like, "seed"))
        return fail(ERR_DATA, "%s: no image that `imgtrain generate` wrote: it holds no settings",
                    o->like);
    /* What it shows is one thing: another class in place of its prompt is no mixture of both. */
    bool shows = o->prompt || o->label, sized = o->size || o->preset;
    o->prompt_is_text = !shows;
    o->negative_is_text = !o->negative;
    const struct like_row rows[] = {
        {"model", &o->model},
        {shows ? NULL : "prompt", &o->prompt},
        {shows ? NULL : "label", &o->label},
        {"negative", &o->negative},
        {"init_image", &o->init},
        {"strength", &o->strength},
        {"mask", &o->mask},
        {"invert_mask", &o->invert},
        {"steps", &o->steps},
        {"guidance", &o->guidance},
        {"text_length", &o->text_length},
        {"seed", &o->seed},
        {sized ? NULL : "size", &o->size},
        {"rng", &o->rng},
        {"dtype", &o->dtype},
        {"vae_tiling", &o->vae_tiling},
        {"composite", &o->composite},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].key && !*rows[i].option)
            *rows[i].option = png_texts_find(&job->like, rows[i].key);
    return OK;
}

static void compare_model(const struct generate_job *job, const struct generate_options *o)
{
    char hash[24];
    const char *wanted = png_texts_find(&job->like, "model_hash");
    snprintf(hash, sizeof hash, "%016" PRIx64, job->model.checksum);
    if (wanted && strcmp(wanted, hash) != 0)
        log_warning("%s was made by another model (%s, not %s): this image will differ", o->like,
                    wanted, hash);
}

/* ---- numbers ---- */

/* "16x24", or one number for both sides. */
static int parse_size(const char *text, int *width, int *height)
{
    if (!number_parse_sides(text, width, height) || *width < 1 || *height < 1 ||
        *width > IMAGE_MAX_SIDE || *height > IMAGE_MAX_SIDE)
        return fail(ERR_USAGE, "--size %s: WIDTHxHEIGHT in pixels is needed", text);
    return OK;
}

static int parse_choice(const char *option, const char *text, const char *const *names, int count,
                        int *chosen)
{
    char known[128] = "";
    for (int i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            *chosen = i;
            return OK;
        }
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s",
                 i == 0           ? ""
                 : i == count - 1 ? " and "
                                  : ", ",
                 names[i]);
    }
    return fail(ERR_USAGE, "%s %.40s is none of %s", option, text, known);
}

static int parse_range(const char *option, const char *text, double low, double high, double *value)
{
    if (number_parse_double(text, value) && *value >= low && *value <= high) return OK;
    return fail(ERR_USAGE, "%s %.40s: a number from %g to %g", option, text, low, high);
}

/* ---- what is shown ---- */

/* Every byte that is no UTF-8 becomes U+FFFD, as it is read then, and as a PNG can hold it. */
static int mend_utf8(const char *option, char **prompt, size_t *bytes)
{
    struct text_bytes mended = {0};
    size_t broken;
    int code = unicode_mend(&mended, *prompt, *bytes, &broken);
    if (code == OK) code = text_bytes_add(&mended, "", 1);
    if (code < 0) {
        text_bytes_free(&mended);
        return code;
    }
    free(*prompt);
    *prompt = mended.bytes;
    *bytes = mended.count - 1;
    if (*bytes > PROMPT_MOST) /* than a PNG holds: not after the image is made */
        return fail(ERR_DATA, "%s: %zu bytes, with U+FFFD for what is no UTF-8: more than %d",
                    option, *bytes, PROMPT_MOST);
    if (broken) log_warning("%s: %zu bytes are no UTF-8, each is read as U+FFFD", option, broken);
    return OK;
}

/* The text itself, or of @FILE without its last line end (malloc). */
static int read_prompt(const char *option, const char *text, bool is_text, char **prompt,
                       size_t *bytes)
{
    if (is_text || *text != '@') {
        *prompt = string_format("%s", text);
        if (!*prompt) return ERR_SYSTEM;
        *bytes = strlen(text);
    } else {
        uint8_t *data;
        int code = file_read(text + 1, PROMPT_MOST, &data, bytes);
        if (code < 0) return fail_within(code, "%s", option);
        *prompt = (char *)data;
        while (*bytes > 0 && (data[*bytes - 1] == '\n' || data[*bytes - 1] == '\r'))
            data[--*bytes] = 0;
        if (memchr(data, 0, *bytes))
            return fail(ERR_DATA, "%s: %s: a text holds no zero bytes", option, text + 1);
    }
    return mend_utf8(option, prompt, bytes);
}

static int encode_prompt(const struct generate_job *job, const char *option, const char *text,
                         size_t bytes, int *rows, int *count)
{
    TRY(model_text_rows(&job->model, option, text, bytes, job->request.text_length, rows, count));
    if (bytes == 0) log_info("%s is empty: the model is told nothing", option);
    return OK;
}

static int resolve_label(struct generate_job *job, const char *label)
{
    struct pipeline_request *r = &job->request;
    const struct tokenizer *text = job->model.reader.tokens;
    r->row_count = 1;
    if (strcmp(label, "none") == 0 && tokenizer_has_labels(text) &&
        tokenizer_label(text, label, &r->rows[0]) < 0) {
        r->rows[0] = tokenizer_none(text);
        job->label = "none";
        return OK;
    }
    int code = tokenizer_label(text, label, &r->rows[0]);
    if (code < 0) return fail_within(code, "--label");
    job->label = tokenizer_label_name(text, r->rows[0]);
    return OK;
}

static int resolve_text_length(struct generate_job *job, const struct generate_options *o)
{
    int64_t length = job->model.network.text_rows;
    if (o->text_length &&
        (!number_parse_int(o->text_length, &length) || length < 1 || length > TEXT_MOST_ROWS))
        return fail(ERR_USAGE, "--text-length %.40s: a whole number from 1 to %d", o->text_length,
                    TEXT_MOST_ROWS);
    if (o->text_length && job->model.network.text_rows == 0)
        log_warning("--text-length has no effect: this model reads a prompt as long as it is");
    job->request.text_length = job->model.network.text_rows > 0 ? (int)length : 0;
    return OK;
}

static int resolve_condition(struct generate_job *job, const struct generate_options *o)
{
    struct pipeline_request *r = &job->request;
    const struct tokenizer *text = job->model.reader.tokens;
    size_t bytes;
    if (o->prompt && o->label) return fail(ERR_USAGE, "--prompt and --label exclude each other");
    if (o->prompt) {
        TRY(read_prompt("--prompt", o->prompt, o->prompt_is_text, &job->prompt, &bytes));
        TRY(encode_prompt(job, "--prompt", job->prompt, bytes, r->rows, &r->row_count));
        return model_pooled_rows(&job->model, "--prompt", job->prompt, bytes, r->pooled_rows,
                                 &r->pooled_count);
    }
    if (o->label) return resolve_label(job, o->label);
    if (!tokenizer_has_labels(text)) return fail(ERR_USAGE, "no prompt: add --prompt TEXT");
    if (tokenizer_rows(text) == 1) return resolve_label(job, "none");
    const struct label_names known = tokenizer_label_names(text);
    return fail(ERR_USAGE, "no class: add --label NAME, of %s", known.text);
}

static int resolve_negative(struct generate_job *job, const struct generate_options *o)
{
    struct pipeline_request *r = &job->request;
    size_t bytes;
    if (!o->negative) return model_empty_rows(&job->model, r->without, &r->without_count);
    TRY(read_prompt("--negative", o->negative, o->negative_is_text, &job->negative, &bytes));
    if (r->guidance == 0.0)
        log_warning("--negative has no effect with guidance 0: add --guidance 2");
    return encode_prompt(job, "--negative", job->negative, bytes, r->without, &r->without_count);
}

/* Of a model that was trained with guidance: there is no other text to go away from. */
static void say_without_negative(const struct generate_job *job, const struct generate_options *o)
{
    bool by_number = job->model.network.guidance == DENOISER_GUIDED_BY_NUMBER;
    if (o->negative)
        log_warning("--negative has no effect: this model %s",
                    by_number ? "is guided by a number, not away from a text"
                              : "was trained to do without guidance");
    if (job->request.guidance > 0 && !by_number)
        log_warning("--guidance has no effect: this model was trained to do without it");
}

static int resolve_guidance(struct generate_job *job, const struct generate_options *o)
{
    struct pipeline_request *r = &job->request;
    r->guidance = model_usual_guidance(&job->model);
    if (o->guidance) TRY(parse_range("--guidance", o->guidance, 0, 100, &r->guidance));
    if (job->model.network.guidance != DENOISER_GUIDED_BY_TEXT) {
        say_without_negative(job, o);
        if (job->model.network.guidance == DENOISER_UNGUIDED) r->guidance = 0.0;
        return OK;
    }
    TRY(resolve_negative(job, o));
    if (r->guidance == 0.0 || pipeline_request_is_guided(r)) return OK;
    if (o->guidance || o->negative)
        log_warning("%s has no effect: what the model is told to go towards is what it is told to "
                    "go away from",
                    o->guidance ? "--guidance" : "--negative");
    r->guidance = 0.0;
    return OK;
}

/* ---- how it is made ---- */

static int resolve_steps(struct generate_job *job, const struct generate_options *o)
{
    int64_t steps = model_usual_steps(&job->model);
    if (o->testing && !o->steps) steps = TESTING_STEPS;
    if (o->steps && (!number_parse_int(o->steps, &steps) || steps < 1 || steps > SIGMAS_MOST_STEPS))
        return fail(ERR_USAGE, "--steps %.40s: a whole number from 1 to %d", o->steps,
                    SIGMAS_MOST_STEPS);
    job->request.steps = (int)steps;
    if (model_is_turbo(&job->model) && steps == 9 && job->model.defaults.steps == 0)
        log_info("--steps 9: guides say 9 where older programs ended with a step of no use; that "
                 "is 8 here, and 9 are other levels of noise");
    return OK;
}

static int resolve_seeds(struct generate_job *job, const struct generate_options *o)
{
    int64_t count = o->count;
    TRY(seed_list_parse(&job->seeds, "--seed", o->seed ? o->seed : "0"));
    if (job->seeds.count > 1 && count > 0 && count != job->seeds.count)
        return fail(ERR_USAGE, "-n %" PRId64 ", but --seed lists %d", count, job->seeds.count);
    for (int64_t i = 1; job->seeds.count < count; i++)
        TRY(seed_list_add(&job->seeds, job->seeds.seeds[0] + (uint64_t)i));
    bool wide = false;
    for (int i = 0; i < job->seeds.count; i++)
        wide = wide || job->seeds.seeds[i] > UINT32_MAX;
    if (wide && job->request.noise == NOISE_TORCH)
        log_info("--seed: of PyTorch's generator the low 32 bits count alone (--rng philox takes "
                 "all 64)");
    job->request.at_once =
        (int)(o->at_once < job->seeds.count ? o->at_once : (int64_t)job->seeds.count);
    return OK;
}

static int resolve_choices(struct generate_job *job, const struct generate_options *o)
{
    static const char *const noises[] = {"torch", "philox"};
    static const char *const ways[] = {"none", "model", "sequential", "auto"};
    static const char *const onoff[] = {"0", "1"};
    int noise = 0, way = PLACEMENT_AUTO, prefetch = 1;
    if (o->rng) TRY(parse_choice("--rng", o->rng, noises, 2, &noise));
    bool is_f16 = o->dtype && strcmp(o->dtype, "f16") == 0;
    if (is_f16) log_info("--dtype f16 is computed as bf16, which holds larger numbers");
    TRY(named_model_weights(is_f16 ? "bf16" : o->dtype, &job->weights));
    if (o->offload) TRY(parse_choice("--offload", o->offload, ways, 4, &way));
    if (o->prefetch) TRY(parse_choice("--prefetch", o->prefetch, onoff, 2, &prefetch));
    job->request.noise = (enum noise_kind)noise;
    job->noise = noises[noise];
    job->placement = (struct placement_options){.way = (enum placement_way)way,
                                                .budget = (int64_t)o->memory_limit,
                                                .prefetch = prefetch != 0,
                                                .by_reading = o->read,
                                                .place = o->memory_limit > 0};
    if (o->prefetch && (way == PLACEMENT_NONE || way == PLACEMENT_MODEL))
        log_warning("--prefetch has no effect with --offload %s: no block is waited for",
                    o->offload);
    if (o->offload && way == PLACEMENT_MODEL && !job->model.has_vae)
        log_warning("--offload model has no effect: this model has one component");
    if (o->attention_slicing)
        log_info("--attention-slicing has no effect: attention is always computed in slices");
    if (o->vae_slicing)
        log_info("--vae-slicing has no effect: images pass through a VAE one by one");
    return OK;
}

void generate_settle_weights(struct generate_job *job, const struct device *device)
{
    bool has_bf16 = pipeline_has_bf16(job->weights, &job->model, device);
    const char *made = png_texts_find(&job->like, "dtype");
    if (job->weights == PIPELINE_AUTO && !has_bf16) {
        if (made && strcmp(made, pipeline_weights_name(PIPELINE_AUTO)) == 0)
            log_warning(
                "--like: made by products of bf16; by those of f32, as here, this image will "
                "differ");
        job->weights = PIPELINE_AS_STORED;
    }
    job->dtype = pipeline_weights_name(job->weights);
    if (job->weights == PIPELINE_BF16 && !has_bf16)
        log_info("--dtype bf16: products of f32, as %s has no faster ones of bf16", device->name);
}

static int resolve_tiling(struct generate_job *job, const struct generate_options *o)
{
    static const char *const tilings[] = {"auto", "off", "bands", "blend"};
    const struct pipeline_request *r = &job->request;
    const struct kl_folder *vae = &job->model.vae;
    int tiling = KL_TILING_AUTO;
    if (!o->vae_tiling) return OK;
    TRY(parse_choice("--vae-tiling", o->vae_tiling, tilings, 4, &tiling));
    job->request.tiling = (enum kl_tiling)tiling;
    if (!job->model.has_vae)
        log_warning("--vae-tiling has no effect: this model makes pixels, it has no VAE");
    else if (tiling == KL_TILING_BLEND && vae->sample_size == 0)
        log_warning("--vae-tiling blend has no effect: the VAE does not say how large a tile is "
                    "(sample_size)");
    else if (tiling == KL_TILING_BLEND &&
             !placed_kl_has_tiles(&vae->config, vae->sample_size, r->height, r->width))
        log_warning("--vae-tiling blend has no effect: one tile (%d pixels)", vae->sample_size);
    else if (tiling == KL_TILING_BANDS && !placed_kl_has_bands(r->height))
        log_warning("--vae-tiling bands has no effect: the image is one band");
    return OK;
}

/* Beside the model, or where all caches are; whoever may not write there goes without. */
static int resolve_text_cache(struct generate_job *job, const struct generate_options *o)
{
    bool is_none = o->text_cache && strcmp(o->text_cache, "none") == 0;
    if (is_none || !job->model.reader.layers.network) return OK;
    job->text_cache =
        o->text_cache ? string_format("%s", o->text_cache) : dataset_cache_folder(job->model.path);
    job->request.text_cache = job->text_cache;
    return job->text_cache ? OK : fail(ERR_SYSTEM, "out of memory");
}

/* ---- size, and the images that it begins with ---- */

static int preset_side(const char *preset, int *side)
{
    static const char *const names[] = {"fast", "balanced", "quality", "auto"};
    static const int sides[] = {512, 768, 1024, 0};
    int chosen;
    TRY(parse_choice("--preset", preset, names, 4, &chosen));
    *side = sides[chosen];
    return OK;
}

static int check_positions(const struct generate_job *job, int width, int height)
{
    int scale = model_scale(&job->model);
    int code = job->model.network.traits->check_size(&job->model, height / scale, width / scale, 1);
    return code < 0 && scale > 1
               ? fail_within(code, "%dx%d pixels, %d to one of the network's", width, height, scale)
               : code;
}

/* --preset auto: the largest of the three that the network takes. */
static int largest_side(const struct generate_job *job)
{
    for (int side = 1024; side >= 512; side -= 256)
        if (check_positions(job, side, side) == OK) return side;
    return 512;
}

/* Names the sizes that would do. */
static int check_size(const struct generate_job *job, int width, int height, const char *of)
{
    const struct model_folder *model = &job->model;
    int p = pipeline_patch_side(model);
    if (width % p == 0 && height % p == 0 && pipeline_draws_whole(model, width, height))
        return check_positions(job, width, height);
    if (!pipeline_draws_whole(model, (width + p - 1) / p * p, (height + p - 1) / p * p))
        p = pipeline_size_step(model);
    int low_w = width < p ? p : width / p * p, high_w = (width + p - 1) / p * p;
    int low_h = height < p ? p : height / p * p, high_h = (height + p - 1) / p * p;
    if (low_w == high_w && low_h == high_h)
        return fail(ERR_USAGE, "%s%dx%d is no multiple of %d: %dx%d is the least", of, width,
                    height, p, low_w, low_h);
    return fail(ERR_USAGE, "%s%dx%d is no multiple of %d: %dx%d or %dx%d", of, width, height, p,
                low_w, low_h, high_w, high_h);
}

static int resolve_size(struct generate_job *job, const struct generate_options *o)
{
    struct pipeline_request *r = &job->request;
    const struct model_defaults *d = &job->model.defaults;
    int side;
    if (o->size && o->preset) return fail(ERR_USAGE, "--size and --preset exclude each other");
    r->width = d->width;
    r->height = d->height;
    if (o->testing && (r->width > TESTING_SIDE || r->height > TESTING_SIDE || r->width == 0))
        r->width = r->height = TESTING_SIDE;
    if (o->preset && o->testing)
        log_warning("--preset has no effect with --testing: %d pixels at most", TESTING_SIDE);
    if (o->preset && !o->testing) {
        TRY(preset_side(o->preset, &side));
        r->width = r->height = side ? side : largest_side(job);
    }
    if (o->size) TRY(parse_size(o->size, &r->width, &r->height));
    if (!o->init && r->width == 0)
        return fail(ERR_USAGE, "no size: this model does not say what it was trained at, add "
                               "--size WxH");
    return o->init ? OK : check_size(job, r->width, r->height, o->size ? "--size " : "");
}

static int resolve_images(struct generate_job *job, const struct generate_options *o)
{
    struct pipeline_request *r = &job->request;
    bool resize = o->size || o->preset, invert = o->invert_mask || o->invert;
    int width = resize ? r->width : 0, height = resize ? r->height : 0;
    if (o->wants_composite && o->no_composite)
        return fail(ERR_USAGE, "--composite and --no-composite exclude each other");
    if (!o->init) {
        if (o->strength) return fail(ERR_USAGE, "--strength needs an --init-image");
        if (o->mask) return fail(ERR_USAGE, "--mask needs an --init-image");
        return OK;
    }
    if (resize) TRY(check_size(job, width, height, "--size "));
    TRY(generate_load_init(o->init, model_image_channels(&job->model), &width, &height,
                           &job->init));
    if (!resize) TRY(check_size(job, width, height, "--init-image: "));
    r->width = width;
    r->height = height;
    r->init = job->init;
    r->strength = o->mask ? job->model.network.traits->inpaint_strength : 0.6;
    if (o->strength && !number_parse_double(o->strength, &r->strength))
        return fail(ERR_USAGE, "--strength %.40s: a number above 0, to 1", o->strength);
    int first;
    TRY(sigmas_first_step(&first, r->steps, r->strength));
    if (r->strength * r->steps < 1.0)
        log_warning("--strength %g of %d steps is less than one: one is run; more --steps follow "
                    "it more closely",
                    r->strength, r->steps);
    if (!o->mask) return OK;
    TRY(generate_load_mask(o->mask, invert, width, height, resize, &job->mask));
    r->mask = job->mask;
    bool pasted = o->wants_composite || !o->composite;
    job->composite = job->model.has_vae && pasted && !o->no_composite;
    return OK;
}

/* ---- all of it ---- */

static bool environment_is_testing(void)
{
    const char *testing = getenv("TESTING");
    if (load_is_testing()) return true;
    if (!testing || strcasecmp(testing, "true") != 0) return false;
    log_info("TESTING=true: as --testing");
    return true;
}

static void say_what_has_no_effect(const struct generate_job *job, const struct generate_options *o)
{
    if (!o->mask) options_without_effect("invert-mask composite no-composite", "without --mask");
    if (o->text_cache && !job->model.reader.layers.network)
        log_warning("--text-cache has no effect: this model has no text encoder");
    if (o->mask && (o->no_composite || o->wants_composite) && !job->model.has_vae)
        log_warning(
            "%s has no effect: this model makes pixels, those that are kept stay as they are",
            o->no_composite ? "--no-composite" : "--composite");
}

int generate_open_model(struct generate_job *job, const char *operand)
{
    char *path = NULL;
    TRY(model_folder_find(&path, operand));
    int code = model_open_any(&job->model, path);
    free(path);
    TRY(code);
    int channels = model_image_channels(&job->model);
    if (channels == 1 || channels == 3) return OK;
    return fail(ERR_DATA, "%s: images of %d channels: 1 or 3 can be written", job->model.path,
                channels);
}

int generate_resolve_request(struct generate_job *job, const struct generate_options *o)
{
    TRY(resolve_choices(job, o));
    TRY(resolve_text_length(job, o));
    TRY(resolve_condition(job, o));
    TRY(resolve_guidance(job, o));
    TRY(resolve_steps(job, o));
    TRY(resolve_size(job, o));
    TRY(resolve_images(job, o));
    TRY(resolve_tiling(job, o));
    TRY(resolve_text_cache(job, o));
    TRY(resolve_seeds(job, o));
    return OK;
}

int generate_resolve(struct generate_job *job, struct generate_options *o)
{
    *job = (struct generate_job){0};
    if (o->like) TRY(apply_like(job, o));
    if (!o->model) return fail(ERR_USAGE, "no model: name a folder, a run, or --like FILE.png");
    if (!o->testing && environment_is_testing()) o->testing = true;
    TRY(generate_open_model(job, o->model));
    compare_model(job, o);
    TRY(generate_resolve_request(job, o));
    say_what_has_no_effect(job, o);
    return OK;
}

void generate_job_reset(struct generate_job *job)
{
    seed_list_free(&job->seeds);
    png_texts_free(&job->like);
    free(job->prompt);
    free(job->negative);
    free(job->init);
    free(job->mask);
    free(job->text_cache);
    const struct generate_job kept = {.model = job->model};
    *job = kept;
}

void generate_job_free(struct generate_job *job)
{
    generate_job_reset(job);
    model_folder_close(&job->model);
    *job = (struct generate_job){0};
}

static int add_number(struct png_texts *texts, const char *key, double value)
{
    char number[NUMBER_TEXT_BYTES];
    return png_texts_add(texts, key, number_format(number, value));
}

int generate_describe(const struct generate_job *job, const struct generate_options *o,
                      uint64_t seed, struct png_texts *texts)
{
    const struct pipeline_request *r = &job->request;
    char text[64];
    TRY(png_texts_add(texts, "Software", "imgtrain " IMGTRAIN_VERSION));
    TRY(png_texts_add(texts, "model", o->model));
    snprintf(text, sizeof text, "%016" PRIx64, job->model.checksum);
    TRY(png_texts_add(texts, "model_hash", text));
    if (job->prompt) TRY(png_texts_add(texts, "prompt", job->prompt));
    if (job->negative) TRY(png_texts_add(texts, "negative", job->negative));
    if (job->label) TRY(png_texts_add(texts, "label", job->label));
    snprintf(text, sizeof text, "%" PRIu64, seed);
    TRY(png_texts_add(texts, "seed", text));
    TRY(add_number(texts, "steps", r->steps));
    TRY(add_number(texts, "guidance", r->guidance));
    if (r->text_length != job->model.network.text_rows)
        TRY(add_number(texts, "text_length", r->text_length));
    snprintf(text, sizeof text, "%dx%d", r->width, r->height);
    TRY(png_texts_add(texts, "size", text));
    TRY(png_texts_add(texts, "rng", job->noise));
    TRY(png_texts_add(texts, "dtype", job->dtype));
    /* The one of them that makes other pixels. */
    if (r->tiling == KL_TILING_BLEND) TRY(png_texts_add(texts, "vae_tiling", "blend"));
    if (!r->init) return OK;
    TRY(png_texts_add(texts, "init_image", o->init));
    TRY(add_number(texts, "strength", r->strength));
    if (!r->mask) return OK;
    TRY(png_texts_add(texts, "mask", o->mask));
    if (job->model.has_vae && !job->composite) TRY(png_texts_add(texts, "composite", "false"));
    return o->invert_mask || o->invert ? png_texts_add(texts, "invert_mask", "true") : OK;
}
