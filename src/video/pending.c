/* Weak stand-ins until assemble.c and encode.c are here, which override them; then this file goes.
 */
#include "base/error.h"
#include "video/video.h"

__attribute__((weak)) const char *video_versions(void)
{
    return "not built in";
}

__attribute__((weak)) int video_verify(const char *path, int64_t *frames, int *width, int *height)
{
    (void)frames, (void)width, (void)height;
    return fail(ERR_USAGE, "%s: built without video", path);
}

__attribute__((weak)) int video_assemble(const char *run_dir, const struct video_options *options)
{
    (void)options;
    return fail(ERR_USAGE, "%s: built without video", run_dir);
}
