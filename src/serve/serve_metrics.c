#include "serve/serve_metrics.h"

#include <inttypes.h>
#include <unistd.h>

/* The last one stands for all others. */
static const int metrics_statuses[SERVE_STATUSES] = {200, 400, 401, 403, 404, 405, 408,
                                                     411, 413, 431, 500, 503, 504, 0};
static const double metrics_bounds[SERVE_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                     0.25,  0.5,    1,     2.5,  5,     10,   60};

void serve_metrics_add(struct serve_metrics *metrics, enum serve_endpoint endpoint, int status,
                       double seconds, int images)
{
    int s = 0, bucket = 0;
    while (s < SERVE_STATUSES - 1 && metrics_statuses[s] != status)
        s++;
    metrics->requests[endpoint][s]++;
    metrics->images += (uint64_t)images;
    if (endpoint >= SERVE_WORKING || status != 200) return;
    while (bucket < SERVE_BUCKETS && seconds > metrics_bounds[bucket])
        bucket++;
    metrics->buckets[bucket]++;
    metrics->timed++;
    metrics->seconds += seconds;
}

static void metrics_head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void metrics_value(FILE *out, const char *name, const char *type, const char *help,
                          double value)
{
    metrics_head(out, name, type, help);
    fprintf(out, "%s %.15g\n", name, value);
}

static uint64_t metrics_print_requests(const struct serve_metrics *m, FILE *out)
{
    uint64_t errors = 0;
    metrics_head(out, "imgtrain_requests_total", "counter", "Requests that were answered.");
    for (int e = 0; e < SERVE_ENDPOINTS; e++)
        for (int s = 0; s < SERVE_STATUSES; s++) {
            int status = metrics_statuses[s];
            if (m->requests[e][s] == 0) continue;
            fprintf(out, "imgtrain_requests_total{endpoint=\"%s\",status=\"%d\"} %" PRIu64 "\n",
                    serve_endpoint_path((enum serve_endpoint)e), status, m->requests[e][s]);
            if (status != 200) errors += m->requests[e][s];
        }
    return errors;
}

static void metrics_print_seconds(const struct serve_metrics *m, FILE *out)
{
    uint64_t below = 0;
    metrics_head(out, "imgtrain_request_seconds", "histogram",
                 "From the first byte of a request to a model to its answer.");
    for (int i = 0; i < SERVE_BUCKETS; i++)
        fprintf(out, "imgtrain_request_seconds_bucket{le=\"%g\"} %" PRIu64 "\n", metrics_bounds[i],
                below += m->buckets[i]);
    fprintf(out,
            "imgtrain_request_seconds_bucket{le=\"+Inf\"} %" PRIu64
            "\nimgtrain_request_seconds_sum %.9g\nimgtrain_request_seconds_count %" PRIu64 "\n",
            m->timed, m->seconds, m->timed);
}

/* Resident memory in bytes; 0 where the system does not say. */
static double metrics_resident(void)
{
    long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file) return 0;
    if (fscanf(file, "%ld %ld", &size, &resident) != 2) resident = 0;
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

void serve_metrics_print(const struct serve_metrics *m, int waiting, int active, int limit,
                         FILE *out)
{
    uint64_t errors = metrics_print_requests(m, out);
    metrics_value(out, "imgtrain_errors_total", "counter", "Requests answered with an error.",
                  (double)errors);
    metrics_print_seconds(m, out);
    metrics_value(out, "imgtrain_images_total", "counter", "Images that were sent.",
                  (double)m->images);
    metrics_value(out, "imgtrain_queue_length", "gauge", "Requests that wait for a model.",
                  waiting);
    metrics_value(out, "imgtrain_queue_limit", "gauge", "Above it a request gets 503.", limit);
    metrics_value(out, "imgtrain_requests_active", "gauge", "Requests without an answer.", active);
    metrics_value(out, "imgtrain_memory_bytes", "gauge", "Resident memory of the process.",
                  metrics_resident());
}
