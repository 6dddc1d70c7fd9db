/* gpu-draw WIDTH HEIGHT FILE: the picture that the kit's fits are of, the same everywhere. Shaded
 * balls before a striped sky, with a checkered floor and a grain of several sizes: edges, smooth
 * slopes, and texture where a photograph has it. */
#include "base/error.h"
#include "base/random.h"
#include "image/image.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct ball {
    double x, y, radius, colour[3];
};

static const struct ball balls[] = {
    {0.23, 0.44, 0.15, {0.90, 0.30, 0.20}},
    {0.52, 0.56, 0.20, {0.20, 0.60, 0.90}},
    {0.81, 0.47, 0.12, {0.95, 0.80, 0.30}},
    {0.66, 0.85, 0.07, {0.40, 0.80, 0.45}},
};

static double draw_corner(int64_t x, int64_t y, int octave)
{
    uint64_t at = (uint64_t)y << 32 | (uint64_t)(uint32_t)x;
    return (double)philox_uniform(philox_draw(1, STREAM_TEST, (uint64_t)octave, at).v[0]);
}

/* Noise between corners `step` apart: -0.5 to 0.5. */
static double draw_noise(double x, double y, double step, int octave)
{
    double u = x / step, v = y / step, i = floor(u), j = floor(v);
    double s = u - i, t = v - j;
    s = s * s * (3 - 2 * s);
    t = t * t * (3 - 2 * t);
    int64_t a = (int64_t)i, b = (int64_t)j;
    double top = draw_corner(a, b, octave) * (1 - s) + draw_corner(a + 1, b, octave) * s;
    double bottom = draw_corner(a, b + 1, octave) * (1 - s) + draw_corner(a + 1, b + 1, octave) * s;
    return top * (1 - t) + bottom * t - 0.5;
}

static void draw_background(double u, double v, double *colour)
{
    if (v < 0.63) {
        double s = 0.6 + 0.6 * v + 0.05 * sin(90 * u + 180 * v);
        colour[0] = 0.55 * s;
        colour[1] = 0.72 * s;
        colour[2] = 0.95 * s;
        return;
    }
    double depth = 0.1 / (v - 0.58), row = depth * 12, column = (u - 0.5) * depth * 12;
    bool dark = ((int64_t)floor(row) + (int64_t)floor(column)) & 1;
    colour[0] = colour[1] = colour[2] = dark ? 0.3 : 0.7;
}

static void draw_pixel(double u, double v, double aspect, double *colour)
{
    draw_background(u, v, colour);
    for (size_t i = 0; i < sizeof balls / sizeof *balls; i++) {
        const struct ball *b = &balls[i];
        double x = (u - b->x) * aspect / b->radius, y = (v - b->y) / b->radius;
        double d = x * x + y * y;
        if (d >= 1) continue;
        double light = fmax(0, -0.5 * x - 0.6 * y + 0.62 * sqrt(1 - d));
        for (int c = 0; c < 3; c++)
            colour[c] = b->colour[c] * (0.15 + 0.85 * light) + 0.8 * pow(light, 24);
    }
}

static int draw(int width, int height, const char *path)
{
    struct image image;
    TRY(image_create(&image, width, height, 3, SAMPLE_U8));
    uint8_t *to = image.data;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            double colour[3], grain = 0;
            draw_pixel((x + 0.5) / width, (y + 0.5) / height, (double)width / height, colour);
            for (int octave = 0; octave < 3; octave++)
                grain += draw_noise(x, y, 6 << (2 * octave), octave) * (0.04 + 0.02 * octave);
            for (int c = 0; c < 3; c++)
                *to++ = (uint8_t)(255 * fmin(1, fmax(0, colour[c] + grain)) + 0.5);
        }
    int code = image_save(&image, path);
    image_free(&image);
    return code;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "gpu-draw WIDTH HEIGHT FILE\n");
        return 64;
    }
    int code = draw(atoi(argv[1]), atoi(argv[2]), argv[3]);
    if (code < 0) fprintf(stderr, "gpu-draw: %s\n", error_message());
    return code < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
