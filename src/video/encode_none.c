/* Stands in for encode.c and decode.c where libav is not there (VIDEO=0). */
#include "base/error.h"
#include "video/video.h"

static int fail_not_built_in(const char *path)
{
    return fail(ERR_USAGE,
                "%s: this build has no video (install libavcodec, libavformat and libswscale's "
                "development packages and build again)",
                path);
}

int video_encoder_open(struct video_encoder **encoder, const char *preferred, const char *path,
                       int width, int height, int fps, int quality)
{
    return video_encoder_open_named(encoder, preferred, path, width, height, fps, quality);
}

int video_encoder_open_named(struct video_encoder **encoder, const char *name, const char *path,
                             int width, int height, int fps, int quality)
{
    (void)name, (void)width, (void)height, (void)fps, (void)quality;
    *encoder = NULL;
    return fail_not_built_in(path);
}

int video_encoder_add(struct video_encoder *encoder, const struct image *frame, int repeat)
{
    (void)encoder, (void)frame, (void)repeat;
    return fail_not_built_in("video");
}

int video_encoder_close(struct video_encoder *encoder, bool commit)
{
    (void)encoder, (void)commit;
    return OK;
}

void video_encoder_size(const struct video_encoder *encoder, int *width, int *height)
{
    (void)encoder;
    *width = *height = 0;
}

const char *video_encoder_name(const struct video_encoder *encoder)
{
    (void)encoder;
    return "none";
}

const char *video_encoders_offered(void)
{
    return "";
}

const char *video_versions(void)
{
    return "not built in";
}

int video_verify(const char *path, int64_t *frames, int *width, int *height)
{
    *frames = 0;
    *width = *height = 0;
    return fail_not_built_in(path);
}
