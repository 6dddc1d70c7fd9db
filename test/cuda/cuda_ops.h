/* One operation on two devices: a case runs once on the CPU's reference and once on CUDA, from the
 * same numbers, and all its buffers are compared. What is not yet written is NaN on both sides, so
 * a result that depends on it shows. In the emulator, a case runs a second time with blocks and
 * threads in the opposite order and must give the same bits. */
#ifndef IMGTRAIN_TEST_CUDA_CUDA_OPS_H
#define IMGTRAIN_TEST_CUDA_CUDA_OPS_H

#include "base/error.h"
#include "base/random.h"
#include "cpu/device_cpu.h"
#include "cuda/device_cuda.h"
#include "device/device.h"
#include "device/gan_ops.h"
#include "device/nn_ops.h"
#include "device/splat_ops.h"
#include "test/support.h"

#ifdef CUDA_EMU
#include "cuda_emu/emu_counts.h"
#include "cuda_emu/emu_grid.h"
enum { stream_orders = 8 }; /* of the device's queues */
#else
enum { stream_orders = 1 };
static inline void emu_stream_order(unsigned early)
{
    (void)early;
}
static inline void emu_grid_order(bool reverse)
{
    (void)reverse;
}
static inline void emu_forget(void *memory, size_t bytes)
{
    (void)memory, (void)bytes;
}
#endif

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIDE_BUFFERS = 48 };

struct buffer {
    const char *name;
    void *memory;
    size_t bytes;
    enum buffer_kind {
        BUFFER_FLOAT,
        BUFFER_DOUBLE,
        BUFFER_BF16,
        BUFFER_EXACT,
        BUFFER_SCRATCH
    } kind;
    double tolerance; /* largest difference, in units of the largest value of the reference */
};

#ifdef CUDA_EMU
/* What no step and no frame may do once it has run before: memory that is taken or given back costs
 * more than what it is for, and waits for the device. */
static inline void expect_no_memory_calls(const struct emu_counts *used, const char *what)
{
    ck_assert_msg(used->device_allocs + used->device_frees == 0, "%s: device memory", what);
    ck_assert_msg(used->pinned_allocs + used->pinned_frees == 0, "%s: pinned memory", what);
    ck_assert_msg(used->pageable_copies == 0, "%s: a copy of memory that is not pinned", what);
    ck_assert_msg(used->graphs_made == 0 && used->created == 0, "%s: a new graph", what);
}

/* Nor may one step ask for anything but what the step before did. */
static inline void expect_same_calls(const struct emu_counts *used, const struct emu_counts *first)
{
    if (memcmp(used, first, sizeof *used) == 0) return;
    emu_counts_print(stdout, "the first step", first);
    emu_counts_print(stdout, "a later step", used);
    ck_abort_msg("steps differ in what they ask of the host");
}
#endif

struct side {
    struct device *device;
    const struct nn_ops *nn;
    struct buffer buffers[SIDE_BUFFERS];
    int count;
    size_t more_scratch; /* than an operation asks for: of a library's engines */
};

#if HAVE_CUDA
static struct device *cuda_opened; /* last */
#endif

static inline int cuda_open(struct device **device)
{
#if HAVE_CUDA
    int code = device_open_cuda(device, 0, 1);
    if (code == OK) cuda_opened = *device;
    return code;
#else
    *device = NULL;
    return (fail)(ERR_DEVICE, "this build has no CUDA"); /* not the macro of check.h */
#endif
}

/* After a test that failed where all run in one process (CK_FORK=no, as compute-sanitizer wants
 * it): closes its device, or no other could be opened. */
static inline void cuda_close_left(void)
{
#if HAVE_CUDA
    struct device *device;
    const char *fork_mode = getenv("CK_FORK");
    if (!fork_mode || strcmp(fork_mode, "no") != 0) return;
    int code = device_open_cuda(&device, 0, 1);
    if (code == ERR_INTERNAL) device = cuda_opened; /* it is open still */
    if (code == OK || code == ERR_INTERNAL) device_close(device);
#endif
}

/* Is there a CUDA device, and does it what is asked (or NULL)? In a process of its own: CUDA does
 * not survive the fork that Check makes for each test. Says why not. */
static inline bool cuda_can(const char *suite, int (*ask)(struct device *device))
{
    int ends[2];
    char reason[256] = "no answer";
    if (pipe(ends) != 0) return false;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct device *device;
        int code = cuda_open(&device);
        if (code == OK && ask) code = ask(device);
        const char *text = code == OK ? "" : error_message();
        _exit(write(ends[1], text, strlen(text) + 1) < 0);
    }
    close(ends[1]);
    if (read(ends[0], reason, sizeof reason - 1) < 0) reason[0] = '?';
    close(ends[0]);
    waitpid(child, NULL, 0);
    if (reason[0]) test_skip(suite, reason);
    return !reason[0];
}

static inline bool cuda_here(const char *suite)
{
    return cuda_can(suite, NULL);
}

/* A buffer with `bytes` of `from`; all bits set where `from` is NULL. */
static inline void *side_buffer(struct side *s, const char *name, const void *from, size_t bytes)
{
    struct buffer *b = &s->buffers[s->count++];
    ck_assert_int_le(s->count, SIDE_BUFFERS);
    b->name = name;
    b->bytes = bytes;
    b->kind = BUFFER_EXACT;
    ck_assert_msg(s->device->alloc(s->device, bytes, &b->memory) == OK, "%s", error_message());
    void *image = malloc(bytes ? bytes : 1);
    ck_assert_ptr_nonnull(image);
    if (from)
        memcpy(image, from, bytes);
    else
        memset(image, 0xff, bytes);
    if (!from) emu_forget(image, bytes); /* the copy carries it along */
    ck_assert_int_eq(s->device->upload(s->device, b->memory, image, bytes), OK);
    ck_assert_int_eq(s->device->synchronize(s->device), OK);
    free(image);
    return b->memory;
}

