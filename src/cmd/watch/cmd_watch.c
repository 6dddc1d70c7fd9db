/* imgtrain watch: the progress of a run from another terminal. */
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/watch/watch_page.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SNAPSHOT_COLUMNS = 80, SNAPSHOT_ROWS = 24 };

/* Files are read every second; where that takes long, less often, so that a twentieth of one
 * processor is the most that watching takes. */
static const double WATCH_SECONDS = 1, WATCH_PAUSE = 20;

struct watch {
    struct watch_runs runs;
    struct watch_terminal terminal;
    struct watch_picture picture;
    struct watch_area place; /* of the picture on the screen */
    char *shown;             /* its path there; NULL: none */
    bool clear;              /* the screen holds something else */
};

static int watch_write_snapshot(const struct watch_runs *runs)
{
    const struct watch_terminal plain = {.graphics = GRAPHICS_NONE};
    struct watch_canvas canvas;
    struct watch_area place;
    int rows = runs->count + 2 > SNAPSHOT_ROWS ? runs->count + 2 : SNAPSHOT_ROWS;
    TRY(watch_canvas_create(&canvas, SNAPSHOT_COLUMNS, rows, watch_terminal_is_utf8()));
    int code = watch_page_draw(&canvas, runs, NULL, &plain, false, &place);
    if (code == OK) watch_canvas_write_plain(stdout, &canvas);
    watch_canvas_free(&canvas);
    return code;
}

static bool watch_same_picture(const struct watch *watch, const struct watch_area *place)
{
    const char *path = place->rows > 0 ? watch->picture.path : NULL;
    if (!path || !watch->shown) return !path && !watch->shown;
    return strcmp(path, watch->shown) == 0 && memcmp(place, &watch->place, sizeof *place) == 0;
}

/* Graphics stay on the screen until something is written over them: a new one comes on an empty
 * screen. */
static int watch_put_picture(struct watch *watch, FILE *out, const struct watch_area *place)
{
    enum watch_graphics graphics = watch->terminal.graphics;
    if (graphics != GRAPHICS_KITTY && graphics != GRAPHICS_SIXEL) return OK;
    watch->place = *place;
    free(watch->shown);
    watch->shown = place->rows > 0 ? string_format("%s", watch->picture.path) : NULL;
    if (graphics == GRAPHICS_KITTY) fputs("\033_Ga=d,d=A,q=2\033\\", out);
    return place->rows > 0 ? watch_picture_write(out, place, &watch->picture, &watch->terminal)
                           : OK;
}

/* All of a screen is one write, which terminals that can show at once. */
static int watch_show(struct watch *watch, const struct watch_canvas *canvas,
                      const struct watch_area *place)
{
    struct printed_text screen;
    FILE *out = printed_text_open(&screen);
    if (!out) return ERR_SYSTEM;
    bool graphics =
        watch->terminal.graphics == GRAPHICS_KITTY || watch->terminal.graphics == GRAPHICS_SIXEL;
    bool anew = watch->clear || (graphics && !watch_same_picture(watch, place));
    fputs("\033[?2026h", out);
    if (anew) fputs("\033[0m\033[2J", out);
    watch_canvas_write_terminal(out, canvas, watch->terminal.depth);
    int code = anew ? watch_put_picture(watch, out, place) : OK;
    fputs("\033[?2026l", out);
    watch->clear = false;
    int closed = printed_text_close(&screen, out);
    if (code == OK) code = closed;
    if (code == OK) code = file_write_all(STDOUT_FILENO, screen.text, screen.bytes, "the terminal");
    free(screen.text);
    return code;
}

static int watch_draw(struct watch *watch)
{
    struct watch_canvas canvas;
    struct watch_area place;
    const struct run_story *story = watch->runs.count == 1 ? &watch->runs.runs[0].story : NULL;
    bool pictures = watch->terminal.graphics != GRAPHICS_NONE && !watch->runs.many && story;
    const char *path = pictures && story->frames.count > 0 ? story->frames.entries[0].path : NULL;
    TRY(watch_picture_load(&watch->picture, path));
    TRY(watch_canvas_create(&canvas, watch->terminal.columns, watch->terminal.rows,
                            watch->terminal.utf8));
    int code = watch_page_draw(&canvas, &watch->runs, pictures ? &watch->picture : NULL,
                               &watch->terminal, true, &place);
    if (code == OK) code = watch_show(watch, &canvas, &place);
    watch_canvas_free(&canvas);
    return code;
}

