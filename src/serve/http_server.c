/* Listening, and the end of it. */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "serve/http_request.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IDLE_SECONDS = 30, HEADER_BYTES = 16384, BACKLOG = 512 };
enum { UPLOAD_SECONDS = 3, DRAIN_SECONDS = 10 };

/* ---- the address ---- */

struct http_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } socket;
    socklen_t bytes;
    bool is_loopback;
};

static int http_parse_host(struct http_address *a, const char *host, int port)
{
    *a = (struct http_address){0};
    if (strcmp(host, "localhost") == 0) host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &a->socket.v4.sin_addr) == 1) {
        a->socket.v4.sin_family = AF_INET;
        a->socket.v4.sin_port = htons((uint16_t)port);
        a->bytes = sizeof a->socket.v4;
        a->is_loopback = ntohl(a->socket.v4.sin_addr.s_addr) >> 24 == 127;
        return OK;
    }
    if (inet_pton(AF_INET6, host, &a->socket.v6.sin6_addr) != 1)
        return fail(ERR_USAGE, "--host %s: an address like 127.0.0.1, 0.0.0.0 or :: is needed",
                    host);
    a->socket.v6.sin6_family = AF_INET6;
    a->socket.v6.sin6_port = htons((uint16_t)port);
    a->bytes = sizeof a->socket.v6;
    a->is_loopback = IN6_IS_ADDR_LOOPBACK(&a->socket.v6.sin6_addr);
    return OK;
}

static int http_choose_address(const struct serve_options *o, struct http_address *a)
{
    const char *host = o->host ? o->host : o->key ? "0.0.0.0" : "127.0.0.1";
    TRY(http_parse_host(a, host, o->port));
    if (o->key || a->is_loopback) return OK;
    return fail(ERR_USAGE,
                "--host %s: without a key in IMGTRAIN_API_KEY the server listens on loopback only",
                host);
}

static int http_bind(int fd, const struct http_address *a)
{
    int on = 1, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->socket.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    return bind(fd, &a->socket.any, a->bytes) == 0 && listen(fd, BACKLOG) == 0 ? 0 : -1;
}

/* *url: what to open, with the port that it got. */
static int http_listen(const struct serve_options *o, int *fd, char url[96])
{
    struct http_address a;
    char name[INET6_ADDRSTRLEN] = "";
    TRY(http_choose_address(o, &a));
    *fd = socket(a.socket.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0 || http_bind(*fd, &a) < 0 || getsockname(*fd, &a.socket.any, &a.bytes) < 0) {
        int code = fail_errno(ERR_SYSTEM, "--port %d: cannot listen there", o->port);
        if (*fd >= 0) close(*fd);
        return code;
    }
    bool is_v6 = a.socket.any.sa_family == AF_INET6;
    inet_ntop(a.socket.any.sa_family,
              is_v6 ? (void *)&a.socket.v6.sin6_addr : (void *)&a.socket.v4.sin_addr, name,
              sizeof name);
    snprintf(url, 96, is_v6 ? "http://[%s]:%d" : "http://%s:%d", name,
             ntohs(is_v6 ? a.socket.v6.sin6_port : a.socket.v4.sin_port));
    return OK;
}

/* ---- libmicrohttpd ---- */

__attribute__((format(printf, 2, 0))) static void http_log(void *context, const char *format,
                                                           va_list arguments)
{
    char line[256];
    (void)context;
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = '\0';
    log_debug("http: %s", line);
}

/* Signals are for the main thread. poll and not epoll: there the thread and MHD_quiesce_daemon both
 * take the listening socket out of its set, and the second to do so may end the process. */
static struct MHD_Daemon *http_start(struct http_server *server, int fd)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon = http.start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        http_request_handle, server, MHD_OPTION_EXTERNAL_LOGGER, http_log, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, http_request_end, server, MHD_OPTION_NOTIFY_CONNECTION,
        http_request_connect, server, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned int)HTTP_SEATS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)IDLE_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)2 * HEADER_BYTES, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return daemon;
}

static void http_sleep(double seconds)
{
    const struct timespec time = {(time_t)seconds,
                                  (long)(1e9 * (seconds - (double)(time_t)seconds))};
    nanosleep(&time, NULL); /* a signal ends it */
}

/* Whether somebody is still waited for: those who have not said all of what they want not for long.
 */
static bool http_is_busy(struct http_server *server, double since)
{
    int active = atomic_load(&server->active), unread = atomic_load(&server->unread);
    double seconds = clock_seconds() - since;
    return active > (seconds < UPLOAD_SECONDS ? 0 : unread) &&
           seconds < server->options->seconds + DRAIN_SECONDS;
}

/* No new connection, and what has been asked for is answered. The daemon's thread may still look at
 * the socket, so that it is only shut: the caller's to close once the daemon is stopped. */
static void http_drain(struct http_server *server, struct MHD_Daemon *daemon)
{
    double since = clock_seconds();
    atomic_store(&server->stopping, true);
    shutdown(http.quiesce_daemon(daemon), SHUT_RDWR);
    if (atomic_load(&server->active))
        log_info("finishing %d requests", atomic_load(&server->active));
    while (http_is_busy(server, since))
        http_sleep(0.01);
}

static int http_serve(struct http_server *server, int fd, const char *url)
{
    const struct serve_options *o = server->options;
    struct MHD_Daemon *daemon = http_start(server, fd);
    if (!daemon) {
        close(fd);
        return fail(ERR_SYSTEM, "libmicrohttpd does not start");
    }
    o->listening(url);
    while (!o->stop_requested()) {
        int cleared = http_seats_clear(&server->seats, clock_seconds());
        if (cleared) log_debug("http: %d slow connections are closed", cleared);
        http_sleep(0.25);
    }
    http_drain(server, daemon);
    serve_queue_finish(server->queue); /* no connection sleeps from here on */
    http.stop_daemon(daemon);
    close(fd);
    return OK;
}

int serve_run(const struct serve_options *options)
{
    struct http_server server = {.options = options};
    const struct serve_queue_options queue = {.limit = options->queue,
                                              .at_once = options->at_once,
                                              .seconds = options->seconds,
                                              .linger = 0.05,
                                              .backend = options->backend,
                                              .done = http_request_done};
    char url[96];
    int fd;
    TRY(http_library_open());
    TRY(http_listen(options, &fd, url));
    int code = serve_queue_open(&server.queue, &queue);
    if (code < 0) {
        close(fd);
        return code;
    }
    http_seats_open(&server.seats);
    code = http_serve(&server, fd, url);
    http_seats_close(&server.seats);
    serve_queue_close(server.queue);
    return code;
}
