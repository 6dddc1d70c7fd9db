/* The self-check of a device, with kernels of the emulator that do not do all of their work: each
 * is found, the CPU takes over or the error says which operation was off, and what was found is
 * kept. */
#include "check/op_kinds.h"
#include "check/self_check.h"
#include "diffusion/diffusion.h"
#include "diffusion/vae/vae.h"
#include "gan/gan.h"
#include "registry/device_check.h"
#include "registry/devices.h"
#include "splat/splat.h"
#include "sr/sr.h"
#include "task/task.h"
#include "test/cuda/cuda_ops.h"

Suite *cuda_self_check_suite(void);

#ifdef CUDA_EMU

#include "cuda_emu/emu_counts.h"
#include "device/conv_library.h"

#include <dirent.h>
#include <sys/stat.h>

static struct emu_counts begin;

/* Not the user's; the check takes the time it takes, however busy the machine. */
static char *cache_new(char *cache)
{
    strcpy(cache, "/tmp/imgtrain-check-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(cache));
    setenv("XDG_CACHE_HOME", cache, 1);
    setenv("IMGTRAIN_SELF_CHECK", "all", 1);
    return cache;
}

static void cache_remove(const char *cache)
{
    char command[128];
    snprintf(command, sizeof command, "chmod -R u+w %s; rm -rf %s", cache, cache);
    ck_assert_int_eq(system(command), 0);
}

/* Files of results, and the path of one. */
static int cache_files(const char *cache, char *path, size_t room)
{
    char sub[64];
    int count = 0;
    snprintf(sub, sizeof sub, "%s/imgtrain/self-check", cache);
    DIR *dir = opendir(sub);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        count++;
        if (path) snprintf(path, room, "%s/%s", sub, e->d_name);
    }
    if (dir) closedir(dir);
    return count;
}

/* Kernels launched by the last opening. */
static long long launched(void)
{
    return emu_counts_since(&begin).launches;
}

static int open_for(struct device **device, const struct task *task, const char *spec)
{
    const struct device_use use = {.task = task, .spec = spec, .threads = 1, .half = true};
    begin = emu_counts_now();
    return device_open_for(device, &use);
}

static void opens(const struct task *task, bool checked)
{
    struct device *device;
    MUST(open_for(&device, task, "cuda"));
    ck_assert(!device->is_host);
    ck_assert_int_eq(launched() > 0, checked);
    ck_assert_uint_eq(device->used_bytes, 0);
    ck_assert_uint_eq(device->peak_bytes, 0);
    ck_assert_uint_eq(device->host_peak_bytes, 0);
    device_close(device);
}

/* A check that fails at its first case, which takes less than one that passes. */
static const char *const early_kernel = "render_kernel"; /* of task_splat */

static void fails_early(bool checked)
{
    struct device *device;
    ck_assert_int_eq(open_for(&device, &task_splat, "cuda"), ERR_DEVICE);
    ck_assert_int_eq(launched() > 0, checked);
    ck_assert_msg(strstr(error_message(), "self-check: splat.step") != NULL, "%s", error_message());
}

/* One or more of each family of operations, and the operation that is off by it. */
static const struct {
    const char *kernel;
    const struct task *task;
    const char *operation;
} faults[] = {
    {"point_f32", &task_gan, "conv_forward"},
    {"group_wgrad_f32", &task_gan, "conv_wgrad"},
    {"image_sums_add", &task_gan, "bias_grad"},
    {"fir_down_kernel", &task_gan, "fir_down"},
    {"spatial_map_expand_kernel", &task_gan, "spatial_map_expand"},
    {"cuda_adam_kernel", &task_gan, "adam"},
    {"adjoint_kernel", &task_gan, "augment_adjoint"},
    {"pair_loss_kernel", &task_gan, "pair_loss"},
    {"strided_copy_kernel", &task_gan, "strided_copy"},
    {"image_loss_kernel", &task_gan, "image_loss"},
    {"render_kernel", &task_splat, "splat.step"},
    {"gather_kernel", &task_splat, "splat.step"},
    {"cuda_splat_adam_adam_kernel", &task_splat, "splat.adam"},
    {"quantize_kernel", &task_splat, "splat.fake_quantize"},
    {"rates_kernel", &task_splat, "splat.train"},
    {"place_kernel", &task_splat, "splat.sample"},
    {"rest_kernel", &task_splat, "splat.sample"},
    {"dense_kernel", &task_sr, "conv_forward"},
    {"prelu_dgrad_kernel", &task_sr, "prelu_dgrad"},
    {"norm_row_sums", &task_vae, "group_norm_sums"},
    {"latent_kernel", &task_vae, "latent_sample"},
    {"linear_kernel", &task_diffusion, "linear_forward"},
    {"attention_forward_kernel", &task_diffusion, "attention_forward"},
};
enum { FAULTS = sizeof faults / sizeof *faults, FIRST_SPLAT = 10, FIRST_SR = 17 };

