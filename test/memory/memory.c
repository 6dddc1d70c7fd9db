/* Memory of all tasks: what is predicted is what is taken, in every way to run and after moving
 * from one to another; and no way changes a bit of the result. */
#include "base/error.h"
#include "base/random.h"
#include "config/config.h"
#include "device/device.h"
#include "image/image.h"
#include "memory/ladder.h"
#include "memory/mode.h"
#include "registry/devices.h"
#include "registry/tasks.h"
#include "run/run_memory.h"
#include "store/safetensors.h"
#include "task/task.h"
#include "test/support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A task opened in one row of its ladder. */
struct trial {
    struct device *device;
    struct config *config;
    const struct task *task;
    struct task_state *state;
    struct ladder ladder;
    int row; /* wanted: modulo the number of rows; afterwards the row */
};

static uint32_t draw(uint32_t trial, uint32_t index, uint32_t below)
{
    return philox_draw(5, STREAM_TEST, trial, index).v[0] % below;
}

static int choose(void *context, const struct task_state *state, struct memory_mode *mode)
{
    struct trial *t = context;
    TRY(memory_list_modes(&t->ladder, t->task, state));
    t->row %= t->ladder.count;
    *mode = t->ladder.modes[t->row].mode;
    return OK;
}

static void start(struct trial *t, const char *text, int row)
{
    *t = (struct trial){.row = row};
    MUST(config_load_text(&t->config, "test", text, strlen(text), 0, NULL));
    MUST(device_open(&t->device, "cpu", 1));
    static const char *const tasks[] = {
        [CONFIG_TASK_SPLAT] = "splat", [CONFIG_TASK_GAN] = "gan", [CONFIG_TASK_SR] = "sr"};
    t->task = task_find(tasks[t->config->task]);
    struct task_setup setup = {
        .config = t->config, .device = t->device, .choose = choose, .choose_context = t};
    MUST(t->task->open(&t->state, &setup));
}

static void end(struct trial *t)
{
    t->task->close(t->state);
    ck_assert_uint_eq(t->device->used_bytes, 0);
    ck_assert_uint_eq(t->device->host_bytes, 0);
    device_close(t->device);
    config_free(t->config);
}

static double step(struct trial *t, int number)
{
    struct task_report report = {.loss = 0};
    MUST(t->task->step(t->state, number, true, &report));
    return report.loss;
}

static void move(struct trial *t, int row)
{
    MUST(t->task->replan(t->state, &t->ladder.modes[row].mode));
    t->row = row;
}

/* ---- predicted = measured ---- */

static const char *gan_text(uint32_t trial)
{
    static char text[1024];
    static const int sides[] = {8, 12, 16, 20, 24, 32};
    snprintf(text, sizeof text,
             "task: gan\ndata: %s\nlabels: %s\nimages: 1000\nbatch: %u\nsamples: %u\n"
             "eval_samples: %u\n"
             "gan: {width: %d, height: %d, widths: [16], blocks: [%u]}\nuse_amp: false\n",
             in_folder("photos"), draw(trial, 1, 3) ? "false" : "true", 1 + draw(trial, 2, 24),
             1 + draw(trial, 3, 9), draw(trial, 7, 8) ? 0 : 4, sides[draw(trial, 4, 6)],
             sides[draw(trial, 5, 6)], 1 + draw(trial, 6, 2));
    return text;
}

static const char *splat_text(uint32_t trial)
{
    static char text[1024];
    int width = 12 + (int)draw(trial, 1, 150), height = 12 + (int)draw(trial, 2, 150);
    draw_picture("picture.png", width, height, (int)trial + 1);
    snprintf(text, sizeof text,
             "input_path: %s\nmax_steps: 8\nadd_times: 1\nnum_gaussians: %u\ntopk: %u\n"
             "quantize: %s\ndownsample: %s\ndisable_topk_norm: %s\ndisable_prog_optim: %s\n",
             in_folder("picture.png"), 2 + draw(trial, 3, 1500), draw(trial, 4, 12),
             draw(trial, 5, 4) ? "false" : "true", draw(trial, 6, 4) ? "false" : "true",
             draw(trial, 7, 4) ? "false" : "true", draw(trial, 8, 4) ? "false" : "true");
    return text;
}

