#include "cmd/plan_model.h"

#include "base/error.h"
#include "base/format.h"
#include "cmd/named_model.h"
#include "device/device.h"
#include "placement/placement_print.h"
#include "registry/devices.h"

#include <inttypes.h>
#include <stdio.h>

static int print_plan(const struct model_plan *plan, const struct named_model *model,
                      const struct pipeline *pipeline, int width, int height, bool fits)
{
    const struct placement *placement = pipeline_placement(pipeline);
    int count;
    const struct placement_stage *stages = pipeline_stages(pipeline, &count);
    if (plan->json) {
        printf("{\"model\": \"%s\", \"width\": %d, \"height\": %d, \"steps\": %" PRId64
               ", \"budget_bytes\": %" PRIu64 ", \"way\": %s%s%s, \"ways\": ",
               model->name, width, height, plan->steps, plan->limit, fits ? "\"" : "",
               fits ? placement_way_name(placement_way_of(placement)) : "null", fits ? "\"" : "");
        TRY(placement_print_ways(placement, stages, count, true, stdout));
        printf("}\n");
        return OK;
    }
    printf("%-8s %s, %zu parameters\n%-8s %dx%d, %" PRId64 " steps, without guidance\n%-8s %s\n\n",
           "model", model->name, model->folder->dit.parameter_total, "image", width, height,
           plan->steps, "budget", plan->limit ? format_bytes((int64_t)plan->limit).text : "none");
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
    struct placement_options options = {
        .way = PLACEMENT_AUTO, .budget = (int64_t)plan->limit, .prefetch = true, .place = true};
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int width, height, first, code;
    if (plan->offload && !placement_way_find(plan->offload, &options.way))
        return fail(ERR_USAGE, "--offload %s is none of none, model, sequential, auto",
                    plan->offload);
    TRY_CLEANUP(named_model_open(&model, plan->operand, plan->arch, false));
    TRY_CLEANUP(named_model_size(&model, plan->size, &width, &height));
    TRY_CLEANUP(device_open(&device, plan->device ? plan->device : "auto", 0));
    TRY_CLEANUP(pipeline_open(&pipeline, model.folder, device, &options, PIPELINE_AS_STORED));
    named_model_request(&model, width, height, (int)plan->steps, &request);
    code = pipeline_prepare(pipeline, &request, sigmas, &first);
    if (code == OK || code == ERR_DEVICE_MEMORY)
        code = print_plan(plan, &model, pipeline, width, height, code == OK);
cleanup:
    pipeline_close(pipeline);
    device_close(device);
    named_model_close(&model);
    return code;
}
