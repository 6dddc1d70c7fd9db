/* Files: atomic writes, whole reads, folders. */
#include "base/file.h"

#include "base/error.h"
#include "base/file_atomic.h"
#include "base/temporary.h"
#include "test/child.h"
#include "test/support.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[128];

static void enter_folder(void)
{
    folder_make();
    snprintf(path, sizeof path, "%s/file", folder);
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
    ck_assert_int_eq(file_atomic_write_whole(path, "old", 3, true), OK);
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
    ck_assert_int_eq(file_atomic_write_whole(path, "", 0, false), OK);
    assert_content("");
}
END_TEST

START_TEST(atomic_write_fails)
{
    struct file_atomic file;
    ck_assert_int_eq(file_atomic_write_whole("/nonexistent/x", "a", 1, false), ERR_OUTPUT);
    ck_assert_ptr_nonnull(strstr(error_message(), "/nonexistent/x"));
    ck_assert_int_eq(file_atomic_write_whole("/proc/x", "a", 1, false), ERR_OUTPUT);
    ck_assert_int_eq(file_atomic_write_whole(path, "old", 3, false), OK);

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

/* What root writes to /dev/null or /dev/stdout puts no file in its place. */
START_TEST(atomic_write_leaves_devices)
{
    struct stat info;
    char pipe[160];
    char descriptor[40];
    const char *const ends[] = {"/dev/null", pipe, descriptor};
    snprintf(pipe, sizeof pipe, "%s/pipe", folder);
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    FILE *file = tmpfile(); /* as the shell's > makes of /dev/stdout */
    ck_assert_ptr_nonnull(file);
    snprintf(descriptor, sizeof descriptor, "/proc/self/fd/%d", fileno(file));
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(symlink(ends[i], path), 0);
        ck_assert_int_eq(file_atomic_write_whole(path, "new", 3, false), ERR_OUTPUT);
        ck_assert_ptr_nonnull(strstr(error_message(), path));
        ck_assert(lstat(path, &info) == 0 && S_ISLNK(info.st_mode));
        ck_assert_int_eq(unlink(path), 0);
    }
    fclose(file);
    ck_assert_int_eq(file_atomic_write_whole(pipe, "new", 3, false), OK);
    ck_assert(lstat(pipe, &info) == 0 && S_ISREG(info.st_mode));
}
END_TEST

static void write_in_folder(const char *name)
{
    char full[400];
    snprintf(full, sizeof full, "%s/%s", folder, name);
    int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

/* Two writers of one path never share a name, although here even the process is the same; what one
 * of them writes is told from what a killed process left. */
START_TEST(temporary_names)
{
    struct file_atomic first, second;
    ck_assert_int_eq(file_atomic_open(&first, path, 0), OK);
    ck_assert_int_eq(file_atomic_open(&second, path, 0), OK);
    ck_assert_str_ne(first.temporary, second.temporary);
    ck_assert(temporary_is_name(first.temporary));
    int64_t pid = (int64_t)getpid();
    char left[64];
    snprintf(left, sizeof left, "file.tmp%lld", (long long)pid); /* of version 0.1.0 */
    write_in_folder(left);
    write_in_folder("file.tmp-elsewhere-1-0123456789ab");
    write_in_folder("other.tmp-elsewhere-1-0123456789ab");
    write_in_folder("file.tmp");
    write_in_folder("file.tmp-mine");
    temporary_clean_beside(path);
    char full[160];
    snprintf(full, sizeof full, "%s/other.tmp-elsewhere-1-0123456789ab", folder);
    ck_assert(file_exists(full));
    temporary_clean(folder, NULL);
    ck_assert(!file_exists(full));
    ck_assert(file_exists(first.temporary) && file_exists(second.temporary));
    ck_assert_int_eq(file_atomic_write(&first, "1", 1), OK);
    ck_assert_int_eq(file_atomic_write(&second, "2", 1), OK);
    ck_assert_int_eq(file_atomic_commit(&first, true), OK);
    assert_content("1");
    ck_assert_int_eq(file_atomic_commit(&second, true), OK);
    assert_content("2");
    char command[200];
    snprintf(command, sizeof command,
             "test \"$(ls -A '%s' | tr '\\n' ' ')\" = 'file file.tmp file.tmp-mine '", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

/* The longest name that a file can have, in letters of two bytes. */
START_TEST(temporary_of_a_long_name)
{
    char name[300] = "x", full[400];
    while (strlen(name) < 255)
        strcat(name, "\xc3\xa4");
    snprintf(full, sizeof full, "%s/%s", folder, name);
    struct file_atomic file;
    ck_assert_int_eq(file_atomic_open(&file, full, 0), OK);
    const char *end = strstr(file.temporary, ".tmp-");
    ck_assert_int_eq((unsigned char)end[-2], 0xC3);
    ck_assert_int_eq(file_atomic_commit(&file, true), OK);
    ck_assert(file_exists(full));
}
END_TEST

/* A signal that ends the process takes its temporary files with it, and still ends it. */
START_TEST(temporary_goes_with_a_signal)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGABRT};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct child child = child_fork();
        if (child.pid == 0) {
            struct file_atomic file;
            signal(numbers[i], SIG_DFL);
            if (file_atomic_open(&file, path, 1000) == OK) raise(numbers[i]);
            _exit(99);
        }
        child_assert_status(child, 1000 + numbers[i]);
    }
    ck_assert_int_eq(file_atomic_write_whole(path, "x", 1, false), OK);
    assert_alone();
}
END_TEST

