/* What one score of a discriminator adds to a loss, and its slope: as GANLoss of BasicSR and
 * traiNNer-redux. vanilla: binary cross-entropy with logits against 1 or 0; lsgan: the squared
 * distance from 1 or 0; hinge: max(0, 1 -+ x), the generator's is -x. A generator wants its images
 * to pass for real. */
#ifndef IMGTRAIN_MATH_SCORE_LOSS_H
#define IMGTRAIN_MATH_SCORE_LOSS_H

#include "math/gan_loss.h"

enum score_kind { SCORE_VANILLA, SCORE_LSGAN, SCORE_HINGE };
enum score_role {
    SCORE_REAL,     /* the discriminator's loss of real images */
    SCORE_FAKE,     /* likewise of made ones */
    SCORE_GENERATOR /* the generator's of what it made */
};

HOST_DEVICE static inline double score_loss_value(enum score_kind kind, enum score_role role,
                                                  double x)
{
    double side = role == SCORE_FAKE ? -1 : 1; /* of 0 that x should be on */
    if (kind == SCORE_VANILLA) return gan_softplus(-side * x);
    if (kind == SCORE_LSGAN) return role == SCORE_FAKE ? x * x : (x - 1) * (x - 1);
    if (role == SCORE_GENERATOR) return -x;
    return side * x >= 1 ? 0 : 1 - side * x; /* NaN stays NaN */
}

HOST_DEVICE static inline double score_loss_slope(enum score_kind kind, enum score_role role,
                                                  double x)
{
    double side = role == SCORE_FAKE ? -1 : 1;
    if (kind == SCORE_VANILLA) return -side / (1 + exp(side * x));
    if (kind == SCORE_LSGAN) return role == SCORE_FAKE ? 2 * x : 2 * (x - 1);
    if (role == SCORE_GENERATOR) return -1;
    return side * x >= 1 ? 0 : -side;
}

#endif
