#include "serve/http_request.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "serve/serve_access.h"
#include "serve/serve_page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_MOST = 1 << 20, BODIES_MOST = 8, QUERY_MOST = 16 };

/* What the page lives with. */
static const char page_policy[] =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src blob: data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'";

struct http_request {
    struct http_server *server;
    struct MHD_Connection *connection;
    struct serve_job *job; /* owned, and the queue's while it waits there */
    size_t room;           /* of the job's body; counted by the server */
    int parameters;
    bool waiting; /* in the queue, or done there */
    bool counted; /* in the metrics */
    bool read;    /* its body is there */
};

/* ---- the connection ---- */

void http_request_connect(void *context, struct MHD_Connection *connection, void **seat,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *server = context;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        http_seats_leave(&server->seats, *seat);
        return;
    }
    const union MHD_ConnectionInfo *fd = http.info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    *seat = fd ? http_seats_take(&server->seats, fd->connect_fd, clock_seconds()) : NULL;
}

static void request_set_seat(struct http_server *server, struct MHD_Connection *connection,
                             enum http_seat_state state)
{
    const union MHD_ConnectionInfo *seat =
        http.info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    http_seats_set(&server->seats, seat ? seat->socket_context : NULL, state, clock_seconds());
}

/* ---- answers ---- */

static void request_add_headers(const struct http_request *r, struct MHD_Response *response)
{
    const struct serve_job *job = r->job;
    char text[32];
    http.add_header(response, "Content-Type", job->type);
    http.add_header(response, "Cache-Control", "no-store");
    http.add_header(response, "X-Content-Type-Options", "nosniff");
    if (job->ask.endpoint == SERVE_PAGE && job->status == 200)
        http.add_header(response, "Content-Security-Policy", page_policy);
    if (job->status == 401) http.add_header(response, "WWW-Authenticate", "Bearer");
    if (job->status == 405)
        http.add_header(response, "Allow", serve_endpoint_method(job->ask.endpoint));
    if (job->status == 503) {
        snprintf(text, sizeof text, "%d", serve_queue_wait(r->server->queue));
        http.add_header(response, "Retry-After", text);
    }
    if (job->status == 200 && job->image_count == 1 && !job->ask.as_json &&
        job->ask.endpoint <= SERVE_SAMPLE) {
        snprintf(text, sizeof text, "%" PRIu64, job->images[0].seed);
        http.add_header(response, "X-Seed", text);
    }
    if (atomic_load(&r->server->stopping)) http.add_header(response, "Connection", "close");
}

/* Sends job->answer. */
static enum MHD_Result request_send(struct http_request *r)
{
    struct serve_job *job = r->job;
    if (!job->type) job->type = "text/plain";
    struct MHD_Response *response = http.response_from_buffer(
        job->answer_bytes, job->answer ? job->answer : (void *)(char[]){""},
        job->answer ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_MUST_COPY);
    if (!response) return MHD_NO;
    job->answer = NULL;
    request_add_headers(r, response);
    enum MHD_Result sent = http.queue_response(r->connection, (unsigned int)job->status, response);
    http.destroy_response(response);
    serve_metrics_add(&r->server->metrics, job->ask.endpoint, job->status,
                      clock_seconds() - job->arrived, job->status == 200 ? job->image_count : 0);
    r->counted = true;
    request_set_seat(r->server, r->connection, HTTP_SEAT_TAKES);
    return sent;
}

static enum MHD_Result request_refuse(struct http_request *r)
{
    serve_job_answer(r->job);
    return request_send(r);
}

/* ---- what needs no model ---- */

static void request_print_metrics(struct http_request *r, FILE *out)
{
    struct http_server *server = r->server;
    const struct serve_backend *backend = server->options->backend;
    serve_metrics_print(&server->metrics, serve_queue_length(server->queue),
                        atomic_load(&server->active), server->options->queue, out);
    backend->measure(backend->context, out);
}

static void request_print(struct http_request *r, FILE *out)
{
    const struct serve_backend *backend = r->server->options->backend;
    switch (r->job->ask.endpoint) {
    case SERVE_METRICS: request_print_metrics(r, out); break;
    case SERVE_MODELS:
        fputs("{\"object\": \"list\", \"data\": [", out);
        backend->list(backend->context, out);
        fputs("]}\n", out);
        break;
    case SERVE_PAGE: fputs(serve_page, out); break;
    default: fputs("ok\n", out); break;
    }
}

