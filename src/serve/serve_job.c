#include "serve/serve_job.h"

#include "base/base64.h"
#include "base/format.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void serve_job_fail(struct serve_job *job, int status, const char *code, const char *format, ...)
{
    if (job->status) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(job->message, sizeof job->message, format, arguments);
    va_end(arguments);
    job->status = status;
    job->code = code;
}

void serve_job_add_image(struct serve_job *job, uint8_t *png, size_t bytes, uint64_t seed)
{
    job->images[job->image_count++] = (struct serve_image){png, bytes, seed};
}

void serve_job_clear_images(struct serve_job *job)
{
    for (int i = 0; i < job->image_count; i++)
        free(job->images[i].png);
    job->image_count = 0;
}

/* ---- the answer ---- */

/* As OpenAI's API says what went wrong. */
static void job_print_error(const struct serve_job *job, FILE *out)
{
    const char *type = job->status < 500    ? "invalid_request_error"
                       : job->status == 500 ? "server_error"
                                            : "overloaded_error";
    if (job->status == 401) type = "authentication_error";
    fputs("{\"error\": {\"message\": ", out);
    json_write_string(out, job->message);
    fprintf(out, ", \"type\": \"%s\", \"param\": ", type);
    if (job->ask.wrong)
        json_write_string(out, job->ask.wrong);
    else
        fputs("null", out);
    fputs(", \"code\": ", out);
    if (job->code)
        json_write_string(out, job->code);
    else
        fputs("null", out);
    fputs("}}\n", out);
}

static int job_print_images(const struct serve_job *job, FILE *out)
{
    fprintf(out, "{\"created\": %lld, ", (long long)time(NULL));
    if (*job->ask.ignored) {
        fputs("\"ignored\": ", out);
        json_write_string(out, job->ask.ignored);
        fputs(", ", out);
    }
    fputs("\"data\": [", out);
    for (int i = 0; i < job->image_count; i++) {
        char *text = base64_encode(job->images[i].png, job->images[i].bytes);
        if (!text) return -1;
        fprintf(out, "%s{\"seed\": %" PRIu64 ", \"b64_json\": \"", i ? ", " : "",
                job->images[i].seed);
        fputs(text, out);
        fputs("\"}", out);
        free(text);
    }
    fputs("]}\n", out);
    return 0;
}

static int job_print(struct serve_job *job)
{
    struct printed_text answer;
    FILE *out = printed_text_open(&answer);
    int printed = 0;
    if (!out) return -1;
    job->type = "application/json";
    if (job->status >= 400)
        job_print_error(job, out);
    else
        printed = job_print_images(job, out);
    if (printed_text_close(&answer, out) < 0) return -1;
    if (printed < 0) {
        free(answer.text);
        return -1;
    }
    job->answer = answer.text;
    job->answer_bytes = answer.bytes;
    return 0;
}

void serve_job_answer(struct serve_job *job)
{
    if (job->status == 0 && job->image_count == 0)
        serve_job_fail(job, 500, NULL, "no image was made");
    if (job->status == 0) {
        job->status = 200;
        if (!job->ask.as_json) {
            job->answer = (char *)job->images[0].png;
            job->answer_bytes = job->images[0].bytes;
            job->images[0].png = NULL;
            job->type = "image/png";
            return;
        }
    }
    if (job_print(job) < 0) job->status = 500; /* without memory for words */
}

void serve_job_free(struct serve_job *job)
{
    if (!job) return;
    serve_job_clear_images(job);
    serve_ask_free(&job->ask);
    free(job->body);
    free(job->answer);
    free(job);
}
