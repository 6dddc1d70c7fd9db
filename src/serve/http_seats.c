#include "serve/http_seats.h"

#include <sys/socket.h>

/* Seconds of a state: in general, and when most seats are taken. A request's body has the limit of
 * --timeout besides. */
static const struct {
    double usual, crowded;
} seat_seconds[] = {
    [HTTP_SEAT_ASKS] = {120, 5},
    [HTTP_SEAT_WAITS] = {1e300, 1e300},
    [HTTP_SEAT_TAKES] = {600, 30},
};

void http_seats_open(struct http_seats *seats)
{
    pthread_mutex_init(&seats->lock, NULL);
    seats->taken = 0;
    for (int i = 0; i < HTTP_SEATS; i++)
        seats->list[i] = (struct http_seat){.fd = -1};
}

void http_seats_close(struct http_seats *seats)
{
    pthread_mutex_destroy(&seats->lock);
}

struct http_seat *http_seats_take(struct http_seats *seats, int fd, double now)
{
    struct http_seat *seat = NULL;
    pthread_mutex_lock(&seats->lock);
    for (int i = 0; i < HTTP_SEATS && !seat; i++)
        if (seats->list[i].fd < 0) seat = &seats->list[i];
    if (seat) *seat = (struct http_seat){fd, HTTP_SEAT_ASKS, now};
    seats->taken += seat != NULL;
    pthread_mutex_unlock(&seats->lock);
    return seat;
}

void http_seats_leave(struct http_seats *seats, struct http_seat *seat)
{
    if (!seat) return;
    pthread_mutex_lock(&seats->lock);
    seat->fd = -1;
    seats->taken--;
    pthread_mutex_unlock(&seats->lock);
}

void http_seats_set(struct http_seats *seats, struct http_seat *seat, enum http_seat_state state,
                    double now)
{
    if (!seat) return;
    pthread_mutex_lock(&seats->lock);
    seat->state = state;
    seat->since = now;
    pthread_mutex_unlock(&seats->lock);
}

int http_seats_clear(struct http_seats *seats, double now)
{
    int cleared = 0;
    pthread_mutex_lock(&seats->lock);
    bool crowded = seats->taken >= HTTP_SEATS_CROWDED;
    for (int i = 0; i < HTTP_SEATS; i++) {
        const struct http_seat *seat = &seats->list[i];
        double most = crowded ? seat_seconds[seat->state].crowded : seat_seconds[seat->state].usual;
        if (seat->fd < 0 || !(now - seat->since > most)) continue;
        shutdown(seat->fd, SHUT_RDWR);
        cleared++;
    }
    pthread_mutex_unlock(&seats->lock);
    return cleared;
}
