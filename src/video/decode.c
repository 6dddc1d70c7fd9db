/* Reads a video back, to be sure that it can be read; versions of libav. */
#include "base/error.h"
#include "base/threads.h"
#include "video/libav.h"
#include "video/video.h"

#include <errno.h>
#include <stdio.h>

struct reader {
    AVFormatContext *format;
    AVCodecContext *codec;
    AVFrame *frame;
    AVPacket *packet;
    const char *path;
    int stream;
    int64_t frames;
};

static int fail_reader(const struct reader *reader, int result, const char *what)
{
    return libav_fail(ERR_DATA, result, reader->path, what);
}

static int open_stream(struct reader *reader)
{
    int result = libav.avformat_open_input(&reader->format, reader->path, NULL, NULL);
    if (result < 0) return fail_reader(reader, result, "not a video");
    const AVCodec *decoder = NULL;
    result = libav.av_find_best_stream(reader->format, AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
    if (result < 0) return fail_reader(reader, result, "no video in it that can be decoded");
    reader->stream = result;
    reader->codec = libav.avcodec_alloc_context3(decoder);
    reader->frame = libav.av_frame_alloc();
    reader->packet = libav.av_packet_alloc();
    if (!reader->codec || !reader->frame || !reader->packet)
        return fail_reader(reader, AVERROR(ENOMEM), "");
    const AVCodecParameters *parameters = reader->format->streams[result]->codecpar;
    result = libav.avcodec_parameters_to_context(reader->codec, parameters);
    int threads = threads_default();
    reader->codec->thread_count = threads < 4 ? threads : 4; /* each one holds a frame */
    reader->codec->err_recognition = AV_EF_EXPLODE | AV_EF_CRCCHECK | AV_EF_BITSTREAM;
    if (result >= 0) result = libav.avcodec_open2(reader->codec, decoder, NULL);
    return result < 0 ? fail_reader(reader, result, "cannot be decoded") : OK;
}

/* packet NULL: flushes. */
static int decode_packet(struct reader *reader, const AVPacket *packet)
{
    int result = libav.avcodec_send_packet(reader->codec, packet);
    if (result < 0) return fail_reader(reader, result, "does not decode");
    for (;;) {
        result = libav.avcodec_receive_frame(reader->codec, reader->frame);
        if (result == AVERROR(EAGAIN) || result == AVERROR_EOF) return OK;
        if (result < 0) return fail_reader(reader, result, "does not decode");
        if (reader->frame->flags & AV_FRAME_FLAG_CORRUPT || reader->frame->decode_error_flags)
            return fail(ERR_DATA, "%s: frame %lld is damaged", reader->path,
                        (long long)reader->frames);
        reader->frames++;
    }
}

static int decode_decode_all(struct reader *reader)
{
    for (;;) {
        int result = libav.av_read_frame(reader->format, reader->packet);
        if (result == AVERROR_EOF) return decode_packet(reader, NULL);
        if (result < 0) return fail_reader(reader, result, "cannot be read");
        int code = OK;
        if (reader->packet->flags & AV_PKT_FLAG_CORRUPT)
            code = fail(ERR_DATA, "%s is cut off or damaged", reader->path);
        else if (reader->packet->stream_index == reader->stream)
            code = decode_packet(reader, reader->packet);
        libav.av_packet_unref(reader->packet);
        TRY(code);
    }
}

int video_verify(const char *path, int64_t *frames, int *width, int *height)
{
    struct reader reader = {.path = path};
    int code;
    TRY(libav_open());
    TRY_CLEANUP(open_stream(&reader));
    TRY_CLEANUP(decode_decode_all(&reader));
    int64_t announced = reader.format->streams[reader.stream]->nb_frames;
    if (announced > 0 && announced != reader.frames)
        TRY_CLEANUP(fail(ERR_DATA, "%s: %lld frames of %lld can be decoded", path,
                         (long long)reader.frames, (long long)announced));
    *frames = reader.frames;
    *width = reader.codec->width;
    *height = reader.codec->height;
cleanup:
    libav.avcodec_free_context(&reader.codec);
    libav.avformat_close_input(&reader.format);
    libav.av_frame_free(&reader.frame);
    libav.av_packet_free(&reader.packet);
    return code;
}

const char *video_versions(void)
{
    static _Thread_local char text[512];
    if (libav_open() < 0) {
        snprintf(text, sizeof text, "no: %s (built for libavcodec %s)", error_message(),
                 AV_STRINGIFY(LIBAVCODEC_VERSION));
        return text;
    }
    unsigned version = libav.avcodec_version();
    snprintf(text, sizeof text, "libavcodec %u.%u.%u (built for %s): %s", AV_VERSION_MAJOR(version),
             AV_VERSION_MINOR(version), AV_VERSION_MICRO(version), AV_STRINGIFY(LIBAVCODEC_VERSION),
             video_encoders_offered());
    return text;
}
