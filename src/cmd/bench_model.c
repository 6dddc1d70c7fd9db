/* Each row is a process of its own, so that none finds the memory or the pages of another. */
#include "cmd/bench_model.h"

#include "base/checksum.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "cmd/named_model.h"
#include "device/device.h"
#include "placement/placement_print.h"
#include "registry/devices.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Ways as rows: `sequential` with what fits, and with nothing resident. */
enum row_kind { ROW_NONE, ROW_MODEL, ROW_SEQUENTIAL, ROW_LEAST, ROW_KINDS };
static const char *const row_names[] = {"none", "model", "sequential", "sequential, least"};

enum { MOST_SIZES = 16 };

struct row {
    enum row_kind kind;
    int width, height;
    int code; /* of the library: ERR_DEVICE_MEMORY: it does not fit */
    char message[256];
    struct placement_report report; /* its texts are of the child alone */
    double seconds, step_seconds;
    uint64_t image; /* a hash of its bits */
    int64_t peak_rss;
};

/* ---- a row: in a child ---- */

struct step_clock {
    double first, last;
    int steps;
};

static void note_step(void *context, int done, int total)
{
    struct step_clock *clock = context;
    (void)total;
    clock->last = clock_seconds();
    if (done == 1) clock->first = clock->last;
    clock->steps = done;
}

static int image_make(struct pipeline *pipeline, const struct pipeline_request *request,
                      int channels, struct row *row)
{
    const uint64_t seed = 0;
    size_t floats = (size_t)channels * (size_t)request->width * (size_t)request->height;
    float *image = malloc(floats * sizeof *image);
    struct step_clock steps = {0};
    const struct pipeline_watch watch = {.step = note_step, .context = &steps};
    if (!image) return fail(ERR_SYSTEM, "out of memory");
    double began = clock_seconds();
    int code = pipeline_run(pipeline, &seed, 1, &image, &watch);
    row->seconds = clock_seconds() - began;
    row->step_seconds =
        steps.steps > 1 ? (steps.last - steps.first) / (steps.steps - 1) : row->seconds;
    row->image = hash_bytes(0, image, floats * sizeof *image);
    free(image);
    return code;
}

static int row_open(const struct model_bench *bench, struct named_model *model,
                    struct device *device, const struct row *row, enum placement_way way,
                    int64_t budget, struct pipeline **pipeline, struct pipeline_request *request)
{
    const struct placement_options options = {
        .way = way, .budget = budget, .prefetch = row->kind != ROW_LEAST, .place = true};
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int first;
    enum pipeline_weights weights;
    TRY(named_model_weights(bench->dtype, &weights));
    TRY(pipeline_open(pipeline, model->folder, device, &options, weights));
    TRY(named_model_request(model, row->width, row->height, (int)bench->steps, bench->from_image,
                            request));
    return pipeline_prepare(*pipeline, request, sigmas, &first);
}

/* Stages come one after the other: the most that one of them takes, and all that they move. */
static void forecast_add(struct placement_forecast *all, const struct placement_forecast *stage)
{
    if (stage->device_bytes > all->device_bytes) all->device_bytes = stage->device_bytes;
    if (stage->host_bytes > all->host_bytes) all->host_bytes = stage->host_bytes;
    all->residents += stage->residents;
    all->blocks += stage->blocks;
    all->copies += stage->copies;
    all->copied_bytes += stage->copied_bytes;
}

static int bench_foresee(const struct pipeline *pipeline, enum placement_way way,
                         struct placement_forecast *all, int64_t *half)
{
    struct placement_forecast stage[PIPELINE_STAGES_MOST];
    int count;
    const struct placement_stage *stages = pipeline_stages(pipeline, &count);
    *all = (struct placement_forecast){.way = way};
    *half = 0;
    TRY(placement_forecast(pipeline_placement(pipeline), stages, count, way, stage));
    for (int i = 0; i < count; i++) {
        int64_t bytes = (int64_t)(stage[i].working_bytes + stage[i].weight_bytes / 2);
        forecast_add(all, &stage[i]);
        if (bytes > *half) *half = bytes;
    }
    return OK;
}

