/* safetensors files: named tensors and string metadata in one file.
 * Format: u64 little-endian header length, JSON header padded with spaces to 8 bytes, tensor bytes.
 * https://huggingface.co/docs/safetensors */
#ifndef IMGTRAIN_STORE_SAFETENSORS_H
#define IMGTRAIN_STORE_SAFETENSORS_H

#include "store/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- writing: collect, then write at once. Names and metadata are copied, tensor data is borrowed
 * until store_write returns. */
struct store_writer;

struct store_writer *store_writer_create(void); /* NULL without memory */
void store_writer_free(struct store_writer *writer);

/* shape: `dims` sizes. ERR_INTERNAL for a name used twice, "__metadata__" and control characters.
 */
int store_add(struct store_writer *writer, const char *name, enum tensor_type type, int dims,
              const int64_t *shape, const void *data);
int store_add_f32(struct store_writer *writer, const char *name, int64_t rows, int64_t columns,
                  const float *data); /* shape [rows, columns] */
/* Metadata; a key set again gets the new value. Keys that begin with "crc32" are the writer's own.
 */
int store_set(struct store_writer *writer, const char *key, const char *value);
int store_set_int(struct store_writer *writer, const char *key, int64_t value);
int store_set_double(struct store_writer *writer, const char *key, double value); /* %.17g */

/* The name of the first float tensor that holds a NaN or an infinity; NULL when there is none.
 * Borrowed. */
const char *store_find_nonfinite(const struct store_writer *writer);

/* How large the file will be. */
int store_writer_bytes(const struct store_writer *writer, size_t *bytes);

/* Writes tensors in the order of their names (by falling alignment first), atomically. The metadata
 * gets a CRC-32 of each tensor (`crc32.NAME`) and, as its first key, one of the header itself
 * (`crc32`, taken with its own eight digits as zeros), so that no flipped bit goes unseen. Bytes
 * that are no UTF-8 become U+FFFD. */
int store_write(struct store_writer *writer, const char *path, bool sync);

/* ---- reading: the file is mapped read-only and wholly checked before the first answer. */
struct store_file;

/* ERR_INPUT when missing; ERR_DATA, naming path and fault, for anything that is no sound file:
 * header over 16 MiB, overlap, hole, size not the product of the shape, wrong total length,
 * duplicate name or key, wrong CRC (of files that have CRCs, which are of all or of nothing in it).
 * A file that cannot be opened or read for the moment is never ERR_DATA, but ERR_SYSTEM, ERR_IO or
 * ERR_ACCESS. */
int store_open(struct store_file **file, const char *path);
/* The same for a file of a run folder: ERR_ACCESS when it is a link (file_open_own). */
int store_open_own(struct store_file **file, const char *path);
/* Reads the header alone: for files larger than memory, of which a part is wanted. A page that the
 * disk cannot deliver is then a SIGBUS. */
int store_open_lazy(struct store_file **file, const char *path);
/* What store_open checks of tensors' bytes, for a file that was opened so. */
int store_check_crcs(const struct store_file *file);
void store_close(struct store_file *file); /* accepts NULL */

/* The bytes of one of its tensors, as they are stored, by reading the file instead of the mapping:
 * in long pieces, which a network's disk is faster with. ERR_IO, also where the file was replaced
 * or got smaller. */
int store_read_bytes(const struct store_file *file, const struct store_tensor *tensor, void *to);

const char *store_path(const struct store_file *file);
size_t store_bytes(const struct store_file *file); /* of the whole file */
/* Whether the header and each tensor have a CRC, as in all files that this program wrote. */
bool store_has_crcs(const struct store_file *file);
int store_count(const struct store_file *file);
/* In the order of the file. */
const struct store_tensor *store_at(const struct store_file *file, int index);
const struct store_tensor *store_find(const struct store_file *file,
                                      const char *name); /* or NULL */

/* ERR_DATA, naming what differs, unless there is an f32 tensor `name` with exactly this shape. */
int store_expect_f32(const struct store_file *file, const char *name, int dims,
                     const int64_t *shape);
/* The same; a tensor of half precision (f16, bf16) will do. */
int store_expect_float(const struct store_file *file, const char *name, int dims,
                       const int64_t *shape);
/* The f32 tensor `name` with exactly this shape, copied into `out`; ERR_DATA names what differs. */
int store_read_f32(const struct store_file *file, const char *name, int dims, const int64_t *shape,
                   float *out);

/* The same; numbers of half precision are widened. */
int store_read_float(const struct store_file *file, const char *name, int dims,
                     const int64_t *shape, float *out);

/* Metadata, sorted by key: NULL / ERR_DATA when absent or malformed. */
const char *store_get(const struct store_file *file, const char *key);
int store_get_int(const struct store_file *file, const char *key, int64_t *value);
int store_get_double(const struct store_file *file, const char *key, double *value);
int store_metadata_count(const struct store_file *file);
void store_metadata_at(const struct store_file *file, int index, const char **key,
                       const char **value);

#endif
