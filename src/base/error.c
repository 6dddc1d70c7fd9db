#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 1024 };

static _Thread_local char message[MESSAGE_BYTES];

int fail(int code, const char *format, ...)
{
    char text[MESSAGE_BYTES]; /* the arguments may point into `message` */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(message, text, sizeof text);
    return code;
}

/* What the system says of itself outweighs what the caller was about. So a file that cannot be
 * opened now is never taken for one that is missing or damaged. */
static int code_of_errno(int code, int number)
{
    if (code == ERR_DEVICE_MEMORY) return code;
    switch (number) {
    case EACCES:
    case EPERM:
    case EROFS: return ERR_ACCESS;
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE: return ERR_SYSTEM;
    case EIO:
    case ENOSPC: /* of inodes too */
    case EDQUOT:
    case ESTALE:
    case EINTR:
    case EAGAIN:
    case EBUSY:
    case ENXIO:
    case ENODEV:
    case ENOMEDIUM:
    case EREMOTEIO:
    case ENOLINK:
    case ECOMM:
    case EPROTO:
    case ETIMEDOUT:
    case ECONNREFUSED:
    case ECONNABORTED:
    case ECONNRESET:
    case ENOTCONN:
    case ESHUTDOWN:
    case ENETDOWN:
    case ENETUNREACH:
    case ENETRESET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case EBADMSG:
    case EUCLEAN:
    case EHWPOISON: return ERR_IO;
    default: return code;
    }
}

int fail_errno(int code, const char *format, ...)
{
    int number = errno;
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    code = code_of_errno(code, number);
    return fail(code, "%s: %s", text, strerror(number));
}

int fail_within(int code, const char *format, ...)
{
    char prefix[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    return fail(code, "%s: %s", prefix, message);
}

const char *error_message(void)
{
    return message;
}

int error_exit_status(int code)
{
    static const int status[] = {
        [-OK] = 0,
        [-ERR_USAGE] = 64,
        [-ERR_DATA] = 65,
        [-ERR_INPUT] = 66,
        [-ERR_DEVICE] = 69,
        [-ERR_INTERNAL] = 70,
        [-ERR_SYSTEM] = 71,
        [-ERR_OUTPUT] = 73,
        [-ERR_IO] = 74,
        [-ERR_STOPPED] = 75,
        [-ERR_ACCESS] = 77,
        [-ERR_CONFIG] = 78,
        [-ERR_DIVERGED] = 30,
        [-ERR_DEVICE_MEMORY] = 31,
    };
    int count = (int)(sizeof status / sizeof status[0]);
    return code <= 0 && -code < count ? status[-code] : 70;
}
