/* Latents of a data set: what an encoder makes of each image, kept in a file that is made once; and
 * the autoencoder as a part of another plan. */
#include "data/cache_file.h"
#include "device/device.h"
#include "diffusion/latent/latent_codec.h"
#include "diffusion/latent/latent_set.h"
#include "diffusion/vae/kl_codec.h"
#include "diffusion/vae/kl_file.h"
#include "memory/plan.h"
#include "nn/weights_file.h"
#include "s3dit_fixture.h"
#include "store/safetensors.h"
#include "test/data/data_folder.h"

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

static void latent_open_images(struct latent_fixture *f)
{
    struct dataset_options options = options_for(SIDE, SIDE);
    *f = (struct latent_fixture){.toy = {.factor = 1, .deviation = 0.25f}};
    snprintf(f->dir, sizeof f->dir, "%s/latents", folder);
    for (int i = 0; i < COUNT; i++) { /* left and right differ */
        char name[120];
        struct image image;
        snprintf(name, sizeof name, "%s/%03d.png", folder, i);
        MUST(image_create(&image, SIDE, SIDE, 3, SAMPLE_U8));
        for (int k = 0; k < SIDE * SIDE * 3; k++)
            ((uint8_t *)image.data)[k] = (uint8_t)(k / 3 % SIDE * 60 + i);
        MUST(image_save(&image, name));
        image_free(&image);
    }
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
    struct latent_fixture f;
    latent_open_images(&f);
    ck_assert_int_eq(latent_calls(&f), COUNT);
    ck_assert_int_eq(latent_calls(&f), 0);
    f.options.vae = 8;
    ck_assert_int_eq(latent_calls(&f), COUNT);
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

static const struct kl_config latent_config = {.levels = 2,
                                               .widths = {8, 16},
                                               .resnets = 1,
                                               .latent_channels = 3,
                                               .groups = 2,
                                               .attention = true,
                                               .scaling = 1.5,
                                               .shift = -0.25};

static void latent_write_vae(char *path, size_t room)
{
    struct net net = {.layer_count = 0};
    struct store_writer *writer = store_writer_create();
    int moments;
    snprintf(path, room, "%s/vae.safetensors", folder);
    MUST(kl_build_training(&net, &latent_config, 2, 2, &moments));
    float *parameters = formula_floats(net.floats);
    for (int i = 0; i < net.parameter_count; i++)
        formula_fill(parameters + net.parameters[i].offset, net.parameters[i].count,
                     net.parameters[i].name, 0.2, 0);
    MUST(kl_store_config(writer, &latent_config));
    MUST(weights_store(writer, "", &net, parameters));
    MUST(store_write(writer, path, false));
    store_writer_free(writer);
    free(parameters);
    net_free(&net);
}

/* As kl_codec has it, in phases behind others whose bytes it shares. */
START_TEST(a_part_of_a_plan_makes_the_same)
{
    static float image[CODEC_IMAGE], back[CODEC_IMAGE], other[CODEC_IMAGE];
    enum { SMALL = CODEC_IMAGE / 4 };
    float means[SMALL], deviations[SMALL], want[SMALL], want_deviations[SMALL], z[SMALL];
    struct device *device;
    struct kl_codec *whole;
    struct kl_folder vae;
    struct latent_codec codec;
    struct plan *plan = plan_create();
    char path[96];
    void *step;
    int rows;
    latent_write_vae(path, sizeof path);
    MUST(device_open(&device, "cpu", 2));
    MUST(kl_codec_open(&whole, path, device));
    MUST(kl_folder_open(&vae, path));
    formula_fill(image, CODEC_IMAGE, "image", 1, 0);
    MUST(kl_codec_encode(whole, image, CODEC_H, CODEC_W, want, want_deviations));
    MUST(kl_codec_decode(whole, want, CODEC_H / 2, CODEC_W / 2, 0, other));
    kl_codec_close(whole);
    size_t before = device->used_bytes, bytes = (size_t)1 << (_i ? 20 : 8);
    MUST(plan_declare(plan, "step", PLAN_ACTIVATIONS, bytes, 0, 3, &step));
    MUST(plan_declare(plan, "sums", PLAN_WORKSPACE, bytes, 0, 3, NULL));
    MUST(plan_layout(plan));
    MUST(latent_codec_choose_rows(&vae, CODEC_H, CODEC_W, true, device, plan, &rows));
    ck_assert_int_eq(rows, _i ? 0 : 8);
    MUST(latent_codec_declare(&codec, &vae, CODEC_H, CODEC_W, true, rows, device, 4, plan));
    MUST(plan_commit(plan, device));
    if (_i) ck_assert_uint_eq(device->used_bytes - before, 2 * bytes);
    for (int twice = 0; twice < 2; twice++) {
        memset(step, 7, bytes);
        MUST(latent_codec_begin(&codec, false));
        MUST(latent_codec_encode(&codec, image, means, deviations));
        for (int i = 0; i < SMALL; i++) {
            z[i] = (means[i] + 0.25f) * 1.5f;
            ck_assert(!(fabsf(deviations[i] * 1.5f - want_deviations[i]) > 0));
        }
        ck_assert_mem_eq(z, want, sizeof z);
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
    tcase_add_loop_test(tests, a_part_of_a_plan_makes_the_same, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
