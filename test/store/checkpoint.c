/* The checkpoints of a run: which is the newest, which go. */
#include "test/failing_calls.h"
#include "test/store/store_files.h"

#include <errno.h>
#include <sys/resource.h>

/* ---- checkpoints ---- */

static void write_kept_step(int64_t step, struct checkpoint_keep keep)
{
    struct store_writer *writer = sample();
    ck_assert_int_eq(checkpoint_write(folder, step, writer, keep, false), OK);
    store_writer_free(writer);
}

static void write_step(int64_t step, int keep)
{
    write_kept_step(step, (struct checkpoint_keep){.newest = keep});
}

static void assert_steps(int count, const int64_t *expected)
{
    int64_t *steps;
    int found;
    ck_assert_int_eq(checkpoint_list(folder, &steps, &found), OK);
    ck_assert_int_eq(found, count);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(steps[i], expected[i]);
    free(steps);
}

static void damage(int64_t step)
{
    char *name = checkpoint_path(folder, step);
    ck_assert_int_eq(truncate(name, 100), 0);
    free(name);
}

static int64_t latest(void)
{
    struct store_file *file;
    int64_t step = -1;
    int code = checkpoint_latest(folder, &file, &step);
    ck_assert((code == OK) == (file != NULL));
    store_close(file);
    return code < 0 ? code : step;
}

START_TEST(newest_is_by_number)
{
    ck_assert_int_eq(latest(), ERR_INPUT);
    write_step(9000, 10);
    write_step(10000, 10);
    write_step(INT64_C(12345678901), 10);
    assert_steps(3, (int64_t[]){INT64_C(12345678901), 10000, 9000});
    ck_assert_int_eq(latest(), INT64_C(12345678901));
    damage(INT64_C(12345678901));
    log_set_level(LOG_ERROR);
    ck_assert_int_eq(latest(), 10000);
    damage(10000);
    ck_assert_int_eq(latest(), 9000);
    char *from = checkpoint_path(folder, 9000), *to = checkpoint_path(folder, 9001);
    ck_assert_int_eq(link(from, to), 0); /* says of itself that it is another step's */
    free(from);
    free(to);
    ck_assert_int_eq(latest(), 9000);
    damage(9000);
    ck_assert_int_eq(latest(), ERR_DATA);
}
END_TEST

START_TEST(prunes_only_what_is_old)
{
    for (int64_t step = 1; step <= 5; step++)
        write_step(step * 1000, 2);
    assert_steps(2, (int64_t[]){5000, 4000});
    log_set_level(LOG_ERROR);
    damage(5000);
    ck_assert_int_eq(latest(), 4000);
    write_step(4500, 1); /* the run went on from 4000: 5000 is of no use any more */
    assert_steps(1, (int64_t[]){4500});
    ck_assert_int_eq(checkpoint_rejected(folder), 1); /* but not gone */
    ck_assert_int_eq(latest(), 4500);
    write_step(4600, 0); /* what was just written is never removed */
    assert_steps(1, (int64_t[]){4600});
}
END_TEST

START_TEST(multiples_stay_beside_the_newest)
{
    const struct checkpoint_keep keep = {.newest = 2, .every = 20};
    for (int64_t step = 5; step <= 55; step += 5)
        write_kept_step(step, keep);
    assert_steps(4, (int64_t[]){55, 50, 40, 20});
    ck_assert_int_eq(latest(), 55);
}
END_TEST

