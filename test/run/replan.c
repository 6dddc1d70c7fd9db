/* How long a run stands still when it goes on in another way or with another batch: real moves with
 * arenas given back and had anew, in processor time. */
#include "base/error.h"
#include "config/config.h"
#include "device/device.h"
#include "image/image.h"
#include "registry/devices.h"
#include "registry/tasks.h"
#include "run/run_memory.h"
#include "task/task.h"
#include "test/support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const double MOST_SECONDS = 0.5; /* ten times what it takes where all is slow */

struct moved {
    struct device *device;
    struct config *config;
    const struct task *task;
    struct task_state *state;
    struct ladder ladder;
};

static void start(struct moved *m, const char *text)
{
    *m = (struct moved){.task = NULL};
    MUST(config_load_text(&m->config, "test", text, strlen(text), 0, NULL));
    MUST(device_open(&m->device, "cpu", 1));
    m->device->offload_dir = folder;
    m->task = task_find(m->config->task == CONFIG_TASK_GAN ? "gan" : "splat");
    struct task_setup setup = {.config = m->config, .device = m->device, .spill_dir = folder};
    struct task_report report;
    MUST(m->task->open(&m->state, &setup));
    MUST(memory_list_modes(&m->ladder, m->task, m->state));
    MUST(m->task->step(m->state, 0, false, &report)); /* every page is there */
}

static void end(struct moved *m)
{
    m->task->close(m->state);
    device_close(m->device);
    config_free(m->config);
}

/* There and back: the longer of both moves, the least of some turns, as the machine may be busy. */
static void measure(struct moved *m, const char *name, const struct memory_mode *to)
{
    const struct memory_mode ways[2] = {*to, *m->task->mode(m->state)};
    double least = 1e9;
    for (int turn = 0; turn < 4; turn++) {
        double longer = 0;
        for (int i = 0; i < 2; i++) {
            double before = processor_seconds();
            MUST(m->task->replan(m->state, &ways[i]));
            double took = processor_seconds() - before;
            if (took > longer) longer = took;
        }
        if (longer < least) least = longer;
    }
    printf("%s: %.1f ms of processor time\n", name, 1e3 * least);
    /* a sanitizer watches every byte: there only that it works */
    ck_assert_msg(SANITIZED || least < MOST_SECONDS, "%s: %.1f ms", name, 1e3 * least);
}

static struct memory_mode last_mode(const struct moved *m)
{
    return m->ladder.modes[m->ladder.count - 1].mode;
}

START_TEST(a_gan_of_64_pixels)
{
    struct moved m;
    char text[512];
    draw_pictures("photos", 40, 64, 64);
    snprintf(text, sizeof text,
             "task: gan\ndata: %s\nsize: 64\nbatch: 16\nuse_amp: false\neval_samples: 0\n",
             in_folder("photos"));
    start(&m, text);
    struct memory_mode way = last_mode(&m), larger = *m.task->mode(m.state);
    measure(&m, "GAN of 64 px, batch 16, to the last level and back", &way);
    larger.work.batch = larger.micro_batch = 32;
    measure(&m, "GAN of 64 px, to a batch of 32 and back", &larger);
    end(&m);
}
END_TEST

START_TEST(a_fit_of_8k)
{
    struct moved m;
    char text[512];
    draw_picture("8k.ppm", 7680, 4320, 1);
    snprintf(text, sizeof text,
             "input_path: %s\nnum_gaussians: 30000\ninit_mode: random\nmax_steps: 10\n",
             in_folder("8k.ppm"));
    start(&m, text);
    struct memory_mode way = last_mode(&m), half = *m.task->mode(m.state);
    measure(&m, "fit of 7680x4320, to the last level and back", &way);
    half.work.size = 3840;
    double before = processor_seconds(); /* scaling the image is work, not moving */
    MUST(m.task->replan(m.state, &half));
    printf("fit of 7680x4320, to a size of 3840: %.0f ms of processor time\n",
           1e3 * (processor_seconds() - before));
    end(&m);
}
END_TEST

Suite *replan_suite(void);
Suite *replan_suite(void)
{
    Suite *suite = suite_create("replan");
    TCase *tests = tcase_create("replan");
    tcase_add_checked_fixture(tests, set_up, folder_remove);
    tcase_add_test(tests, a_gan_of_64_pixels);
    tcase_add_test(tests, a_fit_of_8k);
    suite_add_tcase(suite, tests);
    return suite;
}
