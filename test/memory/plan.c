#include "memory/plan.h"

#include "base/error.h"
#include "base/random.h"
#include "device/device.h"
#include "registry/devices.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static uint32_t draw(uint32_t trial, uint32_t index)
{
    return philox_draw(7, STREAM_TEST, trial, index).v[0];
}

static bool overlap(size_t a, size_t a_bytes, size_t b, size_t b_bytes)
{
    return a < b + b_bytes && b < a + a_bytes;
}

static size_t rounded(size_t bytes)
{
    return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

/* The most that lives at one phase: no layout can be smaller. */
static size_t lower_bound(const struct plan *plan, enum plan_kind kind, int phases)
{
    size_t most = 0;
    for (int t = 0; t < phases; t++) {
        size_t live = 0;
        for (int i = 0; i < plan_count(plan); i++) {
            const struct plan_entry *e = plan_at(plan, i);
            if (e->kind == kind && e->first <= t && t <= e->last) live += rounded(e->bytes);
        }
        if (live > most) most = live;
    }
    return most;
}

static struct plan *random_plan(uint32_t trial, int phases, void **slots, int *count)
{
    struct plan *plan = plan_create();
    *count = 1 + (int)(draw(trial, 0) % 60);
    for (int i = 0; i < *count; i++) {
        uint32_t base = 1 + (uint32_t)i * 8;
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        size_t bytes = draw(trial, base) % 5 == 0 ? draw(trial, base + 1) % 100000
                                                  : draw(trial, base + 1) % 3000;
        int first = (int)(draw(trial, base + 2) % (uint32_t)phases);
        int last = first + (int)(draw(trial, base + 3) % (uint32_t)(phases - first));
        if (draw(trial, base + 4) % 6 == 0) first = PLAN_FIRST, last = PLAN_LAST;
        enum plan_kind kind = (enum plan_kind)(draw(trial, base + 5) % (PLAN_KINDS - 1));
        ck_assert_int_eq(plan_declare(plan, name, kind, bytes, first, last, &slots[i]), OK);
    }
    return plan;
}

START_TEST(never_overlaps)
{
    enum { PHASES = 12 };
    double worst = 1, sum = 0;
    int plans = 0;
    for (uint32_t trial = 0; trial < 400; trial++) {
        void *slots[64];
        int count;
        struct plan *plan = random_plan(trial, PHASES, slots, &count);
        ck_assert_int_eq(plan_layout(plan), OK);
        for (int i = 0; i < count; i++) {
            const struct plan_entry *a = plan_at(plan, i);
            ck_assert_uint_eq(a->offset % PLAN_ALIGNMENT, 0);
            ck_assert_uint_le(a->offset + a->bytes, plan_kind_bytes(plan, a->kind));
            for (int j = 0; j < i; j++) {
                const struct plan_entry *b = plan_at(plan, j);
                if (a->kind == b->kind && a->first <= b->last && b->first <= a->last)
                    ck_assert(!overlap(a->offset, a->bytes, b->offset, b->bytes));
            }
        }
        for (int kind = 0; kind < PLAN_KINDS; kind++) {
            size_t least = lower_bound(plan, (enum plan_kind)kind, PHASES);
            size_t bytes = plan_kind_bytes(plan, (enum plan_kind)kind);
            ck_assert_uint_ge(bytes, least);
            if (least == 0) continue;
            double ratio = (double)bytes / (double)least;
            sum += ratio;
            plans++;
            if (ratio > worst) worst = ratio;
        }
        plan_free(plan);
    }
    ck_assert_msg(sum / plans <= 1.0002 && worst <= 1.1, "mean %.4f worst %.4f of the lower bound",
                  sum / plans, worst);
}
END_TEST

static bool filled_with(const void *memory, size_t bytes, int value)
{
    const char *p = memory;
    for (size_t k = 0; k < bytes; k++)
        if (p[k] != value) return false;
    return true;
}

/* What is written in one phase is still there at the end of its life, whatever else was written. */
START_TEST(memory_holds)
{
    enum { PHASES = 12 };
    struct device *device;
    ck_assert_int_eq(device_open(&device, "cpu", 1), OK);
    for (uint32_t trial = 1000; trial < 1050; trial++) {
        void *slots[64];
        int count;
        struct plan *plan = random_plan(trial, PHASES, slots, &count);
        ck_assert_int_eq(plan_commit(plan, device), OK);
        ck_assert_uint_eq(device->used_bytes, plan_device_bytes(plan));
        for (int i = 0; i < count; i++) {
            const struct plan_entry *e = plan_at(plan, i);
            ck_assert((slots[i] != NULL) == (e->bytes > 0));
            ck_assert_uint_eq((uintptr_t)slots[i] % 64, 0);
            ck_assert(filled_with(slots[i], e->bytes, 0));
        }
        for (int t = 0; t < PHASES; t++) {
            for (int i = 0; i < count; i++) {
                const struct plan_entry *e = plan_at(plan, i);
                if (e->first == t && e->bytes) memset(slots[i], i + 1, e->bytes);
            }
            for (int i = 0; i < count; i++) {
                const struct plan_entry *e = plan_at(plan, i);
                if (e->first > t || e->last < t) continue;
                ck_assert(filled_with(slots[i], e->bytes, i + 1));
            }
        }
        plan_free(plan);
        ck_assert_uint_eq(device->used_bytes, 0);
    }
    device_close(device);
}
END_TEST

START_TEST(shares_and_packs)
{
    struct plan *plan = plan_create();
    void *a, *b, *c, *d;
    ck_assert_int_eq(plan_declare(plan, "a", PLAN_ACTIVATIONS, 1000, 0, 1, &a), OK);
    ck_assert_int_eq(plan_declare(plan, "b", PLAN_ACTIVATIONS, 1000, 2, 3, &b), OK);
    ck_assert_int_eq(plan_layout(plan), OK); /* what comes later changes the layout */
    ck_assert_uint_eq(plan_device_bytes(plan), 1024);
    ck_assert_int_eq(plan_declare(plan, "c", PLAN_ACTIVATIONS, 65, PLAN_ALWAYS, &c), OK);
    ck_assert_int_eq(plan_declare(plan, "d", PLAN_HOST, 1, PLAN_ALWAYS, &d), OK);
    ck_assert_int_eq(plan_layout(plan), OK);
    ck_assert_int_eq(plan_layout(plan), OK);
    ck_assert_uint_eq(plan_device_bytes(plan), 128 + 1024);
    ck_assert_uint_eq(plan_host_bytes(plan), 64);
    ck_assert_uint_eq(plan_declared_bytes(plan), 2066);
    struct device *device;
    ck_assert_int_eq(device_open(&device, "cpu", 1), OK);
    device->limit_bytes = 128 + 1024;
    ck_assert_int_eq(plan_commit(plan, device), OK);
    ck_assert_ptr_eq(a, b);
    ck_assert_ptr_eq((char *)c + 128, a);
    ck_assert_uint_eq(device->peak_bytes, 128 + 1024);
    ck_assert_int_eq(plan_declare(plan, "e", PLAN_HOST, 1, PLAN_ALWAYS, NULL), ERR_INTERNAL);
    ck_assert_int_eq(plan_commit(plan, device), ERR_INTERNAL);
    plan_free(plan);
    device_close(device);
}
END_TEST

START_TEST(limit_leaves_nothing)
{
    struct plan *plan = plan_create();
    void *a, *b;
    ck_assert_int_eq(plan_declare(plan, "a", PLAN_PARAMETERS, 4096, PLAN_ALWAYS, &a), OK);
    ck_assert_int_eq(plan_declare(plan, "b", PLAN_WORKSPACE, 4096, PLAN_ALWAYS, &b), OK);
    struct device *device;
    ck_assert_int_eq(device_open(&device, "cpu", 1), OK);
    device->limit_bytes = 8191;
    ck_assert_int_eq(plan_commit(plan, device), ERR_DEVICE_MEMORY);
    ck_assert_ptr_nonnull(strstr(error_message(), "workspace"));
    ck_assert_uint_eq(device->used_bytes, 0);
    ck_assert_ptr_null(a);
    device->limit_bytes = 8192; /* and the same plan can be tried again */
    ck_assert_int_eq(plan_commit(plan, device), OK);
    ck_assert_int_eq(device->free_bytes(device), 0);
    plan_free(plan);
    device_close(device);
}
END_TEST

START_TEST(rejects_nonsense)
{
    struct plan *plan = plan_create();
    ck_assert_int_eq(plan_declare(plan, "a", PLAN_DATA, SIZE_MAX, PLAN_ALWAYS, NULL), ERR_INTERNAL);
    ck_assert_int_eq(plan_declare(plan, "a", PLAN_DATA, 1, 3, 2, NULL), ERR_INTERNAL);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(plan_declare(plan, "a", PLAN_DATA, PLAN_BYTES_MAX / 2, 0, i, NULL), OK);
    ck_assert_int_eq(plan_layout(plan), ERR_INTERNAL);
    plan_free(plan);
    plan_free(NULL);

    /* more than any machine has: a clear error at once, not a kill by the system */
    plan = plan_create();
    ck_assert_int_eq(plan_declare(plan, "a", PLAN_DATA, (size_t)1 << 46, PLAN_ALWAYS, NULL), OK);
    struct device *device;
    ck_assert_int_eq(device_open(&device, "cpu", 1), OK);
    ck_assert_int_eq(plan_commit(plan, device), ERR_DEVICE_MEMORY);
    plan_free(plan);
    device_close(device);
}
END_TEST

START_TEST(prints_a_table)
{
    struct plan *plan = plan_create();
    ck_assert_int_eq(plan_declare(plan, "target", PLAN_DATA, 100, PLAN_ALWAYS, NULL), OK);
    ck_assert_int_eq(plan_declare(plan, "tiles", PLAN_WORKSPACE, 200, 1, 2, NULL), OK);
    ck_assert_int_eq(plan_layout(plan), OK);
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    plan_print(plan, out, true);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "target"));
    ck_assert_ptr_nonnull(strstr(text, "1..2"));
    ck_assert_ptr_nonnull(
        strstr(text, "  data                      128              100  128 B\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "  device                    384              300  384 B\n"));
    free(text);
    plan_free(plan);
}
END_TEST

START_TEST(opens_devices)
{
    struct device *device;
    ck_assert_int_eq(device_open(&device, "cuda:99", 1), ERR_DEVICE);
    ck_assert_int_eq(device_open(&device, "gpu", 1), ERR_CONFIG);
    ck_assert_int_eq(device_open(&device, "cuda:", 1), ERR_CONFIG);
    ck_assert_int_eq(device_open(&device, "cuda:1x", 1), ERR_CONFIG);
    ck_assert_ptr_null(device);
    ck_assert_int_eq(device_open(&device, "cpu", 1), OK);
    ck_assert_int_eq(strncmp(device->name, "cpu: ", 5), 0);
    ck_assert_ptr_nonnull(strstr(device->name, ", 1 thread, "));
    ck_assert_int_gt(device->free_bytes(device), 1 << 20);
    void *memory = device;
    ck_assert_int_eq(device->alloc(device, 0, &memory), OK);
    ck_assert_ptr_null(memory);
    device->free(device, memory, 0);
    ck_assert_int_eq(device->alloc(device, 32 << 20, &memory), OK);
    ck_assert_uint_eq((uintptr_t)memory % 64, 0);
    ck_assert_int_eq(((char *)memory)[(32 << 20) - 1], 0);
    device->free(device, memory, 32 << 20);
    ck_assert_uint_eq(device->peak_bytes, 32 << 20);
    ck_assert_uint_eq(device->used_bytes, 0);
    device_close(device);
    device_close(NULL);
}
END_TEST

Suite *plan_suite(void);
Suite *plan_suite(void)
{
    Suite *suite = suite_create("plan");
    TCase *tests = tcase_create("plan");
    tcase_add_test(tests, never_overlaps);
    tcase_add_test(tests, memory_holds);
    tcase_add_test(tests, shares_and_packs);
    tcase_add_test(tests, limit_leaves_nothing);
    tcase_add_test(tests, rejects_nonsense);
    tcase_add_test(tests, prints_a_table);
    tcase_add_test(tests, opens_devices);
    suite_add_tcase(suite, tests);
    return suite;
}
