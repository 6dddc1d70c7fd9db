/* Frames with panes: each is what it says, at any size, and the fit does not notice. */
#include "image/image.h"
#include "splat/shown/splat_panes.h"
#include "splat/shown/splat_preview.h"
#include "test/splat/splat_run.h"

static const struct {
    const char *file;
    int channels;
    enum sample_type type;
    const char *config;
} kinds[] = {
    {"a.png", 3, SAMPLE_U8, ""},
    {"a.png", 1, SAMPLE_U16, "gamma: 2.2\n"},
    {"a.png", 4, SAMPLE_U8, ""},
    {"a.png", 3, SAMPLE_U8, "downsample: true\n"},
};

static void panes_part(const struct image *all, int index, int count, struct image *out)
{
    int width = all->width / count;
    ck_assert_int_eq(all->width % count, 0);
    ck_assert_int_eq(image_create(out, width, all->height, 3, SAMPLE_U8), 0);
    for (int y = 0; y < all->height; y++)
        memcpy((uint8_t *)out->data + (size_t)y * (size_t)width * 3,
               (uint8_t *)all->data +
                   ((size_t)y * (size_t)all->width + (size_t)(index * width)) * 3,
               (size_t)width * 3);
}

static void panes_expect_same(const struct image *a, const struct image *b, const char *what)
{
    ck_assert_int_eq(a->width, b->width);
    ck_assert_int_eq(a->height, b->height);
    ck_assert_msg(memcmp(a->data, b->data, (size_t)a->width * (size_t)a->height * 3) == 0, "%s",
                  what);
}

/* At full size the map follows from the panes beside it: of grey and of colours without alpha. */
static void panes_check_error(const struct image *target, const struct image *render,
                              const struct image *map)
{
    const uint8_t *p = target->data, *q = render->data, *m = map->data;
    int lit = 0;
    for (int i = 0; i < map->width * map->height; i++) {
        int sum = 0;
        for (int c = 0; c < 3; c++)
            sum += abs(p[3 * i + c] - q[3 * i + c]);
        int level = (8 * sum + 1) / 3;
        if (level > 255) level = 255;
        for (int c = 0; c < 3; c++) {
            int v = 3 * level - 255 * c;
            int expected = v < 0 ? 0 : v > 255 ? 255 : v;
            ck_assert_msg(abs(m[3 * i + c] - expected) <= 3, "pixel %d colour %d: %d, not %d", i, c,
                          m[3 * i + c], expected);
        }
        lit += level > 0;
    }
    ck_assert_int_gt(lit, map->width);
}

START_TEST(panes_are_what_they_say)
{
    draw(kinds[_i].file, kinds[_i].channels, kinds[_i].type);
    char text[256];
    snprintf(text, sizeof text, "%spanes: [error, gaussians, error]\n", kinds[_i].config);
    struct config *config = configure(text), *plain = configure(kinds[_i].config);
    struct task_state *state = open_state(config, NULL), *without = open_state(plain, NULL);
    struct task_report report;
    struct image frame = {0}, part[4], alone = {0};
    const char *names[TASK_MAX_COLUMNS];
    int width, height;
    ck_assert_int_eq(task_splat.columns(without, names), 0);
    ck_assert_int_eq(task_splat.columns(state, names), 4);
    ck_assert_str_eq(names[2], "error");
    train(state, 0, 12, &report);
    train(without, 0, 12, &report);
    ck_assert_int_eq(task_splat.reference(state, 0, &frame), ERR_USAGE);

    ck_assert_msg(task_splat.image(state, 0, &frame) == 0, "%s", error_message());
    ck_assert_int_eq(frame.width, 4 * WIDTH);
    ck_assert_int_eq(frame.height, HEIGHT);
    for (int i = 0; i < 4; i++)
        panes_part(&frame, i, 4, &part[i]);
    ck_assert_int_eq(task_splat.reference(without, 0, &alone), OK);
    panes_expect_same(&part[0], &alone, "target");
    image_free(&alone);
    ck_assert_int_eq(task_splat.image(without, 0, &alone), OK);
    panes_expect_same(&part[1], &alone, "render");
    image_free(&alone);
    if (kinds[_i].channels != 4) panes_check_error(&part[0], &part[1], &part[2]);
    ck_assert(memcmp(part[3].data, part[1].data, (size_t)WIDTH * HEIGHT * 3) != 0);
    for (int i = 0; i < 4; i++)
        image_free(&part[i]);
    image_free(&frame);

    static const int sides[] = {1, 4, 61, 100, 100000};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        ck_assert_msg(task_splat.image(state, sides[i], &frame) == 0, "%s", error_message());
        ck_assert_int_eq(task_splat.image_size(state, sides[i], &width, &height), OK);
        ck_assert_int_eq(frame.width, width);
        ck_assert_int_eq(frame.height, height);
        ck_assert_int_le(width, sides[i] < 4 ? 4 : sides[i]);
        image_free(&frame);
    }
    train(state, 12, 20, &report);
    train(without, 12, 20, &report);
    struct store_file *a = checkpoint(state, "a"), *b = checkpoint(without, "b");
    expect_equal(a, b, 0);
    store_close(a);
    store_close(b);
    task_splat.close(state);
    task_splat.close(without);
    config_free(config);
    config_free(plain);
}
END_TEST

/* Without the reference the render comes first. */
START_TEST(panes_without_the_target)
{
    draw("a.png", 3, SAMPLE_U8);
    struct config *config = configure("panes: [gaussians]\nvideo: {reference: false}\n");
    struct task_state *state = open_state(config, NULL);
    const char *names[TASK_MAX_COLUMNS];
    ck_assert_int_eq(task_splat.columns(state, names), 2);
    ck_assert_str_eq(names[0], "render");
    ck_assert_str_eq(names[1], "shapes");
    task_splat.close(state);
    config_free(config);
}
END_TEST

Suite *splat_panes_test_suite(void);
Suite *splat_panes_test_suite(void)
{
    Suite *suite = suite_create("splat_panes");
    TCase *tests = tcase_create("panes");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, panes_are_what_they_say, 0, (int)(sizeof kinds / sizeof kinds[0]));
    tcase_add_test(tests, panes_without_the_target);
    suite_add_tcase(suite, tests);
    return suite;
}
