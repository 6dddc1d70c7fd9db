/* Latents of a data set: what an encoder makes of each image, kept in a file that is made once; and
 * the autoencoder as a part of another plan. */
#include "data/cache_file.h"
#include "device/device.h"
#include "diffusion/latent/latent_codec.h"
#include "diffusion/latent/latent_set.h"
#include "memory/plan.h"
#include "test/data/data_folder.h"
#include "test/diffusion/tiny_vae.h"

Suite *latent_test_suite(void);

/* ---- a set ---- */

enum { SIDE = 4, LATENTS = 2 * 2 * 3, COUNT = 24 };

/* A mean of each pixel's channels, 2 x 2 of them; deviations grow with the number of calls. */
struct toy_encoder {
    int calls;
    float factor, deviation;
};

static int toy_encode(void *context, const float *image, float *means, float *deviations)
{
    struct toy_encoder *toy = context;
    toy->calls++;
    for (int i = 0; i < LATENTS; i++) {
        int y = i / 6 * 2, x = i / 3 % 2 * 2, c = i % 3;
        means[i] = image[(y * SIDE + x) * 3 + c] * toy->factor;
        deviations[i] = toy->deviation;
    }
    return OK;
}

struct latent_fixture {
    struct dataset *images;
    struct toy_encoder toy;
    struct latent_options options;
    struct cache_places places;
    char dir[96];
};

/* Left and right differ. */
static void latent_draw_image(int number, int level)
{
    char name[120];
    struct image image;
    snprintf(name, sizeof name, "%s/%03d.png", folder, number);
    MUST(image_create(&image, SIDE, SIDE, 3, SAMPLE_U8));
    for (int k = 0; k < SIDE * SIDE * 3; k++)
        ((uint8_t *)image.data)[k] = (uint8_t)(k / 3 % SIDE * 60 + level);
    MUST(image_save(&image, name));
    image_free(&image);
}

static void latent_open_images(struct latent_fixture *f)
{
    struct dataset_options options = options_for(SIDE, SIDE);
    *f = (struct latent_fixture){.toy = {.factor = 1, .deviation = 0.25f}};
    snprintf(f->dir, sizeof f->dir, "%s/latents", folder);
    for (int i = 0; i < COUNT; i++)
        latent_draw_image(i, i);
    f->images = open_with(&options);
    f->options = (struct latent_options){.images = f->images,
                                         .vae = 7,
                                         .height = 2,
                                         .width = 2,
                                         .channels = 3,
                                         .scaling = 2,
                                         .shift = 0.5f,
                                         .encode = toy_encode,
                                         .context = &f->toy,
                                         .image_floats = SIDE * SIDE * 3};
    f->places = (struct cache_places){.cache_dir = f->dir};
}

static struct latent_set *latent_open(struct latent_fixture *f)
{
    struct latent_set *set;
    MUST(latent_set_open(&set, &f->options, &f->places));
    return set;
}

/* How many calls an open needs; the set is closed again. */
static int latent_calls(struct latent_fixture *f)
{
    int before = f->toy.calls;
    latent_set_close(latent_open(f));
    return f->toy.calls - before;
}

START_TEST(samples_are_what_the_file_says)
{
    struct latent_fixture f;
    float want[LATENTS], deviations[LATENTS], got[LATENTS], image[SIDE * SIDE * 3];
    latent_open_images(&f);
    f.options.mirrors = true;
    f.options.halves = _i;
    struct latent_set *set = latent_open(&f);
    ck_assert_int_eq(f.toy.calls, 2 * COUNT);
    for (int index = 0; index < COUNT; index++)
        for (int mirrored = 0; mirrored < 2; mirrored++) {
            struct dataset_item item = dataset_at(f.images, index);
            ck_assert_int_eq(item.index, index);
            item.flip = mirrored;
            dataset_item_values(f.images, &item, image);
            toy_encode(&f.toy, image, want, deviations);
            for (int i = 0; i < LATENTS; i++)
                got[i] = (float)i - 6;
            latent_set_sample(set, index, mirrored, got);
            for (int i = 0; i < LATENTS; i++) {
                float x = (want[i] + deviations[i] * ((float)i - 6) - 0.5f) * 2;
                ck_assert(!(fabsf(got[i] - x) > (_i ? 2e-3f : 0)));
            }
        }
    latent_set_close(set);
    dataset_close(f.images);
}
END_TEST

