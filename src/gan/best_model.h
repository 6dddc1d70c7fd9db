/* How training goes: the metrics, measured now and then, and the generator that did best by rKID.
 */
#ifndef IMGTRAIN_GAN_BEST_MODEL_H
#define IMGTRAIN_GAN_BEST_MODEL_H

#include "gan/evaluate.h"

#include <stddef.h>

struct net;
struct plan;
struct store_file;
struct store_writer;

struct best_model {
    struct sample_metrics metrics; /* of this step; NaN in steps without a measurement */
    double rkid;                   /* of the last measurement; NaN before the first */
    double best_rkid;              /* NaN before the first */
    int64_t best_step;             /* steps done when it was measured; 0: never */
    int64_t pending; /* steps done when a measurement was stopped; 0: none is pending */
    float *best;     /* the averaged generator of best_step: a flat range, host memory */
};

/* Steps between measurements: `every`, or a twentieth of the run when that is 0, as a multiple of
 * the steps between two lines of metrics. */
int64_t best_model_every(int64_t every, int64_t line_steps, int64_t total);

/* Declares the range; figures are set to "not known". */
int best_model_declare(struct best_model *best, size_t floats, struct plan *plan);

/* A measurement that is stopped is pending; that is no error. */
int best_model_measure(struct best_model *best, const struct dataset *set,
                       const struct evaluate_options *options, gan_draw *draw, void *context,
                       int64_t steps_done);
/* The figures of the last step are unknown in the next. */
void best_model_forget(struct best_model *best);
/* Whether the weights at hand are the best yet: the caller copies them to `best`. */
bool best_model_is_best(const struct best_model *best, int64_t steps_done);

/* Into and from a checkpoint; a file without them is no error. */
int best_model_store(const struct best_model *best, const struct net *generator,
                     struct store_writer *writer);
int best_model_load(struct best_model *best, const struct net *generator,
                    const struct store_file *file);

#endif
