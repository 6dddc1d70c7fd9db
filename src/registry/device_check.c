#include "registry/device_check.h"

#include "base/error.h"
#include "base/log.h"
#include "base/version.h"
#include "check/self_check.h"
#include "device/conv_library.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "registry/build_id.h"
#include "registry/check_cache.h"
#include "registry/tasks.h"
#include "task/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check_key {
    char text[1024];
};

/* what: tables of operations, or a library's name and version */
static struct check_key key_of(const struct device *device, const char *what, bool half)
{
    struct check_key key;
    char id[128];
    snprintf(key.text, sizeof key.text, "imgtrain %s %s; %s; %s%s", IMGTRAIN_VERSION,
             build_id(id, sizeof id), device->identity, what, half ? "; bf16" : "");
    return key;
}

/* "cuda:0: NVIDIA H200 fails its self-check: ..." */
static int fail_check(const struct device *device, const char *why)
{
    return fail(ERR_DEVICE, "%.*s fails its self-check: %s", (int)strcspn(device->name, ","),
                device->name, why);
}

/* Known by what was kept, also by the check with bf16, which is more. */
static bool is_known(const struct device *device, const char *what, bool half, bool *passed,
                     char *why, size_t room)
{
    struct check_key key = key_of(device, what, true);
    if (check_cache_read(key.text, passed, why, room) && (half || *passed)) return true;
    if (half) return false;
    key = key_of(device, what, false);
    return check_cache_read(key.text, passed, why, room);
}

/* Keeps what was found; a check that had not the memory it takes has found nothing. */
static int keep_result(const struct device *device, const char *what, bool half, int code)
{
    struct check_key key = key_of(device, what, half);
    char why[512]; /* where it cannot be written, that is not what the user is told */
    snprintf(why, sizeof why, "%s", error_message());
    if (code == OK) check_cache_write(key.text, true, "");
    if (code == ERR_DEVICE) check_cache_write(key.text, false, why);
    if (code == OK) return OK;
    if (code == ERR_DEVICE) return fail(code, "%s", why);
    log_debug("device: not all operations are checked: %s", error_message());
    return OK;
}

static bool wanted_half; /* of the device that is open */

static int device_check_library(struct device *device)
{
    const struct self_check check = {.half = wanted_half};
    const struct conv_library *library = device->nn->conv_library;
    char name[64], why[512];
    bool passed, used;
    library->describe(name, sizeof name);
    if (is_known(device, name, check.half, &passed, why, sizeof why))
        return passed ? OK : fail(ERR_DEVICE, "%s", why);
    TRY(library->open(device, CONV_ALWAYS, false, &used));
    return keep_result(device, name, check.half, self_check_library(&check, device));
}

/* So that a start takes 2 s longer at most, with the truth on the host beside it. */
static const double CHECK_SECONDS = 1.5;

static bool is_asked(const char *value)
{
    const char *text = getenv("IMGTRAIN_SELF_CHECK");
    return text && strcmp(text, value) == 0;
}

int device_check(struct device *device, const struct task *task, bool half)
{
    char why[512];
    bool passed;
    if (!device->identity[0] || !task || !task->operations || is_asked("0")) return OK;
    const struct self_check check = {
        .tables = task->operations, .half = half, .seconds = is_asked("all") ? 0 : CHECK_SECONDS};
    wanted_half = check.half;
    device->check_library = device_check_library;
    if (is_known(device, check.tables, check.half, &passed, why, sizeof why))
        return passed ? OK : fail_check(device, why);
    log_debug("device: %s: checking its operations", device->name);
    int code = keep_result(device, check.tables, check.half, self_check_run(&check, device));
    if (code == OK) return OK;
    snprintf(why, sizeof why, "%s", error_message());
    return fail_check(device, why);
}

/* ---- all of it, anew ---- */

enum { TABLES = 4 };
static const char *const table_names[TABLES] = {"nn", "gan", "token", "splat"};

/* What was found of each table, and how the caller wants to hear of it. */
struct table_results {
    const struct self_check *check;
    int codes[TABLES];
    char why[TABLES][512];
};

static void note_row(void *context, const struct self_check_row *row)
{
    struct table_results *results = context;
    for (int t = 0; t < TABLES; t++) {
        if (strcmp(row->kind->table, table_names[t]) != 0) continue;
        if (row->code == OK || results->codes[t] == ERR_DEVICE) continue;
        results->codes[t] = row->code;
        snprintf(results->why[t], sizeof results->why[t], "%s", row->why);
    }
    if (results->check->row) results->check->row(results->check->context, row);
}

/* A lost device: what was not reached has neither passed nor failed. */
static void keep_task(const struct device *device, const struct task *task, bool half, bool lost,
                      const struct table_results *results)
{
    int code = OK;
    for (int t = 0; t < TABLES && code == OK; t++) {
        if (!self_check_has_table(task->operations, table_names[t]) || results->codes[t] == OK)
            continue;
        code = fail(results->codes[t], "%s", results->why[t]);
    }
    if (code == OK && lost) return;
    keep_result(device, task->operations, half, code);
}

int device_check_all(struct device *device, const struct self_check *check)
{
    struct table_results results = {.check = check};
    const struct self_check all = {
        .half = check->half, .whole = check->whole, .row = note_row, .context = &results};
    int code = self_check_run(&all, device);
    char why[512];
    snprintf(why, sizeof why, "%s", error_message());
    bool lost = code != OK && device->synchronize(device) < 0;
    for (int i = 0; task_at(i) && device->identity[0]; i++) {
        const struct task *task = task_at(i);
        if (!task->operations) continue;
        keep_task(device, task, check->half, lost, &results);
        /* Without bf16 there is less to fail, so its result holds there too. */
        if (check->half) keep_task(device, task, false, lost, &results);
    }
    return code == OK ? OK : fail(code, "%s", why);
}

int device_check_library_all(struct device *device, const struct self_check *check)
{
    char name[64];
    device->nn->conv_library->describe(name, sizeof name);
    int code = self_check_library(check, device);
    return device->identity[0] ? keep_result(device, name, check->half, code) : code;
}
