#include "store/npy.h"

#include "base/error.h"
#include "base/file_atomic.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NPY_PREFIX = 10, NPY_PREFIX_V2 = 12, NPY_UNIT = 64, NPY_HEADER_MOST = 1 << 16 };

static const char npy_magic[] = "\x93NUMPY";

bool npy_is(const uint8_t *data, size_t bytes)
{
    return bytes >= sizeof npy_magic - 1 && memcmp(data, npy_magic, sizeof npy_magic - 1) == 0;
}

/* What the header says of the array. */
struct npy_header {
    int word; /* bytes of a number */
    int rows, columns;
    size_t data; /* where the numbers begin */
};

/* Behind 'KEY': in the header, which is a Python dict; NULL: not there. */
static const char *npy_value(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at) return NULL;
    at += strlen(key);
    at += strspn(at, " ");
    if (*at != ':') return NULL;
    return at + 1 + strspn(at + 1, " ");
}

/* "(5, 64)" or "(64,)". */
static bool npy_parse_shape(const char *text, struct npy_header *h)
{
    long sides[2];
    int count = 0;
    if (!text || *text++ != '(') return false;
    for (text += strspn(text, " "); *text != ')'; text += strspn(text, " ,")) {
        char *end;
        if (count == 2 || *text < '0' || *text > '9') return false;
        sides[count] = strtol(text, &end, 10);
        if (sides[count] < 1 || sides[count] > INT_MAX) return false;
        count++;
        text = end;
    }
    if (count == 0) return false;
    h->rows = count == 2 ? (int)sides[0] : 1;
    h->columns = (int)sides[count - 1];
    return true;
}

static int npy_parse_header(const uint8_t *data, size_t bytes, const char *path,
                            struct npy_header *h)
{
    bool long_form = bytes > NPY_PREFIX_V2 && data[6] >= 2;
    size_t prefix = long_form ? NPY_PREFIX_V2 : NPY_PREFIX, length = 0;
    char text[NPY_HEADER_MOST];
    if (bytes < prefix || !npy_is(data, bytes)) return fail(ERR_DATA, "%s: no npy file", path);
    for (size_t i = prefix; i-- > 8;)
        length = length << 8 | data[i];
    if (length >= sizeof text || length > bytes - prefix)
        return fail(ERR_DATA, "%s: its header is cut or too long", path);
    memcpy(text, data + prefix, length);
    text[length] = '\0';
    const char *type = npy_value(text, "'descr'"), *order = npy_value(text, "'fortran_order'");
    h->word = !type                            ? 0
              : strncmp(type, "'<f4'", 5) == 0 ? 4
              : strncmp(type, "'<f8'", 5) == 0 ? 8
                                               : 0;
    if (!h->word)
        return fail(ERR_DATA, "%s: its numbers are %.8s, '<f4' or '<f8' is needed", path,
                    type ? type : "of no type");
    if (!order || strncmp(order, "False", 5) != 0)
        return fail(ERR_DATA, "%s: an array in Fortran's order; save it in C order", path);
    if (!npy_parse_shape(npy_value(text, "'shape'"), h))
        return fail(ERR_DATA, "%s: its shape is not (rows, columns) or (columns,)", path);
    h->data = prefix + length;
    return OK;
}

int npy_parse(const uint8_t *data, size_t bytes, const char *path, float **values, int *rows,
              int *columns)
{
    struct npy_header h;
    *values = NULL;
    TRY(npy_parse_header(data, bytes, path, &h));
    size_t count = (size_t)h.rows * (size_t)h.columns;
    if ((bytes - h.data) / (size_t)h.word != count || (bytes - h.data) % (size_t)h.word)
        return fail(ERR_DATA, "%s: it does not hold %d x %d numbers", path, h.rows, h.columns);
    float *to = malloc(count * sizeof *to);
    if (!to) return fail(ERR_SYSTEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        double wide = 0;
        if (h.word == 8)
            memcpy(&wide, data + h.data + 8 * i, 8);
        else
            memcpy(&to[i], data + h.data + 4 * i, 4);
        if (h.word == 8) to[i] = (float)wide;
        if (isfinite(to[i])) continue;
        free(to);
        return fail(ERR_DATA, "%s: number %zu of row %zu is not finite", path,
                    i % (size_t)h.columns, i / (size_t)h.columns);
    }
    *values = to;
    *rows = h.rows;
    *columns = h.columns;
    return OK;
}

int npy_write(const char *path, const float *values, int rows, int columns)
{
    char head[2 * NPY_UNIT];
    size_t bytes = (size_t)rows * (size_t)columns * sizeof *values;
    struct file_atomic file;
    memset(head, ' ', sizeof head);
    memcpy(head, npy_magic, sizeof npy_magic - 1);
    memcpy(head + 6, "\1\0", 2);
    head[8] = (char)(sizeof head - NPY_PREFIX);
    head[9] = 0;
    int used =
        snprintf(head + NPY_PREFIX, sizeof head - NPY_PREFIX,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", rows, columns);
    head[NPY_PREFIX + used] = ' ';
    head[sizeof head - 1] = '\n';
    TRY(file_atomic_open(&file, path, sizeof head + bytes));
    int code = file_atomic_write(&file, head, sizeof head);
    if (code == OK) code = file_atomic_write(&file, values, bytes);
    if (code == OK) return file_atomic_commit(&file, false);
    file_atomic_abort(&file);
    return code;
}
