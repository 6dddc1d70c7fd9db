/* Convolutions by cuDNN: what lies around its calls. Weights are brought into its order, our part
 * of the epilogue follows, gradients are added; which way each convolution goes is
 * cudnn_choice.c's. */
#include "cuda/nn/conv_cuda.h"
#include "cuda/nn/nn_cuda.h"

extern "C" {
#include "base/clock.h"
#include "base/log.h"
#include "cuda/cudnn/cudnn_choice.h"
}

enum { BLOCK = 256, TIMED_RUNS = 5, TIMED_ROUNDS = 2 };

static struct {
    struct conv_choices choices;
    bool is_open, on, learning;
    int failure;     /* of learning */
    double deadline; /* of learning */
    bool (*stop)(void);
    bool left; /* some convolutions have no choice, as there was no time */
    cudaEvent_t start, end;
} state;

/* ---- kernels ---- */

/* [o][c][tap] in fp32 to [o][tap][c] */
template <typename T>
static __global__ void library_pack(T *out, const float *weights, int channels, int taps, int count)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int c = i % channels, tap = i / channels % taps, o = i / channels / taps;
    element_set(out, i, weights[((size_t)o * channels + c) * taps + tap]);
}

/* dw += the gradient in cuDNN's order */
static __global__ void library_add(float *dw, const float *sum, int channels, int taps, int count)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int c = i % channels, tap = i / channels % taps, o = i / channels / taps;
    dw[((size_t)o * channels + c) * taps + tap] += sum[i];
}

/* The epilogue of eight channels (or one, where they are no multiple of eight) in place. */
template <typename T>
static __global__ void library_finish(T *x, struct nn_epilogue e, int channels, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (channels % 8 == 0) {
        alignas(16) float sums[8];
        i *= 8;
        if (i >= count) return;
        element_load8(sums, (const T *)x, i);
        conv_finish8(e, x, sums, 0, i, (int)(i % channels));
    } else if (i < count) {
        element_set(
            x, i, conv_finish<T>(e, cuda_element_element((const T *)x, i), i, (int)(i % channels)));
    }
}

/* Bits of what is > 0 */
template <typename T> static __global__ void library_mask(uint8_t *mask, const T *x, size_t bytes)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    float values[8];
    unsigned above = 0;
    if (i >= bytes) return;
    element_load8(values, x, 8 * i);
    UNROLL
    for (int k = 0; k < 8; k++)
        if (values[k] > 0) above |= 1u << k;
    mask[i] = (uint8_t)above;
}

/* ---- one convolution ---- */

static int weight_count(const struct nn_conv *s)
{
    return s->cout * (s->cin / s->groups) * s->kernel * s->kernel;
}

/* Weights in cuDNN's order, or their gradient: before its own workspace. */
static size_t packed_bytes(const struct nn_conv *s)
{
    return ((size_t)weight_count(s) * sizeof(float) + 63) / 64 * 64;
}

size_t conv_library_workspace(const struct nn_conv *s)
{
    return state.on ? packed_bytes(s) : 0;
}

static const void *cuda_conv_library_pack(const struct conv_call *c)
{
    const struct nn_conv *s = &c->shape;
    int taps = s->kernel * s->kernel, count = weight_count(s);
    if (taps == 1 && s->in_type == NN_F32) return c->weights;
    WITH_TYPE(s->in_type, T,
              LAUNCH((library_pack<T>), cuda_blocks((size_t)count, BLOCK), BLOCK, 0,
                     c->device->stream, (T *)c->workspace, c->weights, s->cin / s->groups, taps,
                     count));
    return c->workspace;
}

/* What cuDNN has left of the epilogue. */
static void cuda_conv_library_finish(const struct conv_call *c, enum conv_mode mode)
{
    const struct nn_conv *s = &c->shape;
    int channels = c->direction == CUDNN_FORWARD ? s->cout : s->cin;
    size_t count = (size_t)s->n * s->h * s->w * channels;
    size_t threads = channels % 8 == 0 ? count / 8 : count;
    struct nn_epilogue e = c->epilogue;
    if (mode == CONV_FUSED) { /* a leaky ReLU keeps the sign: its result gives the mask */
        e.bias = NULL;
        e.residual = NULL;
        e.slope = 1;
    }
    if (mode == CONV_FUSED && e.mask_out && !e.mask_in)
        WITH_TYPE(s->in_type, T,
                  LAUNCH((library_mask<T>), cuda_blocks(threads, BLOCK), BLOCK, 0,
                         c->device->stream, e.mask_out, (const T *)c->to, threads));
    else if (e.bias || e.residual || e.slope < 1 || e.mask_out || e.mask_in)
        WITH_TYPE(s->in_type, T,
                  LAUNCH((library_finish<T>), cuda_blocks(threads, BLOCK), BLOCK, 0,
                         c->device->stream, (T *)c->to, e, channels, count));
}

