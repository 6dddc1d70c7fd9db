/* For tests: a frame of a video as RGB, decoded and converted without any of our own code. */
#ifndef IMGTRAIN_TEST_VIDEO_VIDEO_READ_H
#define IMGTRAIN_TEST_VIDEO_VIDEO_READ_H

#include "image/image.h"

#include <check.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>

/* Frame number `index` as RGB, converted as the tags of the decoded frame say. */
static void read_frame(const char *path, int index, struct image *image)
{
    AVFormatContext *format = NULL;
    ck_assert_int_eq(avformat_open_input(&format, path, NULL, NULL), 0);
    const AVCodec *decoder;
    int stream = av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
    ck_assert_int_ge(stream, 0);
    AVCodecContext *codec = avcodec_alloc_context3(decoder);
    avcodec_parameters_to_context(codec, format->streams[stream]->codecpar);
    ck_assert_int_eq(avcodec_open2(codec, decoder, NULL), 0);
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    bool found = false, ended = false;
    while (!found && !ended) {
        ended = av_read_frame(format, packet) < 0;
        ck_assert_int_eq(avcodec_send_packet(codec, ended ? NULL : packet), 0);
        av_packet_unref(packet);
        while (!found && avcodec_receive_frame(codec, frame) == 0)
            found = index-- == 0;
    }
    ck_assert(found);
    bool full = frame->color_range == AVCOL_RANGE_JPEG;
    ck_assert_int_eq(frame->colorspace, full ? AVCOL_SPC_BT470BG : AVCOL_SPC_BT709);
    ck_assert(full || frame->color_range == AVCOL_RANGE_MPEG);
    ck_assert_int_eq(image_create(image, frame->width, frame->height, 3, SAMPLE_U8), 0);
    enum { FLAGS = SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_BICUBIC };
    struct SwsContext *sws =
        sws_getContext(frame->width, frame->height, frame->format, frame->width, frame->height,
                       AV_PIX_FMT_RGB24, FLAGS, NULL, NULL, NULL);
    ck_assert_ptr_nonnull(sws);
    const int *matrix = sws_getCoefficients(full ? SWS_CS_ITU601 : SWS_CS_ITU709);
    sws_setColorspaceDetails(sws, matrix, full, matrix, 1, 0, 1 << 16, 1 << 16);
    sws_scale(sws, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height,
              (uint8_t *[]){image->data}, (int[]){3 * frame->width});
    sws_freeContext(sws);
    av_frame_free(&frame);
    av_packet_free(&packet);
    avcodec_free_context(&codec);
    avformat_close_input(&format);
}

#endif
