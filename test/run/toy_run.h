/* Runs of the toy task in a folder of their own. */
#ifndef IMGTRAIN_TEST_RUN_TOY_RUN_H
#define IMGTRAIN_TEST_RUN_TOY_RUN_H

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "device/device.h"
#include "registry/devices.h"
#include "run/frames.h"
#include "run/progress.h"
#include "run/signals.h"
#include "run/train.h"
#include "run/train_request.h"
#include "store/checkpoint.h"
#include "test/child.h"
#include "test/run/toy_task.h"
#include "test/support.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { MAX_OVERRIDES = 16 };

static char run_dir[96]; /* folder/run */

static inline void enter_folder(void)
{
    set_up();
    snprintf(run_dir, sizeof run_dir, "%s/run", folder);
    memset(&toy, 0, sizeof toy);
    int null = open("/dev/null", O_WRONLY); /* what runs print is not looked at here */
    dup2(null, STDOUT_FILENO);
    close(null);
    signal(SIGXFSZ, SIG_IGN); /* as in the program: tests fill disks */
    signals_reset();
}

/* One run; `settings`: "key=value key=value". */
static inline int train(const char *dir, bool resume, const char *settings)
{
    char text[1024], *overrides[MAX_OVERRIDES];
    int count = 0;
    snprintf(text, sizeof text,
             "video.enabled=false device=cpu max_steps=40 eval_steps=5 checkpoint.every=4 %s",
             settings);
    for (char *word = strtok(text, " "); word && count < MAX_OVERRIDES; word = strtok(NULL, " "))
        overrides[count++] = word;
    struct config *config = NULL;
    int code = config_load_text(&config, "test", "", 0, count, overrides);
    if (code < 0) return code;
    struct device *device = NULL;
    code = device_open(&device, config->device, (int)config->threads);
    struct train_request request = {
        .config = config,
        .task = &toy_task,
        .device = device,
        .run_dir = dir,
        .name = "toy",
        .resume = resume,
        .quiet = true,
        .json = true,
    };
    if (code == OK) code = train_run(&request);
    device_close(device);
    config_free(config);
    return code;
}

static inline char *in_run(const char *dir, const char *name)
{
    char *path = path_join(dir, name);
    ck_assert_ptr_nonnull(path);
    return path;
}

static inline bool run_has(const char *dir, const char *name)
{
    char *path = in_run(dir, name);
    bool there = file_exists(path);
    free(path);
    return there;
}

/* The numbers of a run's model. */
static inline void read_model(const char *dir, float x[TOY_SIZE])
{
    char *path = in_run(dir, "model.safetensors");
    struct store_file *file = NULL;
    ck_assert_msg(store_open(&file, path) == OK, "%s", error_message());
    ck_assert_int_eq(store_read_f32(file, "x", 1, (int64_t[]){TOY_SIZE}, x), OK);
    store_close(file);
    free(path);
}

static inline void assert_same_model(const char *a, const char *b)
{
    float x[TOY_SIZE], y[TOY_SIZE];
    read_model(a, x);
    read_model(b, y);
    ck_assert_mem_eq(x, y, sizeof x);
}

/* noinline: gcc 12 warns of a dangling pointer where it inlines this. */
static __attribute__((noinline, unused)) char *read_text(const char *dir, const char *name)
{
    char *path = in_run(dir, name);
    uint8_t *data = NULL;
    size_t bytes;
    ck_assert_msg(file_read(path, 1 << 24, &data, &bytes) == OK, "%s", error_message());
    free(path);
    return (char *)data;
}

static inline int count_of(const char *text, const char *what)
{
    int count = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        count++;
    return count;
}

static inline int newest_checkpoint(const char *dir)
{
    int64_t *steps = NULL;
    int count = 0;
    ck_assert_int_eq(checkpoint_list(dir, &steps, &count), OK);
    int newest = count ? (int)steps[0] : -1;
    free(steps);
    return newest;
}

/* A run in a process of its own. Tests that stop it fork before they have threads: after a fork
 * beside threads, ThreadSanitizer hands no signal on. */
static inline struct child spawn(const char *dir, bool resume, const char *settings)
{
    struct child child = child_fork();
    if (child.pid == 0) {
        signals_install();
        int code = train(dir, resume, settings);
        if (code < 0) log_error("%s", error_message());
        _exit(error_exit_status(code));
    }
    return child;
}

/* Until it has made `name` in the folder of the run. */
static inline void wait_for(struct child child, const char *dir, const char *name)
{
    char *path = in_run(dir, name);
    child_wait_for_file(child, path);
    free(path);
}

#endif
