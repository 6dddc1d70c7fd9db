/* libFuzzer: any bytes as the body of a request, and as a parameter KEY=VALUE. The first byte picks
 * the endpoint. What is accepted must lie within its ranges. */
#include "serve/serve_ask.h"
#include "test/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void fuzz_check(struct serve_ask *ask)
{
    if (serve_ask_check(ask) < 0) return;
    int most = ask->endpoint == SERVE_SAMPLE ? SERVE_MOST_SAMPLES : SERVE_MOST_IMAGES;
    require(ask->n >= 1 && ask->n <= most);
    require(ask->columns >= 0 && ask->rows >= 0 && ask->columns * ask->rows <= SERVE_MOST_GRID);
    require(!ask->columns || ask->n <= ask->columns * ask->rows);
    require(ask->as_json || ask->n == 1 || ask->columns);
    require(memchr(ask->ignored, 0, sizeof ask->ignored) != NULL);
}

static void fuzz_parameter(struct serve_ask *ask, const uint8_t *data, size_t bytes)
{
    char *key = calloc(bytes + 1, 1), *equals;
    require(key != NULL);
    memcpy(key, data, bytes);
    equals = strchr(key, '=');
    if (equals) *equals = '\0';
    if (serve_ask_read_parameter(ask, key, equals ? equals + 1 : NULL) == 0) fuzz_check(ask);
    free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct serve_ask ask;
    if (bytes == 0) return 0;
    serve_ask_begin(&ask, (enum serve_endpoint)(*data % SERVE_WORKING));
    if (serve_ask_read_body(&ask, (const char *)data + 1, bytes - 1) == 0) fuzz_check(&ask);
    serve_ask_free(&ask);
    serve_ask_begin(&ask, (enum serve_endpoint)(*data % SERVE_WORKING));
    fuzz_parameter(&ask, data + 1, bytes - 1);
    serve_ask_free(&ask);
    return 0;
}
