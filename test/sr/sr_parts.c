/* Enlarging, part by part: patches as functions of (seed, step, index), the loss, the counts of the
 * networks, memory modes and tiles that change no bit, colours behind alpha. */
#include "base/random.h"
#include "data/crops.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "image/image.h"
#include "memory/plan.h"
#include "registry/devices.h"
#include "sr/sr_core.h"
#include "sr/upscale/alpha_bleed.h"
#include "test/near.h"
#include "test/support.h"

#include <math.h>

#define COMPACT(times, width, depth)                                                               \
    {                                                                                              \
        .network = SR_COMPACT, .scale = (times), .features = (width), .convs = (depth)             \
    }

#define ESRGAN(times, width, depth, fold)                                                          \
    {                                                                                              \
        .network = SR_ESRGAN, .scale = (times), .features = (width), .blocks = (depth),            \
        .growth = 32, .unshuffle = (fold)                                                          \
    }

#define SPAN(times, width, is_merged)                                                              \
    {                                                                                              \
        .network = SR_SPAN, .scale = (times), .features = (width), .merged = (is_merged)           \
    }

Suite *sr_parts_suite(void);

/* ---- patches ---- */

enum { SCALE = 2, WIDE = 40, HIGH = 30 };

/* Each sample says where it is, so that a patch can be found again. */
struct known_pair {
    struct pair pair;
    uint16_t lq[WIDE * HIGH * 3], gt[WIDE * HIGH * 3 * SCALE * SCALE];
};

static void known_pair_fill(struct known_pair *p, int w, int h, int number)
{
    p->pair =
        (struct pair){.w = w, .h = h, .lq_is_16 = true, .gt_is_16 = true, .lq = p->lq, .gt = p->gt};
    for (int y = 0; y < h * SCALE; y++)
        for (int x = 0; x < w * SCALE; x++) {
            uint16_t where[3] = {(uint16_t)x, (uint16_t)y, (uint16_t)number};
            for (int c = 0; c < 3; c++) {
                p->gt[(y * w * SCALE + x) * 3 + c] = where[c];
                if (x < w && y < h) p->lq[(y * w + x) * 3 + c] = where[c];
            }
        }
}

static int where(float sample)
{
    return (int)lrintf(sample * 65535);
}

static struct known_pair known[2];
static const struct pair *known_pairs[2] = {&known[0].pair, &known[1].pair};

static void open_crops(struct crop_source *source)
{
    known_pair_fill(&known[0], 40, 30, 0);
    known_pair_fill(&known[1], 20, 15, 1);
    MUST(crop_source_open(source, known_pairs, 2, SCALE));
}

START_TEST(patches_are_functions_of_seed_step_and_index)
{
    enum { SIDE = 8, DRAWS = 20000 };
    struct crop_source source;
    float lq[SIDE * SIDE * 3], gt[SIDE * SIDE * 3 * SCALE * SCALE];
    int of_first = 0, turns = 0;
    open_crops(&source);
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct crop crop = crop_draw(&source, 5, i / 8, i % 8, SIDE, 7);
        struct crop again = crop_draw(&source, 5, i / 8, i % 8, SIDE, 7);
        ck_assert_int_eq(crop.x, again.x);
        ck_assert_uint_eq(crop.turn, again.turn);
        ck_assert_ptr_eq(crop.pair, again.pair);
        ck_assert_int_ge(crop.x, 0);
        ck_assert_int_ge(crop.y, 0);
        ck_assert_int_le(crop.x + SIDE, crop.pair->w);
        ck_assert_int_le(crop.y + SIDE, crop.pair->h);
        of_first += crop.pair == &known[0].pair;
        turns |= 1 << crop.turn;
        ck_assert_uint_eq(crop_draw(&source, 5, i / 8, i % 8, SIDE, 1).turn, crop.turn & 1);
        if (i % 97) continue;
        crop_copy(&source, &crop, SIDE, lq, gt);
        for (int p = 0; p < SIDE * SIDE; p++) { /* GT's pixels lie where LQ's do */
            int large = (p / SIDE * SCALE * SIDE * SCALE + p % SIDE * SCALE) * 3;
            ck_assert_int_eq(where(gt[large]) / SCALE, where(lq[3 * p]));
            ck_assert_int_eq(where(gt[large + 1]) / SCALE, where(lq[3 * p + 1]));
            ck_assert_int_eq(where(gt[large + 2]), where(lq[3 * p + 2]));
        }
    }
    ck_assert_int_eq(turns, 0xff);
    /* by pixels: 1200 and 300 */
    ck_assert_msg(abs(of_first - DRAWS * 4 / 5) < DRAWS / 50, "%d of %d", of_first, DRAWS);
    crop_source_close(&source);
}
END_TEST

