/* libFuzzer: config.json of the networks of official folders. The first byte says of which; what is
 * accepted makes a list of tensors whose sizes can be counted. */
#include "diffusion/model/model_folder.h"
#include "store/json_file.h"
#include "test/fuzz/fuzz.h"

#include <math.h>
#include <string.h>

enum { NETWORKS = 5, DISTANCES = 3000 };

static void fuzz_list(const struct block_list *list)
{
    size_t all = 0;
    for (int t = 0; t < list->tensor_count; t++) {
        const struct block_tensor *tensor = &list->tensors[t];
        require(tensor->shape[0] > 0 && (tensor->dims == 1 || tensor->shape[1] > 0));
        require(tensor->name[0] && strlen(tensor->name) + 1 < sizeof tensor->name);
        all += tensor->count;
    }
    require(all == list->parameter_total);
}

static void fuzz_encoder(const struct text_encoder *encoder)
{
    const struct text_size size = {.prompts = 2, .lengths = {7, 7}};
    double macs = text_macs(encoder, &size);
    require(isfinite(macs) && macs > 0 && encoder->width > 0 && encoder->positions > 0);
    fuzz_list(encoder->list);
}

static void fuzz_qwen3(const cJSON *object)
{
    struct qwen3_config config;
    struct qwen3_model model = {.config = {0}};
    if (qwen3_read_config(&config, object, "config.json") < 0) return;
    require(qwen3_model_create(&model, &config) == 0);
    const struct text_encoder encoder = qwen3_encoder(&model);
    if (config.layers > 1) fuzz_encoder(&encoder);
    qwen3_model_free(&model);
}

static void fuzz_t5(const cJSON *object)
{
    struct t5_config config;
    struct t5_model model = {.config = {0}};
    if (t5_read_config(&config, object, "config.json") < 0) return;
    require(t5_model_create(&model, &config) == 0);
    const struct text_encoder encoder = t5_encoder(&model);
    fuzz_encoder(&encoder);
    for (int d = -DISTANCES; d <= DISTANCES; d++)
        require(t5_bucket(&config, d) >= 0 && t5_bucket(&config, d) < config.buckets);
    t5_model_free(&model);
}

static void fuzz_clip(const cJSON *object)
{
    static const int ids[] = {3, 7, 2, 7, 49407};
    struct clip_config config;
    struct clip_model model = {.config = {0}};
    if (clip_read_config(&config, object, "config.json") < 0) return;
    require(clip_model_create(&model, &config) == 0);
    const struct text_encoder encoder = clip_encoder(&model);
    fuzz_encoder(&encoder);
    for (int count = 1; count <= 5; count++)
        require(clip_read_ids(&config, ids, count) >= 1 &&
                clip_read_ids(&config, ids, count) <= count);
    clip_model_free(&model);
}

static void fuzz_s3dit(const cJSON *object)
{
    struct s3dit_config config;
    struct s3dit_model model = {.config = {0}};
    if (model_read_s3dit(&config, object, "config.json") < 0) return;
    if (s3dit_model_create(&model, &config) == 0) fuzz_list(&model.list);
    s3dit_model_free(&model);
}

static void fuzz_mmdit(const cJSON *object)
{
    struct mmdit_config config;
    struct mmdit_model model = {.config = {0}};
    if (model_read_mmdit(&config, object, "config.json") < 0) return;
    if (mmdit_model_create(&model, &config) == 0) fuzz_list(&model.list);
    mmdit_model_free(&model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static void (*const networks[NETWORKS])(const cJSON *) = {fuzz_qwen3, fuzz_t5, fuzz_clip,
                                                              fuzz_s3dit, fuzz_mmdit};
    cJSON *object;
    if (bytes == 0) return 0;
    uint8_t *text = malloc(bytes);
    require(text != NULL);
    memcpy(text, data + 1, bytes - 1);
    text[bytes - 1] = 0;
    if (json_file_parse(&object, "config.json", text, bytes - 1) == 0) {
        networks[data[0] % NETWORKS](object);
        cJSON_Delete(object);
    }
    free(text);
    return 0;
}