/* What is damaged is renamed when the run goes on from an older one, and never overwritten. */
START_TEST(damaged_ones_are_kept)
{
    log_set_level(LOG_ERROR);
    for (int i = 1; i <= 3; i++) {
        struct store_file *file;
        int64_t step = 0;
        write_step(1, 9);
        write_step(2, 9);
        damage(2);
        ck_assert_int_eq(latest(), 1);
        ck_assert_int_eq(checkpoint_rejected(folder), i - 1); /* looking changes nothing */
        ck_assert_int_eq(checkpoint_resume(folder, &file, &step), OK);
        ck_assert_int_eq(step, 1);
        store_close(file);
        ck_assert_int_eq(checkpoint_rejected(folder), i);
        assert_steps(1, (int64_t[]){1});
    }
    damage(1); /* none is sound: nothing is renamed, as the next start would begin anew */
    struct store_file *file;
    int64_t step = 0;
    ck_assert_int_eq(checkpoint_resume(folder, &file, &step), ERR_DATA);
    ck_assert_int_eq(checkpoint_rejected(folder), 3);
    assert_steps(1, (int64_t[]){1});
}
END_TEST

/* No descriptor is free for a moment: the checkpoint is neither damaged nor missing. */
START_TEST(not_opened_is_not_damaged)
{
    struct store_file *file;
    int64_t step;
    write_step(1, 9);
    write_step(2, 9);
    struct rlimit before, none;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    close(next);
    for (int room = 0; room < 2; room++) {
        none = before;
        none.rlim_cur = (rlim_t)(next + room);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
        int code = checkpoint_resume(folder, &file, &step);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        ck_assert_int_eq(code, room ? OK : ERR_SYSTEM);
        if (code == OK) ck_assert_int_eq(step, 2);
        if (code == OK) store_close(file);
    }
    ck_assert_int_eq(latest(), 2);
}
END_TEST

START_TEST(leftovers_go_strangers_stay)
{
    static const char *const names[] = {"step-000000001.safetensors.tmp123",
                                        "notes.txt",
                                        "step-1.safetensors",
                                        "step-00000000x.safetensors",
                                        "step-",
                                        "step-000000002.txt",
                                        "step-0000000002.safetensors",
                                        "step-1234567890123456789.safetensors",
                                        "step-000000002.safetensors.bak"};
    enum { NAMES = sizeof names / sizeof names[0] };
    write_step(1, 1);
    char name[300];
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "%s/checkpoints/%s", folder, names[i]);
        ck_assert_int_eq(file_atomic_write_whole(name, "x", 1, false), OK);
    }
    ck_assert_int_eq(latest(), 1); /* reading removes nothing: the run may be going on */
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "%s/checkpoints/%s", folder, names[i]);
        ck_assert(file_exists(name));
    }
    write_step(2, 1);
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "%s/checkpoints/%s", folder, names[i]);
        ck_assert_int_eq(file_exists(name), i > 0);
    }
    assert_steps(1, (int64_t[]){2});
    ck_assert_int_eq(checkpoint_rejected(folder), 0);
}
END_TEST

/* The last name that is tried is taken whether it is free or not: the disk must not fill up. */
START_TEST(a_thousand_are_kept_aside)
{
    log_set_level(LOG_ERROR);
    write_step(1, 9);
    char *first = checkpoint_path(folder, 2), name[300];
    for (int i = 1; i <= 1001; i++) {
        snprintf(name, sizeof name, i == 1 ? "%s.bad" : "%s.bad%d", first, i);
        if (i != 1000) close(open(name, O_CREAT | O_WRONLY, 0666));
    }
    for (int i = 0; i < 2; i++) {
        struct store_file *file;
        int64_t step = 0;
        close(open(first, O_CREAT | O_WRONLY, 0666));
        ck_assert_int_eq(checkpoint_resume(folder, &file, &step), OK);
        store_close(file);
        ck_assert_int_eq(checkpoint_rejected(folder), 1001);
        assert_steps(1, (int64_t[]){1});
    }
    free(first);
}
END_TEST

