/* Components made up for tests of placement: every tensor's bytes say which one it is, and a stage
 * copies all that it acquires into its activations, position by position, so that a block that came
 * too late, or was overwritten too early, shows. */
#ifndef IMGTRAIN_TEST_PLACEMENT_PLACEMENT_FAKE_H
#define IMGTRAIN_TEST_PLACEMENT_PLACEMENT_FAKE_H

#include "base/random.h"
#include "cpu/device_cpu.h"
#include "device/device.h"
#include "memory/plan.h"
#include "placement/placement.h"
#include "test/support.h"

enum { FAKE_BLOCKS = 16, FAKE_TENSORS = 64, FAKE_WALK = 32 };
enum { KB = 1000 };

static inline struct device *cpu_device(void)
{
    struct device *device;
    MUST(device_open_cpu(&device, 1));
    return device;
}

static inline void placement_with(struct placement **placement, struct device *device,
                                  enum placement_way way, int64_t budget)
{
    const struct placement_options options = {
        .way = way, .budget = budget, .prefetch = true, .place = true};
    MUST(placement_open(placement, device, &options));
}

struct fake {
    char key[32];
    struct placement_tensor tensors[FAKE_TENSORS];
    struct placement_block blocks[FAKE_BLOCKS];
    uint8_t *bytes[FAKE_TENSORS];
    struct placement_source source;
    int opened, reads;
};

struct fake_stage {
    struct fake *fake;
    struct placement_stage stage;
    int walk[FAKE_WALK];
    size_t pass_bytes; /* that one pass acquires */
    void *seen;        /* [passes][pass_bytes] on the device */
    void *workspace;
    size_t workspace_bytes; /* of chunking 0; half as much for each further one */
};

static inline uint32_t fake_draw(uint32_t trial, uint32_t index)
{
    return philox_draw(77, STREAM_TEST, trial, index).v[0];
}

static inline int fake_open(void *context, const void **data)
{
    struct fake *f = context;
    f->opened++;
    for (int t = 0; t < f->source.tensor_count; t++)
        data[t] = f->bytes[t];
    return OK;
}

static inline int fake_read(void *context, int tensor, void *to)
{
    struct fake *f = context;
    f->reads++;
    memcpy(to, f->bytes[tensor],
           f->tensors[tensor].count * tensor_type_bytes(f->tensors[tensor].stored));
    return OK;
}

static inline void fake_close(void *context)
{
    ((struct fake *)context)->opened--;
}

/* Blocks of `floats[b]` numbers, in `tensors_each` tensors. */
static inline void fake_create(struct fake *f, const char *key, int blocks, const size_t *floats,
                               int tensors_each)
{
    memset(f, 0, sizeof *f);
    snprintf(f->key, sizeof f->key, "%s", key);
    int count = 0;
    for (int b = 0; b < blocks; b++) {
        f->blocks[b] =
            (struct placement_block){.name = "block", .first = count, .count = tensors_each};
        for (int t = 0; t < tensors_each; t++) {
            size_t numbers = floats[b] / (size_t)tensors_each + (t == 0);
            f->tensors[count] = (struct placement_tensor){
                .name = "t", .stored = TENSOR_F32, .wanted = TENSOR_F32, .count = numbers};
            f->bytes[count] = malloc(4 * numbers);
            ck_assert_ptr_nonnull(f->bytes[count]);
            for (size_t i = 0; i < 4 * numbers; i++)
                f->bytes[count][i] = (uint8_t)(i * 7 + (size_t)count * 31 + (size_t)key[0]);
            count++;
        }
    }
    f->source = (struct placement_source){.name = f->key,
                                          .key = f->key,
                                          .tensors = f->tensors,
                                          .tensor_count = count,
                                          .blocks = f->blocks,
                                          .block_count = blocks,
                                          .open = fake_open,
                                          .close = fake_close,
                                          .read = fake_read,
                                          .context = f};
}

static inline void fake_free(struct fake *f)
{
    for (int t = 0; t < f->source.tensor_count; t++)
        free(f->bytes[t]);
}

static inline size_t fake_block_bytes(const struct fake *f, int block)
{
    size_t sum = 0;
    for (int t = f->blocks[block].first; t < f->blocks[block].first + f->blocks[block].count; t++)
        sum += 4 * f->tensors[t].count;
    return sum;
}

/* Bytes of a block on a device. */
static inline size_t fake_placed_bytes(const struct fake *f, int block)
{
    size_t sum = 0;
    for (int t = f->blocks[block].first; t < f->blocks[block].first + f->blocks[block].count; t++)
        sum += (4 * f->tensors[t].count + PLACEMENT_ALIGNMENT - 1) / PLACEMENT_ALIGNMENT *
               PLACEMENT_ALIGNMENT;
    return sum;
}