START_TEST(a_faulty_kernel_is_found_and_remembered)
{
    char cache[64], line[600];
    struct device *device;
    const struct task *task = faults[_i].task;
    cache_new(cache);
    emu_spoil(faults[_i].kernel);
    ck_assert_int_eq(open_for(&device, task, "cuda"), ERR_DEVICE);
    ck_assert_ptr_null(device);
    ck_assert_int_gt(launched(), 0);
    snprintf(line, sizeof line, "%s", error_message());
    ck_assert_msg(strstr(line, "device cuda: cuda:0: emulated GPU fails its self-check: ") == line,
                  "%s", line);
    ck_assert_msg(strstr(line, faults[_i].operation) != NULL, "%s", line);
    ck_assert_msg(strstr(line, "is allowed") != NULL, "%s", line);

    /* Known from now on: the same words, and not one kernel. */
    ck_assert_int_eq(open_for(&device, task, "cuda"), ERR_DEVICE);
    ck_assert_str_eq(error_message(), line);
    ck_assert_int_eq(launched(), 0);
    MUST(open_for(&device, task, "auto"));
    ck_assert(device->is_host);
    ck_assert_int_eq(launched(), 0);
    device_close(device);

    /* Also where auto is the first to find it: of one fault, as it takes its time. */
    if (_i > 0) {
        cache_remove(cache);
        return;
    }
    cache_remove(cache);
    cache_new(cache);
    MUST(open_for(&device, task, "auto"));
    ck_assert(device->is_host);
    ck_assert_int_gt(launched(), 0);
    device_close(device);
    cache_remove(cache);
}
END_TEST

START_TEST(what_passed_is_kept)
{
    static const struct task *const tasks[] = {&task_gan, &task_splat};
    char cache[64];
    cache_new(cache);
    for (int i = 0; i < 2; i++) {
        opens(tasks[i], true);
        opens(tasks[i], false);
        ck_assert_int_eq(cache_files(cache, NULL, 0), i + 1);
    }
    setenv("IMGTRAIN_EMU", "capability=75", 1); /* another GPU */
    emu_spoil(early_kernel);
    fails_early(true);
    cache_remove(cache);
}
END_TEST

static void write_bytes(const char *path, const char *mode, const char *text)
{
    FILE *file = fopen(path, mode);
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

START_TEST(a_damaged_result_is_found_anew)
{
    static const char *const texts[] = {"", "imgtrain self-check 1\n", "\xff\xfe nonsense"};
    char cache[64], path[512];
    char command[640];
    cache_new(cache);
    emu_spoil(early_kernel);
    fails_early(true);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(cache_files(cache, path, sizeof path), 1);
        write_bytes(path, i < 3 ? "w" : "a", i < 3 ? texts[i] : "more\n");
        fails_early(true);
        fails_early(false);
    }
    /* `passed` is not made of a `failed` by hand alone */
    emu_spoil(NULL);
    snprintf(command, sizeof command, "sed -i s/^failed$/passed/ %s", path);
    ck_assert_int_eq(system(command), 0);
    opens(&task_splat, true);
    cache_files(cache, path, sizeof path);
    write_bytes(path, "a", "more\n");
    emu_spoil(early_kernel);
    fails_early(true);
    cache_remove(cache);
}
END_TEST

START_TEST(without_a_cache_it_checks_each_time)
{
    char cache[64], sub[96];
    cache_new(cache);
    snprintf(sub, sizeof sub, "%s/file", cache);
    write_bytes(sub, "w", "no folder\n");
    setenv("XDG_CACHE_HOME", sub, 1);
    opens(&task_splat, true);
    emu_spoil(early_kernel);
    fails_early(true);
    fails_early(true);
    setenv("XDG_CACHE_HOME", "relative", 1); /* counts as none */
    setenv("HOME", cache, 1);
    fails_early(true);
    fails_early(false);
    ck_assert_int_ne(access("relative", F_OK), 0);
    unsetenv("XDG_CACHE_HOME");
    fails_early(false);
    unsetenv("HOME");
    fails_early(true);
    fails_early(true);
    setenv("IMGTRAIN_SELF_CHECK", "0", 1);
    opens(&task_splat, false);
    cache_remove(cache);
}
END_TEST

