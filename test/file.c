/* Files: atomic writes, whole reads, folders. */
#include "base/file.h"

#include "base/error.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#undef fail /* Check's, of old */

static char folder[64];
static char path[128];

static void enter_folder(void)
{
    strcpy(folder, "/tmp/imgtrain-file-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
}

static void leave_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static void assert_content(const char *expected)
{
    uint8_t *data;
    size_t bytes;
    ck_assert_int_eq(file_read(path, 1 << 20, &data, &bytes), OK);
    ck_assert_uint_eq(bytes, strlen(expected));
    ck_assert_str_eq((char *)data, expected);
    free(data);
}

/* Only the file itself is there: no temporary one was left. */
static void assert_alone(void)
{
    char command[128];
    snprintf(command, sizeof command, "test \"$(ls -A '%s')\" = file", folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(atomic_write)
{
    ck_assert_int_eq(file_write_atomic(path, "old", 3, true), OK);
    assert_content("old");
    struct file_atomic file;
    ck_assert_int_eq(file_atomic_open(&file, path, 100), OK); /* more reserved than written */
    ck_assert_int_eq(file_atomic_write(&file, "ne", 2), OK);
    ck_assert_int_eq(file_atomic_write(&file, "w", 1), OK);
    assert_content("old"); /* readers see the old one until the commit */
    ck_assert_int_eq(file_atomic_commit(&file, true), OK);
    file_atomic_abort(&file);
    assert_content("new");
    ck_assert_int_eq(file_atomic_open(&file, path, 0), OK);
    ck_assert_int_eq(file_atomic_write(&file, "other", 5), OK);
    file_atomic_abort(&file);
    file_atomic_abort(&file);
    assert_content("new");
    assert_alone();
    ck_assert_int_eq(file_write_atomic(path, "", 0, false), OK);
    assert_content("");
}
END_TEST

START_TEST(atomic_write_fails)
{
    struct file_atomic file;
    ck_assert_int_eq(file_write_atomic("/nonexistent/x", "a", 1, false), ERR_OUTPUT);
    ck_assert_ptr_nonnull(strstr(error_message(), "/nonexistent/x"));
    ck_assert_int_eq(file_write_atomic("/proc/x", "a", 1, false), ERR_OUTPUT);
    ck_assert_int_eq(file_write_atomic(path, "old", 3, false), OK);

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){100, RLIM_INFINITY});
    ck_assert_int_eq(file_atomic_open(&file, path, 1000), ERR_IO); /* seen when reserved */
    ck_assert_int_eq(file_atomic_open(&file, path, 0), OK);        /* seen when written */
    char data[1000] = {0};
    ck_assert_int_eq(file_atomic_write(&file, data, sizeof data), ERR_IO);
    ck_assert_ptr_nonnull(strstr(error_message(), path));
    file_atomic_abort(&file);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    assert_content("old");
    assert_alone();

    ck_assert_int_eq(file_atomic_open(&file, path, 0),
                     OK); /* the rename fails: a folder is there */
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0777), 0);
    ck_assert_int_eq(file_atomic_commit(&file, false), ERR_IO);
    assert_alone();

    ck_assert_int_eq(file_write_all(-1, "x", 1, "name"), ERR_IO);
}
END_TEST

/* A temp file of a killed process that had our pid is no obstacle. */
START_TEST(atomic_write_over_leftover)
{
    char temporary[160];
    snprintf(temporary, sizeof temporary, "%s.tmp%ld", path, (long)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT, 0444);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(file_write_atomic(path, "new", 3, false), OK);
    assert_content("new");
    assert_alone();
}
END_TEST

START_TEST(whole_reads)
{
    uint8_t *data;
    size_t bytes;
    ck_assert_int_eq(file_read(path, 10, &data, &bytes), ERR_INPUT);
    ck_assert_ptr_null(data);
    ck_assert_int_eq(file_read(folder, 10, &data, &bytes), ERR_DATA);
    ck_assert_int_eq(file_write_atomic(path, "0123456789", 10, false), OK);
    ck_assert_int_eq(file_read(path, 10, &data, &bytes), OK);
    ck_assert_uint_eq(bytes, 10);
    ck_assert_int_eq(data[10], 0);
    free(data);
    ck_assert_int_eq(file_read(path, 9, &data, &bytes), ERR_DATA);
    ck_assert_ptr_null(data);
    ck_assert_int_eq(file_read("/dev/zero", 100000, &data, &bytes), ERR_DATA);
    ck_assert_int_eq(file_read("/proc/self/status", 1 << 20, &data, &bytes), OK); /* has size 0 */
    ck_assert_uint_gt(bytes, 100);
    free(data);
}
END_TEST

START_TEST(folders)
{
    char *deep = path_join(folder, "a/b//c");
    ck_assert(!file_is_dir(deep));
    ck_assert_int_eq(file_make_dirs(deep), OK);
    ck_assert_int_eq(file_make_dirs(deep), OK);
    ck_assert(file_is_dir(deep) && file_exists(deep));
    free(deep);
    ck_assert_int_eq(file_write_atomic(path, "x", 1, false), OK);
    ck_assert(file_exists(path) && !file_is_dir(path));
    char *below = path_join(path, "d");
    ck_assert_int_eq(file_make_dirs(below), ERR_OUTPUT);
    ck_assert_int_eq(file_make_dirs(path), ERR_OUTPUT);
    free(below);
    char *joined = path_join("/x/", "y");
    ck_assert_str_eq(joined, "/x/y");
    free(joined);
    ck_assert_int_gt(file_disk_free(folder), 0);
    ck_assert_int_eq(file_disk_free("/nonexistent"), -1);
}
END_TEST

Suite *file_suite(void);
Suite *file_suite(void)
{
    Suite *suite = suite_create("file");
    TCase *tests = tcase_create("file");
    tcase_add_checked_fixture(tests, enter_folder, leave_folder);
    tcase_add_test(tests, atomic_write);
    tcase_add_test(tests, atomic_write_fails);
    tcase_add_test(tests, atomic_write_over_leftover);
    tcase_add_test(tests, whole_reads);
    tcase_add_test(tests, folders);
    suite_add_tcase(suite, tests);
    return suite;
}
