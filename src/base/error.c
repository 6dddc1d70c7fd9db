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

/* An errno that names a fault of the system outweighs the caller's code: a file that cannot be
 * opened now is never taken for one that is missing or damaged. Any other errno may be such a fault
 * of a file system of its own kind (EKEYEXPIRED), too: only those that say so make a file a missing
 * one. */
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
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG: return code;
    default: return code == ERR_INPUT ? ERR_IO : code;
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

/* Every code and its exit status, by status. */
static const struct error_status statuses[] = {
    {OK, 0, "done"},
    {ERR_DIVERGED, 30, "training diverged, last good state saved"},
    {ERR_DEVICE_MEMORY, 31, "not enough device memory"},
    {ERR_USAGE, 64, "wrong usage"},
    {ERR_DATA, 65, "an image, model or checkpoint is broken"},
    {ERR_INPUT, 66, "an input is missing"},
    {ERR_DEVICE, 69, "device absent, or no FFmpeg for the command video"},
    {ERR_INTERNAL, 70, "internal error"},
    {ERR_SYSTEM, 71, "the system refused memory, threads or open files"},
    {ERR_OUTPUT, 73, "cannot create the output, it exists, or another process is in it"},
    {ERR_IO, 74, "reading or writing failed, disk full"},
    {ERR_STOPPED, 75, "stopped on request, state saved: run again with --resume"},
    {ERR_ACCESS, 77, "no permission, or a link in a run folder"},
    {ERR_CONFIG, 78, "wrong configuration"},
};
enum { STATUS_COUNT = sizeof statuses / sizeof statuses[0] };

const struct error_status *error_status_at(int index)
{
    return index < STATUS_COUNT ? &statuses[index] : NULL;
}

int error_exit_status(int code)
{
    for (int i = 0; i < STATUS_COUNT; i++)
        if (statuses[i].code == code) return statuses[i].status;
    return error_exit_status(ERR_INTERNAL);
}
