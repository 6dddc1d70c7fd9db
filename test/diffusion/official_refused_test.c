/* What can be wrong with the files of a folder in an official layout, in each component of Z-Image
 * and FLUX.1: one line that names the file or the tensor, and nothing is opened. */
#include "diffusion/model/model_folder.h"
#include "test/diffusion/tiny_flux.h"
#include "test/diffusion/tiny_zimage.h"
#include "test/support.h"

#include <unistd.h>

Suite *official_refused_test_suite(void);

enum { SHARDS = 3 };

/* A tensor that its component needs. */
static const struct place {
    bool flux;
    const char *component, *stem, *tensor;
} places[] = {
    {false, "text_encoder", "model", "layers.0.mlp.up_proj.weight"},
    {false, "text_encoder", "model", "embed_tokens.weight"},
    {false, "transformer", "diffusion_pytorch_model", "layers.1.attention.to_k.weight"},
    {false, "vae", "diffusion_pytorch_model", "decoder.conv_in.weight"},
    {true, "text_encoder", "model", "encoder.layers.2.mlp.fc1.weight"},
    {true, "text_encoder", "model", CLIP_POSITIONS},
    {true, "text_encoder_2", "model", "encoder.block.1.layer.1.DenseReluDense.wi_1.weight"},
    {true, "text_encoder_2", "model", T5_TABLE},
    {true, "text_encoder_2", "model", "shared.weight"},
    {true, "transformer", "diffusion_pytorch_model",
     "single_transformer_blocks.1.attn.to_k.weight"},
    {true, "vae", "diffusion_pytorch_model", "decoder.conv_in.weight"},
};
enum { PLACES = sizeof places / sizeof *places };

/* A file, to be put back. */
struct kept_file {
    char *path;
    uint8_t *data;
    size_t bytes;
};

static struct kept_file keep_file(char *path)
{
    struct kept_file kept = {.path = path};
    MUST(file_read(path, 1 << 26, &kept.data, &kept.bytes));
    return kept;
}

static void put_back(const struct kept_file *kept)
{
    MUST(file_atomic_write_whole(kept->path, kept->data, kept->bytes, false));
}

static void forget_file(struct kept_file *kept)
{
    free(kept->path);
    free(kept->data);
}

/* The shard that holds the tensor. */
static char *shard_of(const struct place *place)
{
    for (int shard = 1; shard <= SHARDS; shard++) {
        struct store_file *file;
        char *path = string_format("%s/%s/%s-%05d-of-%05d.safetensors", in_folder("m"),
                                   place->component, place->stem, shard, SHARDS);
        MUST(store_open(&file, path));
        bool is_here = store_find(file, place->tensor) != NULL;
        store_close(file);
        if (is_here) return path;
        free(path);
    }
    ck_abort_msg("%s is nowhere", place->tensor);
    return NULL;
}

static char *index_of(const struct place *place)
{
    return string_format("%s/%s/%s.safetensors.index.json", in_folder("m"), place->component,
                         place->stem);
}

static void assert_refused(int code, const char *says)
{
    struct model_folder model;
    int got = model_folder_open(&model, in_folder("m"));
    model_folder_close(&model);
    ck_assert_msg(got == code, "%d, not %d, for %s: %s", got, code, says, error_message());
    ck_assert_msg(strstr(error_message(), says), "\"%s\" is not in: %s", says, error_message());
    ck_assert_ptr_null(strchr(error_message(), '\n'));
}

/* ---- a shard ---- */

static void shards_that_are_refused(const struct place *place)
{
    struct kept_file shard = keep_file(shard_of(place));
    const char *name = strrchr(shard.path, '/') + 1;
    ck_assert_int_eq(unlink(shard.path), 0);
    assert_refused(ERR_INPUT, name);
    MUST(file_atomic_write_whole(shard.path, shard.data, shard.bytes / 2, false));
    assert_refused(ERR_DATA, name);
    MUST(file_atomic_write_whole(shard.path, "", 0, false));
    assert_refused(ERR_DATA, name);
    uint8_t *damaged = malloc(shard.bytes);
    ck_assert_ptr_nonnull(damaged);
    memcpy(damaged, shard.data, shard.bytes);
    memset(damaged, 0x7F, 8); /* a header that reaches over the end */
    MUST(file_atomic_write_whole(shard.path, damaged, shard.bytes, false));
    assert_refused(ERR_DATA, name);
    memcpy(damaged, shard.data, shard.bytes);
    char *type = memmem(damaged, shard.bytes, "F32", 3);
    ck_assert_ptr_nonnull(type);
    memcpy(type, "F8_", 3);
    MUST(file_atomic_write_whole(shard.path, damaged, shard.bytes, false));
    assert_refused(ERR_DATA, "fp8 is not read yet");
    put_back(&shard);
    free(damaged);
    forget_file(&shard);
}

/* ---- the index ---- */

