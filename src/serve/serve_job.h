/* One request to a model, from its body to its answer. */
#ifndef IMGTRAIN_SERVE_SERVE_JOB_H
#define IMGTRAIN_SERVE_SERVE_JOB_H

#include "serve/serve_ask.h"

#include <stdio.h>

/* A picture as it is sent, and the seed that it is of. */
struct serve_image {
    uint8_t *png; /* owned */
    size_t bytes;
    uint64_t seed;
};

struct serve_job {
    struct serve_ask ask;
    uint8_t *body; /* owned; of an upload the picture's file */
    size_t body_bytes;
    int model;      /* chosen by the backend */
    double arrived; /* of the clock, in seconds */

    int status; /* of HTTP; 0: not answered yet */
    char message[320];
    const char *code; /* "model_not_found": of the error, static; NULL: none */
    struct serve_image images[SERVE_MOST_SAMPLES];
    int image_count;

    /* What is sent: malloc. */
    char *answer;
    size_t answer_bytes;
    const char *type; /* "image/png" */

    struct serve_job *next; /* in the queue */
    void *owner;            /* of who waits for it */
};

/* Answers with an error, unless there is one already. */
void serve_job_fail(struct serve_job *job, int status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Takes `png` over. */
void serve_job_add_image(struct serve_job *job, uint8_t *png, size_t bytes, uint64_t seed);
void serve_job_clear_images(struct serve_job *job);
/* Makes `answer` of the images, or of the error: status is set afterwards. */
void serve_job_answer(struct serve_job *job);
void serve_job_free(struct serve_job *job);

/* What works on jobs: the models. All but `choose` and `list` are called by one thread. */
struct serve_backend {
    void *context;
    /* Sets job->model, or fails the job. Any thread. */
    void (*choose)(void *context, struct serve_job *job);
    /* Whether two jobs are done at once as fast as one. */
    bool (*joins)(void *context, const struct serve_job *one, const struct serve_job *other);
    /* Adds images to each job, or fails it. `late`: polled in what takes long, which then ends. */
    void (*run)(void *context, struct serve_job *const *jobs, int count, bool (*late)(void));
    /* The objects of GET /v1/models with commas between. Any thread. */
    void (*list)(void *context, FILE *out);
    /* Lines of GET /metrics about memory and models. Any thread. */
    void (*measure)(void *context, FILE *out);
};

#endif
