/* The packed cache of a data set. */
#include "base/threads.h"
#include "data/dataset_cache.h"
#include "test/child.h"
#include "test/data/data_folder.h"
#include "test/failing_calls.h"

/* ---- the cache ---- */

static void cache_file(char *path, size_t room)
{
    DIR *dir = opendir(cache);
    ck_assert_ptr_nonnull(dir);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') {
            snprintf(path, room, "%s/%s", cache, entry->d_name);
            count++;
        }
    closedir(dir);
    ck_assert_int_eq(count, 1); /* no lock, no temporary file left */
}

static uint64_t fingerprint(const struct dataset_options *options)
{
    struct dataset *set = open_with(options);
    uint64_t value = dataset_fingerprint(set);
    dataset_close(set);
    return value;
}

START_TEST(the_cache_is_made_once)
{
    char path[512], text[8192];
    struct dataset *set;
    draw_many("x", 30);
    struct dataset_options options = options_for(6, 4);
    uint64_t first = fingerprint(&options);
    cache_file(path, sizeof path);
    struct stat before, after;
    ck_assert_int_eq(stat(path, &before), 0);
    for (int threads = 1; threads <= 3; threads++) {
        threads_set(threads);
        ck_assert_uint_eq(fingerprint(&options), first);
    }
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    /* in memory: the same */
    options.cache_dir = NULL;
    ck_assert_uint_eq(fingerprint(&options), first);
    /* a folder that cannot be written: with a warning */
    options.cache_dir = "/proc/no-such-place";
    ck_assert_int_eq(open_listening(&options, &set, text, sizeof text), OK);
    ck_assert_uint_eq(dataset_fingerprint(set), first);
    ck_assert_ptr_nonnull(strstr(text, "kept in memory"));
    dataset_close(set);
}
END_TEST

/* Decoded before there is a folder for it: the file gets its name, or is copied from memory. */
START_TEST(a_cache_is_kept_later)
{
    char path[512];
    struct stat info, later;
    draw_many("x", 30);
    struct dataset_options options = options_for(6, 4);
    options.cache_dir = NULL;
    options.spill_dir = _i ? folder : NULL;
    struct dataset *set = open_with(&options);
    uint64_t first = dataset_fingerprint(set);
    ck_assert(!file_exists(cache));
    if (_i) { /* a damaged cache of that name is replaced */
        ck_assert_int_eq(dataset_keep(set, cache), OK);
        dataset_close(set);
        cache_file(path, sizeof path);
        ck_assert_int_eq(truncate(path, 5000), 0);
        set = open_with(&options);
    }
    ck_assert_int_eq(dataset_keep(set, "/proc/no-such-place"), OK);
    ck_assert_int_eq(dataset_keep(set, cache), OK);
    ck_assert_int_eq(dataset_keep(set, cache), OK);
    ck_assert_uint_eq(dataset_fingerprint(set), first);
    dataset_close(set);
    cache_file(path, sizeof path);
    ck_assert_int_eq(stat(path, &info), 0);
    options.cache_dir = cache;
    ck_assert_uint_eq(fingerprint(&options), first);
    options.cache_dir = NULL;
    options.look_dir = cache;
    ck_assert_uint_eq(fingerprint(&options), first);
    ck_assert_int_eq(stat(path, &later), 0);
    ck_assert_uint_eq(info.st_ino, later.st_ino);
}
END_TEST

START_TEST(changed_data_is_noticed)
{
    draw_many("x", 30);
    struct dataset_options options = options_for(6, 4);
    uint64_t first = fingerprint(&options);
    char path[128];
    snprintf(path, sizeof path, "%s/x007.png", folder);
    ck_assert_int_eq(utimensat(AT_FDCWD, path, (struct timespec[]){{1000, 0}, {1000, 0}}, 0), 0);
    ck_assert_uint_eq(fingerprint(&options), first); /* the same images, with another time */
    draw("x007.png", 5, 4, 3, (uint8_t[]){200, 0, 77});
    ck_assert_uint_ne(fingerprint(&options), first);
    draw("x007.png", 5, 4, 3, (uint8_t[]){7, 0, 77});
    ck_assert_uint_eq(fingerprint(&options), first);
    draw("y.png", 5, 4, 3, (uint8_t[]){7, 0, 77});
    ck_assert_uint_ne(fingerprint(&options), first);
    options.width = 7;
    ck_assert_uint_ne(fingerprint(&options), first);
}
END_TEST

