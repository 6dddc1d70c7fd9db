/* Errors: a function returns 0 or a negative code and leaves one line of text for the user in a
 * thread-local message. Only main() turns the code into an exit status. */
#ifndef IMGTRAIN_BASE_ERROR_H
#define IMGTRAIN_BASE_ERROR_H

enum error_code { /* exit statuses: the table in error.c */
                  OK = 0,
                  ERR_USAGE = -1,          /* command line */
                  ERR_DATA = -2,           /* bad image or checkpoint */
                  ERR_INPUT = -3,          /* input missing */
                  ERR_DEVICE = -4,         /* device absent */
                  ERR_INTERNAL = -5,       /* a broken invariant */
                  ERR_SYSTEM = -6,         /* out of host memory, ... */
                  ERR_OUTPUT = -7,         /* cannot create, locked */
                  ERR_IO = -8,             /* read, write, disk full */
                  ERR_STOPPED = -9,        /* stopped on request, state saved */
                  ERR_ACCESS = -10,        /* permission */
                  ERR_CONFIG = -11,        /* configuration */
                  ERR_DIVERGED = -12,      /* training diverged */
                  ERR_DEVICE_MEMORY = -13, /* device memory, after every fallback */
};

/* Sets this thread's message (printf style; one line, no trailing newline) and returns `code`. */
int fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Like fail() with ": strerror(errno)" appended. Where errno tells more than `code`, it decides:
 * ERR_ACCESS for EACCES, EPERM and EROFS; ERR_SYSTEM for ENOMEM, EMFILE and ENFILE; ERR_IO for a
 * disk or a network that fails or is full, and in the place of ERR_INPUT for any errno that does
 * not say that something is missing. (ERR_DEVICE_MEMORY stays.) */
int fail_errno(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "PREFIX: " before the message that is already set, and returns `code`. */
int fail_within(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The message of the last fail() on this thread; "" if there was none. Borrowed. */
const char *error_message(void);

/* The process exit status for a code; that of ERR_INTERNAL for one that is unknown. */
int error_exit_status(int code);

/* One line of the table of exit statuses that users read. */
struct error_status {
    int code, status;
    const char *meaning;
};

/* Line `index` of it, by rising status; NULL behind the last. */
const struct error_status *error_status_at(int index);

/* Returns from the calling function if `call` fails. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        int try_code_ = (call);                                                                    \
        if (try_code_ < 0) return try_code_;                                                       \
    } while (0)

/* Jumps to `cleanup:` with the code in the variable `code` if `call` fails. */
#define TRY_CLEANUP(call)                                                                          \
    do {                                                                                           \
        code = (call);                                                                             \
        if (code < 0) goto cleanup;                                                                \
    } while (0)

#endif
