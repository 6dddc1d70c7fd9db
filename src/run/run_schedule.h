/* The keys of the config that have several names, read in one place. */
#ifndef IMGTRAIN_RUN_RUN_SCHEDULE_H
#define IMGTRAIN_RUN_RUN_SCHEDULE_H

#include "config/config.h"
#include "video/video.h"

/* Steps between frames; 0 = growing intervals. A save_image_steps beyond the end (the default of
 * other programs) asks for nothing. */
static inline int64_t schedule_frames_every(const struct config *config, int64_t total)
{
    if (config->frames.every > 0) return config->frames.every;
    if (config->frames.video_iterations > 0) return config->frames.video_iterations;
    return config->frames.save_image_steps < total ? config->frames.save_image_steps : 0;
}

/* Steps between checkpoints; 0 = by time, as also for a save_ckpt_steps beyond the end. */
static inline int64_t schedule_checkpoint_every(const struct config *config, int64_t total)
{
    if (config->checkpoint.every > 0) return config->checkpoint.every;
    return config->checkpoint.save_ckpt_steps < total ? config->checkpoint.save_ckpt_steps : 0;
}

static inline bool schedule_wants_video(const struct config *config)
{
    return config->video.enabled && config->video.make_training_video;
}

static inline const char *schedule_video_encoder(const struct config *config)
{
    static const char *const names[] = {
        [CONFIG_VIDEO_CODEC_AUTO] = NULL,        [CONFIG_VIDEO_CODEC_X264] = "libx264",
        [CONFIG_VIDEO_CODEC_X265] = "libx265",   [CONFIG_VIDEO_CODEC_AV1] = "libsvtav1",
        [CONFIG_VIDEO_CODEC_VP9] = "libvpx-vp9", [CONFIG_VIDEO_CODEC_MPEG4] = "mpeg4",
        [CONFIG_VIDEO_CODEC_MJPEG] = "mjpeg",
    };
    return names[config->video.codec];
}

/* What the config says of a run's video. */
static inline struct video_options schedule_video_options(const struct config *config)
{
    return (struct video_options){
        .max_size = (int)config->video.max_size,
        .fps = (int)config->video.fps,
        .quality = (int)config->video.quality,
        .hold = config->video.hold,
        .reference = config->video.reference,
        .captions = config->video.captions,
        .preferred = schedule_video_encoder(config),
    };
}

#endif