START_TEST(codes_of_errno)
{
    static const struct {
        int number, code;
    } cases[] = {{EIO, ERR_IO},         {ESTALE, ERR_IO},     {ENOSPC, ERR_IO},
                 {EDQUOT, ERR_IO},      {EMFILE, ERR_SYSTEM}, {ENFILE, ERR_SYSTEM},
                 {ENOMEM, ERR_SYSTEM},  {EACCES, ERR_ACCESS}, {EROFS, ERR_ACCESS},
                 {ENOENT, ERR_INPUT},   {ENOTDIR, ERR_INPUT}, {ELOOP, ERR_INPUT},
                 {EKEYEXPIRED, ERR_IO}, {EINVAL, ERR_IO}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        errno = cases[i].number;
        ck_assert_int_eq(fail_errno(ERR_INPUT, "x"), cases[i].code);
    }
    errno = EKEYEXPIRED;
    ck_assert_int_eq(fail_errno(ERR_OUTPUT, "x"), ERR_OUTPUT);
    errno = ENOSPC;
    ck_assert_int_eq(fail_errno(ERR_DEVICE_MEMORY, "x"), ERR_DEVICE_MEMORY);
}
END_TEST

START_TEST(own_files_are_regular)
{
    char link_path[160], fifo[160];
    int fd;
    snprintf(link_path, sizeof link_path, "%s/link", folder);
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    ck_assert_int_eq(symlink("file", link_path), 0);
    ck_assert_int_eq(file_open_own(link_path, O_RDWR | O_CREAT, ERR_OUTPUT, &fd), ERR_ACCESS);
    ck_assert_int_eq(fd, -1);
    ck_assert(!file_exists(path)); /* nothing was made at its end */
    ck_assert_int_eq(file_atomic_write_whole(path, "x", 1, false), OK);
    ck_assert_int_eq(file_open_own(link_path, O_RDONLY, ERR_INPUT, &fd), ERR_ACCESS);
    ck_assert_int_eq(mkfifo(fifo, 0666), 0);
    ck_assert_int_eq(file_open_own(fifo, O_WRONLY, ERR_OUTPUT, &fd), ERR_OUTPUT);
    ck_assert_int_eq(file_open_own(fifo, O_RDONLY, ERR_INPUT, &fd), ERR_DATA);
    ck_assert_int_eq(file_open_own(folder, O_RDONLY, ERR_INPUT, &fd), ERR_DATA);
    ck_assert_int_eq(file_open_own("/nonexistent", O_RDONLY, ERR_INPUT, &fd), ERR_INPUT);
    ck_assert_int_eq(file_open_own(path, O_RDWR, ERR_OUTPUT, &fd), OK);
    close(fd);
}
END_TEST

START_TEST(whole_reads)
{
    uint8_t *data;
    size_t bytes;
    ck_assert_int_eq(file_read(path, 10, &data, &bytes), ERR_INPUT);
    ck_assert_ptr_null(data);
    ck_assert_int_eq(file_read(folder, 10, &data, &bytes), ERR_DATA);
    ck_assert_int_eq(file_atomic_write_whole(path, "0123456789", 10, false), OK);
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
    ck_assert_int_eq(file_atomic_write_whole(path, "x", 1, false), OK);
    ck_assert(file_exists(path) && !file_is_dir(path));
    char *below = path_join(path, "d");
    ck_assert_int_eq(file_make_dirs(below), ERR_OUTPUT);
    ck_assert_int_eq(file_make_dirs(path), ERR_OUTPUT);
    free(below);
    char *joined = path_join("/x/", "y");
    ck_assert_str_eq(joined, "/x/y");
    free(joined);
    setenv("TMPDIR", "/x", 1);
    ck_assert_str_eq(file_temporary_folder(), "/x");
    setenv("TMPDIR", "", 1);
    ck_assert_str_eq(file_temporary_folder(), "/tmp");
    ck_assert_int_gt(file_disk_free(folder), 0);
    ck_assert_int_eq(file_disk_free("/nonexistent"), -1);
}
END_TEST

Suite *file_suite(void);
Suite *file_suite(void)
{
    Suite *suite = suite_create("file");
    TCase *tests = tcase_create("file");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_test(tests, atomic_write);
    tcase_add_test(tests, atomic_write_fails);
    tcase_add_test(tests, atomic_write_leaves_devices);
    tcase_add_test(tests, temporary_names);
    tcase_add_test(tests, temporary_of_a_long_name);
    tcase_add_test(tests, temporary_goes_with_a_signal);
    tcase_add_test(tests, codes_of_errno);
    tcase_add_test(tests, own_files_are_regular);
    tcase_add_test(tests, whole_reads);
    tcase_add_test(tests, folders);
    suite_add_tcase(suite, tests);
    return suite;
}