START_TEST(a_file_is_made_once)
{
    struct dataset_options options = options_for(SIDE, SIDE);
    struct latent_fixture f;
    latent_open_images(&f);
    ck_assert_int_eq(latent_calls(&f), COUNT);
    ck_assert_int_eq(latent_calls(&f), 0);
    f.options.vae = 8;
    ck_assert_int_eq(latent_calls(&f), COUNT);
    dataset_close(f.images);
    latent_draw_image(COUNT - 1, 70); /* another image among as many */
    f.images = open_with(&options);
    f.options.images = f.images;
    ck_assert_int_eq(latent_calls(&f), COUNT);
    ck_assert_int_eq(latent_calls(&f), 0);
    f.options.halves = true;
    ck_assert_int_eq(latent_calls(&f), COUNT);
    f.options.mirrors = true;
    ck_assert_int_eq(latent_calls(&f), 2 * COUNT);
    ck_assert_int_eq(latent_calls(&f), 0);
    f.places.cache_dir = NULL; /* nowhere to be kept */
    ck_assert_int_eq(latent_calls(&f), 2 * COUNT);
    dataset_close(f.images);
}
END_TEST

/* Any byte that changes, and a file that is too short. */
START_TEST(a_damaged_file_is_made_again)
{
    struct latent_fixture f;
    char path[512] = "";
    latent_open_images(&f);
    ck_assert_int_eq(latent_calls(&f), COUNT);
    DIR *dir = opendir(f.dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strncmp(entry->d_name, "latents-2x2-", 12) == 0)
            snprintf(path, sizeof path, "%s/%s", f.dir, entry->d_name);
    closedir(dir);
    const off_t places[] = {3, 20, 4096, 4096 + COUNT * LATENTS * 4 + 9,
                            4096 + COUNT * LATENTS * 8 + 2};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char byte;
        int fd = open(path, O_RDWR);
        ck_assert_int_eq(pread(fd, &byte, 1, places[i]), 1);
        byte ^= 1;
        ck_assert_int_eq(pwrite(fd, &byte, 1, places[i]), 1);
        close(fd);
        ck_assert_int_eq(latent_calls(&f), COUNT);
        ck_assert_int_eq(latent_calls(&f), 0);
    }
    ck_assert_int_eq(truncate(path, 5000), 0);
    ck_assert_int_eq(latent_calls(&f), COUNT);
    dataset_close(f.images);
}
END_TEST

START_TEST(latents_that_are_no_numbers_are_refused)
{
    struct latent_fixture f;
    struct latent_set *set;
    latent_open_images(&f);
    f.toy.deviation = INFINITY;
    ck_assert_int_eq(latent_set_open(&set, &f.options, &f.places), ERR_DATA);
    ck_assert_ptr_null(set);
    f.toy.deviation = 70000; /* a float, but no half */
    f.options.halves = true;
    ck_assert_int_eq(latent_set_open(&set, &f.options, &f.places), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "diffusion.latents=f32"));
    f.options.halves = false;
    latent_set_close(latent_open(&f));
    dataset_close(f.images);
}
END_TEST

static bool latent_stop(void)
{
    return true;
}

START_TEST(a_stop_leaves_no_file)
{
    struct latent_fixture f;
    struct latent_set *set;
    latent_open_images(&f);
    f.options.stop_requested = latent_stop;
    ck_assert_int_eq(latent_set_open(&set, &f.options, &f.places), ERR_STOPPED);
    f.options.stop_requested = NULL;
    ck_assert_int_eq(latent_calls(&f), COUNT);
    dataset_close(f.images);
}
END_TEST

/* ---- the autoencoder ---- */

enum { CODEC_H = 24, CODEC_W = 16, CODEC_IMAGE = CODEC_H * CODEC_W * 3 };

/* One of the networks at work on whole images, in memory of its own. */
static void network_run(const struct kl_folder *vae, bool decoder, struct device *device,
                        const float *input, float *output)
{
    struct net net = {.layer_count = 0};
    struct kl_bands bands;
    struct plan *plan = plan_create();
    int factor = kl_factor(&vae->config);
    MUST(decoder ? kl_build_decoder(&net, &vae->config, CODEC_H / factor, CODEC_W / factor)
                 : kl_build_encoder(&net, &vae->config, CODEC_H, CODEC_W));
    float *weights = formula_floats(net.floats);
    int last = net.layer_count - 1;
    MUST(kl_folder_load(vae, &net, weights));
    MUST(kl_bands_declare(&bands, &net, 0, device, 0, plan));
    MUST(plan_commit(plan, device));
    bands.parameters = weights;
    memcpy(bands.value[0], input, net_bytes(&net, 0));
    MUST(kl_bands_run(&bands));
    memcpy(output, bands.value[last], net_bytes(&net, last));
    plan_free(plan);
    kl_bands_close(&bands);
    net_free(&net);
    free(weights);
}

/* As the networks have it by themselves, in phases behind others whose bytes it shares. The second
 * autoencoder's latents are as large as its images. */
