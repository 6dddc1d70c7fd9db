#include "video/libav.h"

#include "base/error.h"
#include "base/log.h"

#include <dlfcn.h>
#include <errno.h>
#include <libavutil/error.h>
#include <libavutil/log.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct libav_api libav;

/* Each library stands behind those that it needs. They are never closed: their threads and handlers
 * at exit may outlive every use. */
enum { LIBRARY_avutil, LIBRARY_avcodec, LIBRARY_avformat, LIBRARY_COUNT };
static const char *const libav_sonames[LIBRARY_COUNT] = {
    "libavutil.so." AV_STRINGIFY(LIBAVUTIL_VERSION_MAJOR),
    "libavcodec.so." AV_STRINGIFY(LIBAVCODEC_VERSION_MAJOR),
    "libavformat.so." AV_STRINGIFY(LIBAVFORMAT_VERSION_MAJOR),
};

static const struct {
    int soname; /* of libav_sonames */
    const char *name;
    void *slot;
} libav_functions[] = {
#define LIBAV_SLOT(library, name) {LIBRARY_##library, #name, &libav.name},
    LIBAV_FUNCTIONS(LIBAV_SLOT)
#undef LIBAV_SLOT
};

static void forward_line(void *context, int level, const char *format, va_list arguments)
{
    if (level > AV_LOG_WARNING) return;
    char line[512];
    int prefix = 1;
    libav.av_log_format_line2(context, level, format, arguments, line, sizeof line, &prefix);
    line[strcspn(line, "\n")] = '\0';
    log_debug("%s", line);
}

static int libav_load(void)
{
    void *opened[LIBRARY_COUNT];
    for (int i = 0; i < LIBRARY_COUNT; i++) {
        opened[i] = dlopen(libav_sonames[i], RTLD_NOW | RTLD_LOCAL);
        if (!opened[i]) return fail(ERR_DEVICE, "FFmpeg cannot be used: %.300s", dlerror());
    }
    for (size_t i = 0; i < sizeof libav_functions / sizeof *libav_functions; i++) {
        void *function = dlsym(opened[libav_functions[i].soname], libav_functions[i].name);
        if (!function)
            return fail(ERR_DEVICE, "FFmpeg cannot be used: %s has no %s",
                        libav_sonames[libav_functions[i].soname], libav_functions[i].name);
        memcpy(libav_functions[i].slot, &function, sizeof function);
    }
    libav.av_log_set_callback(forward_line);
    return OK;
}

int libav_open(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool loaded;
    pthread_mutex_lock(&lock);
    int code = loaded ? OK : libav_load();
    loaded = code == OK;
    pthread_mutex_unlock(&lock);
    return code;
}

int libav_fail(int code, int result, const char *path, const char *what)
{
    if (result == AVERROR(ENOMEM)) return fail(ERR_SYSTEM, "%s: out of memory", path);
    if (result == AVERROR(ENOENT)) return fail(ERR_INPUT, "%s: no such file", path);
    char text[AV_ERROR_MAX_STRING_SIZE] = "unknown error";
    libav.av_strerror(result, text, sizeof text);
    return fail(code, "%s: %s: %s", path, what, text);
}
