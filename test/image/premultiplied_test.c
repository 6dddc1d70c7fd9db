/* Pixels with alpha: back to straight colours, and over backgrounds. */
#include "image/premultiplied.h"
#include "test/support.h"

#include <check.h>
#include <string.h>

Suite *premultiplied_test_suite(void);

/* What a file holds, times alpha again, is what it was. */
START_TEST(division_can_be_undone)
{
    for (int alpha = 0; alpha < 256; alpha++)
        for (int colour = 0; colour <= alpha; colour++) {
            uint8_t p[4] = {(uint8_t)colour, 0, (uint8_t)alpha, (uint8_t)alpha};
            premultiplied_divide(p, 1, 4);
            ck_assert_int_eq((p[0] * alpha + 127) / 255, colour);
            ck_assert_int_eq(p[1], 0);
            ck_assert_int_eq(p[2], alpha ? 255 : 0);
            ck_assert_int_eq(p[3], alpha);
        }
}
END_TEST

/* More colour than alpha lets through is cut off, whichever way it goes. */
START_TEST(too_bright_colours_are_cut)
{
    uint8_t p[8] = {200, 40, 3, 100, 7, 0, 0, 0}, same[8];
    memcpy(same, p, sizeof p);
    premultiplied_clamp(p, 2, 4);
    static const uint8_t cut[8] = {100, 40, 3, 100, 0, 0, 0, 0};
    ck_assert_mem_eq(p, cut, sizeof p);
    premultiplied_divide(same, 2, 4);
    static const uint8_t straight[8] = {255, 102, 8, 100, 0, 0, 0, 0};
    ck_assert_mem_eq(same, straight, sizeof same);
    premultiplied_clamp(same, 2, 3); /* other numbers of channels are as they are */
    ck_assert_mem_eq(same, straight, sizeof same);
}
END_TEST

START_TEST(backgrounds_shine_through)
{
    uint8_t rgb[6];
    const uint8_t p[8] = {10, 20, 30, 51, 0, 0, 0, 0};
    premultiplied_over(rgb, p, 2, 4, PREMULTIPLIED_WHITE);
    ck_assert_mem_eq(rgb, ((const uint8_t[]){214, 224, 234, 255, 255, 255}), 6);
    premultiplied_over(rgb, p, 2, 4, 0);
    ck_assert_mem_eq(rgb, ((const uint8_t[]){10, 20, 30, 0, 0, 0}), 6);
    premultiplied_over(rgb, p, 2, 4, PREMULTIPLIED_GREY);
    ck_assert_mem_eq(rgb, ((const uint8_t[]){112, 122, 132, 128, 128, 128}), 6);
    premultiplied_over(rgb, p, 2, 1, 0);
    ck_assert_mem_eq(rgb, ((const uint8_t[]){10, 10, 10, 20, 20, 20}), 6);
    premultiplied_over(rgb, p, 2, 3, 0);
    ck_assert_mem_eq(rgb, p, 6);
}
END_TEST

/* Nothing shows the squares, two of them side by side; what is opaque hides them. */
START_TEST(squares_say_that_nothing_is_there)
{
    uint8_t pixels[16 * 16 * 4] = {0}, rgb[16 * 16 * 3];
    memset(pixels, 255, 4);
    pixels[0] = 9;
    premultiplied_show_all(rgb, pixels, 4, 16, 16);
    ck_assert_int_eq(rgb[0], 9);
    ck_assert_int_eq(rgb[3], 255);
    ck_assert_int_eq(rgb[2 * 3], 224);
    ck_assert_int_eq(rgb[(2 * 16) * 3], 224);
    ck_assert_int_eq(rgb[(2 * 16 + 2) * 3], 255);
}
END_TEST

Suite *premultiplied_test_suite(void)
{
    Suite *s = suite_create("premultiplied_test");
    TCase *c = tcase_create("premultiplied");
    tcase_add_test(c, division_can_be_undone);
    tcase_add_test(c, too_bright_colours_are_cut);
    tcase_add_test(c, backgrounds_shine_through);
    tcase_add_test(c, squares_say_that_nothing_is_there);
    suite_add_tcase(s, c);
    return s;
}
