/* Inside src/video: FFmpeg's libraries, which are opened on first use. Linked, they and the
 * hundred libraries that they need would be loaded at every start, and a machine without them could
 * not start the program. They are called through the table below: libav.av_frame_alloc(). */
#ifndef IMGTRAIN_VIDEO_LIBAV_H
#define IMGTRAIN_VIDEO_LIBAV_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>

/* X(LIBRARY, NAME): every function that is used. Types are those of the headers. */
#define LIBAV_FUNCTIONS(X)                                                                         \
    X(avutil, av_dict_free)                                                                        \
    X(avutil, av_dict_set)                                                                         \
    X(avutil, av_frame_alloc)                                                                      \
    X(avutil, av_frame_free)                                                                       \
    X(avutil, av_frame_get_buffer)                                                                 \
    X(avutil, av_frame_make_writable)                                                              \
    X(avutil, av_free)                                                                             \
    X(avutil, av_freep)                                                                            \
    X(avutil, av_log_format_line2)                                                                 \
    X(avutil, av_log_set_callback)                                                                 \
    X(avutil, av_malloc)                                                                           \
    X(avutil, av_opt_set)                                                                          \
    X(avutil, av_strerror)                                                                         \
    X(avcodec, av_new_packet)                                                                      \
    X(avcodec, av_packet_alloc)                                                                    \
    X(avcodec, av_packet_free)                                                                     \
    X(avcodec, av_packet_rescale_ts)                                                               \
    X(avcodec, av_packet_unref)                                                                    \
    X(avcodec, avcodec_alloc_context3)                                                             \
    X(avcodec, avcodec_find_encoder_by_name)                                                       \
    X(avcodec, avcodec_free_context)                                                               \
    X(avcodec, avcodec_open2)                                                                      \
    X(avcodec, avcodec_parameters_from_context)                                                    \
    X(avcodec, avcodec_parameters_to_context)                                                      \
    X(avcodec, avcodec_receive_frame)                                                              \
    X(avcodec, avcodec_receive_packet)                                                             \
    X(avcodec, avcodec_send_frame)                                                                 \
    X(avcodec, avcodec_send_packet)                                                                \
    X(avcodec, avcodec_version)                                                                    \
    X(avformat, av_find_best_stream)                                                               \
    X(avformat, av_interleaved_write_frame)                                                        \
    X(avformat, av_read_frame)                                                                     \
    X(avformat, av_write_trailer)                                                                  \
    X(avformat, avformat_alloc_output_context2)                                                    \
    X(avformat, avformat_close_input)                                                              \
    X(avformat, avformat_free_context)                                                             \
    X(avformat, avformat_new_stream)                                                               \
    X(avformat, avformat_open_input)                                                               \
    X(avformat, avformat_write_header)                                                             \
    X(avformat, avio_alloc_context)                                                                \
    X(avformat, avio_context_free)

#define LIBAV_MEMBER(library, name) __typeof__(name) *name;
struct libav_api {
    LIBAV_FUNCTIONS(LIBAV_MEMBER)
};
#undef LIBAV_MEMBER

/* Filled by libav_open; before that nothing in it may be called. */
extern struct libav_api libav;

/* Opens the libraries of the headers' major versions, the first time; what libav says goes to
 * log_debug from then on, as errors reach the user as ours. ERR_DEVICE, with the reason, when one
 * of them or a function is missing: another call tries again. Any thread. */
int libav_open(void);

/* fail() with "PATH: WHAT: " and libav's text for `result`; ERR_SYSTEM when it ran out of memory,
 * ERR_INPUT when it found no file. */
int libav_fail(int code, int result, const char *path, const char *what);

#endif
