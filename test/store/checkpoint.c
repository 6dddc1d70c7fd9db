/* The checkpoints of a run: which is the newest, which go. */
#include "test/store/store_files.h"

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
    static const char *const names[] = {"step-000000001.safetensors.tmp123", "notes.txt",
                                        "step-1.safetensors", "step-00000000x.safetensors"};
    write_step(1, 1);
    char name[300];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s/checkpoints/%s", folder, names[i]);
        ck_assert_int_eq(file_atomic_write_whole(name, "x", 1, false), OK);
    }
    ck_assert_int_eq(latest(), 1); /* reading removes nothing: the run may be going on */
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s/checkpoints/%s", folder, names[i]);
        ck_assert(file_exists(name));
    }
    write_step(2, 1);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s/checkpoints/%s", folder, names[i]);
        ck_assert_int_eq(file_exists(name), i > 0);
    }
    assert_steps(1, (int64_t[]){2});
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
    tcase_add_test(tests, opens_file_or_run);
    suite_add_tcase(suite, tests);
    return suite;
}
