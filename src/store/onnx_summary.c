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

/* All below: OK, ERR_DATA for what is not sound or ERR_SYSTEM, without a message. */

/* Calls `each` for the fields of a message. */
static int summary_each(const uint8_t *bytes, size_t count,
                        int (*each)(void *context, const struct protobuf_field *field),
                        void *context)
{
    struct protobuf_field field;
    bool sound = true;
    if (count == 0) return OK; /* an empty file has no bytes to point at */
    for (const uint8_t *at = bytes; protobuf_next(&at, bytes + count, &field, &sound);)
        TRY(each(context, &field));
    return sound ? OK : ERR_DATA;
}

/* The same for a field that is a message. */
static int summary_within(const struct protobuf_field *f,
                          int (*each)(void *context, const struct protobuf_field *field),
                          void *context)
{
    return f->is_bytes ? summary_each(f->bytes, f->count, each, context) : ERR_DATA;
}

static int summary_text(char **to, const struct protobuf_field *f)
{
    if (!f->is_bytes) return ERR_DATA;
    free(*to);
    *to = strndup((const char *)f->bytes, f->count);
    return *to ? OK : ERR_SYSTEM;
}

/* One more of `size` bytes behind `count` of them, zeroed. */
static int summary_grow(void **list, int *count, size_t size)
{
    if (*count == SUMMARY_MOST) return ERR_DATA;
    char *grown = realloc(*list, ((size_t)*count + 1) * size);
    if (!grown) return ERR_SYSTEM;
    *list = grown;
    memset(grown + (size_t)(*count)++ * size, 0, size);
    return OK;
}

static int summary_dim(void *context, const struct protobuf_field *f)
{
    int64_t *side = context;
    if (f->number == 1 && !f->is_bytes) *side = (int64_t)f->value;
    return OK;
}

static int summary_shape(void *context, const struct protobuf_field *f)
{
    struct onnx_value *value = context;
    if (f->number != 1 || !f->is_bytes) return OK;
    if (value->dims == ONNX_MOST_DIMS) return ERR_DATA;
    value->shape[value->dims] = -1;
    return summary_each(f->bytes, f->count, summary_dim, &value->shape[value->dims++]);
}

static int summary_tensor(void *context, const struct protobuf_field *f)
{
    struct onnx_value *value = context;
    if (f->number == 1 && !f->is_bytes) value->type = (int64_t)f->value;
    return f->number == 2 && f->is_bytes ? summary_within(f, summary_shape, value) : OK;
}

static int summary_type(void *context, const struct protobuf_field *f)
{
    return f->number == 1 && f->is_bytes ? summary_within(f, summary_tensor, context) : OK;
}

static int summary_value(void *context, const struct protobuf_field *f)
{
    struct onnx_value *value = context;
    if (f->number == 1) return summary_text(&value->name, f);
    return f->number == 2 && f->is_bytes ? summary_within(f, summary_type, value) : OK;
}

static int summary_graph(void *context, const struct protobuf_field *f)
{
    struct onnx_summary *s = context;
    s->nodes += f->number == 1;
    s->initializers += f->number == 5;
    if (f->number == 2) return summary_text(&s->graph, f);
    if (f->number != 11 && f->number != 12) return OK;
    TRY(summary_grow((void **)&s->values, &s->value_count, sizeof *s->values));
    struct onnx_value *value = &s->values[s->value_count - 1];
    value->is_output = f->number == 12;
    return summary_within(f, summary_value, value);
}

static int summary_opset(void *context, const struct protobuf_field *f)
{
    struct onnx_summary *s = context;
    if (f->number == 2 && !f->is_bytes) s->opset = (int64_t)f->value;
    return OK;
}

static int summary_pair(void *context, const struct protobuf_field *f)
{
    struct onnx_pair *pair = context;
    if (f->number == 1) return summary_text(&pair->key, f);
    return f->number == 2 ? summary_text(&pair->value, f) : OK;
}

static int summary_model(void *context, const struct protobuf_field *f)
{
    struct onnx_summary *s = context;
    switch (f->number) {
    case 1: s->ir = (int64_t)f->value; return f->is_bytes ? ERR_DATA : OK;
    case 2: return summary_text(&s->producer, f);
    case 3: return summary_text(&s->version, f);
    case 7: return summary_within(f, summary_graph, s);
    case 8: return summary_within(f, summary_opset, s);
    case 14: break;
    default: return OK;
    }
    TRY(summary_grow((void **)&s->pairs, &s->pair_count, sizeof *s->pairs));
    return summary_within(f, summary_pair, &s->pairs[s->pair_count - 1]);
}

int onnx_read_summary(struct onnx_summary *summary, const char *path)
{
    struct file_map map;
    *summary = (struct onnx_summary){0};
    TRY(file_map(&map, path));
    int code = summary_each(map.data, map.bytes, summary_model, summary);
    file_unmap(&map);
    if (code == OK && summary->ir > 0 && summary->graph) return OK;
    onnx_summary_free(summary);
    if (code == ERR_SYSTEM) return fail(code, "%s: out of memory", path);
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
