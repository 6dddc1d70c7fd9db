/* TFRecord: length, its masked CRC-32C, the data, its masked CRC-32C. The data is a message Event
 * of TensorFlow's event.proto in the wire format of protocol buffers; field numbers below are its.
 */
#include "run/event_file.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/retry.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENT_WALL_TIME = 1,
    EVENT_STEP = 2,
    EVENT_FILE_VERSION = 3,
    EVENT_SUMMARY = 5,
    EVENT_SESSION_LOG = 7,
    SUMMARY_VALUE = 1,
    VALUE_TAG = 1,
    VALUE_SIMPLE = 2,
    VALUE_IMAGE = 4,
    IMAGE_HEIGHT = 1,
    IMAGE_WIDTH = 2,
    IMAGE_COLORSPACE = 3,
    IMAGE_ENCODED = 4,
    SESSION_STATUS = 1,
    SESSION_START = 1,
    COLORSPACE_RGB = 3
};

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* ---- a message ---- */

struct message {
    uint8_t *data;
    size_t used, room;
    bool failed; /* without memory */
};

static void message_add(struct message *m, const void *data, size_t bytes)
{
    if (m->used + bytes > m->room) {
        size_t room = 2 * m->room + bytes + 64;
        uint8_t *larger = realloc(m->data, room);
        if (!larger) {
            m->failed = true;
            return;
        }
        m->data = larger;
        m->room = room;
    }
    memcpy(m->data + m->used, data, bytes);
    m->used += bytes;
}

static void message_add_varint(struct message *m, uint64_t value)
{
    uint8_t bytes[10];
    size_t count = 0;
    do {
        bytes[count] = (uint8_t)((value & 0x7F) | (value > 0x7F ? 0x80 : 0));
        value >>= 7;
        count++;
    } while (value > 0);
    message_add(m, bytes, count);
}

static void message_add_key(struct message *m, int field, int wire)
{
    message_add_varint(m, (uint64_t)field << 3 | (uint64_t)wire);
}

static void message_add_int(struct message *m, int field, int64_t value)
{
    message_add_key(m, field, WIRE_VARINT);
    message_add_varint(m, (uint64_t)value);
}

static void message_add_bytes(struct message *m, int field, const void *data, size_t bytes)
{
    message_add_key(m, field, WIRE_BYTES);
    message_add_varint(m, bytes);
    message_add(m, data, bytes);
}

/* Takes `part`. */
static void message_add_message(struct message *m, int field, struct message *part)
{
    m->failed = m->failed || part->failed;
    if (!m->failed) message_add_bytes(m, field, part->data, part->used);
    free(part->data);
    *part = (struct message){0};
}

/* The machines that this runs on store numbers as the format does: little end first. */
static void message_add_float(struct message *m, int field, float value)
{
    message_add_key(m, field, WIRE_32);
    message_add(m, &value, sizeof value);
}

static void message_begin_event(struct message *m, int64_t step)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    *m = (struct message){0};
    message_add_key(m, EVENT_WALL_TIME, WIRE_64);
    message_add(m, &seconds, sizeof seconds);
    message_add_int(m, EVENT_STEP, step);
}

/* ---- a record ---- */

