/* One run in progress: what train.c, save.c and finish.c share. */
#ifndef IMGTRAIN_RUN_SESSION_H
#define IMGTRAIN_RUN_SESSION_H

#include "memory/ladder.h"
#include "run/event_file.h"
#include "run/folder.h"
#include "run/identity.h"
#include "run/metrics_file.h"
#include "run/train_request.h"
#include "task/task.h"

struct device;
struct frames;
struct progress;
struct image;
struct model_versions;

struct session {
    const struct train_request *request;
    const struct config *config;
    const struct task *task;
    char *config_text; /* resolved, as in config.yaml */
    struct device *device;
    struct folder folder;
    char run_id[IDENTITY_BYTES];
    struct frames *frames;
    struct metrics metrics;
    struct progress *progress;

    struct ladder ladder;           /* the memory modes that the task can run in */
    int mode;                       /* the present one of them; -1: the task has one mode only */
    int failed_mode;                /* the mode in which memory failed within a step; -1: none */
    struct line_file memory_lines;  /* memory.jsonl */
    struct line_file process_lines; /* processes.jsonl */
    struct event_file events;       /* for TensorBoard */
    bool page_failed;               /* that for Prometheus cannot be written */
    struct model_versions *git;     /* versions that are pushed; NULL: none */
    bool entered;                   /* the state was opened: the folder is this run's */
    int64_t work_step;              /* steps done when the work of a step last changed; -1: never */

    char *spill_dir;          /* where files without a name may be */
    struct task_input *input; /* what the task has read, for every open */
    bool input_renamed;       /* the config names the input otherwise than the resumed run's */
    bool input_changed;       /* the task goes on with another input (--allow-changed-input) */
    struct task_state *state;
    struct task_report report; /* of the last step */
    int64_t step, total;       /* done, wanted */
    int64_t frames_every;
    int64_t saved_step;    /* of the newest checkpoint; -1 = none */
    bool finished;         /* the last step is done, by count or by the task's own rule */
    double seconds_before; /* training time of earlier processes */
    double started;        /* clock when this process began to train */
    double last_save;      /* clock */
    double rate_time;      /* clock and step of the last speed measurement */
    int64_t rate_step;
    double rate; /* steps per second; NaN = not known yet */
};

/* enter.c: the state, from the newest checkpoint or from the start, and the output files cut back
 * to it. session_leave undoes it. */
int session_enter(struct session *session);
void session_leave(struct session *session);
double session_seconds(const struct session *session);
struct record session_record(const struct session *session);

/* The image beside every frame of the video, unless it is there and whole. */
int session_write_reference(const struct session *session);

/* save.c: the checkpoint of the present step. ERR_DIVERGED, with nothing written, when a number in
 * it is not finite. */
int session_save(struct session *session);

/* finish.c: model.safetensors, final.png, video.mp4 and their paths on stdout; what a finished run
 * already has is left as it is, if it is whole. */
int session_finish(struct session *session);
/* model.safetensors of the present step, or another file of these bytes. */
int session_write_model(const struct session *session, const char *path);
/* Whether a file is there and, by `check`, whole; a damaged one is named. A file that cannot be
 * read for another reason counts as damaged: the state of the run can make it again. */
bool session_output_is_whole(int (*check)(const char *path), const char *path);

/* resume.c: ERR_CONFIG when the config differs from that of the run in `run_dir` in a key that may
 * not change. */
int session_check_config(const struct session *session, const char *run_dir);
/* config.yaml becomes the present one: only once the run is known to go on. */
int session_write_config(const struct session *session);

/* The check for the config that a checkpoint was made with, whatever config.yaml says. Sets
 * input_renamed. */
int session_check_checkpoint(struct session *session, const struct store_file *file);
/* Where there is no checkpoint: ERR_INPUT when the run had ended all the same, and would lose its
 * frames and metrics by beginning again. */
int session_check_beginning(const struct session *session);

#endif
