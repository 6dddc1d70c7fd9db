/* The training loop around a toy task: whole runs, folders, full disks, divergence. */
#include "test/run/toy_run.h"

START_TEST(a_whole_run_leaves_its_files)
{
    ck_assert_msg(train(run_dir, false, "") == OK, "%s", error_message());
    static const char *const names[] = {"config.yaml",          "log.txt",
                                        "metrics.jsonl",        "metrics.csv",
                                        "model.safetensors",    "final.png",
                                        "reference.png",        "frames/000000001.jpg",
                                        "frames/000000040.jpg", "frames/000000040.json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ck_assert_msg(run_has(run_dir, names[i]), "%s is missing", names[i]);
    char *text = read_text(run_dir, "metrics.jsonl");
    ck_assert_int_eq(count_of(text, "\n"), 8); /* 40 steps, every 5 */
    ck_assert_ptr_nonnull(strstr(text, "{\"step\": 40, \"loss\": "));
    ck_assert_ptr_nonnull(strstr(text, "\"gaussians\": 64, \"seconds\": "));
    ck_assert_ptr_nonnull(strstr(text, "\"steps_per_second\": "));
    ck_assert_ptr_nonnull(strstr(text, "\"bytes\": "));
    ck_assert_ptr_null(strstr(text, "null"));
    free(text);
    text = read_text(run_dir, "metrics.csv");
    ck_assert_int_eq(count_of(text, "\n"), 9);
    ck_assert_int_eq(
        strncmp(text, "step,loss,psnr,gaussians,seconds,steps_per_second,bytes\n5,", 57), 0);
    free(text);
    text = read_text(run_dir, "frames/000000040.json");
    ck_assert_ptr_nonnull(strstr(text, "\"caption\": \"toy \\\"quoted\\\"\"}"));
    free(text);
    ck_assert_int_eq(newest_checkpoint(run_dir), 40);
}
END_TEST

START_TEST(an_existing_folder_is_refused)
{
    ck_assert_int_eq(train(run_dir, false, ""), OK);
    char *before = read_text(run_dir, "metrics.jsonl");
    ck_assert_int_eq(train(run_dir, false, ""), ERR_OUTPUT);
    ck_assert_ptr_nonnull(strstr(error_message(), "--resume"));
    char *after = read_text(run_dir, "metrics.jsonl");
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
    /* Somebody's other folder is not entered even with --resume. */
    char other[128], path[160];
    snprintf(other, sizeof other, "%s/photos", folder);
    snprintf(path, sizeof path, "%s/cat.jpg", other);
    ck_assert_int_eq(mkdir(other, 0777), 0);
    ck_assert_int_eq(file_atomic_write_whole(path, "x", 1, false), OK);
    ck_assert_int_eq(train(other, true, ""), ERR_OUTPUT);
    ck_assert(!run_has(other, "lock"));
}
END_TEST

START_TEST(an_unwritable_place_is_refused)
{
    int code = train("/proc/nothing/run", false, "");
    ck_assert_msg(code == ERR_OUTPUT || code == ERR_ACCESS, "%d", code);
    char path[128];
    snprintf(path, sizeof path, "%s/file", folder);
    ck_assert_int_eq(file_atomic_write_whole(path, "x", 1, false), OK);
    ck_assert_int_eq(train(path, false, ""), ERR_OUTPUT);
    ck_assert_int_eq(train(path, true, ""), ERR_OUTPUT);
    snprintf(path, sizeof path, "%s/missing/parents/are/made", folder);
    ck_assert_int_eq(train(path, false, ""), OK);
}
END_TEST

START_TEST(run_folders_count_up)
{
    char settings[128], path[160];
    snprintf(settings, sizeof settings, "log_root=%s/out", folder);
    for (int i = 1; i <= 3; i++) {
        ck_assert_int_eq(train(NULL, false, settings), OK);
        snprintf(path, sizeof path, "%s/out/toy-%03d", folder, i);
        ck_assert_msg(run_has(path, "model.safetensors"), "%s", path);
    }
    /* --resume takes the newest: it is finished, so nothing is done. */
    toy.steps_taken = 0;
    ck_assert_int_eq(train(NULL, true, settings), OK);
    ck_assert_int_eq(toy.steps_taken, 0);
    snprintf(path, sizeof path, "%s/out/toy-004", folder);
    ck_assert(!file_exists(path));
    snprintf(settings, sizeof settings, "log_root=%s/out exp_name=mine", folder);
    ck_assert_int_eq(train(NULL, false, settings), OK);
    snprintf(path, sizeof path, "%s/out/mine", folder);
    ck_assert(run_has(path, "model.safetensors"));
    ck_assert_int_eq(train(NULL, false, settings), ERR_OUTPUT);
}
END_TEST

START_TEST(a_second_process_is_locked_out)
{
    toy.hold_step = 2;
    struct child first = spawn(run_dir, false, "");
    wait_for(first, run_dir, "frames/000000001.json");
    ck_assert_int_eq(train(run_dir, true, ""), ERR_OUTPUT); /* without waiting for its end */
    char pid[64], host[200] = "";
    snprintf(pid, sizeof pid, "process %ld on ", (long)first.pid);
    gethostname(host, sizeof host - 1);
    ck_assert_msg(strstr(error_message(), pid) && strstr(error_message(), host), "%s",
                  error_message());
    kill(first.pid, SIGTERM);
    child_assert_status(first, 75);
}
END_TEST

START_TEST(a_transient_nan_is_rolled_back)
{
    char other[128];
    snprintf(other, sizeof other, "%s/unbroken", folder);
    ck_assert_int_eq(train(other, false, ""), OK);
    toy.nan_times = 1;
    if (_i == 0)
        toy.nan_loss_step = 18;
    else
        toy.nan_state_step = 19; /* saved at 20: the save must refuse it */
    ck_assert_msg(train(run_dir, false, "") == OK, "%s", error_message());
    assert_same_model(run_dir, other);
    char *text = read_text(run_dir, "metrics.jsonl");
    ck_assert_int_eq(count_of(text, "\n"), 8);
    ck_assert_ptr_null(strstr(text, "nonfinite"));
    free(text);
}
END_TEST

START_TEST(a_lasting_nan_ends_the_run)
{
    toy.nan_times = -1;
    if (_i == 0)
        toy.nan_loss_step = 18;
    else
        toy.nan_state_step = 19;
    ck_assert_int_eq(train(run_dir, false, ""), ERR_DIVERGED);
    ck_assert_int_eq(error_exit_status(ERR_DIVERGED), 30);
    ck_assert_int_eq(newest_checkpoint(run_dir), 16);
    ck_assert(!run_has(run_dir, "model.safetensors"));
    if (_i == 0) {
        char *text = read_text(run_dir, "metrics.jsonl");
        ck_assert_ptr_nonnull(strstr(text, "{\"step\": 19, \"loss\": null"));
        ck_assert_ptr_nonnull(strstr(text, "\"nonfinite\": true"));
        free(text);
    }
}
END_TEST

/* Memory that fails within a step: down as often as it takes, and the same result. */
START_TEST(memory_that_fails_is_survived)
{
    char other[128];
    snprintf(other, sizeof other, "%s/unbroken", folder);
    ck_assert_int_eq(train(other, false, ""), OK);
    toy.ways = 4;
    toy.memory_step = 18;
    toy.memory_times = 2;
    toy.works_ahead = _i == 1;
    toy.steps_taken = 0;
    ck_assert_msg(train(run_dir, false, "") == OK, "%s", error_message());
    assert_same_model(run_dir, other);
    ck_assert_int_eq(toy.moves, toy.works_ahead ? 0 : 2);
    /* what was done since the checkpoint of step 16 is done again where half a step was lost */
    ck_assert_int_eq(toy.steps_taken, toy.works_ahead ? 40 + 2 * 3 : 40 + 2);
    char *text = read_text(run_dir, "memory.jsonl");
    ck_assert_ptr_nonnull(strstr(text, "\"level\": 2,"));
    ck_assert_int_eq(count_of(text, "no memory for a test"), toy.moves);
    free(text);
}
END_TEST

/* Below the last way there is nothing: the state is saved, and goes on where there is memory. */
START_TEST(memory_that_stays_away_ends_the_run)
{
    char other[128];
    snprintf(other, sizeof other, "%s/unbroken", folder);
    ck_assert_int_eq(train(other, false, ""), OK);
    toy.ways = 3;
    toy.memory_step = 18;
    toy.memory_times = 1000;
    toy.works_ahead = _i == 1;
    ck_assert_int_eq(train(run_dir, false, ""), ERR_DEVICE_MEMORY);
    ck_assert_int_eq(error_exit_status(ERR_DEVICE_MEMORY), 31);
    ck_assert_int_eq(newest_checkpoint(run_dir), toy.works_ahead ? 16 : 18);
    toy.memory_times = 0;
    ck_assert_int_eq(train(run_dir, true, ""), OK);
    assert_same_model(run_dir, other);
    if (toy.works_ahead) return; /* in the level it came to */
    char *text = read_text(run_dir, "memory.jsonl");
    ck_assert_ptr_nonnull(strstr(text, "\"step\": 18, \"level\": 2,"));
    ck_assert_ptr_nonnull(strstr(text, "resumed"));
    free(text);
}
END_TEST

/* The disk takes small files only: frames are left out, the run goes on, and later ones are tried.
 */
START_TEST(frames_stop_first_when_the_disk_is_full)
{
    char frames_dir[128];
    snprintf(frames_dir, sizeof frames_dir, "%s/frames", run_dir);
    ck_assert_int_eq(file_make_dirs(frames_dir), OK);
    struct frames *frames = NULL;
    ck_assert_int_eq(frames_open(&frames, frames_dir, 2, 95), OK);
    struct rlimit limit = {4096, RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 1; i <= 6; i++) {
        struct image picture = {0};
        int side = i < 3 ? 8 : 200;
        ck_assert_int_eq(image_create(&picture, side, side, 3, SAMPLE_U8), OK);
        for (int k = 0; k < side * side * 3; k++)
            ((uint8_t *)picture.data)[k] =
                (uint8_t)philox_draw(3, STREAM_TEST, 0, (uint64_t)k).v[0];
        ck_assert_int_eq(frames_add(frames, i, &picture, "{}"), OK);
        ck_assert_ptr_null(picture.data);
    }
    frames_drain(frames);
    ck_assert_int_eq(frames_written(frames), 2);
    ck_assert_int_eq(frames_missing(frames), 4);
    limit.rlim_cur = RLIM_INFINITY; /* there is room again: frames go on */
    setrlimit(RLIMIT_FSIZE, &limit);
    struct image late = {0};
    ck_assert_int_eq(image_create(&late, 200, 200, 3, SAMPLE_U8), OK);
    memset(late.data, 7, 200 * 200 * 3);
    ck_assert_int_eq(frames_add(frames, 7, &late, "{}"), OK);
    frames_sync(frames);
    ck_assert_int_eq(frames_written(frames), 3);
    ck_assert_int_eq(frames_missing(frames), 4);
    frames_close(frames);
    ck_assert(run_has(run_dir, "frames/000000007.json"));
    ck_assert(run_has(run_dir, "frames/000000002.json"));
    ck_assert(!run_has(run_dir, "frames/000000003.jpg"));
    ck_assert(!run_has(run_dir, "frames/000000003.json"));
    ck_assert_int_eq(frames_drop_after(frames_dir, 0), OK);
    ck_assert(!frames_any(frames_dir));
}
END_TEST

/* At most `queue` frames wait and one is being written: the training waits for the rest. */
START_TEST(the_frame_queue_is_bounded)
{
    enum { QUEUE = 2, SIDE = 700 };
    struct frames *frames = NULL;
    ck_assert_int_eq(frames_open(&frames, folder, QUEUE, 95), OK);
    for (int i = 1; i <= 8; i++) {
        struct image picture = {0};
        ck_assert_int_eq(image_create(&picture, SIDE, SIDE, 3, SAMPLE_U8), OK);
        ck_assert_int_eq(frames_add(frames, i, &picture, "{}"), OK);
        ck_assert_int_ge(frames_written(frames), i - QUEUE - 1);
    }
    frames_close(frames); /* writes what waits */
    ck_assert(run_has(folder, "000000008.json"));
}
END_TEST

/* Frames that would take the room of the next checkpoints are not written. */
START_TEST(frames_leave_room_for_checkpoints)
{
    struct frames *frames = NULL;
    ck_assert_int_eq(frames_open(&frames, folder, 2, 95), OK);
    frames_set_reserve(frames, file_disk_free(folder) + (1LL << 40));
    struct image picture = {0};
    ck_assert_int_eq(image_create(&picture, 8, 8, 3, SAMPLE_U8), OK);
    ck_assert_int_eq(frames_add(frames, 1, &picture, "{}"), OK);
    frames_drain(frames);
    ck_assert_int_eq(frames_written(frames), 0);
    ck_assert_int_eq(frames_missing(frames), 1);
    frames_close(frames);
}
END_TEST

/* A disk that is full for checkpoints too: exit 74, the last good checkpoint stays. */
START_TEST(a_failed_save_ends_the_run)
{
    ck_assert_int_eq(train(run_dir, false, "max_steps=8"), OK);
    struct rlimit limit = {300, RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int code = train(run_dir, true, "max_steps=40");
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    ck_assert_msg(code == ERR_IO, "%d: %s", code, error_message());
    ck_assert_int_eq(newest_checkpoint(run_dir), 8);
    ck_assert_int_eq(train(run_dir, true, "max_steps=40"), OK);
}
END_TEST

START_TEST(what_cannot_fit_is_refused)
{
    toy.declared_bytes = INT64_C(1) << 50;
    ck_assert_int_eq(train(run_dir, false, ""), ERR_DEVICE_MEMORY);
    ck_assert(!file_exists(run_dir));
    toy.declared_bytes = 1 << 20;
    ck_assert_int_eq(train(run_dir, false, "memory.limit=64KB"), ERR_DEVICE_MEMORY);
    ck_assert_ptr_nonnull(strstr(error_message(), "memory.limit"));
    ck_assert_int_eq(train(run_dir, false, "memory.limit=4MB"), OK);
}
END_TEST

START_TEST(frame_schedule)
{
    static const int totals[] = {1, 7, 100, 119, 120, 1000, 10000, 1000000};
    for (size_t t = 0; t < sizeof totals / sizeof totals[0]; t++) {
        int64_t total = totals[t];
        int frames = 0, last = 0, last_gap = 0;
        for (int64_t step = 1; step <= total; step++) {
            if (!frames_due(step, total, 0, 120)) continue;
            frames++;
            last_gap = (int)step - last;
            last = (int)step;
        }
        ck_assert_int_eq(last, (int)total);
        ck_assert_int_le(frames, 121);
        ck_assert_int_le(frames, (int)frames_expected(total, 0, 120));
        if (total >= 10000) ck_assert_int_ge(frames, 100);
        if (total <= 100) ck_assert_int_ge(frames, (int)total * 6 / 10);
        if (total == 10000) ck_assert_int_gt(last_gap, 100);
    }
    ck_assert(!frames_due(1, 10, 0, 0));
    ck_assert(!frames_due(10, 10, 0, 0));
    ck_assert(frames_due(20, 100, 10, 0) && !frames_due(21, 100, 10, 0));
}
END_TEST

START_TEST(the_line_of_rows)
{
    char line[128];
    progress_rows_line(line, sizeof line, 1200, 8000, 3);
    ck_assert_str_eq(line, "row 1200/8000 15% eta 17s");
    progress_rows_line(line, sizeof line, 0, 8000, 3);
    ck_assert_str_eq(line, "row 0/8000 0%");
    progress_rows_line(line, sizeof line, 8000, 8000, 3);
    ck_assert_str_eq(line, "row 8000/8000 100%");
}
END_TEST

START_TEST(the_progress_line)
{
    struct task_report report = {
        .metric_count = 3,
        .metrics = {{"psnr", "%.2f", 31.4159}, {"ssim", "%.3f", (double)NAN}, {"n", NULL, 5}},
        .loss = 0.0123,
    };
    struct record record = {1200, &report, 10, 412, INT64_C(429496730), NULL};
    char line[RECORD_BYTES];
    progress_line(line, sizeof line, &record, 10000, INT64_C(12240656794));
    ck_assert_str_eq(line, "step 1200/10000 12% loss 0.0123 psnr 31.42 it/s 412 mem 0.4/11.8G eta "
                           "21s");
}
END_TEST

START_TEST(records)
{
    struct task_report report = {.metric_count = 1, .metrics = {{"psnr", "%g", (double)INFINITY}}};
    report.loss = 0.1;
    struct record record = {3, &report, 1.5, (double)NAN, 7, NULL};
    char line[RECORD_BYTES];
    record_json(line, sizeof line, &record, "");
    ck_assert_str_eq(line, "{\"step\": 3, \"loss\": 0.1, \"psnr\": null, \"seconds\": 1.5, "
                           "\"steps_per_second\": null, \"bytes\": 7, \"nonfinite\": true}");
    record_csv(line, sizeof line, &record);
    ck_assert_str_eq(line, "3,0.1,,1.5,,7");
    char small[8];
    ck_assert_uint_lt(record_json(small, sizeof small, &record, ""), 8);
    record_json_string(line, sizeof line, "a\"b\\c\n");
    ck_assert_str_eq(line, "\"a\\\"b\\\\c\\u000a\"");
}
END_TEST

Suite *run_suite(void);
Suite *run_suite(void)
{
    Suite *suite = suite_create("run");
    TCase *tests = tcase_create("run");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_test(tests, a_whole_run_leaves_its_files);
    tcase_add_test(tests, an_existing_folder_is_refused);
    tcase_add_test(tests, an_unwritable_place_is_refused);
    tcase_add_test(tests, run_folders_count_up);
    tcase_add_test(tests, a_second_process_is_locked_out);
    tcase_add_loop_test(tests, a_transient_nan_is_rolled_back, 0, 2);
    tcase_add_loop_test(tests, a_lasting_nan_ends_the_run, 0, 2);
    tcase_add_test(tests, frames_stop_first_when_the_disk_is_full);
    tcase_add_test(tests, the_frame_queue_is_bounded);
    tcase_add_test(tests, frames_leave_room_for_checkpoints);
    tcase_add_loop_test(tests, memory_that_fails_is_survived, 0, 2);
    tcase_add_loop_test(tests, memory_that_stays_away_ends_the_run, 0, 2);
    tcase_add_test(tests, a_failed_save_ends_the_run);
    tcase_add_test(tests, what_cannot_fit_is_refused);
    tcase_add_test(tests, frame_schedule);
    tcase_add_test(tests, the_progress_line);
    tcase_add_test(tests, the_line_of_rows);
    tcase_add_test(tests, records);
    suite_add_tcase(suite, tests);
    return suite;
}
