/* Engines of a graph: which there are, which may be taken, their plans, and running one. */
#include "base/error.h"
#include "cuda/cudnn/cudnn_graph.h"

#include <string.h>

enum { NOTES = 32 };

static int cuda_cudnn_plan_get(const struct cudnn_api *api, dnn_descriptor d, int attribute,
                               int type, int64_t room, int64_t *count, void *values)
{
    int64_t there = 0;
    int status = api->cudnnBackendGetAttribute(d, attribute, type, room, &there, values);
    *count = there < room ? there : room;
    return cudnn_result(api, status, "cuDNN's answer");
}

static int cuda_cudnn_plan_create(const struct cudnn_api *api, int type, dnn_descriptor *d)
{
    *d = NULL;
    return cudnn_result(api, api->cudnnBackendCreateDescriptor(type, d), "a descriptor");
}

static int cuda_cudnn_plan_set(const struct cudnn_api *api, dnn_descriptor d, int attribute,
                               int type, int64_t count, const void *values)
{
    return cudnn_result(api, api->cudnnBackendSetAttribute(d, attribute, type, count, values),
                        "an attribute");
}

static int cuda_cudnn_plan_finalize(const struct cudnn_api *api, dnn_descriptor d, const char *what)
{
    return cudnn_result(api, api->cudnnBackendFinalize(d), what);
}

/* Where no GPU is at hand, graphs are looked at for a described one. */
static int set_device(const struct cudnn_library *l, dnn_descriptor d, int attribute)
{
    if (l->handle) return OK;
    return cuda_cudnn_plan_set(&l->api, d, attribute, DNN_TYPE_BACKEND_DESCRIPTOR, 1, &l->device);
}

/* ---- what may be taken ---- */

/* Mixed precision is storage alone, so nothing may round more than that: no TF32 for fp32, no
 * rounding of inputs or partial sums, no transforms that lose digits. */
static bool note_is_refused(int note, enum nn_type type, bool deterministic)
{
    switch (note) {
    case DNN_NUMERICAL_NOTE_TENSOR_CORE: return type == NN_F32;
    case DNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
    case DNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
    case DNN_NUMERICAL_NOTE_FFT:
    case DNN_NUMERICAL_NOTE_WINOGRAD:
    case DNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
    case DNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
    case DNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13: return true;
    case DNN_NUMERICAL_NOTE_NONDETERMINISTIC: return deterministic;
    default: return false;
    }
}

static int engine_is_allowed(const struct cudnn_library *l, const struct cudnn_graph *graph,
                             dnn_descriptor engine)
{
    int notes[NOTES];
    int64_t count;
    TRY(cuda_cudnn_plan_get(&l->api, engine, DNN_ATTR_ENGINE_NUMERICAL_NOTE,
                            DNN_TYPE_NUMERICAL_NOTE, NOTES, &count, notes));
    for (int64_t i = 0; i < count; i++)
        if (note_is_refused(notes[i], graph->type, l->deterministic))
            return fail(ERR_DEVICE, "the engine rounds or adds in another way than is wanted");
    return OK;
}

/* ---- engines by name ---- */

static int read_knobs(const struct cudnn_api *api, dnn_descriptor config, struct cudnn_engine *e)
{
    dnn_descriptor knobs[CUDNN_KNOBS];
    int64_t count = 0, one;
    int made = 0, code = OK;
    for (; made < CUDNN_KNOBS; made++)
        TRY_CLEANUP(cuda_cudnn_plan_create(api, DNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knobs[made]));
    TRY_CLEANUP(cuda_cudnn_plan_get(api, config, DNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                    DNN_TYPE_BACKEND_DESCRIPTOR, CUDNN_KNOBS, &count, knobs));
    e->knob_count = (int)count;
    for (int64_t i = 0; i < count; i++) {
        TRY_CLEANUP(cuda_cudnn_plan_get(api, knobs[i], DNN_ATTR_KNOB_CHOICE_KNOB_TYPE,
                                        DNN_TYPE_KNOB_TYPE, 1, &one, &e->knobs[i].type));
        TRY_CLEANUP(cuda_cudnn_plan_get(api, knobs[i], DNN_ATTR_KNOB_CHOICE_KNOB_VALUE,
                                        DNN_TYPE_INT64, 1, &one, &e->knobs[i].value));
    }
cleanup:
    while (made > 0)
        api->cudnnBackendDestroyDescriptor(knobs[--made]);
    return code;
}

/* Index and knobs of a configuration, where its engine may be taken. */
static int cuda_cudnn_plan_read_engine(const struct cudnn_library *l,
                                       const struct cudnn_graph *graph, dnn_descriptor config,
                                       struct cudnn_engine *e)
{
    dnn_descriptor engine;
    int64_t one;
    int code = cuda_cudnn_plan_create(&l->api, DNN_BACKEND_ENGINE_DESCRIPTOR, &engine);
    if (code < 0) return code;
    TRY_CLEANUP(cuda_cudnn_plan_get(&l->api, config, DNN_ATTR_ENGINECFG_ENGINE,
                                    DNN_TYPE_BACKEND_DESCRIPTOR, 1, &one, &engine));
    TRY_CLEANUP(cuda_cudnn_plan_get(&l->api, engine, DNN_ATTR_ENGINE_GLOBAL_INDEX, DNN_TYPE_INT64,
                                    1, &one, &e->index));
    TRY_CLEANUP(engine_is_allowed(l, graph, engine));
    TRY_CLEANUP(read_knobs(&l->api, config, e));
cleanup:
    l->api.cudnnBackendDestroyDescriptor(engine);
    return code;
}

