/* A library that stands in for cuDNN: descriptors with the documented rules, heuristics, plans. */
#include "fake_cudnn.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_settings fake_settings;
static long executions;
static size_t version = 91000;

#define DECLARE(result, name, arguments) result name arguments;
CUDNN_FUNCTIONS(DECLARE)
#undef DECLARE

/* What the program that opened us offers: work for a stream. */
int emu_launch_host(void *stream, void (*function)(void *), void *data);

struct handle {
    void *stream;
};

static bool asked(const char *word)
{
    const char *all = getenv("FAKE_CUDNN");
    return all && strstr(all, word);
}

static long asked_number(const char *word)
{
    const char *all = getenv("FAKE_CUDNN"), *at = all ? strstr(all, word) : NULL;
    return at ? strtol(at + strlen(word), NULL, 10) : 0;
}

/* ---- which attributes there are ---- */

#define WITHIN(a) DNN_ATTR_OPERATION_CONVOLUTION_##a
#define OPERATION(descriptor, name, x, w, y)                                                       \
    {descriptor, WITHIN(name##_##x), DNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, true},                     \
        {descriptor, WITHIN(name##_##w), DNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, true},                 \
        {descriptor, WITHIN(name##_##y), DNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, true},                 \
        {descriptor, WITHIN(name##_CONV_DESC), DNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, true},           \
        {descriptor, WITHIN(name##_ALPHA), DNN_TYPE_DOUBLE, 1, 1, true},                           \
    {                                                                                              \
        descriptor, WITHIN(name##_BETA), DNN_TYPE_DOUBLE, 1, 1, true                               \
    }

#define NEED(descriptor, name, type, least, most)                                                  \
    {                                                                                              \
        DNN_BACKEND_##descriptor##_DESCRIPTOR, DNN_ATTR_##name, DNN_TYPE_##type, least, most, true \
    }
#define MAY(descriptor, name, type, least, most)                                                   \
    {                                                                                              \
        DNN_BACKEND_##descriptor##_DESCRIPTOR, DNN_ATTR_##name, DNN_TYPE_##type, least, most,      \
            false                                                                                  \
    }

static const struct rule {
    int descriptor, name, type;
    int64_t least, most;
    bool required;
} rules[] = {
    NEED(TENSOR, TENSOR_UNIQUE_ID, INT64, 1, 1),
    NEED(TENSOR, TENSOR_DATA_TYPE, DATA_TYPE, 1, 1),
    NEED(TENSOR, TENSOR_BYTE_ALIGNMENT, INT64, 1, 1),
    NEED(TENSOR, TENSOR_DIMENSIONS, INT64, 4, 4),
    NEED(TENSOR, TENSOR_STRIDES, INT64, 4, 4),
    MAY(TENSOR, TENSOR_IS_VIRTUAL, BOOLEAN, 1, 1),
    NEED(CONVOLUTION, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1, 1),
    NEED(CONVOLUTION, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1, 1),
    NEED(CONVOLUTION, CONVOLUTION_DILATIONS, INT64, 2, 2),
    NEED(CONVOLUTION, CONVOLUTION_FILTER_STRIDES, INT64, 2, 2),
    NEED(CONVOLUTION, CONVOLUTION_PRE_PADDINGS, INT64, 2, 2),
    NEED(CONVOLUTION, CONVOLUTION_POST_PADDINGS, INT64, 2, 2),
    NEED(CONVOLUTION, CONVOLUTION_SPATIAL_DIMS, INT64, 1, 1),
    OPERATION(DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, FORWARD, X, W, Y),
    OPERATION(DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, BWD_DATA, DX, W, DY),
    OPERATION(DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, BWD_FILTER, X, DW, DY),
    NEED(POINTWISE, POINTWISE_MODE, POINTWISE_MODE, 1, 1),
    NEED(POINTWISE, POINTWISE_MATH_PREC, DATA_TYPE, 1, 1),
    MAY(POINTWISE, POINTWISE_RELU_LOWER_CLIP_SLOPE, DOUBLE, 1, 1),
    NEED(OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, 1, 1),
    NEED(OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, 1, 1),
    MAY(OPERATION_POINTWISE, OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR, 1, 1),
    NEED(OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, 1, 1),
    NEED(OPERATIONGRAPH, OPERATIONGRAPH_HANDLE, HANDLE, 1, 1),
    NEED(OPERATIONGRAPH, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, 1, 8),
    NEED(ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1, 1),
    NEED(ENGINEHEUR, ENGINEHEUR_MODE, HEUR_MODE, 1, 1),
    NEED(ENGINE, ENGINE_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1, 1),
    NEED(ENGINE, ENGINE_GLOBAL_INDEX, INT64, 1, 1),
    NEED(KNOB_CHOICE, KNOB_CHOICE_KNOB_TYPE, KNOB_TYPE, 1, 1),
    NEED(KNOB_CHOICE, KNOB_CHOICE_KNOB_VALUE, INT64, 1, 1),
    NEED(ENGINECFG, ENGINECFG_ENGINE, BACKEND_DESCRIPTOR, 1, 1),
    MAY(ENGINECFG, ENGINECFG_KNOB_CHOICES, BACKEND_DESCRIPTOR, 1, 4),
    NEED(EXECUTION_PLAN, EXECUTION_PLAN_HANDLE, HANDLE, 1, 1),
    NEED(EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, 1, 1),
    NEED(VARIANT_PACK, VARIANT_PACK_UNIQUE_IDS, INT64, 1, 8),
    NEED(VARIANT_PACK, VARIANT_PACK_DATA_POINTERS, VOID_PTR, 1, 8),
    NEED(VARIANT_PACK, VARIANT_PACK_WORKSPACE, VOID_PTR, 1, 1),
};
enum { RULES = sizeof rules / sizeof *rules };

static size_t type_bytes(int type)
{
    switch (type) {
    case DNN_TYPE_BOOLEAN: return 1;
    case DNN_TYPE_INT64:
    case DNN_TYPE_DOUBLE:
    case DNN_TYPE_HANDLE:
    case DNN_TYPE_VOID_PTR:
    case DNN_TYPE_BACKEND_DESCRIPTOR: return 8;
    default: return 4;
    }
}

const struct attribute *fake_find(const struct descriptor *d, int name)
{
    for (int i = 0; i < d->count; i++)
        if (d->attributes[i].name == name) return &d->attributes[i];
    return NULL;
}

static struct descriptor *refers_to(const struct descriptor *d, int name)
{
    const struct attribute *a = fake_find(d, name);
    struct descriptor *other = NULL;
    if (a) memcpy(&other, a->values, sizeof other);
    return other;
}

/* ---- the API ---- */

size_t cudnnGetVersion(void)
{
    long other = asked_number("version=");
    return other ? (size_t)other : version;
}

const char *cudnnGetErrorString(int status)
{
    switch (status / 1000) {
    case 2: return "FAKE_BAD_PARAM";
    case 3: return "FAKE_NOT_SUPPORTED";
    default: return "FAKE_ERROR";
    }
}

void cudnnGetLastErrorString(char *text, size_t room)
{
    snprintf(text, room, "no more is known");
}

int cudnnCreate(dnn_handle *handle)
{
    fake_settings = (struct fake_settings){
        .none = asked("none"),
        .no_handle = asked("no_handle"),
        .no_memory = asked("no_memory"),
        .slow = asked("slow"),
        .no_fusion = asked("no_fusion"),
        .wrong = asked("wrong"),
        .execute = asked_number("execute="),
        .only_mode = asked("only_mode=") ? (int)asked_number("only_mode=") : -1,
    };
    executions = 0;
    *handle = NULL;
    if (fake_settings.no_handle) return DNN_STATUS_INTERNAL_ERROR;
    *handle = calloc(1, sizeof(struct handle));
    return *handle ? DNN_STATUS_SUCCESS : DNN_STATUS_INTERNAL_ERROR;
}

int cudnnDestroy(dnn_handle handle)
{
    free(handle);
    return DNN_STATUS_SUCCESS;
}

int cudnnSetStream(dnn_handle handle, void *stream)
{
    ((struct handle *)handle)->stream = stream;
    return DNN_STATUS_SUCCESS;
}

int cudnnBackendCreateDescriptor(int type, dnn_descriptor *descriptor)
{
    struct descriptor *d = calloc(1, sizeof *d);
    if (!d) return DNN_STATUS_INTERNAL_ERROR;
    d->type = type;
    *descriptor = d;
    return DNN_STATUS_SUCCESS;
}

static void release(struct computation *c)
{
    if (c && --c->references == 0) free(c);
}

int cudnnBackendDestroyDescriptor(dnn_descriptor descriptor)
{
    struct descriptor *d = descriptor;
    release(d->computation);
    free(d);
    return DNN_STATUS_SUCCESS;
}

int cudnnBackendSetAttribute(dnn_descriptor descriptor, int name, int type, int64_t count,
                             const void *values)
{
    struct descriptor *d = descriptor;
    const struct rule *rule = NULL;
    if (!d || !values || d->final) return DNN_STATUS_BAD_PARAM;
    for (int i = 0; i < RULES; i++)
        if (rules[i].descriptor == d->type && rules[i].name == name) rule = &rules[i];
    if (!rule || rule->type != type || count < rule->least || count > rule->most ||
        fake_find(d, name) || d->count == MAX_ATTRIBUTES)
        return DNN_STATUS_BAD_PARAM;
    struct attribute *a = &d->attributes[d->count++];
    *a = (struct attribute){.name = name, .type = type, .count = count};
    memcpy(a->values, values, (size_t)count * type_bytes(type));
    if (type != DNN_TYPE_BACKEND_DESCRIPTOR) return DNN_STATUS_SUCCESS;
    for (int64_t i = 0; i < count; i++) {
        struct descriptor *other;
        memcpy(&other, (const char *)values + (size_t)i * sizeof(struct descriptor *),
               sizeof other);
        if (!other || !other->final) return DNN_STATUS_BAD_PARAM;
    }
    return DNN_STATUS_SUCCESS;
}

static void take(struct descriptor *d, const struct descriptor *from)
{
    d->computation = from->computation;
    d->computation->references++;
    d->number = from->number;
}

static const struct fake_engine *engine_of(const struct descriptor *d)
{
    for (int i = 0; i < FAKE_ENGINES; i++)
        if (fake_engines[i].index == d->number) return &fake_engines[i];
    return NULL;
}

static int finalize_tensor(const struct descriptor *d)
{
    int64_t size[4], align;
    memcpy(size, fake_find(d, DNN_ATTR_TENSOR_DIMENSIONS)->values, sizeof size);
    memcpy(&align, fake_find(d, DNN_ATTR_TENSOR_BYTE_ALIGNMENT)->values, sizeof align);
    for (int i = 0; i < 4; i++)
        if (size[i] < 1) return DNN_STATUS_BAD_PARAM;
    return align > 0 && (align & (align - 1)) == 0 ? DNN_STATUS_SUCCESS : DNN_STATUS_BAD_PARAM;
}

static int finalize_engine(struct descriptor *d)
{
    take(d, refers_to(d, DNN_ATTR_ENGINE_OPERATION_GRAPH));
    memcpy(&d->number, fake_find(d, DNN_ATTR_ENGINE_GLOBAL_INDEX)->values, sizeof d->number);
    const struct fake_engine *e = engine_of(d);
    if (!e) return DNN_STATUS_BAD_PARAM;
    return fake_engine_supports(e, d->computation) ? DNN_STATUS_SUCCESS : DNN_STATUS_NOT_SUPPORTED;
}

/* Every engine has the one knob 2, and it is at 4. */
static int finalize_config(struct descriptor *d)
{
    const struct attribute *knobs = fake_find(d, DNN_ATTR_ENGINECFG_KNOB_CHOICES);
    const struct descriptor *knob = refers_to(d, DNN_ATTR_ENGINECFG_KNOB_CHOICES);
    int type = 2;
    int64_t value = 4;
    take(d, refers_to(d, DNN_ATTR_ENGINECFG_ENGINE));
    if (!knobs) return DNN_STATUS_SUCCESS;
    memcpy(&type, fake_find(knob, DNN_ATTR_KNOB_CHOICE_KNOB_TYPE)->values, sizeof type);
    memcpy(&value, fake_find(knob, DNN_ATTR_KNOB_CHOICE_KNOB_VALUE)->values, sizeof value);
    return knobs->count == 1 && type == 2 && value == 4 ? DNN_STATUS_SUCCESS : DNN_STATUS_BAD_PARAM;
}

static int finalize_plan(struct descriptor *d)
{
    take(d, refers_to(d, DNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG));
    return fake_settings.no_memory ? DNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
                                   : DNN_STATUS_SUCCESS;
}

static int finalize_pack(const struct descriptor *d)
{
    const struct attribute *uids = fake_find(d, DNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const struct attribute *pointers = fake_find(d, DNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    return uids->count == pointers->count ? DNN_STATUS_SUCCESS : DNN_STATUS_BAD_PARAM;
}

int cudnnBackendFinalize(dnn_descriptor descriptor)
{
    struct descriptor *d = descriptor;
    int status = DNN_STATUS_SUCCESS;
    if (!d || d->final) return DNN_STATUS_BAD_PARAM;
    for (int i = 0; i < RULES; i++)
        if (rules[i].descriptor == d->type && rules[i].required && !fake_find(d, rules[i].name))
            return DNN_STATUS_BAD_PARAM;
    switch (d->type) {
    case DNN_BACKEND_TENSOR_DESCRIPTOR: status = finalize_tensor(d); break;
    case DNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR: status = fake_read_graph(d, &d->computation); break;
    case DNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
        take(d, refers_to(d, DNN_ATTR_ENGINEHEUR_OPERATION_GRAPH));
        break;
    case DNN_BACKEND_ENGINE_DESCRIPTOR: status = finalize_engine(d); break;
    case DNN_BACKEND_ENGINECFG_DESCRIPTOR: status = finalize_config(d); break;
    case DNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR: status = finalize_plan(d); break;
    case DNN_BACKEND_VARIANT_PACK_DESCRIPTOR: status = finalize_pack(d); break;
    default: break;
    }
    d->final = status == DNN_STATUS_SUCCESS;
    return status;
}

/* Configurations of the engines that support the graph, into descriptors that the caller made. */
static int get_results(const struct descriptor *d, int64_t room, int64_t *count,
                       struct descriptor **results)
{
    *count = 0;
    int mode;
    memcpy(&mode, fake_find(d, DNN_ATTR_ENGINEHEUR_MODE)->values, sizeof mode);
    if (fake_settings.only_mode >= 0 && mode != fake_settings.only_mode) return DNN_STATUS_SUCCESS;
    for (int i = 0; i < FAKE_ENGINES; i++) {
        if (!fake_engine_supports(&fake_engines[i], d->computation)) continue;
        if (*count < room) {
            struct descriptor *one = results[*count];
            if (!one || one->final || one->type != DNN_BACKEND_ENGINECFG_DESCRIPTOR)
                return DNN_STATUS_BAD_PARAM;
            take(one, d);
            one->number = fake_engines[i].index;
            one->final = true;
        }
        ++*count;
    }
    return DNN_STATUS_SUCCESS;
}

static int get_one_descriptor(const struct descriptor *d, int type, struct descriptor *one)
{
    if (!one || one->type != type) return DNN_STATUS_BAD_PARAM;
    take(one, d);
    one->final = true;
    return DNN_STATUS_SUCCESS;
}

int cudnnBackendGetAttribute(dnn_descriptor descriptor, int name, int type, int64_t room,
                             int64_t *count, void *values)
{
    struct descriptor *d = descriptor;
    (void)type;
    if (!d->final) return DNN_STATUS_BAD_PARAM;
    *count = 1;
    const struct fake_engine *e = engine_of(d);
    switch (name) {
    case DNN_ATTR_ENGINEHEUR_RESULTS: return get_results(d, room, count, values);
    case DNN_ATTR_ENGINECFG_ENGINE:
        return get_one_descriptor(d, DNN_BACKEND_ENGINE_DESCRIPTOR, *(struct descriptor **)values);
    case DNN_ATTR_ENGINECFG_KNOB_CHOICES:
        return get_one_descriptor(d, DNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
                                  *(struct descriptor **)values);
    case DNN_ATTR_ENGINE_GLOBAL_INDEX: memcpy(values, &d->number, sizeof d->number); break;
    case DNN_ATTR_KNOB_CHOICE_KNOB_TYPE: memcpy(values, &(int){2}, sizeof(int)); break;
    case DNN_ATTR_KNOB_CHOICE_KNOB_VALUE: memcpy(values, &(int64_t){4}, sizeof(int64_t)); break;
    case DNN_ATTR_ENGINE_NUMERICAL_NOTE:
        *count = e->note >= 0;
        if (*count) memcpy(values, &e->note, sizeof e->note);
        break;
    case DNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        memcpy(values, &(int64_t){(int64_t)e->workspace}, sizeof(int64_t));
        break;
    default: return DNN_STATUS_BAD_PARAM;
    }
    return DNN_STATUS_SUCCESS;
}

int cudnnBackendExecute(dnn_handle handle, dnn_descriptor plan, dnn_descriptor pack)
{
    const struct descriptor *d = plan, *p = pack;
    struct handle *h = handle;
    if (!h || !d->final || !p->final) return DNN_STATUS_BAD_PARAM;
    if (++executions == fake_settings.execute) return DNN_STATUS_EXECUTION_FAILED;
    const struct attribute *uids = fake_find(p, DNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const struct attribute *pointers = fake_find(p, DNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    struct fake_run *run = calloc(1, sizeof *run);
    if (!run) return DNN_STATUS_INTERNAL_ERROR;
    run->c = *d->computation;
    run->engine = *engine_of(d);
    run->count = (int)uids->count;
    memcpy(run->uids, uids->values, (size_t)uids->count * sizeof *run->uids);
    memcpy(run->pointers, pointers->values, (size_t)uids->count * sizeof *run->pointers);
    memcpy(&run->workspace, fake_find(p, DNN_ATTR_VARIANT_PACK_WORKSPACE)->values,
           sizeof run->workspace);
    if (emu_launch_host(h->stream, fake_execute, run) == 0) return DNN_STATUS_SUCCESS;
    return DNN_STATUS_EXECUTION_FAILED;
}
