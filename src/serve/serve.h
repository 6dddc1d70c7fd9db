/* The models over HTTP: listens, checks, queues, answers. What a model is it does not know: that is
 * the backend's (serve_job.h). http_none.c stands in for all of it when HTTP=0. */
#ifndef IMGTRAIN_SERVE_SERVE_H
#define IMGTRAIN_SERVE_SERVE_H

#include "serve/serve_job.h"

struct serve_options {
    const char *host; /* an address, or "localhost"; NULL: loopback without a key, else any */
    int port;         /* 0: one that is free */
    const char *key;  /* that clients show; NULL: none, then only loopback is listened on */
    int queue;        /* requests that wait at most */
    int at_once;      /* that are done together at most */
    double seconds;   /* for a request, from its first byte on */
    size_t body;      /* bytes of an upload at most */
    const struct serve_backend *backend;
    void (*listening)(const char *url); /* once it does */
    bool (*stop_requested)(void);       /* then what is asked for is finished, and it returns */
};

/* ERR_DEVICE when this build or machine has no libmicrohttpd. */
int serve_check_library(void);

/* The same error; ERR_USAGE for an address that cannot be; ERR_SYSTEM, ERR_ACCESS: the address is
 * taken, or not allowed. */
int serve_run(const struct serve_options *options);

/* For `doctor`: "libmicrohttpd 0.9.75", "no: " with the reason, or "not built in". */
struct serve_version {
    char text[160];
};
struct serve_version serve_http_version(void);

#endif