/* The reverse: a configuration of the engine with these knobs. */
static int write_engine(const struct cudnn_library *l, const struct cudnn_graph *graph,
                        const struct cudnn_engine *e, dnn_descriptor *config)
{
    const struct cudnn_api *api = &l->api;
    dnn_descriptor engine = NULL, knobs[CUDNN_KNOBS];
    int made = 0, code;
    TRY_CLEANUP(cuda_cudnn_plan_create(api, DNN_BACKEND_ENGINE_DESCRIPTOR, &engine));
    TRY_CLEANUP(cuda_cudnn_plan_set(api, engine, DNN_ATTR_ENGINE_OPERATION_GRAPH,
                                    DNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph->operations));
    TRY_CLEANUP(cuda_cudnn_plan_set(api, engine, DNN_ATTR_ENGINE_GLOBAL_INDEX, DNN_TYPE_INT64, 1,
                                    &e->index));
    TRY_CLEANUP(set_device(l, engine, DNN_ATTR_ENGINE_DEVICEPROP));
    TRY_CLEANUP(cuda_cudnn_plan_finalize(api, engine, "an engine"));
    TRY_CLEANUP(engine_is_allowed(l, graph, engine));
    for (; made < e->knob_count; made++) {
        const int type = e->knobs[made].type;
        const int64_t value = e->knobs[made].value;
        TRY_CLEANUP(cuda_cudnn_plan_create(api, DNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knobs[made]));
        code = cuda_cudnn_plan_set(api, knobs[made], DNN_ATTR_KNOB_CHOICE_KNOB_TYPE,
                                   DNN_TYPE_KNOB_TYPE, 1, &type);
        if (code == OK)
            code = cuda_cudnn_plan_set(api, knobs[made], DNN_ATTR_KNOB_CHOICE_KNOB_VALUE,
                                       DNN_TYPE_INT64, 1, &value);
        if (code == OK) code = cuda_cudnn_plan_finalize(api, knobs[made], "a knob");
        if (code == OK) continue;
        made++;
        goto cleanup;
    }
    TRY_CLEANUP(cuda_cudnn_plan_create(api, DNN_BACKEND_ENGINECFG_DESCRIPTOR, config));
    TRY_CLEANUP(cuda_cudnn_plan_set(api, *config, DNN_ATTR_ENGINECFG_ENGINE,
                                    DNN_TYPE_BACKEND_DESCRIPTOR, 1, &engine));
    if (e->knob_count > 0)
        TRY_CLEANUP(cuda_cudnn_plan_set(api, *config, DNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                        DNN_TYPE_BACKEND_DESCRIPTOR, e->knob_count, knobs));
    TRY_CLEANUP(cuda_cudnn_plan_finalize(api, *config, "a configuration"));
cleanup:
    while (made > 0)
        api->cudnnBackendDestroyDescriptor(knobs[--made]);
    if (engine) api->cudnnBackendDestroyDescriptor(engine);
    return code;
}

/* ---- plans ---- */

void cudnn_plan_free(const struct cudnn_library *library, struct cudnn_plan *plan)
{
    if (plan->plan) library->api.cudnnBackendDestroyDescriptor(plan->plan);
    if (plan->config) library->api.cudnnBackendDestroyDescriptor(plan->config);
    plan->plan = plan->config = NULL;
}

/* The plan of plan->config; all is freed when it cannot be. */
static int finish_plan(const struct cudnn_library *l, size_t workspace, struct cudnn_plan *plan)
{
    const struct cudnn_api *api = &l->api;
    int64_t bytes = 0, one;
    int code = cuda_cudnn_plan_create(api, DNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan->plan);
    TRY_CLEANUP(code);
    if (l->handle)
        TRY_CLEANUP(cuda_cudnn_plan_set(api, plan->plan, DNN_ATTR_EXECUTION_PLAN_HANDLE,
                                        DNN_TYPE_HANDLE, 1, &l->handle));
    TRY_CLEANUP(set_device(l, plan->plan, DNN_ATTR_EXECUTION_PLAN_DEVICEPROP));
    TRY_CLEANUP(cuda_cudnn_plan_set(api, plan->plan, DNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                    DNN_TYPE_BACKEND_DESCRIPTOR, 1, &plan->config));
    TRY_CLEANUP(cuda_cudnn_plan_finalize(api, plan->plan, "a plan"));
    TRY_CLEANUP(cuda_cudnn_plan_get(api, plan->plan, DNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                    DNN_TYPE_INT64, 1, &one, &bytes));
    plan->workspace = (size_t)bytes;
    if (bytes < 0 || plan->workspace > workspace)
        code = fail(ERR_DEVICE, "the plan needs %lld bytes of scratch, there are %zu",
                    (long long)bytes, workspace);
cleanup:
    if (code < 0) cudnn_plan_free(l, plan);
    return code;
}

