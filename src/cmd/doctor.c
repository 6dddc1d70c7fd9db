/* imgtrain doctor: what this machine and this build can do. */
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/threads.h"
#include "base/version.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cpu/isa.h"
#include "device/device.h"
#include "image/image.h"
#include "video/video.h"

#include <cjson/cJSON.h>
#include <png.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <yaml.h>
#include <zlib.h>

static void row(const char *name, const char *value)
{
    printf("%-12s %s\n", name, value);
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
    device_close(device);
}

static void print_libraries(void)
{
    printf("%-12s libpng %s, zlib %s, libyaml %s, cJSON %s\n", "libraries",
           png_get_libpng_ver(NULL), zlibVersion(), yaml_get_version_string(), cJSON_Version());
}

int cmd_doctor(int argc, char **argv)
{
    const struct option_usage usage = {
        .usage = "imgtrain doctor",
        .about = "Prints devices, memory, threads, features built in, versions and free disk.",
        .max_operands = 0,
        .examples = "imgtrain doctor\n",
    };
    int operand_count;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operand_count));
    struct utsname system;
    row("imgtrain", IMGTRAIN_VERSION);
    if (uname(&system) == 0)
        printf("%-12s %s %s, %s\n", "system", system.sysname, system.release, system.machine);
    row("compiler", __VERSION__);
    print_device("cpu", "cpu");
    print_device("cuda", "cuda");
    printf("%-12s %d usable, %d used without `threads`\n", "threads", threads_available(),
           threads_default());
    row("video", video_versions());
    row("WebP", image_webp_version().text);
    row("TIFF", image_tiff_version().text);
    row("CUDA", HAVE_CUDA ? "built in" : "not built in");
    print_libraries();
    printf("%-12s %s free here\n", "disk", format_bytes(file_disk_free(".")).text);
    return OK;
}
