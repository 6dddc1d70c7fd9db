#include "diffusion/diffusion_data.h"

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "config/config.h"
#include "data/dataset.h"
#include "diffusion/latent/latent_set.h"
#include "diffusion/text/token_kind.h"
#include "diffusion/text/token_tables.h"
#include "nn/net_init.h"
#include "task/task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- images ---- */

struct task_input {
    struct dataset *set;
    struct latent_set *latents;
};

void diffusion_free_input(struct task_input *input)
{
    if (!input) return;
    latent_set_close(input->latents);
    dataset_close(input->set);
    free(input);
}

struct latent_set **diffusion_input_latents(struct task_input *input)
{
    return &input->latents;
}

static enum scan_labels diffusion_labels(const struct config *config)
{
    if (config->diffusion.captions) return SCAN_LABELS_CAPTIONS;
    return scan_labels_of(config->diffusion.labels);
}

/* A class or a text, while it is still time to refuse it. */
static int diffusion_note_class(struct diffusion_data *data, int row, const char *text)
{
    if (!data->captions) return tokenizer_check_label(row, text);
    size_t length = strlen(text);
    if (length > DIFFUSION_TEXT_MOST) length = DIFFUSION_TEXT_MOST;
    if ((int)length > data->longest) data->longest = (int)length;
    return OK;
}

/* Said once: what stands behind is not learnt. */
static void diffusion_warn_of_long_texts(const struct diffusion_data *data)
{
    int cut = 0, first = 0;
    for (int i = 0; i < data->classes; i++)
        if (strlen(dataset_class_name(data->set, i)) > DIFFUSION_TEXT_MOST && cut++ == 0) first = i;
    if (cut > 0)
        log_warning("%d texts are longer than %d bytes and are cut there (\"%.40s...\"%s)", cut,
                    DIFFUSION_TEXT_MOST, dataset_class_name(data->set, first),
                    cut > 1 ? ", ..." : "");
}

/* For a forecast: the list of files tells the classes, no image is opened. */
static int diffusion_count_classes(struct diffusion_data *data, const struct task_setup *setup)
{
    struct scan scan;
    if (!setup->config->diffusion.data[0]) return OK;
    int code =
        scan_folder_labelled(&scan, setup->config->diffusion.data, diffusion_labels(setup->config),
                             setup->config->diffusion.labels, setup->stop_requested);
    data->classes = scan.class_count;
    for (int i = 0; i < scan.class_count && code == OK; i++)
        code = diffusion_note_class(data, i, scan.classes[i]);
    scan_free(&scan);
    return code;
}

/* The images that an earlier open has read, or read now. */
static int diffusion_read_images(struct task_input **input, const struct task_setup *setup)
{
    const struct config *config = setup->config;
    const struct dataset_options options = {
        .folder = config->diffusion.data,
        .width = diffusion_width(config),
        .height = diffusion_height(config),
        .labels = diffusion_labels(config),
        .label_file = config->diffusion.labels,
        .grey = config->diffusion.channels == 1 && !diffusion_is_latent(config),
        .flip = config->diffusion.flip,
        .seed = (uint64_t)config->seed,
        .spill_dir = setup->spill_dir,
        .stop_requested = setup->stop_requested,
    };
    if (!*input) *input = calloc(1, sizeof **input);
    if (!*input) return fail(ERR_SYSTEM, "out of memory");
    return dataset_open_once(&(*input)->set, &options, setup->run_dir, setup->planned_dir);
}

int diffusion_data_open(struct diffusion_data *data, struct task_input **own,
                        const struct task_setup *setup)
{
    struct task_input **input = setup->input ? setup->input : own;
    bool is_first = !*input || !(*input)->set;
    data->captions = setup->config->diffusion.captions;
    if (scan_labels_of(setup->config->diffusion.labels) == SCAN_LABELS_TAGS)
        return fail(ERR_CONFIG, "diffusion.labels: tags are for a GAN; with captions=true the text "
                                "beside an image is learnt");
    if (setup->without_input) return diffusion_count_classes(data, setup);
    if (!setup->config->diffusion.data[0])
        return fail(ERR_CONFIG, "data is not set: the folder of images to learn from");
    TRY(diffusion_read_images(input, setup));
    data->set = (*input)->set;
    data->classes = dataset_classes(data->set);
    data->fingerprint = dataset_fingerprint(data->set);
    for (int i = 0; i < data->classes; i++)
        TRY(diffusion_note_class(data, i, dataset_class_name(data->set, i)));
    if (data->captions && is_first) diffusion_warn_of_long_texts(data);
    if (data->captions && is_first &&
        scan_labels_of(setup->config->diffusion.labels) == SCAN_LABELS_FILE)
        log_warning(
            "diffusion.labels has no effect with captions: texts stand in place of classes");
    return OK;
}

/* ---- conditions ---- */