/* Sides of its images are multiples of 8. */
static bool sr_has_discriminator(uint32_t trial)
{
    return draw(trial, 8, 3) == 0;
}

static const char *sr_text(uint32_t trial)
{
    static char text[1024];
    static const char gan[] = "discriminator: unet, num_feat_d: 16, gan_weight: 0.1";
    bool has = sr_has_discriminator(trial);
    snprintf(text, sizeof text,
             "task: sr\ndataroot_gt: %s\nval_every: 1\neval_steps: 1\nmax_steps: 8\n"
             "sr: {network: %s, data_mode: %s, scale: %u, num_feat: %u, num_conv: %u, lq_size: %u, "
             "batch: %u, "
             "l1_weight: %u, feature_weight: %u, %s}\n",
             in_folder("large"), draw(trial, 10, 3) ? "compact" : "span",
             draw(trial, 7, 3) ? "bicubic" : "otf", 1 + draw(trial, 1, 4), 1 + draw(trial, 2, 40),
             1 + draw(trial, 3, 6), has ? 8 : 2 + 2 * draw(trial, 4, 8), 1 + draw(trial, 5, 9),
             draw(trial, 6, 2), has ? draw(trial, 9, 2) : 0, has ? gan : "discriminator: none");
    return text;
}

static void same_bytes(const struct trial *t, const struct memory_need *most)
{
    const struct memory_need *need = &t->ladder.modes[t->row].need;
    ck_assert_uint_eq(t->device->used_bytes, need->device_bytes);
    ck_assert_uint_eq(t->device->host_bytes, need->host_bytes);
    ck_assert_uint_eq(t->device->peak_bytes, most->device_bytes);
    ck_assert_uint_eq(t->device->host_peak_bytes, most->host_bytes);
}

/* Other patches and another number of them, in a mode that has them all at a time. */
static void check_other_work(struct trial *t, uint32_t trial, struct memory_need *most)
{
    struct memory_need *need = &t->ladder.modes[t->row].need;
    struct memory_mode mode = t->ladder.modes[0].mode;
    bool has = sr_has_discriminator(trial);
    mode.work.size = has ? 16 : 2 + 2 * (int)draw(trial, 30, 8);
    mode.work.batch = mode.micro_batch = 1 + (int)draw(trial, 31, 9);
    MUST(t->task->need(t->state, &mode, need));
    MUST(t->task->replan(t->state, &mode));
    if (need->device_bytes > most->device_bytes) most->device_bytes = need->device_bytes;
    if (need->host_bytes > most->host_bytes) most->host_bytes = need->host_bytes;
    step(t, 5);
    same_bytes(t, most);
}

static void check_case(uint32_t trial)
{
    const char *(*const texts[])(uint32_t) = {splat_text, gan_text, sr_text};
    struct trial t;
    struct image picture = {0};
    start(&t, texts[trial % 3](trial), (int)draw(trial, 20, 1000));
    struct memory_need most = t.ladder.modes[t.row].need;
    for (int number = 0; number < 4; number++) /* a splat grows before its third step */
        step(&t, number);
    MUST(t.task->image(t.state, 64, &picture));
    image_free(&picture);
    same_bytes(&t, &most);
    move(&t, (int)draw(trial, 21, (uint32_t)t.ladder.count));
    const struct memory_need *next = &t.ladder.modes[t.row].need;
    if (next->device_bytes > most.device_bytes) most.device_bytes = next->device_bytes;
    if (next->host_bytes > most.host_bytes) most.host_bytes = next->host_bytes;
    step(&t, 4);
    same_bytes(&t, &most);
    if (trial % 3 == 2) check_other_work(&t, trial, &most);
    end(&t);
}

START_TEST(predicted_is_measured)
{
    const char *wanted = getenv("IMGTRAIN_MEMORY_CASES");
    int cases = wanted ? atoi(wanted) : getenv("SKIP_SLOW") ? 60 : 200;
    draw_pictures("photos/a", 3, 12, 10);
    draw_pictures("photos/b", 3, 12, 10);
    draw_pictures("large", 3, 64, 64);
    for (int i = 0; i < cases; i++)
        check_case((uint32_t)i);
}
END_TEST

/* ---- no way changes a bit ---- */

enum { STEPS = 5 };

