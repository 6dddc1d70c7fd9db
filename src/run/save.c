/* Checkpoints: when a state is good, and that frames and metrics before it are on disk too. */
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config/config.h"
#include "run/frames.h"
#include "run/session.h"
#include "run/signals.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"

#include <stdlib.h>

/* Room for this many checkpoints is kept free of frames. */
enum { RESERVED_COPIES = 3, RESERVED_BYTES = 1 << 20 };

static int save_fill(const struct session *session, struct store_writer *writer)
{
    TRY(session->task->save(session->state, writer));
    const char *name = store_find_nonfinite(writer);
    if (name)
        return fail(ERR_DIVERGED, "step %lld: %s is not finite", (long long)session->step, name);
    TRY(checkpoint_describe(writer, "checkpoint", session->task->name, session->step,
                            session->config_text));
    TRY(store_set(writer, "run", session->run_id));
    TRY(store_set_double(writer, "seconds", session_seconds(session)));
    if (session->mode >= 0)
        TRY(store_set_int(writer, "memory.level", session->ladder.modes[session->mode].mode.level));
    if (session->work_step == session->step) TRY(store_set_int(writer, "memory.changed", 1));
    TRY(store_set_int(writer, "task_finished", session->report.finished));
    if (session->report.pending) TRY(store_set_int(writer, "pending", 1));
    return store_set_int(writer, "finished", session->finished && !session->report.pending);
}

/* Frames stop while there is still room for the next checkpoints. */
static void set_reserve(struct session *session)
{
    char *path = checkpoint_path(session->folder.path, session->step);
    struct store_file *file = NULL;
    if (path && session->frames && store_open(&file, path) == OK)
        frames_set_reserve(session->frames,
                           RESERVED_COPIES * (int64_t)store_bytes(file) + RESERVED_BYTES);
    store_close(file);
    free(path);
}

/* A resumed run begins behind this step: after a power cut too the frames and lines up to it must
 * be there, and the folder itself. The lack of one is no reason to give up the checkpoint. */
static void sync_what_was_written(struct session *session)
{
    if (session->frames) frames_sync(session->frames);
    metrics_sync(&session->metrics);
    line_file_sync(&session->memory_lines);
    if (file_sync_folder(session->folder.path) < 0) log_warning("%s", error_message());
}

int session_save(struct session *session)
{
    sync_what_was_written(session);
    struct store_writer *writer = store_writer_create();
    if (!writer) return ERR_SYSTEM;
    int code = save_fill(session, writer);
    struct checkpoint_keep keep = {(int)session->config->checkpoint.keep,
                                   session->config->checkpoint.keep_every};
    if (code == OK)
        code = checkpoint_write(session->folder.path, session->step, writer, keep, true);
    store_writer_free(writer);
    if (code < 0) return code == ERR_DIVERGED ? code : fail_within(code, "save checkpoint");
    if (session->saved_step < 0) set_reserve(session);
    session->saved_step = session->step;
    session->last_save = clock_seconds();
    signals_set_unsaved(false);
    log_debug("checkpoint of step %lld saved", (long long)session->step);
    return OK;
}