START_TEST(strange_folders)
{
    struct store_file *file;
    int64_t step, *steps;
    int count;
    char name[160], other[160];
    snprintf(name, sizeof name, "%s/checkpoints", folder);
    snprintf(other, sizeof other, "%s/elsewhere", folder);
    write_bytes("x", 1);
    ck_assert_int_eq(rename(path, name), 0); /* a file in its place: no checkpoints */
    ck_assert_int_eq(checkpoint_list(folder, &steps, &count), OK);
    ck_assert(count == 0 && !steps);
    ck_assert_int_eq(checkpoint_latest(folder, &file, &step), ERR_INPUT);
    ck_assert_int_eq(unlink(name), 0);
    write_step(1, 9);
    ck_assert_int_eq(rename(name, other), 0);
    ck_assert_int_eq(symlink(other, name), 0); /* somebody's, outside perhaps */
    ck_assert_int_eq(checkpoint_list(folder, &steps, &count), ERR_ACCESS);
    ck_assert_int_eq(checkpoint_latest(folder, &file, &step), ERR_ACCESS);
    ck_assert_int_eq(checkpoint_rejected(folder), 0);
}
END_TEST

/* ---- calls that fail ---- */

static struct {
    uint8_t *data;
    size_t bytes;
} sound[3];

/* 1 and 2 are sound, 5 is damaged, there is no other. */
static void restore_steps(void)
{
    fsync_is_instant();
    unlink(in_folder("checkpoints/step-000000005.safetensors.bad"));
    for (int64_t step = 1; step <= 5; step++) {
        char *name = checkpoint_path(folder, step);
        if (step > 2)
            unlink(name);
        else if (!sound[step].data)
            write_step(step, 9), MUST(file_read(name, 4096, &sound[step].data, &sound[step].bytes));
        else if (!file_exists(name))
            MUST(file_atomic_write_whole(name, sound[step].data, sound[step].bytes, false));
        if (step == 5) close(open(name, O_CREAT | O_WRONLY, 0666));
        free(name);
    }
    checkpoint_clean(folder);
    fail(OK, "%s", "");
}

/* What may come of a call that fails: nothing, or an error that says so, and not that a file is
 * damaged or missing. */
static void assert_orderly(int code, const char *call, int turn)
{
    ck_assert_msg(code == OK || code == ERR_IO || code == ERR_SYSTEM || code == ERR_ACCESS ||
                      code == ERR_OUTPUT,
                  "%s, call %d: %d: %s", call, turn, code, error_message());
    ck_assert_msg(code == OK || error_message()[0], "%s, call %d: no message", call, turn);
}

/* The last one says that a file is missing, which may be the case. */
static const int errors[] = {0, EACCES, EKEYEXPIRED, EWOULDBLOCK, EINVAL, ENOENT};
enum { ERRORS = sizeof errors / sizeof errors[0] };

static int describe_and_write(bool sync)
{
    struct store_writer *writer = store_writer_create();
    int code = writer ? checkpoint_describe(writer, "checkpoint", "splat", 4, "") : ERR_SYSTEM;
    if (code == OK) code = store_add_f32(writer, "weights", 2, 3, weights);
    if (code == OK)
        code = checkpoint_write(folder, 4, writer, (struct checkpoint_keep){.newest = 2}, sync);
    store_writer_free(writer);
    return code;
}

/* Once, and from then on: the save is done, or is an error and has cost no older checkpoint. */
START_TEST(a_save_fails_at_any_call)
{
    log_set_level(LOG_ERROR);
    const char *call = "";
    for (int turn = 1; call; turn++) {
        restore_steps();
        CALL_FAILS(.turn = turn, .every = _i % 2, .error = errors[_i / 2]);
        int code = describe_and_write(true);
        call = call_that_failed();
        assert_orderly(code, call, turn);
        int64_t newest = latest();
        ck_assert_msg(newest == 4 || (code < 0 && newest == 2), "%s, call %d", call, turn);
        char *one = checkpoint_path(folder, 1), *two = checkpoint_path(folder, 2);
        ck_assert_msg(file_exists(two) && (code == OK || file_exists(one)), "%s, call %d", call,
                      turn);
        free(one);
        free(two);
    }
    assert_steps(2, (int64_t[]){4, 2});
    ck_assert_int_eq(checkpoint_rejected(folder), 1);
}
END_TEST