START_TEST(patches_are_turned_in_eight_ways)
{
    enum { SIDE = 3 };
    static const int first[8][2] = {{0, 0}, {2, 0}, {0, 2}, {2, 2}, {0, 0}, {2, 0}, {0, 2}, {2, 2}};
    struct crop_source source;
    float lq[SIDE * SIDE * 3], gt[SIDE * SIDE * 3 * SCALE * SCALE];
    open_crops(&source);
    for (unsigned turn = 0; turn < 8; turn++) {
        struct crop crop = {.pair = &known[0].pair, .x = 4, .y = 6, .turn = turn};
        crop_copy(&source, &crop, SIDE, lq, gt);
        ck_assert_int_eq(where(lq[0]), 4 + first[turn][0]);
        ck_assert_int_eq(where(lq[1]), 6 + first[turn][1]);
        bool across = where(lq[3]) != where(lq[0]); /* the second pixel lies in the same row */
        ck_assert_int_eq(across, turn < 4);
    }
    crop_source_close(&source);
}
END_TEST

/* Place `at` of a line of n samples, mirrored once beyond its ends. */
static int mirrored_once(int at, int n)
{
    return at < 0 ? -at : at >= n ? 2 * (n - 1) - at : at;
}

/* A patch in a corner, and the window around it: its places go on as the patch's do. */
static void check_window(const struct crop_source *source, const struct crop *crop, int x, int y)
{
    enum { SIDE = 3, AROUND = 4, LARGE = SIDE * SCALE, WINDOW = (SIDE + AROUND) * SCALE };
    float lq[SIDE * SIDE * 3], gt[LARGE * LARGE * 3], window[WINDOW * WINDOW * 3];
    int sides[2] = {crop->pair->w * SCALE, crop->pair->h * SCALE};
    crop_copy(source, crop, SIDE, lq, gt);
    crop_copy_around(source, crop, SIDE, AROUND, x, y, window);
    for (int row = 0; row < WINDOW; row++)
        for (int column = 0; column < WINDOW; column++)
            for (int c = 0; c < 2; c++) {
                int first = where(gt[c]), right = where(gt[3 + c]) - first;
                int down = where(gt[3 * LARGE + c]) - first;
                int at = first + (column - x * SCALE) * right + (row - y * SCALE) * down;
                ck_assert_int_eq(where(window[(row * WINDOW + column) * 3 + c]),
                                 mirrored_once(at, sides[c]));
            }
}

START_TEST(windows_go_on_beyond_the_border)
{
    struct crop_source source;
    open_crops(&source);
    for (unsigned i = 0; i < 8 * 4 * 25; i++) {
        struct crop crop = {.pair = &known[1].pair,
                            .x = i / 8 % 2 ? known[1].pair.w - 3 : 0,
                            .y = i / 16 % 2 ? known[1].pair.h - 3 : 0,
                            .turn = i % 8};
        check_window(&source, &crop, (int)(i / 32 % 5), (int)(i / 160));
    }
    crop_source_close(&source);
}
END_TEST

/* ---- the loss ---- */

START_TEST(loss_is_its_definition)
{
    enum { N = 3, COUNT = 37 };
    const struct nn_ops *ops = nn_ops_reference();
    float out[N * COUNT], target[N * COUNT], grad[N * COUNT];
    double sums[N * NN_LOSS_TERMS];
    struct nn_image_loss loss = {.sums = sums,
                                 .grad = grad,
                                 .out = out,
                                 .target = target,
                                 .n = N,
                                 .count = COUNT,
                                 .weight = {0.5f, 2, 0.25f}};
    for (int i = 0; i < N * COUNT; i++) {
        struct philox4 draw = philox_draw(3, STREAM_TEST, 0, (uint64_t)i);
        out[i] = philox_uniform(draw.v[0]);
        target[i] = i % 9 ? philox_uniform(draw.v[1]) : out[i];
    }
    MUST(ops->image_loss(NULL, &loss));
    for (int n = 0; n < N; n++) {
        double want[NN_LOSS_TERMS] = {0};
        for (int i = n * COUNT; i < (n + 1) * COUNT; i++) {
            double d = (double)out[i] - (double)target[i];
            double root = sqrt(d * d + 1e-12), sign = d > 0 ? 1 : d < 0 ? -1 : 0;
            want[NN_LOSS_L1] += fabs(d);
            want[NN_LOSS_CHARBONNIER] += root;
            want[NN_LOSS_MSE] += d * d;
            ck_assert_double_eq_tol((double)grad[i], 0.5 * sign + 2 * d / root + 0.25 * 2 * d,
                                    1e-5);
        }
        for (int t = 0; t < NN_LOSS_TERMS; t++)
            ck_assert_double_eq_tol(sums[n * NN_LOSS_TERMS + t], want[t], 1e-12);
    }
    loss.n = 0;
    ck_assert_int_lt(ops->image_loss(NULL, &loss), 0);
}
END_TEST

