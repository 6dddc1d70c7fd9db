/* An autoencoder on bands of rows: to the bit what it makes of the whole image, at any height of a
 * band and by any number of threads, in less memory. */
#include "device/device.h"
#include "diffusion/vae/kl.h"
#include "diffusion/vae/kl_bands.h"
#include "memory/plan.h"
#include "nn/pass_memory.h"
#include "s3dit_fixture.h"

Suite *kl_bands_test_suite(void);

static const struct kl_config bands_configs[] = {
    {.levels = 3,
     .widths = {16, 24, 24},
     .resnets = 1,
     .latent_channels = 4,
     .groups = 8,
     .attention = true,
     .scaling = 1},
    {.levels = 2, .widths = {8, 16}, .resnets = 2, .latent_channels = 3, .groups = 2, .scaling = 1},
    {.levels = 2,
     .widths = {8, 8},
     .resnets = 1,
     .latent_channels = 3,
     .groups = 2,
     .quant_conv = true,
     .post_quant_conv = true,
     .scaling = 1},
    {.levels = 2, .widths = {24, 8}, .resnets = 1, .latent_channels = 3, .groups = 4, .scaling = 1},
};
enum { BANDS_CONFIGS = sizeof bands_configs / sizeof *bands_configs };

struct bands_fixture {
    struct device *device;
    struct net net;
    struct plan *plan;
    float *parameters, *input;
};

/* h x w: of the latents. */
static void bands_open(struct bands_fixture *f, int config, bool decoder, int h, int w, int threads)
{
    int factor = kl_factor(&bands_configs[config]);
    *f = (struct bands_fixture){.plan = plan_create()};
    MUST(device_open(&f->device, "cpu", threads));
    MUST(decoder ? kl_build_decoder(&f->net, &bands_configs[config], h, w)
                 : kl_build_encoder(&f->net, &bands_configs[config], h * factor, w * factor));
    f->parameters = formula_floats(f->net.floats);
    f->input = formula_floats(net_elements(&f->net, 0));
    formula_fill(f->input, net_elements(&f->net, 0), "input", 2, 0);
    for (int i = 0; i < f->net.parameter_count; i++) {
        const struct net_parameter *p = &f->net.parameters[i];
        double scale = p->dims == 1 ? 0.3 : 1 / sqrt((double)(p->count / (size_t)p->shape[0]));
        formula_fill(f->parameters + p->offset, p->count, p->name, scale,
                     p->dims == 1 && !strstr(p->name, "bias") ? 1 : 0);
    }
}

static void bands_close(struct bands_fixture *f)
{
    plan_free(f->plan);
    net_free(&f->net);
    free(f->parameters);
    free(f->input);
    device_close(f->device);
}

/* By layers, in memory of its own (malloc). */
static float *whole_image(struct bands_fixture *f)
{
    struct network_pass pass = {.n = 0};
    int last = f->net.layer_count - 1;
    struct plan *plan = plan_create();
    struct pass_use use = {
        .plan = plan, .net = &f->net, .name = "whole", .backward = last + 2, .n = 1};
    MUST(pass_open(&pass, &f->net));
    MUST(pass_plan_values(&use, &pass, false, 0, NULL));
    MUST(plan_declare(plan, "workspace", PLAN_WORKSPACE, pass_workspace(&f->net, f->device, 1, 0),
                      PLAN_ALWAYS, &pass.workspace));
    MUST(plan_commit(plan, f->device));
    pass.device = f->device;
    pass.parameters = f->parameters;
    pass.n = 1;
    memcpy(pass.value[0], f->input, net_bytes(&f->net, 0));
    MUST(pass_forward(&pass, PASS_NO_MASKS, false));
    float *image = formula_floats(net_elements(&f->net, last));
    memcpy(image, pass.value[last], net_bytes(&f->net, last));
    plan_free(plan);
    pass_close(&pass);
    return image;
}

static void same_in_bands(struct bands_fixture *f, int rows, const float *want)
{
    struct kl_bands bands;
    int last = f->net.layer_count - 1;
    struct plan *plan = plan_create();
    MUST(kl_bands_declare(&bands, &f->net, rows, f->device, 0, plan));
    MUST(plan_commit(plan, f->device));
    bands.parameters = f->parameters;
    for (int twice = 0; twice < 2; twice++) { /* the second finds what the first left */
        memcpy(bands.value[0], f->input, net_bytes(&f->net, 0));
        MUST(kl_bands_run(&bands));
        ck_assert_msg(memcmp(bands.value[last], want, net_bytes(&f->net, last)) == 0,
                      "bands of %d rows: other bits", rows);
    }
    kl_bands_close(&bands);
    plan_free(plan);
}