static inline size_t fake_all_placed(const struct fake *f)
{
    size_t sum = 0;
    for (int b = 0; b < f->source.block_count; b++)
        sum += fake_placed_bytes(f, b);
    return sum;
}

static inline int fake_declare(void *context, int chunking, struct plan *plan)
{
    struct fake_stage *s = context;
    TRY(plan_declare(plan, "seen", PLAN_ACTIVATIONS, (size_t)s->stage.passes * s->pass_bytes,
                     PLAN_ALWAYS, &s->seen));
    return plan_declare(plan, "workspace", PLAN_WORKSPACE, s->workspace_bytes >> chunking,
                        PLAN_ALWAYS, &s->workspace);
}

/* The walk may be NULL: all blocks in order. */
static inline void fake_stage_create(struct fake_stage *s, struct fake *f, int component,
                                     const char *name, const int *walk, int count, int passes)
{
    *s = (struct fake_stage){.fake = f, .workspace_bytes = 4096};
    s->stage = (struct placement_stage){.name = name,
                                        .component = component,
                                        .passes = passes,
                                        .declare = fake_declare,
                                        .chunkings = 2,
                                        .context = s};
    if (!walk) count = f->source.block_count;
    for (int i = 0; i < count; i++)
        s->walk[i] = walk ? walk[i] : i;
    s->stage.walk = walk ? s->walk : NULL;
    s->stage.walk_count = walk ? count : 0;
    for (int i = 0; i < count; i++)
        s->pass_bytes += fake_block_bytes(f, s->walk[i]);
}

static inline int fake_walk_length(const struct fake_stage *s)
{
    return s->stage.walk ? s->stage.walk_count : s->fake->source.block_count;
}

/* One pass; the operations are copies of all that was acquired. */
static inline int fake_pass(struct placement *placement, struct device *device,
                            struct fake_stage *s, int pass)
{
    char *to = (char *)s->seen + (size_t)pass * s->pass_bytes;
    for (int i = 0; i < fake_walk_length(s); i++) {
        const void *const *tensors;
        const struct placement_block *b = &s->fake->blocks[s->walk[i]];
        TRY(placement_acquire(placement, s->walk[i], &tensors));
        for (int t = 0; t < b->count; t++) {
            size_t bytes = 4 * s->fake->tensors[b->first + t].count;
            if (device->copy)
                TRY(device->copy(device, QUEUE_WORK, to, tensors[t], bytes));
            else
                memcpy(to, tensors[t], bytes);
            to += bytes;
        }
        TRY(placement_release(placement, s->walk[i]));
    }
    return OK;
}

/* What was seen is what there is. */
static inline void fake_verify(struct device *device, const struct fake_stage *s)
{
    size_t bytes = (size_t)s->stage.passes * s->pass_bytes, at = 0;
    uint8_t *seen = malloc(bytes + 1);
    ck_assert_ptr_nonnull(seen);
    MUST(device_fetch(device, seen, s->seen, bytes));
    for (int pass = 0; pass < s->stage.passes; pass++)
        for (int i = 0; i < fake_walk_length(s); i++) {
            const struct placement_block *b = &s->fake->blocks[s->walk[i]];
            for (int t = b->first; t < b->first + b->count; t++) {
                size_t n = 4 * s->fake->tensors[t].count;
                ck_assert_msg(memcmp(seen + at, s->fake->bytes[t], n) == 0,
                              "pass %d, block %d: not its bytes", pass, s->walk[i]);
                at += n;
            }
        }
    ck_assert_uint_eq(at, bytes);
    free(seen);
}

/* A whole stage; what it saw is looked at before it ends. */
static inline int fake_run(struct placement *placement, struct device *device, struct fake_stage *s)
{
    int code = placement_begin(placement, &s->stage);
    if (code < 0) return code;
    for (int pass = 0; pass < s->stage.passes && code == OK; pass++)
        code = fake_pass(placement, device, s, pass);
    if (code == OK) fake_verify(device, s);
    int ended = placement_end(placement);
    return code == OK ? ended : code;
}

