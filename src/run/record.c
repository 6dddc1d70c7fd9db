#include "run/record.h"

#include "base/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct text {
    char *out;
    size_t room, used;
};

static void __attribute__((format(printf, 2, 3)))
record_append(struct text *text, const char *format, ...)
{
    if (text->used >= text->room) return;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text->out + text->used, text->room - text->used, format, args);
    va_end(args);
    text->used += n > 0 ? (size_t)n : 0;
    if (text->used >= text->room) text->used = text->room - 1;
}

static void append_member(struct text *text, const char *name, double value)
{
    if (isfinite(value))
        record_append(text, ", \"%s\": %.9g", name, value);
    else
        record_append(text, ", \"%s\": null", name);
}

/* The parts of a mode that a run may change while it trains: they say with what the numbers of a
 * line were made. */
enum { PART_LEVEL, PART_SIZE, PART_BATCH, PARTS };
static const char *const parts[PARTS] = {"level", "size", "batch"};

/* A task may report its work itself, by its own names. */
static bool record_has_batch(const struct task_report *report)
{
    for (int i = 0; i < report->metric_count; i++)
        if (strcmp(report->metrics[i].name, parts[PART_BATCH]) == 0) return true;
    return false;
}

/* -1: the task has no such part. */
static int record_part_of(const struct record *record, int part)
{
    const struct memory_mode *c = record->mode;
    if (!c) return -1;
    if (part == PART_LEVEL) return c->level;
    if (record_has_batch(record->report)) return -1;
    int value = part == PART_SIZE ? c->work.size : c->work.batch;
    return value ? value : -1;
}

size_t record_json(char *out, size_t room, const struct record *record, const char *extra)
{
    struct text text = {out, room, 0};
    const struct task_report *report = record->report;
    bool nonfinite = !isfinite(report->loss);
    record_append(&text, "{\"step\": %lld", (long long)record->step);
    append_member(&text, "loss", report->loss);
    for (int i = 0; i < report->metric_count; i++) {
        append_member(&text, report->metrics[i].name, report->metrics[i].value);
        if (isinf(report->metrics[i].value)) nonfinite = true;
    }
    append_member(&text, "seconds", record->seconds);
    append_member(&text, "steps_per_second", record->steps_per_second);
    record_append(&text, ", \"bytes\": %lld", (long long)record->bytes);
    for (int i = 0; i < PARTS; i++)
        if (record_part_of(record, i) >= 0)
            record_append(&text, ", \"%s\": %d", parts[i], record_part_of(record, i));
    record_append(&text, "%s%s}", nonfinite ? ", \"nonfinite\": true" : "", extra);
    return text.used;
}

static void append_cell(struct text *text, double value)
{
    if (isfinite(value))
        record_append(text, ",%.9g", value);
    else
        record_append(text, ",");
}

size_t record_csv(char *out, size_t room, const struct record *record)
{
    struct text text = {out, room, 0};
    const struct task_report *report = record->report;
    record_append(&text, "%lld", (long long)record->step);
    append_cell(&text, report->loss);
    for (int i = 0; i < report->metric_count; i++)
        append_cell(&text, report->metrics[i].value);
    append_cell(&text, record->seconds);
    append_cell(&text, record->steps_per_second);
    record_append(&text, ",%lld", (long long)record->bytes);
    for (int i = 0; i < PARTS; i++)
        if (record_part_of(record, i) >= 0) record_append(&text, ",%d", record_part_of(record, i));
    return text.used;
}

size_t record_csv_head(char *out, size_t room, const struct record *record)
{
    struct text text = {out, room, 0};
    record_append(&text, "step,loss");
    for (int i = 0; i < record->report->metric_count; i++)
        record_append(&text, ",%s", record->report->metrics[i].name);
    record_append(&text, ",seconds,steps_per_second,bytes");
    for (int i = 0; i < PARTS; i++)
        if (record_part_of(record, i) >= 0) record_append(&text, ",%s", parts[i]);
    return text.used;
}

size_t record_json_string(char *out, size_t room, const char *in)
{
    struct text text = {out, room, 0};
    record_append(&text, "\"");
    for (size_t length; *in; in += length) {
        unsigned char c = (unsigned char)*in;
        length = utf8_length(in, strlen(in));
        if (length == 0) { /* a folder's name may be any bytes, JSON may not */
            record_append(&text, "\xEF\xBF\xBD");
            length = 1;
        } else if (c == '"' || c == '\\') {
            record_append(&text, "\\%c", c);
        } else if (c < 0x20) {
            record_append(&text, "\\u%04x", c);
        } else {
            record_append(&text, "%.*s", (int)length, in);
        }
    }
    record_append(&text, "\"");
    return text.used;
}
