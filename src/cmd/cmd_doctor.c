/* imgtrain doctor: what this machine and this build can do. */
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/log.h"
#include "base/threads.h"
#include "base/version.h"
#include "check/op_kinds.h"
#include "check/self_check.h"
#include "cmd/cmd.h"
#include "cmd/cuda_archs.h"
#include "cmd/options.h"
#include "cpu/isa.h"
#include "device/conv_library.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "image/image.h"
#include "registry/device_check.h"
#include "registry/devices.h"
#include "serve/serve.h"
#include "video/video.h"

#include <cjson/cJSON.h>
#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <utf8proc.h>
#include <yaml.h>
#include <zlib.h>

static void cmd_doctor_row(const char *name, const char *value)
{
    printf("%-12s %s\n", name, value);
}

/* Where free memory is not all the device's own. */
static void doctor_warn_of_spill(const char *name, struct device *device, int64_t free_bytes)
{
    int64_t fast;
    if (!device->fast_bytes) return;
    if (device->fast_bytes(device, &fast) < 0) {
        log_warning("%s: its memory could not be tried: %s", name, error_message());
        return;
    }
    if (fast < free_bytes)
        log_warning("%s: of %s that are free, only about %s are the device's own: what lies beyond "
                    "spills into the system's memory and is many times slower: set memory.limit",
                    name, format_bytes(free_bytes).text, format_bytes(fast).text);
}

static void print_device(const char *name, const char *spec)
{
    struct device *device = NULL;
    if (device_open(&device, spec, 0) < 0) {
        printf("%-12s no: %s\n", name, error_message());
        return;
    }
    int64_t free_bytes = device->free_bytes ? device->free_bytes(device) : -1;
    printf("%-12s %s, %s free\n", name, device->name, format_bytes(free_bytes).text);
    doctor_warn_of_spill(name, device, free_bytes);
    device_close(device);
}

static void print_libraries(void)
{
    printf("%-12s libpng %s, zlib %s, libyaml %s, cJSON %s, utf8proc %s (Unicode %s)\n",
           "libraries", png_get_libpng_ver(NULL), zlibVersion(), yaml_get_version_string(),
           cJSON_Version(), utf8proc_version(), utf8proc_unicode_version());
}

/* Code for one GPU runs on those of the same generation that are no older. */
static bool doctor_code_runs_on(const char *archs, long gpu)
{
    char *end;
    for (;; archs = end) {
        long arch = strtol(archs, &end, 10);
        if (end == archs) return false;
        if (arch / 10 == gpu / 10 && arch <= gpu) return true;
    }
}

static size_t doctor_add_gpu(struct doctor_text *t, size_t used, long gpu)
{
    if (used < sizeof t->text) snprintf(t->text + used, sizeof t->text - used, " sm_%ld", gpu);
    return strlen(t->text);
}

struct doctor_text doctor_cuda_code(const char *archs)
{
    /* Those that CUDA 13 knows; PTX of sm_80 is in every build, for all from there on. */
    static const int gpus[] = {80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121};
    struct doctor_text line = {"not built in"};
    char *end;
    if (strcmp(archs, "emu") == 0) return (struct doctor_text){"emulated"};
    if (strcmp(archs, "native") == 0)
        return (struct doctor_text){"built in: code for the GPU of the machine that built it; "
                                    "compiled at their first start: others from sm_80 on"};
    if (!*archs) return line;
    size_t used = (size_t)snprintf(line.text, sizeof line.text, "built in: code for");
    for (const char *at = archs;; at = end) {
        long gpu = strtol(at, &end, 10);
        if (end == at) break;
        used = doctor_add_gpu(&line, used, gpu);
    }
    int others = 0;
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++) {
        if (doctor_code_runs_on(archs, gpus[i])) continue;
        if (others++ == 0) {
            snprintf(line.text + used, sizeof line.text - used, "; compiled at their first start:");
            used = strlen(line.text);
        }
        used = doctor_add_gpu(&line, used, gpus[i]);
    }
    return line;
}