/* ---- networks ---- */

START_TEST(networks_have_the_parameters_of_the_papers)
{
    static const struct {
        struct sr_design design;
        size_t parameters;
        int radius;
    } rows[] = {
        {COMPACT(2, 24, 8), 45156, 10},        {COMPACT(4, 24, 8), 52968, 10},
        {COMPACT(2, 64, 8), 304716, 10},       {COMPACT(4, 64, 8), 325488, 10},
        {COMPACT(2, 64, 16), 600652, 18},      {COMPACT(4, 64, 16), 621424, 18},
        {COMPACT(4, 64, 32), 1213296, 34},     {COMPACT(2, 16, 4), 11548, 6},
        {COMPACT(4, 16, 4), 16768, 6},         {COMPACT(4, 32, 8), 89040, 10},
        {SPAN(2, 48, true), 410700, 21},       {SPAN(4, 48, true), 426288, 21},
        {SPAN(2, 52, true), 481324, 21},       {SPAN(4, 52, true), 498208, 21},
        {ESRGAN(4, 64, 23, 0), 16697987, 349}, {ESRGAN(2, 64, 23, 2), 16703171, 698},
        {ESRGAN(4, 64, 6, 0), 4467779, 94},    {ESRGAN(4, 32, 12, 0), 5021155, 184},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct net net;
        MUST(sr_network_build(&net, &rows[i].design, 4, 5, 4));
        ck_assert_uint_eq(net.parameter_total, rows[i].parameters);
        ck_assert_int_eq(sr_network_radius(&rows[i].design), rows[i].radius);
        const struct net_layer *last = &net.layers[net.layer_count - 1];
        ck_assert_int_eq(last->h, 4 * rows[i].design.scale);
        ck_assert_int_eq(last->w, sr_network_side(&rows[i].design, 5) * rows[i].design.scale);
        ck_assert_int_eq(last->c, 3);
        net_free(&net);
    }
}
END_TEST

/* ---- memory modes ---- */

static int noise_patches(void *context, int first, int n, float *lq, float *gt)
{
    const struct sr_core *core = context;
    size_t small = (size_t)core->mode.lq_size * (size_t)core->mode.lq_size * 3;
    size_t large = small * (size_t)core->design.scale * (size_t)core->design.scale;
    for (size_t i = 0; i < (size_t)n * small; i++)
        lq[i] = philox_uniform(
            philox_draw(1, STREAM_TEST, 1, (uint64_t)first * small + (uint64_t)i).v[0]);
    for (size_t i = 0; i < (size_t)n * large; i++)
        gt[i] = philox_uniform(
            philox_draw(1, STREAM_TEST, 2, (uint64_t)first * large + (uint64_t)i).v[0]);
    return OK;
}