static void bench_collect(const struct placement *placement, struct placement_report *all)
{
    *all = (struct placement_report){.stage = "all"};
    for (int i = 0; i < placement_report_count(placement); i++) {
        const struct placement_report *r = placement_report_at(placement, i);
        forecast_add(&all->predicted, &r->predicted);
        if (r->device_bytes > all->device_bytes) all->device_bytes = r->device_bytes;
        if (r->host_bytes > all->host_bytes) all->host_bytes = r->host_bytes;
        all->copies += r->copies;
        all->copied_bytes += r->copied_bytes;
    }
}

/* The budget of a row that has none of its own: half of the weights, or the least that will do. */
static int row_budget(const struct model_bench *bench, struct named_model *model,
                      struct device *device, const struct row *row, int64_t *budget)
{
    struct placement_forecast whole, least;
    struct pipeline_request request;
    struct pipeline *pipeline = NULL;
    int64_t half, unused;
    *budget = (int64_t)bench->limit;
    if (row->kind < ROW_SEQUENTIAL || (row->kind == ROW_SEQUENTIAL && bench->limit)) return OK;
    int code = row_open(bench, model, device, row, PLACEMENT_SEQUENTIAL, 1, &pipeline, &request);
    if (code == OK || code == ERR_DEVICE_MEMORY) /* it is too little, which is what is asked */
        code = bench_foresee(pipeline, PLACEMENT_SEQUENTIAL, &least, &unused);
    if (code == OK) code = bench_foresee(pipeline, PLACEMENT_MODEL, &whole, &half);
    pipeline_close(pipeline);
    TRY(code);
    *budget = (int64_t)least.device_bytes;
    if (row->kind == ROW_SEQUENTIAL && half > *budget) *budget = half;
    return OK;
}

static int bench_row_measure(const struct model_bench *bench, struct named_model *model,
                             struct row *row)
{
    static const enum placement_way ways[] = {PLACEMENT_NONE, PLACEMENT_MODEL, PLACEMENT_SEQUENTIAL,
                                              PLACEMENT_SEQUENTIAL};
    struct placement_forecast *predicted = &row->report.predicted;
    struct device *device = NULL;
    struct pipeline *pipeline = NULL;
    struct pipeline_request request;
    int64_t budget, half;
    int code = OK;
    TRY(device_open(&device, bench->device, (int)bench->threads));
    TRY_CLEANUP(row_budget(bench, model, device, row, &budget));
    code = row_open(bench, model, device, row, ways[row->kind], budget, &pipeline, &request);
    if (code == ERR_DEVICE_MEMORY || (code == OK && bench->forecast_only))
        bench_foresee(pipeline, ways[row->kind], predicted, &half);
    if (code < 0 || bench->forecast_only) goto cleanup;
    TRY_CLEANUP(image_make(pipeline, &request, model_image_channels(model->folder), row));
    bench_collect(pipeline_placement(pipeline), &row->report);
cleanup:
    pipeline_close(pipeline);
    device_close(device);
    return code;
}

static void row_run(const struct model_bench *bench, struct named_model *model, struct row *row)
{
    struct rusage usage;
    row->code = bench_row_measure(bench, model, row);
    if (row->code < 0) snprintf(row->message, sizeof row->message, "%s", error_message());
    if (getrusage(RUSAGE_SELF, &usage) == 0) row->peak_rss = (int64_t)usage.ru_maxrss * 1024;
}

static int row_foresee(const struct model_bench *bench, struct named_model *model, struct row *row)
{
    row->code = bench_row_measure(bench, model, row);
    return row->code == ERR_DEVICE_MEMORY ? OK : row->code;
}

static int row_in_child(const struct model_bench *bench, struct named_model *model, struct row *row)
{
    int ends[2], status = 0;
    struct row told = *row;
    if (pipe(ends) != 0) return fail_errno(ERR_SYSTEM, "a pipe");
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) return fail_errno(ERR_SYSTEM, "a process for a row");
    if (child == 0) {
        row_run(bench, model, row);
        _exit(write(ends[1], row, sizeof *row) == (ssize_t)sizeof *row ? 0 : 1);
    }
    close(ends[1]);
    ssize_t got;
    do {
        got = read(ends[0], &told, sizeof told); /* as small a message comes whole */
    } while (got < 0 && errno == EINTR);
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    } /* where SIGCHLD is ignored, none is left to wait for */
    if (got != (ssize_t)sizeof told)
        return fail(ERR_INTERNAL, "%s at %dx%d: its process ended early", row_names[row->kind],
                    row->width, row->height);
    *row = told;
    return row->code < 0 && row->code != ERR_DEVICE_MEMORY ? fail(row->code, "%s", row->message)
                                                           : OK;
}

