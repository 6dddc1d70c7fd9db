/* MP4 files by libavcodec and libavformat. */
#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/log.h"
#include "base/temporary.h"
#include "base/threads.h"
#include "video/libav.h"
#include "video/video.h"
#include "video/yuv.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In order of preference: what plays in most places first. "mjpeg" is the last resort that needs no
 * encoder of libav: libjpeg packs the frames. */
static const char *const encoders[] = {"libx264", "libvpx-vp9", "libsvtav1",
                                       "libx265", "mpeg4",      "mjpeg"};
enum { ENCODER_COUNT = sizeof encoders / sizeof encoders[0] };

struct video_encoder {
    struct file_atomic file;
    const char *name; /* of encoders[] */
    int width, height, fps, jpeg_quality;
    AVCodecContext *codec; /* NULL: mjpeg */
    AVFormatContext *format;
    AVStream *stream;
    AVFrame *frame;
    AVPacket *packet;
    int64_t next; /* time stamp of the next frame, in frames */
    int error;    /* the first failure: the file cannot be finished any more */
    bool header_written;
};

/* ---- the file: libav writes through these into our atomic file ---- */

/* libavformat 61 made the buffer const. */
#if LIBAVFORMAT_VERSION_MAJOR >= 61
typedef const uint8_t written_bytes;
#else
typedef uint8_t written_bytes;
#endif

static int encode_write_bytes(void *opaque, written_bytes *data, int bytes)
{
    struct video_encoder *encoder = opaque;
    if (encoder->error == OK)
        encoder->error = file_atomic_write(&encoder->file, data, (size_t)bytes);
    return encoder->error == OK ? bytes : AVERROR(EIO);
}

static int64_t encode_seek_bytes(void *opaque, int64_t offset, int whence)
{
    struct video_encoder *encoder = opaque;
    if (whence & AVSEEK_SIZE) return AVERROR(ENOSYS);
    off_t at = lseek(encoder->file.fd, offset, whence & ~AVSEEK_FORCE);
    return at < 0 ? AVERROR(errno) : at;
}

/* +faststart reads the file again by its name, so the name that libav knows is the temporary one.
 */
static int open_output(struct video_encoder *encoder, const char *path)
{
    enum { BUFFER_BYTES = 1 << 16 };
    temporary_clean_beside(path);
    TRY(file_atomic_open(&encoder->file, path, 0));
    char *url = string_format("file:%s", encoder->file.temporary);
    if (!url) return ERR_SYSTEM;
    int result = libav.avformat_alloc_output_context2(&encoder->format, NULL, "mp4", url);
    free(url);
    if (result < 0)
        return libav_fail(ERR_INTERNAL, result, path, "MP4 is not built into libavformat");
    uint8_t *buffer = libav.av_malloc(BUFFER_BYTES);
    if (buffer)
        encoder->format->pb = libav.avio_alloc_context(buffer, BUFFER_BYTES, 1, encoder, NULL,
                                                       encode_write_bytes, encode_seek_bytes);
    if (!encoder->format->pb) {
        libav.av_free(buffer);
        return fail(ERR_SYSTEM, "%s: out of memory", path);
    }
    encoder->stream = libav.avformat_new_stream(encoder->format, NULL);
    if (!encoder->stream) return fail(ERR_SYSTEM, "%s: out of memory", path);
    encoder->stream->time_base = (AVRational){1, encoder->fps};
    encoder->stream->avg_frame_rate = (AVRational){encoder->fps, 1};
    return OK;
}

/* ---- the codec ---- */

static void set_option(AVCodecContext *codec, const char *name, const char *value)
{
    if (libav.av_opt_set(codec->priv_data, name, value, 0) < 0)
        log_debug("video: the encoder has no option %s", name);
}

