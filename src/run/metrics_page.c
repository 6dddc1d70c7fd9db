#include "run/metrics_page.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/format.h"
#include "base/log.h"
#include "base/utf8.h"
#include "config/config.h"
#include "device/device.h"
#include "run/model_versions.h"
#include "run/session.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct metrics_page {
    FILE *out;
    const struct session *session;
    const char *run; /* its name */
};

/* In the value of a label. */
static bool page_escape(FILE *out, unsigned char byte)
{
    if (byte == '\\' || byte == '"')
        fprintf(out, "\\%c", byte);
    else if (byte == '\n')
        fputs("\\n", out);
    else
        return false;
    return true;
}

/* Names may hold letters, digits and _ only. */
static void page_write(const struct metrics_page *page, const char *name, double value,
                       const char *help)
{
    FILE *out = page->out;
    char clean[80];
    size_t used = 0;
    if (isnan(value)) return;
    for (; name[used] && used + 1 < sizeof clean; used++) {
        char c = name[used];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        clean[used] = '_';
        if (fine) clean[used] = c;
    }
    clean[used] = '\0';
    fprintf(out, "# HELP imgtrain_%s %s\n# TYPE imgtrain_%s gauge\nimgtrain_%s{run=\"", clean, help,
            clean, clean);
    utf8_write(out, page->run, page_escape);
    fprintf(out, "\",task=\"%s\"} ", page->session->task->name);
    if (isinf(value))
        fprintf(out, "%sInf\n", value > 0 ? "+" : "-");
    else
        fprintf(out, "%.17g\n", value);
}

static void page_write_all(const struct metrics_page *page, int status)
{
    const struct session *session = page->session;
    const struct task_report *report = &session->report;
    const struct device *device = session->device;
    page_write(page, "running", status < 0, "whether the run goes on");
    if (status >= 0) page_write(page, "exit_status", status, "how its process ended");
    page_write(page, "updated_timestamp_seconds", (double)time(NULL), "when this was said");
    page_write(page, "step", (double)session->step, "steps done");
    page_write(page, "steps_wanted", (double)session->total, "steps of the whole run");
    page_write(page, "train_seconds", session_seconds(session), "time in training");
    page_write(page, "steps_per_second", session->rate, "speed");
    page_write(page, "device_memory_bytes", (double)device->used_bytes, "in use");
    page_write(page, "device_memory_peak_bytes", (double)device->peak_bytes, "most so far");
    page_write(page, "host_memory_bytes", (double)device->host_bytes,
               "of the plan, outside the device");
    if (session->mode >= 0)
        page_write(page, "memory_level", session->ladder.modes[session->mode].mode.level,
                   "of the ladder");
    int64_t pushed, failed;
    model_versions_count(session, &pushed, &failed);
    if (session->git) page_write(page, "git_pushed", (double)pushed, "versions, by this process");
    if (session->git) page_write(page, "git_failed", (double)failed, "versions not pushed");
    page_write(page, "loss", report->loss, "as in metrics.csv");
    for (int i = 0; i < report->metric_count; i++)
        page_write(page, report->metrics[i].name, report->metrics[i].value, "as in metrics.csv");
}

static char *page_path(const char *wanted, const char *run)
{
    if (!file_is_dir(wanted)) return string_format("%s", wanted);
    char *name = string_format("imgtrain-%s.prom", run);
    char *path = name ? path_join(wanted, name) : NULL;
    free(name);
    return path;
}

static void page_replace(struct session *session, int status)
{
    const char *wanted = session->config->prometheus;
    struct printed_text page = {.text = NULL};
    if (!*wanted || session->page_failed) return;
    char *run = file_folder_name(session->folder.path);
    char *path = run ? page_path(wanted, run) : NULL;
    FILE *out = path ? printed_text_open(&page) : NULL;
    if (out) page_write_all(&(struct metrics_page){out, session, run}, status);
    int code = out ? printed_text_close(&page, out) : ERR_SYSTEM;
    if (code == OK) code = file_atomic_write_whole(path, page.text, page.bytes, false);
    if (code < 0) log_warning("prometheus: %s; not tried again, training goes on", error_message());
    session->page_failed = code < 0;
    free(page.text);
    free(path);
    free(run);
}

void metrics_page_write(struct session *session)
{
    page_replace(session, -1);
}

void metrics_page_end(struct session *session, int code)
{
    page_replace(session, error_exit_status(code));
}