/* ---- the table ---- */

static void row_print_forecast(const struct row *row)
{
    const struct placement_forecast *f = &row->report.predicted;
    char size[32], residents[32];
    snprintf(size, sizeof size, "%dx%d", row->width, row->height);
    snprintf(residents, sizeof residents, "%d of %d", f->residents, f->blocks);
    printf("%-18s %-10s %10s %10s %10s %12s  %s\n", row_names[row->kind], size,
           format_bytes((int64_t)f->device_bytes).text, format_bytes((int64_t)f->host_bytes).text,
           format_bytes((int64_t)f->copied_bytes).text, residents, row->code < 0 ? "no" : "yes");
}

static void row_print(const struct row *row)
{
    const struct placement_report *r = &row->report;
    char size[32];
    snprintf(size, sizeof size, "%dx%d", row->width, row->height);
    printf("%-18s %-10s %10s", row_names[row->kind], size,
           format_bytes((int64_t)r->predicted.device_bytes).text);
    if (row->code < 0)
        printf(" %10s %10s %10s %9s %9s  %16s  no\n", "-", "-", "-", "-", "-", "-");
    else
        printf(" %10s %10s %10s %9.3f %9.3f  %016" PRIx64 "  yes\n",
               format_bytes((int64_t)r->device_bytes).text,
               format_bytes((int64_t)r->host_bytes).text,
               format_bytes((int64_t)r->copied_bytes).text, row->step_seconds, row->seconds,
               row->image);
    fflush(stdout);
}

static void row_print_json(const struct row *row, bool first, bool measured)
{
    const struct placement_report *r = &row->report;
    printf("%s\n {\"way\": \"%s\", \"width\": %d, \"height\": %d, \"predicted_bytes\": %zu, "
           "\"fits\": %s, \"predicted_copies\": %" PRId64 ", \"predicted_copied_bytes\": %" PRIu64
           ", \"residents\": %d",
           first ? "" : ",", row_names[row->kind], row->width, row->height,
           r->predicted.device_bytes, row->code < 0 ? "false" : "true", r->predicted.copies,
           r->predicted.copied_bytes, r->predicted.residents);
    if (row->code == OK && measured)
        printf(", \"device_bytes\": %zu, \"host_bytes\": %zu, \"copies\": %" PRId64
               ", \"copied_bytes\": %" PRIu64 ", \"step_seconds\": %.6f, \"seconds\": %.6f, "
               "\"peak_rss_bytes\": %" PRId64 ", \"image\": \"%016" PRIx64 "\"",
               r->device_bytes, r->host_bytes, r->copies, r->copied_bytes, row->step_seconds,
               row->seconds, row->peak_rss, row->image);
    printf("}");
    fflush(stdout);
}

/* What no row may show. */
static int row_check(const struct row *row, const uint64_t *image)
{
    const struct placement_report *r = &row->report;
    if (row->code < 0) return OK;
    if (r->device_bytes != r->predicted.device_bytes || r->copies != r->predicted.copies ||
        r->copied_bytes != r->predicted.copied_bytes)
        return fail(ERR_INTERNAL,
                    "%s at %dx%d took %zu bytes in %" PRId64 " copies, not %zu in %" PRId64
                    " as was predicted",
                    row_names[row->kind], row->width, row->height, r->device_bytes, r->copies,
                    r->predicted.device_bytes, r->predicted.copies);
    if (row->image != *image)
        return fail(ERR_INTERNAL, "%s at %dx%d made another image than the row above",
                    row_names[row->kind], row->width, row->height);
    return OK;
}