/* Beyond 4K an encoder that looks ahead keeps gigabytes of frames: fewer there. */
static void set_x264(AVCodecContext *codec, int quality, bool large)
{
    char crf[16];
    snprintf(crf, sizeof crf, "%d", quality);
    set_option(codec, "preset", large ? "superfast" : "veryfast");
    set_option(codec, "crf", crf);
    set_option(codec, "x264-params",
               large ? "rc-lookahead=4:sync-lookahead=0:bframes=0:aq-mode=1" : "aq-mode=1");
}

static void set_vp9(AVCodecContext *codec, int quality, bool large)
{
    char crf[16];
    snprintf(crf, sizeof crf, "%d", (quality * 63 + 25) / 51); /* 0..51 -> VP9's 0..63 */
    codec->bit_rate = 0;                                       /* constant quality */
    set_option(codec, "crf", crf);
    set_option(codec, "deadline", "good");
    set_option(codec, "cpu-used", "5");
    set_option(codec, "row-mt", "1");
    set_option(codec, "lag-in-frames", large ? "0" : "12");
}

static void set_x265(AVCodecContext *codec, int quality, bool large)
{
    char crf[16];
    snprintf(crf, sizeof crf, "%d", quality);
    codec->codec_tag = MKTAG('h', 'v', 'c', '1'); /* players of one maker take no other */
    set_option(codec, "preset", large ? "ultrafast" : "veryfast");
    set_option(codec, "crf", crf);
    set_option(codec, "x265-params",
               large ? "log-level=error:rc-lookahead=4:bframes=0" : "log-level=error");
}

static void set_svtav1(AVCodecContext *codec, int quality, bool large)
{
    char crf[16];
    snprintf(crf, sizeof crf, "%d", (quality * 63 + 25) / 51); /* 0..51 -> AV1's 0..63 */
    setenv("SVT_LOG", "1", 0);                                 /* it writes to stderr by itself */
    set_option(codec, "preset", large ? "10" : "8");
    set_option(codec, "crf", crf);
}

/* A quantiser of 1..31 for 0..51: the curve passes through 4, which looks like CRF 20. */
static void set_mpeg4_quality(AVCodecContext *codec, int quality)
{
    int quantiser = 1 + quality * quality / 130;
    codec->flags |= AV_CODEC_FLAG_QSCALE;
    codec->global_quality = FF_QP2LAMBDA * (quantiser < 31 ? quantiser : 31);
}

static void set_colour(AVCodecContext *codec)
{
    codec->colorspace = AVCOL_SPC_BT709;
    codec->color_primaries = AVCOL_PRI_BT709;
    codec->color_trc = AVCOL_TRC_IEC61966_2_1;
    codec->color_range = AVCOL_RANGE_MPEG;
    codec->chroma_sample_location = AVCHROMA_LOC_LEFT;
}

/* Names of all encoders, or of those that libavcodec offers. */
static void list_encoders(char *list, size_t room, bool offered)
{
    size_t used = 0;
    *list = '\0';
    for (int i = 0; i < ENCODER_COUNT && used < room; i++)
        if (!offered || libav.avcodec_find_encoder_by_name(encoders[i]))
            used +=
                (size_t)snprintf(list + used, room - used, "%s%s", used ? ", " : "", encoders[i]);
}

static int fail_not_offered(const char *name)
{
    char list[128];
    list_encoders(list, sizeof list, true);
    return fail(ERR_USAGE, "%s is not built into libavcodec, which offers %s", name,
                *list ? list : "no encoder of use here");
}