START_TEST(a_part_of_a_plan_makes_the_same)
{
    enum { CHANNELS = 3 };
    static float image[CODEC_IMAGE], back[CODEC_IMAGE], other[CODEC_IMAGE],
        moments[2 * CODEC_IMAGE], means[CODEC_IMAGE], deviations[CODEC_IMAGE], z[CODEC_IMAGE],
        unscaled[CODEC_IMAGE];
    bool much = _i % 2, wide = _i / 2;
    struct kl_config config = tiny_vae_config(CHANNELS);
    struct device *device;
    struct kl_folder vae;
    struct latent_codec codec;
    struct plan *plan = plan_create();
    char path[96];
    void *step;
    int rows;
    if (wide) config.levels = 1;
    size_t numbers = CODEC_IMAGE / (size_t)(kl_factor(&config) * kl_factor(&config));
    snprintf(path, sizeof path, "%s/vae.safetensors", folder);
    tiny_vae_write_file(path, &config);
    MUST(device_open(&device, "cpu", 2));
    MUST(kl_folder_open(&vae, path));
    formula_fill(image, CODEC_IMAGE, "image", 1, 0);
    network_run(&vae, false, device, image, moments);
    for (size_t i = 0; i < numbers; i++) {
        z[i] = (moments[i + i / CHANNELS * CHANNELS] + 0.25f) * 1.5f;
        unscaled[i] = z[i] / 1.5f - 0.25f;
    }
    network_run(&vae, true, device, unscaled, other);
    size_t before = device->used_bytes, bytes = (size_t)1 << (much ? 20 : 8);
    MUST(plan_declare(plan, "step", PLAN_ACTIVATIONS, bytes, 0, 3, &step));
    MUST(plan_declare(plan, "sums", PLAN_WORKSPACE, bytes, 0, 3, NULL));
    MUST(plan_layout(plan));
    MUST(latent_codec_choose_rows(&vae, CODEC_H, CODEC_W, true, device, plan, &rows));
    ck_assert_int_eq(rows, much ? 0 : 8);
    MUST(latent_codec_declare(&codec, &vae, CODEC_H, CODEC_W, true, rows, device, 4, plan));
    MUST(plan_commit(plan, device));
    if (much) ck_assert_uint_eq(device->used_bytes - before, 2 * bytes);
    for (int twice = 0; twice < 2; twice++) {
        memset(step, 7, bytes);
        MUST(latent_codec_begin(&codec, false));
        MUST(latent_codec_encode(&codec, image, means, twice ? NULL : deviations));
        for (size_t i = 0; i < numbers; i++) {
            const float *mean = moments + i + i / CHANNELS * CHANNELS;
            ck_assert(!(fabsf(means[i] - *mean) > 0));
            ck_assert(!(fabsf(deviations[i] - expf(0.5f * mean[CHANNELS])) > 0));
        }
        memset(step, 9, bytes);
        MUST(latent_codec_begin(&codec, true));
        MUST(latent_codec_decode(&codec, z, back));
        ck_assert_mem_eq(back, other, sizeof back);
    }
    plan_free(plan);
    latent_codec_close(&codec);
    kl_folder_close(&vae);
    device_close(device);
}
END_TEST

START_TEST(sizes_that_it_cannot_take_are_refused)
{
    const struct kl_config config = tiny_vae_config(3);
    struct device *device;
    struct kl_folder vae;
    struct latent_codec codec;
    struct plan *plan = plan_create();
    char path[96];
    snprintf(path, sizeof path, "%s/vae.safetensors", folder);
    tiny_vae_write_file(path, &config);
    MUST(device_open(&device, "cpu", 1));
    MUST(kl_folder_open(&vae, path));
    ck_assert_int_eq(
        latent_codec_declare(&codec, &vae, CODEC_H, CODEC_W - 1, true, 0, device, 0, plan),
        ERR_CONFIG);
    latent_codec_close(&codec);
    plan_free(plan);
    kl_folder_close(&vae);
    device_close(device);
}
END_TEST

Suite *latent_test_suite(void)
{
    Suite *suite = suite_create("latent_test");
    TCase *tests = tcase_create("latents");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_loop_test(tests, samples_are_what_the_file_says, 0, 2);
    tcase_add_test(tests, a_file_is_made_once);
    tcase_add_test(tests, a_damaged_file_is_made_again);
    tcase_add_test(tests, latents_that_are_no_numbers_are_refused);
    tcase_add_test(tests, a_stop_leaves_no_file);
    tcase_add_loop_test(tests, a_part_of_a_plan_makes_the_same, 0, 4);
    tcase_add_test(tests, sizes_that_it_cannot_take_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
