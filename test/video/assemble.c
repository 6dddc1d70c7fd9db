/* Runs' frames put together: which frames, where they stand in the image, what stays behind. */
#include "base/error.h"
#include "base/file.h"
#include "test/support.h"
#include "video/frame_list.h"
#include "video/layout.h"
#include "video/video.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if HAVE_VIDEO

#include "test/support.h"
#include "test/video/video_read.h"

static const uint8_t *pixel(const struct image *image, int x, int y)
{
    return (const uint8_t *)image->data + 3 * ((ptrdiff_t)y * image->width + x);
}

static const struct video_options defaults = {
    .max_size = 400, .fps = 10, .quality = 10, .hold = 1, .reference = true, .captions = true};

/* An image of one colour, grey levels by number. */
static void save_flat(const char *path, int width, int height, int red, int green, int blue)
{
    struct image image;
    ck_assert_int_eq(image_create(&image, width, height, 3, SAMPLE_U8), 0);
    for (size_t i = 0; i < image_bytes(&image); i += 3) {
        ((uint8_t *)image.data)[i] = (uint8_t)red;
        ((uint8_t *)image.data)[i + 1] = (uint8_t)green;
        ((uint8_t *)image.data)[i + 2] = (uint8_t)blue;
    }
    ck_assert_msg(image_save(&image, path) == OK, "%s", error_message());
    image_free(&image);
}

static void add_frame(const char *name, int width, int height, int grey, const char *json)
{
    char path[64];
    snprintf(path, sizeof path, "frames/%s.jpg", name);
    save_flat(in_folder(path), width, height, grey, grey, grey);
    snprintf(path, sizeof path, "frames/%s.json", name);
    if (json) write_text(path, json);
}

static void make_frames_folder(void)
{
    ck_assert_int_eq(mkdir(in_folder("frames"), 0777), 0);
}

static void check_colour(const struct image *image, int x, int y, int red, int green, int blue)
{
    const uint8_t *rgb = pixel(image, x, y);
    ck_assert_msg(abs(rgb[0] - red) <= 3 && abs(rgb[1] - green) <= 3 && abs(rgb[2] - blue) <= 3,
                  "%d %d: %d %d %d, not %d %d %d", x, y, rgb[0], rgb[1], rgb[2], red, green, blue);
}

static int64_t assemble(const struct video_options *options)
{
    ck_assert_msg(video_assemble(folder, options) == OK, "%s", error_message());
    int64_t frames;
    int width, height;
    ck_assert_msg(video_verify(in_folder("video.mp4"), &frames, &width, &height) == OK, "%s",
                  error_message());
    ck_assert_int_le(width, options->max_size);
    return frames;
}

/* Numbers, not names, give the order; what cannot be read is left out. */
START_TEST(frames_in_order_without_the_broken)
{
    make_frames_folder();
    save_flat(in_folder("reference.png"), 100, 60, 255, 0, 0);
    add_frame("10000", 100, 60, 200, "{\"step\": 10000, \"psnr\": 30.5, \"x\": null}");
    add_frame("900", 100, 60, 100, "{\"caption\": \"step 900 \\u00e4\"}");
    add_frame("20000", 100, 60, 0, "{\"step\": "); /* broken JSON */
    add_frame("20001", 100, 60, 0, NULL);          /* none */
    add_frame("20002", 100, 60, 0, "[1]");         /* no object */
    add_frame("20003", 100, 60, 0, "{}");          /* broken image */
    add_frame("20004", 100, 60, 0, "{}");          /* cut off behind its header */
    add_frame("000000001.tmp7", 100, 60, 0, NULL); /* no frame at all */
    write_text("frames/20003.jpg", "no jpeg");
    ck_assert_int_eq(truncate(in_folder("frames/20004.jpg"), 640), 0);
    int64_t frames = assemble(&defaults);
    ck_assert_int_eq(entries(folder), 3);

    struct layout layout;
    const char *captions[] = {"step 10000  PSNR 30.50", "step 900 ?"};
    layout_compute(&layout, 100, 60, true, 0, 400, captions, 2);
    struct image first, last;
    read_frame(in_folder("video.mp4"), 0, &first);
    read_frame(in_folder("video.mp4"), (int)frames - 1, &last);
    int x = layout.render.x + layout.render.width / 2, y = layout.render.height / 2;
    check_colour(&first, x, y, 100, 100, 100);
    check_colour(&last, x, y, 200, 200, 200);
    check_colour(&first, layout.reference.x + layout.reference.width / 2, y, 255, 0, 0);
    check_colour(&last, layout.reference.x + layout.reference.width / 2, y, 255, 0, 0);
    int text = 0, other = 0; /* captions below, other ones for other frames */
    for (int row = layout.strip.y; row < layout.height; row++)
        for (int column = 0; column < layout.width; column++) {
            text += pixel(&first, column, row)[1] > 200;
            other += abs(pixel(&first, column, row)[1] - pixel(&last, column, row)[1]) > 100;
        }
    ck_assert_int_gt(text, 100);
    ck_assert_int_gt(other, 100);
    ck_assert_int_ge(frames, 10); /* the last one stays a second */
    image_free(&first);
    image_free(&last);
}
END_TEST