static inline void *side_kind(struct side *s, int kind, double tolerance)
{
    struct buffer *b = &s->buffers[s->count - 1];
    b->kind = (enum buffer_kind)kind;
    b->tolerance = tolerance;
    return b->memory;
}

/* `count` numbers in low..high that depend on the seed alone. */
static inline float *side_floats(struct side *s, const char *name, size_t count, uint64_t seed,
                                 float low, float high, double tolerance)
{
    float *x = malloc((count + 1) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < count; i++)
        x[i] = low + (high - low) * philox_uniform(philox_draw(5, STREAM_TEST, seed, i).v[0]);
    side_buffer(s, name, x, count * sizeof *x);
    free(x);
    return side_kind(s, BUFFER_FLOAT, tolerance);
}

/* A result that the operation writes all of. */
static inline float *side_result(struct side *s, const char *name, size_t count, double tolerance)
{
    side_buffer(s, name, NULL, count * sizeof(float));
    return side_kind(s, BUFFER_FLOAT, tolerance);
}

/* Scratch: NaN at first, not compared. */
static inline void *side_workspace(struct side *s, size_t bytes)
{
    side_buffer(s, "scratch", NULL, bytes + s->more_scratch);
    return side_kind(s, BUFFER_SCRATCH, 0);
}

static inline void *side_fetch(struct side *s, int i)
{
    const struct buffer *b = &s->buffers[i];
    void *image = malloc(b->bytes + 1);
    ck_assert_ptr_nonnull(image);
    ck_assert_int_eq(s->device->download(s->device, image, b->memory, b->bytes), OK);
    ck_assert_msg(s->device->synchronize(s->device) == OK, "%s", error_message());
    return image;
}

static inline void side_close(struct side *s)
{
    for (int i = 0; i < s->count; i++)
        s->device->free(s->device, s->buffers[i].memory, s->buffers[i].bytes);
    s->count = 0;
}

static inline size_t buffer_count(const struct buffer *b)
{
    return b->bytes / (b->kind == BUFFER_DOUBLE ? 8 : b->kind == BUFFER_BF16 ? 2 : 4);
}

static inline double buffer_value(const struct buffer *b, const void *image, size_t i)
{
    if (b->kind == BUFFER_DOUBLE) return ((const double *)image)[i];
    if (b->kind == BUFFER_FLOAT) return (double)((const float *)image)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)image)[i] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static inline void buffers_compare(const char *name, const struct buffer *b, const void *expected,
                                   const void *got)
{
    double most = 0;
    if (b->kind == BUFFER_EXACT) {
        for (size_t i = 0; i < b->bytes; i++)
            ck_assert_msg(((const uint8_t *)expected)[i] == ((const uint8_t *)got)[i],
                          "%s: byte %zu of %s differs", name, i, b->name);
        return;
    }
    for (size_t i = 0; i < buffer_count(b); i++)
        most = fmax(most, fabs(buffer_value(b, expected, i)));
    for (size_t i = 0; i < buffer_count(b); i++) {
        double x = buffer_value(b, expected, i), y = buffer_value(b, got, i);
        ck_assert_msg(fabs(x - y) <= b->tolerance * most, "%s: %s[%zu] is %.9g, expected %.9g",
                      name, b->name, i, y, x);
    }
}

#ifdef CUDA_EMU
enum { EMU_TURNS = 2 };
#else
enum { EMU_TURNS = 1 };
#endif

/* Runs `run` on the CPU, with nn_ops_reference(), and `turns` times on CUDA. */
static inline void compare_turns(const char *name, void (*run)(struct side *s, int shape),
                                 int shape, int turns)
{
    struct side cpu = {0}, cuda = {0};
    setenv("IMGTRAIN_ISA", "base", 1);
    ck_assert_int_eq(device_open_cpu(&cpu.device, 1), OK);
    cpu.nn = nn_ops_reference();
    run(&cpu, shape);
    ck_assert_msg(cuda_open(&cuda.device) == OK, "%s", error_message());
    cuda.nn = cuda.device->nn;
    void *first[SIDE_BUFFERS] = {NULL};
    for (int turn = 0; turn < turns; turn++) {
        emu_grid_order(turn == 1);
        run(&cuda, shape);
        ck_assert_int_eq(cpu.count, cuda.count);
        for (int i = 0; i < cpu.count; i++) {
            if (cpu.buffers[i].kind == BUFFER_SCRATCH) continue;
            void *expected = side_fetch(&cpu, i), *got = side_fetch(&cuda, i);
            buffers_compare(name, &cpu.buffers[i], expected, got);
            if (turn == 0)
                first[i] = got;
            else
                ck_assert_msg(memcmp(first[i], got, cpu.buffers[i].bytes) == 0,
                              "%s: %s depends on the order of blocks or threads", name,
                              cpu.buffers[i].name);
            free(expected);
            if (turn > 0) free(got);
        }
        side_close(&cuda);
    }
    for (int i = 0; i < SIDE_BUFFERS; i++)
        free(first[i]);
    side_close(&cpu);
    emu_grid_order(false);
    device_close(cuda.device);
    device_close(cpu.device);
}

static inline void compare_devices(const char *name, void (*run)(struct side *s, int shape),
                                   int shape)
{
    compare_turns(name, run, shape, EMU_TURNS);
}

#endif