/* Three steps; the averaged weights and all they come from into `state`. */
static size_t train_three_steps(const struct sr_mode *mode, const struct sr_design *design,
                                bool all, float *state)
{
    const struct sr_rates rates = {.adam = {.lr = 1e-3, .b1 = 0.9, .b2 = 0.99, .decay = 0.01},
                                   .ema = 0.5};
    struct sr_loss_choices losses = {.weight = {1, 0.5, 0.25}};
    for (int t = 0; t < SR_TERM_PERCEPTUAL && all; t++)
        losses.weight[t] = 0.25;
    if (all) losses.grad_clip = 0.05;
    struct sr_core core = {.device = NULL};
    struct device *device;
    struct plan *plan = plan_create();
    double before = 0;
    ck_assert_ptr_nonnull(plan);
    MUST(device_open(&device, "cpu", 2));
    MUST(sr_core_declare(&core, design, &losses, mode, device, plan));
    MUST(plan_commit(plan, device));
    sr_core_connect(&core);
    MUST(sr_losses_begin(&core.losses, false));
    MUST(sr_core_initialise(&core, 3));
    MUST(sr_core_begin(&core));
    for (int step = 0; step < 3; step++) {
        struct sr_report report;
        MUST(sr_train_step(&core, &rates, noise_patches, &core));
        MUST(sr_core_report(&core, 0, &report));
        if (step) ck_assert_double_lt(report.loss, before); /* always the same patches */
        before = report.loss;
    }
    size_t floats = core.net.net.floats, bytes = plan_device_bytes(plan);
    for (int range = 0; range < TRAINED_RANGES; range++)
        memcpy(state + (size_t)range * floats,
               trained_net_view(&core.net, (enum trained_range)range), floats * sizeof *state);
    plan_free(plan);
    sr_core_close(&core);
    device_close(device);
    return bytes;
}

START_TEST(memory_modes_change_no_bit)
{
    enum { ROOM = TRAINED_RANGES * 65536 };
    static const struct sr_design designs[] = {COMPACT(1, 16, 5), COMPACT(2, 16, 5),
                                               COMPACT(3, 16, 5), SPAN(3, 8, false),
                                               SPAN(2, 12, true), COMPACT(2, 16, 5)};
    static const struct sr_mode modes[] = {
        {.batch = 5, .micro = 5, .lq_size = 28},
        {.batch = 5, .micro = 5, .lq_size = 28, .checkpointing = true},
        {.batch = 5, .micro = 3, .lq_size = 28},
        {.batch = 5, .micro = 1, .lq_size = 28},
        {.batch = 5, .micro = 1, .lq_size = 28, .checkpointing = true},
        {.batch = 5, .micro = 2, .lq_size = 28, .checkpointing = true, .offload = true},
    };
    float *want = calloc(ROOM, sizeof *want), *got = calloc(ROOM, sizeof *got);
    ck_assert(want && got);
    size_t whole = train_three_steps(&modes[0], &designs[_i], _i == 5, want);
    for (size_t i = 1; i < sizeof modes / sizeof *modes; i++) {
        size_t bytes = train_three_steps(&modes[i], &designs[_i], _i == 5, got);
        ck_assert_msg(memcmp(want, got, ROOM * sizeof *want) == 0, "mode %zu", i);
        ck_assert_uint_lt(bytes, whole);
    }
    free(want);
    free(got);
}
END_TEST

/* Mixed precision is another result, a near one, and the same bits in each of its modes. */
START_TEST(mixed_modes_change_no_bit)
{
    enum { ROOM = TRAINED_RANGES * 65536 };
    static const struct sr_design designs[] = {COMPACT(2, 24, 3),
                                               SPAN(2, 8, false),
                                               {.network = SR_ESRGAN,
                                                .scale = 2,
                                                .features = 8,
                                                .blocks = 1,
                                                .growth = 8,
                                                .unshuffle = 2}};
    static const struct sr_mode
        exact = {.batch = 3, .micro = 3, .lq_size = 28},
        modes[] = {
            {.batch = 3, .micro = 3, .lq_size = 28, .mixed = true},
            {.batch = 3, .micro = 3, .lq_size = 28, .mixed = true, .checkpointing = true},
            {.batch = 3, .micro = 1, .lq_size = 28, .mixed = true},
            {.batch = 3,
             .micro = 2,
             .lq_size = 28,
             .mixed = true,
             .checkpointing = true,
             .offload = true},
        };
    float *want = calloc(ROOM, sizeof *want), *got = calloc(ROOM, sizeof *got);
    ck_assert(want && got);
    be_quiet();
    size_t whole = train_three_steps(&exact, &designs[_i], false, got);
    ck_assert_uint_lt(train_three_steps(&modes[0], &designs[_i], false, want), whole);
    double most = 0;
    for (size_t i = 0; i < ROOM; i++)
        most = larger_error(most, fabs((double)want[i] - (double)got[i]));
    ck_assert_msg(most > 0 && most < 0.02, "%g", most); /* three steps of .001 */
    for (size_t i = 1; i < sizeof modes / sizeof *modes; i++) {
        train_three_steps(&modes[i], &designs[_i], false, got);
        ck_assert_msg(memcmp(want, got, ROOM * sizeof *want) == 0, "mode %zu", i);
    }
    free(want);
    free(got);
}
END_TEST

