/* What a run folder says of the run: read from its files, whoever wrote them and however it ended.
 */
#ifndef IMGTRAIN_REPORT_RUN_STORY_H
#define IMGTRAIN_REPORT_RUN_STORY_H

#include "video/frame_list.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A column of metrics.jsonl. */
struct story_column {
    char *name;
    double *values; /* [rows]; NaN: not known there */
};

/* A line of config.yaml. */
struct story_setting {
    char *key, *value; /* "splat.max_steps", "300" */
};

enum { STORY_WARNINGS = 40, STORY_MOST_COLUMNS = 256 };

struct run_story {
    char *path, *name; /* the folder, and its last part */
    struct story_column *columns;
    size_t column_count, rows;
    const double *steps; /* the column "step" */
    cJSON *moves;        /* the lines of memory.jsonl */
    cJSON *events;       /* those of processes.jsonl: starts and ends, with machine and status */
    struct story_setting *settings;
    size_t setting_count;
    struct frame_list frames;
    char *warnings[STORY_WARNINGS]; /* lines of log.txt, the last ones */
    int warning_count;
    bool running, finished;
};

/* ERR_INPUT when the folder is none of a run. What is missing or damaged in it is left out; *story
 * is to be freed in any case. */
int run_story_read(struct run_story *story, const char *path);
/* The same with the last frame alone, and without a word about frames that cannot be read. */
int run_story_read_last(struct run_story *story, const char *path);
void run_story_free(struct run_story *story); /* accepts a zeroed struct */

/* Settings out of a text as config_print writes it: "KEY: VALUE" at the left, or "SECTION:" and two
 * blanks before its keys. The text (NULL: none) is cut up on the way. */
int run_story_add_settings(struct run_story *story, char *text);

/* NULL: it has no such column, or key. */
const double *run_story_column(const struct run_story *story, const char *name);
const char *run_story_setting(const struct run_story *story, const char *key);
/* The last number of a column that is known; NaN: none. */
double run_story_last(const struct run_story *story, const char *column);

/* "finished", "running", "stopped", "failed" or, where no process has said how it ended,
 * "interrupted". */
const char *run_story_state(const struct run_story *story);
/* The last event of a kind ("start", "end"); NULL: none. */
const cJSON *run_story_event(const struct run_story *story, const char *kind);
/* A number of an event or a move; NaN: it has none of that name. */
double run_story_number(const cJSON *object, const char *key);

/* Whether more (1) or less (-1) of a metric is better; 0: not known. */
int run_story_direction(const char *column);

#endif