/* Opens one encoder, or says why not. */
static int open_codec(struct video_encoder *encoder, const char *name, int quality)
{
    const AVCodec *found = libav.avcodec_find_encoder_by_name(name);
    if (!found) return fail_not_offered(name);
    if (strcmp(name, "libsvtav1") == 0 && (encoder->width < 64 || encoder->height < 64))
        return fail(ERR_USAGE, "libsvtav1 makes no video smaller than 64x64");
    AVCodecContext *codec = libav.avcodec_alloc_context3(found);
    if (!codec) return fail(ERR_SYSTEM, "out of memory");
    int width = encoder->width + encoder->width % 2, height = encoder->height + encoder->height % 2;
    bool large = (int64_t)width * height > 3840 * 2160;
    int threads = threads_default();
    codec->width = width;
    codec->height = height;
    codec->pix_fmt = AV_PIX_FMT_YUV420P;
    codec->time_base = (AVRational){1, encoder->fps};
    codec->framerate = (AVRational){encoder->fps, 1};
    codec->gop_size = 2 * encoder->fps;
    codec->thread_count = threads < 8 ? threads : 8;
    codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    set_colour(codec);
    if (strcmp(name, "libx264") == 0) set_x264(codec, quality, large);
    if (strcmp(name, "libvpx-vp9") == 0) set_vp9(codec, quality, large);
    if (strcmp(name, "libx265") == 0) set_x265(codec, quality, large);
    if (strcmp(name, "libsvtav1") == 0) set_svtav1(codec, quality, large);
    if (strcmp(name, "mpeg4") == 0) set_mpeg4_quality(codec, quality);
    int result = libav.avcodec_open2(codec, found, NULL);
    if (result < 0) {
        libav.avcodec_free_context(&codec);
        return libav_fail(ERR_USAGE, result, name, "cannot open the encoder");
    }
    encoder->codec = codec;
    return OK;
}

/* Motion JPEG: the size as it is, and the colours of JFIF. */
static void describe_mjpeg(struct video_encoder *encoder, int quality)
{
    AVCodecParameters *parameters = encoder->stream->codecpar;
    parameters->codec_type = AVMEDIA_TYPE_VIDEO;
    parameters->codec_id = AV_CODEC_ID_MJPEG;
    parameters->width = encoder->width;
    parameters->height = encoder->height;
    parameters->format = AV_PIX_FMT_YUVJ420P;
    parameters->color_space = AVCOL_SPC_BT470BG;
    parameters->color_primaries = AVCOL_PRI_BT709;
    parameters->color_trc = AVCOL_TRC_IEC61966_2_1;
    parameters->color_range = AVCOL_RANGE_JPEG;
    encoder->jpeg_quality = 100 - quality * quality / 50;
}

static int open_encoder(struct video_encoder *encoder, const char *name, int quality)
{
    if (strcmp(name, "mjpeg") == 0)
        describe_mjpeg(encoder, quality);
    else
        TRY(open_codec(encoder, name, quality));
    encoder->name = name;
    return OK;
}

/* The table's own copy of a name, which outlives the caller's. */
static int find_encoder(const char *wanted, const char **name)
{
    char list[128];
    for (int i = 0; i < ENCODER_COUNT; i++)
        if (strcmp(wanted, encoders[i]) == 0) return *name = encoders[i], OK;
    list_encoders(list, sizeof list, false);
    return fail(ERR_USAGE, "unknown encoder '%s': one of %s", wanted, list);
}

/* Opens the first encoder that opens. */
static int open_first_encoder(struct video_encoder *encoder, int quality)
{
    int code = ERR_USAGE;
    for (int i = 0; i < ENCODER_COUNT && code < 0; i++) {
        if (i == ENCODER_COUNT - 1)
            log_info("video: libavcodec opens none of its encoders for %dx%d: JPEG frames in the "
                     "MP4 instead",
                     encoder->width, encoder->height);
        code = open_encoder(encoder, encoders[i], quality);
        if (code < 0) log_debug("video: %s", error_message());
    }
    return code;
}

/* Opens the encoder that was asked for (where `or_other`: else another, and says so), or the first
 * one that opens. */
static int choose_encoder(struct video_encoder *encoder, const char *wanted, bool or_other,
                          int quality)
{
    if (!wanted) return open_first_encoder(encoder, quality);
    TRY(find_encoder(wanted, &wanted));
    int code = open_encoder(encoder, wanted, quality);
    if (code >= 0 || code == ERR_SYSTEM || !or_other) return code;
    char reason[256];
    snprintf(reason, sizeof reason, "%s", error_message());
    TRY(open_first_encoder(encoder, quality));
    log_warning("video: %s: made by %s instead", reason, encoder->name);
    return OK;
}

