#include "gan/best_model.h"

#include "base/error.h"
#include "gan/gan_checkpoint.h"
#include "memory/plan.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <math.h>

enum { MEASUREMENTS = 20 };

int64_t tracking_every(int64_t every, int64_t line_steps, int64_t total)
{
    if (every <= 0) every = total / MEASUREMENTS;
    return every <= line_steps ? line_steps : (every + line_steps - 1) / line_steps * line_steps;
}

void tracking_forget(struct gan_tracking *tracking)
{
    double unknown = (double)NAN;
    tracking->metrics = (struct gan_metrics){unknown, unknown, unknown, unknown,
                                             unknown, unknown, unknown, unknown};
}

int tracking_declare(struct gan_tracking *tracking, size_t floats, struct plan *plan)
{
    *tracking = (struct gan_tracking){.rkid = (double)NAN, .best_rkid = (double)NAN};
    tracking_forget(tracking);
    return plan_declare(plan, "best", PLAN_HOST, floats * sizeof(float), PLAN_ALWAYS,
                        (void **)&tracking->best);
}

int tracking_measure(struct gan_tracking *tracking, const struct dataset *set,
                     const struct evaluate_options *options, gan_draw *draw, void *context,
                     int64_t steps_done)
{
    int count;
    int code = gan_evaluate(&tracking->metrics, &count, set, options, draw, context);
    tracking->pending = code == ERR_STOPPED ? steps_done : 0;
    if (code < 0) tracking_forget(tracking);
    if (code == ERR_STOPPED) return OK;
    TRY(code);
    tracking->rkid = tracking->metrics.rkid;
    if (isnan(tracking->rkid) || tracking->rkid >= tracking->best_rkid) return OK;
    tracking->best_rkid = tracking->rkid;
    tracking->best_step = steps_done;
    return OK;
}

bool tracking_is_best(const struct gan_tracking *tracking, int64_t steps_done)
{
    return tracking->best_step > 0 && tracking->best_step == steps_done;
}

int tracking_store(const struct gan_tracking *tracking, const struct net *generator,
                   struct store_writer *writer)
{
    if (!isnan(tracking->rkid)) TRY(store_set_double(writer, "gan.rkid", tracking->rkid));
    if (tracking->best_step == 0) return OK;
    TRY(store_set_int(writer, "gan.best_step", tracking->best_step));
    TRY(store_set_double(writer, "gan.best_rkid", tracking->best_rkid));
    return gan_store_range(writer, "best.", generator, tracking->best);
}

int tracking_load(struct gan_tracking *tracking, const struct net *generator,
                  const struct store_file *file)
{
    if (store_get(file, "gan.rkid"))
        TRY(store_get_double_in(file, "gan.rkid", store_finite(), &tracking->rkid));
    if (!store_get(file, "gan.best_step")) return OK;
    TRY(store_get_int_in(file, "gan.best_step", 1, CHECKPOINT_MOST_STEPS, &tracking->best_step));
    TRY(store_get_double_in(file, "gan.best_rkid", store_finite(), &tracking->best_rkid));
    return gan_load_range(file, "best.", generator, tracking->best);
}
