/* Placement: what each way takes and moves, on the CPU, where placed copies count as a device's
 * memory. */
#include "placement/placement.h"

#include "math/bf16.h"
#include "math/half.h"
#include "placement/placement_print.h"
#include "test/placement/placement_fake.h"

#include <cjson/cJSON.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef MADV_POPULATE_READ
enum { POPULATE_READ = MADV_POPULATE_READ };
#else
enum { POPULATE_READ = 22 };
#endif

Suite *placement_suite(void);

/* A twentieth of a model of 160 MB. */
static void model_create(struct fake *f, const char *key)
{
    size_t floats[FAKE_BLOCKS];
    for (int b = 0; b < FAKE_BLOCKS; b++)
        floats[b] = 125 * KB; /* 500 kB */
    fake_create(f, key, FAKE_BLOCKS, floats, 4);
}

/* ---- ways ---- */

/* A model of 8 MB under 3.2 MB: refused as a whole, block by block it runs. */
START_TEST(a_model_larger_than_the_budget_runs_in_blocks)
{
    struct device *device = cpu_device();
    struct placement *placement;
    struct fake f;
    struct fake_stage s;
    enum placement_way way;
    int component;
    model_create(&f, "m");
    for (int w = PLACEMENT_NONE; w <= PLACEMENT_AUTO; w++) {
        placement_with(&placement, device, (enum placement_way)w, 3200 * KB);
        MUST(placement_add(placement, &f.source, &component));
        fake_stage_create(&s, &f, component, "denoise", NULL, 0, 2);
        s.stage.declare = NULL;
        int code = placement_choose(placement, &s.stage, 1, &way);
        ck_assert_int_eq(code, w < PLACEMENT_SEQUENTIAL ? ERR_DEVICE_MEMORY : OK);
        ck_assert_int_eq(f.opened, 0); /* refused before anything is read */
        if (code == OK) {
            ck_assert_int_eq(way, PLACEMENT_SEQUENTIAL);
            s.seen = malloc(2 * s.pass_bytes);
            MUST(fake_run(placement, device, &s));
            free(s.seen);
            const struct placement_report *r = placement_report_at(placement, 0);
            expect_as_predicted(placement);
            /* five stay, one has room beside them: 5 + 2 x 11 copies */
            ck_assert_int_eq(r->predicted.residents, 5);
            ck_assert_int_eq(r->predicted.slots, 1);
            ck_assert_int_eq(r->copies, 27);
            ck_assert_uint_eq(device->peak_bytes, r->device_bytes);
        } else {
            ck_assert_ptr_nonnull(strstr(error_message(), "denoise"));
        }
        placement_close(placement);
        ck_assert_uint_eq(device->used_bytes, 0);
    }
    fake_free(&f);
    device_close(device);
}
END_TEST

/* Whatever the budget, one more block would not have fitted. */
START_TEST(residents_fill_the_budget)
{
    struct device *device = cpu_device();
    struct fake f;
    struct fake_stage s;
    size_t floats[12];
    for (int b = 0; b < 12; b++)
        floats[b] = 100 + 100 * (size_t)((b * 5) % 12);
    fake_create(&f, "f", 12, floats, 2);
    fake_stage_create(&s, &f, 0, "walk", NULL, 0, 1);
    s.stage.declare = NULL;
    int64_t least = INT64_MAX;
    for (int64_t budget = (int64_t)fake_all_placed(&f); budget > 1000; budget -= 333) {
        struct placement *placement;
        struct placement_forecast fits;
        int component;
        placement_with(&placement, device, PLACEMENT_SEQUENTIAL, budget);
        MUST(placement_add(placement, &f.source, &component));
        MUST(placement_forecast(placement, &s.stage, 1, PLACEMENT_SEQUENTIAL, &fits));
        placement_close(placement);
        if (!fits.fits) {
            ck_assert_int_gt((int64_t)fits.device_bytes, budget);
            least = (int64_t)fits.device_bytes;
            break;
        }
        ck_assert(!((int64_t)fits.device_bytes > budget));
        size_t with_more = 0, largest = 0;
        for (int b = 0; b < 12; b++) {
            if (b <= fits.residents)
                with_more += fake_placed_bytes(&f, b);
            else if (fake_placed_bytes(&f, b) > largest)
                largest = fake_placed_bytes(&f, b);
        }
        if (fits.residents < 12) ck_assert_int_gt((int64_t)(with_more + largest), budget);
    }
    ck_assert_int_lt(least, INT64_MAX); /* in the end, nothing fits */
    fake_free(&f);
    device_close(device);
}
END_TEST