/* ---- doctor --check ---- */

static void doctor_print_row(void *context, const struct self_check_row *row)
{
    const char *by = context;
    char name[48], error[48] = "";
    snprintf(name, sizeof name, "%s%s", row->kind->name, by);
    if (row->worst.bound > 0)
        snprintf(error, sizeof error, "%.2g of %.2g", row->worst.error, row->worst.bound);
    else if (row->worst.error > 0)
        snprintf(error, sizeof error, "%.2g of 0", row->worst.error);
    else
        snprintf(error, sizeof error, "exact");
    printf("%-32s %5d %20s %8.3f s  %s\n", name, row->cases, error, row->seconds,
           row->code == OK           ? "ok"
           : row->code == ERR_DEVICE ? "FAILED"
                                     : "not checked");
    if (row->code != OK) printf("    %s\n", row->why);
    fflush(stdout);
}

/* The first failure is the command's. */
static int doctor_check_library(struct device *device)
{
    const struct conv_library *library = device->nn->conv_library;
    const struct self_check check = {
        .half = true, .whole = true, .row = doctor_print_row, .context = (void *)" by cuDNN"};
    bool used;
    if (!library) return OK;
    if (library->open(device, CONV_ALWAYS, false, &used) < 0) {
        printf("%-32s %s\n", "by cuDNN", error_message());
        return OK;
    }
    return device_check_library_all(device, &check);
}

/* Aloud, whole and anew. */
static int doctor_check(const char *spec)
{
    struct device *device = NULL;
    TRY(device_open(&device, spec, 0));
    const struct self_check check = {
        .half = true, .whole = true, .row = doctor_print_row, .context = (void *)""};
    printf("%s\n%-32s %5s %20s %10s\n", device->name, "operation", "cases", "error", "time");
    int code = device_check_all(device, &check);
    if (code == OK) code = doctor_check_library(device);
    if (code < 0)
        fail_within(code, "%.*s fails its self-check", (int)strcspn(device->name, ","),
                    device->name);
    device_close(device);
    return code;
}

int cmd_doctor(int argc, char **argv)
{
    bool check = false;
    const struct option_row rows[] = {
        {.name = "check",
         .flag = &check,
         .help = "hold every operation of DEVICE (auto, cpu, cuda, "
                 "cuda:N) against right results"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain doctor [--check [DEVICE]]",
        .about = "Prints devices, memory, threads, features built in, versions and free disk. "
                 "--check\ninstead tries what the device computes: a line for each operation, "
                 "status 69 where\none is wrong.",
        .options = rows,
        .max_operands = 1,
        .examples = "imgtrain doctor\nimgtrain doctor --check cuda\n",
    };
    int operand_count;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operand_count));
    if (check) return doctor_check(operand_count ? argv[1] : "auto");
    if (operand_count) return fail(ERR_USAGE, "doctor: a device is for --check: %s", argv[1]);
    struct utsname system;
    cmd_doctor_row("imgtrain", IMGTRAIN_VERSION);
    if (uname(&system) == 0)
        printf("%-12s %s %s, %s\n", "system", system.sysname, system.release, system.machine);
    cmd_doctor_row("compiler", __VERSION__);
    print_device("cpu", "cpu");
    print_device("cuda", "cuda");
    printf("%-12s %d usable, %d used without `threads`\n", "threads", threads_available(),
           threads_default());
    cmd_doctor_row("video", video_versions());
    cmd_doctor_row("JPEG", image_jpeg_version());
    cmd_doctor_row("WebP", image_webp_version().text);
    cmd_doctor_row("TIFF", image_tiff_version().text);
    cmd_doctor_row("HTTP", serve_http_version().text);
    cmd_doctor_row("CUDA", doctor_cuda_code(CUDA_ARCHS).text);
    print_libraries();
    printf("%-12s %s free here\n", "disk", format_bytes(file_disk_free(".")).text);
    return OK;
}