/* It goes on from the newest sound one, or not at all. */
START_TEST(a_resume_fails_at_any_call)
{
    log_set_level(LOG_ERROR);
    const char *call = "";
    for (int turn = 1; call; turn++) {
        struct store_file *file;
        int64_t step = -1;
        restore_steps();
        CALL_FAILS(.turn = turn, .every = _i % 2, .error = errors[_i / 2]);
        int code = checkpoint_resume(folder, &file, &step);
        call = call_that_failed();
        assert_orderly(code, call, turn);
        ck_assert_msg(code < 0 ? !file : file && step == 2, "%s, call %d", call, turn);
        store_close(file);
        ck_assert_int_eq(latest(), 2);
    }
    ck_assert_int_eq(checkpoint_rejected(folder), 1);
}
END_TEST

/* Others remove checkpoints while a run trains: what is gone when it is opened is passed over, and
 * when none is left they are listed again. */
START_TEST(what_has_vanished_is_passed_over)
{
    struct store_file *file;
    int64_t step = -1;
    write_step(1, 9);
    write_step(2, 9);
    static const struct {
        int turn, every, code, step;
    } cases[] = {{2, 0, OK, 1}, {2, 1, ERR_INPUT, -1}, {4, 0, OK, 2}};
    for (int i = 0; i < 3; i++) {
        CALL_FAILS(.name = "open", .error = ENOENT, .turn = cases[i].turn, .every = cases[i].every);
        ck_assert_int_eq(checkpoint_latest(folder, &file, &step), cases[i].code);
        call_that_failed();
        ck_assert_int_eq(step, cases[i].step);
        store_close(file);
    }
    char *name = checkpoint_path(folder, 1);
    ck_assert_int_eq(unlink(name), 0);
    free(name);
    CALL_FAILS(.name = "open", .error = ENOENT, .turn = 2); /* once: it is looked at again */
    ck_assert_int_eq(checkpoint_latest(folder, &file, &step), OK);
    store_close(file);
    CALL_FAILS(.name = "open", .error = ENOENT, .turn = 2, .every = 2); /* again and again */
    ck_assert_int_eq(checkpoint_latest(folder, &file, &step), ERR_INPUT);
    ck_assert_str_eq(call_that_failed(), "open");
}
END_TEST

/* Calls that a signal interrupts are made again. */
START_TEST(interrupted_calls_are_repeated)
{
    static const char *const names[] = {"open",      "close", "fsync",
                                        "ftruncate", "flock", "posix_fallocate",
                                        "rename",    "write", "stat"};
    log_set_level(LOG_ERROR);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (int turn = 1;; turn++) {
            struct store_file *file;
            int64_t step;
            restore_steps();
            CALL_FAILS(.name = names[i], .turn = turn, .error = EINTR);
            ck_assert_msg(describe_and_write(true) == OK, "%s, call %d: %s", names[i], turn,
                          error_message());
            ck_assert_int_eq(checkpoint_resume(folder, &file, &step), OK);
            bool failed = call_that_failed();
            ck_assert(failed || turn > 1);
            ck_assert_int_eq(step, 4);
            store_close(file);
            if (!failed) break;
        }
    }
}
END_TEST

/* ---- whoever wants a result ---- */

static int expect_code(const char *metadata)
{
    struct store_file *file;
    char header[200];
    snprintf(header, sizeof header, "{\"__metadata__\":{%s}}", metadata);
    ck_assert_int_eq(open_header(header, NULL, 0), OK);
    ck_assert_int_eq(store_open(&file, path), OK);
    int code = checkpoint_expect(file, "splat", "checkpoint");
    store_close(file);
    return code;
}

