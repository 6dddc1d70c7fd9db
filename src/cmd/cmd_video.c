/* imgtrain video: a run's frames -> video. */
#include "base/error.h"
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "config/config.h"
#include "run/run_schedule.h"
#include "run/signals.h"
#include "video/video.h"

#include <stdio.h>
#include <stdlib.h>

enum { NOT_GIVEN = -1000 };

/* What the run's own configuration says about its video; the defaults where it has none. */
static int load_defaults(struct video_options *options, const char *run_dir)
{
    char *path = path_join(run_dir, "config.yaml");
    if (!path) return ERR_SYSTEM;
    struct config *config;
    int code = config_load(&config, file_exists(path) ? path : NULL, 0, NULL);
    free(path);
    TRY(code);
    *options = schedule_video_options(config);
    options->stop_requested = signals_stop_requested;
    config_free(config);
    return OK;
}

static int take_given(int *value, const char *option, int64_t given, int least, int most)
{
    if (given == NOT_GIVEN) return OK;
    if (given < least || given > most)
        return fail(ERR_USAGE, "--%s %lld: it must be %d to %d", option, (long long)given, least,
                    most);
    *value = (int)given;
    return OK;
}

/* Reads the file again, so that "made" means that it plays. */
static int check_result(const char *path)
{
    int64_t frames;
    int width, height;
    TRY(video_verify(path, &frames, &width, &height));
    printf("%s\n", path);
    return OK;
}

static int make_video(const char *run_dir, struct video_options *options)
{
    char *path =
        options->output ? string_format("%s", options->output) : path_join(run_dir, "video.mp4");
    if (!path) return ERR_SYSTEM;
    options->output = path;
    signals_install();
    int code = video_assemble(run_dir, options);
    if (code == OK) code = check_result(path);
    free(path);
    return code;
}

int cmd_video(int argc, char **argv)
{
    const char *output = NULL, *encoder = NULL;
    int64_t fps = NOT_GIVEN, max_size = NOT_GIVEN, quality = NOT_GIVEN;
    double hold = NOT_GIVEN;
    bool no_reference = false, no_captions = false;
    const struct option_row options[] = {
        {.letter = 'o',
         .name = "output",
         .argument = "FILE",
         .text = &output,
         .help = "the video; without this RUN/video.mp4"},
        {.name = "fps", .argument = "N", .integer = &fps, .help = "frames a second"},
        {.name = "max-size",
         .argument = "N",
         .integer = &max_size,
         .help = "longest side in pixels"},
        {.name = "quality",
         .argument = "N",
         .integer = &quality,
         .help = "0 (best, largest) to 51"},
        {.name = "hold",
         .argument = "TIME",
         .seconds = &hold,
         .help = "how long the last frame stays"},
        {.name = "no-reference", .flag = &no_reference, .help = "without the target at the left"},
        {.name = "no-captions", .flag = &no_captions, .help = "without the line of text"},
        {.name = "encoder",
         .argument = "NAME",
         .text = &encoder,
         .help = "libx264, libvpx-vp9, libsvtav1, libx265, mpeg4 or mjpeg: this or none; "
                 "without this video.codec"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain video RUN [-o FILE] [--fps N] [--max-size N] [...]",
        .about = "Puts the video of a run together from its frames, as at the end of training. "
                 "What is not\ngiven here is taken from RUN/config.yaml.",
        .options = options,
        .min_operands = 1,
        .max_operands = 1,
        .examples = "imgtrain video runs/photo-001\n"
                    "imgtrain video runs/photo-001 --max-size 3840 --fps 60 -o large.mp4\n",
    };
    int count;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &count));
    if (!file_is_dir(argv[1])) return fail(ERR_INPUT, "%s is no run folder", argv[1]);
    struct video_options video;
    TRY(load_defaults(&video, argv[1]));
    TRY(take_given(&video.fps, "fps", fps, 1, 240));
    TRY(take_given(&video.max_size, "max-size", max_size, 16, 8192));
    TRY(take_given(&video.quality, "quality", quality, 0, 51));
    if (hold >= 0) video.hold = hold;
    if (video.hold > 60) return fail(ERR_USAGE, "--hold: at most a minute");
    video.reference = video.reference && !no_reference;
    video.captions = video.captions && !no_captions;
    video.output = output;
    video.encoder = encoder;
    return make_video(argv[1], &video);
}
