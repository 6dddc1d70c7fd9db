#include "video/libav.h"

#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <libavutil/error.h>
#include <libavutil/log.h>
#include <string.h>

static void forward_line(void *context, int level, const char *format, va_list arguments)
{
    if (level > AV_LOG_WARNING) return;
    char line[512];
    int prefix = 1;
    av_log_format_line2(context, level, format, arguments, line, sizeof line, &prefix);
    line[strcspn(line, "\n")] = '\0';
    log_debug("%s", line);
}

void libav_forward_log(void)
{
    av_log_set_callback(forward_line);
}

int libav_fail(int code, int result, const char *path, const char *what)
{
    if (result == AVERROR(ENOMEM)) return fail(ERR_SYSTEM, "%s: out of memory", path);
    if (result == AVERROR(ENOENT)) return fail(ERR_INPUT, "%s: no such file", path);
    char text[AV_ERROR_MAX_STRING_SIZE] = "unknown error";
    av_strerror(result, text, sizeof text);
    return fail(code, "%s: %s: %s", path, what, text);
}