START_TEST(files_of_others)
{
#define OURS "\"format\":\"imgtrain\",\"task\":\"splat\""
    ck_assert_int_eq(expect_code(OURS ",\"kind\":\"checkpoint\""), OK);
    log_set_level(LOG_ERROR);
    write_step(2, 9);
    char *name = checkpoint_path(folder, 3); /* and does not say of which step */
    ck_assert_int_eq(rename(path, name), 0);
    ck_assert_int_eq(latest(), 2);
    ck_assert_int_eq(expect_code(OURS), ERR_DATA);
    ck_assert_int_eq(rename(path, name), 0);
    ck_assert_int_eq(latest(), 2);
    free(name);
    ck_assert_int_eq(expect_code(OURS ",\"kind\":\"model\""), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "kind is model, expected checkpoint"));
    ck_assert_int_eq(expect_code(OURS), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "kind is missing, expected checkpoint"));
    ck_assert_int_eq(expect_code("\"format\":\"imgtrain\""), ERR_DATA);
    ck_assert_int_eq(expect_code("\"format\":\"pt\""), ERR_DATA);
    ck_assert_int_eq(expect_code(""), ERR_DATA);
}
END_TEST

START_TEST(a_look_fails_at_any_call)
{
    char name[160];
    struct store_file *file;
    log_set_level(LOG_ERROR);
    restore_steps();
    snprintf(name, sizeof name, "%s/model.safetensors", folder);
    write_sample();
    if (_i < 2) ck_assert_int_eq(rename(path, name), 0);
    const char *call = "";
    for (int turn = 1; call; turn++) {
        CALL_FAILS(.turn = turn, .every = _i % 2);
        int code = checkpoint_open(_i < 4 ? folder : path, &file);
        int aside = checkpoint_rejected(folder);
        call = call_that_failed();
        assert_orderly(code, call, turn);
        ck_assert_int_eq(aside, 0);
        ck_assert_msg((code == OK) == (file != NULL), "%s, call %d", call, turn);
        store_close(file);
    }
}
END_TEST

START_TEST(opens_file_or_run)
{
    struct store_file *file;
    ck_assert_int_eq(checkpoint_open(folder, &file), ERR_INPUT);
    write_step(7, 1);
    ck_assert_int_eq(checkpoint_open(folder, &file), OK);
    ck_assert_str_eq(store_get(file, "step"), "7");
    store_close(file);
    char name[300];
    snprintf(name, sizeof name, "%s/model.safetensors", folder);
    struct store_writer *writer = sample();
    ck_assert_int_eq(store_write(writer, name, false), OK);
    store_writer_free(writer);
    ck_assert_int_eq(checkpoint_open(folder, &file), OK);
    ck_assert_str_eq(store_path(file), name);
    store_close(file);
    open_header("{" TENSOR("a", "U8", "[4]", "[0,4]") "}", "abcd", 4);
    ck_assert_int_eq(checkpoint_open(path, &file), ERR_DATA);
    ck_assert_ptr_null(file);
}
END_TEST

Suite *checkpoint_suite(void);
Suite *checkpoint_suite(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *tests = tcase_create("store");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_test(tests, newest_is_by_number);
    tcase_add_test(tests, prunes_only_what_is_old);
    tcase_add_test(tests, multiples_stay_beside_the_newest);
    tcase_add_test(tests, damaged_ones_are_kept);
    tcase_add_test(tests, not_opened_is_not_damaged);
    tcase_add_test(tests, leftovers_go_strangers_stay);
    tcase_add_test(tests, a_thousand_are_kept_aside);
    tcase_add_test(tests, strange_folders);
    tcase_add_loop_test(tests, a_save_fails_at_any_call, 0, 2 * ERRORS);
    tcase_add_loop_test(tests, a_resume_fails_at_any_call, 0, 2 * (ERRORS - 1));
    tcase_add_test(tests, what_has_vanished_is_passed_over);
    tcase_add_test(tests, interrupted_calls_are_repeated);
    tcase_add_loop_test(tests, a_look_fails_at_any_call, 0, 6);
    tcase_add_test(tests, files_of_others);
    tcase_add_test(tests, opens_file_or_run);
    suite_add_tcase(suite, tests);
    return suite;
}
