/* The kind of a file, told by its first bytes, in words for the user. */
#ifndef IMGTRAIN_BASE_FILE_KIND_H
#define IMGTRAIN_BASE_FILE_KIND_H

#include <stddef.h>

enum file_class {
    FILE_UNKNOWN, /* what: NULL */
    FILE_EMPTY,
    FILE_IMAGE,
    FILE_MODEL, /* safetensors */
    FILE_OTHER,
};

struct file_kind {
    enum file_class class;
    const char *what;   /* "a WebP image" */
    const char *advice; /* what to do about it, or NULL */
};

/* `head`: the first FILE_KIND_BYTES of the file, or all. */
enum { FILE_KIND_BYTES = 512 };
struct file_kind file_kind_of(const void *head, size_t bytes);

/* The kind of the file at `path`; FILE_UNKNOWN for a folder and for a file that cannot be read. */
struct file_kind file_kind_of_path(const char *path);

/* fail() with "NAME: a Git LFS pointer, not a model: ADVICE". wanted: "a model". FILE_UNKNOWN is
 * "not a model" alone. */
int file_kind_fail(int code, const char *name, struct file_kind kind, const char *wanted);

#endif