/* A kernel that takes the device with it is a failure of its operation; the CPU goes on. */
START_TEST(a_crash_is_a_failure)
{
    char cache[64];
    struct device *device;
    cache_new(cache);
    setenv("IMGTRAIN_EMU", "crash=fir_up_kernel", 1);
    MUST(open_for(&device, &task_gan, "auto"));
    ck_assert(device->is_host);
    device_close(device);
    ck_assert_int_eq(open_for(&device, &task_gan, "cuda"), ERR_DEVICE); /* it is lost */
    cache_remove(cache);
}
END_TEST

START_TEST(a_crash_names_its_operation)
{
    char cache[64];
    struct device *device;
    cache_new(cache);
    setenv("IMGTRAIN_EMU", "crash=fir_up_kernel", 1);
    ck_assert_int_eq(open_for(&device, &task_gan, "cuda"), ERR_DEVICE);
    ck_assert_msg(strstr(error_message(), "fir_up 2x5x3x70") != NULL, "%s", error_message());
    ck_assert_msg(strstr(error_message(), "illegal memory access") != NULL, "%s", error_message());
    cache_remove(cache);
}
END_TEST

/* Where it does not fit into memory.limit, nothing is known, and nothing fails. */
START_TEST(it_keeps_within_the_limit)
{
    char cache[64];
    const struct device_use use = {.task = &task_splat, .spec = "cuda", .limit = 1000};
    struct device *device;
    cache_new(cache);
    MUST(device_open_for(&device, &use));
    ck_assert(!device->is_host);
    ck_assert_uint_eq(device->limit_bytes, 1000);
    ck_assert_uint_eq(device->used_bytes, 0);
    device_close(device);
    ck_assert_int_eq(cache_files(cache, NULL, 0), 0);
    cache_remove(cache);
}
END_TEST

/* All of it, by hand, takes the place of what was known. */
START_TEST(all_of_it_anew)
{
    char cache[64];
    struct device *device;
    const struct self_check check = {.half = true}; /* the whole of it: test/cli/self_check.sh */
    cache_new(cache);
    emu_spoil("quantize_kernel");
    ck_assert_int_eq(open_for(&device, &task_splat, "cuda"), ERR_DEVICE);
    emu_spoil(NULL);
    ck_assert_int_eq(open_for(&device, &task_splat, "cuda"), ERR_DEVICE);
    MUST(device_open(&device, "cuda", 1));
    MUST(device_check_all(device, &check));
    device_close(device);
    opens(&task_splat, false);
    opens(&task_gan, false);
    emu_spoil("render_kernel"); /* one task's */
    MUST(device_open(&device, "cuda", 1));
    ck_assert_int_eq(device_check_all(device, &check), ERR_DEVICE);
    device_close(device);
    opens(&task_gan, false);
    ck_assert_int_eq(open_for(&device, &task_splat, "cuda"), ERR_DEVICE);
    ck_assert_int_eq(launched(), 0);
    cache_remove(cache);
}
END_TEST

/* ---- every kernel ---- */

/* Those of the case at hand, and which of all that were launched so far a check has found. */
static struct kernel_list {
    char name[160][64];
    bool found[160];
    int count;
} of_case, of_all;

static int kernel_list_add(struct kernel_list *list, const char *name)
{
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->name[i], name) == 0) return i;
    ck_assert_int_lt(list->count, 160);
    snprintf(list->name[list->count], sizeof list->name[0], "%s", name);
    return list->count++;
}

static void note_launch(const char *kernel)
{
    kernel_list_add(&of_case, kernel);
}

/* Whether the case fails on a device whose memory holds nothing of earlier runs, in either order of
 * blocks and threads (a list that is not sorted may have been in order). */
static bool fault_is_found(const struct op_truth *truth, const char *kernel)
{
    bool found = false;
    emu_spoil(kernel);
    for (int reverse = 0; reverse < 2 && !found; reverse++) {
        struct device *device;
        emu_grid_order(reverse);
        MUST(device_open(&device, "cuda", 1));
        found = op_truth_check(truth, device, 0, NULL) < 0;
        device_close(device);
    }
    emu_grid_order(false);
    emu_spoil(NULL);
    return found;
}

