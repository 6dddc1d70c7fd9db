#include "run/frames.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/format.h"
#include "base/log.h"
#include "base/retry.h"
#include "base/temporary.h"
#include "base/threads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct frame {
    int64_t step;
    struct image image;
    char *json;
};

struct frames {
    char *dir;
    int quality, room;
    struct frame *ring; /* [room] */
    int first, waiting; /* ring positions */
    bool busy;          /* one is being written */
    bool alone;         /* there is no thread: frames_add writes */
    bool closing;
    int64_t written, missing, reserve;
    int64_t *unsynced; /* steps of frames that a power cut may still take */
    size_t unsynced_count, unsynced_room;
    void (*show)(void *context, const struct frame_bytes *frame);
    void *show_context;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static void frame_free(struct frame *frame)
{
    image_free(&frame->image);
    free(frame->json);
    frame->json = NULL;
}

/* Frames end before the disk is full: the rest belongs to the checkpoints. */
static int check_reserve(const char *dir, int64_t reserve)
{
    int64_t left = file_disk_free(dir);
    if (left < 0 || left >= reserve) return OK;
    return fail(ERR_IO, "%s: %s left on the disk, kept for checkpoints", dir,
                format_bytes(left).text);
}

/* The image first: a JSON without its image never exists. */
static int frame_write(const struct frames *frames, const struct frame *frame, int64_t reserve)
{
    TRY(check_reserve(frames->dir, reserve));
    uint8_t *jpeg = NULL;
    size_t bytes = 0;
    char *image = string_format("%s/%09lld.jpg", frames->dir, (long long)frame->step);
    char *json = string_format("%s/%09lld.json", frames->dir, (long long)frame->step);
    int code = image && json ? OK : ERR_SYSTEM;
    if (code == OK) code = image_encode_jpeg(&frame->image, frames->quality, &jpeg, &bytes);
    if (code == OK) code = file_atomic_write_whole(image, jpeg, bytes, false);
    if (code == OK) {
        code = file_atomic_write_whole(json, frame->json, strlen(frame->json), false);
        if (code < 0) unlink(image);
    }
    const struct frame_bytes written = {frame->step, jpeg, bytes, frame->image.width,
                                        frame->image.height};
    if (code == OK && frames->show) frames->show(frames->show_context, &written);
    free(jpeg);
    free(image);
    free(json);
    return code;
}

/* Without memory for the list the frame is merely not synced. */
static void note_unsynced(struct frames *frames, int64_t step)
{
    if (frames->unsynced_count == frames->unsynced_room) {
        size_t room = frames->unsynced_room ? 2 * frames->unsynced_room : 64;
        int64_t *larger = realloc(frames->unsynced, room * sizeof *larger);
        if (!larger) return;
        frames->unsynced = larger;
        frames->unsynced_room = room;
    }
    frames->unsynced[frames->unsynced_count++] = step;
}

/* Writes the oldest frame that waits. Called with the lock held, which it gives up while it writes.
 */
static void write_next(struct frames *frames)
{
    struct frame frame = frames->ring[frames->first];
    frames->ring[frames->first] = (struct frame){0};
    frames->first = (frames->first + 1) % frames->room;
    frames->waiting--;
    frames->busy = true;
    bool first_failure = frames->missing == 0;
    int64_t reserve = frames->reserve;
    pthread_cond_broadcast(&frames->changed);
    pthread_mutex_unlock(&frames->lock);

    int code = frame_write(frames, &frame, reserve);
    if (code < 0 && first_failure)
        log_warning("frame %lld: %s; it is left out, training goes on", (long long)frame.step,
                    error_message());
    int64_t step = frame.step;
    frame_free(&frame);

    pthread_mutex_lock(&frames->lock);
    if (code < 0) {
        frames->missing++;
    } else {
        frames->written++;
        note_unsynced(frames, step);
    }
    frames->busy = false;
    pthread_cond_broadcast(&frames->changed);
}

static void *writer_main(void *argument)
{
    struct frames *frames = argument;
    pthread_mutex_lock(&frames->lock);
    for (;;) {
        while (frames->waiting == 0 && !frames->closing)
            pthread_cond_wait(&frames->changed, &frames->lock);
        if (frames->waiting == 0) break;
        write_next(frames);
    }
    pthread_mutex_unlock(&frames->lock);
    return NULL;
}

static void frames_free(struct frames *frames)
{
    for (int i = 0; frames->ring && i < frames->room; i++)
        frame_free(&frames->ring[i]);
    pthread_cond_destroy(&frames->changed);
    pthread_mutex_destroy(&frames->lock);
    free(frames->unsynced);
    free(frames->ring);
    free(frames->dir);
    free(frames);
}

int frames_open(struct frames **out, const char *dir, int queue, int quality)
{
    *out = NULL;
    struct frames *frames = calloc(1, sizeof *frames);
    if (!frames) return fail(ERR_SYSTEM, "out of memory");
    pthread_mutex_init(&frames->lock, NULL);
    pthread_cond_init(&frames->changed, NULL);
    frames->quality = quality;
    frames->room = queue < 1 ? 1 : queue;
    frames->dir = string_format("%s", dir);
    frames->ring = calloc((size_t)frames->room, sizeof *frames->ring);
    int code = frames->dir && frames->ring ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code < 0) {
        frames_free(frames);
        return code;
    }
    int error = threads_start(&frames->thread, false, writer_main, frames);
    frames->alone = error != 0;
    if (error)
        log_warning("no thread for frames (%s): training waits while they are written",
                    strerror(error));
    *out = frames;
    return OK;
}