/* ---- tiles ---- */

static void enlarge_in_tiles(const struct sr_design *design, int tile_h, int tile_w,
                             const struct sr_rows *in, float *out)
{
    struct sr_tiles tiles;
    struct device *device;
    struct net net;
    float *parameters;
    struct plan *plan = plan_create();
    ck_assert_ptr_nonnull(plan);
    MUST(device_open(&device, "cpu", 2));
    MUST(sr_network_build(&net, design, 1, 1, 0));
    MUST(plan_declare(plan, "parameters", PLAN_PARAMETERS, net.floats * sizeof(float), PLAN_ALWAYS,
                      (void **)&parameters));
    MUST(sr_tiles_declare(&tiles, design, NULL, tile_h, tile_w, device, 0, plan));
    MUST(plan_commit(plan, device));
    MUST(sr_network_initialise(design, &net, parameters, 9));
    MUST(sr_tiles_enlarge(&tiles, parameters, in, 0, 0, in->width, in->height, out, NULL));
    net_free(&net);
    sr_tiles_close(&tiles);
    plan_free(plan);
    device_close(device);
}

START_TEST(tiles_change_no_bit)
{
    enum { W = 85, H = 77, S = 3 };
    static const struct {
        struct sr_design design;
        int sides[5][2];
    } networks[] = {{COMPACT(3, 16, 2), {{12, 12}, {13, 20}, {16, 85}, {77, 14}, {24, 31}}},
                    {SPAN(3, 8, true), {{52, 52}, {53, 60}, {56, 85}, {77, 54}, {64, 71}}},
                    {SPAN(3, 4, false), {{52, 52}, {53, 60}, {56, 85}, {77, 54}, {64, 71}}}};
    const struct sr_design *design = &networks[_i].design;
    static float in[W * H * 3], want[W * H * 3 * S * S], got[W * H * 3 * S * S];
    const struct sr_rows rows = {in, W, H, 0, H};
    for (int i = 0; i < W * H * 3; i++)
        in[i] = philox_uniform(philox_draw(1, STREAM_TEST, 3, (uint64_t)i).v[0]);
    enlarge_in_tiles(design, H, W, &rows, want);
    for (int i = 0; i < 5; i++) {
        const int *sides = networks[_i].sides[i];
        memset(got, 0, sizeof got);
        enlarge_in_tiles(design, sides[0], sides[1], &rows, got);
        ck_assert_msg(memcmp(want, got, sizeof want) == 0, "tiles of %d x %d", sides[1], sides[0]);
    }
}
END_TEST

/* ---- alpha ---- */

START_TEST(colours_reach_behind_alpha)
{
    uint8_t samples[7][4] = {{9, 9, 9, 0},   {9, 9, 9, 0}, {9, 9, 9, 0},   {200, 100, 50, 255},
                             {9, 9, 9, 128}, {1, 2, 3, 0}, {50, 60, 70, 0}};
    struct image image = {7, 1, 4, SAMPLE_U8, samples};
    MUST(alpha_bleed(&image, 2));
    const uint8_t want[7][4] = {{9, 9, 9, 0},        {200, 100, 50, 0}, {200, 100, 50, 0},
                                {200, 100, 50, 255}, {9, 9, 9, 128},    {9, 9, 9, 0},
                                {9, 9, 9, 0}};
    ck_assert_mem_eq(samples, want, sizeof want);
}
END_TEST

Suite *sr_parts_suite(void)
{
    Suite *suite = suite_create("sr_parts");
    TCase *cases = tcase_create("cases");
    tcase_add_test(cases, patches_are_functions_of_seed_step_and_index);
    tcase_add_test(cases, patches_are_turned_in_eight_ways);
    tcase_add_test(cases, windows_go_on_beyond_the_border);
    tcase_add_test(cases, loss_is_its_definition);
    tcase_add_test(cases, networks_have_the_parameters_of_the_papers);
    tcase_add_loop_test(cases, mixed_modes_change_no_bit, 0, 3);
    tcase_add_loop_test(cases, memory_modes_change_no_bit, 0, 6);
    tcase_add_loop_test(cases, tiles_change_no_bit, 0, 3);
    tcase_add_test(cases, colours_reach_behind_alpha);
    suite_add_tcase(suite, cases);
    return suite;
}