START_TEST(bands_change_no_bit)
{
    struct bands_fixture f;
    const int rows[] = {0, 2, 4, 6, 10, 64};
    bands_open(&f, _i / 2, _i % 2, 6, 10, 1 + _i / 2);
    float *want = whole_image(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        same_in_bands(&f, rows[i], want);
    free(want);
    bands_close(&f);
}
END_TEST

/* Two wide values of the largest size at a time, and little beside them. */
START_TEST(bands_take_less_memory)
{
    bool decoder = _i;
    struct bands_fixture f;
    struct kl_bands bands;
    struct network_pass pass = {.n = 0};
    bands_open(&f, 0, decoder, 64, 64, 1);
    struct plan *plan = plan_create();
    struct pass_use use = {
        .plan = plan, .net = &f.net, .name = "whole", .backward = f.net.layer_count + 1, .n = 1};
    MUST(pass_open(&pass, &f.net));
    MUST(pass_plan_values(&use, &pass, false, 0, NULL));
    MUST(plan_declare(plan, "workspace", PLAN_WORKSPACE, pass_workspace(&f.net, f.device, 1, 0),
                      PLAN_ALWAYS, &pass.workspace));
    MUST(plan_layout(plan));
    MUST(kl_bands_declare(&bands, &f.net, 16, f.device, 0, f.plan));
    MUST(plan_layout(f.plan));
    size_t widest = decoder ? 24 : 16, largest = 256 * 256 * widest * sizeof(float),
           own = plan_device_bytes(f.plan);
    ck_assert_msg(own < 2 * largest + largest / 2, "%zu bytes in bands, the largest value %zu", own,
                  largest);
    ck_assert_msg(own * 5 < plan_device_bytes(plan) * 3, "%zu bytes in bands, %zu else", own,
                  plan_device_bytes(plan));
    plan_free(plan);
    pass_close(&pass);
    kl_bands_close(&bands);
    bands_close(&f);
}
END_TEST

/* All layers and parameters, one after the other, by the names of their parameters. */
START_TEST(blocks_are_all_of_a_network)
{
    static const char *const names[2][6] = {
        {"conv_in", "down_blocks.0", "down_blocks.1", "down_blocks.2", "mid_block", "conv_out"},
        {"conv_in", "mid_block", "up_blocks.0", "up_blocks.1", "up_blocks.2", "conv_out"}};
    for (int decoder = 0; decoder < 2; decoder++) {
        struct bands_fixture f;
        struct kl_block blocks[KL_BLOCKS_MOST];
        int layer = 1, parameter = 0; /* behind the input */
        bands_open(&f, 0, decoder, 2, 2, 1);
        ck_assert_int_eq(kl_list_blocks(&f.net, blocks), 6);
        for (int i = 0; i < 6; i++) {
            ck_assert_str_eq(blocks[i].name, names[decoder][i]);
            ck_assert_int_eq(blocks[i].layer, layer);
            ck_assert_int_eq(blocks[i].parameter, parameter);
            layer += blocks[i].layers;
            parameter += blocks[i].parameters;
        }
        ck_assert_int_eq(layer, f.net.layer_count);
        ck_assert_int_eq(parameter, f.net.parameter_count);
        bands_close(&f);
    }
}
END_TEST

static bool bands_stop(void)
{
    return true;
}

START_TEST(bands_stop_and_refuse)
{
    struct bands_fixture f;
    struct kl_bands bands;
    bands_open(&f, 1, true, 2, 2, 1);
    ck_assert_int_eq(kl_bands_declare(&bands, &f.net, 3, f.device, 0, f.plan), ERR_USAGE);
    kl_bands_close(&bands);
    MUST(kl_bands_declare(&bands, &f.net, 2, f.device, 0, f.plan));
    bands.stop_requested = bands_stop;
    ck_assert_int_eq(kl_bands_run(&bands), ERR_STOPPED);
    kl_bands_close(&bands);
    bands_close(&f);
}
END_TEST

Suite *kl_bands_test_suite(void)
{
    Suite *suite = suite_create("kl_bands_test");
    TCase *tests = tcase_create("bands");
    tcase_add_loop_test(tests, bands_change_no_bit, 0, 2 * BANDS_CONFIGS);
    tcase_add_loop_test(tests, bands_take_less_memory, 0, 2);
    tcase_add_test(tests, blocks_are_all_of_a_network);
    tcase_add_test(tests, bands_stop_and_refuse);
    suite_add_tcase(suite, tests);
    return suite;
}
