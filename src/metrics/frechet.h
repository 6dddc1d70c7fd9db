/* Frechet distance between the normal distributions with the means and covariances of two sets of
 * points (Dowson and Landau 1982; Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update
 * Rule", call it FID where points are features of Inception). */
#ifndef IMGTRAIN_METRICS_FRECHET_H
#define IMGTRAIN_METRICS_FRECHET_H

#include "metrics/sample_metrics_internal.h"

/* |mu1 - mu2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), covariances by n - 1, in double. Sets of 2
 * points at least, of as many dims. The same on any thread count. ERR_SYSTEM, ERR_STOPPED. */
int frechet_distance(double *distance, const struct metrics_rows *a, const struct metrics_rows *b,
                     bool (*stop_requested)(void));

/* The eigenvalues of a symmetric matrix [n][n], which is overwritten, into values [n], in no
 * order. ERR_INTERNAL: they were not found; ERR_STOPPED. */
int symmetric_eigenvalues(double *matrix, int n, double *values, bool (*stop_requested)(void));

#endif