static inline void expect_as_predicted(const struct placement *placement)
{
    for (int i = 0; i < placement_report_count(placement); i++) {
        const struct placement_report *r = placement_report_at(placement, i);
        ck_assert(r->complete);
        ck_assert_msg(r->device_bytes == r->predicted.device_bytes &&
                          r->host_bytes == r->predicted.host_bytes,
                      "%s: %zu and %zu bytes, predicted %zu and %zu", r->stage, r->device_bytes,
                      r->host_bytes, r->predicted.device_bytes, r->predicted.host_bytes);
        ck_assert_msg(r->copies == r->predicted.copies &&
                          r->copied_bytes == r->predicted.copied_bytes,
                      "%s: %lld copies, predicted %lld", r->stage, (long long)r->copies,
                      (long long)r->predicted.copies);
    }
}

/* A pipeline of two or three components drawn by `trial`, two pictures, in every way and under
 * several budgets: the right bytes at the right time, and all as predicted. */
static inline void fake_trial(struct device *device, uint32_t trial)
{
    static const char *const keys[3] = {"a", "b", "c"};
    struct fake fakes[3];
    struct fake_stage stages[3];
    int count = 2 + (int)(fake_draw(trial, 0) % 2);
    size_t most_working = 0, most_weights = 0;
    for (int c = 0; c < count; c++) {
        uint32_t base = 100 * (uint32_t)(c + 1);
        size_t floats[FAKE_BLOCKS];
        int blocks = 1 + (int)(fake_draw(trial, base) % 9), walk[FAKE_WALK], steps = 0;
        for (int b = 0; b < blocks; b++)
            floats[b] = 1 + fake_draw(trial, base + 1 + (uint32_t)b) % 900;
        fake_create(&fakes[c], keys[c], blocks, floats, 1 + (int)(fake_draw(trial, base + 20) % 3));
        for (int b = 0; b < blocks; b++)
            fakes[c].blocks[b].always = fake_draw(trial, base + 30 + (uint32_t)b) % 5 == 0;
        steps = 1 + (int)(fake_draw(trial, base + 21) % 12);
        for (int i = 0; i < steps; i++)
            walk[i] = (int)(fake_draw(trial, base + 50 + (uint32_t)i) % (uint32_t)blocks);
        bool plain = fake_draw(trial, base + 22) % 2;
        fake_stage_create(&stages[c], &fakes[c], c, keys[c], plain ? NULL : walk, steps,
                          1 + (int)(fake_draw(trial, base + 23) % 3));
        size_t working = stages[c].pass_bytes * (size_t)stages[c].stage.passes;
        if (working > most_working) most_working = working;
        if (fake_all_placed(&fakes[c]) > most_weights) most_weights = fake_all_placed(&fakes[c]);
    }
    /* Around what one block at a time takes, up to what all take. */
    size_t spread = fake_draw(trial, 6) % 4 ? most_weights + 4096 : 4 * most_weights + 8192;
    struct placement_options options = {.way = PLACEMENT_AUTO,
                                        .budget =
                                            (int64_t)(most_working + fake_draw(trial, 1) % spread),
                                        .prefetch = fake_draw(trial, 2) % 4 > 0,
                                        .place = fake_draw(trial, 3) % 8 > 0,
                                        .by_reading = fake_draw(trial, 7) % 3 == 0};
    if (fake_draw(trial, 4) % 2) options.way = (enum placement_way)(fake_draw(trial, 5) % 3);
    struct placement *placement;
    struct placement_stage list[6];
    enum placement_way way;
    MUST(placement_open(&placement, device, &options));
    for (int c = 0; c < count; c++) {
        int number;
        MUST(placement_add(placement, &fakes[c].source, &number));
        ck_assert_int_eq(number, c);
        list[c] = list[count + c] = stages[c].stage;
    }
    struct placement_forecast forecasts[6];
    int code = placement_choose(placement, list, 2 * count, &way);
    if (code == OK) {
        MUST(placement_forecast(placement, list, 2 * count, way, forecasts));
        for (int i = 0; i < 2 * count; i++)
            MUST(fake_run(placement, device, &stages[i % count]));
        expect_as_predicted(placement);
        for (int i = 0; i < 2 * count; i++) {
            const struct placement_report *r = placement_report_at(placement, i);
            ck_assert_int_eq(r->falls, 0);
            ck_assert_uint_eq(r->device_bytes, forecasts[i].device_bytes);
            ck_assert_int_eq(r->copies, forecasts[i].copies);
            ck_assert(!((int64_t)r->device_bytes > options.budget));
        }
    } else {
        ck_assert_int_eq(code, ERR_DEVICE_MEMORY);
    }
    placement_close(placement);
    ck_assert_uint_eq(device->used_bytes, 0);
    ck_assert_uint_eq(device->host_bytes, 0);
    for (int c = 0; c < count; c++) {
        ck_assert_int_eq(fakes[c].opened, 0);
        fake_free(&fakes[c]);
    }
}

#endif
