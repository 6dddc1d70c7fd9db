#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 2048 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum log_level threshold = LOG_INFO;
static int copy_fd = -1;
static char early[16384]; /* lines from before the log file was open */
static size_t early_bytes;
static void (*clear_line)(void *);
static void *clear_argument;

/* A log that cannot be written must not end a training run, so the result is not looked at. */
static void write_best_effort(int fd, const char *text, size_t bytes)
{
    ssize_t written = write(fd, text, bytes);
    (void)written;
}

void log_set_level(enum log_level level)
{
    threshold = level;
}

void log_set_clear(void (*clear)(void *argument), void *argument)
{
    pthread_mutex_lock(&lock);
    clear_line = clear;
    clear_argument = argument;
    pthread_mutex_unlock(&lock);
}

void log_set_file(int fd)
{
    pthread_mutex_lock(&lock);
    copy_fd = fd;
    if (fd >= 0 && early_bytes) write_best_effort(fd, early, early_bytes);
    early_bytes = 0;
    pthread_mutex_unlock(&lock);
}

__attribute__((format(printf, 2, 0))) static void log_emit(enum log_level level, const char *format,
                                                           va_list args)
{
    static const char *const label[] = {"error: ", "warning: ", "", "debug: "};
    char line[LINE_BYTES];
    int used = snprintf(line, sizeof line, "%s", label[level]);
    vsnprintf(line + used, sizeof line - (size_t)used - 1, format, args);
    size_t bytes = strlen(line);
    line[bytes++] = '\n';

    pthread_mutex_lock(&lock);
    if (level <= threshold) {
        if (clear_line) clear_line(clear_argument);
        write_best_effort(STDERR_FILENO, line, bytes);
    }
    char stamped[LINE_BYTES + 32];
    time_t now = time(NULL);
    struct tm calendar;
    gmtime_r(&now, &calendar);
    size_t stamp_bytes = strftime(stamped, 32, "%Y-%m-%dT%H:%M:%SZ ", &calendar);
    memcpy(stamped + stamp_bytes, line, bytes);
    bytes += stamp_bytes;
    if (copy_fd >= 0) {
        write_best_effort(copy_fd, stamped, bytes);
    } else if (bytes <= sizeof early - early_bytes) {
        memcpy(early + early_bytes, stamped, bytes);
        early_bytes += bytes;
    }
    pthread_mutex_unlock(&lock);
}

#define LOG_FUNCTION(name, level)                                                                  \
    void name(const char *format, ...)                                                             \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, format);                                                                    \
        log_emit(level, format, args);                                                             \
        va_end(args);                                                                              \
    }

LOG_FUNCTION(log_error, LOG_ERROR)
LOG_FUNCTION(log_warning, LOG_WARNING)
LOG_FUNCTION(log_info, LOG_INFO)
LOG_FUNCTION(log_debug, LOG_DEBUG)
