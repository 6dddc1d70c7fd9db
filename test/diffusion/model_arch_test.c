/* Models by the name of their architecture. */
#include "diffusion/dit/s3dit.h"
#include "diffusion/mmdit/mmdit.h"
#include "diffusion/model/model_arch.h"
#include "test/support.h"

#include <math.h>

Suite *model_arch_test_suite(void);

/* Parameters of Z-Image's transformer, as its own program counts them. */
START_TEST(z_image_has_its_size)
{
    struct model_arch arch;
    MUST(model_arch_open(&arch, "z-image-turbo", false));
    ck_assert_uint_eq(arch.folder.dit.list.parameter_total, 6154908736);
    size_t bytes = 0, encoder = 0, decoder = 0;
    for (int t = 0; t < arch.folder.dit.list.tensor_count; t++)
        bytes += arch.tensors[t].bytes;
    ck_assert_uint_eq(bytes, 12309817472);
    ck_assert_int_eq(model_arch_side(&arch), 1024);
    const struct kl_folder *vae = &arch.folder.vae;
    for (int t = 0; t < vae->tensor_count; t++)
        *(t < vae->encoder_tensors ? &encoder : &decoder) += vae->weights[t]->bytes / 2;
    ck_assert_uint_eq(encoder + decoder, 83819683);
    ck_assert_uint_eq(decoder, 49545475);
    ck_assert_int_eq(model_scale(&arch.folder), 8);
    bytes = 0; /* 35 of the text encoder's 36 layers; its embedding stays in the file */
    for (int t = 0; t < arch.folder.reader.layers.list->tensor_count; t++)
        bytes += arch.folder.reader.weights[t]->bytes;
    ck_assert_uint_eq(bytes, (size_t)2 * 35 * 100930816);
    ck_assert_uint_eq(arch.folder.reader.table->bytes, (size_t)2 * 151936 * 2560);
    model_arch_close(&arch);
}
END_TEST

/* FLUX.1, as its own programs count it: with and without guidance; T5-XXL's encoder and CLIP-L. */
START_TEST(flux_has_its_size_and_cost)
{
    static const struct {
        int side;
        double work;
    } costs[] = {{512, 17.7e12}, {1024, 69.5e12}};
    struct model_arch arch;
    MUST(model_arch_open(&arch, "flux-1-schnell", false));
    ck_assert_uint_eq(arch.folder.mmdit.list.parameter_total, 11891178560);
    model_arch_close(&arch);
    MUST(model_arch_open(&arch, "flux-1-dev", false));
    ck_assert_uint_eq(arch.folder.mmdit.list.parameter_total, 11901408320);
    /* less their tables: 32128 x 4096 and 32 x 64; 49408 x 768 and 77 x 768 */
    ck_assert_uint_eq(arch.folder.t5.list.parameter_total, 4762310656 - 131596288 - 2048);
    ck_assert_uint_eq(arch.folder.clip.list.parameter_total, 123060480 - 37945344 - 59136);
    for (int i = 0; i < 2; i++) {
        const struct mmdit_size size = {.samples = 1,
                                        .height = costs[i].side / 8,
                                        .width = costs[i].side / 8,
                                        .text_rows = 256};
        double work = 2 * mmdit_macs(&arch.folder.mmdit, &size);
        ck_assert_msg(!(fabs(work / costs[i].work - 1) > .01), "%d: %g", costs[i].side, work);
    }
    ck_assert_int_eq(model_usual_steps(&arch.folder), 28);
    model_arch_close(&arch);
}
END_TEST

/* 12.9, 29.6 and 55.6 TFLOP at 512, 768 and 1024 pixels a side. */
START_TEST(z_image_has_its_cost)
{
    static const struct {
        int side;
        double work;
    } costs[] = {{512, 12.9e12}, {768, 29.6e12}, {1024, 55.6e12}};
    struct model_arch arch;
    MUST(model_arch_open(&arch, "z-image-turbo", false));
    for (int i = 0; i < 3; i++) {
        const struct s3dit_size size = {
            .samples = 1, .height = costs[i].side / 8, .width = costs[i].side / 8, .text_rows = 64};
        double work = 2 * s3dit_macs(&arch.folder.dit, &size, true);
        ck_assert_msg(!(fabs(work / costs[i].work - 1) > .01), "%d: %g", costs[i].side, work);
    }
    model_arch_close(&arch);
}
END_TEST

/* By hand, of 64 patches (of 12 numbers) and a caption of one row, which is filled up to 32: a
 * refiner of each kind and three layers; then the ends and the modulation too. */
START_TEST(a_small_network_has_its_cost)
{
    struct model_arch arch;
    const struct s3dit_size size = {.samples = 2, .height = 16, .width = 16, .text_rows = 1};
    MUST(model_arch_open(&arch, "s3dit-1m", false));
    ck_assert_double_eq(s3dit_macs(&arch.folder.dit, &size, false), 48758784);
    ck_assert_double_eq(s3dit_macs(&arch.folder.dit, &size, true), 49429504);
    model_arch_close(&arch);
}
END_TEST

START_TEST(weights_are_drawn_alike_each_time)
{
    struct model_arch one, two;
    MUST(model_arch_open(&one, "s3dit-1m", true));
    MUST(model_arch_open(&two, "s3dit-1m", true));
    ck_assert_uint_eq(one.weights.bytes, two.weights.bytes);
    ck_assert_mem_eq(one.weights.data, two.weights.data, one.weights.bytes);
    for (int t = 0; t < one.folder.dit.list.tensor_count; t++) {
        const float *x = one.folder.weights[t]->data;
        ck_assert(x[0] < 3 && x[0] > -3);
        ck_assert(one.folder.weights[t]->bytes <= 4 || memcmp(x, x + 1, 4) != 0);
    }
    float row[64];
    ck_assert_int_eq(one.folder.dit.config.text_dim, 64);
    MUST(model_tensor_row(&one.folder, one.folder.reader.table, 1, row));
    ck_assert(row[0] <= 1 && row[0] >= -1);
    model_arch_close(&one);
    model_arch_close(&two);
}
END_TEST

START_TEST(unknown_ones_are_refused)
{
    struct model_arch arch;
    ck_assert_int_eq(model_arch_open(&arch, "flux9", false), ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(error_message(), "s3dit-42m"));
    model_arch_close(&arch);
}
END_TEST

Suite *model_arch_test_suite(void)
{
    Suite *suite = suite_create("model_arch_test");
    TCase *tests = tcase_create("model_arch");
    tcase_add_test(tests, z_image_has_its_size);
    tcase_add_test(tests, flux_has_its_size_and_cost);
    tcase_add_test(tests, z_image_has_its_cost);
    tcase_add_test(tests, a_small_network_has_its_cost);
    tcase_add_test(tests, weights_are_drawn_alike_each_time);
    tcase_add_test(tests, unknown_ones_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
