/* imgtrain serve: models over HTTP. */
#include "base/error.h"
#include "base/log.h"
#include "base/parse_number.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/serve/serve_models.h"
#include "run/signals.h"
#include "serve/serve.h"

#include <stdio.h>
#include <stdlib.h>

enum { PORT = 8000, MOST_PORT = 65535, QUEUE = 64, MOST_QUEUE = 100000 };
enum { PIXELS = 1 << 24, MOST_TOGETHER = 64, BATCH = 16, SECONDS = 120, MOST_SECONDS = 86400 };
static const uint64_t MOST_BODY = (uint64_t)1 << 31;

struct serve_command {
    const char *host, *device;
    int64_t port, queue, seconds, pixels, at_once;
    uint64_t memory_limit, body;
};

/* Of a platform that says which; --port wins. */
static int serve_choose_port(struct serve_command *c)
{
    const char *text = getenv("PORT");
    if (c->port >= 0) return OK;
    c->port = PORT;
    if (!text || !*text) return OK;
    if (number_parse_int(text, &c->port) && c->port >= 0 && c->port <= MOST_PORT) return OK;
    return fail(ERR_USAGE, "PORT=%.40s in the environment: a port from 0 to %d is needed", text,
                MOST_PORT);
}

/* What scripts wait for. */
static void serve_say_listening(const char *url)
{
    printf("%s\n", url);
    fflush(stdout);
    log_info("listening on %s", url);
}

static int serve_listen(const struct serve_command *c, struct serve_models *models)
{
    const char *key = getenv("IMGTRAIN_API_KEY");
    const struct serve_backend backend = serve_models_backend(models);
    const struct serve_options options = {.host = c->host,
                                          .port = (int)c->port,
                                          .key = key && *key ? key : NULL,
                                          .queue = (int)c->queue,
                                          .at_once = (int)c->at_once,
                                          .seconds = (double)c->seconds,
                                          .body = (size_t)c->body,
                                          .backend = &backend,
                                          .listening = serve_say_listening,
                                          .stop_requested = signals_stop_requested};
    signals_install();
    signals_set_unsaved(true); /* a stop waits for the requests */
    int code = serve_run(&options);
    signals_set_unsaved(false);
    if (code == OK) log_info("stopped (%s)", signals_stop_reason());
    return code;
}

static int serve_models_of(struct serve_command *c, char **operands, int count)
{
    struct serve_models models = {
        .device = c->device, .memory_limit = c->memory_limit, .pixels = c->pixels};
    TRY(serve_check_library());
    TRY(serve_choose_port(c));
    if (c->body == 0 || c->body > MOST_BODY)
        return fail(ERR_USAGE, "--max-body: from 1 byte to 2GiB");
    int code = serve_models_open(&models, operands, count);
    if (code == OK) code = serve_listen(c, &models);
    serve_models_close(&models);
    return code;
}

int cmd_serve(int argc, char **argv)
{
    struct serve_command c = {.device = "auto",
                              .port = -1,
                              .queue = QUEUE,
                              .seconds = SECONDS,
                              .pixels = PIXELS,
                              .at_once = BATCH,
                              .body = (uint64_t)32 << 20};
    const struct option_row rows[] = {
        {.name = "port",
         .argument = "N",
         .integer = &c.port,
         .low = 0,
         .high = MOST_PORT,
         .help = "where to listen (PORT of the environment, else 8000); 0: one that is free"},
        OPTION_TEXT("host", "ADDRESS", &c.host,
                    "127.0.0.1; with a key in IMGTRAIN_API_KEY 0.0.0.0: every address"),
        {.name = "queue",
         .argument = "N",
         .integer = &c.queue,
         .low = 1,
         .high = MOST_QUEUE,
         .help = "requests that wait at most (64): above it 503"},
        {.name = "timeout",
         .argument = "SECONDS",
         .integer = &c.seconds,
         .low = 1,
         .high = MOST_SECONDS,
         .help = "for a request, waiting included (120): above it 503 or 504"},
        {.name = "max-body",
         .argument = "BYTES",
         .bytes = &c.body,
         .help = "of a picture that is sent (32MiB): above it 413"},
        {.name = "max-pixels",
         .argument = "N",
         .integer = &c.pixels,
         .low = 1,
         .high = (int64_t)1 << 40,
         .help = "that a request makes (16777216): above it 400"},
        {.name = "batch",
         .argument = "N",
         .integer = &c.at_once,
         .low = 1,
         .high = MOST_TOGETHER,
         .help = "requests that a GAN answers at a time (16); changes no image"},
        OPTION_DEVICE(&c.device),
        OPTION_MEMORY_LIMIT(&c.memory_limit,
                            "most device memory to use: 512MB, 2GB; below it less at a time, then "
                            "the CPU"),
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain serve [NAME=]MODEL... [--port N] [--host ADDRESS]",
        .about = "Answers over HTTP with models, each loaded when it is first asked: POST\n"
                 "/v1/images/generations (as OpenAI's clients ask) and /sample (GANs, diffusion),\n"
                 "GET /render (fits), POST /upscale (super-resolution), and a page at /.\n"
                 "Clients show the key in IMGTRAIN_API_KEY; without one only this machine may\n"
                 "ask. SIGTERM finishes what was asked for.",
        .options = rows,
        .min_operands = 1,
        .max_operands = -1,
        .examples = "imgtrain serve runs/photos-001 --port 8000\n"
                    "IMGTRAIN_API_KEY=secret imgtrain serve faces=runs/a cats=runs/b\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    return serve_models_of(&c, argv + 1, operands);
}
