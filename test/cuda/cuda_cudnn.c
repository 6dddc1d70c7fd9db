/* cuDNN: our list of its constants; convolutions by it against right results, by a real one where
 * there is a GPU; and everything that is done with it, by a library that stands in for it
 * (test/cuda_emu/fake_cudnn.c). */
#include "base/clock.h"
#include "check/op_check.h"
#include "check/op_kinds.h"
#include "cuda/cudnn/cudnn_api.h"
#include "device/conv_library.h"
#include "math/bf16.h"
#include "test/cuda/cuda_ops.h"
#include "test/support.h"

#include <dlfcn.h>

Suite *cuda_cudnn_suite(void);

/* ---- the constants, where the real header is ---- */

#if __has_include(<cudnn.h>) && __has_include(<cuda_runtime_api.h>)
#include <cudnn.h>
#define THEIRS(name) (int)CUDNN_##name
enum { HEADER_IS_HERE = 1 };
#else
#define THEIRS(name) 0
enum { HEADER_IS_HERE = 0 };
#endif

START_TEST(constants_are_the_headers)
{
    static const struct {
        const char *name;
        int ours, theirs;
    } all[] = {
#define BOTH(name, value) {#name, value, THEIRS(name)},
        CUDNN_CONSTANTS(BOTH)
#undef BOTH
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ck_assert_msg(all[i].ours == all[i].theirs, "CUDNN_%s is %d, not %d", all[i].name,
                      all[i].theirs, all[i].ours);
}
END_TEST

enum { SCRATCH = 1 << 16, LITTLE_SCRATCH = 64 };
static const double FOREVER = 1e9;

#ifdef CUDA_EMU
static void fake(const char *words)
{
    setenv("IMGTRAIN_CUDNN", FAKE_CUDNN, 1);
    setenv("FAKE_CUDNN", words, 1);
}
enum { ROOM = LITTLE_SCRATCH, IS_REAL = 0 };
#else
static void fake(const char *words)
{
    (void)words;
}
enum { ROOM = 64 << 20, IS_REAL = 1 };
#endif

/* ---- convolutions against right results ---- */

static const struct op_kind *const kinds[] = {&op_conv_forward, &op_conv_dgrad, &op_conv_wgrad};
enum { KINDS = sizeof kinds / sizeof *kinds };
/* A real library compiles some engines for seconds: what is met after this takes our own kernels.
 */
static const double real_seconds = 20;

/* What a library may do: round before bias and activation once more, add in another order. */
static void loosen(struct op_case *c)
{
    bool half = c->in_type == NN_BF16 || c->out_type == NN_BF16;
    bool whole = false;
    for (int k = 0; k < c->count; k++)
        whole = whole || c->operands[k].fill == OP_WHOLE;
    for (int k = 0; k < c->count; k++) {
        struct op_operand *o = &c->operands[k];
        if (o->type == OP_MASK && whole) continue;
        o->tolerance = fmax(o->tolerance, half ? 1.5e-2 : IS_REAL ? 2e-5 : 0);
    }
}

/* How many convolutions of these the library does itself. */
static int done_by_library(struct device *device)
{
    int done = 0;
    char *text = NULL;
    MUST(device->nn->conv_library->store(device, &text));
    for (const char *at = text; at && (at = strstr(at, ": ")); at += 2)
        done += at[2] != '0';
    free(text);
    return done;
}

/* Learns each case where its result does not count, then holds it. _i: the kind, then fused or
 * deterministic. */
START_TEST(library_is_right)
{
    const struct op_kind *kind = kinds[_i % KINDS];
    bool deterministic = _i / KINDS == 1, used;
    struct device *device;
    /* Strides that meet every way to finish, of which there are 7. */
    int stride = kind->cases < 200 ? deterministic ? 2 : 3 : deterministic ? 17 : 15;
    fake("");
    MUST(cuda_open(&device));
    const struct conv_library *library = device->nn->conv_library;
    MUST(library->open(device, CONV_ALWAYS, deterministic, &used));
    ck_assert(used);
    double begin = clock_seconds();
    for (int i = 0; i < kind->cases; i += stride) {
        struct op_case c;
        struct op_truth truth;
        uint64_t first = 0, bits;
        op_case_make(&c, kind, i);
        if (c.large) continue;
        loosen(&c);
        MUST(op_truth_make(&truth, &c));
        MUST(library->begin(device, ROOM,
                            IS_REAL ? fmax(0, begin + real_seconds - clock_seconds()) : FOREVER,
                            NULL));
        int code = op_truth_check(&truth, device, ROOM, NULL);
        ck_assert_msg(code == OK || code == ERR_DATA, "%s %s: %s", kind->name, c.text,
                      error_message());
        MUST(library->end(device));
        for (int turn = 0; turn < (deterministic ? EMU_TURNS : 1); turn++) {
            emu_grid_order(turn == 1);
            MUST(op_truth_check(&truth, device, ROOM, &bits));
            if (turn == 0) first = bits;
            ck_assert_msg(bits == first, "%s %s depends on the order of blocks or threads",
                          kind->name, c.text);
        }
        emu_grid_order(false);
        op_truth_free(&truth);
    }
    ck_assert_msg(done_by_library(device) > 0, "the library has an engine for no %s", kind->name);
    device_close(device);
}
END_TEST

#ifdef CUDA_EMU

/* `count` numbers of a type; tolerance < 0: an input. */
static void *side_typed(struct side *s, const char *name, enum nn_type type, size_t count,
                        uint64_t seed, double tolerance)
{
    if (type == NN_F32) return side_floats(s, name, count, seed, -1, 1, tolerance);
    uint16_t *x = malloc((count + 1) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < count; i++)
        x[i] = bf16_round(2 * philox_uniform(philox_draw(5, STREAM_TEST, seed, i).v[0]) - 1);
    side_buffer(s, name, x, count * sizeof *x);
    free(x);
    return side_kind(s, BUFFER_BF16, tolerance);
}

static size_t pixels_of(const struct nn_conv *c)
{
    return (size_t)(c->n * c->h * c->w);
}

static float *weights_of(struct side *s, const struct nn_conv *c, double tolerance)
{
    size_t count = (size_t)(c->cout * (c->cin / c->groups) * c->kernel * c->kernel);
    return side_floats(s, "weights", count, 3, -0.5f, 0.5f, tolerance);
}

/* ---- one convolution, and what is chosen for it ---- */

struct one {
    struct side side;
    const struct conv_library *conv;
    struct nn_conv shape;
    bool used;
};

static void one_open(struct one *o, const char *words, enum conv_use use, bool deterministic,
                     enum nn_type type)
{
    memset(o, 0, sizeof *o);
    fake(words);
    MUST(cuda_open(&o->side.device));
    o->side.nn = o->side.device->nn;
    o->conv = o->side.nn->conv_library;
    o->shape = (struct nn_conv){6, 5, 3, 16, 16, 3, 1, 2, type, type};
    MUST(o->conv->open(o->side.device, use, deterministic, &o->used));
}

static void one_close(struct one *o)
{
    side_close(&o->side);
    device_close(o->side.device);
}

/* The convolution of one_learn() once more. */
static void one_run(struct one *o)
{
    struct side *s = &o->side;
    struct nn_epilogue e = {.slope = 0.2f, .bias = s->buffers[3].memory};
    MUST(s->nn->conv_forward(s->device, &o->shape, s->buffers[1].memory, s->buffers[0].memory,
                             s->buffers[2].memory, &e, s->buffers[4].memory));
}

/* Learns with this scratch, unless `text` says it already; what was chosen, to be freed. */
static char *one_learn(struct one *o, size_t room, const char *text)
{
    char *mode = NULL;
    struct side *s = &o->side;
    s->more_scratch = room;
    MUST(o->conv->begin(o->side.device, room, FOREVER, NULL));
    if (text) MUST(o->conv->restore(o->side.device, text));
    const void *in = side_typed(s, "in", o->shape.in_type, pixels_of(&o->shape) * 16, 1, 0);
    void *out = side_typed(s, "out", o->shape.in_type, pixels_of(&o->shape) * 16, 2, 0);
    const float *weights = weights_of(s, &o->shape, 0);
    struct nn_epilogue e = {.slope = 0.2f, .bias = side_floats(s, "bias", 16, 4, -1, 1, 0)};
    void *workspace = side_workspace(s, s->nn->conv_workspace(s->device, &o->shape));
    MUST(s->nn->conv_forward(s->device, &o->shape, out, in, weights, &e, workspace));
    MUST(o->conv->end(o->side.device));
    MUST(o->conv->store(o->side.device, &mode));
    return mode;
}

/* The end of the only line of choices: " : WAY ENGINE KNOB". */
static void expect(const char *words, enum conv_use use, bool deterministic, enum nn_type type,
                   size_t workspace, const char *wanted)
{
    struct one o;
    one_open(&o, words, use, deterministic, type);
    ck_assert(o.used);
    char *mode = one_learn(&o, workspace, NULL), *at = strchr(mode, ':');
    ck_assert_msg(at && strncmp(at + 2, wanted, strlen(wanted)) == 0, "'%s': %s, wanted %s", words,
                  mode, wanted);
    free(mode);
    one_close(&o);
}

START_TEST(the_right_engine_is_taken)
{
    /* fp32: 3 rounds, 9 is random, 5 takes 40000 bytes, 6 takes 64, 11 is Winograd */
    expect("", CONV_ALWAYS, true, NN_F32, 64, "1 6 2=4\n");
    expect("", CONV_ALWAYS, true, NN_F32, SCRATCH, "1 5 2=4\n");
    expect("", CONV_ALWAYS, true, NN_F32, 0, "0\n");
    expect("", CONV_ALWAYS, true, NN_BF16, 0, "1 3 2=4\n");
    expect("no_fusion", CONV_ALWAYS, false, NN_F32, 0, "1 9 2=4\n");
    expect("none", CONV_ALWAYS, false, NN_F32, SCRATCH, "0\n");
    expect("no_memory", CONV_ALWAYS, false, NN_F32, SCRATCH, "0\n");
    expect("slow", CONV_AUTO, false, NN_F32, SCRATCH, "0\n");
    expect("only_mode=3", CONV_ALWAYS, true, NN_F32, 64, "1 6 2=4\n"); /* each list of guesses */
    expect("only_mode=0", CONV_ALWAYS, true, NN_F32, 64, "1 6 2=4\n");
    expect("only_mode=2", CONV_ALWAYS, true, NN_F32, 64, "1 6 2=4\n");
}
END_TEST

START_TEST(absence_has_a_reason)
{
    struct one o;
    bool used;
    one_open(&o, "no_handle", CONV_AUTO, false, NN_F32);
    char *mode = one_learn(&o, 0,
                           "cudnn 91000 deterministic 0\n"
                           "0 6 5 3 16 16 3 1 0 1 0 0.2 0 0 : 0\n");
    ck_assert_ptr_null(
        strchr(mode, ':')); /* nothing was asked of it, nor taken from a checkpoint */
    free(mode);
    MUST(o.conv->open(o.side.device, CONV_ALWAYS, false, &used));
    ck_assert_int_eq(o.conv->begin(o.side.device, 0, FOREVER, NULL), ERR_DEVICE);
    one_close(&o);
    static const char *const paths[] = {"/nowhere/libcudnn.so.9", "libm.so.6"};
    for (int i = 0; i < 2; i++) {
        MUST(cuda_open(&o.side.device));
        setenv("IMGTRAIN_CUDNN", paths[i], 1);
        ck_assert_int_eq(o.conv->open(o.side.device, CONV_ALWAYS, false, &used), ERR_DEVICE);
        ck_assert_ptr_nonnull(strstr(error_message(), i ? "has no cudnnGetVersion" : "nowhere"));
        MUST(o.conv->open(o.side.device, CONV_AUTO, false, &used));
        ck_assert(!used);
        device_close(o.side.device);
    }
    MUST(cuda_open(&o.side.device));
    fake("version=8907");
    ck_assert_int_eq(o.conv->open(o.side.device, CONV_ALWAYS, false, &used), ERR_DEVICE);
    ck_assert_ptr_nonnull(strstr(error_message(), "needed is 9"));
    fake("");
    MUST(o.conv->open(o.side.device, CONV_AUTO, true, &used)); /* the clock must not decide */
    ck_assert(!used);
    MUST(o.conv->open(o.side.device, CONV_NEVER, false, &used));
    ck_assert(!used);
    device_close(o.side.device);
}
END_TEST

/* What was chosen once is taken again, though another would be faster now. */
START_TEST(choices_are_kept)
{
    struct one o;
    one_open(&o, "no_fusion", CONV_ALWAYS, false, NN_F32);
    char *first = one_learn(&o, 64, NULL);
    one_close(&o);
    one_open(&o, "slow", CONV_AUTO, false, NN_F32);
    char *again = one_learn(&o, 64, first);
    ck_assert_str_eq(first, again);
    one_close(&o);
    ck_assert_ptr_nonnull(strstr(first, ": 1 "));
    one_open(&o, "none", CONV_AUTO, false, NN_F32); /* the engine is gone: another is looked for */
    char *changed = one_learn(&o, 64, first);
    ck_assert_ptr_nonnull(strstr(changed, ": 0\n"));
    one_close(&o);
    one_open(&o, "version=91100 slow", CONV_AUTO, false, NN_F32);
    char *other = one_learn(&o, 64, first);
    ck_assert_ptr_nonnull(strstr(other, "cudnn 91100 "));
    ck_assert_ptr_nonnull(strstr(other, ": 0\n"));
    one_close(&o);
    one_open(&o, "", CONV_AUTO, false, NN_F32);
    MUST(o.conv->begin(o.side.device, 0, FOREVER, NULL));
    MUST(o.conv->restore(o.side.device, "engines of another program")); /* no reason to end a run */
    MUST(o.conv->restore(o.side.device,
                         "cudnn 91000 deterministic 0\n0 1 2 : x\n0 0 0 0 0 0 0 0 0 0 0 0 0 0 : "
                         "1 5 junk\n"));
    MUST(o.conv->restore(o.side.device, "cudnn 91000 deterministic 0\n"
                                        "0 2147483647 65536 65536 16 16 3 1 0 0 0 0.2 0 0 : 1 5\n"
                                        "0 1 8 8 16 16 3 99 0 0 0 0.2 0 0 : 1 5\n"
                                        "0 1 8 8 -16 16 3 1 0 0 0 0.2 0 0 : 1 5\n"
                                        "0 1 8 8 16 16 3 1 0 0 0 nan 0 0 : 1 5\n"));
    MUST(o.conv->end(o.side.device));
    one_close(&o);
    free(first);
    free(again);
    free(changed);
    free(other);
}
END_TEST

static bool stopped(void)
{
    return true;
}

/* Without time, or when the run is to stop: our own kernels, until there is time. */
START_TEST(learning_has_an_end)
{
    for (int i = 0; i < 2; i++) {
        struct one o;
        char *none = NULL;
        one_open(&o, "", CONV_ALWAYS, false, NN_F32);
        free(one_learn(&o, 64, NULL)); /* operands */
        MUST(o.conv->open(o.side.device, CONV_ALWAYS, false, &o.used));
        MUST(o.conv->begin(o.side.device, 64, i ? FOREVER : 0, i ? stopped : NULL));
        one_run(&o);
        MUST(o.conv->end(o.side.device));
        one_run(&o);
        MUST(o.conv->store(o.side.device, &none));
        ck_assert_ptr_null(strchr(none, ':'));
        MUST(o.conv->begin(o.side.device, 64, FOREVER, NULL));
        one_run(&o);
        MUST(o.conv->end(o.side.device));
        free(none);
        MUST(o.conv->store(o.side.device, &none));
        ck_assert_ptr_nonnull(strchr(none, ':'));
        free(none);
        one_close(&o);
    }
}
END_TEST

/* A way of the memory ladder without room for engines: none may write behind the workspace. */
START_TEST(less_scratch_is_another_choice)
{
    struct one o;
    char *less = NULL;
    one_open(&o, "no_fusion", CONV_ALWAYS, true, NN_F32);
    char *more = one_learn(&o, SCRATCH, NULL);
    ck_assert_ptr_nonnull(strstr(more, ": 1 5 ")); /* 40000 bytes */
    MUST(o.conv->begin(o.side.device, 64, FOREVER, NULL));
    one_run(&o);
    MUST(o.conv->end(o.side.device));
    MUST(o.conv->store(o.side.device, &less));
    ck_assert_ptr_nonnull(strstr(less, ": 1 6 ")); /* 64 bytes */
    free(more);
    free(less);
    one_close(&o);
}
END_TEST

/* An execution that fails is done by our own kernel, and so are all after it. */
START_TEST(failures_fall_back)
{
    struct one o;
    one_open(&o, "execute=4", CONV_ALWAYS, true, NN_F32); /* three chunks while learning */
    char *before = one_learn(&o, 64, NULL), *after = NULL;
    ck_assert_ptr_nonnull(strstr(before, ": 1 6"));
    struct side *s = &o.side;
    const float *in = s->buffers[0].memory, *weights = s->buffers[2].memory;
    void *workspace = s->buffers[4].memory;
    struct nn_epilogue e = {.slope = 0.2f, .bias = s->buffers[3].memory};
    float *right = side_result(s, "right", pixels_of(&o.shape) * 16, 0);
    MUST(s->nn->conv_forward(s->device, &o.shape, right, in, weights, &e, workspace));
    MUST(o.conv->store(o.side.device, &after));
    ck_assert_ptr_nonnull(strstr(after, ": 0\n"));
    float *first = side_fetch(s, 1), *second = side_fetch(s, s->count - 1);
    for (size_t i = 0; i < pixels_of(&o.shape) * 16; i++)
        ck_assert(fabsf(first[i] - second[i]) <= 1e-5f);
    free(first);
    free(second);
    free(before);
    free(after);
    one_close(&o);
}
END_TEST

/* With `deterministic`, neither the number of pictures at a time nor the run changes a bit. */
START_TEST(micro_batches_change_no_bit)
{
    struct one o;
    one_open(&o, "", CONV_ALWAYS, true, NN_BF16);
    struct side *s = &o.side;
    struct nn_conv c = o.shape;
    s->more_scratch = 64;
    size_t count = pixels_of(&c) * 16, weights = (size_t)(16 * 16 * 9), part = count / 3;
    const uint16_t *in = side_typed(s, "in", NN_BF16, count, 1, 0);
    const uint16_t *dout = side_typed(s, "dout", NN_BF16, count, 2, 0);
    void *workspace = side_workspace(s, s->nn->conv_workspace(s->device, &c));
    MUST(o.conv->begin(o.side.device, 64, FOREVER, NULL));
    MUST(s->nn->conv_wgrad(s->device, &c, side_floats(s, "spare", weights, 3, -1, 1, 0), in, dout,
                           workspace));
    MUST(o.conv->end(o.side.device));
    float *whole = side_floats(s, "whole", weights, 3, -1, 1, 0);
    int at = s->count - 1;
    MUST(s->nn->conv_wgrad(s->device, &c, whole, in, dout, workspace));
    float *parts = side_floats(s, "parts", weights, 3, -1, 1, 0);
    c.n = 2;
    MUST(s->nn->conv_wgrad(s->device, &c, parts, in, dout, workspace));
    c.n = 4;
    MUST(s->nn->conv_wgrad(s->device, &c, parts, in + part, dout + part, workspace));
    void *a = side_fetch(s, at), *b = side_fetch(s, at + 1);
    ck_assert_mem_eq(a, b, weights * sizeof(float));
    free(a);
    free(b);
    one_close(&o);
}
END_TEST

/* Its own libraries have threads and handlers that outlive ours. */
START_TEST(it_stays_loaded)
{
    struct one o;
    one_open(&o, "", CONV_ALWAYS, false, NN_F32);
    one_close(&o);
    void *still = dlopen(FAKE_CUDNN, RTLD_NOW | RTLD_NOLOAD);
    ck_assert_msg(still != NULL, "the library was unloaded with its device");
    dlclose(still);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, it_stays_loaded);
    tcase_add_test(tests, the_right_engine_is_taken);
    tcase_add_test(tests, absence_has_a_reason);
    tcase_add_test(tests, choices_are_kept);
    tcase_add_test(tests, learning_has_an_end);
    tcase_add_test(tests, less_scratch_is_another_choice);
    tcase_add_test(tests, failures_fall_back);
    tcase_add_test(tests, micro_batches_change_no_bit);
}
#endif

static int cudnn_opens(struct device *device)
{
    bool used;
    return device->nn->conv_library->open(device, CONV_ALWAYS, false, &used);
}

Suite *cuda_cudnn_suite(void)
{
    Suite *suite = suite_create("cuda_cudnn");
    TCase *tests = tcase_create("cudnn");
    if (HEADER_IS_HERE)
        tcase_add_test(tests, constants_are_the_headers);
    else
        test_skip("cuda_cudnn constants", "no cudnn.h");
#ifdef CUDA_EMU
    add_tests(tests);
#else
    test_skip("cuda_cudnn", "only the emulator has the library that stands in for cuDNN");
#endif
    fake("");
    if (cuda_can("cuda_cudnn", cudnn_opens))
        tcase_add_loop_test(tests, library_is_right, 0, 2 * KINDS);
    suite_add_tcase(suite, tests);
    return suite;
}