/* In `model` the text encoder is gone before the denoiser has a byte; in `none` it stays. */
static size_t used_at_first;
static int (*alloc_before)(struct device *device, size_t bytes, void **memory);

static int watched_alloc(struct device *device, size_t bytes, void **memory)
{
    used_at_first = device->used_bytes;
    return alloc_before(device, bytes, memory);
}

START_TEST(one_component_at_a_time)
{
    struct device *device = cpu_device();
    struct fake encoder, denoiser;
    struct fake_stage encode, denoise;
    const size_t floats[3] = {1000, 1000, 1000};
    alloc_before = device->alloc;
    device->alloc = watched_alloc;
    fake_create(&encoder, "encoder", 3, floats, 1);
    fake_create(&denoiser, "denoiser", 3, floats, 1);
    for (int w = PLACEMENT_NONE; w < PLACEMENT_WAYS; w++) {
        struct placement *placement;
        int e, d;
        placement_with(&placement, device, (enum placement_way)w, 0);
        MUST(placement_add(placement, &encoder.source, &e));
        MUST(placement_add(placement, &denoiser.source, &d));
        fake_stage_create(&encode, &encoder, e, "encode", NULL, 0, 1);
        fake_stage_create(&denoise, &denoiser, d, "denoise", NULL, 0, 2);
        denoise.stage.declare = encode.stage.declare = NULL;
        encode.seen = malloc(2 * encode.pass_bytes), denoise.seen = malloc(2 * denoise.pass_bytes);
        ck_assert_int_eq(placement_state_of(placement, e, 0), PLACEMENT_ABSENT);
        MUST(fake_run(placement, device, &encode));
        ck_assert_int_eq(placement_state_of(placement, e, 0), PLACEMENT_PLACED);
        ck_assert_int_eq(placement_state_of(placement, d, 0), PLACEMENT_ABSENT);
        used_at_first = 1;
        MUST(fake_run(placement, device, &denoise));
        bool kept = w == PLACEMENT_NONE;
        ck_assert_uint_eq(used_at_first, kept ? fake_all_placed(&encoder) : 0);
        ck_assert_int_eq(placement_state_of(placement, e, 0),
                         kept ? PLACEMENT_PLACED : PLACEMENT_MAPPED);
        expect_as_predicted(placement);
        placement_close(placement);
        free(encode.seen), free(denoise.seen);
    }
    fake_free(&encoder);
    fake_free(&denoiser);
    device_close(device);
}
END_TEST

START_TEST(components_of_one_key_are_one)
{
    struct device *device = cpu_device();
    struct placement *placement;
    struct fake f, twin;
    struct fake_stage first, second;
    const size_t floats[2] = {1000, 2000};
    int a, b;
    fake_create(&f, "same", 2, floats, 1);
    fake_create(&twin, "same", 2, floats, 1);
    placement_with(&placement, device, PLACEMENT_NONE, 0);
    MUST(placement_add(placement, &f.source, &a));
    MUST(placement_add(placement, &twin.source, &b));
    ck_assert_int_eq(a, b);
    fake_stage_create(&first, &f, a, "text to image", NULL, 0, 1);
    fake_stage_create(&second, &f, b, "image to image", NULL, 0, 1);
    MUST(fake_run(placement, device, &first));
    struct placement_counts before = *placement_counts(placement);
    MUST(fake_run(placement, device, &second));
    ck_assert_uint_eq(placement_counts(placement)->copied_bytes, before.copied_bytes);
    ck_assert_int_eq(placement_counts(placement)->opened, 1);
    ck_assert_int_eq(twin.opened, 0);
    placement_close(placement);
    fake_free(&f);
    fake_free(&twin);
    device_close(device);
}
END_TEST

