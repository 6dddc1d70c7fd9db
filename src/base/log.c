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
static char waiting[LINE_BYTES]; /* a whole line, or empty */
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

/* Called under the lock, with a whole line. */
static void log_write(enum log_level level, const char *line)
{
    size_t bytes = strlen(line);
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
}

/* Likewise. */
static void log_write_waiting(void)
{
    if (waiting[0]) log_write(LOG_INFO, waiting);
    waiting[0] = '\0';
}

__attribute__((format(printf, 3, 0))) static void
log_format(char line[LINE_BYTES], const char *label, const char *format, va_list args)
{
    int used = snprintf(line, LINE_BYTES, "%s", label);
    vsnprintf(line + used, LINE_BYTES - (size_t)used - 1, format, args);
    strcat(line, "\n");
}

__attribute__((format(printf, 2, 0))) static void log_emit(enum log_level level, const char *format,
                                                           va_list args)
{
    static const char *const label[] = {"error: ", "warning: ", "", "debug: "};
    char line[LINE_BYTES];
    log_format(line, label[level], format, args);
    pthread_mutex_lock(&lock);
    log_write_waiting();
    log_write(level, line);
    pthread_mutex_unlock(&lock);
}

void log_info_later(const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    log_format(line, "", format, args);
    va_end(args);
    pthread_mutex_lock(&lock);
    memcpy(waiting, line, sizeof waiting);
    pthread_mutex_unlock(&lock);
}

void log_end(bool succeeded)
{
    pthread_mutex_lock(&lock);
    if (succeeded) log_write_waiting();
    waiting[0] = '\0';
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