static uint32_t event_crc32c(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    uint32_t crc = 0xFFFFFFFFu;
    for (; bytes > 0; bytes--, p++) {
        crc ^= *p;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

static uint32_t event_masked_crc(const void *data, size_t bytes)
{
    uint32_t crc = event_crc32c(data, bytes);
    return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

/* A record that does not fit whole is taken back, so that the file stays readable. */
static int event_write_record(struct event_file *file, const struct message *m)
{
    struct message record = {0};
    uint64_t length = m->used;
    uint32_t crc = event_masked_crc(&length, sizeof length);
    message_add(&record, &length, sizeof length);
    message_add(&record, &crc, sizeof crc);
    message_add(&record, m->data, m->used);
    crc = event_masked_crc(m->data, m->used);
    message_add(&record, &crc, sizeof crc);
    int code = m->failed || record.failed ? fail(ERR_SYSTEM, "out of memory") : OK;
    if (code == OK && file->half_record && retry_ftruncate(file->fd, file->good) != 0)
        code = fail_errno(ERR_IO, "shorten %s", file->path);
    else if (code == OK)
        code = file_write_all(file->fd, record.data, record.used, file->path);
    if (code == OK) file->good += (int64_t)record.used;
    file->half_record = code < 0 && retry_ftruncate(file->fd, file->good) != 0;
    free(record.data);
    return code;
}

/* Takes the message. */
static void event_add(struct event_file *file, struct message *m)
{
    pthread_mutex_lock(&file->lock);
    int code = event_write_record(file, m);
    if (code < 0 && !file->warned)
        log_warning("%s; events are left out, training goes on", error_message());
    file->warned = file->warned || code < 0;
    pthread_mutex_unlock(&file->lock);
    free(m->data);
}

/* ---- what there is to say ---- */

int event_file_open(struct event_file *file, const char *run_dir)
{
    static const char version[] = "brain.Event:2";
    char host[65] = "host";
    struct message m;
    gethostname(host, sizeof host - 1);
    for (char *c = host; *c; c++)
        if (*c == '/') *c = '-';
    *file = (struct event_file){.fd = -1};
    file->path = string_format("%s/events.out.tfevents.%lld.%s.%ld.0", run_dir,
                               (long long)time(NULL), host, (long)getpid());
    if (!file->path) return ERR_SYSTEM;
    pthread_mutex_init(&file->lock, NULL);
    int code =
        file_open_own(file->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, ERR_OUTPUT, &file->fd);
    if (code < 0) {
        event_file_close(file);
        return code;
    }
    message_begin_event(&m, 0);
    message_add_bytes(&m, EVENT_FILE_VERSION, version, sizeof version - 1);
    event_add(file, &m);
    return OK;
}

void event_file_restart(struct event_file *file, int64_t step)
{
    struct message m, log = {0};
    if (file->fd < 0) return;
    message_begin_event(&m, step + 1);
    message_add_int(&log, SESSION_STATUS, SESSION_START);
    message_add_message(&m, EVENT_SESSION_LOG, &log);
    event_add(file, &m);
}

static void event_add_scalar(struct message *summary, const char *tag, double number)
{
    struct message value = {0};
    if (!isfinite(number)) return;
    message_add_bytes(&value, VALUE_TAG, tag, strlen(tag));
    message_add_float(&value, VALUE_SIMPLE, (float)number);
    message_add_message(summary, SUMMARY_VALUE, &value);
}

void event_file_add_scalars(struct event_file *file, const struct record *record)
{
    struct message m, summary = {0};
    const struct task_report *report = record->report;
    if (file->fd < 0) return;
    message_begin_event(&m, record->step);
    event_add_scalar(&summary, "loss", report->loss);
    for (int i = 0; i < report->metric_count; i++)
        event_add_scalar(&summary, report->metrics[i].name, report->metrics[i].value);
    event_add_scalar(&summary, "steps_per_second", record->steps_per_second);
    event_add_scalar(&summary, "bytes", (double)record->bytes);
    message_add_message(&m, EVENT_SUMMARY, &summary);
    event_add(file, &m);
}

void event_file_add_frame(struct event_file *file, int64_t step, const uint8_t *jpeg, size_t bytes,
                          int width, int height)
{
    static const char tag[] = "frame";
    struct message m, summary = {0}, value = {0}, image = {0};
    if (file->fd < 0) return;
    message_add_int(&image, IMAGE_HEIGHT, height);
    message_add_int(&image, IMAGE_WIDTH, width);
    message_add_int(&image, IMAGE_COLORSPACE, COLORSPACE_RGB);
    message_add_bytes(&image, IMAGE_ENCODED, jpeg, bytes);
    message_add_bytes(&value, VALUE_TAG, tag, sizeof tag - 1);
    message_add_message(&value, VALUE_IMAGE, &image);
    message_add_message(&summary, SUMMARY_VALUE, &value);
    message_begin_event(&m, step);
    message_add_message(&m, EVENT_SUMMARY, &summary);
    event_add(file, &m);
}

void event_file_close(struct event_file *file)
{
    if (file->path) pthread_mutex_destroy(&file->lock);
    if (file->fd >= 0) retry_close(file->fd);
    free(file->path);
    *file = (struct event_file){.fd = -1};
}