/* Follows until the runs have ended, a key or a signal (*signal). */
static int watch_follow(struct watch *watch, bool *ended, int *signal)
{
    double due = 0;
    *ended = false;
    for (;;) {
        double now = clock_seconds();
        if (now >= due) {
            TRY(watch_runs_read(&watch->runs));
            double took = clock_seconds() - now;
            due = clock_seconds() +
                  (took * WATCH_PAUSE > WATCH_SECONDS ? took * WATCH_PAUSE : WATCH_SECONDS);
        }
        TRY(watch_draw(watch));
        *ended = watch_runs_ended(&watch->runs);
        if (*ended) return OK;
        double left = due - clock_seconds();
        enum watch_event event = watch_terminal_wait(left > 0 ? left : 0, signal);
        if (event == EVENT_KEY_END || event == EVENT_SIGNAL) return OK;
        watch->clear = event == EVENT_RESIZED || event == EVENT_CONTINUED;
        if (watch->clear) watch_terminal_measure(&watch->terminal);
    }
}

static int watch_on_terminal(struct watch *watch, enum watch_graphics graphics)
{
    bool ended = false;
    int number = 0;
    TRY(watch_runs_read(&watch->runs)); /* what is wrong shows without a flash of the screen */
    watch_terminal_open(&watch->terminal, graphics);
    watch->clear = true;
    int code = watch_follow(watch, &ended, &number);
    watch_terminal_close();
    if (code == OK) code = watch_write_snapshot(&watch->runs);
    fflush(stdout);
    if (number) { /* as if it had no handler */
        sigset_t one;
        signal(number, SIG_DFL);
        sigemptyset(&one);
        sigaddset(&one, number);
        raise(number);
        pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    }
    return code == OK && ended ? watch_runs_conclude(&watch->runs) : code;
}

static int watch_once(struct watch *watch)
{
    TRY(watch_runs_read(&watch->runs));
    for (int i = 0; i < watch->runs.count; i++)
        if (!file_exists(watch->runs.runs[i].path) && !watch->runs.runs[i].message)
            return fail(ERR_INPUT, "%s: no such run", watch->runs.runs[i].path);
    return watch_write_snapshot(&watch->runs);
}

int cmd_watch(int argc, char **argv)
{
    const char *graphics_word = NULL;
    enum watch_graphics graphics;
    bool once = false;
    const struct option_row options[] = {
        OPTION_FLAG("once", &once, "print how far it is, once, as plain text"),
        OPTION_TEXT("graphics", "HOW", &graphics_word,
                    "how the last frame is shown: auto, kitty, sixel, blocks (of two\n"
                    "pixels a character) or none"),
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain watch RUN... [--once] [--graphics HOW]",
        .about = "Shows the progress of a run from another terminal, and follows it until it ends: "
                 "bar, curves,\nmemory, time left, the last frame. Of several runs, a folder of "
                 "runs, or what a batch was\ngiven as -o: a row a run. Only reads the run's files. "
                 "Waits for a run that has not begun. q\nends watching. Where stdout is no "
                 "terminal, it prints how far the run is, and ends.\n\nExit status, when the run "
                 "ended: that of the run; 75 when it was stopped or killed. Of several\nruns that "
                 "of the first that failed. 0 after q and after a print.",
        .options = options,
        .min_operands = 1,
        .max_operands = -1,
        .examples = "imgtrain watch runs/photo-001\n"
                    "imgtrain watch runs/photo-001 --once\n",
    };
    int count;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &count));
    TRY(watch_terminal_parse_graphics(graphics_word, &graphics));
    once = once || !watch_terminal_is_there();
    if (once && graphics_word) options_without_effect("graphics", "on a print");
    struct watch watch = {
        .runs = {.operands = (const char *const *)argv + 1, .operand_count = count}};
    log_set_level(LOG_ERROR); /* a warning of a file that a run writes just now says nothing */
    int code = once ? watch_once(&watch) : watch_on_terminal(&watch, graphics);
    watch_runs_free(&watch.runs);
    watch_picture_free(&watch.picture);
    free(watch.shown);
    return code;
}