/* Other types or other blocks of the same files are another component. */
START_TEST(what_differs_is_another_component)
{
    struct device *device = cpu_device();
    struct placement *placement;
    struct fake f, other;
    const size_t floats[2] = {1000, 2000};
    int a, b;
    fake_create(&f, "same", 2, floats, 2);
    fake_create(&other, "same", 2, floats, 2);
    if (_i == 1) other.tensors[0].wanted = TENSOR_BF16;
    if (_i == 2) other.tensors[0].stays_mapped = true;
    if (_i == 3) other.blocks[1].always = true;
    if (_i == 4) other.blocks[0].count = 1, other.blocks[1].first = 1, other.blocks[1].count = 3;
    if (_i == 5) other.blocks[0].first = 2, other.blocks[1].first = 0;
    placement_with(&placement, device, PLACEMENT_NONE, 0);
    MUST(placement_add(placement, &f.source, &a));
    MUST(placement_add(placement, &other.source, &b));
    ck_assert_int_eq(a == b, _i == 0);
    placement_close(placement);
    fake_free(&f);
    fake_free(&other);
    device_close(device);
}
END_TEST

/* Without a limit the CPU reads what is mapped: nothing is placed in any way. */
START_TEST(the_host_computes_from_the_mapping)
{
    struct device *device = cpu_device();
    struct fake f;
    struct fake_stage s;
    const size_t floats[3] = {1000, 2000, 500};
    fake_create(&f, "f", 3, floats, 2);
    for (int w = PLACEMENT_NONE; w < PLACEMENT_WAYS; w++) {
        const struct placement_options options = {.way = (enum placement_way)w, .prefetch = true};
        const void *const *tensors;
        struct placement *placement;
        int c;
        MUST(placement_open(&placement, device, &options));
        MUST(placement_add(placement, &f.source, &c));
        fake_stage_create(&s, &f, c, "walk", NULL, 0, 2);
        MUST(fake_run(placement, device, &s));
        ck_assert_int_eq(placement_counts(placement)->copies, 0);
        ck_assert_uint_eq(placement_report_at(placement, 0)->predicted.weight_bytes, 0);
        expect_as_predicted(placement);
        MUST(placement_begin(placement, &s.stage));
        MUST(placement_acquire(placement, 0, &tensors));
        ck_assert_ptr_eq(tensors[1], f.bytes[1]);
        placement_close(placement); /* in the middle of a stage */
    }
    ck_assert_uint_eq(device->used_bytes, 0);
    fake_free(&f);
    device_close(device);
}
END_TEST

START_TEST(rows_that_are_gathered_stay_mapped)
{
    struct device *device = cpu_device();
    struct placement *placement;
    struct fake f;
    struct fake_stage s;
    const size_t floats[2] = {1000, 2000};
    const void *const *tensors;
    int c;
    fake_create(&f, "f", 2, floats, 2);
    f.tensors[0].stays_mapped = true;
    placement_with(&placement, device, PLACEMENT_NONE, 0);
    MUST(placement_add(placement, &f.source, &c));
    fake_stage_create(&s, &f, c, "walk", NULL, 0, 1);
    MUST(placement_begin(placement, &s.stage));
    MUST(placement_acquire(placement, 0, &tensors));
    ck_assert_ptr_eq(tensors[0], f.bytes[0]);
    ck_assert_ptr_ne(tensors[1], f.bytes[1]);
    ck_assert_mem_eq(tensors[1], f.bytes[1], 4 * f.tensors[1].count);
    placement_close(placement);
    fake_free(&f);
    device_close(device);
}
END_TEST

