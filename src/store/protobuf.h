/* The wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding), as far as
 * ONNX files take it: a message is a row of fields, each a number and a value. */
#ifndef IMGTRAIN_STORE_PROTOBUF_H
#define IMGTRAIN_STORE_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- a message in the making, zeroed at first. Without memory the rest is dropped and `failed`
 * says so, so that only its end need be looked at. */
struct protobuf {
    uint8_t *bytes; /* owned */
    size_t count, room;
    bool failed;
};

void protobuf_add_int(struct protobuf *message, int field, int64_t value); /* int64, int32, enum */
void protobuf_add_float(struct protobuf *message, int field, float value);
void protobuf_add_bytes(struct protobuf *message, int field, const void *bytes, size_t count);
void protobuf_add_text(struct protobuf *message, int field, const char *text);
/* Takes the inner message, which is empty afterwards. */
void protobuf_add_message(struct protobuf *message, int field, struct protobuf *inner);
void protobuf_free(struct protobuf *message);

/* ---- reading: fields one after the other, of bytes that may come from anybody */
struct protobuf_field {
    int number;
    bool is_bytes; /* bytes, text or a message; else a number */
    uint64_t value;
    const uint8_t *bytes; /* borrowed */
    size_t count;
};

/* Takes the field at *at, which ends at `end` at the latest, and moves behind it. False at the end
 * (*sound) and where it is none (not *sound). */
bool protobuf_next(const uint8_t **at, const uint8_t *end, struct protobuf_field *field,
                   bool *sound);

#endif
