/* Inside src/video: what its users of libav share. */
#ifndef IMGTRAIN_VIDEO_LIBAV_H
#define IMGTRAIN_VIDEO_LIBAV_H

/* Sends what libav says to log_debug: errors reach the user as ours. */
void libav_forward_log(void);

/* fail() with "PATH: WHAT: " and libav's text for `result`; ERR_SYSTEM when it ran out of memory,
 * ERR_INPUT when it found no file. */
int libav_fail(int code, int result, const char *path, const char *what);

#endif