int cudnn_plan_of(const struct cudnn_library *library, const struct cudnn_graph *graph,
                  size_t workspace, const struct cudnn_engine *engine, struct cudnn_plan *plan)
{
    memset(plan, 0, sizeof *plan);
    plan->engine = *engine;
    int code = write_engine(library, graph, engine, &plan->config);
    if (code < 0) {
        cudnn_plan_free(library, plan);
        return code;
    }
    return finish_plan(library, workspace, plan);
}

/* What one of cuDNN's lists of guesses holds, as far as there is room. */
static int add_plans(const struct cudnn_library *l, const struct cudnn_graph *graph, int mode,
                     size_t workspace, struct cudnn_plan *plans, int room, int *count)
{
    const struct cudnn_api *api = &l->api;
    dnn_descriptor guess, configs[CUDNN_CONFIGS];
    int64_t found = 0;
    int made = 0, code = cuda_cudnn_plan_create(api, DNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &guess);
    if (code < 0) return code;
    TRY_CLEANUP(cuda_cudnn_plan_set(api, guess, DNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                    DNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph->operations));
    TRY_CLEANUP(
        cuda_cudnn_plan_set(api, guess, DNN_ATTR_ENGINEHEUR_MODE, DNN_TYPE_HEUR_MODE, 1, &mode));
    TRY_CLEANUP(set_device(l, guess, DNN_ATTR_ENGINEHEUR_DEVICEPROP));
    TRY_CLEANUP(cuda_cudnn_plan_finalize(api, guess, "a guess"));
    for (; made < CUDNN_CONFIGS; made++)
        TRY_CLEANUP(cuda_cudnn_plan_create(api, DNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[made]));
    TRY_CLEANUP(cuda_cudnn_plan_get(api, guess, DNN_ATTR_ENGINEHEUR_RESULTS,
                                    DNN_TYPE_BACKEND_DESCRIPTOR, CUDNN_CONFIGS, &found, configs));
    for (int64_t i = 0; i < found && *count < room; i++) {
        struct cudnn_plan *plan = &plans[*count];
        memset(plan, 0, sizeof *plan);
        if (cuda_cudnn_plan_read_engine(l, graph, configs[i], &plan->engine) < 0) continue;
        plan->config = configs[i];
        configs[i] = NULL;
        if (finish_plan(l, workspace, plan) == OK) ++*count;
    }
cleanup:
    while (made-- > 0)
        if (configs[made]) api->cudnnBackendDestroyDescriptor(configs[made]);
    api->cudnnBackendDestroyDescriptor(guess);
    return code;
}

int cudnn_plans(const struct cudnn_library *library, const struct cudnn_graph *graph,
                size_t workspace, struct cudnn_plan *plans, int room, int *count)
{
    /* A knows most engines of fused graphs; the others, where it has none that we may take. */
    static const int modes[] = {DNN_HEUR_MODE_A, DNN_HEUR_MODE_INSTANT, DNN_HEUR_MODE_FALLBACK};
    int code = OK;
    *count = 0;
    for (int i = 0; i < 3 && (i == 0 || *count == 0); i++) {
        int one = add_plans(library, graph, modes[i], workspace, plans, room, count);
        if (one < 0) code = one;
    }
    return *count > 0 ? OK : code;
}

int cudnn_plan_run(const struct cudnn_library *library, const struct cudnn_plan *plan,
                   const struct cudnn_operands *o, void *workspace)
{
    const struct cudnn_api *api = &library->api;
    const void *const all[] = {o->to, o->from, o->with, o->bias, o->residual};
    const void *pointers[UID_INSIDE];
    int64_t uids[UID_INSIDE], count = 0;
    dnn_descriptor pack;
    for (int i = 0; i < UID_INSIDE - UID_TO; i++) {
        if (!all[i]) continue;
        uids[count] = UID_TO + i;
        pointers[count++] = all[i];
    }
    int code = cuda_cudnn_plan_create(api, DNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    if (code < 0) return code;
    TRY_CLEANUP(cuda_cudnn_plan_set(api, pack, DNN_ATTR_VARIANT_PACK_UNIQUE_IDS, DNN_TYPE_INT64,
                                    count, uids));
    TRY_CLEANUP(cuda_cudnn_plan_set(api, pack, DNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                    DNN_TYPE_VOID_PTR, count, pointers));
    TRY_CLEANUP(cuda_cudnn_plan_set(api, pack, DNN_ATTR_VARIANT_PACK_WORKSPACE, DNN_TYPE_VOID_PTR,
                                    1, &workspace));
    TRY_CLEANUP(cuda_cudnn_plan_finalize(api, pack, "operands"));
    TRY_CLEANUP(cudnn_result(api, api->cudnnBackendExecute(library->handle, plan->plan, pack),
                             "a convolution"));
cleanup:
    api->cudnnBackendDestroyDescriptor(pack);
    return code;
}
