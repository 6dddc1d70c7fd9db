#include "run/process_log.h"

#include "base/error.h"
#include "base/format.h"
#include "base/json.h"
#include "base/version.h"
#include "device/device.h"
#include "run/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static void process_log_write_head(FILE *out, const struct session *session, const char *event)
{
    char stamp[40] = "";
    struct tm calendar;
    time_t now = time(NULL);
    gmtime_r(&now, &calendar);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &calendar);
    fprintf(out, "{\"step\": %" PRId64 ", \"event\": \"%s\", \"time\": \"%s\", \"process\": %ld",
            session->step, event, stamp, (long)getpid());
}

static void process_log_write_word(FILE *out, const char *key, const char *word)
{
    fprintf(out, ", \"%s\": ", key);
    json_write_string(out, word);
}

static void process_log_write_machine(FILE *out, const struct session *session)
{
    struct utsname system = {0};
    struct sysinfo memory = {0};
    char text[3 * sizeof system.sysname + 8];
    uname(&system);
    snprintf(text, sizeof text, "%s %s, %s", system.sysname, system.release, system.machine);
    process_log_write_word(out, "device", session->device->name);
    process_log_write_word(out, "host", system.nodename);
    process_log_write_word(out, "system", text);
    process_log_write_word(out, "version", IMGTRAIN_VERSION);
    fprintf(out, ", \"processors\": %ld", sysconf(_SC_NPROCESSORS_ONLN));
    if (sysinfo(&memory) == 0)
        fprintf(out, ", \"memory\": %" PRIu64, (uint64_t)memory.totalram * memory.mem_unit);
    fprintf(out, ", \"total\": %" PRId64, session->total);
}

static void process_log_add(struct session *session, FILE *out, struct printed_text *line)
{
    fputs("}\n", out);
    if (printed_text_close(line, out) < 0) return;
    line_file_add(&session->process_lines, line->text, line->bytes);
    free(line->text);
}

int process_log_begin(struct session *session)
{
    struct printed_text line;
    if (session->process_lines.fd >= 0) return OK;
    TRY(line_file_open(&session->process_lines, session->folder.path, "processes.jsonl", INT64_MAX,
                       false));
    FILE *out = printed_text_open(&line);
    if (!out) return OK;
    process_log_write_head(out, session, "start");
    process_log_write_machine(out, session);
    process_log_add(session, out, &line);
    return OK;
}

void process_log_end(struct session *session, int code)
{
    struct printed_text line;
    FILE *out = session->process_lines.fd >= 0 ? printed_text_open(&line) : NULL;
    if (out) {
        process_log_write_head(out, session, "end");
        fprintf(out, ", \"status\": %d", error_exit_status(code));
        if (code < 0) process_log_write_word(out, "message", error_message());
        process_log_add(session, out, &line);
    }
    line_file_close(&session->process_lines);
}
