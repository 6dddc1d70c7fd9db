/* A trained autoencoder in a file, at work: there and back, in bands, and files that are none. */
#include "device/device.h"
#include "diffusion/vae/kl_codec.h"
#include "diffusion/vae/kl_file.h"
#include "nn/weights_file.h"
#include "s3dit_fixture.h"
#include "store/safetensors.h"

#include <unistd.h>

Suite *kl_codec_test_suite(void);

/* The second one's latents are as large as its images. */
static const struct kl_config codec_configs[2] = {{.levels = 2,
                                                   .widths = {8, 16},
                                                   .resnets = 1,
                                                   .latent_channels = 3,
                                                   .groups = 2,
                                                   .attention = true,
                                                   .scaling = 1.5,
                                                   .shift = -0.25},
                                                  {.levels = 1,
                                                   .widths = {8},
                                                   .resnets = 1,
                                                   .latent_channels = 3,
                                                   .groups = 2,
                                                   .scaling = 1.5,
                                                   .shift = -0.25}};
enum { CODEC_H = 6, CODEC_W = 10 };

/* key, if not NULL, gets another value. */
static void codec_write(const char *path, const struct kl_config *config, const char *key,
                        const char *value)
{
    struct net net = {.layer_count = 0};
    struct store_writer *writer = store_writer_create();
    int moments;
    MUST(kl_build_training(&net, config, 2, 2, &moments));
    float *parameters = formula_floats(net.floats);
    for (int i = 0; i < net.parameter_count; i++)
        formula_fill(parameters + net.parameters[i].offset, net.parameters[i].count,
                     net.parameters[i].name, 0.2, 0);
    MUST(kl_store_config(writer, config));
    if (key) MUST(store_set(writer, key, value));
    MUST(weights_store(writer, "", &net, parameters));
    MUST(store_write(writer, path, false));
    store_writer_free(writer);
    free(parameters);
    net_free(&net);
}

START_TEST(there_and_back)
{
    enum { IMAGE = CODEC_H * CODEC_W * 3 };
    const struct kl_config *config = &codec_configs[_i];
    int h = CODEC_H / kl_factor(config), w = CODEC_W / kl_factor(config), latent = h * w * 3;
    static float image[IMAGE], back[IMAGE], banded[IMAGE];
    float means[IMAGE], again[IMAGE], deviations[IMAGE];
    struct device *device;
    struct kl_codec *codec;
    size_t encoder, decoder;
    char path[] = "/tmp/kl-codec-XXXXXX";
    ck_assert_int_ge(close(mkstemp(path)), 0);
    codec_write(path, config, NULL, NULL);
    MUST(device_open(&device, "cpu", 2));
    MUST(kl_codec_open(&codec, path, device));
    ck_assert_mem_eq(kl_codec_config(codec)->widths, config->widths, sizeof config->widths);
    ck_assert(!(fabs(kl_codec_config(codec)->shift - config->shift) > 0));
    formula_fill(image, IMAGE, "image", 1, 0);
    MUST(kl_codec_encode(codec, image, CODEC_H, CODEC_W, means, deviations));
    MUST(kl_codec_bytes(codec, false, CODEC_H, CODEC_W, 0, &encoder));
    ck_assert_uint_eq(device->used_bytes, encoder);
    for (int rows = 0; rows <= 2; rows += 2) { /* what is there is of these very bands */
        MUST(kl_codec_decode(codec, means, h, w, rows, rows ? banded : back));
        MUST(kl_codec_bytes(codec, true, h, w, rows, &decoder));
        ck_assert_uint_eq(device->used_bytes, decoder);
    }
    ck_assert_mem_eq(back, banded, sizeof back);
    MUST(kl_codec_encode(codec, image, CODEC_H, CODEC_W, again, NULL));
    ck_assert_mem_eq(means, again, (size_t)latent * sizeof *means);
    for (int i = 0; i < latent; i++)
        ck_assert(deviations[i] > 0 && isfinite(means[i]));
    if (kl_factor(config) > 1)
        ck_assert_int_eq(kl_codec_encode(codec, image, CODEC_H, CODEC_W - 1, means, NULL),
                         ERR_CONFIG);
    MUST(kl_codec_encode(codec, image, CODEC_H, CODEC_W, again, NULL)); /* goes on */
    kl_codec_close(codec);
    device_close(device);
    unlink(path);
}
END_TEST

START_TEST(files_that_are_none)
{
    static const struct {
        const char *key, *value, *text;
    } bad[] = {{"vae.levels", "9", "vae.levels"},
               {"vae.levels", "1", "shape"},
               {"vae.width.1", "15", "15 channels in 2 groups"},
               {"vae.width.1", "24", "conv"},
               {"vae.scaling_factor", "nan", "vae.scaling_factor"},
               {"vae.attention", "0", NULL}};
    struct kl_codec *codec;
    char path[] = "/tmp/kl-codec-XXXXXX";
    ck_assert_int_ge(close(mkstemp(path)), 0);
    codec_write(path, &codec_configs[0], bad[_i].key, bad[_i].value);
    int code = kl_codec_open(&codec, path, NULL);
    if (bad[_i].text) {
        ck_assert_msg(code == ERR_DATA, "%d: %s", code, error_message());
        ck_assert_ptr_null(codec);
    } else {
        MUST(code); /* tensors that it does not ask for */
    }
    kl_codec_close(codec);
    unlink(path);
}
END_TEST

Suite *kl_codec_test_suite(void)
{
    Suite *suite = suite_create("kl_codec_test");
    TCase *tests = tcase_create("codec");
    tcase_add_loop_test(tests, there_and_back, 0, 2);
    tcase_add_loop_test(tests, files_that_are_none, 0, 6);
    suite_add_tcase(suite, tests);
    return suite;
}
