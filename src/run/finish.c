/* The outputs of a finished run: model.safetensors, final.png, video.mp4, best.safetensors. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/temporary.h"
#include "config/config.h"
#include "image/image.h"
#include "run/frames.h"
#include "run/model_versions.h"
#include "run/own_process.h"
#include "run/progress.h"
#include "run/run_memory.h"
#include "run/run_schedule.h"
#include "run/session.h"
#include "run/signals.h"
#include "store/checkpoint.h"
#include "video/video.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct outputs {
    char *model, *best, *image, *video;
};

bool session_output_is_whole(int (*check)(const char *path), const char *path)
{
    if (!file_exists(path)) return false;
    if (check(path) == OK) return true;
    log_warning("%s: it is made again", error_message());
    return false;
}

/* Whether the model that is there is of this step (a run that was extended has an old one). */
static bool model_is_current(const char *path, int64_t current)
{
    struct store_file *file = NULL;
    int64_t step = -1;
    if (!file_exists(path)) return false;
    if (store_open(&file, path) < 0) {
        log_warning("%s: it is made again", error_message());
        return false;
    }
    if (store_get_int(file, "step", &step) < 0) step = -1;
    store_close(file);
    return step == current;
}

/* A run that went on and was killed before its end may hold the video of its first end. */
static bool video_is_current(const struct outputs *out)
{
    struct stat video, model;
    if (stat(out->video, &video) != 0 || stat(out->model, &model) != 0) return false;
    return video.st_mtim.tv_sec > model.st_mtim.tv_sec ||
           (video.st_mtim.tv_sec == model.st_mtim.tv_sec &&
            video.st_mtim.tv_nsec >= model.st_mtim.tv_nsec);
}

/* Looks whether final.png and the images that belong to it are whole. */
static int finish_images_are_whole(const struct session *session, const struct outputs *out,
                                   bool *whole)
{
    *whole = session_output_is_whole(image_check_png, out->image);
    char name[64];
    for (int i = 0; session->task->image_name &&
                    session->task->image_name(session->state, i, name, sizeof name);
         i++) {
        char *path = path_join(session->folder.path, name);
        if (!path) return ERR_SYSTEM;
        *whole = session_output_is_whole(image_check_png, path) && *whole;
        free(path);
    }
    return OK;
}

/* Writes the model of the last step or, where the task knows one, of the best; `missing`: only if
 * that is not there. */
static int write_model(const struct session *session, const char *path, bool best, bool missing)
{
    struct store_writer *writer = store_writer_create();
    if (!writer) return ERR_SYSTEM;
    char *config = config_result_text(session->config_text);
    int64_t step = session->step;
    int code = !config ? ERR_SYSTEM
               : best  ? session->task->save_best(session->state, writer, &step)
                       : session->task->save_model(session->state, writer);
    bool wanted = code == OK && (!best || step > 0);
    if (wanted && !(missing && model_is_current(path, step))) {
        code = checkpoint_describe(writer, "model", session->task->name, step, config);
        if (code == OK) code = store_write(writer, path, true);
    }
    store_writer_free(writer);
    free(config);
    return code;
}

int session_write_model(const struct session *session, const char *path)
{
    return write_model(session, path, false, false);
}

struct final_attempt {
    struct session *session;
    const char *path;
};

static int finish_attempt_final(void *context)
{
    const struct final_attempt *a = context;
    return a->session->task->write_final(a->session->state, a->path);
}

static int write_images(struct session *session, const char *path)
{
    struct final_attempt attempt = {session, path};
    TRY(memory_attempt(session, finish_attempt_final, &attempt));
    if (!session->task->extra_files) return OK;
    return session->task->extra_files(session->state, session->folder.path);
}

static void video_say(void *context, bool is_warning, const char *line)
{
    (void)context;
    if (is_warning)
        log_warning("%s", line);
    else
        log_info("%s", line);
}

/* Waits for the process that makes the video, and passes a stop on to it. GLib, which codecs bring
 * along, may wait for a lock that it holds itself when it gets no memory: a minute without a
 * message or processor time is the end of it. */
static int wait_for_video(struct own_process *process)
{
    enum { WAIT_MS = 200, HUNG_WAITS = 300 };
    bool stopping = false;
    for (int idle = 0; process->messages >= 0 && idle < HUNG_WAITS; idle++) {
        struct pollfd end = {process->messages, POLLIN, 0};
        bool speaks = poll(&end, 1, WAIT_MS) > 0;
        if (speaks) own_process_listen(process, video_say, NULL);
        if (speaks || own_process_works(process)) idle = 0;
        if (stopping || !signals_stop_requested()) continue;
        stopping = true;
        kill(process->pid, SIGTERM);
    }
    if (process->messages >= 0) {
        log_warning("video: its process did nothing for a minute");
        kill(process->pid, SIGKILL);
    }
    int code = own_process_end(process);
    return code == OK || !stopping ? code : ERR_STOPPED;
}

