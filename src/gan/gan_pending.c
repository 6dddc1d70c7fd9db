/* A step whose measurement was stopped (store/pending_report.h). */
#include "base/error.h"
#include "gan/gan_task.h"
#include "store/checkpoint.h"
#include "store/pending_report.h"
#include "store/store_bounds.h"

#include <inttypes.h>
#include <math.h>

static const char gap_key[] = "gan.report.gap"; /* unknown without held-out images */

enum { REPORT_NUMBERS = 10 };

/* Besides what the training's own state tells. */
static void list_numbers(struct task_state *s, struct pending_number numbers[REPORT_NUMBERS])
{
    const struct pending_number list[REPORT_NUMBERS] = {
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
    struct pending_number numbers[REPORT_NUMBERS];
    list_numbers(s, numbers);
    TRY(pending_report_store(writer, "gan", s->best.pending, numbers, REPORT_NUMBERS));
    if (s->gap_pending) return store_set_int(writer, "gan.pending_gap", 1);
    return isnan(s->gap) ? OK : store_set_double(writer, gap_key, s->gap);
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
    struct pending_number numbers[REPORT_NUMBERS];
    if (!store_get(file, "gan.pending")) return measure_owed(s, file);
    list_numbers(s, numbers);
    TRY(pending_report_load(file, "gan", s->steps_done, &s->best.pending, numbers, REPORT_NUMBERS));
    s->gap_pending = store_get(file, "gan.pending_gap") != NULL;
    if (s->gap_pending || !store_get(file, gap_key)) return OK;
    return store_get_double_in(file, gap_key, store_finite(), &s->gap);
}