static int run_library(const struct conv_call *c, const struct conv_choice *choice)
{
    const struct nn_conv *s = &c->shape;
    struct cudnn_operands o = {c->to, c->from, c->with, NULL, NULL};
    void *workspace = (char *)c->workspace + packed_bytes(s);
    if (c->direction == CUDNN_WGRAD)
        o.to = c->workspace;
    else
        o.with = cuda_conv_library_pack(c);
    if (choice->mode == CONV_FUSED) {
        o.bias = c->epilogue.bias;
        o.residual = c->epilogue.residual;
    }
    TRY(cudnn_plan_run(&state.choices.cudnn, &choice->plan, &o, workspace));
    if (c->direction == CUDNN_WGRAD)
        LAUNCH(library_add, cuda_blocks((size_t)weight_count(s), BLOCK), BLOCK, 0,
               c->device->stream, (float *)c->to, (const float *)c->workspace, s->cin / s->groups,
               s->kernel * s->kernel, weight_count(s));
    else
        cuda_conv_library_finish(c, choice->mode);
    return cuda_take_error();
}

static int cuda_conv_library_run(const struct conv_call *c, const struct conv_choice *choice)
{
    return choice->mode == CONV_NATIVE ? conv_native(c) : run_library(c, choice);
}

/* ---- learning ---- */

static int cuda_conv_library_timed(const struct conv_call *c, const struct conv_choice *choice,
                                   int runs, float *ms)
{
    cuda_check(cudaEventRecord(state.start, c->device->stream));
    for (int i = 0; i < runs; i++)
        TRY(cuda_conv_library_run(c, choice));
    cuda_check(cudaEventRecord(state.end, c->device->stream));
    cuda_check(cudaEventSynchronize(state.end));
    cuda_check(cudaEventElapsedTime(ms, state.start, state.end));
    *ms /= (float)runs;
    return OK;
}

/* The best of a few rounds, after one that warms up; what takes long is run less often. */
static int cuda_conv_library_trial(void *context, const struct conv_choice *choice,
                                   float *milliseconds)
{
    const struct conv_call *c = (const struct conv_call *)context;
    TRY(cuda_conv_library_timed(c, choice, 1, milliseconds));
    TRY(cuda_conv_library_timed(c, choice, 1, milliseconds));
    for (int round = 0; round < TIMED_ROUNDS && *milliseconds < 1; round++) {
        float one;
        TRY(cuda_conv_library_timed(c, choice, TIMED_RUNS, &one));
        if (one < *milliseconds || round == 0) *milliseconds = one;
    }
    return OK;
}

/* Convolutions that cuDNN may get at all. */
static bool is_possible(const struct conv_call *c)
{
    const struct nn_epilogue *e = &c->epilogue;
    bool adds = c->direction == CUDNN_WGRAD;
    if (c->shape.in_type != c->shape.out_type || !c->workspace) return false;
    return adds || (e->residual != c->to && e->slope >= 0);
}

static struct conv_key cuda_conv_library_key_of(const struct conv_call *c)
{
    struct conv_key key = {};
    const struct nn_epilogue *e = &c->epilogue;
    key.problem.direction = c->direction;
    key.problem.shape = c->shape;
    key.problem.shape.chunk = 0;
    key.problem.slope = 1;
    if (c->direction == CUDNN_WGRAD || state.choices.cudnn.deterministic) return key;
    key.problem.bias = e->bias != NULL;
    key.problem.residual = e->residual != NULL;
    key.problem.slope = e->slope;
    key.mask_out = e->mask_out != NULL;
    key.mask_in = e->mask_in != NULL;
    return key;
}

/* Without a clock there is one plan to make, and all must be known before the first step. */
static bool has_time(void)
{
    if (state.choices.cudnn.deterministic) return true;
    if (clock_seconds() < state.deadline && !(state.stop && state.stop())) return true;
    state.left = true;
    return false;
}

static struct conv_choice *cuda_conv_library_learn(const struct conv_key *key, struct conv_call *c)
{
    if (!has_time()) return NULL;
    if (state.choices.learnt == 0)
        log_info("conv: trying cuDNN's engines; what has none chosen yet may take a minute or two");
    struct conv_choice *choice =
        conv_choices_learn(&state.choices, key, cuda_conv_library_trial, c);
    if (!choice) state.failure = fail(ERR_SYSTEM, "out of memory");
    return choice;
}

static int cuda_conv_library_convolve(struct conv_call *c)
{
    struct conv_choice *choice = NULL;
    if (is_possible(c)) {
        struct conv_key key = cuda_conv_library_key_of(c);
        choice = conv_choices_find(&state.choices, &key);
        if (!choice && state.learning) choice = cuda_conv_library_learn(&key, c);
    }
    if (!choice || choice->mode == CONV_NATIVE) return conv_native(c);
    if (run_library(c, choice) == OK) return OK;
    log_warning("conv: our own kernel from now on for a convolution that failed: %s",
                error_message());
    conv_choices_give_up(&state.choices, choice);
    return conv_native(c);
}

static const void *forward_by(const void *tensor, enum nn_type type, size_t elements)
{
    return tensor ? (const char *)tensor + elements * nn_type_bytes(type) : NULL;
}