/* Data that is memory of this process is not given back as if it were pages of a file. */
START_TEST(copies_of_what_is_not_aligned_stay)
{
    struct device *device = cpu_device();
    struct placement *placement;
    struct fake f;
    struct fake_stage s;
    const size_t floats[2] = {100000, 100000};
    int c;
    for (int place = 0; place < 2; place++) {
        const struct placement_options options = {
            .way = PLACEMENT_SEQUENTIAL, .prefetch = true, .place = place};
        fake_create(&f, "f", 2, floats, 1);
        f.source.is_file = true;
        f.tensors[0].in_memory = f.tensors[1].in_memory = true;
        MUST(placement_open(&placement, device, &options));
        MUST(placement_add(placement, &f.source, &c));
        fake_stage_create(&s, &f, c, "walk", NULL, 0, 3);
        MUST(fake_run(placement, device, &s));
        for (size_t i = 0; i < 400004; i++)
            ck_assert_uint_eq(f.bytes[0][i], (uint8_t)(i * 7 + 'f'));
        placement_close(placement);
        fake_free(&f);
    }
    device_close(device);
}
END_TEST

START_TEST(a_walk_is_kept_to)
{
    struct device *device = cpu_device();
    struct placement *placement;
    struct fake f;
    struct fake_stage s, wrong;
    const size_t floats[3] = {100, 100, 100};
    const void *const *tensors;
    const int nowhere[1] = {3};
    int c;
    fake_create(&f, "f", 3, floats, 1);
    placement_with(&placement, device, PLACEMENT_SEQUENTIAL, 1024 + 4096 + 5 * KB);
    MUST(placement_add(placement, &f.source, &c));
    fake_stage_create(&s, &f, c, "walk", NULL, 0, 1);
    wrong = s;
    wrong.stage.walk = nowhere, wrong.stage.walk_count = 1;
    ck_assert_int_eq(placement_acquire(placement, 0, &tensors), ERR_INTERNAL);
    ck_assert_int_eq(placement_begin(placement, &wrong.stage), ERR_INTERNAL);
    MUST(placement_begin(placement, &s.stage));
    ck_assert_int_eq(placement_begin(placement, &s.stage), ERR_INTERNAL);
    ck_assert_int_eq(placement_acquire(placement, 1, &tensors), ERR_INTERNAL);
    ck_assert_int_eq(placement_release(placement, 0), ERR_INTERNAL);
    MUST(placement_acquire(placement, 0, &tensors));
    MUST(placement_release(placement, 0));
    ck_assert_int_eq(placement_release(placement, 0), ERR_INTERNAL);
    MUST(placement_end(placement));
    ck_assert(!placement_report_at(placement, 0)->complete);
    ck_assert_int_eq(placement_end(placement), ERR_INTERNAL);
    placement_close(placement);
    fake_free(&f);
    device_close(device);
}
END_TEST

/* ---- types ---- */

START_TEST(types_are_converted_while_placed)
{
    struct device *device = cpu_device();
    struct placement *placement;
    struct fake f;
    struct fake_stage s;
    const size_t floats[1] = {1200};
    const void *const *tensors;
    int c;
    static const struct {
        enum tensor_type from, to;
    } pairs[4] = {{TENSOR_F16, TENSOR_F32},
                  {TENSOR_BF16, TENSOR_F32},
                  {TENSOR_F32, TENSOR_BF16},
                  {TENSOR_F16, TENSOR_BF16}};
    fake_create(&f, "f", 1, floats, 4);
    for (int i = 0; i < 4; i++) {
        f.tensors[i].stored = pairs[i].from;
        f.tensors[i].wanted = pairs[i].to;
        f.tensors[i].count = 300;
        for (int k = 0; k < 300; k++) {
            float x = (float)(k - 150) * 0.37f;
            uint16_t half = pairs[i].from == TENSOR_F16 ? half_round(x) : bf16_round(x);
            if (pairs[i].from == TENSOR_F32)
                memcpy(f.bytes[i] + 4 * k, &x, 4);
            else
                memcpy(f.bytes[i] + 2 * k, &half, 2);
        }
    }
    const struct placement_options options = {.way = PLACEMENT_NONE, .by_reading = _i == 1};
    MUST(placement_open(&placement, device, &options));
    MUST(placement_add(placement, &f.source, &c));
    fake_stage_create(&s, &f, c, "walk", NULL, 0, 1);
    MUST(placement_begin(placement, &s.stage));
    MUST(placement_acquire(placement, 0, &tensors));
    ck_assert_int_eq(f.reads, _i == 1 ? 4 : 0);
    for (int k = 0; k < 300; k++) {
        float x = (float)(k - 150) * 0.37f;
        float from_half = half_half_value(half_round(x)), from_bf16 = bf16_value(bf16_round(x));
        ck_assert(memcmp((const float *)tensors[0] + k, &from_half, 4) == 0);
        ck_assert(memcmp((const float *)tensors[1] + k, &from_bf16, 4) == 0);
        ck_assert_uint_eq(((const uint16_t *)tensors[2])[k], bf16_round(x));
        ck_assert_uint_eq(((const uint16_t *)tensors[3])[k], bf16_round(from_half));
    }
    MUST(placement_release(placement, 0));
    MUST(placement_end(placement));
    expect_as_predicted(placement);
    placement_close(placement);
    f.tensors[0].wanted = TENSOR_F16, f.tensors[0].stored = TENSOR_F32;
    MUST(placement_open(&placement, device, &options));
    ck_assert_int_eq(placement_add(placement, &f.source, &c), ERR_INTERNAL);
    placement_close(placement);
    fake_free(&f);
    device_close(device);
}
END_TEST

