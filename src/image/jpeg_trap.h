/* Inside src/image: libjpeg's errors jump back to whoever called it. */
#ifndef IMGTRAIN_IMAGE_JPEG_TRAP_H
#define IMGTRAIN_IMAGE_JPEG_TRAP_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
/* clang-format off: jpeglib.h needs stdio.h before it */
#include <jerror.h>
#include <jpeglib.h>
/* clang-format on */

struct jpeg_trap {
    struct jpeg_error_mgr manager; /* first: libjpeg hands this address back */
    jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
    char note[JMSG_LENGTH_MAX]; /* the first warning that leaves all pixels as they are */
    bool ends_early;            /* no end marker: whether pixels are missing is to be looked at */
};

/* A libjpeg error manager. A warning means that the image is damaged: an error here, but for
 * those that `note` and `ends_early` keep. */
struct jpeg_error_mgr *jpeg_set_trap(struct jpeg_trap *trap);

#endif
