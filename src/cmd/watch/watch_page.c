#include "cmd/watch/watch_page.h"

#include "base/error.h"
#include "base/format.h"
#include "report/html.h"

#include <math.h>
#include <string.h>

enum {
    PAGE_MOST_MOVES = 3,
    PAGE_MOST_CURVES = 4,
    PAGE_CURVE_ROWS = 6,      /* a curve gets no fewer, but where it is the only one */
    PAGE_PICTURE_COLUMNS = 12 /* the least that is worth showing */
};

/* The numbers that say most of a run, of every task, the first ones first. */
static const char *const page_measures[] = {"loss",      "psnr_y", "psnr", "held_psnr", "rkid",
                                            "held_loss", "ssim_y", "ssim", "loss_d",    "loss_g",
                                            "swd",       "gain",   "kl"};

enum { PAGE_MEASURES = sizeof page_measures / sizeof *page_measures };

/* Where the next line goes. */
struct page {
    struct watch_canvas *canvas;
    int row;
};

static struct watch_place page_line(struct page *page)
{
    return (struct watch_place){page->row++, 0, page->canvas->columns};
}

static watch_colour page_state_colour(const struct watch_run *run)
{
    static const watch_colour colours[] = {COLOUR_YELLOW, COLOUR_CYAN, COLOUR_GREEN,
                                           COLOUR_YELLOW, COLOUR_RED,  COLOUR_RED};
    return colours[run->state];
}

static double page_share(const struct watch_run *run)
{
    double share = run->step / run->total;
    return share >= 0 ? fmin(share, 1) : 0;
}

static void page_put_bar(struct watch_canvas *canvas, const struct watch_place *place, double share)
{
    int inside = place->width - 2, full = (int)(share * inside);
    struct watch_place at = *place;
    at.column = watch_canvas_put(canvas, &at, COLOUR_OWN, "[");
    for (int i = 0; i < inside; i++) {
        at.width = 1;
        at.column = watch_canvas_put(canvas, &at, i < full ? COLOUR_GREEN : COLOUR_OWN, "%s",
                                     i < full ? "#" : ".");
    }
    watch_canvas_put(canvas, &at, COLOUR_OWN, "]");
}

/* ---- one run ---- */

static const char *page_setting(const struct watch_run *run, const char *key)
{
    const char *value = run_story_setting(&run->story, key);
    return value ? value : "";
}

static void page_put_head(struct page *page, const struct watch_run *run)
{
    struct watch_place line = page_line(page);
    const int end = line.width;
    line.column = watch_canvas_put(page->canvas, &line, COLOUR_OWN, "%s  %s  ", run->path,
                                   page_setting(run, "task"));
    line.width = end - line.column;
    line.column =
        watch_canvas_put(page->canvas, &line, page_state_colour(run), "%s", watch_state_name(run));
    line.width = end - line.column;
    if (run->begun > 1)
        line.column =
            watch_canvas_put(page->canvas, &line, COLOUR_OWN, ", begun %d times", run->begun);
    line.width = end - line.column;
    if (run->state == WATCH_FAILED)
        watch_canvas_put(page->canvas, &line, COLOUR_RED, " (%d): %s", run->status,
                         run->message ? run->message : "");
    if (run->state == WATCH_STOPPED || run->state == WATCH_KILLED)
        watch_canvas_put(page->canvas, &line, COLOUR_OWN, ": --resume goes on");
}

static void page_put_progress(struct page *page, const struct watch_run *run)
{
    struct watch_place line = page_line(page);
    char text[96] = "";
    if (run->total >= 1)
        snprintf(text, sizeof text, " %.0f %%  step %.0f of %.0f", floor(100 * page_share(run)),
                 run->step >= 0 ? run->step : 0, run->total);
    else if (run->step >= 0)
        snprintf(text, sizeof text, " step %.0f", run->step);
    int length = (int)strlen(text);
    if (line.width - length >= 8) {
        struct watch_place bar = line;
        bar.width -= length;
        page_put_bar(page->canvas, &bar, page_share(run));
        line.column += bar.width;
        line.width = length;
    }
    watch_canvas_put(page->canvas, &line, COLOUR_OWN, "%s", text);
}