static enum MHD_Result request_print_answer(struct http_request *r)
{
    struct serve_job *job = r->job;
    struct printed_text answer;
    FILE *out = printed_text_open(&answer);
    if (!out) return MHD_NO;
    request_print(r, out);
    if (printed_text_close(&answer, out) < 0) return MHD_NO;
    job->answer = answer.text;
    job->answer_bytes = answer.bytes;
    job->status = 200;
    job->type = job->ask.endpoint == SERVE_MODELS    ? "application/json"
                : job->ask.endpoint == SERVE_PAGE    ? "text/html; charset=utf-8"
                : job->ask.endpoint == SERVE_METRICS ? "text/plain; version=0.0.4"
                                                     : "text/plain";
    return request_send(r);
}

/* ---- the first line and the headers ---- */

static const char *request_header(const struct http_request *r, const char *name)
{
    return http.lookup_value(r->connection, MHD_HEADER_KIND, name);
}

static size_t request_most_bytes(const struct http_request *r)
{
    return r->job->ask.endpoint == SERVE_UPSCALE ? r->server->options->body : JSON_MOST;
}

/* Health checks have no token, and the page holds nothing but itself. */
static void request_check_access(struct http_request *r)
{
    const char *key = r->server->options->key;
    enum serve_endpoint endpoint = r->job->ask.endpoint;
    bool is_local = serve_access_is_local(request_header(r, "Host"), request_header(r, "Origin"));
    if (!key && !is_local)
        serve_job_fail(r->job, 403, NULL,
                       "without IMGTRAIN_API_KEY only this machine and the server's own page may "
                       "ask");
    if (!key || endpoint == SERVE_HEALTH || endpoint == SERVE_PAGE) return;
    if (!serve_access_has_key(request_header(r, "Authorization"), key))
        serve_job_fail(r->job, 401, "invalid_api_key",
                       "the header Authorization: Bearer KEY is missing or has another key");
}

static void request_check_length(struct http_request *r)
{
    const char *length = request_header(r, "Content-Length");
    if (length && strtoull(length, NULL, 10) > request_most_bytes(r))
        serve_job_fail(r->job, 413, NULL, "the body is larger than %zu bytes",
                       request_most_bytes(r));
}

/* A refused body is read to its end, as a client that still sends would miss the answer; but not
 * one that goes on for long, or waits to be asked for it. */
static bool request_must_be_cut(const struct http_request *r)
{
    const char *length = request_header(r, "Content-Length");
    return request_header(r, "Expect") ||
           (length && strtoull(length, NULL, 10) > 2 * request_most_bytes(r));
}

static bool request_method_fits(enum serve_endpoint endpoint, const char *method)
{
    const char *wanted = serve_endpoint_method(endpoint);
    return strcmp(method, wanted) == 0 || (strcmp(wanted, "GET") == 0 && !strcmp(method, "HEAD"));
}

static void request_check(struct http_request *r, const char *method)
{
    enum serve_endpoint endpoint = r->job->ask.endpoint;
    request_check_access(r);
    if (endpoint == SERVE_ELSEWHERE)
        serve_job_fail(r->job, 404, "not_found", "there is nothing at this path");
    if (!request_method_fits(endpoint, method))
        serve_job_fail(r->job, 405, NULL, "%s takes %s", serve_endpoint_path(endpoint),
                       serve_endpoint_method(endpoint));
    if (endpoint < SERVE_WORKING && atomic_load(&r->server->stopping))
        serve_job_fail(r->job, 503, "shutting_down", "the server is being stopped");
    request_check_length(r);
}

static struct http_request *request_begin(struct http_server *server,
                                          struct MHD_Connection *connection, const char *path)
{
    struct http_request *r = calloc(1, sizeof *r);
    struct serve_job *job = calloc(1, sizeof *job);
    if (!r || !job) {
        free(r);
        free(job);
        return NULL;
    }
    serve_ask_begin(&job->ask, serve_endpoint_find(path));
    job->arrived = clock_seconds();
    job->owner = r;
    *r = (struct http_request){.server = server, .connection = connection, .job = job};
    atomic_fetch_add(&server->active, 1);
    atomic_fetch_add(&server->unread, 1);
    return r;
}

/* ---- the body ---- */

/* Room for `bytes` of the body; the server has some for all of them. */
static bool request_reserve(struct http_request *r, size_t bytes)
{
    size_t room = r->room ? r->room : 4096;
    while (room < bytes)
        room *= 2;
    if (room == r->room) return true;
    size_t others = r->server->body_bytes - r->room;
    uint8_t *body = others + room <= BODIES_MOST * (r->server->options->body + JSON_MOST)
                        ? realloc(r->job->body, room)
                        : NULL;
    if (!body) {
        serve_job_fail(r->job, 503, NULL, "too many bodies at once");
        return false;
    }
    r->job->body = body;
    r->server->body_bytes = others + room;
    r->room = room;
    return true;
}

