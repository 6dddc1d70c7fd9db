/* Whole runs on the emulated GPU in which one call of the CUDA runtime fails: each ends well, by
 * way of the ladder or the last checkpoint, or with an error of its own and its last checkpoint
 * intact, from which it goes on to the same bits as an unbroken run. */
#include "test/cuda/cuda_ops.h"

Suite *cuda_faults_suite(void);

#ifdef CUDA_EMU
#include "config/config.h"
#include "device/device.h"
#include "image/image.h"
#include "registry/devices.h"
#include "run/signals.h"
#include "run/train.h"
#include "run/train_request.h"
#include "splat/splat.h"
#include "test/child.h"
#include "test/support.h"

/* A picture, and what the run sets besides. */
struct run_case {
    const char *name;
    int width, height;
    const char *settings;
};

static const struct run_case cases[] = {
    {"graphs", 9, 11, "num_gaussians: 12\nmax_steps: 7\nmemory: {level: auto}\n"},
    {"bands and offload", 3, 600, "num_gaussians: 80\nmax_steps: 4\nmemory: {level: 4}\n"},
};

static const char *const kinds[] = {"oom_call", "fail_call", "lose_call"};

static void make_picture(const struct run_case *c)
{
    struct image image;
    ck_assert_int_eq(image_create(&image, c->width, c->height, 3, SAMPLE_U8), OK);
    for (int i = 0; i < c->width * c->height * 3; i++)
        ((uint8_t *)image.data)[i] = (uint8_t)(120 + 90 * sinf(0.05f * (float)i));
    ck_assert_int_eq(image_save(&image, in_folder("a.png")), OK);
    image_free(&image);
}

static int train_here(const struct run_case *c, const char *dir)
{
    char text[1024], path[256];
    struct config *config;
    snprintf(text, sizeof text,
             "task: splat\ndevice: cuda\ninput_path: \"%s\"\nuse_amp: false\n"
             "deterministic: true\neval_steps: 3\ncheckpoint: {every: 2}\nframes: {count: 0}\n"
             "video: {enabled: false}\n%s",
             in_folder("a.png"), c->settings);
    snprintf(path, sizeof path, "%s", in_folder(dir));
    TRY(config_load_text(&config, "test", text, strlen(text), 0, NULL));
    struct device *device = NULL;
    int code = device_open(&device, config->device, (int)config->threads);
    const struct train_request request = {.config = config,
                                          .task = &task_splat,
                                          .device = device,
                                          .run_dir = path,
                                          .name = "a",
                                          .resume = true,
                                          .quiet = true};
    if (code == OK) code = train_run(&request);
    device_close(device);
    config_free(config);
    return code;
}

/* A run in a process of its own, which reads `machine` as IMGTRAIN_EMU. Returns its code; `calls`:
 * how many it made that could fail. */
static int train_apart(const struct run_case *c, const char *dir, const char *machine,
                       long long *calls)
{
    struct {
        long long calls;
        int code;
    } answer = {0, ERR_INTERNAL};
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    struct child child = child_fork();
    if (child.pid == 0) {
        if (!freopen("/dev/null", "w", stdout)) _exit(1); /* what a run prints */
        setenv("IMGTRAIN_EMU", machine, 1);
        signals_install();
        answer.code = train_here(c, dir);
        answer.calls = emu_calls();
        _exit(write(ends[1], &answer, sizeof answer) != (ssize_t)sizeof answer);
    }
    close(ends[1]);
    int status = child_status(child); /* the pipe has room for the answer */
    if (status != 0) child_tell_words(child);
    ck_assert_msg(status == 0 && read(ends[0], &answer, sizeof answer) == (ssize_t)sizeof answer,
                  "%s, %s: status %d", c->name, machine, status);
    close(ends[0]);
    if (calls) *calls = answer.calls;
    return answer.code;
}

static size_t read_model(const char *dir, uint8_t *bytes, size_t room)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s/model.safetensors", folder, dir);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    size_t got = fread(bytes, 1, room, file);
    fclose(file);
    ck_assert(got > 0 && got < room);
    return got;
}

/* The run in which call k fails, and what it left. */
static void expect_survival(const struct run_case *c, const char *kind, long long k,
                            const uint8_t *model, size_t bytes)
{
    static uint8_t got[1 << 20];
    char machine[64], dir[64];
    snprintf(machine, sizeof machine, "%s=%lld", kind, k);
    snprintf(dir, sizeof dir, "%s-%lld", kind, k);
    int code = train_apart(c, dir, machine, NULL);
    ck_assert_msg(code == OK || code == ERR_DEVICE || code == ERR_DEVICE_MEMORY ||
                      code == ERR_SYSTEM,
                  "%s, %s: code %d", c->name, machine, code);
    if (code != OK) code = train_apart(c, dir, "", NULL);
    ck_assert_msg(code == OK, "%s, %s: resumed with code %d", c->name, machine, code);
    ck_assert_msg(read_model(dir, got, sizeof got) == bytes && memcmp(got, model, bytes) == 0,
                  "%s, %s: another model", c->name, machine);
}

START_TEST(any_call_may_fail)
{
    enum { FEW = 8 };
    static uint8_t model[1 << 20];
    const struct run_case *c = &cases[_i / 3];
    const char *kind = kinds[_i % 3];
    long long calls;
    set_up();
    make_picture(c);
    ck_assert_int_eq(train_apart(c, "whole", "", &calls), OK);
    size_t bytes = read_model("whole", model, sizeof model);
    long long step = getenv("SKIP_SLOW") ? calls / FEW + 1 : 1;
    for (long long k = 1 + _i % step; k <= calls; k += step)
        expect_survival(c, kind, k, model, bytes);
    folder_remove();
}
END_TEST

Suite *cuda_faults_suite(void)
{
    Suite *suite = suite_create("cuda_faults");
    const char *fork_mode = getenv("CK_FORK");
    if (fork_mode && strcmp(fork_mode, "no") == 0) {
        test_skip("cuda_faults", "each run needs a process of its own");
        return suite;
    }
    TCase *tests = tcase_create("faults");
    tcase_set_timeout(tests, 3600);
    tcase_add_loop_test(tests, any_call_may_fail, 0, 3 * (int)(sizeof cases / sizeof *cases));
    suite_add_tcase(suite, tests);
    return suite;
}
#else
Suite *cuda_faults_suite(void)
{
    test_skip("cuda_faults", "this build does not emulate CUDA (make emu-test)");
    return suite_create("cuda_faults");
}
#endif
