/* What an ONNX file says of itself, whoever wrote it. */
#include "base/error.h"
#include "base/file.h"
#include "store/onnx.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SUMMARY_MOST = 4096 }; /* inputs and outputs, or pairs */

bool onnx_is_named(const char *path)
{
    size_t length = strlen(path);
    return length >= 5 && strcasecmp(path + length - 5, ".onnx") == 0;
}

/* Calls `field` for each field of a message; false where one is not sound. */
static bool summary_each(const uint8_t *bytes, size_t count,
                         bool (*each)(void *context, const struct protobuf_field *field),
                         void *context)
{
    struct protobuf_field field;
    bool sound = true;
    if (count == 0) return true; /* an empty file has no bytes to point at */
    for (const uint8_t *at = bytes; protobuf_next(&at, bytes + count, &field, &sound);)
        if (!each(context, &field)) return false;
    return sound;
}

static bool summary_text(char **to, const struct protobuf_field *f)
{
    if (!f->is_bytes) return false;
    free(*to);
    *to = strndup((const char *)f->bytes, f->count);
    return *to != NULL;
}

/* One more of `size` bytes behind `count` of them, zeroed; NULL: too many, or no memory. */
static void *summary_grow(void **list, int *count, size_t size)
{
    if (*count == SUMMARY_MOST) return NULL;
    char *grown = realloc(*list, ((size_t)*count + 1) * size);
    if (!grown) return NULL;
    *list = grown;
    memset(grown + (size_t)*count * size, 0, size);
    return grown + (size_t)(*count)++ * size;
}

static bool summary_dim(void *context, const struct protobuf_field *f)
{
    int64_t *side = context;
    if (f->number == 1 && !f->is_bytes) *side = (int64_t)f->value;
    return true;
}

static bool summary_shape(void *context, const struct protobuf_field *f)
{
    struct onnx_value *value = context;
    if (f->number != 1 || !f->is_bytes) return true;
    if (value->dims == ONNX_MOST_DIMS) return false;
    value->shape[value->dims] = -1;
    return summary_each(f->bytes, f->count, summary_dim, &value->shape[value->dims++]);
}

static bool summary_tensor(void *context, const struct protobuf_field *f)
{
    struct onnx_value *value = context;
    if (f->number == 1 && !f->is_bytes) value->type = (int64_t)f->value;
    return f->number != 2 || !f->is_bytes || summary_each(f->bytes, f->count, summary_shape, value);
}

static bool summary_type(void *context, const struct protobuf_field *f)
{
    return f->number != 1 || !f->is_bytes ||
           summary_each(f->bytes, f->count, summary_tensor, context);
}

static bool summary_value(void *context, const struct protobuf_field *f)
{
    struct onnx_value *value = context;
    if (f->number == 1) return summary_text(&value->name, f);
    return f->number != 2 || !f->is_bytes || summary_each(f->bytes, f->count, summary_type, value);
}

static bool summary_graph(void *context, const struct protobuf_field *f)
{
    struct onnx_summary *s = context;
    s->nodes += f->number == 1;
    s->initializers += f->number == 5;
    if (f->number == 2) return summary_text(&s->graph, f);
    if (f->number != 11 && f->number != 12) return true;
    struct onnx_value *value = summary_grow((void **)&s->values, &s->value_count, sizeof *value);
    if (!value || !f->is_bytes) return false;
    value->is_output = f->number == 12;
    return summary_each(f->bytes, f->count, summary_value, value);
}

static bool summary_opset(void *context, const struct protobuf_field *f)
{
    struct onnx_summary *s = context;
    if (f->number == 2 && !f->is_bytes) s->opset = (int64_t)f->value;
    return true;
}

static bool summary_pair(void *context, const struct protobuf_field *f)
{
    struct onnx_pair *pair = context;
    if (f->number == 1) return summary_text(&pair->key, f);
    return f->number != 2 || summary_text(&pair->value, f);
}

static bool summary_model(void *context, const struct protobuf_field *f)
{
    struct onnx_summary *s = context;
    switch (f->number) {
    case 1: s->ir = (int64_t)f->value; return !f->is_bytes;
    case 2: return summary_text(&s->producer, f);
    case 3: return summary_text(&s->version, f);
    case 7: return f->is_bytes && summary_each(f->bytes, f->count, summary_graph, s);
    case 8: return f->is_bytes && summary_each(f->bytes, f->count, summary_opset, s);
    case 14: break;
    default: return true;
    }
    struct onnx_pair *pair = summary_grow((void **)&s->pairs, &s->pair_count, sizeof *pair);
    return pair && f->is_bytes && summary_each(f->bytes, f->count, summary_pair, pair);
}

int onnx_read_summary(struct onnx_summary *summary, const char *path)
{
    struct file_map map;
    *summary = (struct onnx_summary){0};
    TRY(file_map(&map, path));
    bool sound = summary_each(map.data, map.bytes, summary_model, summary);
    file_unmap(&map);
    if (sound && summary->ir > 0 && summary->graph) return OK;
    onnx_summary_free(summary);
    return fail(ERR_DATA, "%s: no ONNX model, or a damaged one", path);
}

void onnx_summary_free(struct onnx_summary *s)
{
    for (int i = 0; i < s->value_count; i++)
        free(s->values[i].name);
    for (int i = 0; i < s->pair_count; i++) {
        free(s->pairs[i].key);
        free(s->pairs[i].value);
    }
    free(s->values);
    free(s->pairs);
    free(s->producer);
    free(s->version);
    free(s->graph);
    *s = (struct onnx_summary){0};
}
