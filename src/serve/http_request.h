/* Inside src/serve: one request, from its first line to the end of its answer. */
#ifndef IMGTRAIN_SERVE_HTTP_REQUEST_H
#define IMGTRAIN_SERVE_HTTP_REQUEST_H

#include "serve/http_library.h"
#include "serve/http_seats.h"
#include "serve/serve.h"
#include "serve/serve_metrics.h"
#include "serve/serve_queue.h"

#include <stdatomic.h>

/* All but the atomics and `seats` is of the thread that libmicrohttpd runs. */
struct http_server {
    const struct serve_options *options;
    struct serve_queue *queue;
    struct serve_metrics metrics;
    struct http_seats seats;
    size_t body_bytes; /* of all bodies that are in memory */
    atomic_int active; /* requests that are not over */
    atomic_int unread; /* those of them whose body is not there yet */
    atomic_bool stopping;
};

/* libmicrohttpd's handlers; `context` is the server, *state of one request. */
enum MHD_Result http_request_handle(void *context, struct MHD_Connection *connection,
                                    const char *path, const char *method, const char *version,
                                    const char *data, size_t *bytes, void **state);
void http_request_end(void *context, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode why);
/* A connection begins or ends. */
void http_request_connect(void *context, struct MHD_Connection *connection, void **seat,
                          enum MHD_ConnectionNotificationCode what);
/* The queue's `done`. */
void http_request_done(struct serve_job *job);

#endif