/* A folder that runs share does not grow for ever. */
START_TEST(caches_unused_for_a_month_are_removed)
{
    static const char *const names[] = {"pictures-1x1-0.bin", "latents-1x1-0.bin", "other.bin"};
    const struct dataset_options options = options_for(6, 4);
    draw_many("x", 30);
    ck_assert_int_eq(file_make_dirs(cache), OK);
    for (int old = 0; old < 2; old++)
        for (int i = 0; i < 3; i++) {
            char path[160];
            const struct timespec times[] = {{1000, 0}, {1000, 0}};
            snprintf(path, sizeof path, "%s/%s%s", cache, names[i], old ? ".old" : "");
            int fd = open(path, O_WRONLY | O_CREAT, 0600);
            ck_assert_int_ge(fd, 0);
            if (old) ck_assert_int_eq(futimens(fd, times), 0);
            close(fd);
        }
    dataset_close(open_with(&options));
    for (int i = 0; i < 3; i++) {
        char path[160];
        ck_assert(file_exists_in(cache, names[i]));
        snprintf(path, sizeof path, "%s.old", names[i]);
        ck_assert_int_eq(file_exists_in(cache, path), i == 2);
    }
}
END_TEST

START_TEST(a_damaged_cache_is_made_again)
{
    char path[512];
    draw_many("x", 30);
    struct dataset_options options = options_for(6, 4);
    uint64_t first = fingerprint(&options);
    cache_file(path, sizeof path);
    struct stat info;
    ck_assert_int_eq(stat(path, &info), 0);
    for (off_t at = 0; at < info.st_size; at = at == 45 ? 4096 : at + (at < 45 ? 9 : 211)) {
        uint8_t byte;
        int fd = open(path, O_RDWR);
        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        byte ^= 4;
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        ck_assert_uint_eq(fingerprint(&options), first);
        fd = open(path, O_RDONLY);
        uint8_t now;
        ck_assert_int_eq(pread(fd, &now, 1, at), 1);
        close(fd);
        ck_assert_uint_eq(now, byte ^ 4);
    }
    for (off_t length = 0; length < info.st_size; length += 511) {
        ck_assert_int_eq(truncate(path, length), 0);
        ck_assert_uint_eq(fingerprint(&options), first);
    }
}
END_TEST

/* A header of anybody's, with a checksum that is right: sizes of other images, or so large that
 * their product is the file's size again. */
START_TEST(sizes_are_checked)
{
    char path[512];
    draw_many("x", 30);
    struct dataset_options options = options_for(6, 4);
    uint64_t first = fingerprint(&options);
    cache_file(path, sizeof path);
    for (int k = 0; k < 6; k++) {
        struct dataset_header header;
        int fd = open(path, O_RDWR);
        ck_assert_int_eq(pread(fd, &header, sizeof header, 0), sizeof header);
        uint32_t *const numbers[] = {&header.width, &header.height,  &header.count,
                                     &header.width, &header.classes, &header.names_bytes};
        const uint32_t bad[] = {4, 6, 29, 0x80000006, 1, 0xffffffff};
        *numbers[k] = bad[k];
        if (k == 0) header.height = 6; /* as many pixels */
        if (k == 3) header.height = 0x80000004;
        header.check = dataset_header_check(&header);
        ck_assert_int_eq(pwrite(fd, &header, sizeof header, 0), sizeof header);
        close(fd);
        ck_assert_uint_eq(fingerprint(&options), first);
        fd = open(path, O_RDONLY);
        ck_assert_int_eq(pread(fd, &header, sizeof header, 0), sizeof header);
        ck_assert_uint_eq(header.width, 6); /* it was made again */
        ck_assert_uint_eq(header.height, 4);
        close(fd);
    }
}
END_TEST

