/* Inside src/image: a TIFF file opened with libtiff, and what its first directory says. tiff.c
 * reads its samples. TIFF Revision 6.0, Adobe 1992, and its supplements. */
#ifndef IMGTRAIN_IMAGE_TIFF_OPEN_H
#define IMGTRAIN_IMAGE_TIFF_OPEN_H

#include "image/image_format.h"

#include <stdint.h>
#include <tiffio.h>

/* The functions of libtiff that are used: tiff_api.TIFFClose(...). Filled by tiff_file_open. */
#define TIFF_FUNCTIONS(X)                                                                          \
    X(TIFFClientOpenExt)                                                                           \
    X(TIFFClose)                                                                                   \
    X(TIFFComputeStrip)                                                                            \
    X(TIFFComputeTile)                                                                             \
    X(TIFFGetField)                                                                                \
    X(TIFFGetFieldDefaulted)                                                                       \
    X(TIFFGetVersion)                                                                              \
    X(TIFFIsCODECConfigured)                                                                       \
    X(TIFFIsTiled)                                                                                 \
    X(TIFFLastDirectory)                                                                           \
    X(TIFFOpenOptionsAlloc)                                                                        \
    X(TIFFOpenOptionsFree)                                                                         \
    X(TIFFOpenOptionsSetErrorHandlerExtR)                                                          \
    X(TIFFOpenOptionsSetMaxSingleMemAlloc)                                                         \
    X(TIFFOpenOptionsSetWarningHandlerExtR)                                                        \
    X(TIFFReadEncodedStrip)                                                                        \
    X(TIFFReadEncodedTile)                                                                         \
    X(TIFFScanlineSize64)                                                                          \
    X(TIFFSetField)                                                                                \
    X(TIFFTileRowSize64)

#define TIFF_MEMBER(name) __typeof__(name) *name;
struct tiff_api {
    TIFF_FUNCTIONS(TIFF_MEMBER)
};
#undef TIFF_MEMBER
extern struct tiff_api tiff_api;

enum tiff_colours { TIFF_GREY, TIFF_GREY_INVERTED, TIFF_RGB, TIFF_MAP, TIFF_INK };

struct tiff_file {
    const struct source *source;
    TIFF *tiff;
    size_t at;     /* where libtiff reads */
    bool decoding; /* a warning means damage then */
    char message[200];
    uint32_t width, height;
    uint16_t bits, samples, format, photometric, planar, compression;
    int orientation;
    bool more; /* directories */
    /* Derived from the tags above: */
    enum tiff_colours colours;
    int stored;  /* samples of a pixel that are used: colours, and alpha */
    int dropped; /* samples behind them */
    bool alpha, associated;
    const uint16_t *map[3];     /* of TIFF_MAP, in libtiff's memory */
    struct image_header header; /* before it is turned */
    bool tiled;
    uint32_t block_width, block_height; /* of a tile, or the image's width and a strip's rows */
};

/* ERR_DATA for what is damaged, hostile, or of a kind that is not read, with a message that names
 * it. *file is to be closed in any case. */
int tiff_file_open(struct tiff_file *file, const struct source *source);
void tiff_file_close(struct tiff_file *file);

/* ERR_DATA with libtiff's words, or ERR_SYSTEM when it got no memory. */
int tiff_file_fail(const struct tiff_file *file);

/* Opens libtiff. */
int tiff_library_open(void);

/* The best that the file's compression can do, in bytes of samples for each of the file. */
size_t tiff_best_ratio(const struct tiff_file *file);

#endif