/* Appends "  TEXT" to a line as long as it has room. */
static void page_append(struct page *page, struct watch_place *line, const char *name,
                        const char *text)
{
    if (!*text) return;
    int end = line->column + line->width;
    if ((int)(strlen(name) + strlen(text)) + 1 > line->width) return;
    line->column = watch_canvas_put(page->canvas, line, COLOUR_OWN, "%s", name);
    line->width = end - line->column;
    line->column = watch_canvas_put(page->canvas, line, COLOUR_OWN, "%s  ", text);
    line->width = end - line->column;
}

static void page_put_times(struct page *page, const struct watch_run *run)
{
    struct watch_place line = page_line(page);
    double speed = run_story_last(&run->story, "steps_per_second");
    char text[64];
    snprintf(text, sizeof text, "%.*g steps/s", speed >= 100 ? 4 : 3, speed);
    if (run->left >= 0) page_append(page, &line, "left ", html_duration(run->left).text);
    page_append(page, &line, "trained ",
                html_duration(run_story_last(&run->story, "seconds")).text);
    if (speed > 0) page_append(page, &line, "", text);
    snprintf(text, sizeof text, "%s ago", html_duration(run->age).text);
    if (run->state == WATCH_RUNNING && !isnan(run->age))
        page_append(page, &line, "last line ", text);
}

static void page_put_measures(struct page *page, const struct watch_run *run)
{
    struct watch_place line = page_line(page);
    for (size_t i = 0; i < PAGE_MEASURES; i++) {
        char name[32], text[32];
        double value = run_story_last(&run->story, page_measures[i]);
        if (isnan(value)) continue;
        snprintf(name, sizeof name, "%s ", page_measures[i]);
        snprintf(text, sizeof text, "%.4g", value);
        page_append(page, &line, name, text);
    }
}

static struct format_text page_bytes(double bytes)
{
    if (bytes >= 0 && bytes < 1e18) return format_bytes((int64_t)bytes);
    return (struct format_text){""};
}

static void page_put_memory(struct page *page, const struct watch_run *run)
{
    struct watch_place line = page_line(page);
    const cJSON *move =
        cJSON_GetArrayItem(run->story.moves, cJSON_GetArraySize(run->story.moves) - 1);
    double used = run_story_last(&run->story, "bytes");
    const char *limit = page_setting(run, "memory.limit");
    char level[16] = "", free_at[48];
    if (strcmp(limit, "0") == 0) limit = page_setting(run, "memory.budget");
    if (strcmp(limit, "0") == 0) limit = "";
    if (isnan(used)) used = run_story_number(move, "allocated");
    if (run_story_number(move, "level") >= 0 && run_story_number(move, "level") < 100)
        snprintf(level, sizeof level, "%.0f", run_story_number(move, "level"));
    page_append(page, &line, "memory ", page_bytes(used).text);
    page_append(page, &line, "limit ", limit);
    page_append(page, &line, "level ", level);
    page_append(page, &line, "most ", page_bytes(run_story_number(move, "peak")).text);
    snprintf(free_at, sizeof free_at, "free at step %s ",
             html_number(run_story_number(move, "step")).text);
    page_append(page, &line, free_at, page_bytes(run_story_number(move, "free")).text);
    page_append(page, &line, "on the host ",
                run_story_number(move, "host") > 0 ? page_bytes(run_story_number(move, "host")).text
                                                   : "");
}

/* The ladder's last moves: the first line of memory.jsonl is the start. */
static void page_put_moves(struct page *page, const struct watch_run *run, int most)
{
    int count = cJSON_GetArraySize(run->story.moves), first = count - most;
    for (int i = first > 1 ? first : 1; i < count; i++) {
        const cJSON *move = cJSON_GetArrayItem(run->story.moves, i);
        const char *why = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(move, "reason"));
        const struct watch_place line = page_line(page);
        watch_canvas_put(page->canvas, &line, COLOUR_YELLOW, "step %s: level %s, %s: %s",
                         html_number(run_story_number(move, "step")).text,
                         html_number(run_story_number(move, "level")).text,
                         page_bytes(run_story_number(move, "predicted")).text, why ? why : "");
    }
}