START_TEST(two_processes_and_kills)
{
    char path[512];
    draw_many("x", 60);
    struct dataset_options options = options_for(96, 96);
    for (int round = 0; round < 20; round++) { /* killed at any time while making it */
        struct child child = child_fork();
        if (child.pid == 0) {
            struct dataset *set;
            _exit(dataset_open(&set, &options) == OK ? 0 : 1);
        }
        usleep((useconds_t)round * 1000);
        kill(child.pid, SIGKILL);
        child_status(child);
    }
    struct child children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = child_fork();
        if (children[i].pid == 0) {
            struct dataset *set;
            if (dataset_open(&set, &options) < 0) log_error("%s", error_message()), _exit(1);
            _exit(dataset_train_count(set) == 54 ? 0 : 2);
        }
    }
    for (int i = 0; i < 4; i++)
        child_assert_status(children[i], 0);
    /* what the kills left is gone as soon as the cache is made under the lock */
    char *command = string_format("rm -f '%s'/*.bin", cache);
    ck_assert_int_eq(system(command), 0);
    free(command);
    fingerprint(&options);
    cache_file(path, sizeof path);
}
END_TEST

static int polls;
static bool stop_soon(void)
{
    return ++polls > 5;
}

START_TEST(stops_when_asked)
{
    draw_many("x", 30);
    struct dataset_options options = options_for(6, 4);
    options.stop_requested = stop_soon;
    polls = 0;
    check_fails(&options, ERR_STOPPED, "stopped");
}
END_TEST

START_TEST(the_cache_folder)
{
    setenv("XDG_CACHE_HOME", "/somewhere", 1);
    char *path = dataset_cache_folder("run");
    ck_assert_str_eq(path, "/somewhere/imgtrain");
    free(path);
    setenv("XDG_CACHE_HOME", "not/absolute", 1);
    path = dataset_cache_folder("run");
    ck_assert_str_eq(path, "run/cache");
    free(path);
    unsetenv("XDG_CACHE_HOME");
    ck_assert_ptr_null(dataset_cache_folder(NULL));
}
END_TEST

/* A set is the whole one, whatever fails once while it is made, or else an error; and so is what is
 * kept of it. */
START_TEST(a_set_fails_at_any_call)
{
    char command[120];
    snprintf(command, sizeof command, "rm -rf '%s'", cache);
    draw_many("dark/", 3);
    draw_many("light/", 3);
    threads_set(1);
    fsync_is_instant();
    struct dataset_options options = options_for(4, 4);
    options.labels = SCAN_LABELS_FOLDERS;
    if (_i == 1) options.cache_dir = NULL;
    uint64_t whole = fingerprint(&options);
    const char *call = "";
    for (int turn = 1; call; turn = turn_behind(turn, 40)) {
        struct dataset *set;
        if (_i == 0) ck_assert_int_eq(system(command), 0);
        CALL_FAILS(.turn = turn);
        int code = dataset_open(&set, &options);
        call = call_that_failed();
        ck_assert_msg(code == OK || code == ERR_SYSTEM || code == ERR_IO, "%s, call %d: %d: %s",
                      call, turn, code, error_message());
        if (code == OK)
            ck_assert_msg(dataset_fingerprint(set) == whole, "%s, call %d: %d images", call, turn,
                          dataset_count(set));
        dataset_close(set);
        ck_assert_msg(fingerprint(&options) == whole, "%s, call %d: afterwards", call, turn);
    }
}
END_TEST

Suite *dataset_cache_test_suite(void);
Suite *dataset_cache_test_suite(void)
{
    Suite *suite = suite_create("gan_cache");
    TCase *tests = tcase_create("data");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_test(tests, the_cache_is_made_once);
    tcase_add_loop_test(tests, a_cache_is_kept_later, 0, 2);
    tcase_add_test(tests, changed_data_is_noticed);
    tcase_add_test(tests, caches_unused_for_a_month_are_removed);
    tcase_add_test(tests, a_damaged_cache_is_made_again);
    tcase_add_test(tests, sizes_are_checked);
    tcase_add_test(tests, two_processes_and_kills);
    tcase_add_test(tests, stops_when_asked);
    tcase_add_test(tests, the_cache_folder);
    tcase_add_loop_test(tests, a_set_fails_at_any_call, 0, 3);
    suite_add_tcase(suite, tests);
    return suite;
}
