/* Where things stand in a video's images, and what is drawn below them. */
#include "video/layout.h"

#include "video/video.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static bool inside(const struct rectangle *inner, int width, int height)
{
    return inner->x >= 0 && inner->y >= 0 && inner->width >= 1 && inner->height >= 1 &&
           inner->x + inner->width <= width && inner->y + inner->height <= height;
}

static bool apart(const struct rectangle *a, const struct rectangle *b)
{
    return a->x + a->width <= b->x || b->x + b->width <= a->x || a->y + a->height <= b->y ||
           b->y + b->height <= a->y;
}

static const int shapes[][2] = {{1, 1},     {1, 2},       {3, 5},       {17, 33},    {100, 80},
                                {640, 480}, {1920, 1080}, {1080, 1920}, {4000, 400}, {400, 4000},
                                {2000, 1},  {1, 2000},    {4097, 2161}, {7680, 4320}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static void check_layout(int width, int height, bool reference, int max_size, bool captions)
{
    const char *text[] = {"step 12  PSNR 10.11",
                          "step 10000  PSNR 31.42  SSIM 0.9123  Gaussians 5"};
    struct layout layout;
    layout_compute(&layout, width, height, reference, 0, max_size, text, captions ? 2 : 0);
    ck_assert_int_ge(layout.width, 1);
    ck_assert_int_ge(layout.height, 1);
    ck_assert_int_le(layout.width, max_size);
    ck_assert_int_le(layout.height, max_size);
    int above = layout.height - layout.strip.height;
    ck_assert(inside(&layout.render, layout.width, above));
    ck_assert(inside(&layout.all, layout.width, above));
    ck_assert_int_eq(layout.strip.height > 0, captions && max_size >= 128);
    if (captions) ck_assert_int_eq(layout.strip.y, above);
    ck_assert_int_eq(layout.reference.width > 0, reference);
    if (reference) {
        ck_assert(inside(&layout.reference, layout.width, above));
        ck_assert(apart(&layout.reference, &layout.render));
        ck_assert_int_eq(layout.reference.width, layout.render.width);
        ck_assert_int_eq(layout.reference.height, layout.render.height);
    }
    /* The shape stays, but for what rounding down to whole pixels costs. */
    int64_t off = (int64_t)layout.render.width * height - (int64_t)layout.render.height * width;
    ck_assert(layout.render.width == 1 || layout.render.height == 1 ||
              llabs(off) <= (width > height ? width : height));
}

START_TEST(layouts_fit)
{
    static const int max_sizes[] = {16, 17, 127, 128, 200, 512, 1920, 4097, 8192};
    for (size_t i = 0; i < sizeof max_sizes / sizeof max_sizes[0]; i++)
        for (int mode = 0; mode < 4; mode++)
            check_layout(shapes[_i][0], shapes[_i][1], mode & 1, max_sizes[i], mode & 2);
}
END_TEST

START_TEST(layout_turns_with_the_shape)
{
    struct layout layout;
    layout_compute(&layout, 1500, 1000, true, 0, 1920, NULL, 0);
    ck_assert_int_ge(layout.width, 1919); /* side by side fills the width */
    ck_assert_int_eq(layout.reference.y, layout.render.y);
    ck_assert_int_lt(layout.reference.x, layout.render.x);
    layout_compute(&layout, 4000, 1000, true, 0, 1920, NULL, 0);
    ck_assert_int_eq(layout.width, 1920); /* panoramas: one above the other */
    ck_assert_int_eq(layout.reference.x, layout.render.x);
    ck_assert_int_lt(layout.reference.y, layout.render.y);
    layout_compute(&layout, 1, 1, false, 0, 1920, NULL, 0);
    ck_assert_int_eq(layout.width, 512); /* tiny images grow */
    layout_compute(&layout, 600, 400, false, 0, 1920, NULL, 0);
    ck_assert_int_eq(layout.width, 600); /* others do not */
}
END_TEST

static const uint8_t *pixel(const struct image *image, int x, int y)
{
    return (const uint8_t *)image->data + 3 * ((ptrdiff_t)y * image->width + x);
}

static const char labels[2][8] = {"target", "render"};

START_TEST(strip_is_below_and_clipped)
{
    const char *text[] = {"a caption that is much longer than the video is wide, and then some"};
    struct layout layout;
    layout_compute(&layout, 40, 40, false, 0, 130, text, 1);
    struct image canvas;
    ck_assert_int_eq(image_create(&canvas, layout.width, layout.height, 3, SAMPLE_U8), 0);
    memset(canvas.data, 7, image_bytes(&canvas));
    layout_draw_strip(&canvas, &layout, text[0], labels, 0.5);
    for (int y = 0; y < layout.strip.y; y++) /* nothing covers the image */
        for (int x = 0; x < layout.width; x++)
            ck_assert_int_eq(pixel(&canvas, x, y)[0], 7);
    int bright = 0;
    for (int y = layout.strip.y; y < layout.height; y++)
        for (int x = 0; x < layout.width; x++)
            bright += pixel(&canvas, x, y)[1] > 200;
    ck_assert_int_gt(bright, 100);
    image_free(&canvas);
}
END_TEST

static int bright_in(const struct image *image, int left, int right, int top, int bottom)
{
    int count = 0;
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++)
            count += pixel(image, x, y)[1] > 120;
    return count;
}