void frames_also(struct frames *frames,
                 void (*show)(void *context, const struct frame_bytes *frame), void *context)
{
    pthread_mutex_lock(&frames->lock);
    frames->show = show;
    frames->show_context = context;
    pthread_mutex_unlock(&frames->lock);
}

int frames_add(struct frames *frames, int64_t step, struct image *image, const char *json)
{
    struct frame frame = {.step = step, .image = *image};
    *image = (struct image){0};
    frame.json = string_format("%s\n", json);
    if (!frame.json) {
        frame_free(&frame);
        return ERR_SYSTEM;
    }
    pthread_mutex_lock(&frames->lock);
    while (frames->waiting == frames->room)
        pthread_cond_wait(&frames->changed, &frames->lock);
    frames->ring[(frames->first + frames->waiting) % frames->room] = frame;
    frames->waiting++;
    pthread_cond_broadcast(&frames->changed);
    if (frames->alone) write_next(frames);
    pthread_mutex_unlock(&frames->lock);
    return OK;
}

void frames_set_reserve(struct frames *frames, int64_t bytes)
{
    pthread_mutex_lock(&frames->lock);
    frames->reserve = bytes;
    pthread_mutex_unlock(&frames->lock);
}

void frames_drain(struct frames *frames)
{
    pthread_mutex_lock(&frames->lock);
    while (frames->waiting > 0 || frames->busy)
        pthread_cond_wait(&frames->changed, &frames->lock);
    pthread_mutex_unlock(&frames->lock);
}

/* begin: only starts to write it out, so that the disk is given many at a time. */
static int sync_frame(const struct frames *frames, int64_t step, bool begin)
{
    static const char *const endings[] = {"jpg", "json"};
    int code = OK;
    for (int i = 0; i < 2; i++) {
        char *path = string_format("%s/%09lld.%s", frames->dir, (long long)step, endings[i]);
        int fd = path ? retry_open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0) : -1;
        if (fd >= 0 && begin) sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        if (fd >= 0 && !begin && retry_fsync(fd) != 0) code = fail_errno(ERR_IO, "sync %s", path);
        if (fd >= 0) retry_close(fd);
        free(path);
    }
    return code;
}

