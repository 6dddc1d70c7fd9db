/* What a client asks for: the JSON body of a request, or the parameters behind its path, as texts
 * and numbers within their ranges. Nothing here touches a file or a model. */
#ifndef IMGTRAIN_SERVE_SERVE_ASK_H
#define IMGTRAIN_SERVE_SERVE_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The paths that are answered; those that work with a model come first. */
enum serve_endpoint {
    SERVE_GENERATIONS,            /* POST /v1/images/generations */
    SERVE_SAMPLE,                 /* POST /sample */
    SERVE_RENDER,                 /* GET /render */
    SERVE_UPSCALE,                /* POST /upscale */
    SERVE_WORKING,                /* how many work with a model */
    SERVE_MODELS = SERVE_WORKING, /* GET /v1/models */
    SERVE_HEALTH,                 /* GET /healthz */
    SERVE_METRICS,                /* GET /metrics */
    SERVE_PAGE,                   /* GET / */
    SERVE_ELSEWHERE,              /* any other path */
    SERVE_ENDPOINTS
};

/* "/sample"; "other" of SERVE_ELSEWHERE. */
const char *serve_endpoint_path(enum serve_endpoint endpoint);
/* "POST" or "GET". */
const char *serve_endpoint_method(enum serve_endpoint endpoint);
/* The endpoint of a path. */
enum serve_endpoint serve_endpoint_find(const char *path);

/* Images of one request: as many as OpenAI's API gives, and a grid's. */
enum { SERVE_MOST_IMAGES = 10, SERVE_MOST_SAMPLES = 64, SERVE_MOST_GRID = 64 };

struct serve_ask {
    enum serve_endpoint endpoint;
    /* malloc; NULL: not given. Numbers that another module reads stay texts. */
    char *model, *prompt, *negative, *label, *size, *steps, *guidance, *crop, *scale, *alpha;
    uint64_t seed;
    bool has_seed;
    int n;             /* images, from 1 on; 0: not given */
    int columns, rows; /* of a grid; 0: none */
    bool as_json;      /* base64 within JSON; else a PNG */
    char ignored[128]; /* keys that were given and have no effect: "quality, user" */
    const char *wrong; /* the key that an error is about; NULL: none */
};

/* The defaults of an endpoint. */
void serve_ask_begin(struct serve_ask *ask, enum serve_endpoint endpoint);
/* Reads a JSON object into an `ask` that has begun. ERR_USAGE with one line for the
 * client, and ask->wrong, for anything but an object of this endpoint's keys, each at most once. */
int serve_ask_read_body(struct serve_ask *ask, const char *body, size_t bytes);
/* One parameter behind the path. The same errors. */
int serve_ask_read_parameter(struct serve_ask *ask, const char *key, const char *value);
/* Adds a key to `ignored`, unless it is there already: it has room for each once. */
void serve_ask_ignore(struct serve_ask *ask, const char *key);
/* What excludes itself once all is read, and the number of images. ERR_USAGE. */
int serve_ask_check(struct serve_ask *ask);
void serve_ask_free(struct serve_ask *ask);

#endif
