#include "store/pending_report.h"

#include "base/error.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <inttypes.h>
#include <stdio.h>

struct pending_key {
    char text[64];
};

static struct pending_key pending_key_of(const char *task, const struct pending_number *number)
{
    struct pending_key key;
    if (number)
        snprintf(key.text, sizeof key.text, "%s.report.%s", task, number->name);
    else
        snprintf(key.text, sizeof key.text, "%s.pending", task);
    return key;
}

int pending_report_store(struct store_writer *writer, const char *task, int64_t steps_done,
                         const struct pending_number *numbers, int count)
{
    TRY(store_set_int(writer, pending_key_of(task, NULL).text, steps_done));
    for (int i = 0; i < count; i++)
        TRY(store_set_double(writer, pending_key_of(task, &numbers[i]).text, *numbers[i].value));
    return OK;
}

int pending_report_load(const struct store_file *file, const char *task, int64_t steps_done,
                        int64_t *pending, const struct pending_number *numbers, int count)
{
    const struct pending_key key = pending_key_of(task, NULL);
    if (!store_get(file, key.text)) return OK;
    TRY(store_get_int_in(file, key.text, 1, CHECKPOINT_MOST_STEPS, pending));
    if (*pending != steps_done)
        return fail(ERR_DATA, "%s: %s is %" PRId64 ", but the step %" PRId64, store_path(file),
                    key.text, *pending, steps_done);
    for (int i = 0; i < count; i++)
        TRY(store_get_double_in(file, pending_key_of(task, &numbers[i]).text, store_finite(),
                                numbers[i].value));
    return OK;
}
