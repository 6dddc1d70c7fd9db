#include "device/faults.h"

#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "base/parse_number.h"
#include "base/random.h"
#include "device/device.h"

#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_CLAUSES = 64, CLAUSE_ROOM = 96 };

enum fault_kind {
    FAULT_ALLOC,
    FAULT_ALLOC_ON,
    FAULT_STEP,
    FAULT_KILL,
    FAULT_TERM,
    FAULT_NAN,
    FAULT_NAN_ON,
    FAULT_TAKE,
    FAULT_GIVE,
    FAULT_COTENANT
};

struct fault {
    enum fault_kind kind;
    int64_t at;     /* allocation, step or seed */
    uint64_t bytes; /* to be taken, at most */
    bool done;
};

struct faults {
    struct fault list[MOST_CLAUSES];
    int count;
    uint64_t taken; /* by the other process */
    int (*alloc)(struct device *device, size_t bytes, void **memory);
    int64_t (*free_bytes)(const struct device *device);
    void (*close)(struct device *device);
};

/* A second device of the process goes on counting: "the K-th" happens once. */
static int64_t allocations;

/* ---- reading ---- */

static bool read_step(struct fault *fault, char *value)
{
    char *what = strchr(value, ':');
    if (!what) return false;
    *what++ = '\0';
    if (!number_parse_int(value, &fault->at) || fault->at < 0) return false;
    fault->kind = strcmp(what, "give") == 0 ? FAULT_GIVE : FAULT_STEP;
    if (fault->kind == FAULT_GIVE || strcmp(what, "fail") == 0) return true;
    fault->kind = FAULT_KILL;
    if (strcmp(what, "kill") == 0) return true;
    fault->kind = FAULT_TERM;
    if (strcmp(what, "term") == 0) return true;
    fault->kind = strcmp(what, "nan") == 0 ? FAULT_NAN : FAULT_NAN_ON;
    if (fault->kind == FAULT_NAN || strcmp(what, "nan+") == 0) return true;
    fault->kind = FAULT_TAKE;
    return strncmp(what, "take=", 5) == 0 && number_parse_bytes(what + 5, &fault->bytes);
}

static bool read_alloc(struct fault *fault, char *value)
{
    size_t length = strlen(value);
    bool on = length > 0 && value[length - 1] == '+';
    if (on) value[length - 1] = '\0';
    fault->kind = on ? FAULT_ALLOC_ON : FAULT_ALLOC;
    return number_parse_int(value, &fault->at) && fault->at > 0;
}

static bool read_cotenant(struct fault *fault, char *value)
{
    char *bytes = strchr(value, ':');
    if (!bytes) return false;
    *bytes++ = '\0';
    fault->kind = FAULT_COTENANT;
    return number_parse_int(value, &fault->at) && number_parse_bytes(bytes, &fault->bytes);
}

static bool read_clause(struct fault *fault, char *clause)
{
    char *value = strchr(clause, '=');
    *fault = (struct fault){.done = false};
    if (!value) return false;
    *value++ = '\0';
    if (strcmp(clause, "alloc") == 0) return read_alloc(fault, value);
    if (strcmp(clause, "step") == 0) return read_step(fault, value);
    return strcmp(clause, "cotenant") == 0 && read_cotenant(fault, value);
}

static int faults_read_all(struct faults *faults, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, ",");
        char clause[CLAUSE_ROOM];
        snprintf(clause, sizeof clause, "%.*s", (int)length, text);
        if (faults->count == MOST_CLAUSES || length >= CLAUSE_ROOM ||
            !read_clause(&faults->list[faults->count], clause))
            return fail(ERR_CONFIG, "IMGTRAIN_FAULTS: '%.*s' is no fault", (int)length, text);
        faults->count++;
        text += length + (text[length] == ',');
    }
    return OK;
}

/* ---- the device with faults ---- */

static int64_t faulty_free_bytes(const struct device *device)
{
    int64_t bytes = device->faults->free_bytes(device), taken = (int64_t)device->faults->taken;
    if (bytes < 0) return bytes;
    return bytes > taken ? bytes - taken : 0;
}

