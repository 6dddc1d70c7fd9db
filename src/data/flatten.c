#include "data/flatten.h"

static uint8_t flatten_to_u8(float value)
{
    return (uint8_t)(value > 0 ? (value < 1 ? value * 255.0f + 0.5f : 255.0f) : 0.0f);
}

static uint16_t flatten_to_u16(float value)
{
    return (uint16_t)(value > 0 ? (value < 1 ? value * 65535.0f + 0.5f : 65535.0f) : 0.0f);
}

void flatten_rgb(void *out, enum sample_type type, const struct image *in)
{
    bool alpha = image_has_alpha(in), grey = in->channels < 3;
    size_t pixels = (size_t)in->width * (size_t)in->height, channels = (size_t)in->channels;
    uint8_t *out8 = out;
    uint16_t *out16 = out;
    for (size_t i = 0; i < pixels; i++) {
        float a = alpha ? image_sample(in, i * channels + channels - 1) : 1.0f;
        a = a > 0 ? (a < 1 ? a : 1.0f) : 0.0f;
        for (size_t c = 0; c < 3; c++) {
            float value = image_sample(in, i * channels + (grey ? 0 : c));
            if (alpha) value = value * a + (1.0f - a);
            if (type == SAMPLE_U16)
                out16[3 * i + c] = flatten_to_u16(value);
            else
                out8[3 * i + c] = flatten_to_u8(value);
        }
    }
}

void flatten_grey(uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t *rgb = pixels + i * 3;
        unsigned grey = (299u * rgb[0] + 587u * rgb[1] + 114u * rgb[2] + 500u) / 1000u;
        rgb[0] = rgb[1] = rgb[2] = (uint8_t)grey;
    }
}