/* One above the other, as many as there is room for. */
static int page_draw_curves(struct watch_canvas *canvas, const struct watch_area *area,
                            const struct watch_run *run)
{
    static const watch_colour colours[PAGE_MOST_CURVES] = {COLOUR_CYAN, COLOUR_GREEN, COLOUR_YELLOW,
                                                           COLOUR_BLUE};
    struct watch_plot plots[PAGE_MOST_CURVES];
    int count = 0, room = area->rows / PAGE_CURVE_ROWS;
    if (room < 1) room = 1;
    for (size_t i = 0; i < PAGE_MEASURES && count < PAGE_MOST_CURVES && count < room; i++) {
        const char *name = page_measures[i];
        plots[count] = (struct watch_plot){.title = name,
                                           .x = run->story.steps,
                                           .y = run_story_column(&run->story, name),
                                           .count = run->story.rows,
                                           .may_be_log = run_story_direction(name) < 0,
                                           .colour = colours[count]};
        if (watch_plot_has_curve(&plots[count])) count++;
    }
    for (int i = 0; i < count; i++) {
        struct watch_area one = *area;
        one.row = area->row + area->rows * i / count;
        one.rows = area->row + area->rows * (i + 1) / count - one.row;
        TRY(watch_plot_draw(canvas, &one, &plots[i]));
    }
    return OK;
}

/* Characters of those values of a caption that are there as a whole: two blanks are between them.
 */
static int page_fit_caption(const char *text, int columns)
{
    int fits = 0, length = (int)strlen(text);
    for (int i = 0; i <= length && i <= columns; i++)
        if (i == length || strncmp(text + i, "  ", 2) == 0) fits = i;
    return fits ? fits : columns;
}

/* The picture at the right takes what its shape asks for, two fifths of the width at most; the
 * curves have the rest. */
static int page_draw_body(struct page *page, const struct watch_run *run,
                          const struct watch_picture *picture,
                          const struct watch_terminal *terminal, struct watch_area *place)
{
    struct watch_canvas *canvas = page->canvas;
    struct watch_area area = {page->row, 0, canvas->rows - 1 - page->row, canvas->columns};
    *place = (struct watch_area){.rows = 0};
    if (area.rows < 3) return OK;
    if (picture && picture->image.data && area.columns * 2 / 5 >= PAGE_PICTURE_COLUMNS) {
        *place = (struct watch_area){area.row, 0, area.rows - 1, area.columns * 2 / 5};
        watch_picture_fit(picture, terminal, place);
        place->column = area.columns - place->columns;
        area.columns = place->column - 2;
        TRY(watch_picture_draw(canvas, place, picture, terminal->graphics));
        const struct watch_place caption = {place->row + place->rows, place->column,
                                            place->columns};
        const char *text =
            run->story.frames.count > 0 ? run->story.frames.entries[0].caption : NULL;
        if (text)
            watch_canvas_put(canvas, &caption, COLOUR_OWN, "%.*s",
                             page_fit_caption(text, place->columns), text);
    }
    return page_draw_curves(canvas, &area, run);
}

/* The end of its last warning or error. */
static void page_put_foot(struct page *page, const struct watch_run *run, bool hint)
{
    struct watch_place line = {page->canvas->rows - 1, 0, page->canvas->columns};
    const struct run_story *story = run ? &run->story : NULL;
    if (story && story->warning_count > 0 && run->state != WATCH_DONE)
        watch_canvas_put(page->canvas, &line, COLOUR_YELLOW, "%s",
                         story->warnings[story->warning_count - 1]);
    else if (hint)
        watch_canvas_put(page->canvas, &line, COLOUR_OWN, "q ends watching, not the run");
}

static int page_draw_one(struct page *page, const struct watch_run *run,
                         const struct watch_picture *picture, const struct watch_terminal *terminal,
                         bool hint, struct watch_area *place)
{
    page_put_head(page, run);
    page_put_foot(page, run, hint);
    if (run->state == WATCH_WAITING) return OK;
    page_put_progress(page, run);
    page_put_times(page, run);
    page_put_measures(page, run);
    page_put_memory(page, run);
    page_put_moves(page, run, page->canvas->rows < 16 ? 1 : PAGE_MOST_MOVES);
    return page_draw_body(page, run, picture, terminal, place);
}

/* ---- a row each ---- */