/* What comes after a fault is read and dropped, up to as much as is allowed; MHD_NO: hang up. */
static enum MHD_Result request_take_body(struct http_request *r, const char *data, size_t bytes)
{
    struct serve_job *job = r->job;
    size_t end = job->body_bytes + bytes, most = request_most_bytes(r);
    if (end > 2 * most || clock_seconds() - job->arrived > r->server->options->seconds)
        return MHD_NO;
    if (end > most) serve_job_fail(job, 413, NULL, "the body is larger than %zu bytes", most);
    if (job->status == 0 && request_reserve(r, end))
        memcpy(job->body + job->body_bytes, data, bytes);
    job->body_bytes = end;
    return MHD_YES;
}

static enum MHD_Result request_take_parameter(void *context, enum MHD_ValueKind kind,
                                              const char *key, const char *value)
{
    struct http_request *r = context;
    (void)kind;
    if (r->job->status) return MHD_NO;
    if (++r->parameters > QUERY_MOST)
        serve_job_fail(r->job, 400, NULL, "more than %d parameters", QUERY_MOST);
    else if (serve_ask_read_parameter(&r->job->ask, key, value) < 0)
        serve_job_fail(r->job, 400, NULL, "%s", error_message());
    return MHD_YES;
}

static void request_set_read(struct http_request *r)
{
    if (!r->read) atomic_fetch_sub(&r->server->unread, 1);
    r->read = true;
}

/* All of it is there: what it asks for. */
static void request_read(struct http_request *r)
{
    struct serve_job *job = r->job;
    const struct serve_backend *backend = r->server->options->backend;
    http.each_value(r->connection, MHD_GET_ARGUMENT_KIND, request_take_parameter, r);
    bool is_json = job->ask.endpoint == SERVE_GENERATIONS || job->ask.endpoint == SERVE_SAMPLE;
    if (job->status == 0 && is_json &&
        serve_ask_read_body(&job->ask, job->body ? (char *)job->body : "", job->body_bytes) < 0)
        serve_job_fail(job, 400, NULL, "%s", error_message());
    if (job->status == 0 && job->ask.endpoint == SERVE_UPSCALE && job->body_bytes == 0)
        serve_job_fail(job, 400, NULL, "the body is empty: a picture is needed");
    if (job->status == 0 && serve_ask_check(&job->ask) < 0)
        serve_job_fail(job, 400, NULL, "%s", error_message());
    if (job->status == 0) backend->choose(backend->context, job);
}

/* The connection sleeps before the job can be done. */
static enum MHD_Result request_queue(struct http_request *r)
{
    http.suspend(r->connection);
    r->waiting = true;
    request_set_seat(r->server, r->connection, HTTP_SEAT_WAITS);
    if (serve_queue_add(r->server->queue, r->job)) return MHD_YES;
    serve_job_fail(r->job, 503, "queue_full", "%d requests are waiting already",
                   r->server->options->queue);
    serve_job_answer(r->job);
    http.resume(r->connection);
    return MHD_YES;
}

/* ---- */

enum MHD_Result http_request_handle(void *context, struct MHD_Connection *connection,
                                    const char *path, const char *method, const char *version,
                                    const char *data, size_t *bytes, void **state)
{
    struct http_request *r = *state;
    (void)version;
    if (!r) {
        r = *state = request_begin(context, connection, path);
        if (!r) return MHD_NO;
        request_check(r, method);
        return r->job->status && request_must_be_cut(r) ? request_refuse(r) : MHD_YES;
    }
    if (*bytes > 0) {
        enum MHD_Result taken = request_take_body(r, data, *bytes);
        *bytes = 0;
        return taken;
    }
    request_set_read(r);
    if (r->waiting) return request_send(r);
    if (r->job->status == 0 && r->job->ask.endpoint >= SERVE_WORKING)
        return request_print_answer(r);
    if (r->job->status == 0) request_read(r);
    return r->job->status ? request_refuse(r) : request_queue(r);
}

void http_request_done(struct serve_job *job)
{
    struct http_request *r = job->owner;
    http.resume(r->connection);
}

void http_request_end(void *context, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode why)
{
    struct http_server *server = context;
    struct http_request *r = *state;
    (void)why;
    if (!r) return;
    request_set_seat(server, connection, HTTP_SEAT_ASKS);
    if (!r->counted)
        serve_metrics_add(&server->metrics, r->job->ask.endpoint, 408, 0, 0); /* it hung up */
    request_set_read(r);
    server->body_bytes -= r->room;
    serve_job_free(r->job);
    free(r);
    *state = NULL;
    atomic_fetch_sub(&server->active, 1);
}
