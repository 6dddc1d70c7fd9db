/* Messages for the user: everything goes to stderr, and to the run's log.txt once one is open.
 * stdout belongs to data. */
#ifndef IMGTRAIN_BASE_LOG_H
#define IMGTRAIN_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);

/* A progress bar that occupies the terminal's last line registers here, so that a message first
 * clears it (clear(argument) is called under the log's lock); NULL ends that. */
void log_set_clear(void (*clear)(void *argument), void *argument);

/* Copies messages to the open descriptor `fd` with a time stamp too, beginning with those (to 16
 * KiB) that came since the last file or the start; -1 ends that. Not owned. */
void log_set_file(int fd);

/* Each writes one line; thread-safe, without a trailing newline in `format`. Warnings and errors
 * say so. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An information that nobody needs whose command fails at once: written before the next message, or
 * by log_end. A later one of its kind takes its place. */
void log_info_later(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The program's end: what waits is written where all went well, else dropped. */
void log_end(bool succeeded);

#endif