/* The number that says most beside the loss. */
static void page_best_measure(const struct watch_run *run, char *text, size_t room)
{
    *text = '\0';
    for (size_t i = 1; i < PAGE_MEASURES; i++) {
        double value = run_story_last(&run->story, page_measures[i]);
        if (isnan(value)) continue;
        snprintf(text, room, "%s %.4g", page_measures[i], value);
        return;
    }
}

static void page_put_row(struct page *page, const struct watch_run *run, int name_width)
{
    struct watch_place line = page_line(page), cell = line;
    char text[224], best[48], loss[32] = "";
    cell.width = name_width;
    watch_canvas_put(page->canvas, &cell, COLOUR_OWN, "%s", run->path);
    cell = (struct watch_place){line.row, name_width + 1, 9};
    watch_canvas_put(page->canvas, &cell, page_state_colour(run), "%s", watch_state_name(run));
    cell = (struct watch_place){line.row, name_width + 11, 12};
    int rest = cell.column;
    if (run->state != WATCH_WAITING && !isnan(run->total)) {
        page_put_bar(page->canvas, &cell, page_share(run));
        rest += 13;
    }
    if (!isnan(run_story_last(&run->story, "loss")))
        snprintf(loss, sizeof loss, "  loss %.4g", run_story_last(&run->story, "loss"));
    page_best_measure(run, best, sizeof best);
    const struct html_number left = html_duration(run->left);
    snprintf(text, sizeof text, "%s%s%s%s%s%s  %s", html_number(run->step).text,
             run->total > run->step ? "/" : "",
             run->total > run->step ? html_number(run->total).text : "",
             *left.text ? "  left " : "", left.text, loss, best);
    cell = (struct watch_place){line.row, rest, line.width - rest};
    if (run->state == WATCH_FAILED)
        watch_canvas_put(page->canvas, &cell, COLOUR_RED, "(%d) %s", run->status,
                         run->message ? run->message : "");
    else
        watch_canvas_put(page->canvas, &cell, COLOUR_OWN, "%s", text);
}

static void page_put_counts(struct page *page, const struct watch_runs *all)
{
    int counts[WATCH_KILLED + 1] = {0};
    struct watch_place line = page_line(page);
    for (int i = 0; i < all->count; i++)
        counts[all->runs[i].state]++;
    watch_canvas_put(page->canvas, &line, COLOUR_OWN,
                     "%d runs: %d running, %d done, %d stopped, %d failed, %d killed%s", all->count,
                     counts[WATCH_RUNNING], counts[WATCH_DONE], counts[WATCH_STOPPED],
                     counts[WATCH_FAILED], counts[WATCH_KILLED],
                     all->more_to_come ? "; the batch goes on" : "");
}

/* The first row that is shown: where not all have room, those that train are in the middle. */
static int page_first_row(const struct watch_runs *all, int room)
{
    int first = 0;
    while (first < all->count && all->runs[first].state != WATCH_RUNNING)
        first++;
    if (first == all->count) first = all->more_to_come ? all->count : 0;
    first -= room / 2;
    if (first > all->count - room) first = all->count - room;
    return first > 0 ? first : 0;
}

static void page_draw_many(struct page *page, const struct watch_runs *all, bool hint)
{
    int room = page->canvas->rows - 2, width = 0, most = page->canvas->columns / 3;
    page_put_counts(page, all);
    page_put_foot(page, NULL, hint);
    for (int i = 0; i < all->count; i++)
        if ((int)strlen(all->runs[i].path) > width) width = (int)strlen(all->runs[i].path);
    if (width > most) width = most;
    int first = page_first_row(all, room);
    for (int i = first; i < all->count && i < first + room; i++)
        page_put_row(page, &all->runs[i], width);
}

int watch_page_draw(struct watch_canvas *canvas, const struct watch_runs *all,
                    const struct watch_picture *picture, const struct watch_terminal *terminal,
                    bool hint, struct watch_area *place)
{
    struct page page = {canvas, 0};
    *place = (struct watch_area){.rows = 0};
    if (!all->many && all->count == 1)
        return page_draw_one(&page, &all->runs[0], picture, terminal, hint, place);
    page_draw_many(&page, all, hint);
    return OK;
}