static const char *const same_configs[] = {
    "gan: {width: 20, height: 16, widths: [16], samples: 4}\nbatch: 20\nuse_amp: false\n",
    "gan: {width: 24, height: 16, widths: [16], samples: 2, batch: 24}\ndeterministic: true\n",
    "num_gaussians: 300\nmax_steps: 10\nadd_times: 2\n",
    "num_gaussians: 200\nmax_steps: 10\nquantize: true\ndownsample: true\n",
    "sr: {num_feat: 16, num_conv: 4, lq_size: 10, batch: 7, max_steps: 10, val_every: 1}\n",
    "sr: {scale: 3, num_feat: 24, num_conv: 2, lq_size: 8, batch: 4, max_steps: 10}\n",
    "sr: {num_feat: 16, num_conv: 1, lq_size: 8, batch: 3, max_steps: 10, discriminator: unet, "
    "num_feat_d: 16, gan_weight: 0.1, feature_weight: 1, data_mode: otf}\n",
    "sr: {network: span, num_feat: 16, lq_size: 8, batch: 3, max_steps: 10, l1_weight: 1}\n",
    "sr: {network: esrgan, num_feat: 8, num_block: 1, num_grow_ch: 8, lq_size: 8, batch: 3, "
    "max_steps: 10}\n",
};
enum { FIRST_SPLAT = 2, FIRST_SR = 4 };

/* The config of number `index`, whose input is drawn. */
static void same_text(char *text, size_t room, int index)
{
    const char *input = "task: gan\nimages: 1000\ndata", *name = "photos";
    if (index >= FIRST_SPLAT) input = "input_path", name = "picture.png";
    if (index >= FIRST_SR) input = "task: sr\neval_steps: 1\ndataroot_gt", name = "large";
    draw_pictures("photos/a", 3, 12, 10);
    draw_pictures("photos/b", 3, 12, 10);
    draw_pictures("large", 3, 64, 64);
    draw_picture("picture.png", 60, 44, 9);
    snprintf(text, room, "%s: %s\n%s", input, in_folder(name), same_configs[index]);
}

/* The next row that gives the same result, from `row` on round the ladder. */
static int same_result(const struct trial *t, int row)
{
    const struct ladder *l = &t->ladder;
    row %= l->count;
    while (l->modes[row].mode.amp != l->modes[0].mode.amp)
        row = (row + 1) % l->count;
    return row;
}

static void result(const struct trial *t, struct image *picture)
{
    MUST(t->task->image(t->state, 0, picture));
}

static void same_picture(const struct image *a, const struct image *b)
{
    ck_assert_uint_eq(image_bytes(a), image_bytes(b));
    ck_assert(memcmp(a->data, b->data, image_bytes(a)) == 0);
}

START_TEST(same_losses_in_every_way)
{
    char text[1024];
    struct trial t;
    struct image wanted, got;
    double losses[STEPS];
    same_text(text, sizeof text, _i);
    start(&t, text, 0);
    for (int k = 0; k < STEPS; k++)
        losses[k] = step(&t, k);
    result(&t, &wanted);
    int rows = t.ladder.count;
    end(&t);
    ck_assert_int_ge(rows, 2);
    for (int row = 0; row <= rows; row++) { /* the last time a move before every step */
        start(&t, text, row % rows);
        if (same_result(&t, row) != row % rows) {
            end(&t);
            continue;
        }
        for (int k = 0; k < STEPS; k++) {
            if (row == rows) move(&t, same_result(&t, k * 5 + 1));
            double loss = step(&t, k);
            ck_assert_msg(memcmp(&loss, &losses[k], sizeof loss) == 0,
                          "row %d of %d, step %d: %.17g, not %.17g", row, rows, k, loss, losses[k]);
        }
        result(&t, &got);
        same_picture(&got, &wanted);
        image_free(&got);
        end(&t);
    }
    image_free(&wanted);
}
END_TEST

/* ---- a move that fails ---- */

/* A file of the state as it is now, which may be on the host. */
static void save(const struct trial *t, const char *name)
{
    struct store_writer *writer = store_writer_create();
    MUST(t->task->save(t->state, writer));
    MUST(store_write(writer, in_folder(name), true));
    store_writer_free(writer);
}

/* A device that breaks at its first copy to it, or the second, ... */
static int uploads_left;

static int failing_upload(struct device *device, void *to, const void *from, size_t bytes)
{
    (void)device;
    if (uploads_left-- == 0) return fail(ERR_DEVICE, "the copy fails for a test");
    memcpy(to, from, bytes);
    return OK;
}