/* Those of the last frame that has some; cut where they are too long. */
START_TEST(frames_name_the_labels)
{
    struct frame_list list;
    make_frames_folder();
    add_frame("1", 20, 20, 50, "{}");
    ck_assert_int_eq(frame_list_load(&list, folder, NULL), 0);
    ck_assert_str_eq(list.labels[0], "target");
    ck_assert_str_eq(list.labels[1], "render");
    frame_list_free(&list);
    add_frame("2", 20, 20, 50, "{\"labels\": [\"real\", \"samples and more\"]}");
    add_frame("3", 20, 20, 50, "{\"labels\": 3}");
    ck_assert_int_eq(frame_list_load(&list, folder, NULL), 0);
    ck_assert_str_eq(list.labels[0], "real");
    ck_assert_str_eq(list.labels[1], "samples");
    ck_assert_int_eq(list.column_count, 0);
    frame_list_free(&list);
    add_frame("4", 20, 20, 50, "{\"columns\": [\"LQ\", 5, \"result and more\"]}");
    add_frame("5", 20, 20, 50, "{\"columns\": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]}");
    ck_assert_int_eq(frame_list_load(&list, folder, NULL), 0);
    ck_assert_int_eq(list.column_count, 3);
    ck_assert_str_eq(list.columns[0], "LQ");
    ck_assert_str_eq(list.columns[1], "");
    ck_assert_str_eq(list.columns[2], "result ");
    frame_list_free(&list);
}
END_TEST

/* Images of several sizes share the place of the largest; a frame may do without the reference.
 */
START_TEST(frames_of_other_sizes)
{
    make_frames_folder();
    save_flat(in_folder("reference.png"), 20, 20, 0, 0, 255);
    add_frame("1", 10, 10, 50, "{}");
    add_frame("2", 100, 100, 150, "{\"reference\": false}");
    add_frame("3", 30, 10, 250, "{}"); /* wide: dark above and below */
    struct video_options options = defaults;
    options.captions = false;
    options.fps = 4;
    options.hold = 0;
    ck_assert_int_eq(assemble(&options), 6); /* a second and a half for three frames */
    struct layout layout;
    layout_compute(&layout, 100, 100, true, 0, 400, NULL, 0);
    const struct rectangle *render = &layout.render;
    struct image image;
    read_frame(in_folder("video.mp4"), 0, &image);
    check_colour(&image, render->x + render->width / 2, 5, 50, 50, 50);
    check_colour(&image, 5, 5, 0, 0, 255);
    image_free(&image);
    read_frame(in_folder("video.mp4"), 2, &image);
    check_colour(&image, layout.width / 2, layout.height / 2, 150, 150, 150);
    image_free(&image);
    read_frame(in_folder("video.mp4"), 5, &image);
    check_colour(&image, render->x + render->width / 2, layout.height / 2, 250, 250, 250);
    ck_assert_int_lt(pixel(&image, render->x + render->width / 2, 4)[0], 40);
    check_colour(&image, 5, 5, 0, 0, 255);
    image_free(&image);
}
END_TEST

