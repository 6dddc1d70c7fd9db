/* Who loses a connection, and when. */
#include "serve/http_seats.h"
#include "test/support.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct http_seats seats;

/* A connection of a client, whose end is *client. */
static struct http_seat *seats_test_take(int *client, double now)
{
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    *client = ends[1];
    return http_seats_take(&seats, ends[0], now);
}

static bool seats_test_is_shut(int client)
{
    char byte;
    struct pollfd end = {.fd = client, .events = POLLIN};
    return poll(&end, 1, 0) == 1 && read(client, &byte, 1) == 0;
}

static void seats_test_leave(struct http_seat *seat, int client)
{
    int fd = seat->fd;
    http_seats_leave(&seats, seat);
    close(fd);
    close(client);
}

START_TEST(who_is_slow_is_closed)
{
    int asks, waits, takes;
    http_seats_open(&seats);
    struct http_seat *one = seats_test_take(&asks, 0), *two = seats_test_take(&waits, 0),
                     *three = seats_test_take(&takes, 0);
    http_seats_set(&seats, two, HTTP_SEAT_WAITS, 1);
    http_seats_set(&seats, three, HTTP_SEAT_TAKES, 1);
    ck_assert_int_eq(http_seats_clear(&seats, 119), 0);
    ck_assert(!seats_test_is_shut(asks));
    ck_assert_int_eq(http_seats_clear(&seats, 121), 1);
    ck_assert(seats_test_is_shut(asks));
    seats_test_leave(one, asks);
    ck_assert_int_eq(http_seats_clear(&seats, 602), 1);
    ck_assert(seats_test_is_shut(takes));
    seats_test_leave(three, takes);
    ck_assert_int_eq(http_seats_clear(&seats, 1e9), 0);
    ck_assert(!seats_test_is_shut(waits));
    seats_test_leave(two, waits);
    ck_assert_int_eq(seats.taken, 0);
    http_seats_close(&seats);
}
END_TEST

/* Descriptors that are none: nothing is shut, but they are counted. */
START_TEST(where_most_are_taken_time_is_short)
{
    struct http_seat *seat = NULL;
    http_seats_open(&seats);
    for (int i = 0; i < HTTP_SEATS_CROWDED; i++) {
        ck_assert_int_eq(http_seats_clear(&seats, 6), 0);
        seat = http_seats_take(&seats, 1000000 + i, 0);
        ck_assert_ptr_nonnull(seat);
    }
    ck_assert_int_eq(http_seats_clear(&seats, 5), 0);
    ck_assert_int_eq(http_seats_clear(&seats, 6), HTTP_SEATS_CROWDED);
    http_seats_set(&seats, seat, HTTP_SEAT_TAKES, 0);
    ck_assert_int_eq(http_seats_clear(&seats, 6), HTTP_SEATS_CROWDED - 1);
    for (int i = HTTP_SEATS_CROWDED; i < HTTP_SEATS; i++)
        ck_assert_ptr_nonnull(http_seats_take(&seats, 1000000 + i, 0));
    ck_assert_ptr_null(http_seats_take(&seats, 1, 0));
    http_seats_leave(&seats, seat);
    ck_assert_ptr_eq(http_seats_take(&seats, 1, 0), seat);
    http_seats_close(&seats);
}
END_TEST

Suite *http_seats_test_suite(void);
Suite *http_seats_test_suite(void)
{
    Suite *suite = suite_create("http_seats_test");
    TCase *test = tcase_create("seats");
    tcase_add_test(test, who_is_slow_is_closed);
    tcase_add_test(test, where_most_are_taken_time_is_short);
    suite_add_tcase(suite, test);
    return suite;
}