/* `imgtrain video` as a process of its own: codecs, and the libraries that they bring along, end
 * theirs when they get no memory. A video that fails never fails the run. */
static int write_video(const struct session *session, const char *path)
{
    char name[] = "imgtrain", command[] = "video", end[] = "--";
    char *words[] = {name, command, end, session->folder.path, NULL};
    struct own_process process;
    int code = own_process_start(
        &process,
        &(struct own_process_request){.words = words, .when_orphaned = SIGKILL, .silent = true});
    if (code == OK) code = wait_for_video(&process);
    if (code == ERR_STOPPED && signals_stop_requested()) return code;
    if (code < 0) {
        temporary_clean_beside(path); /* what it had no time to remove */
        log_warning("video: %s; `imgtrain video %s` tries again", error_message(),
                    session->folder.path);
        return OK;
    }
    /* It was decoded again. */
    if (session->config->video.cleanup && frames_drop_after(session->folder.frames, -1) < 0)
        log_warning("%s", error_message());
    return OK;
}

static int stop_if_requested(void)
{
    const char *reason = signals_stop_reason();
    if (!reason) return OK;
    return fail(ERR_STOPPED,
                "stopped (%s) after the last step, state saved: run again with "
                "--resume for the remaining files",
                reason);
}

/* Makes the video, unless it is there and whole. */
static int finish_video(struct session *session, const struct outputs *out)
{
    if (!schedule_wants_video(session->config)) return OK;
    bool frames = frames_any(session->folder.frames);
    if (file_exists(out->video) && video_check(out->video) < 0)
        log_warning("%s: %s", error_message(),
                    frames ? "it is made again" : "there are no frames to make it from");
    else if (video_is_current(out))
        return OK;
    if (!frames) return OK;
    TRY(stop_if_requested());
    TRY(session_write_reference(session));
    return write_video(session, out->video) == ERR_STOPPED ? stop_if_requested() : OK;
}

static int write_outputs(struct session *session, const struct outputs *out)
{
    bool current = model_is_current(out->model, session->step), whole = true;
    if (current) TRY(finish_images_are_whole(session, out, &whole));
    if (!current || !whole) {
        TRY(stop_if_requested());
        int code = write_images(session, out->image);
        if (code == ERR_STOPPED) return stop_if_requested();
        TRY(code);
    }
    /* The model last: it says for which step the files are. */
    if (session->task->save_best) TRY(write_model(session, out->best, true, current));
    if (!current) TRY(session_write_model(session, out->model));
    TRY(finish_video(session, out));
    return model_versions_finish(session, out->model);
}

static void print_outputs(const struct session *session, const struct outputs *out)
{
    bool video = file_exists(out->video) && video_check(out->video) == OK;
    if (!session->request->json) { /* a closed stdout is no failure of the run */
        dprintf(STDOUT_FILENO, "%s\n", out->image);
        if (video) dprintf(STDOUT_FILENO, "%s\n", out->video);
        dprintf(STDOUT_FILENO, "%s\n", out->model);
        return;
    }
    char image[1024], film[1024], model[1024], members[4096];
    record_json_string(image, sizeof image, out->image);
    record_json_string(film, sizeof film, out->video);
    record_json_string(model, sizeof model, out->model);
    snprintf(members, sizeof members, "\"step\": %lld, \"final\": %s, \"video\": %s, \"model\": %s",
             (long long)session->step, image, video ? film : "null", model);
    progress_event(session->progress, "done", members);
}

int session_finish(struct session *session)
{
    if (session->frames) frames_drain(session->frames);
    struct outputs out = {
        .model = path_join(session->folder.path, "model.safetensors"),
        .best = path_join(session->folder.path, "best.safetensors"),
        .image = path_join(session->folder.path, "final.png"),
        .video = path_join(session->folder.path, "video.mp4"),
    };
    int code = out.model && out.best && out.image && out.video ? OK : ERR_SYSTEM;
    if (code == OK) code = write_outputs(session, &out);
    if (code == OK) print_outputs(session, &out);
    free(out.model);
    free(out.best);
    free(out.image);
    free(out.video);
    return code;
}
