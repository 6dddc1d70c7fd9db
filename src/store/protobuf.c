#include "store/protobuf.h"

#include <stdlib.h>
#include <string.h>

enum { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_FIXED32 = 5 };

static void protobuf_append(struct protobuf *m, const void *bytes, size_t count)
{
    if (m->failed || count == 0) return;
    if (m->room - m->count < count) {
        size_t room = 2 * m->room + count + 64;
        uint8_t *grown = realloc(m->bytes, room);
        m->failed = !grown;
        if (!grown) return;
        m->bytes = grown;
        m->room = room;
    }
    memcpy(m->bytes + m->count, bytes, count);
    m->count += count;
}

static void protobuf_append_varint(struct protobuf *m, uint64_t value)
{
    uint8_t bytes[10];
    size_t count = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[count++] = (uint8_t)(value | 0x80);
    bytes[count++] = (uint8_t)value;
    protobuf_append(m, bytes, count);
}

static void protobuf_append_tag(struct protobuf *m, int field, int wire)
{
    protobuf_append_varint(m, (uint64_t)field << 3 | (uint64_t)wire);
}

void protobuf_add_int(struct protobuf *m, int field, int64_t value)
{
    protobuf_append_tag(m, field, WIRE_VARINT);
    protobuf_append_varint(m, (uint64_t)value);
}

void protobuf_add_float(struct protobuf *m, int field, float value)
{
    protobuf_append_tag(m, field, WIRE_FIXED32);
    protobuf_append(m, &value, sizeof value);
}

void protobuf_add_bytes(struct protobuf *m, int field, const void *bytes, size_t count)
{
    protobuf_append_tag(m, field, WIRE_BYTES);
    protobuf_append_varint(m, count);
    protobuf_append(m, bytes, count);
}

void protobuf_add_text(struct protobuf *m, int field, const char *text)
{
    protobuf_add_bytes(m, field, text, strlen(text));
}

void protobuf_add_message(struct protobuf *m, int field, struct protobuf *inner)
{
    protobuf_add_bytes(m, field, inner->bytes, inner->count);
    m->failed = m->failed || inner->failed;
    protobuf_free(inner);
}

void protobuf_free(struct protobuf *m)
{
    free(m->bytes);
    *m = (struct protobuf){0};
}

static bool protobuf_take_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

static bool protobuf_take(const uint8_t **at, const uint8_t *end, struct protobuf_field *f)
{
    uint64_t tag;
    if (!protobuf_take_varint(at, end, &tag) || tag >> 3 == 0 || tag >> 3 > INT32_MAX) return false;
    int wire = (int)(tag & 7);
    *f = (struct protobuf_field){.number = (int)(tag >> 3), .is_bytes = wire == WIRE_BYTES};
    if (wire == WIRE_VARINT) return protobuf_take_varint(at, end, &f->value);
    if (wire == WIRE_BYTES) {
        if (!protobuf_take_varint(at, end, &f->value)) return false;
    } else {
        if (wire != WIRE_FIXED32 && wire != WIRE_FIXED64) return false;
        f->value = wire == WIRE_FIXED32 ? 4 : 8;
    }
    if (f->value > (uint64_t)(end - *at)) return false;
    f->bytes = *at;
    f->count = (size_t)f->value;
    *at += f->count;
    return true;
}

bool protobuf_next(const uint8_t **at, const uint8_t *end, struct protobuf_field *field,
                   bool *sound)
{
    *sound = *at == end;
    if (*sound) return false;
    *sound = protobuf_take(at, end, field);
    return *sound;
}
