/* The place of the other http_*.c in a build without libmicrohttpd. */
#include "base/error.h"
#include "serve/serve.h"

int serve_check_library(void)
{
    return fail(ERR_DEVICE, "this build has no HTTP server: install libmicrohttpd-dev and make "
                            "again, without HTTP=0");
}

int serve_run(const struct serve_options *options)
{
    (void)options;
    return serve_check_library();
}

struct serve_version serve_http_version(void)
{
    return (struct serve_version){"not built in"};
}
