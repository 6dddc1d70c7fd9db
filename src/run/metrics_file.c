#include "run/metrics_file.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/retry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_LIMIT = 1 << 30 };

/* The step of a line of either file; -1 for a head row, INT64_MAX for what is neither. */
static int64_t line_step(const char *line, bool csv)
{
    static const char head[] = "{\"step\": ";
    if (csv && strncmp(line, "step,", 5) == 0) return -1;
    if (!csv) {
        if (strncmp(line, head, sizeof head - 1) != 0) return INT64_MAX;
        line += sizeof head - 1;
    }
    char *end;
    long long step = strtoll(line, &end, 10);
    return end == line || *end != ',' ? INT64_MAX : step;
}

/* The length of the leading part whose lines are whole and at most `step`. */
static size_t good_bytes(const char *text, size_t bytes, int64_t step, bool csv)
{
    size_t good = 0;
    while (good < bytes) {
        const char *end = memchr(text + good, '\n', bytes - good);
        if (!end || line_step(text + good, csv) > step) break;
        good = (size_t)(end - text) + 1;
    }
    return good;
}

int line_file_open(struct line_file *file, const char *run_dir, const char *name, int64_t step,
                   bool csv)
{
    uint8_t *text = NULL;
    size_t bytes = 0;
    *file = (struct line_file){.fd = -1, .path = path_join(run_dir, name)};
    int code = file->path ? OK : ERR_SYSTEM;
    if (code == OK)
        code = file_open_own(file->path, O_RDWR | O_CREAT | O_APPEND, ERR_OUTPUT, &file->fd);
    if (code == OK) code = file_read_open(file->fd, file->path, FILE_LIMIT, &text, &bytes);
    if (code == OK) file->good = (int64_t)good_bytes((const char *)text, bytes, step, csv);
    if (code == OK && (size_t)file->good < bytes && retry_ftruncate(file->fd, file->good) != 0)
        code = fail_errno(ERR_IO, "shorten %s", file->path);
    free(text);
    if (code < 0) line_file_close(file);
    return code;
}

/* Writes what is held. A line that does not fit whole is taken back, so that the file stays
 * readable, and is held on to. */
static int write_held(struct line_file *file)
{
    if (file->held_bytes == 0) return OK;
    if (file->half_line && retry_ftruncate(file->fd, file->good) != 0)
        return fail_errno(ERR_IO, "shorten %s", file->path);
    int code = file_write_all(file->fd, file->held, file->held_bytes, file->path);
    if (code == OK) {
        file->good += (int64_t)file->held_bytes;
        file->held_bytes = 0;
    }
    file->half_line = code < 0 && retry_ftruncate(file->fd, file->good) != 0;
    return code;
}

static void warn_once(struct line_file *file)
{
    if (!file->warned)
        log_warning("%s; lines are kept and written later, training goes on", error_message());
    file->warned = true;
}

void line_file_add(struct line_file *file, const char *line, size_t bytes)
{
    if (file->fd < 0) return;
    char *larger = realloc(file->held, file->held_bytes + bytes);
    if (!larger) {
        log_warning("%s lacks a line: out of memory", file->path);
        return;
    }
    file->held = larger;
    memcpy(file->held + file->held_bytes, line, bytes);
    file->held_bytes += bytes;
    if (write_held(file) < 0) warn_once(file);
}

bool line_file_is_empty(const struct line_file *file)
{
    return file->good == 0 && file->held_bytes == 0;
}

void line_file_sync(struct line_file *file)
{
    if (file->fd < 0) return;
    if (write_held(file) < 0) {
        warn_once(file);
    } else if (retry_fsync(file->fd) != 0 && errno != EINVAL) {
        fail_errno(ERR_IO, "sync %s", file->path);
        warn_once(file);
    }
}

void line_file_close(struct line_file *file)
{
    size_t lines = 0;
    if (file->fd >= 0 && write_held(file) < 0) {
        for (size_t i = 0; i < file->held_bytes; i++)
            lines += file->held[i] == '\n';
        log_warning("%s; it lacks %zu line%s", error_message(), lines, lines == 1 ? "" : "s");
    }
    if (file->path && file->fd >= 0) retry_close(file->fd);
    free(file->path);
    free(file->held);
    *file = (struct line_file){.fd = -1};
}

int metrics_open(struct metrics *metrics, const char *run_dir, int64_t step)
{
    metrics->csv = (struct line_file){.fd = -1};
    TRY(line_file_open(&metrics->jsonl, run_dir, "metrics.jsonl", step, false));
    int code = line_file_open(&metrics->csv, run_dir, "metrics.csv", step, true);
    if (code < 0) metrics_close(metrics);
    return code;
}

static void add_line(struct line_file *file, char *line, size_t bytes)
{
    line[bytes] = '\n';
    line_file_add(file, line, bytes + 1);
}

void metrics_add(struct metrics *metrics, const struct record *record)
{
    char line[RECORD_BYTES + 1];
    add_line(&metrics->jsonl, line, record_json(line, RECORD_BYTES, record, ""));
    if (line_file_is_empty(&metrics->csv))
        add_line(&metrics->csv, line, record_csv_head(line, RECORD_BYTES, record));
    add_line(&metrics->csv, line, record_csv(line, RECORD_BYTES, record));
}

void metrics_sync(struct metrics *metrics)
{
    line_file_sync(&metrics->jsonl);
    line_file_sync(&metrics->csv);
}

void metrics_close(struct metrics *metrics)
{
    line_file_close(&metrics->jsonl);
    line_file_close(&metrics->csv);
}
