/* Reading, writing, converting and resampling pictures. The files are made here, byte by byte or
 * with the libraries' writers; the expected pixels are computed independently. */
#include "image/image.h"

#include "base/error.h"
#include "base/file.h"
#include "image/format.h"
#include "image_files.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static void enter_folder(void)
{
    strcpy(folder, "/tmp/imgtrain-image-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void leave_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static const char *in_folder(const char *name)
{
    static char path[2][256];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static struct image decode(const struct bytes *file)
{
    struct image image;
    int code = image_decode(&image, file->data, file->count, "test");
    ck_assert_msg(code == OK, "%s", error_message());
    return image;
}

static void assert_shape(const struct image *image, int width, int height, int channels,
                         enum sample_type type)
{
    ck_assert_int_eq(image->width, width);
    ck_assert_int_eq(image->height, height);
    ck_assert_int_eq(image->channels, channels);
    ck_assert_int_eq((int)image->type, (int)type);
}

/* ---- PNG ---- */

enum { GREY = 0, RGB = 2, PALETTE = 3, GREY_ALPHA = 4, RGB_ALPHA = 6 };

/* The value that test pictures have at a pixel, in `bits` bits. */
static unsigned sample_at(int x, int y, int c, int bits)
{
    unsigned h = (unsigned)x * 2654435761u ^ (unsigned)y * 40503u * 65537u ^ (unsigned)c * 97u << 9;
    return (h >> 7 ^ h >> 19) & ((1u << bits) - 1);
}

static int png_channels(int colour)
{
    return colour == RGB ? 3 : colour == GREY_ALPHA ? 2 : colour == RGB_ALPHA ? 4 : 1;
}

/* Packs pixels (x0 + i dx, y0 + j dy) of the test picture as PNG rows with filter type 0. */
static void put_pass(struct bytes *raw, int width, int height, int colour, int bits, int x0, int y0,
                     int dx, int dy)
{
    for (int y = y0; y < height; y += dy) {
        if (x0 >= width) return; /* an empty pass has no rows */
        bytes_put8(raw, 0);
        unsigned packed = 0;
        int filled = 0;
        for (int x = x0; x < width; x += dx) {
            for (int c = 0; c < png_channels(colour); c++) {
                packed = packed << bits | sample_at(x, y, c, bits);
                filled += bits;
                for (; filled >= 8; filled -= 8)
                    bytes_put8(raw, packed >> (filled - 8) & 255);
            }
        }
        if (filled) bytes_put8(raw, packed << (8 - filled) & 255);
    }
}

static struct bytes make_png(int width, int height, int colour, int bits, bool adam7,
                             const struct bytes *extra)
{
    static const int passes[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                     {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
    struct bytes raw = {0}, file = {0};
    for (int p = 0; adam7 && p < 7; p++)
        put_pass(&raw, width, height, colour, bits, passes[p][0], passes[p][1], passes[p][2],
                 passes[p][3]);
    if (!adam7) put_pass(&raw, width, height, colour, bits, 0, 0, 1, 1);
    png_put_start(&file, (unsigned)width, (unsigned)height, bits, colour, adam7);
    if (extra) bytes_put(&file, extra->data, extra->count);
    png_put_deflated(&file, raw.data, raw.count);
    png_put_chunk(&file, "IEND", NULL, 0);
    bytes_free(&raw);
    return file;
}

/* All depths and colour types without a palette, plain and interlaced, at sizes where Adam7 passes
 * are empty and where they are not. */
START_TEST(png_kinds)
{
    static const int kinds[][2] = {
        {GREY, 1}, {GREY, 2},       {GREY, 4},        {GREY, 8},      {GREY, 16},     {RGB, 8},
        {RGB, 16}, {GREY_ALPHA, 8}, {GREY_ALPHA, 16}, {RGB_ALPHA, 8}, {RGB_ALPHA, 16}};
    static const int sizes[][2] = {{1, 1}, {3, 2}, {5, 1}, {1, 9}, {37, 29}};
    int colour = kinds[_i][0], bits = kinds[_i][1], channels = png_channels(colour);
    for (int s = 0; s < 10; s++) {
        int width = sizes[s / 2][0], height = sizes[s / 2][1];
        struct bytes file = make_png(width, height, colour, bits, s % 2, NULL);
        struct image image = decode(&file);
        assert_shape(&image, width, height, channels, bits == 16 ? SAMPLE_U16 : SAMPLE_U8);
        for (int i = 0; i < width * height * channels; i++) {
            int x = i / channels % width, y = i / channels / width;
            unsigned want = sample_at(x, y, i % channels, bits);
            if (bits < 8) want = want * 255 / ((1u << bits) - 1);
            unsigned got = bits == 16 ? ((uint16_t *)image.data)[i] : ((uint8_t *)image.data)[i];
            ck_assert_uint_eq(got, want);
        }
        image_free(&image);
        bytes_free(&file);
    }
}
END_TEST

/* Palettes of 1 to 8 bits become RGB, with tRNS RGBA. */
START_TEST(png_palette)
{
    int bits = 1 << _i;
    for (int with_alpha = 0; with_alpha < 2; with_alpha++) {
        uint8_t colours[256 * 3], alphas[256];
        for (int i = 0; i < 256 * 3; i++)
            colours[i] = (uint8_t)(i * 31 + 5);
        for (int i = 0; i < 256; i++)
            alphas[i] = (uint8_t)(200 - i);
        struct bytes extra = {0};
        size_t entries = (size_t)1 << bits;
        png_put_chunk(&extra, "PLTE", colours, entries * 3);
        if (with_alpha) png_put_chunk(&extra, "tRNS", alphas, entries);
        struct bytes file = make_png(21, 10, PALETTE, bits, with_alpha, &extra);
        struct image image = decode(&file);
        assert_shape(&image, 21, 10, 3 + with_alpha, SAMPLE_U8);
        const uint8_t *got = image.data;
        for (int i = 0; i < 21 * 10; i++) {
            unsigned entry = sample_at(i % 21, i / 21, 0, bits);
            for (unsigned c = 0; c < 3; c++)
                ck_assert_uint_eq(*got++, colours[entry * 3 + c]);
            if (with_alpha) ck_assert_uint_eq(*got++, alphas[entry]);
        }
        image_free(&image);
        bytes_free(&file);
        bytes_free(&extra);
    }
}
END_TEST

/* A colour key makes exactly the pixels of that value transparent. */
START_TEST(png_colour_key)
{
    struct bytes extra = {0};
    png_put_chunk(&extra, "tRNS", "\0\3", 2);
    struct bytes file = make_png(20, 20, GREY, 4, false, &extra);
    struct image image = decode(&file);
    assert_shape(&image, 20, 20, 2, SAMPLE_U8);
    int transparent = 0;
    for (int i = 0; i < 400; i++) {
        unsigned value = sample_at(i % 20, i / 20, 0, 4),
                 alpha = ((uint8_t *)image.data)[2 * i + 1];
        ck_assert_uint_eq(alpha, value == 3 ? 0 : 255);
        transparent += alpha == 0;
    }
    ck_assert_int_gt(transparent, 0);
    image_free(&image);
    bytes_free(&file);
    bytes_free(&extra);
}
END_TEST

/* ---- JPEG ---- */

/* 48x32: quadrants of different grey, dark and bright enough to survive the compression. */
static struct bytes make_quadrants(void)
{
    static const uint8_t grey[4] = {20, 90, 160, 230};
    struct image image;
    ck_assert_int_eq(image_create(&image, 48, 32, 1, SAMPLE_U8), OK);
    for (int i = 0; i < 48 * 32; i++)
        ((uint8_t *)image.data)[i] = grey[(i / 48 >= 16) * 2 + (i % 48 >= 24)];
    struct bytes file = {0};
    ck_assert_int_eq(image_encode_jpeg(&image, 95, &file.data, &file.count), OK);
    image_free(&image);
    return file;
}

static uint8_t pixel_at(const struct image *image, int x, int y)
{
    return ((uint8_t *)image->data)[y * image->width + x];
}

/* Which quadrant (0 top left, 1 top right, 2 bottom left, 3 bottom right) of the stored picture
 * stands where in the upright one: read off the EXIF standard's figure. */
START_TEST(jpeg_orientations)
{
    static const int quadrants[9][4] = {{0, 1, 2, 3}, {0, 1, 2, 3}, {1, 0, 3, 2},
                                        {3, 2, 1, 0}, {2, 3, 0, 1}, {0, 2, 1, 3},
                                        {2, 0, 3, 1}, {3, 1, 2, 0}, {1, 3, 0, 2}};
    static const int grey[4] = {20, 90, 160, 230};
    for (int little = 0; little < 2; little++) {
        struct bytes plain = make_quadrants(), file = jpeg_with_exif(&plain, _i, little);
        struct image image = decode(&file);
        int width = _i >= 5 ? 32 : 48, height = _i >= 5 ? 48 : 32;
        assert_shape(&image, width, height, 1, SAMPLE_U8);
        for (int q = 0; q < 4; q++) {
            int x = q % 2 ? width - 3 : 2, y = q / 2 ? height - 3 : 2;
            ck_assert_int_le(abs(pixel_at(&image, x, y) - grey[quadrants[_i][q]]), 2);
        }
        int probed[3];
        enum sample_type type;
        ck_assert_int_eq(file_write_atomic(in_folder("o.jpg"), file.data, file.count, false), OK);
        ck_assert_int_eq(image_probe(in_folder("o.jpg"), &probed[0], &probed[1], &probed[2], &type),
                         OK);
        assert_shape(&image, probed[0], probed[1], probed[2], type);
        image_free(&image);
        bytes_free(&plain);
        bytes_free(&file);
    }
}
END_TEST

/* The same in PNG's eXIf chunk. */
START_TEST(png_orientation)
{
    uint8_t exif[64];
    size_t count = exif_block(exif, 6, true);
    struct bytes extra = {0};
    png_put_chunk(&extra, "eXIf", exif, count);
    struct bytes file = make_png(5, 3, GREY, 8, false, &extra);
    struct image image = decode(&file);
    assert_shape(&image, 3, 5, 1, SAMPLE_U8);
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 3; x++)
            ck_assert_uint_eq(pixel_at(&image, x, y), sample_at(y, 2 - x, 0, 8));
    image_free(&image);
    bytes_free(&file);
    bytes_free(&extra);
}
END_TEST

/* Inks (255 = full): red-ish by light loss r = (1 - c)(1 - k). Adobe's files store them inverted.
 */
START_TEST(jpeg_cmyk)
{
    static const uint8_t ink[4] = {0, 128, 255, 51};
    static const int want[3] = {204, 102, 0};
    for (int kind = 0; kind < 3; kind++) {
        bool ycck = kind == 1, adobe = kind != 2;
        struct bytes file = jpeg_of_ink(ink, adobe, ycck);
        struct image image = decode(&file);
        assert_shape(&image, 16, 16, 3, SAMPLE_U8);
        for (int c = 0; c < 3; c++)
            ck_assert_int_le(abs(((uint8_t *)image.data)[3 * 100 + c] - want[c]), 2);
        image_free(&image);
        bytes_free(&file);
    }
}
END_TEST

/* Chroma at full resolution from quality 90 on: a one-pixel red line stays red. */
START_TEST(jpeg_writes_chroma)
{
    static const int qualities[2] = {90, 89};
    int red[2];
    for (int i = 0; i < 2; i++) {
        struct image image, back;
        struct bytes file = {0};
        ck_assert_int_eq(image_create(&image, 33, 17, 3, SAMPLE_U8), OK);
        for (int y = 0; y < 17; y++)
            ((uint8_t *)image.data)[(y * 33 + 11) * 3] = 255;
        ck_assert_int_eq(image_encode_jpeg(&image, qualities[i], &file.data, &file.count), OK);
        back = decode(&file);
        assert_shape(&back, 33, 17, 3, SAMPLE_U8);
        red[i] = ((uint8_t *)back.data)[(8 * 33 + 11) * 3];
        image_free(&image);
        image_free(&back);
        bytes_free(&file);
    }
    ck_assert_int_gt(red[0], 235);
    ck_assert_int_lt(red[1], red[0] - 50);
}
END_TEST

/* ---- PNM and PFM ---- */

#define TEXT(literal) literal, sizeof literal - 1

static const struct {
    const char *text;
    size_t bytes; /* some hold zeros */
    int width, height, channels;
    enum sample_type type;
    int samples[8];
} maps[] = {
    {TEXT("P1 # a comment\n3 #and one\n2\n101\n0 1 0 "),
     3,
     2,
     1,
     SAMPLE_U8,
     {0, 255, 0, 255, 0, 255}},
    {TEXT("P2\n2 1\n100\n0 50"), 2, 1, 1, SAMPLE_U8, {0, 128}},
    {TEXT("P3\n1 2 255\n1 2 3\n4 5\t6\n"), 1, 2, 3, SAMPLE_U8, {1, 2, 3, 4, 5, 6}},
    {TEXT("P4\n9 1\n\x80\x80"), 9, 1, 1, SAMPLE_U8, {0, 255, 255, 255, 255, 255, 255, 255}},
    {TEXT("P5\n#c\n2 2\n255\nabcd"), 2, 2, 1, SAMPLE_U8, {'a', 'b', 'c', 'd'}},
    {TEXT("P5 2 1 65535\n\1\2\3\4"), 2, 1, 1, SAMPLE_U16, {0x102, 0x304}},
    {TEXT("P5 2 1 511\n\1\377\0\0"), 2, 1, 1, SAMPLE_U16, {65535, 0}},
    {TEXT("P6 1 1 255 xyz"), 1, 1, 3, SAMPLE_U8, {'x', 'y', 'z'}},
    {TEXT("P7\n# hello\nWIDTH 1\nHEIGHT 2\nDEPTH 2\nMAXVAL 255\nTUPLTYPE "
          "GRAYSCALE_ALPHA\nENDHDR\nabcd"),
     1,
     2,
     2,
     SAMPLE_U8,
     {'a', 'b', 'c', 'd'}},
    {TEXT("P7\nWIDTH 3\nHEIGHT 1\nDEPTH 1\nMAXVAL 1\nTUPLTYPE BLACKANDWHITE\nENDHDR\n\1\0\1"),
     3,
     1,
     1,
     SAMPLE_U8,
     {255, 0, 255}},
};

enum { MAPS = sizeof maps / sizeof maps[0] };

START_TEST(pnm_kinds)
{
    struct bytes file = {0};
    bytes_put(&file, maps[_i].text, maps[_i].bytes);
    struct image image = decode(&file);
    assert_shape(&image, maps[_i].width, maps[_i].height, maps[_i].channels, maps[_i].type);
    for (int i = 0; i < image.width * image.height * image.channels && i < 8; i++) {
        int got =
            image.type == SAMPLE_U8 ? ((uint8_t *)image.data)[i] : ((uint16_t *)image.data)[i];
        ck_assert_int_eq(got, maps[_i].samples[i]);
    }
    image_free(&image);
    bytes_free(&file);
}
END_TEST

/* 1x2 greys 1.5 (bottom, first in the file) and -0.25, and an RGB pixel, both byte orders. */
START_TEST(pfm_kinds)
{
    static const struct {
        const char *text;
        size_t bytes;
    } files[] = {{TEXT("Pf\n1 2\n-1.0\n\0\0\xC0\x3F\0\0\x80\xBE")},
                 {TEXT("Pf 1 2 1\n\x3F\xC0\0\0\xBE\x80\0\0")}};
    for (int i = 0; i < 2; i++) {
        struct bytes file = {0};
        bytes_put(&file, files[i].text, files[i].bytes);
        struct image image = decode(&file);
        assert_shape(&image, 1, 2, 1, SAMPLE_F32);
        ck_assert(((float *)image.data)[0] == -0.25f && ((float *)image.data)[1] == 1.5f);
        image_free(&image);
        bytes_free(&file);
    }
}
END_TEST

/* ---- saving ---- */

static struct image draw(int width, int height, int channels, enum sample_type type)
{
    struct image image;
    ck_assert_int_eq(image_create(&image, width, height, channels, type), OK);
    for (int i = 0; i < width * height * channels; i++) {
        unsigned v = sample_at(i, 3, 1, 16);
        switch (type) {
        case SAMPLE_U8: ((uint8_t *)image.data)[i] = (uint8_t)v; break;
        case SAMPLE_U16: ((uint16_t *)image.data)[i] = (uint16_t)v; break;
        case SAMPLE_F32: ((float *)image.data)[i] = (float)v / 16384.0f - 1.0f; break;
        }
    }
    return image;
}

/* Lossless formats give back every bit, by every name that can hold the picture. */
START_TEST(lossless_round_trips)
{
    static const struct {
        const char *name;
        int channels;
        enum sample_type type;
    } cases[] = {
        {"a.png", 1, SAMPLE_U8},  {"a.png", 2, SAMPLE_U16}, {"a.PNG", 3, SAMPLE_U16},
        {"a.png", 4, SAMPLE_U8},  {"a.ppm", 3, SAMPLE_U8},  {"a.ppm", 3, SAMPLE_U16},
        {"a.pgm", 1, SAMPLE_U16}, {"a.pnm", 1, SAMPLE_U8},  {"a.pnm", 4, SAMPLE_U16},
        {"a.pnm", 7, SAMPLE_U8},  {"a.pfm", 1, SAMPLE_F32}, {"a.pfm", 3, SAMPLE_F32},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct image image = draw(13, 7, cases[i].channels, cases[i].type), back;
        const char *path = in_folder(cases[i].name);
        ck_assert_msg(image_save(&image, path) == OK, "%s", error_message());
        ck_assert_msg(image_load(&back, path) == OK, "%s", error_message());
        assert_shape(&back, 13, 7, cases[i].channels, cases[i].type);
        ck_assert_mem_eq(back.data, image.data, image_bytes(&image));
        image_free(&image);
        image_free(&back);
    }
}
END_TEST

/* Float is rounded, alpha lies over black. */
START_TEST(saving_converts)
{
    float rgba[8] = {1.0f, 0.5f, -2.0f, 0.5f, 9.0f, 0.4f, 0.6f, 1.0f};
    struct image image = {2, 1, 4, SAMPLE_F32, rgba}, back;
    static const int png[8] = {255, 128, 0, 128, 255, 102, 153, 255};
    ck_assert_int_eq(image_save(&image, in_folder("f.png")), OK);
    ck_assert_int_eq(image_load(&back, in_folder("f.png")), OK);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(((uint8_t *)back.data)[i], png[i]);
    image_free(&back);
    uint8_t grey[64 * 2];
    for (int i = 0; i < 64; i++)
        grey[2 * i] = 200, grey[2 * i + 1] = 127;
    struct image veiled = {8, 8, 2, SAMPLE_U8, grey};
    ck_assert_int_eq(image_save(&veiled, in_folder("g.jpeg")), OK);
    ck_assert_int_eq(image_load(&back, in_folder("g.jpeg")), OK);
    assert_shape(&back, 8, 8, 1, SAMPLE_U8);
    ck_assert_int_le(abs(((uint8_t *)back.data)[20] - 100), 1);
    image_free(&back);
}
END_TEST

START_TEST(saving_refuses)
{
    struct image image = draw(3, 3, 5, SAMPLE_U8);
    static const char *const names[] = {"a.png", "a.jpg", "a.ppm", "a.pgm",
                                        "a.pfm", "a.gif", "png"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ck_assert_int_eq(image_save(&image, in_folder(names[i])), ERR_USAGE);
        ck_assert_ptr_nonnull(strstr(error_message(), names[i]));
        ck_assert(!file_exists(in_folder(names[i])));
    }
    ck_assert_int_eq(image_save(&image, in_folder("none/a.pnm")), ERR_OUTPUT);
    image_free(&image);
}
END_TEST

/* ---- stacks ---- */

START_TEST(stacks)
{
    struct image colour = draw(5, 4, 3, SAMPLE_U8), height = draw(5, 4, 1, SAMPLE_U16), stack;
    ck_assert_int_eq(image_save(&height, in_folder("b.png")), OK);
    ck_assert_int_eq(image_save(&colour, in_folder("a.png")), OK);
    ck_assert_int_eq(file_write_atomic(in_folder("notes.txt"), "hi", 2, false), OK);
    ck_assert_int_eq(file_write_atomic(in_folder(".hidden.png"), "hi", 2, false), OK);
    ck_assert_msg(image_load_stack(&stack, folder) == OK, "%s", error_message());
    assert_shape(&stack, 5, 4, 4, SAMPLE_U16);
    for (int i = 0; i < 20; i++) {
        const uint16_t *pixel = (uint16_t *)stack.data + 4 * i;
        for (int c = 0; c < 3; c++)
            ck_assert_int_eq(pixel[c], ((uint8_t *)colour.data)[3 * i + c] * 257);
        ck_assert_int_eq(pixel[3], ((uint16_t *)height.data)[i]);
    }
    image_free(&stack);
    image_free(&height);
    height = draw(4, 5, 1, SAMPLE_U8);
    ck_assert_int_eq(image_save(&height, in_folder("c.pgm")), OK);
    ck_assert_int_eq(image_load_stack(&stack, folder), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "c.pgm is 4x5"));
    image_free(&colour);
    image_free(&height);
}
END_TEST

START_TEST(stacks_missing)
{
    struct image stack;
    ck_assert_int_eq(image_load_stack(&stack, folder), ERR_DATA);
    ck_assert_int_eq(image_load_stack(&stack, in_folder("none")), ERR_INPUT);
    ck_assert_ptr_null(stack.data);
}
END_TEST

/* ---- converting and resampling ---- */

START_TEST(conversions)
{
    struct image eight, sixteen, real, back;
    ck_assert_int_eq(image_create(&eight, 256, 1, 1, SAMPLE_U8), OK);
    for (int i = 0; i < 256; i++)
        ((uint8_t *)eight.data)[i] = (uint8_t)i;
    ck_assert_int_eq(image_convert(&sixteen, &eight, SAMPLE_U16), OK);
    ck_assert_int_eq(image_convert(&real, &sixteen, SAMPLE_F32), OK);
    ck_assert_int_eq(image_convert(&back, &real, SAMPLE_U8), OK);
    for (int i = 0; i < 256; i++) {
        ck_assert_int_eq(((uint16_t *)sixteen.data)[i], i * 257);
        ck_assert(fabs((double)((float *)real.data)[i] - i / 255.0) <= 1e-7);
    }
    ck_assert_mem_eq(back.data, eight.data, 256);
    image_free(&back);
    float odd[4] = {NAN, -INFINITY, INFINITY, 0.5f};
    struct image wild = {4, 1, 1, SAMPLE_F32, odd};
    ck_assert_int_eq(image_convert(&back, &wild, SAMPLE_U8), OK);
    ck_assert_mem_eq(back.data, "\0\0\377\200", 4);
    image_free(&back);
    image_free(&eight);
    image_free(&sixteen);
    image_free(&real);
}
END_TEST

/* Weight of input j in output i: overlap of intervals, or Catmull-Rom in its textbook form (Hermite
 * pieces with central differences), not as the code has it. */
static double reference_weight(int i, int j, int in, int out)
{
    double scale = (double)in / out;
    if (in > out) return fmax(0.0, fmin((i + 1) * scale, j + 1.0) - fmax(i * scale, j)) / scale;
    double at = (i + 0.5) * scale - 0.5, t = at - floor(at), weight = 0.0;
    double basis[4] = {(-t + 2 * t * t - t * t * t) / 2, (2 - 5 * t * t + 3 * t * t * t) / 2,
                       (t + 4 * t * t - 3 * t * t * t) / 2, (t * t * t - t * t) / 2};
    for (int k = 0; k < 4; k++) {
        int tap = (int)floor(at) - 1 + k;
        tap = tap < 0 ? 0 : tap >= in ? in - 1 : tap;
        if (tap == j) weight += basis[k];
    }
    return weight;
}

static double reference_sample(const struct image *in, int width, int height, int x, int y, int c)
{
    double sum = 0.0, opaque = 0.0;
    bool alpha = image_has_alpha(in);
    for (int j = 0; j < in->height; j++) {
        for (int i = 0; i < in->width; i++) {
            double w = reference_weight(x, i, in->width, width) *
                       reference_weight(y, j, in->height, height);
            size_t pixel = (size_t)(j * in->width + i) * (size_t)in->channels;
            double a = alpha ? (double)image_sample(in, pixel + (size_t)in->channels - 1) : 1.0;
            if (c == in->channels - 1 && alpha) a = 1.0;
            sum += w * a * (double)image_sample(in, pixel + (size_t)c);
            opaque += w * a;
        }
    }
    double v = alpha && c < in->channels - 1 ? (opaque > 0.0 ? sum / opaque : 0.0) : sum;
    return in->type == SAMPLE_F32 ? v : fmin(fmax(v, 0.0), 1.0);
}

START_TEST(resampling)
{
    static const int sizes[][2] = {{5, 4}, {26, 23}, {5, 30}, {13, 1}, {1, 1}, {14, 11}};
    for (int channels = 1; channels <= 5; channels++) {
        struct image in = draw(13, 11, channels, _i ? SAMPLE_U16 : SAMPLE_U8), out;
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            int width = sizes[s][0], height = sizes[s][1];
            ck_assert_int_eq(image_resize(&out, &in, width, height), OK);
            assert_shape(&out, width, height, channels, in.type);
            for (int i = 0; i < width * height * channels; i++) {
                double want = reference_sample(&in, width, height, i / channels % width,
                                               i / channels / width, i % channels);
                double got = (double)image_sample(&out, (size_t)i);
                ck_assert_msg(fabs(got - want) <= (_i ? 0.52 / 65535 : 0.501 / 255),
                              "%dx%d [%d]: %g, not %g", width, height, i, got, want);
            }
            image_free(&out);
        }
        image_free(&in);
    }
}
END_TEST

/* Colour below zero opacity does not bleed; float keeps values beyond 1. */
START_TEST(resampling_of_odd_values)
{
    uint8_t two[8] = {10, 20, 30, 255, 250, 250, 250, 0};
    struct image pair = {2, 1, 4, SAMPLE_U8, two}, out;
    ck_assert_int_eq(image_resize(&out, &pair, 1, 1), OK);
    ck_assert_mem_eq(out.data, "\12\24\36\200", 4);
    image_free(&out);
    float hdr[2] = {3.0f, 5.0f};
    struct image bright = {2, 1, 1, SAMPLE_F32, hdr};
    ck_assert_int_eq(image_resize(&out, &bright, 1, 1), OK);
    ck_assert(((float *)out.data)[0] == 4.0f);
    image_free(&out);
    ck_assert_int_eq(image_resize(&out, &bright, 0, 5), ERR_DATA);
}
END_TEST

Suite *image_suite(void);
Suite *image_suite(void)
{
    Suite *suite = suite_create("image");
    TCase *tests = tcase_create("image");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, enter_folder, leave_folder);
    tcase_add_loop_test(tests, png_kinds, 0, 11);
    tcase_add_loop_test(tests, png_palette, 0, 4);
    tcase_add_test(tests, png_colour_key);
    tcase_add_test(tests, png_orientation);
    tcase_add_loop_test(tests, jpeg_orientations, 1, 9);
    tcase_add_test(tests, jpeg_cmyk);
    tcase_add_test(tests, jpeg_writes_chroma);
    tcase_add_loop_test(tests, pnm_kinds, 0, MAPS);
    tcase_add_test(tests, pfm_kinds);
    tcase_add_test(tests, lossless_round_trips);
    tcase_add_test(tests, saving_converts);
    tcase_add_test(tests, saving_refuses);
    tcase_add_test(tests, stacks);
    tcase_add_test(tests, stacks_missing);
    tcase_add_test(tests, conversions);
    tcase_add_loop_test(tests, resampling, 0, 2);
    tcase_add_test(tests, resampling_of_odd_values);
    suite_add_tcase(suite, tests);
    return suite;
}
