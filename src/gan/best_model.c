#include "gan/best_model.h"

#include "base/error.h"
#include "gan/gan_checkpoint.h"
#include "memory/plan.h"
#include "nn/weights_file.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"

#include <math.h>

enum { MEASUREMENTS = 20 };

int64_t best_model_every(int64_t every, int64_t line_steps, int64_t total)
{
    if (every <= 0) every = total / MEASUREMENTS;
    return every <= line_steps ? line_steps : (every + line_steps - 1) / line_steps * line_steps;
}

void best_model_forget(struct best_model *best)
{
    double unknown = (double)NAN;
    best->metrics = (struct sample_metrics){unknown, unknown, unknown, unknown,
                                            unknown, unknown, unknown, unknown};
}

int best_model_declare(struct best_model *best, size_t floats, struct plan *plan)
{
    *best = (struct best_model){.rkid = (double)NAN, .best_rkid = (double)NAN};
    best_model_forget(best);
    return plan_declare(plan, "best", PLAN_HOST, floats * sizeof(float), PLAN_ALWAYS,
                        (void **)&best->best);
}

int best_model_measure(struct best_model *best, const struct dataset *set,
                       const struct evaluate_options *options, gan_draw *draw, void *context,
                       int64_t steps_done)
{
    int count;
    int code = gan_evaluate(&best->metrics, &count, set, options, draw, context);
    best->pending = code == ERR_STOPPED ? steps_done : 0;
    if (code < 0) best_model_forget(best);
    if (code == ERR_STOPPED) return OK;
    TRY(code);
    best->rkid = best->metrics.rkid;
    if (isnan(best->rkid) || best->rkid >= best->best_rkid) return OK;
    best->best_rkid = best->rkid;
    best->best_step = steps_done;
    return OK;
}

bool best_model_is_best(const struct best_model *best, int64_t steps_done)
{
    return best->best_step > 0 && best->best_step == steps_done;
}

int best_model_store(const struct best_model *best, const struct net *generator,
                     struct store_writer *writer)
{
    if (!isnan(best->rkid)) TRY(store_set_double(writer, "gan.rkid", best->rkid));
    if (best->best_step == 0) return OK;
    TRY(store_set_int(writer, "gan.best_step", best->best_step));
    TRY(store_set_double(writer, "gan.best_rkid", best->best_rkid));
    return weights_store(writer, "best.", generator, best->best);
}

int best_model_load(struct best_model *best, const struct net *generator,
                    const struct store_file *file)
{
    if (store_get(file, "gan.rkid"))
        TRY(store_get_double_in(file, "gan.rkid", store_finite(), &best->rkid));
    if (!store_get(file, "gan.best_step")) return OK;
    TRY(store_get_int_in(file, "gan.best_step", 1, CHECKPOINT_MOST_STEPS, &best->best_step));
    TRY(store_get_double_in(file, "gan.best_rkid", store_finite(), &best->best_rkid));
    return weights_load(file, "best.", generator, store_finite(), best->best);
}
