/* Who holds a connection, and for how long: one that does not send its request, or does not take
 * its answer, is closed after a while, and soon when most connections are taken. libmicrohttpd
 * itself only ends those that are still: a byte now and then keeps one for ever. */
#ifndef IMGTRAIN_SERVE_HTTP_SEATS_H
#define IMGTRAIN_SERVE_HTTP_SEATS_H

#include <pthread.h>
#include <stdbool.h>

enum {
    HTTP_SEATS = 512,
    HTTP_SEATS_CROWDED = HTTP_SEATS * 3 / 4, /* from so many on, the short times hold */
};

enum http_seat_state {
    HTTP_SEAT_ASKS,  /* its request is not there yet */
    HTTP_SEAT_WAITS, /* for us: no limit here */
    HTTP_SEAT_TAKES, /* its answer */
};

struct http_seat {
    int fd; /* of the connection; -1: free */
    enum http_seat_state state;
    double since; /* of the clock: when the state began */
};

struct http_seats {
    pthread_mutex_t lock;
    struct http_seat list[HTTP_SEATS];
    int taken;
};

void http_seats_open(struct http_seats *seats);
void http_seats_close(struct http_seats *seats);
/* A new connection. NULL: there are as many already. */
struct http_seat *http_seats_take(struct http_seats *seats, int fd, double now);
/* Before its descriptor is closed. Accepts NULL, as the next one does. */
void http_seats_leave(struct http_seats *seats, struct http_seat *seat);
void http_seats_set(struct http_seats *seats, struct http_seat *seat, enum http_seat_state state,
                    double now);
/* Shuts the connections whose time is over down; whoever reads from them sees their end. Returns
 * how many. Any thread. */
int http_seats_clear(struct http_seats *seats, double now);

#endif
