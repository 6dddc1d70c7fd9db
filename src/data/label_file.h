/* Classes of images out of a file: a line "NAME,CLASS" for each image. */
#ifndef IMGTRAIN_DATA_LABEL_FILE_H
#define IMGTRAIN_DATA_LABEL_FILE_H

#include "data/captions.h"

/* The classes, in the order of their numbers where all are whole numbers, else of their bytes, and
 * which of them each image `name(context, i)` has. A line has two fields between which a tab, a
 * comma, a semicolon or (without any of these) blanks stand; in "" a field may hold them. NAME is
 * an image's path in its folder, or, as long as one image alone has it, the path's last part or
 * either without its ending. Empty lines and those that begin with # count for nothing, nor does a
 * first line that names no image (a heading). ERR_INPUT, ERR_DATA (path:line:column): a line of
 * another kind, two classes for an image, images without one, only one class. *labels is to be
 * freed in any case by captions_free. */
int label_file_read(struct captions *labels, const char *path, int count,
                    const char *(*name)(const void *context, int i), const void *context);

#endif
