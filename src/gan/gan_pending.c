/* A step whose measurement was stopped: its report is written after the measurement, which may be
 * made by another process. So the checkpoint holds what else the report says. */
#include "base/error.h"
#include "gan/gan_task.h"
#include "store/checkpoint.h"
#include "store/store_bounds.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const char number_format[] = "gan.report.%s";

struct report_number {
    const char *name;
    double *value;
};

enum { REPORT_NUMBERS = 10 };

/* Besides what the training's own state tells. */
static void list_numbers(struct task_state *s, struct report_number numbers[REPORT_NUMBERS])
{
    const struct report_number list[REPORT_NUMBERS] = {
        {"loss_d", &s->d.loss},
        {"loss_g", &s->g.loss},
        {"r1", &s->d.r1},
        {"r2", &s->d.r2},
        {"score_real", &s->d.score_real},
        {"score_fake", &s->d.score_fake},
        {"units", &s->d.units},
        {"gamma", &s->now.gamma},
        {"lr", &s->now.lr},
        {"augment", &s->now.augment},
    };
    for (int i = 0; i < REPORT_NUMBERS; i++)
        numbers[i] = list[i];
}

int gan_pending_store(struct task_state *s, struct store_writer *writer)
{
    struct report_number numbers[REPORT_NUMBERS];
    char key[48];
    list_numbers(s, numbers);
    TRY(store_set_int(writer, "gan.pending", s->best.pending));
    for (int i = 0; i < REPORT_NUMBERS; i++) {
        snprintf(key, sizeof key, number_format, numbers[i].name);
        TRY(store_set_double(writer, key, *numbers[i].value));
    }
    if (s->gap_pending) return store_set_int(writer, "gan.pending_gap", 1);
    snprintf(key, sizeof key, number_format, "gap"); /* unknown without held-out images */
    return isnan(s->gap) ? OK : store_set_double(writer, key, s->gap);
}

/* Files of before 2026-11-28 have the line of metrics already, without the measurement: it is made
 * for the best model's sake. */
static int measure_owed(struct task_state *s, const struct store_file *file)
{
    int64_t pending = 0;
    if (store_get(file, "gan.owed"))
        TRY(store_get_int_in(file, "gan.owed", 0, CHECKPOINT_MOST_STEPS, &pending));
    if (pending == 0) return OK;
    if (pending != s->steps_done)
        return fail(ERR_DATA, "%s: gan.owed is %" PRId64 ", but the step %" PRId64,
                    store_path(file), pending, s->steps_done);
    TRY(gan_measure(s, pending));
    return s->best.pending ? fail(ERR_STOPPED, "stopped while measuring") : OK;
}

int gan_pending_load(struct task_state *s, const struct store_file *file)
{
    struct report_number numbers[REPORT_NUMBERS];
    char key[48];
    if (!store_get(file, "gan.pending")) return measure_owed(s, file);
    TRY(store_get_int_in(file, "gan.pending", 1, CHECKPOINT_MOST_STEPS, &s->best.pending));
    if (s->best.pending != s->steps_done)
        return fail(ERR_DATA, "%s: gan.pending is %" PRId64 ", but the step %" PRId64,
                    store_path(file), s->best.pending, s->steps_done);
    list_numbers(s, numbers);
    for (int i = 0; i < REPORT_NUMBERS; i++) {
        snprintf(key, sizeof key, number_format, numbers[i].name);
        TRY(store_get_double_in(file, key, store_finite(), numbers[i].value));
    }
    s->gap_pending = store_get(file, "gan.pending_gap") != NULL;
    if (s->gap_pending) return OK;
    snprintf(key, sizeof key, number_format, "gap");
    return store_get(file, key) ? store_get_double_in(file, key, store_finite(), &s->gap) : OK;
}