/* The index with one line more: of a tensor (NULL: the place's) in a file (NULL: the shard). */
static void indices_that_are_refused(const struct place *place)
{
    static const struct {
        const char *tensor, *before, *file, *says;
        int code;
    } cases[] = {{"nothing", "\"", NULL, "nothing is not in it", ERR_DATA},
                 {"nothing", "\"../", NULL, "beside the index", ERR_DATA},
                 {"nothing", "\"/", NULL, "beside the index", ERR_DATA},
                 {"nothing", "[\"", NULL, "no JSON", ERR_DATA},
                 {"nothing", "\"", "none.safetensors", "none.safetensors", ERR_INPUT},
                 {NULL, "\"", "twice.safetensors", "stands in", ERR_DATA}};
    struct kept_file shard = keep_file(shard_of(place)), index = keep_file(index_of(place));
    char *twice = string_format("%s/%s/twice.safetensors", in_folder("m"), place->component);
    int end = (int)((uint8_t *)memrchr(index.data, '"', index.bytes) - index.data) + 1;
    MUST(file_atomic_write_whole(twice, shard.data, shard.bytes, false));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *tensor = cases[i].tensor ? cases[i].tensor : place->tensor;
        const char *file = cases[i].file ? cases[i].file : strrchr(shard.path, '/') + 1;
        char *text = string_format("%.*s, \"%s\": %s%s\"}}", end, (char *)index.data, tensor,
                                   cases[i].before, file);
        MUST(file_atomic_write_whole(index.path, text, strlen(text), false));
        free(text);
        assert_refused(cases[i].code, cases[i].says);
    }
    put_back(&index);
    ck_assert_int_eq(unlink(twice), 0);
    free(twice);
    forget_file(&index);
    forget_file(&shard);
}

/* ---- a tensor ---- */

enum damage { WIDER, OF_BYTES, NO_MATRIX, RENAMED, DAMAGES };

/* Of a tensor, instead of its own: the last letter is another. */
static char *other_name(const char *name)
{
    return string_format("%.*sX", (int)strlen(name) - 1, name);
}

/* The shard is written anew, with its tensor so. */
static void rewrite_shard(const struct kept_file *shard, const char *name, enum damage damage)
{
    struct store_file *file;
    struct store_writer *writer = store_writer_create();
    char *other = string_format("%s.new", shard->path), *renamed = other_name(name);
    void *zeros = calloc(1, 1 << 22);
    MUST(store_open(&file, shard->path));
    for (int t = 0; t < store_count(file); t++) {
        const struct store_tensor *tensor = store_at(file, t);
        enum tensor_type type = tensor->type;
        int64_t shape[TENSOR_MAX_DIMS];
        const void *data = tensor->data;
        int dims = tensor->dims;
        memcpy(shape, tensor->shape, sizeof shape);
        if (strcmp(tensor->name, name) == 0) {
            ck_assert_uint_le(2 * tensor->bytes, 1 << 22);
            data = zeros;
            if (damage == WIDER) shape[1] *= 2;
            if (damage == OF_BYTES) type = TENSOR_I8;
            if (damage == NO_MATRIX) dims = 1;
        }
        bool is_other = damage == RENAMED && strcmp(tensor->name, name) == 0;
        MUST(store_add(writer, is_other ? renamed : tensor->name, type, dims, shape, data));
    }
    MUST(store_write(writer, other, false));
    store_writer_free(writer);
    store_close(file);
    ck_assert_int_eq(rename(other, shard->path), 0);
    free(other);
    free(renamed);
    free(zeros);
}

static void rename_in_index(const struct kept_file *index, const char *name)
{
    char *quoted = string_format("\"%s\"", name), *other = other_name(name);
    uint8_t *text = malloc(index->bytes);
    ck_assert_ptr_nonnull(text);
    memcpy(text, index->data, index->bytes);
    char *at = memmem(text, index->bytes, quoted, strlen(quoted));
    ck_assert_ptr_nonnull(at);
    memcpy(at + 1, other, strlen(other));
    MUST(file_atomic_write_whole(index->path, text, index->bytes, false));
    free(text);
    free(quoted);
    free(other);
}

static void tensors_that_are_refused(const struct place *place)
{
    struct model_folder model;
    struct kept_file shard = keep_file(shard_of(place));
    struct kept_file index = keep_file(index_of(place));
    for (int damage = 0; damage < DAMAGES; damage++) {
        char *says = string_format("%s%s", place->tensor, damage == RENAMED ? " is missing" : "");
        rewrite_shard(&shard, place->tensor, (enum damage)damage);
        if (damage == RENAMED) rename_in_index(&index, place->tensor);
        assert_refused(ERR_DATA, says);
        put_back(&shard);
        free(says);
    }
    put_back(&index);
    MUST(model_folder_open(&model, in_folder("m"))); /* so it was all that was wrong */
    model_folder_close(&model);
    forget_file(&index);
    forget_file(&shard);
}

START_TEST(official_files_that_are_refused)
{
    static const struct zimage_files files = {.type = TENSOR_F32, .shards = SHARDS};
    const struct place *place = &places[_i];
    set_up();
    if (place->flux)
        flux_write(in_folder("m"), true, &files);
    else
        zimage_write(in_folder("m"), &files);
    shards_that_are_refused(place);
    indices_that_are_refused(place);
    tensors_that_are_refused(place);
    folder_remove();
}
END_TEST

Suite *official_refused_test_suite(void)
{
    Suite *suite = suite_create("official_refused_test");
    TCase *tests = tcase_create("official");
    tcase_add_loop_test(tests, official_files_that_are_refused, 0, PLACES);
    suite_add_tcase(suite, tests);
    return suite;
}
