#include "base/error.h"
#include "base/file_atomic.h"
#include "base/format.h"
#include "base/json.h"
#include "store/safetensors.h"
#include "store/store_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct written {
    char *name;
    enum tensor_type type;
    int dims;
    int64_t shape[TENSOR_MAX_DIMS];
    const void *data;
    size_t bytes;
};

struct setting {
    char *key, *value;
};

struct store_writer {
    struct written *tensors;
    struct setting *settings;
    size_t tensor_count, tensor_room, setting_count, setting_room;
};

struct store_writer *store_writer_create(void)
{
    struct store_writer *writer = calloc(1, sizeof *writer);
    if (!writer) fail(ERR_SYSTEM, "out of memory");
    return writer;
}

void store_writer_free(struct store_writer *writer)
{
    if (!writer) return;
    for (size_t i = 0; i < writer->tensor_count; i++)
        free(writer->tensors[i].name);
    for (size_t i = 0; i < writer->setting_count; i++) {
        free(writer->settings[i].key);
        free(writer->settings[i].value);
    }
    free(writer->tensors);
    free(writer->settings);
    free(writer);
}

static int check_name(const struct store_writer *writer, const char *name)
{
    if (strcmp(name, "__metadata__") == 0)
        return fail(ERR_INTERNAL, "a tensor cannot be named %s", name);
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            return fail(ERR_INTERNAL, "tensor name with a control character");
    for (size_t i = 0; i < writer->tensor_count; i++)
        if (strcmp(writer->tensors[i].name, name) == 0)
            return fail(ERR_INTERNAL, "two tensors are named %s", name);
    return OK;
}

int store_add(struct store_writer *writer, const char *name, enum tensor_type type, int dims,
              const int64_t *shape, const void *data)
{
    TRY(check_name(writer, name));
    if (dims < 0 || dims > TENSOR_MAX_DIMS)
        return fail(ERR_INTERNAL, "tensor %s has %d dimensions", name, dims);
    struct written tensor = {.type = type, .dims = dims, .data = data};
    tensor.bytes = tensor_type_bytes(type);
    for (int i = 0; i < dims; i++) {
        tensor.shape[i] = shape[i];
        if (shape[i] < 0 || __builtin_mul_overflow(tensor.bytes, (size_t)shape[i], &tensor.bytes))
            return fail(ERR_INTERNAL, "tensor %s has an impossible shape", name);
    }
    if (writer->tensor_count == writer->tensor_room) {
        size_t room = writer->tensor_room ? writer->tensor_room * 2 : 32;
        struct written *larger = realloc(writer->tensors, room * sizeof *larger);
        if (!larger) return fail(ERR_SYSTEM, "out of memory");
        writer->tensors = larger;
        writer->tensor_room = room;
    }
    tensor.name = strdup(name);
    if (!tensor.name) return fail(ERR_SYSTEM, "out of memory");
    writer->tensors[writer->tensor_count++] = tensor;
    return OK;
}

int store_add_f32(struct store_writer *writer, const char *name, int64_t rows, int64_t columns,
                  const float *data)
{
    return store_add(writer, name, TENSOR_F32, 2, (int64_t[]){rows, columns}, data);
}

/* Sets `key` to `value`, which is taken over. */
static int set_owned(struct store_writer *writer, const char *key, char *value)
{
    for (size_t i = 0; i < writer->setting_count; i++) {
        if (strcmp(writer->settings[i].key, key) != 0) continue;
        free(writer->settings[i].value);
        writer->settings[i].value = value;
        return OK;
    }
    if (writer->setting_count == writer->setting_room) {
        size_t room = writer->setting_room ? writer->setting_room * 2 : 32;
        struct setting *larger = realloc(writer->settings, room * sizeof *larger);
        if (!larger) goto without_memory;
        writer->settings = larger;
        writer->setting_room = room;
    }
    char *copy = strdup(key);
    if (!copy) goto without_memory;
    writer->settings[writer->setting_count++] = (struct setting){copy, value};
    return OK;
without_memory:
    free(value);
    return fail(ERR_SYSTEM, "out of memory");
}

int store_set(struct store_writer *writer, const char *key, const char *value)
{
    if (strncmp(key, "crc32", 5) == 0)
        return fail(ERR_INTERNAL, "metadata key %s is reserved", key);
    char *copy = strdup(value);
    if (!copy) return fail(ERR_SYSTEM, "out of memory");
    return set_owned(writer, key, copy);
}

int store_set_int(struct store_writer *writer, const char *key, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    return store_set(writer, key, text);
}

int store_set_double(struct store_writer *writer, const char *key, double value)
{
    char text[40];
    snprintf(text, sizeof text, "%.17g", value);
    return store_set(writer, key, text);
}