/* ---- files ---- */

static int no_data(void *context, const void **data)
{
    (void)context, (void)data;
    return (fail)(ERR_DATA, "model.safetensors: no such tensor");
}

START_TEST(what_cannot_be_opened_leaves_nothing)
{
    struct device *device = cpu_device();
    struct placement *placement;
    struct fake f;
    struct fake_stage s;
    const size_t floats[1] = {1000};
    int c;
    fake_create(&f, "f", 1, floats, 1);
    f.source.open = no_data;
    placement_with(&placement, device, PLACEMENT_NONE, 0);
    MUST(placement_add(placement, &f.source, &c));
    fake_stage_create(&s, &f, c, "walk", NULL, 0, 1);
    ck_assert_int_eq(placement_begin(placement, &s.stage), ERR_DATA);
    ck_assert_uint_eq(device->used_bytes, 0);
    placement_close(placement);
    ck_assert_int_eq(f.opened, 0);
    fake_free(&f);
    device_close(device);
}
END_TEST

/* A mapped file that got smaller is an error, whether its blocks are placed or read in place. */
START_TEST(a_file_that_got_smaller_is_an_error)
{
    struct device *device = cpu_device();
    struct placement *placement;
    struct fake f;
    struct fake_stage s;
    const size_t floats[2] = {16 * 1024, 16 * 1024};
    size_t bytes = 4 * (floats[0] + 1);
    const void *const *tensors;
    int c;
    fake_create(&f, "mapped", 2, floats, 1);
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(f.bytes[0], bytes, 1, file), 1);
    ck_assert_int_eq(fflush(file), 0);
    void *mapped = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fileno(file), 0);
    ck_assert_ptr_ne(mapped, MAP_FAILED);
    if (madvise(mapped, bytes, POPULATE_READ) != 0) {
        test_skip("placement", "the kernel has no MADV_POPULATE_READ");
        return;
    }
    ck_assert_int_eq(ftruncate(fileno(file), 4096), 0);
    free(f.bytes[0]);
    f.bytes[0] = mapped;
    f.source.is_file = true;
    const struct placement_options options = {.way = PLACEMENT_NONE, .place = _i == 1};
    MUST(placement_open(&placement, device, &options));
    f.source.block_count = 1; /* the other one is no file */
    MUST(placement_add(placement, &f.source, &c));
    fake_stage_create(&s, &f, c, "walk", NULL, 0, 1);
    MUST(placement_begin(placement, &s.stage));
    ck_assert_int_eq(placement_acquire(placement, 0, &tensors), ERR_IO);
    ck_assert_ptr_nonnull(strstr(error_message(), "mapped: t cannot be read any more"));
    placement_close(placement);
    ck_assert_uint_eq(device->used_bytes, 0);
    munmap(mapped, bytes);
    f.bytes[0] = NULL;
    fake_free(&f);
    fclose(file);
    device_close(device);
}
END_TEST

/* ---- all of it ---- */

