/* Readers and writers of files while one call fails, memory or disk: what they make of the seeds of
 * the fuzz targets, whole. A file is never called damaged for that, nothing is read twice or left
 * behind (sanitizers see that), and there is a message. */
#include "config/config.h"
#include "image/image.h"
#include "image/png_text.h"
#include "store/npy.h"
#include "store/onnx.h"
#include "store/torch_file.h"
#include "test/failing_calls.h"
#include "test/support.h"

#include <sys/stat.h>

static int read_image(const char *path)
{
    static const char *const names[] = {"out.png", "out.jpg", "out.pnm", "out.pfm"};
    struct image image = {0}, small = {0}, eight = {0};
    int width, height, channels;
    enum sample_type type;
    int code = image_probe(path, &width, &height, &channels, &type);
    if (code == OK) code = image_load(&image, path);
    if (code == OK) code = image_resize(&small, &image, 3, 5);
    if (code == OK) code = image_convert(&eight, &small, SAMPLE_U8);
    for (int i = 0; code == OK && i < 4; i++) {
        code = image_save(i == 3 ? &small : &eight, in_folder(names[i]));
        if (code == ERR_USAGE) code = OK; /* channels that the format has not */
    }
    image_free(&eight);
    image_free(&small);
    image_free(&image);
    return code;
}

static int read_words(const char *path)
{
    struct png_texts texts = {0};
    int code = png_texts_read(&texts, path);
    png_texts_free(&texts);
    return code;
}

static int read_torch(const char *path)
{
    struct torch_file *file = NULL;
    int code = torch_file_open(&file, path, NULL);
    torch_file_close(file);
    return code;
}

static int read_onnx(const char *path)
{
    struct onnx_summary summary;
    int code = onnx_read_summary(&summary, path);
    if (code == OK) onnx_summary_free(&summary);
    return code;
}

static int read_config(const char *path)
{
    struct config *config = NULL, *last = NULL;
    char *text = NULL, *again[] = {"num_gaussians=[3,4]"};
    int code = config_load(&config, path, 1, again);
    if (code == OK) code = config_print_text(config, &text);
    if (code == OK) code = config_batch(config, config_batch_count(config) - 1, &last);
    free(text);
    config_free(last);
    config_free(config);
    return code;
}

static const struct {
    const char *seeds;
    int (*read)(const char *path);
} readers[] = {{"image", read_image},
               {"png_text", read_words},
               {"torch", read_torch},
               {"onnx", read_onnx},
               {"config", read_config}};
enum { READERS = sizeof readers / sizeof *readers };

static void fail_in_turn(int (*read)(const char *path), const char *path)
{
    int plain = read(path);
    const char *call = "";
    for (int turn = 1; call; turn = turn_behind(turn, 30)) {
        fail(OK, "%s", "");
        CALL_FAILS(.turn = turn);
        int code = read(path);
        call = call_that_failed();
        ck_assert_msg(code == plain || code == ERR_SYSTEM || code == ERR_IO || code == ERR_OUTPUT,
                      "%s: %s, call %d: %d, not %d: %s", path, call, turn, code, plain,
                      error_message());
        ck_assert_msg(code == OK || error_message()[0], "%s: %s, call %d", path, call, turn);
    }
}

START_TEST(seeds_fail_at_any_call)
{
    char seeds[64], path[400];
    snprintf(seeds, sizeof seeds, "test/fuzz/seed_%s", readers[_i].seeds);
    DIR *dir = opendir(seeds);
    ck_assert_ptr_nonnull(dir);
    fsync_is_instant();
    log_set_level(LOG_ERROR);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", seeds, entry->d_name);
        fail_in_turn(readers[_i].read, path);
    }
    closedir(dir);
}
END_TEST

Suite *readers_fail_suite(void);
Suite *readers_fail_suite(void)
{
    Suite *suite = suite_create("readers_fail");
    TCase *tests = tcase_create("readers");
    tcase_add_checked_fixture(tests, set_up, folder_remove);
    tcase_add_loop_test(tests, seeds_fail_at_any_call, 0, READERS);
    suite_add_tcase(suite, tests);
    return suite;
}