static int bench_size(const struct model_bench *bench, struct named_model *model, int width,
                      int height, bool first)
{
    uint64_t image = 0;
    bool known = false;
    int worst = OK;
    for (int kind = 0; kind < ROW_KINDS; kind++) {
        struct row row = {.kind = (enum row_kind)kind, .width = width, .height = height};
        TRY(bench->forecast_only ? row_foresee(bench, model, &row)
                                 : row_in_child(bench, model, &row));
        if (bench->json)
            row_print_json(&row, first && kind == 0, !bench->forecast_only);
        else
            bench->forecast_only ? row_print_forecast(&row) : row_print(&row);
        if (bench->forecast_only) continue;
        if (row.code == OK && !known) image = row.image, known = true;
        int code = row_check(&row, &image);
        if (code < 0) worst = code, log_error("%s", error_message());
    }
    return worst < 0 ? fail(worst, "a row is not as it was predicted") : OK;
}

/* ---- sizes ---- */

static int bench_read_sizes(const struct model_bench *bench, struct named_model *model,
                            int sizes[MOST_SIZES][2], int *count)
{
    char text[256];
    if ((size_t)snprintf(text, sizeof text, "%s", bench->sizes) >= sizeof text)
        return fail(ERR_USAGE, "--sizes: more than is read");
    *count = 0;
    for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
        if (*count == MOST_SIZES) return fail(ERR_USAGE, "--sizes: at most %d", MOST_SIZES);
        TRY(named_model_size(model, word, &sizes[*count][0], &sizes[*count][1]));
        ++*count;
    }
    return *count > 0 ? OK : fail(ERR_USAGE, "--sizes is empty");
}

static int bench_list_sizes(const struct model_bench *bench, struct named_model *model,
                            int sizes[MOST_SIZES][2], int *count)
{
    int multiple = pipeline_size_step(model->folder);
    if (bench->sizes) return bench_read_sizes(bench, model, sizes, count);
    *count = 3;
    for (int i = 0; i < 3; i++) {
        int side = model->side * (4 - i) / 4 / multiple * multiple;
        sizes[i][0] = sizes[i][1] = side > multiple ? side : multiple;
    }
    return OK;
}

/* ---- the command ---- */

static int64_t bench_steps(const struct model_bench *bench, const struct named_model *model)
{
    return bench->steps ? bench->steps : model_usual_steps(model->folder);
}

static void bench_print_head(const struct model_bench *bench, const struct named_model *model)
{
    printf("%s, %zu parameters%s, %" PRId64 " steps, budget %s\n%-18s %-10s %10s", model->name,
           model_tensors(model->folder)->parameter_total, named_model_others(model).text,
           bench_steps(bench, model),
           bench->limit ? format_bytes((int64_t)bench->limit).text : "none", "way", "size",
           "predicted");
    if (bench->forecast_only)
        printf(" %10s %10s %12s  %s\n", "host", "moved", "resident", "fits");
    else
        printf(" %10s %10s %10s %9s %9s  %-16s  %s\n", "measured", "host", "moved", "s a step",
               "s in all", "image", "fits");
}

static int bench_all(const struct model_bench *bench, struct named_model *model)
{
    int sizes[MOST_SIZES][2], count = 0, code = OK;
    TRY(bench_list_sizes(bench, model, sizes, &count));
    if (bench->json) {
        fputs("{\"model\": ", stdout);
        json_write_string(stdout, model->name);
        printf(", \"steps\": %" PRId64 ", \"budget_bytes\": %" PRIu64 ", \"rows\": [",
               bench_steps(bench, model), bench->limit);
    } else
        bench_print_head(bench, model);
    for (int i = 0; i < count && code == OK; i++)
        code = bench_size(bench, model, sizes[i][0], sizes[i][1], i == 0);
    if (bench->json) printf("\n]}\n");
    return code;
}

int bench_model(const struct model_bench *bench)
{
    struct named_model model;
    enum pipeline_weights weights;
    TRY(named_model_weights(bench->dtype, &weights));
    int code = named_model_open(&model, bench->operand, bench->arch, !bench->forecast_only);
    if (code == OK) named_model_check_image(&model, bench->from_image);
    if (code == OK) code = bench_all(bench, &model);
    named_model_close(&model);
    return code;
}