START_TEST(anything_goes_as_predicted)
{
    struct device *device = cpu_device();
    be_quiet();
    for (uint32_t trial = 0; trial < 300; trial++)
        fake_trial(device, trial);
    device_close(device);
}
END_TEST

/* ---- tables ---- */

START_TEST(tables_say_what_was_predicted)
{
    struct device *device = cpu_device();
    struct placement *placement;
    struct fake f;
    struct fake_stage s;
    enum placement_way way;
    char *text = NULL;
    size_t size = 0;
    int c;
    model_create(&f, "m");
    placement_with(&placement, device, PLACEMENT_AUTO, 3200 * KB);
    MUST(placement_add(placement, &f.source, &c));
    fake_stage_create(&s, &f, c, "denoise", NULL, 0, 1);
    s.stage.declare = NULL;
    MUST(placement_choose(placement, &s.stage, 1, &way));
    s.seen = malloc(s.pass_bytes);
    MUST(fake_run(placement, device, &s));
    free(s.seen);
    FILE *out = open_memstream(&text, &size);
    fputs("{\"ways\": ", out);
    MUST(placement_print_ways(placement, &s.stage, 1, true, out));
    fputs(", \"stages\": ", out);
    placement_print_reports(placement, true, out);
    fputs("}", out);
    MUST(placement_print_ways(placement, &s.stage, 1, false, out));
    placement_print_reports(placement, false, out);
    fclose(out);
    cJSON *root = cJSON_Parse(text);
    ck_assert_msg(root != NULL, "%s", text);
    const cJSON *ways = cJSON_GetObjectItem(root, "ways");
    ck_assert_int_eq(cJSON_GetArraySize(ways), PLACEMENT_WAYS);
    const cJSON *last = cJSON_GetArrayItem(ways, PLACEMENT_SEQUENTIAL);
    ck_assert_str_eq(cJSON_GetObjectItem(last, "way")->valuestring, "sequential");
    ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(last, "chosen")));
    ck_assert(cJSON_IsFalse(cJSON_GetObjectItem(cJSON_GetArrayItem(ways, 0), "fits")));
    const cJSON *stage = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "stages"), 0);
    ck_assert_int_eq(cJSON_GetObjectItem(stage, "predicted_bytes")->valueint,
                     cJSON_GetObjectItem(stage, "device_bytes")->valueint);
    cJSON_Delete(root);
    free(text);
    placement_close(placement);
    fake_free(&f);
    device_close(device);
}
END_TEST

START_TEST(ways_have_names)
{
    for (int w = 0; w <= PLACEMENT_AUTO; w++) {
        enum placement_way way;
        ck_assert(placement_way_find(placement_way_name((enum placement_way)w), &way));
        ck_assert_int_eq(way, w);
        ck_assert(!placement_way_find("disk", &way));
    }
}
END_TEST

Suite *placement_suite(void)
{
    Suite *suite = suite_create("placement");
    TCase *tests = tcase_create("placement");
    tcase_add_test(tests, a_model_larger_than_the_budget_runs_in_blocks);
    tcase_add_test(tests, residents_fill_the_budget);
    tcase_add_test(tests, one_component_at_a_time);
    tcase_add_test(tests, components_of_one_key_are_one);
    tcase_add_loop_test(tests, what_differs_is_another_component, 0, 6);
    tcase_add_test(tests, the_host_computes_from_the_mapping);
    tcase_add_test(tests, rows_that_are_gathered_stay_mapped);
    tcase_add_test(tests, copies_of_what_is_not_aligned_stay);
    tcase_add_test(tests, a_walk_is_kept_to);
    tcase_add_loop_test(tests, types_are_converted_while_placed, 0, 2);
    tcase_add_test(tests, what_cannot_be_opened_leaves_nothing);
    tcase_add_loop_test(tests, a_file_that_got_smaller_is_an_error, 0, 2);
    tcase_add_test(tests, anything_goes_as_predicted);
    tcase_add_test(tests, tables_say_what_was_predicted);
    tcase_add_test(tests, ways_have_names);
    suite_add_tcase(suite, tests);
    return suite;
}