/* Runs the case as it is, then with a fault in each of its kernels that was not found yet. */
static void spoil_kernels_of(const struct op_case *c)
{
    struct op_truth truth;
    struct device *device;
    of_case.count = 0;
    MUST(op_truth_make(&truth, c));
    MUST(device_open(&device, "cuda", 1));
    bool there = op_kind_is_there(c->kind, device);
    emu_on_launch(note_launch);
    if (there) MUST(op_truth_check(&truth, device, 0, NULL));
    emu_on_launch(NULL);
    device_close(device);
    for (int i = 0; i < of_case.count; i++) {
        int k = kernel_list_add(&of_all, of_case.name[i]);
        if (!of_all.found[k]) of_all.found[k] = fault_is_found(&truth, of_all.name[k]);
    }
    op_truth_free(&truth);
}

/* By the part of a check that is made however slow the GPU is. */
START_TEST(a_fault_in_any_kernel_is_found)
{
    for (int k = 0; op_kinds[k]; k++)
        for (int i = 0; i < op_kinds[k]->cases; i++) {
            struct op_case c;
            if (self_check_part(i) != 0) continue;
            op_case_make(&c, op_kinds[k], i);
            if (!c.large && (!op_kinds[k]->is_quick || op_kinds[k]->is_quick(&c)))
                spoil_kernels_of(&c);
        }
    /* It puts what is in no order into one: the same sums, but for rounding. That each run makes
     * the same bits is for cuda_nn to see. */
    of_all.found[kernel_list_add(&of_all, "sort_kernel")] = true;
    for (int k = 0; k < of_all.count; k++)
        ck_assert_msg(of_all.found[k], "no case sees a fault in %s", of_all.name[k]);
    ck_assert_int_ge(of_all.count, 120);
}
END_TEST

/* ---- convolutions by a library ---- */

static bool library_is_used(const char *words, bool checked)
{
    struct device *device;
    bool used;
    setenv("IMGTRAIN_CUDNN", FAKE_CUDNN, 1);
    setenv("FAKE_CUDNN", words, 1);
    MUST(open_for(&device, &task_gan, "cuda"));
    begin = emu_counts_now();
    MUST(conv_library_open(device, CONV_AUTO, false, "conv: cudnn", &used));
    ck_assert_int_eq(launched() > 0, checked);
    ck_assert_uint_eq(device->used_bytes, 0);
    ck_assert_uint_eq(device->peak_bytes, 0);
    device_close(device);
    return used;
}

START_TEST(a_library_is_checked)
{
    char cache[64];
    cache_new(cache);
    ck_assert(!library_is_used("wrong", true));
    ck_assert(!library_is_used("wrong", false)); /* known */
    ck_assert(!library_is_used("", false));
    cache_remove(cache);
    cache_new(cache);
    ck_assert(library_is_used("", true));
    ck_assert(library_is_used("", false));
    cache_remove(cache);
}
END_TEST

Suite *cuda_self_check_suite(void)
{
    Suite *suite = suite_create("cuda_self_check");
    TCase *tests = tcase_create("self_check");
    /* Each runs the same code up to its kernel: under a sanitizer those of splats alone. */
    bool few = getenv("SKIP_SLOW");
    tcase_add_loop_test(tests, a_faulty_kernel_is_found_and_remembered, few ? FIRST_SPLAT : 0,
                        few ? FIRST_SR : FAULTS);
    tcase_add_test(tests, what_passed_is_kept);
    tcase_add_test(tests, a_damaged_result_is_found_anew);
    tcase_add_test(tests, without_a_cache_it_checks_each_time);
    tcase_add_test(tests, a_crash_is_a_failure);
    tcase_add_test(tests, a_crash_names_its_operation);
    tcase_add_test(tests, it_keeps_within_the_limit);
    if (!few) {
        tcase_add_test(tests, all_of_it_anew);
        tcase_add_test(tests, a_library_is_checked);
    }
    suite_add_tcase(suite, tests);
    if (SANITIZED) { /* lists that a faulty kernel leaves lead beyond the ends of others */
        test_skip("cuda_self_check any_kernel",
                  "a sanitizer ends the process at what faults cause");
        return suite;
    }
    tests = tcase_create("any_kernel");
    tcase_add_test(tests, a_fault_in_any_kernel_is_found);
    suite_add_tcase(suite, tests);
    return suite;
}

#else

Suite *cuda_self_check_suite(void)
{
    test_skip("cuda_self_check", "only the emulator has kernels with faults");
    return suite_create("cuda_self_check");
}

#endif