static int faulty_alloc(struct device *device, size_t bytes, void **memory)
{
    struct faults *faults = device->faults;
    *memory = NULL;
    if (bytes == 0) return OK;
    int64_t number = ++allocations;
    for (int i = 0; i < faults->count; i++) {
        const struct fault *fault = &faults->list[i];
        if ((fault->kind == FAULT_ALLOC && number == fault->at) ||
            (fault->kind == FAULT_ALLOC_ON && number >= fault->at))
            return fail(ERR_DEVICE_MEMORY, "no %s of memory: allocation %lld fails for a test",
                        format_bytes((int64_t)bytes).text, (long long)number);
    }
    int64_t left = device->free_bytes(device);
    if (faults->taken > 0 && left >= 0 && bytes > (size_t)left)
        return fail(ERR_DEVICE_MEMORY, "no %s of memory: %s are free, another process has %s",
                    format_bytes((int64_t)bytes).text, format_bytes(left).text,
                    format_bytes((int64_t)faults->taken).text);
    return faults->alloc(device, bytes, memory);
}

/* Lets another process "have" so many bytes of the memory, at most those that are free. */
static void faults_take(struct device *device, uint64_t bytes)
{
    struct faults *faults = device->faults;
    int64_t left = faults->free_bytes(device);
    faults->taken = left >= 0 && bytes > (uint64_t)left ? (uint64_t)left : bytes;
    log_debug("another process has %s", format_bytes((int64_t)faults->taken).text);
}

static uint64_t cotenant_bytes(const struct fault *fault, int64_t step)
{
    struct philox4 draw = philox_draw((uint64_t)fault->at, STREAM_FAULTS, (uint64_t)step, 0);
    return (uint64_t)((double)philox_uniform(draw.v[0]) * (double)fault->bytes);
}

int device_begin_step(struct device *device, int64_t step)
{
    struct faults *faults = device->faults;
    for (int i = 0; faults && i < faults->count; i++) {
        struct fault *fault = &faults->list[i];
        if (fault->kind == FAULT_COTENANT) faults_take(device, cotenant_bytes(fault, step));
        if (fault->at != step || fault->done) continue;
        if (fault->kind == FAULT_KILL) raise(SIGKILL);
        if (fault->kind == FAULT_TERM) kill(getpid(), SIGTERM);
        if (fault->kind == FAULT_TAKE) faults_take(device, fault->bytes);
        if (fault->kind == FAULT_GIVE) faults->taken = 0;
        if (fault->kind != FAULT_STEP) continue;
        fault->done = true;
        return fail(ERR_DEVICE_MEMORY, "step %lld fails for a test", (long long)step);
    }
    return OK;
}

double device_loss_of_step(struct device *device, int64_t step, double loss)
{
    struct faults *faults = device->faults;
    for (int i = 0; faults && i < faults->count; i++) {
        struct fault *fault = &faults->list[i];
        if (fault->at != step || fault->done) continue;
        if (fault->kind != FAULT_NAN && fault->kind != FAULT_NAN_ON) continue;
        fault->done = fault->kind == FAULT_NAN;
        loss = (double)NAN;
    }
    return loss;
}

static void faulty_close(struct device *device)
{
    struct faults *faults = device->faults;
    device->faults = NULL;
    faults->close(device);
    free(faults);
}

int faults_install(struct device *device)
{
    const char *text = getenv("IMGTRAIN_FAULTS");
    if (!text || !*text) return OK;
    struct faults *faults = calloc(1, sizeof *faults);
    if (!faults) return fail(ERR_SYSTEM, "out of memory");
    device->faults = faults;
    faults->alloc = device->alloc;
    faults->free_bytes = device->free_bytes;
    faults->close = device->close;
    device->alloc = faulty_alloc;
    device->free_bytes = faulty_free_bytes;
    device->close = faulty_close;
    return faults_read_all(faults, text);
}