static const int run_sizes[][2] = {{1, 1}, {1, 2}, {3, 5}, {17, 33}, {1000, 3}, {4097, 2161}};
enum { RUN_SIZES = sizeof run_sizes / sizeof run_sizes[0] };

START_TEST(runs_of_any_size)
{
    int width = run_sizes[_i][0], height = run_sizes[_i][1];
    make_frames_folder();
    save_flat(in_folder("reference.png"), width, height, 0, 255, 0);
    add_frame("1", width, height, 128, "{\"step\": 1}");
    add_frame("2", width, height, 128, "{\"step\": 2}");
    struct video_options options = defaults;
    options.hold = 0.2;
    assemble(&options);
    options.max_size = 16;
    options.encoder = "mjpeg";
    assemble(&options);
    write_text("reference.png", "broken: the video is made without it");
    assemble(&options);
}
END_TEST

static int polls_left;

static bool stop_after_polls(void)
{
    return polls_left-- <= 0;
}

START_TEST(stopped_at_any_time)
{
    make_frames_folder();
    for (int i = 0; i < 4; i++)
        add_frame((char[]){(char)('1' + i), 0}, 64, 48, 60 * i, "{}");
    write_text("video.mp4", "old");
    struct video_options options = defaults;
    options.stop_requested = stop_after_polls;
    int code = ERR_STOPPED, polls = 0;
    for (; polls < 100; polls++) {
        polls_left = polls;
        code = video_assemble(folder, &options);
        if (code != ERR_STOPPED) break;
        ck_assert_int_eq(entries(folder), 2);
        struct stat info;
        ck_assert_int_eq(stat(in_folder("video.mp4"), &info), 0);
        ck_assert_int_eq(info.st_size, 3);
    }
    ck_assert_int_eq(code, OK);
    ck_assert_int_ge(polls, 12); /* reading, drawing, holding */
    ck_assert_int_eq(entries(folder), 2);
}
END_TEST

START_TEST(failures_leave_nothing)
{
    ck_assert_int_eq(video_assemble(folder, &defaults), ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(error_message(), "frames"));
    make_frames_folder();
    ck_assert_int_eq(video_assemble(folder, &defaults), ERR_INPUT);
    add_frame("1", 8, 8, 0, "{");
    ck_assert_int_eq(video_assemble(folder, &defaults), ERR_DATA);
    add_frame("1", 100, 60, 0, "{}");
    ck_assert_int_eq(truncate(in_folder("frames/1.jpg"), 640), 0);
    ck_assert_int_eq(video_assemble(folder, &defaults), ERR_DATA);
    add_frame("1", 8, 8, 0, "{}");
    struct video_options options = defaults;
    options.output = in_folder("absent/video.mp4");
    ck_assert_int_eq(video_assemble(folder, &options), ERR_OUTPUT);
    options.output = in_folder("frames"); /* the rename fails at the very end */
    ck_assert_int_lt(video_assemble(folder, &options), 0);
    options = defaults;
    options.encoder = "h265";
    ck_assert_int_eq(video_assemble(folder, &options), ERR_USAGE);
    options = defaults;
    options.max_size = 15;
    ck_assert_int_eq(video_assemble(folder, &options), ERR_USAGE);
    ck_assert_int_eq(entries(folder), 1);
    ck_assert_int_eq(entries(in_folder("frames")), 2);
}
END_TEST

#endif

Suite *assemble_suite(void);
Suite *assemble_suite(void)
{
    Suite *suite = suite_create("assemble");
#if HAVE_VIDEO
    TCase *runs = tcase_create("runs");
    tcase_add_checked_fixture(runs, set_up, folder_remove);
    tcase_add_test(runs, frames_in_order_without_the_broken);
    tcase_add_test(runs, frames_name_the_labels);
    tcase_add_test(runs, frames_of_other_sizes);
    tcase_add_loop_test(runs, runs_of_any_size, 0, RUN_SIZES);
    tcase_add_test(runs, stopped_at_any_time);
    tcase_add_test(runs, failures_leave_nothing);
    suite_add_tcase(suite, runs);
#else
    test_skip("assemble", "this build has no video");
#endif
    return suite;
}