/* An exponent of all ones is NaN or infinity: bit tests, so that no conversion is needed. */
static bool is_finite(const struct written *tensor)
{
    size_t count = tensor->bytes / tensor_type_bytes(tensor->type);
    const uint16_t *half = tensor->data;
    const uint32_t *word = tensor->data;
    const uint64_t *wide = tensor->data;
    bool bad = false;
    for (size_t i = 0; i < count; i++) {
        switch (tensor->type) {
        case TENSOR_F16: bad |= (half[i] & 0x7C00) == 0x7C00; break;
        case TENSOR_BF16: bad |= (half[i] & 0x7F80) == 0x7F80; break;
        case TENSOR_F32: bad |= (word[i] & 0x7F800000) == 0x7F800000; break;
        case TENSOR_F64: bad |= (wide[i] & 0x7FF0000000000000) == 0x7FF0000000000000; break;
        default: return true;
        }
    }
    return !bad;
}

const char *store_find_nonfinite(const struct store_writer *writer)
{
    for (size_t i = 0; i < writer->tensor_count; i++)
        if (!is_finite(&writer->tensors[i])) return writer->tensors[i].name;
    return NULL;
}

static void put_metadata(FILE *out, const struct store_writer *writer)
{
    fputs(STORE_CRC_FRONT "00000000\"", out);
    for (size_t i = 0; i < writer->setting_count; i++) {
        fputc(',', out);
        json_write_string(out, writer->settings[i].key);
        fputc(':', out);
        json_write_string(out, writer->settings[i].value);
    }
    for (size_t i = 0; i < writer->tensor_count; i++) {
        const struct written *t = &writer->tensors[i];
        fputs(",\"crc32.", out);
        json_write_escaped(out, t->name);
        fprintf(out, "\":\"%08" PRIx32 "\"", store_crc(0, t->data, t->bytes));
    }
    fputc('}', out);
}

static void put_tensors(FILE *out, const struct store_writer *writer)
{
    size_t at = 0;
    for (size_t i = 0; i < writer->tensor_count; i++) {
        const struct written *t = &writer->tensors[i];
        fputc(',', out);
        json_write_string(out, t->name);
        fprintf(out, ":{\"dtype\":\"%s\",\"shape\":[", tensor_type_name(t->type));
        for (int d = 0; d < t->dims; d++)
            fprintf(out, "%s%" PRId64, d ? "," : "", t->shape[d]);
        fprintf(out, "],\"data_offsets\":[%zu,%zu]}", at, at + t->bytes);
        at += t->bytes;
    }
}

/* Makes the 8 bytes of length and the JSON, padded so that the data begins 8-aligned. */
static int make_header(const struct store_writer *writer, char **header, size_t *bytes)
{
    struct printed_text text;
    *header = NULL;
    FILE *out = printed_text_open(&text);
    if (!out) return ERR_SYSTEM;
    fwrite("\0\0\0\0\0\0\0\0", 1, 8, out);
    put_metadata(out, writer);
    put_tensors(out, writer);
    fputc('}', out);
    fflush(out);
    for (size_t end = text.bytes; end % 8 != 0; end++)
        fputc(' ', out);
    TRY(printed_text_close(&text, out));
    *header = text.text;
    *bytes = text.bytes;
    uint64_t length = *bytes - 8;
    if (length > STORE_HEADER_MAX)
        return fail(ERR_INTERNAL, "a safetensors header of more than 16 MiB");
    memcpy(*header, &length, sizeof length);
    char digits[9];
    snprintf(digits, sizeof digits, "%08" PRIx32, store_crc(0, *header, *bytes));
    memcpy(*header + 8 + strlen(STORE_CRC_FRONT), digits, 8);
    return OK;
}

int store_writer_bytes(const struct store_writer *writer, size_t *bytes)
{
    char *header = NULL;
    int code = make_header(writer, &header, bytes);
    free(header);
    for (size_t i = 0; code == OK && i < writer->tensor_count; i++)
        *bytes += writer->tensors[i].bytes;
    return code;
}

/* Wide elements first: then each tensor is aligned to its own without a hole between them. */
static int compare_written(const void *a, const void *b)
{
    const struct written *x = a, *y = b;
    size_t wide_x = tensor_type_bytes(x->type), wide_y = tensor_type_bytes(y->type);
    if (wide_x != wide_y) return wide_x > wide_y ? -1 : 1;
    return strcmp(x->name, y->name);
}

int store_write(struct store_writer *writer, const char *path, bool sync)
{
    if (writer->tensor_count > 1)
        qsort(writer->tensors, writer->tensor_count, sizeof *writer->tensors, compare_written);
    char *header = NULL;
    size_t header_bytes = 0;
    struct file_atomic file = {.fd = -1};
    int code = make_header(writer, &header, &header_bytes);
    if (code < 0) goto cleanup;
    size_t bytes = header_bytes;
    for (size_t i = 0; i < writer->tensor_count; i++)
        bytes += writer->tensors[i].bytes;
    TRY_CLEANUP(file_atomic_open(&file, path, bytes));
    TRY_CLEANUP(file_atomic_write(&file, header, header_bytes));
    for (size_t i = 0; i < writer->tensor_count; i++)
        TRY_CLEANUP(file_atomic_write(&file, writer->tensors[i].data, writer->tensors[i].bytes));
    TRY_CLEANUP(file_atomic_commit(&file, sync));
cleanup:
    file_atomic_abort(&file);
    free(header);
    return code;
}