/* Each below its own image. */
START_TEST(labels_are_below_the_pictures)
{
    const char *caption = "step 1";
    struct layout layout;
    layout_compute(&layout, 100, 60, true, 0, 400, &caption, 1);
    ck_assert(layout.labels);
    int top = layout.strip.y, bottom = top + text_height(layout.text_scale);
    int half = layout.render.x;
    struct image canvas;
    ck_assert_int_eq(image_create(&canvas, layout.width, layout.height, 3, SAMPLE_U8), 0);
    layout_draw_strip(&canvas, &layout, "", NULL, 0);
    ck_assert_int_eq(bright_in(&canvas, 0, layout.width, top, bottom), 0);
    layout_draw_strip(&canvas, &layout, "", (const char[2][8]){"real", ""}, 0);
    ck_assert_int_gt(bright_in(&canvas, 0, half, top, bottom), 20);
    ck_assert_int_eq(bright_in(&canvas, half, layout.width, top, bottom), 0);
    layout_draw_strip(&canvas, &layout, "", (const char[2][8]){"", "samples"}, 0);
    ck_assert_int_eq(bright_in(&canvas, 0, half, top, bottom), 0);
    ck_assert_int_gt(bright_in(&canvas, half, layout.width, top, bottom), 20);
    image_free(&canvas);
}
END_TEST

/* Each below its own part of an image that stands alone, none beside a reference or without room.
 */
START_TEST(columns_have_a_label_each)
{
    enum { COLUMNS = 3 };
    static const char names[COLUMNS][8] = {"LQ", "", "GT"};
    const char *caption = "step 1";
    struct layout layout;
    struct image canvas;
    layout_compute(&layout, 600, 200, false, COLUMNS, 800, &caption, 1);
    ck_assert(layout.labels);
    int top = layout.strip.y, bottom = top + text_height(layout.text_scale);
    ck_assert_int_eq(image_create(&canvas, layout.width, layout.height, 3, SAMPLE_U8), 0);
    layout_draw_strip(&canvas, &layout, "", names, 0);
    for (int i = 0; i < COLUMNS; i++) {
        int bright = bright_in(&canvas, 200 * i, 200 * (i + 1), top, bottom);
        ck_assert_int_eq(bright > 20, i != 1);
        ck_assert_int_eq(bright > 0, i != 1);
    }
    image_free(&canvas);
    layout_compute(&layout, 600, 200, true, COLUMNS, 800, &caption, 1);
    ck_assert_int_eq(layout.columns, 0);
    layout_compute(&layout, 600, 200, false, 12, 800, &caption, 1);
    ck_assert(!layout.labels);
}
END_TEST

Suite *layout_suite(void);
Suite *layout_suite(void)
{
    Suite *suite = suite_create("layout");
    TCase *tests = tcase_create("layout");
    tcase_add_loop_test(tests, layouts_fit, 0, SHAPES);
    tcase_add_test(tests, layout_turns_with_the_shape);
    tcase_add_test(tests, strip_is_below_and_clipped);
    tcase_add_test(tests, labels_are_below_the_pictures);
    tcase_add_test(tests, columns_have_a_label_each);
    suite_add_tcase(suite, tests);
    return suite;
}
