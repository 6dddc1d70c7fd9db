/* Counts and times of requests, as Prometheus reads them. */
#ifndef IMGTRAIN_SERVE_SERVE_METRICS_H
#define IMGTRAIN_SERVE_SERVE_METRICS_H

#include "serve/serve_ask.h"

#include <stdio.h>

enum { SERVE_STATUSES = 14, SERVE_BUCKETS = 14 };

/* Of one thread. */
struct serve_metrics {
    uint64_t requests[SERVE_ENDPOINTS][SERVE_STATUSES];
    uint64_t buckets[SERVE_BUCKETS + 1], timed; /* of requests to models */
    double seconds;
    uint64_t images;
};

/* A request that was answered. seconds: since its first byte. */
void serve_metrics_add(struct serve_metrics *metrics, enum serve_endpoint endpoint, int status,
                       double seconds, int images);
/* waiting, active: requests now; limit: of those that wait. */
void serve_metrics_print(const struct serve_metrics *metrics, int waiting, int active, int limit,
                         FILE *out);

#endif
