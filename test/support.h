/* What tests of many suites need: a folder for each test, small files in it, files compared, time.
 */
#ifndef IMGTRAIN_TEST_SUPPORT_H
#define IMGTRAIN_TEST_SUPPORT_H

#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/log.h"
#include "image/image.h"

#include <check.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef fail /* Check's, of old */

/* For a call that a test does not test, but needs: 0 or more, or the test ends with its message. */
#define MUST(call) ck_assert_msg((call) >= 0, "%s: %s", #call, error_message())

/* Whether a sanitizer watches addresses or threads. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
enum { SANITIZED = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) };
#else
enum { SANITIZED = 0 };
#endif

/* A suite that cannot run here says so, and is counted as skipped. */
void test_skip(const char *suite, const char *reason);

/* Whether the environment's `variable` (NAME,NAME) has this name, or is not set. */
static inline bool test_asks_for(const char *variable, const char *name)
{
    char list[256], one[64];
    const char *asked = getenv(variable);
    snprintf(list, sizeof list, ",%s,", asked ? asked : "");
    snprintf(one, sizeof one, ",%s,", name);
    return !asked || strstr(list, one);
}

/* Whether this turn of a loop is for this process: TEST_SHARE=1/4 takes 1, 5, 9, ... (all without
 * it). */
static inline bool test_share_has(int turn)
{
    int first, step;
    const char *share = getenv("TEST_SHARE");
    return !share || sscanf(share, "%d/%d", &first, &step) != 2 || step < 1 || turn % step == first;
}

/* The folder of this test: folder_make() and folder_remove() are its fixture. */
__attribute__((unused)) static char folder[] = "/tmp/imgtrain-test-XXXXXX";

static inline void folder_make(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static inline void folder_remove(void)
{
    char command[128];
    snprintf(command, sizeof command, "chmod -R u+rwx '%s'; rm -rf '%s'", folder, folder);
    ck_assert_int_eq(system(command), 0);
}

/* Warnings that a test brings about are not for whoever reads its output. */
static inline void be_quiet(void)
{
    log_set_level(LOG_ERROR);
}

/* folder_make(), without warnings. */
static inline void set_up(void)
{
    folder_make();
    be_quiet();
}

/* The path of a file of the folder; four may be in use at a time. */
static inline const char *in_folder(const char *name)
{
    static char path[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

/* How many files and folders `path` has, without hidden ones. */
static inline int entries(const char *path)
{
    DIR *dir = opendir(path);
    ck_assert_ptr_nonnull(dir);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static inline void write_text(const char *name, const char *text)
{
    MUST(file_atomic_write_whole(in_folder(name), text, strlen(text), false));
}

/* Puts `to` in the place of the first `from` of a file of the folder. */
static inline void edit_text(const char *name, const char *from, const char *to)
{
    uint8_t *text;
    size_t bytes;
    MUST(file_read(in_folder(name), 1 << 24, &text, &bytes));
    char *at = strstr((char *)text, from);
    ck_assert_msg(at != NULL, "%s: no %s", name, from);
    *at = '\0';
    char *changed = string_format("%s%s%s", (char *)text, to, at + strlen(from));
    ck_assert_ptr_nonnull(changed);
    write_text(name, changed);
    free(changed);
    free(text);
}

/* An image of stripes that differ with `seed`; the folder that `name` may have must be there. */
static inline void draw_picture(const char *name, int width, int height, int seed)
{
    struct image image;
    MUST(image_create(&image, width, height, 3, SAMPLE_U8));
    for (int i = 0; i < width * height * 3; i++)
        ((uint8_t *)image.data)[i] = (uint8_t)(i * seed / 7 + i / width * 5);
    MUST(image_save(&image, in_folder(name)));
    image_free(&image);
}

/* A folder of them: 0.png, 1.png, ... */
static inline void draw_pictures(const char *name, int count, int width, int height)
{
    MUST(file_make_dirs(in_folder(name)));
    for (int i = 0; i < count; i++) {
        char file[128];
        snprintf(file, sizeof file, "%s/%d.png", name, i);
        draw_picture(file, width, height, i + 3);
    }
}

/* Two files of the folder hold the same bytes. */
static inline void same_files(const char *a, const char *b)
{
    char command[600];
    snprintf(command, sizeof command, "cmp '%s' '%s'", in_folder(a), in_folder(b));
    ck_assert_int_eq(system(command), 0);
}

/* Of all threads of this process, which other work on the machine hardly changes. */
static inline double processor_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
