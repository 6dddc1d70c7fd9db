/* The tensors between the stages of `imgtrain generate`, for --dump. */
#ifndef IMGTRAIN_CMD_GENERATE_GENERATE_DUMP_H
#define IMGTRAIN_CMD_GENERATE_GENERATE_DUMP_H

#include <stdint.h>

struct generate_dump;

struct generate_dump *generate_dump_open(void); /* NULL without memory */
/* Copies the tensor. image: whose it is, prefixed where it is not the first; below 0: of all. */
int generate_dump_add(struct generate_dump *dump, int image, const char *name, int dims,
                      const int64_t *shape, const float *data);
int generate_dump_write(struct generate_dump *dump, const char *path);
void generate_dump_close(struct generate_dump *dump); /* accepts NULL */

#endif