/* The writer has nothing to do meanwhile: the one thread that hands it frames is here. */
void frames_sync(struct frames *frames)
{
    int code = OK; /* the last failure: one line for all */
    frames_drain(frames);
    for (int begin = 1; begin >= 0; begin--)
        for (size_t i = 0; i < frames->unsynced_count; i++)
            if (sync_frame(frames, frames->unsynced[i], begin) < 0) code = ERR_IO;
    if (frames->unsynced_count > 0 && file_sync_folder(frames->dir) < 0) code = ERR_IO;
    if (code < 0) log_warning("%s; a power cut may take frames", error_message());
    frames->unsynced_count = 0;
}

int64_t frames_written(struct frames *frames)
{
    pthread_mutex_lock(&frames->lock);
    int64_t written = frames->written;
    pthread_mutex_unlock(&frames->lock);
    return written;
}

int64_t frames_missing(struct frames *frames)
{
    pthread_mutex_lock(&frames->lock);
    int64_t missing = frames->missing;
    pthread_mutex_unlock(&frames->lock);
    return missing;
}

void frames_close(struct frames *frames)
{
    if (!frames) return;
    pthread_mutex_lock(&frames->lock);
    frames->closing = true;
    pthread_cond_broadcast(&frames->changed);
    pthread_mutex_unlock(&frames->lock);
    if (!frames->alone) pthread_join(frames->thread, NULL);
    if (frames->missing > 0)
        log_warning("%s: %lld frame%s could not be written and will be missing in the video",
                    frames->dir, (long long)frames->missing, frames->missing == 1 ? "" : "s");
    frames_free(frames);
}

/* The step of "000001200.jpg" or ".json"; -1 for another name. */
static int64_t frame_step(const char *name)
{
    char *end;
    if (name[0] < '0' || name[0] > '9') return -1;
    long long step = strtoll(name, &end, 10);
    return strcmp(end, ".jpg") == 0 || strcmp(end, ".json") == 0 ? step : -1;
}

static bool is_leftover(const char *dir, const char *name, int64_t step)
{
    int64_t own = frame_step(name);
    if (own < 0) return false;
    if (own > step) return true;
    char *json = string_format("%s/%09lld.json", dir, (long long)own);
    bool lonely = json && strstr(name, ".jpg") && !file_exists(json);
    free(json);
    return lonely;
}

int frames_drop_after(const char *dir, int64_t step)
{
    const char *name;
    int code = OK, more = 0;
    temporary_clean(dir, NULL);
    TRY(file_check_own_folder(dir));
    DIR *stream = file_open_folder(dir, false);
    if (!stream) return fail_errno(ERR_IO, "open %s", dir);
    while (code == OK && (more = file_next_name(stream, dir, &name)) > 0)
        if (is_leftover(dir, name, step) && unlinkat(dirfd(stream), name, 0) != 0)
            code = fail_errno(ERR_IO, "remove %s/%s", dir, name);
    closedir(stream);
    return code < 0 ? code : more;
}

bool frames_any(const char *dir)
{
    DIR *stream = file_open_folder(dir, false);
    bool any = false;
    if (!stream) return false;
    for (struct dirent *entry; !any && (entry = readdir(stream));)
        any = frame_step(entry->d_name) >= 0;
    closedir(stream);
    return any;
}

static int64_t frames_until(int64_t step, int64_t total, int64_t count)
{
    return (int64_t)((double)count * sqrt((double)step / (double)total));
}

bool frames_due(int64_t step, int64_t total, int64_t every, int64_t count)
{
    if (every <= 0 && count <= 0) return false;
    if (step <= 1 || step >= total) return true;
    if (every > 0) return step % every == 0;
    return frames_until(step, total, count) > frames_until(step - 1, total, count);
}

int64_t frames_expected(int64_t total, int64_t every, int64_t count)
{
    if (total <= 0 || (every <= 0 && count <= 0)) return 0;
    int64_t frames = every > 0 ? total / every + 2 : count + 1;
    return frames < total ? frames : total;
}