static int allocate_frame(struct video_encoder *encoder, const char *path)
{
    encoder->packet = libav.av_packet_alloc();
    encoder->frame = libav.av_frame_alloc();
    if (!encoder->packet || !encoder->frame) return fail(ERR_SYSTEM, "%s: out of memory", path);
    if (!encoder->codec) return OK;
    AVFrame *frame = encoder->frame;
    frame->format = encoder->codec->pix_fmt;
    frame->width = encoder->codec->width;
    frame->height = encoder->codec->height;
    frame->colorspace = encoder->codec->colorspace;
    frame->color_primaries = encoder->codec->color_primaries;
    frame->color_trc = encoder->codec->color_trc;
    frame->color_range = encoder->codec->color_range;
    frame->chroma_location = encoder->codec->chroma_sample_location;
    if (libav.av_frame_get_buffer(frame, 0) < 0) return fail(ERR_SYSTEM, "%s: out of memory", path);
    int result = libav.avcodec_parameters_from_context(encoder->stream->codecpar, encoder->codec);
    return result < 0 ? libav_fail(ERR_INTERNAL, result, path, "describe the video") : OK;
}

/* The name and place of a failure of libav; our own writer's message where that was the cause. */
static int fail_step(struct video_encoder *encoder, int result, const char *what)
{
    if (encoder->error == OK) encoder->error = libav_fail(ERR_IO, result, encoder->file.path, what);
    return encoder->error;
}

static int encode_write_header(struct video_encoder *encoder)
{
    AVDictionary *options = NULL;
    libav.av_dict_set(&options, "movflags", "+faststart", 0);
    int result = libav.avformat_write_header(encoder->format, &options);
    libav.av_dict_free(&options);
    if (result < 0) return fail_step(encoder, result, "write the header");
    encoder->header_written = true;
    return OK;
}

static int open_video(struct video_encoder **out, const char *name, bool or_other, const char *path,
                      int width, int height, int fps, int quality)
{
    *out = NULL;
    if (width < 1 || height < 1 || width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE || fps < 1 ||
        quality < 0 || quality > 51)
        return fail(ERR_USAGE, "%s: no video of %dx%d, %d frames a second, quality %d", path, width,
                    height, fps, quality);
    TRY(libav_open());
    struct video_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder) return fail(ERR_SYSTEM, "%s: out of memory", path);
    *encoder = (struct video_encoder){.file.fd = -1, .width = width, .height = height, .fps = fps};
    int code;
    TRY_CLEANUP(open_output(encoder, path));
    TRY_CLEANUP(choose_encoder(encoder, name, or_other, quality));
    TRY_CLEANUP(allocate_frame(encoder, path));
    TRY_CLEANUP(encode_write_header(encoder));
    *out = encoder;
    return OK;
cleanup:
    encoder->error = code;
    video_encoder_close(encoder, false);
    return code;
}

int video_encoder_open_named(struct video_encoder **encoder, const char *name, const char *path,
                             int width, int height, int fps, int quality)
{
    return open_video(encoder, name, false, path, width, height, fps, quality);
}

int video_encoder_open(struct video_encoder **encoder, const char *preferred, const char *path,
                       int width, int height, int fps, int quality)
{
    return open_video(encoder, preferred, true, path, width, height, fps, quality);
}

const char *video_encoder_name(const struct video_encoder *encoder)
{
    return encoder->name;
}

void video_encoder_size(const struct video_encoder *encoder, int *width, int *height)
{
    *width = encoder->stream->codecpar->width;
    *height = encoder->stream->codecpar->height;
}

const char *video_encoders_offered(void)
{
    static _Thread_local char list[128];
    *list = '\0';
    if (libav_open() == OK) list_encoders(list, sizeof list, true);
    return list;
}

/* ---- frames ---- */

static int write_packet(struct video_encoder *encoder)
{
    AVPacket *packet = encoder->packet;
    packet->duration = 1;
    packet->stream_index = encoder->stream->index;
    libav.av_packet_rescale_ts(packet, (AVRational){1, encoder->fps}, encoder->stream->time_base);
    int result = libav.av_interleaved_write_frame(encoder->format, packet);
    return result < 0 ? fail_step(encoder, result, "write a frame") : OK;
}

