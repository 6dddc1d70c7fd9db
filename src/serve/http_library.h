/* Inside src/serve: the functions of libmicrohttpd, which is opened by the first serve. */
#ifndef IMGTRAIN_SERVE_HTTP_LIBRARY_H
#define IMGTRAIN_SERVE_HTTP_LIBRARY_H

#include <microhttpd.h>

struct http_library {
    __typeof__(MHD_start_daemon) *start_daemon;
    __typeof__(MHD_stop_daemon) *stop_daemon;
    __typeof__(MHD_quiesce_daemon) *quiesce_daemon;
    __typeof__(MHD_create_response_from_buffer) *response_from_buffer;
    __typeof__(MHD_add_response_header) *add_header;
    __typeof__(MHD_queue_response) *queue_response;
    __typeof__(MHD_destroy_response) *destroy_response;
    __typeof__(MHD_lookup_connection_value) *lookup_value;
    __typeof__(MHD_get_connection_values) *each_value;
    __typeof__(MHD_get_connection_info) *info;
    __typeof__(MHD_suspend_connection) *suspend;
    __typeof__(MHD_resume_connection) *resume;
    __typeof__(MHD_get_version) *version;
};

extern struct http_library http;

/* ERR_DEVICE, with the reason. */
int http_library_open(void);

#endif
