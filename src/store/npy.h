/* NumPy's files of one array (.npy, https://numpy.org/neps/nep-0001-npy-format.html): tables of
 * floats. */
#ifndef IMGTRAIN_STORE_NPY_H
#define IMGTRAIN_STORE_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether these bytes begin as such a file does. */
bool npy_is(const uint8_t *data, size_t bytes);

/* The array of a whole file in memory into *values (malloc), [rows][columns]: little-endian f4 or
 * f8 in C order, of one dimension (a single row) or two. `path` for messages. ERR_DATA for any
 * other, and for what is not finite as a float; ERR_SYSTEM. */
int npy_parse(const uint8_t *data, size_t bytes, const char *path, float **values, int *rows,
              int *columns);

/* values [rows][columns] as f4. ERR_OUTPUT, ERR_IO. */
int npy_write(const char *path, const float *values, int rows, int columns);

#endif