struct diffusion_conditions diffusion_conditions_of(const struct diffusion_data *data)
{
    if (!data->captions) return (struct diffusion_conditions){false, data->classes + 1, 1};
    int most = data->longest > 0 ? data->longest : 1;
    return (struct diffusion_conditions){true, TEXT_BYTE_ROWS, most};
}

void diffusion_condition_set(const struct diffusion_conditions *conditions, int label,
                             const char *text, int *rows, int *length)
{
    int nothing = conditions->count - 1;
    for (int i = 0; i < conditions->rows_most; i++)
        rows[i] = nothing;
    *length = 1;
    if (!conditions->captions && label >= 0) rows[0] = label;
    if (!conditions->captions || !text || !text[0]) return;
    for (*length = 0; *length < conditions->rows_most && text[*length]; ++*length)
        rows[*length] = (unsigned char)text[*length];
}

void diffusion_condition_of(const struct diffusion_data *data, int label, int *rows, int *length)
{
    const struct diffusion_conditions conditions = diffusion_conditions_of(data);
    bool is_text = data->captions && label >= 0;
    if (data->classes == 0) label = -1;
    diffusion_condition_set(&conditions, label,
                            is_text ? dataset_class_name(data->set, label) : NULL, rows, length);
}

/* ---- samples ---- */

static size_t feed_numbers(const struct diffusion_feed *feed)
{
    return (size_t)feed->width * (size_t)feed->height * (size_t)feed->channels;
}

static uint64_t feed_draws(const struct diffusion_feed *feed)
{
    return (feed_numbers(feed) + 3) / 4;
}

/* An image as the network sees it; of latents one sample of those that it may have. */
static void feed_image(const struct diffusion_feed *feed, const struct dataset_item *item,
                       uint32_t stream, uint64_t step, uint64_t place, float *to)
{
    const struct diffusion_data *data = feed->data;
    if (!data->latents) {
        dataset_item_channels(data->set, item, feed->channels, to);
        return;
    }
    net_normal(to, feed_numbers(feed), feed->seed, stream, step, place * feed_draws(feed));
    latent_set_sample(data->latents, item->index, item->flip, to);
}

/* The image lies at out->target, noise at out->noisy. */
static void feed_mix(const struct diffusion_feed *feed, double t,
                     const struct diffusion_samples *out)
{
    size_t count = feed_numbers(feed);
    float noise_share = (float)t, image_share = (float)(1 - t);
    for (size_t i = 0; i < count; i++) {
        float image = out->target[i], noise = out->noisy[i];
        out->target[i] = image - noise;
        out->noisy[i] = image_share * image + noise_share * noise;
    }
    *out->time = (float)(1 - t);
}

static struct diffusion_samples feed_sample(const struct diffusion_feed *feed,
                                            const struct diffusion_samples *out, int i)
{
    size_t skip = (size_t)i * feed_numbers(feed);
    int rows = diffusion_conditions_of(feed->data).rows_most;
    return (struct diffusion_samples){.noisy = out->noisy + skip,
                                      .target = out->target + skip,
                                      .time = out->time + i,
                                      .condition = out->condition + (ptrdiff_t)i * rows,
                                      .length = out->length + i};
}

void diffusion_feed_fill(const struct diffusion_feed *feed, uint64_t step, uint64_t shown,
                         int first, int n, const struct diffusion_samples *out)
{
    for (int i = 0; i < n; i++) {
        uint64_t place = (uint64_t)(first + i);
        struct dataset_item item;
        struct diffusion_samples one = feed_sample(feed, out, i);
        struct philox4 draw = philox_draw(feed->seed, STREAM_DIFFUSION_TIME, step, place);
        dataset_batch(feed->data->set, shown + place, 1, &item);
        net_normal(one.noisy, feed_numbers(feed), feed->seed, STREAM_DIFFUSION_TRAIN, step,
                   place * feed_draws(feed));
        feed_image(feed, &item, STREAM_DIFFUSION_LATENT, step, place, one.target);
        feed_mix(feed, diffusion_time_draw(&feed->times, draw.v), &one);
        bool drops = (double)philox_uniform(draw.v[2]) < feed->dropout;
        diffusion_condition_of(feed->data, drops ? -1 : item.label, one.condition, one.length);
    }
}

void diffusion_feed_held(const struct diffusion_feed *feed, int index, double t,
                         const struct diffusion_samples *out)
{
    struct dataset_item item = dataset_measured(feed->data->set, index);
    net_normal(out->noisy, feed_numbers(feed), feed->seed, STREAM_DIFFUSION_HELD, 0,
               (uint64_t)index * feed_draws(feed));
    feed_image(feed, &item, STREAM_DIFFUSION_HELD_LATENT, 0, (uint64_t)index, out->target);
    feed_mix(feed, t, out);
    diffusion_condition_of(feed->data, item.label, out->condition, out->length);
}
