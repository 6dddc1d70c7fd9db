#include "cmd/plan_model.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/json.h"
#include "cmd/named_model.h"
#include "device/device.h"
#include "device/token_ops.h"
#include "memory/plan.h"
#include "placement/placement_print.h"
#include "registry/devices.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- how fast this device is, roughly: a tenth of a second ---- */

enum { RATE_ROWS = 256, RATE_WIDTH = 1024, RATE_TRIES = 3 };

struct rate_buffers {
    float *x, *y, *weight;
    void *workspace;
};

static struct token_linear rate_linear(bool bf16)
{
    return (struct token_linear){.rows = RATE_ROWS,
                                 .in = RATE_WIDTH,
                                 .out = RATE_WIDTH,
                                 .weight_type = bf16 ? TOKEN_BF16 : TOKEN_F32,
                                 .bf16 = bf16};
}

static int rate_work(struct device *device, bool bf16, struct rate_buffers *b, double *rate)
{
    struct token_linear linear = rate_linear(bf16);
    linear.weight = b->weight;
    const struct token_epilogue none = {0};
    for (int i = 0; i < RATE_TRIES; i++) {
        double began = clock_seconds();
        TRY(device->token->linear_forward(device, &linear, b->y, b->x, &none, b->workspace));
        TRY(device->synchronize(device));
        double seconds = clock_seconds() - began, work = 2.0 * RATE_ROWS * RATE_WIDTH * RATE_WIDTH;
        if (work / seconds > *rate) *rate = work / seconds;
    }
    return OK;
}

/* As weights are copied: out of pages that the host has. */
static int rate_copies(struct device *device, struct rate_buffers *b, double *rate)
{
    const size_t bytes = (size_t)RATE_WIDTH * RATE_WIDTH * sizeof(float);
    void *host;
    TRY(device->alloc_host(device, bytes, &host));
    int code = OK;
    for (int i = 0; i < RATE_TRIES && code == OK; i++) {
        double began = clock_seconds();
        code = device_send(device, b->weight, host, bytes);
        double seconds = clock_seconds() - began;
        if ((double)bytes / seconds > *rate) *rate = (double)bytes / seconds;
    }
    device->free_host(device, host);
    return code;
}

/* bf16: of products of it. Where it cannot be found out, for want of memory, estimates are left
 * out. */
static void measure_rates(struct device *device, bool bf16, struct placement_options *options)
{
    const struct token_linear linear = rate_linear(bf16);
    const size_t rows = (size_t)RATE_ROWS * RATE_WIDTH * sizeof(float);
    struct rate_buffers b = {0};
    struct plan *plan = plan_create();
    if (!plan) return;
    bool ready =
        plan_declare(plan, "x", PLAN_DATA, rows, PLAN_ALWAYS, (void **)&b.x) == OK &&
        plan_declare(plan, "y", PLAN_DATA, rows, PLAN_ALWAYS, (void **)&b.y) == OK &&
        plan_declare(plan, "weight", PLAN_DATA, (size_t)RATE_WIDTH * RATE_WIDTH * sizeof(float),
                     PLAN_ALWAYS, (void **)&b.weight) == OK &&
        plan_declare(plan, "workspace", PLAN_WORKSPACE,
                     device->token->linear_workspace(device, &linear), PLAN_ALWAYS,
                     &b.workspace) == OK &&
        plan_commit(plan, device) == OK;
    if (!ready || rate_copies(device, &b, &options->copy_rate) < 0 ||
        rate_work(device, bf16, &b, &options->work_rate) < 0)
        options->work_rate = options->copy_rate = 0;
    plan_free(plan);
}

static int print_plan(const struct model_plan *plan, const struct named_model *model,
                      const struct pipeline *pipeline, const struct pipeline_request *request,
                      bool fits)
{
    const struct placement *placement = pipeline_placement(pipeline);
    int count;
    const struct placement_stage *stages = pipeline_stages(pipeline, &count);
    int width = request->width, height = request->height;
    if (plan->json) {
        fputs("{\"model\": ", stdout);
        json_write_string(stdout, model->name);
        printf(", \"width\": %d, \"height\": %d, \"steps\": %d"
               ", \"guidance\": %g, \"budget_bytes\": %" PRIu64 ", \"way\": %s%s%s, \"ways\": ",
               width, height, request->steps, request->guidance, plan->limit, fits ? "\"" : "",
               fits ? placement_way_name(placement_way_of(placement)) : "null", fits ? "\"" : "");
        TRY(placement_print_ways(placement, stages, count, true, stdout));
        printf("}\n");
        return OK;
    }
    printf("%-8s %s, %zu parameters%s\n%-8s %dx%d, %d steps, guidance %g\n%-8s %s\n\n", "model",
           model->name, model_tensors(model->folder)->parameter_total,
           named_model_others(model).text, "image", width, height, request->steps,
           request->guidance, "budget",
           plan->limit ? format_bytes((int64_t)plan->limit).text : "none");
    TRY(placement_print_ways(placement, stages, count, false, stdout));
    if (fits)
        printf("\nruns with --offload %s\n", placement_way_name(placement_way_of(placement)));
    else
        printf("\nnothing fits: %s\n", error_message());
    return OK;
}

int plan_model(const struct model_plan *plan)
{
    struct named_model model;
    struct device *device = NULL;
    struct pipeline *pipeline = NULL;
    struct pipeline_request request;
    enum pipeline_weights weights;
    struct placement_options options = {
        .way = PLACEMENT_AUTO, .budget = (int64_t)plan->limit, .prefetch = true, .place = true};
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int width, height, first, code;
    if (plan->offload && !placement_way_find(plan->offload, &options.way))
        return fail(ERR_USAGE, "--offload %s is none of none, model, sequential, auto",
                    plan->offload);
    TRY(named_model_weights(plan->dtype, &weights));
    TRY_CLEANUP(named_model_open(&model, plan->operand, plan->arch, false));
    TRY_CLEANUP(named_model_size(&model, plan->size, &width, &height));
    named_model_check_image(&model, plan->from_image);
    TRY_CLEANUP(device_open(&device, plan->device ? plan->device : "auto", 0));
    if (token_check_device(device) == OK)
        measure_rates(device, pipeline_has_bf16(weights, model.folder, device), &options);
    TRY_CLEANUP(pipeline_open(&pipeline, model.folder, device, &options, weights));
    TRY_CLEANUP(
        named_model_request(&model, width, height, (int)plan->steps, plan->from_image, &request));
    code = pipeline_prepare(pipeline, &request, sigmas, &first);
    if (code == OK || code == ERR_DEVICE_MEMORY)
        code = print_plan(plan, &model, pipeline, &request, code == OK);
cleanup:
    pipeline_close(pipeline);
    device_close(device);
    named_model_close(&model);
    return code;
}
