/* Reading images. The files are made here, byte by byte or
 * with the libraries' writers; the expected pixels are computed independently. */
#include "test/image/image_folder.h"

/* ---- PNG ---- */

enum { GREY = 0, RGB = 2, PALETTE = 3, GREY_ALPHA = 4, RGB_ALPHA = 6 };

static int png_channels(int colour)
{
    return colour == RGB ? 3 : colour == GREY_ALPHA ? 2 : colour == RGB_ALPHA ? 4 : 1;
}

/* Packs pixels (x0 + i dx, y0 + j dy) of the test image as PNG rows with filter type 0. */
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

/* Which quadrant (0 top left, 1 top right, 2 bottom left, 3 bottom right) of the stored image
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
        ck_assert_int_eq(file_atomic_write_whole(in_folder("o.jpg"), file.data, file.count, false),
                         OK);
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

Suite *image_suite(void);
Suite *image_suite(void)
{
    Suite *suite = suite_create("image");
    TCase *tests = tcase_create("image");
    tcase_add_checked_fixture(tests, folder_make, folder_remove);
    tcase_add_loop_test(tests, png_kinds, 0, 11);
    tcase_add_loop_test(tests, png_palette, 0, 4);
    tcase_add_test(tests, png_colour_key);
    tcase_add_test(tests, png_orientation);
    tcase_add_loop_test(tests, jpeg_orientations, 1, 9);
    tcase_add_test(tests, jpeg_cmyk);
    tcase_add_test(tests, jpeg_writes_chroma);
    tcase_add_loop_test(tests, pnm_kinds, 0, MAPS);
    tcase_add_test(tests, pfm_kinds);
    suite_add_tcase(suite, tests);
    return suite;
}
