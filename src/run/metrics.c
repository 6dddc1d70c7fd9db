#include "run/metrics.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

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

int metrics_open_file(const char *path, int64_t step, bool csv, int *fd)
{
    *fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (*fd < 0) return fail_errno(ERR_OUTPUT, "create %s", path);
    uint8_t *text = NULL;
    size_t bytes = 0;
    TRY(file_read(path, FILE_LIMIT, &text, &bytes));
    size_t good = good_bytes((const char *)text, bytes, step, csv);
    free(text);
    if (good < bytes && ftruncate(*fd, (off_t)good) != 0)
        return fail_errno(ERR_IO, "shorten %s", path);
    return OK;
}

int metrics_open(struct metrics *metrics, const char *run_dir, int64_t step)
{
    *metrics = (struct metrics){.jsonl_fd = -1, .csv_fd = -1};
    metrics->jsonl_path = path_join(run_dir, "metrics.jsonl");
    metrics->csv_path = path_join(run_dir, "metrics.csv");
    int code = metrics->jsonl_path && metrics->csv_path ? OK : ERR_SYSTEM;
    if (code == OK) code = metrics_open_file(metrics->jsonl_path, step, false, &metrics->jsonl_fd);
    if (code == OK) code = metrics_open_file(metrics->csv_path, step, true, &metrics->csv_fd);
    if (code < 0) metrics_close(metrics);
    return code;
}

/* A line that does not fit whole is taken back, so that the file stays readable. */
static void append_line(struct metrics *metrics, int fd, const char *path, char *line, size_t bytes)
{
    off_t end = lseek(fd, 0, SEEK_END);
    line[bytes] = '\n';
    if (file_write_all(fd, line, bytes + 1, path) == OK) return;
    if (end >= 0 && ftruncate(fd, end) != 0) log_debug("%s keeps a broken line", path);
    if (!metrics->warned) log_warning("%s; lines are left out, training goes on", error_message());
    metrics->warned = true;
}

void metrics_add(struct metrics *metrics, const struct record *record)
{
    char line[RECORD_BYTES + 1];
    size_t bytes = record_json(line, RECORD_BYTES, record, "");
    append_line(metrics, metrics->jsonl_fd, metrics->jsonl_path, line, bytes);
    if (lseek(metrics->csv_fd, 0, SEEK_END) == 0) {
        bytes = record_csv_head(line, RECORD_BYTES, record);
        append_line(metrics, metrics->csv_fd, metrics->csv_path, line, bytes);
    }
    bytes = record_csv(line, RECORD_BYTES, record);
    append_line(metrics, metrics->csv_fd, metrics->csv_path, line, bytes);
}

void metrics_close(struct metrics *metrics)
{
    if (metrics->jsonl_path && metrics->jsonl_fd >= 0) close(metrics->jsonl_fd);
    if (metrics->csv_path && metrics->csv_fd >= 0) close(metrics->csv_fd);
    free(metrics->jsonl_path);
    free(metrics->csv_path);
    *metrics = (struct metrics){.jsonl_fd = -1, .csv_fd = -1};
}
