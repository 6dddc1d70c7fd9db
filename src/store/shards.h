/* The weights of one component of a model folder: STEM.safetensors, or the files (shards) that
 * STEM.safetensors.index.json tells by name. Only headers are read here. */
#ifndef IMGTRAIN_STORE_SHARDS_H
#define IMGTRAIN_STORE_SHARDS_H

#include "store/safetensors.h"

struct store_shards;

/* stems: ends with NULL; the first that is there counts, an index before a file. A shard may be a
 * link. ERR_INPUT where none is there or a shard is missing; ERR_DATA, naming file and tensor:
 * damage, a tensor in two shards, an index that names a tensor that its file lacks or a file
 * outside of the folder. */
int store_shards_open(struct store_shards **shards, const char *folder, const char *const *stems);
/* One file that is all of them. */
int store_shards_open_file(struct store_shards **shards, const char *path);
void store_shards_close(struct store_shards *shards); /* accepts NULL */

int store_shards_count(const struct store_shards *shards);
const struct store_file *store_shards_at(const struct store_shards *shards, int index);
int store_shards_tensor_count(const struct store_shards *shards);

/* NULL where no shard has it. *file (may be NULL): which one has. Borrowed. */
const struct store_tensor *store_shards_find(const struct store_shards *shards, const char *name,
                                             const struct store_file **file);

/* store_read_bytes of the shard that has it; ERR_INTERNAL where none does. */
int store_shards_read(const struct store_shards *shards, const struct store_tensor *tensor,
                      void *to);

/* The tensor of this shape in F32, F16 or BF16. ERR_DATA names file, tensor and both shapes. */
int store_shards_expect(const struct store_shards *shards, const char *name, int dims,
                        const int64_t *shape, const struct store_tensor **tensor);

/* Small files are read wholly anyway: damage in those with CRCs is found before it is computed
 * with. ERR_DATA. */
int store_shards_check_small(const struct store_shards *shards);
/* Says in a line that there are more tensors than `used`, naming the first that is not used. */
void store_shards_warn_unused(const struct store_shards *shards, int used,
                              bool (*is_used)(const void *context, const char *name),
                              const void *context);

#endif