/* The part of a convolution that begins with image `first`. */
static struct conv_call cuda_conv_library_part_of(const struct conv_call *c, int first, int n)
{
    struct conv_call part = *c;
    size_t pictures = (size_t)first * c->shape.h * c->shape.w;
    size_t in = pictures * c->shape.cin, out = pictures * c->shape.cout;
    bool forward = c->direction == CUDNN_FORWARD;
    enum nn_type type = c->shape.in_type;
    size_t to = forward ? out : in;
    part.shape.n = n;
    part.from = forward_by(c->from, type, c->direction == CUDNN_DGRAD ? out : in);
    part.with = forward_by(c->with, type, out);
    if (c->direction == CUDNN_WGRAD) return part;
    part.to = (void *)forward_by(c->to, type, to);
    part.epilogue.residual = forward_by(c->epilogue.residual, type, to);
    if (part.epilogue.mask_out) part.epilogue.mask_out += to / 8;
    if (part.epilogue.mask_in) part.epilogue.mask_in += to / 8;
    return part;
}

int conv_by_library(const struct conv_call *call)
{
    struct conv_call c = *call;
    if (!state.on || c.shape.in_type != c.shape.out_type) return conv_native(&c);
    int step = state.choices.cudnn.deterministic ? c.shape.chunk : c.shape.n;
    for (int first = 0; first < c.shape.n; first += step) {
        int left = c.shape.n - first;
        struct conv_call part = cuda_conv_library_part_of(&c, first, left < step ? left : step);
        TRY(cuda_conv_library_convolve(&part));
    }
    return OK;
}

/* ---- struct conv_library ---- */

static void cuda_conv_library_forget(void)
{
    conv_choices_forget(&state.choices);
    state.on = state.learning = false;
}

/* deterministic without a word about cuDNN: our own kernels, which are; the fastest engine is a
 * matter of the clock. */
static int library_open(struct device *device, enum conv_use use, bool deterministic, bool *used)
{
    (void)device;
    static bool told;
    struct cudnn_library *l = &state.choices.cudnn;
    cuda_conv_library_forget();
    *used = false;
    if (use == CONV_NEVER) return OK;
    if (use == CONV_AUTO && deterministic) {
        if (!told) log_info("conv: own kernels, as deterministic leaves no choice to the clock");
        told = true;
        return OK;
    }
    if (!state.is_open) {
        int code = cudnn_api_open(&l->api);
        if (code < 0 && use == CONV_ALWAYS) return fail_within(code, "conv: cudnn");
        if (code < 0) {
            if (!told) log_info("conv: own kernels (%s)", error_message());
            told = true;
            return OK;
        }
    }
    state.is_open = state.on = *used = true;
    state.choices.use = use;
    l->deterministic = deterministic;
    return OK;
}

static int library_begin(struct device *device, size_t workspace, double seconds,
                         bool (*stop)(void))
{
    if (!state.on) return OK;
    if (workspace != state.choices.workspace) conv_choices_forget(&state.choices);
    state.choices.workspace = workspace;
    state.failure = OK;
    state.deadline = clock_seconds() + seconds;
    state.stop = stop;
    state.left = false;
    int code = cudnn_library_start(&state.choices.cudnn, cuda_stream(device));
    if (code < 0 && state.choices.use == CONV_ALWAYS) return fail_within(code, "conv: cudnn");
    if (code < 0) {
        log_info("conv: own kernels (%s)", error_message());
        cuda_conv_library_forget();
        return OK;
    }
    if (!state.start) cuda_check(cudaEventCreate(&state.start));
    if (!state.end) cuda_check(cudaEventCreate(&state.end));
    state.learning = true;
    return OK;
}

static int library_end(struct device *device)
{
    (void)device;
    char text[96];
    const struct conv_choices *c = &state.choices;
    if (!state.learning) return OK;
    state.learning = false;
    if (c->learnt)
        log_info("conv: cuDNN %zu for %s", c->cudnn.api.cudnnGetVersion(),
                 conv_choices_describe(c, text, sizeof text));
    if (state.left)
        log_info("conv: no time to try cuDNN for all: own kernels for the rest, until a resume");
    state.choices.learnt = 0;
    return state.failure;
}

static int library_store(struct device *device, char **text)
{
    (void)device;
    return conv_choices_store(&state.choices, text);
}

static int library_restore(struct device *device, const char *text)
{
    (void)device;
    return state.learning ? conv_choices_restore(&state.choices, text) : OK;
}

void conv_library_close(void)
{
    cuda_conv_library_forget();
    cudnn_library_stop(&state.choices.cudnn);
    if (state.is_open) cudnn_api_close(&state.choices.cudnn.api);
    if (state.start) cudaEventDestroy(state.start);
    if (state.end) cudaEventDestroy(state.end);
    memset(&state, 0, sizeof state);
}

static void library_describe(char *text, size_t room)
{
    const struct cudnn_api *api = &state.choices.cudnn.api;
    snprintf(text, room, "cuDNN %zu", state.is_open ? api->cudnnGetVersion() : (size_t)0);
}

const struct conv_library conv_library_cuda = {
    library_describe, library_open, library_begin, library_end, library_store, library_restore,
};