static void fail_uploads(struct trial *t)
{
    int (*upload)(struct device *, void *, const void *, size_t) = t->device->upload;
    int code = ERR_DEVICE;
    for (int k = 0; code != OK; k++) {
        uploads_left = k;
        t->device->upload = failing_upload;
        code = t->task->replan(t->state, &t->ladder.modes[0].mode);
        t->device->upload = upload;
        if (code == OK) break;
        ck_assert_int_eq(code, ERR_DEVICE);
        save(t, "parked");
        same_files("parked", "before");
    }
}

START_TEST(failed_move_keeps_the_state)
{
    char text[1024];
    struct trial t;
    struct image wanted, got;
    same_text(text, sizeof text, _i);
    start(&t, text, 0);
    for (int k = 0; k < STEPS; k++)
        step(&t, k);
    result(&t, &wanted);
    end(&t);
    start(&t, text, 0);
    int last = t.ladder.count - 1;
    while (same_result(&t, last) != last)
        last--;
    for (int k = 0; k < STEPS; k++) {
        move(&t, last);
        save(&t, "before");
        t.device->limit_bytes = 1; /* what is there stays, and nothing more is to be had */
        for (int again = 0; again < 2; again++)
            ck_assert_int_eq(t.task->replan(t.state, &t.ladder.modes[0].mode), ERR_DEVICE_MEMORY);
        ck_assert_uint_lt(t.device->used_bytes, t.ladder.modes[0].need.device_bytes);
        save(&t, "parked");
        same_files("parked", "before");
        if (_i < FIRST_SPLAT ||
            _i >= FIRST_SR) { /* a smaller batch that is not to be had: back to the larger one */
            struct memory_mode less = t.ladder.modes[0].mode;
            less.work.batch = 1;
            ck_assert_int_eq(t.task->replan(t.state, &less), ERR_DEVICE_MEMORY);
        }
        t.device->limit_bytes = 0;
        fail_uploads(&t);
        move(&t, k % 2 ? 0 : last);
        step(&t, k);
    }
    result(&t, &got);
    same_picture(&got, &wanted);
    image_free(&got);
    image_free(&wanted);
    end(&t);
}
END_TEST

/* ---- planning is quick ---- */

START_TEST(planning_takes_milliseconds)
{
    struct trial t = {.row = 0};
    static const char text[] = "task: gan\ngan: {size: 256, batch: 256}\n";
    MUST(config_load_text(&t.config, "test", text, strlen(text), 0, NULL));
    MUST(device_open(&t.device, "cpu", 1));
    t.task = task_find("gan");
    struct task_setup setup = {.config = t.config,
                               .device = t.device,
                               .forecast_only = true,
                               .without_input = true,
                               .choose = choose,
                               .choose_context = &t};
    MUST(t.task->open(&t.state, &setup));
    double best = 1e9;
    int least;
    for (int i = 0; i < 5; i++) {
        clock_t begin = clock(); /* CPU time: tests share the machine */
        MUST(memory_list_modes(&t.ladder, t.task, t.state));
        ladder_judge(&t.ladder, (int64_t)8 << 30);
        ladder_pick(&t.ladder, &least);
        double taken = (double)(clock() - begin) / CLOCKS_PER_SEC;
        if (taken < best) best = taken;
    }
    printf("memory: planning %d ways of a GAN of 256x256 takes %.1f ms\n", t.ladder.count,
           best * 1e3);
    ck_assert(!(best > 0.5)); /* ten times what it takes where all is slow */
    end(&t);
}
END_TEST

Suite *memory_suite(void);
Suite *memory_suite(void)
{
    Suite *suite = suite_create("memory");
    TCase *tasks = tcase_create("tasks");
    int count = (int)(sizeof same_configs / sizeof *same_configs);
    tcase_add_checked_fixture(tasks, set_up, folder_remove);
    tcase_add_test(tasks, predicted_is_measured);
    tcase_add_loop_test(tasks, same_losses_in_every_way, 0, count);
    tcase_add_loop_test(tasks, failed_move_keeps_the_state, 0, count);
    tcase_add_test(tasks, planning_takes_milliseconds);
    suite_add_tcase(suite, tasks);
    return suite;
}