/* frame NULL: flushes. */
static int encode_frame(struct video_encoder *encoder, const AVFrame *frame)
{
    int result = libav.avcodec_send_frame(encoder->codec, frame);
    if (result < 0) return fail_step(encoder, result, "encode a frame");
    for (;;) {
        result = libav.avcodec_receive_packet(encoder->codec, encoder->packet);
        if (result == AVERROR(EAGAIN) || result == AVERROR_EOF) return OK;
        if (result < 0) return fail_step(encoder, result, "encode a frame");
        TRY(write_packet(encoder));
    }
}

static int add_yuv(struct video_encoder *encoder, const struct image *image, int repeat)
{
    AVFrame *frame = encoder->frame;
    int result = libav.av_frame_make_writable(frame);
    if (result < 0) return fail_step(encoder, result, "encode a frame");
    yuv_from_rgb(frame->data, frame->linesize, image);
    for (int i = 0; i < repeat; i++) {
        frame->pts = encoder->next++;
        TRY(encode_frame(encoder, frame));
    }
    return OK;
}

static int add_jpeg(struct video_encoder *encoder, const struct image *image, int repeat)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    TRY(image_encode_jpeg(image, encoder->jpeg_quality, &data, &bytes));
    int code = OK;
    for (int i = 0; i < repeat && code == OK; i++) {
        AVPacket *packet = encoder->packet;
        if (bytes > INT_MAX || libav.av_new_packet(packet, (int)bytes) < 0) {
            code = fail(ERR_SYSTEM, "%s: out of memory", encoder->file.path);
            break;
        }
        memcpy(packet->data, data, bytes);
        packet->pts = packet->dts = encoder->next++;
        packet->flags |= AV_PKT_FLAG_KEY;
        code = write_packet(encoder);
    }
    free(data);
    return code;
}

int video_encoder_add(struct video_encoder *encoder, const struct image *frame, int repeat)
{
    if (encoder->error != OK) return encoder->error;
    if (frame->type != SAMPLE_U8 || frame->channels != 3 || frame->width != encoder->width ||
        frame->height != encoder->height || repeat < 1)
        return encoder->error =
                   fail(ERR_INTERNAL, "%s: a frame of another kind", encoder->file.path);
    encoder->error =
        encoder->codec ? add_yuv(encoder, frame, repeat) : add_jpeg(encoder, frame, repeat);
    return encoder->error;
}

static int encode_finish(struct video_encoder *encoder)
{
    if (encoder->error != OK) return encoder->error;
    if (encoder->next == 0) return fail(ERR_INPUT, "%s: no frame", encoder->file.path);
    if (encoder->codec) TRY(encode_frame(encoder, NULL));
    int result = libav.av_write_trailer(encoder->format);
    if (result < 0 || encoder->error != OK) return fail_step(encoder, result, "finish the file");
    if (lseek(encoder->file.fd, 0, SEEK_END) < 0) /* a commit cuts behind the position */
        return fail_errno(ERR_IO, "write %s", encoder->file.path);
    return file_atomic_commit(&encoder->file, true);
}

int video_encoder_close(struct video_encoder *encoder, bool commit)
{
    if (!encoder) return OK;
    int code = commit ? encode_finish(encoder) : OK;
    encoder->error = code == OK ? ERR_STOPPED : code; /* nothing is written from here on */
    if (encoder->format && encoder->format->pb) {
        libav.av_freep(&encoder->format->pb->buffer);
        libav.avio_context_free(&encoder->format->pb);
    }
    libav.avformat_free_context(encoder->format);
    libav.avcodec_free_context(&encoder->codec);
    libav.av_frame_free(&encoder->frame);
    libav.av_packet_free(&encoder->packet);
    file_atomic_abort(&encoder->file);
    free(encoder);
    return code;
}
