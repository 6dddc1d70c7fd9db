#include "data/flatten.h"

static uint8_t flatten_to_u8(float value)
{
    return (uint8_t)(value > 0 ? (value < 1 ? value * 255.0f + 0.5f : 255.0f) : 0.0f);
}

static uint16_t flatten_to_u16(float value)
{
    return (uint16_t)(value > 0 ? (value < 1 ? value * 65535.0f + 0.5f : 65535.0f) : 0.0f);
}

/* Alpha of a pixel, 1 where there is none. */
static float flatten_alpha(const struct image *in, size_t pixel)
{
    size_t channels = (size_t)in->channels;
    float a = image_has_alpha(in) ? image_sample(in, pixel * channels + channels - 1) : 1.0f;
    return a > 0 ? (a < 1 ? a : 1.0f) : 0.0f;
}

void flatten_rgb(void *out, enum sample_type type, const struct image *in)
{
    bool alpha = image_has_alpha(in), grey = in->channels < 3;
    size_t pixels = (size_t)in->width * (size_t)in->height, channels = (size_t)in->channels;
    uint8_t *out8 = out;
    uint16_t *out16 = out;
    for (size_t i = 0; i < pixels; i++) {
        float a = flatten_alpha(in, i);
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

void flatten_premultiplied(uint8_t *out, const struct image *in)
{
    bool grey = in->channels < 3;
    size_t pixels = (size_t)in->width * (size_t)in->height, channels = (size_t)in->channels;
    for (size_t i = 0; i < pixels; i++, out += 4) {
        float a = flatten_alpha(in, i);
        for (size_t c = 0; c < 3; c++) {
            float value = image_sample(in, i * channels + (grey ? 0 : c));
            out[c] = flatten_to_u8((value < 1 ? value : 1.0f) * a);
        }
        out[3] = flatten_to_u8(a);
    }
}

static uint8_t flatten_luma(const uint8_t rgb[3])
{
    return (uint8_t)((299u * rgb[0] + 587u * rgb[1] + 114u * rgb[2] + 500u) / 1000u);
}

void flatten_brightness(uint8_t *out, const struct image *in)
{
    size_t pixel = sample_bytes(in->type) * (size_t)in->channels;
    struct image one = {1, 1, in->channels, in->type, in->data};
    for (size_t i = 0; i < (size_t)in->width * (size_t)in->height; i++) {
        uint8_t rgb[3];
        one.data = (uint8_t *)in->data + i * pixel;
        flatten_rgb(rgb, SAMPLE_U8, &one);
        out[i] = flatten_luma(rgb);
    }
}

void flatten_grey(uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t *rgb = pixels + i * 3;
        rgb[0] = rgb[1] = rgb[2] = flatten_luma(rgb);
    }
}
