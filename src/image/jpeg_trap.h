/* Inside src/image: libjpeg's errors jump back to whoever called it. */
#ifndef IMGTRAIN_IMAGE_JPEG_TRAP_H
#define IMGTRAIN_IMAGE_JPEG_TRAP_H

#include <setjmp.h>
#include <stdio.h>
/* clang-format off: jpeglib.h needs stdio.h before it */
#include <jerror.h>
#include <jpeglib.h>
/* clang-format on */

struct jpeg_trap {
    struct jpeg_error_mgr manager; /* first: libjpeg hands this address back */
    jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
};

/* A libjpeg error manager. A warning means that the picture is damaged: an error here. */
struct jpeg_error_mgr *jpeg_set_trap(struct jpeg_trap *trap);

#endif
