#include "cmd/fallback.h"

#include "base/error.h"
#include "base/log.h"
#include "device/device.h"
#include "memory/memory_retry.h"
#include "registry/devices.h"

#include <stdbool.h>
#include <string.h>

/* The CPU instead, once the error message says why. */
static int fallback_open_cpu(struct fallback *fallback)
{
    log_warning("%s: going on with the CPU", error_message());
    fallback->at_once = fallback->whole;
    return device_open(&fallback->device, "cpu", 0);
}

void fallback_close(struct fallback *fallback)
{
    if (fallback->device != fallback->lent) device_close(fallback->device);
    fallback->device = NULL;
}

int fallback_open(struct fallback *fallback, const char *device, uint64_t limit)
{
    fallback->at_once = fallback->whole;
    if (fallback->lent) {
        fallback->device = fallback->lent;
        return OK;
    }
    const struct device_use use = {.task = fallback->task, .spec = device, .limit = limit};
    int code = device_open_for(&fallback->device, &use);
    if (code == ERR_DEVICE_MEMORY) return fallback_open_cpu(fallback); /* no room to open it */
    return code;
}

static bool is_cpu(const struct device *device)
{
    return strncmp(device->name, "cpu", 3) == 0;
}

static int fallback_attempt(void *context)
{
    struct fallback *f = context;
    return f->attempt(f->context, f->device, f->at_once);
}

/* Less at a time, or the CPU, once the error message says why more failed. */
static int fallback_descend(void *context)
{
    struct fallback *f = context;
    if (f->relieve && f->relieve(f->context)) return OK;
    if (f->at_once > f->least) {
        f->at_once = (f->at_once / 2 + f->least - 1) / f->least * f->least;
        if (f->at_once < f->least) f->at_once = f->least;
        log_warning("%s: going on with %d %s at a time", error_message(), f->at_once, f->unit);
        return OK;
    }
    if (is_cpu(f->device)) return ERR_DEVICE_MEMORY;
    fallback_close(f);
    return fallback_open_cpu(f);
}

int fallback_call(struct fallback *fallback)
{
    return memory_retry(fallback_attempt, fallback, fallback_descend, fallback);
}

int fallback_run(struct fallback *fallback, const char *device, uint64_t limit)
{
    int code = fallback_open(fallback, device, limit);
    if (code == OK) code = fallback_call(fallback);
    fallback_close(fallback);
    return code;
}
