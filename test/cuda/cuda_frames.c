/* What a frame of a network in training asks of the device once one has been made before: no
 * memory, and no waits but for what the host has to see. (Those of splats: cuda_splat_frames.c.) */
#include "config/config.h"
#include "diffusion/diffusion.h"
#include "diffusion/vae/vae.h"
#include "gan/gan.h"
#include "image/image.h"
#include "sr/sr.h"
#include "task/task.h"
#include "test/cuda/cuda_ops.h"
#include "test/support.h"

Suite *cuda_frames_suite(void);

static const struct framed {
    const struct task *task;
    const char *data, *text;
    int passes;    /* of a frame: the host waits for what each puts out */
    int bytes_out; /* of a frame */
} framed[] = {
    {&task_gan, "data",
     "task: gan\n"
     "gan: {size: 16, widths: [16], images: 200, batch: 4, samples: 4, eval_samples: 0}\n",
     1, 4 * 16 * 16 * 3 * 4},
    {&task_vae, "data",
     "task: vae\n"
     "vae: {size: 16, base: 4, levels: 2, latent_channels: 4, images: 40, batch: 2, samples: 4}\n",
     2, 4 * 16 * 16 * 3 * 4},
    {&task_diffusion, "data",
     "task: diffusion\n"
     "diffusion: {size: 16, dim: 16, layers: 1, heads: 1, axes: [8, 4, 4], text_dim: 8, images: "
     "40,\n"
     "            batch: 4, samples: 2, sample_steps: 3}\n",
     3, 3 * 2 * 16 * 16 * 3 * 4},
    {&task_sr, "dataroot_gt",
     "task: sr\n"
     "sr: {scale: 2, num_feat: 16, num_conv: 1, lq_size: 16, batch: 2}\n",
     1, 48 * 48 * 3 * 4},
};

static void open_task(const struct framed *f, struct device *device, struct config **config,
                      struct task_state **state)
{
    struct task_report report = {0};
    char line[320], *override = line;
    draw_pictures("photos", 12, 48, 48);
    snprintf(line, sizeof line, "%s=%s", f->data, in_folder("photos"));
    MUST(config_load_text(config, "test", f->text, strlen(f->text), 1, &override));
    struct task_setup setup = {.config = *config, .device = device};
    MUST(f->task->open(state, &setup));
    for (int step = 0; step < 3; step++)
        MUST(f->task->step(*state, step, false, &report));
}

/* Made again, a frame is the same. */
START_TEST(frames_ask_for_little)
{
    const struct framed *f = &framed[_i];
    struct config *config;
    struct device *device;
    struct task_state *state = NULL;
    struct image first, again;
    MUST(cuda_open(&device));
    open_task(f, device, &config, &state);
    MUST(f->task->image(state, 0, &first));
#ifdef CUDA_EMU
    struct emu_counts before = emu_counts_now(), used;
#endif
    MUST(f->task->image(state, 0, &again));
#ifdef CUDA_EMU
    used = emu_counts_since(&before);
    expect_no_memory_calls(&used, "a frame");
    /* for the step before, and for each pass: every queue is a stream */
    ck_assert_int_eq(emu_waits(&used), DEVICE_QUEUES * (1 + f->passes));
    ck_assert_int_eq(used.queries, 0);
    ck_assert_int_eq(used.bytes_out, f->bytes_out);
#endif
    ck_assert_mem_eq(first.data, again.data, image_bytes(&first));
    image_free(&first);
    image_free(&again);
    f->task->close(state);
    device_close(device);
    config_free(config);
}
END_TEST

Suite *cuda_frames_suite(void)
{
    Suite *suite = suite_create("cuda_frames");
    if (!cuda_here("cuda_frames")) return suite;
    TCase *frames = tcase_create("frames");
    tcase_add_checked_fixture(frames, set_up, folder_remove);
    tcase_add_checked_fixture(frames, NULL, cuda_close_left);
    tcase_add_loop_test(frames, frames_ask_for_little, 0, sizeof framed / sizeof *framed);
    suite_add_tcase(suite, frames);
    return suite;
}
