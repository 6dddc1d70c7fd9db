#include "serve/http_library.h"

#include "base/error.h"
#include "image/library.h"
#include "serve/serve.h"

#include <stdio.h>

struct http_library http;

int http_library_open(void)
{
    static struct image_library library = {"libmicrohttpd.so.12", PTHREAD_MUTEX_INITIALIZER, false};
    static const struct image_function functions[] = {
        {"MHD_start_daemon", &http.start_daemon},
        {"MHD_stop_daemon", &http.stop_daemon},
        {"MHD_quiesce_daemon", &http.quiesce_daemon},
        {"MHD_create_response_from_buffer", &http.response_from_buffer},
        {"MHD_add_response_header", &http.add_header},
        {"MHD_queue_response", &http.queue_response},
        {"MHD_destroy_response", &http.destroy_response},
        {"MHD_lookup_connection_value", &http.lookup_value},
        {"MHD_get_connection_values", &http.each_value},
        {"MHD_get_connection_info", &http.info},
        {"MHD_suspend_connection", &http.suspend},
        {"MHD_resume_connection", &http.resume},
        {"MHD_get_version", &http.version},
    };
    if (image_library_open(&library, functions, sizeof functions / sizeof *functions) == OK)
        return OK;
    return fail_within(ERR_DEVICE, "no HTTP server (Debian: libmicrohttpd12)");
}

int serve_check_library(void)
{
    return http_library_open();
}

struct serve_version serve_http_version(void)
{
    struct serve_version version;
    if (http_library_open() == OK)
        snprintf(version.text, sizeof version.text, "libmicrohttpd %s", http.version());
    else
        snprintf(version.text, sizeof version.text, "no: %s", error_message());
    return version;
}
