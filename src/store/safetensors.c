#include "store/safetensors.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/retry.h"
#include "store/store_header.h"
#include "store/tensor_range.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little-endian");

struct store_file {
    char *path;
    uint8_t *map; /* the whole file */
    size_t bytes;
    dev_t device; /* of the file that is mapped: another may take its name */
    ino_t number;
    const uint8_t *data; /* the data section within */
    size_t data_bytes;
    struct store_header header;        /* entries sorted by offset, pairs by key */
    const struct store_entry **byname; /* entries sorted by name */
    uint8_t **copies;                  /* of tensors that a foreign file does not align */
    size_t copy_count;
    bool has_crcs; /* of its header, so of all tensors */
};

enum store_opening { STORE_WHOLE, STORE_OWN, STORE_LAZY };

static int store_bad(const struct store_file *file, const char *name, const char *what)
{
    return fail(ERR_DATA, "%s: damaged safetensors file: tensor %s: %s", file->path, name, what);
}

/* Maps `path`; checks only that it is a regular file of at least 10 bytes. Only that may be
 * ERR_DATA: a file that cannot be opened for the moment is not damaged. */
static int map_file(struct store_file *file, const char *path, enum store_opening how)
{
    int fd = -1;
    if (how == STORE_OWN)
        TRY(file_open_own(path, O_RDONLY, ERR_INPUT, &fd));
    else
        fd = retry_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) return fail_errno(ERR_INPUT, "open %s", path);
    struct stat info;
    int code = OK;
    if (fstat(fd, &info) != 0) {
        code = fail_errno(ERR_IO, "stat %s", path);
    } else if (S_ISDIR(info.st_mode)) {
        code = fail(ERR_DATA, "%s: a folder, not a model (.safetensors)", path);
    } else if (!S_ISREG(info.st_mode)) {
        code = fail(ERR_DATA, "%s is no regular file", path);
    } else if (info.st_size == 0) {
        code = fail(ERR_DATA, "%s: the file is empty", path);
    } else if (info.st_size < 10) {
        code = fail(ERR_DATA, "%s: no safetensors file: only %lld bytes", path,
                    (long long)info.st_size);
    } else {
        void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED) {
            code = fail_errno(ERR_SYSTEM, "map %s", path);
        } else {
            file->map = map;
            file->bytes = (size_t)info.st_size;
            file->device = info.st_dev;
            file->number = info.st_ino;
        }
    }
    retry_close(fd);
#ifdef MADV_POPULATE_READ
    /* A page that the disk cannot deliver is an error here instead of a SIGBUS later. */
    if (code == OK && how != STORE_LAZY &&
        madvise(file->map, file->bytes, MADV_POPULATE_READ) != 0 &&
        (errno == EFAULT || errno == EHWPOISON || errno == EIO))
        code = fail_errno(ERR_IO, "read %s", path);
#endif
    return code;
}

static int compare_offset(const void *a, const void *b)
{
    const struct store_entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->tensor.name, y->tensor.name);
}

static int compare_name(const void *a, const void *b)
{
    const struct store_entry *const *x = a, *const *y = b;
    return strcmp((*x)->tensor.name, (*y)->tensor.name);
}

static int compare_key(const void *a, const void *b)
{
    const struct store_pair *x = a, *y = b;
    return strcmp(x->key, y->key);
}

/* qsort and bsearch may not be given NULL. */
static void store_sort(void *base, size_t count, size_t element,
                       int (*compare)(const void *, const void *))
{
    if (count > 1) qsort(base, count, element, compare);
}

static int check_names(struct store_file *file)
{
    struct store_header *h = &file->header;
    store_sort(h->pairs, h->pair_count, sizeof *h->pairs, compare_key);
    for (size_t i = 1; i < h->pair_count; i++)
        if (strcmp(h->pairs[i - 1].key, h->pairs[i].key) == 0)
            return fail(ERR_DATA, "%s: damaged safetensors file: a metadata key stands twice",
                        file->path);
    file->byname = malloc((h->entry_count + 1) * sizeof(*file->byname));
    if (!file->byname) return fail(ERR_SYSTEM, "%s: out of memory", file->path);
    for (size_t i = 0; i < h->entry_count; i++)
        file->byname[i] = &h->entries[i];
    store_sort(file->byname, h->entry_count, sizeof(*file->byname), compare_name);
    for (size_t i = 1; i < h->entry_count; i++)
        if (compare_name(&file->byname[i - 1], &file->byname[i]) == 0)
            return store_bad(file, file->byname[i]->tensor.name, "stands twice");
    return OK;
}

/* Bytes of a tensor by its shape; false when they do not fit 63 bits. */
static bool shape_bytes(const struct store_tensor *tensor, uint64_t *bytes)
{
    int64_t product = (int64_t)tensor_type_bytes(tensor->type);
    for (int i = 0; i < tensor->dims; i++)
        if (__builtin_mul_overflow(product, tensor->shape[i], &product)) return false;
    *bytes = (uint64_t)product;
    return true;
}

static int check_offsets(struct store_file *file)
{
    struct store_header *h = &file->header;
    uint64_t at = 0;
    store_sort(h->entries, h->entry_count, sizeof *h->entries, compare_offset);
    for (size_t i = 0; i < h->entry_count; i++) {
        struct store_entry *e = &h->entries[i];
        uint64_t bytes;
        if (e->begin != at)
            return store_bad(file, e->tensor.name, "overlaps another or leaves a hole");
        if (e->end < e->begin || e->end > file->data_bytes)
            return store_bad(file, e->tensor.name, "ends outside of the file");
        if (!shape_bytes(&e->tensor, &bytes) || bytes != e->end - e->begin)
            return store_bad(file, e->tensor.name, "size is not the product of its shape");
        e->tensor.bytes = (size_t)bytes;
        e->tensor.data = file->data + e->begin;
        at = e->end;
    }
    if (at != file->data_bytes)
        return fail(ERR_DATA, "%s: damaged safetensors file: %zu bytes behind the last tensor",
                    file->path, (size_t)(file->data_bytes - at));
    return OK;
}

/* The header's own CRC stands right at its front. Without it no `crc32.NAME` may be there either:
 * a damaged key must not pass for a file that has no CRCs. */
static int check_header_crc(struct store_file *file)
{
    static const char front[] = STORE_CRC_FRONT, zeros[] = "00000000";
    const struct store_header *h = &file->header;
    const char *text = (const char *)file->map + 8;
    size_t length = sizeof front - 1, header_bytes = (size_t)(file->data - file->map);
    if (header_bytes < 8 + length + 8 || memcmp(text, front, length) != 0) {
        for (size_t i = 0; i < h->pair_count; i++)
            if (strncmp(h->pairs[i].key, "crc32.", 6) == 0)
                return fail(ERR_DATA, "%s: damaged safetensors file: the header has no CRC",
                            file->path);
        return OK;
    }
    uint32_t crc = store_crc(0, file->map, 8 + length);
    crc = store_crc(crc, (const uint8_t *)zeros, 8);
    crc = store_crc(crc, file->map + 8 + length + 8, header_bytes - 8 - length - 8);
    char digits[9];
    snprintf(digits, sizeof digits, "%08" PRIx32, crc);
    if (memcmp(text + length, digits, 8) != 0)
        return fail(ERR_DATA, "%s: damaged safetensors file: the header's CRC is wrong",
                    file->path);
    file->has_crcs = true;
    return OK;
}

static int check_tensor_crcs(const struct store_file *file)
{
    const struct store_header *h = &file->header;
    size_t checked = 0;
    for (size_t i = 0; i < h->pair_count; i++) {
        if (strncmp(h->pairs[i].key, "crc32.", 6) != 0) continue;
        const char *name = h->pairs[i].key + 6;
        const struct store_tensor *tensor = store_find(file, name);
        if (!tensor)
            return fail(ERR_DATA, "%s: damaged safetensors file: a CRC without its tensor",
                        file->path);
        char digits[9];
        snprintf(digits, sizeof digits, "%08" PRIx32, store_crc(0, tensor->data, tensor->bytes));
        if (strcmp(h->pairs[i].value, digits) != 0)
            return store_bad(file, name, "its CRC is wrong");
        checked++;
    }
    if (file->has_crcs && checked != h->entry_count)
        return fail(ERR_DATA, "%s: damaged safetensors file: a tensor without its CRC", file->path);
    return OK;
}

/* Copies tensors that a file of another writer does not align. */
static int align_tensors(struct store_file *file)
{
    struct store_header *h = &file->header;
    for (size_t i = 0; i < h->entry_count; i++) {
        struct store_tensor *tensor = &h->entries[i].tensor;
        if ((uintptr_t)tensor->data % tensor_type_bytes(tensor->type) == 0) continue;
        if (!file->copies) file->copies = calloc(h->entry_count, sizeof *file->copies);
        uint8_t *copy = file->copies ? malloc(tensor->bytes + 1) : NULL;
        if (!copy) return fail(ERR_SYSTEM, "%s: out of memory", file->path);
        memcpy(copy, tensor->data, tensor->bytes);
        tensor->data = copy;
        tensor->is_copy = true;
        file->copies[file->copy_count++] = copy;
    }
    return OK;
}

/* Names the kind of a file that is no safetensors file. */
static int store_check_kind(const struct store_file *file)
{
    size_t head = file->bytes < FILE_KIND_BYTES ? file->bytes : FILE_KIND_BYTES;
    struct file_kind kind = file_kind_of(file->map, head);
    if (kind.class == FILE_MODEL || kind.class == FILE_UNKNOWN) return OK;
    return file_kind_fail(ERR_DATA, file->path, kind, "a model (.safetensors)");
}

static int store_read_header(struct store_file *file)
{
    uint64_t length;
    TRY(store_check_kind(file));
    memcpy(&length, file->map, sizeof length);
    if (length > STORE_HEADER_MAX)
        return fail(ERR_DATA, "%s: damaged or no safetensors file: header of more than 16 MiB",
                    file->path);
    if (length > file->bytes - 8)
        return fail(ERR_DATA, "%s: damaged safetensors file: ends within its header", file->path);
    file->data = file->map + 8 + length;
    file->data_bytes = file->bytes - 8 - (size_t)length;
    return store_header_parse(&file->header, (const char *)file->map + 8, (size_t)length,
                              file->path);
}

static int open_file(struct store_file **out, const char *path, enum store_opening how)
{
    *out = NULL;
    int code = OK;
    struct store_file *file = calloc(1, sizeof *file);
    if (!file || !(file->path = strdup(path))) {
        code = fail(ERR_SYSTEM, "out of memory");
        goto cleanup;
    }
    TRY_CLEANUP(map_file(file, path, how));
    TRY_CLEANUP(store_read_header(file));
    TRY_CLEANUP(check_header_crc(file));
    TRY_CLEANUP(check_offsets(file));
    TRY_CLEANUP(check_names(file));
    if (how != STORE_LAZY) TRY_CLEANUP(check_tensor_crcs(file));
    TRY_CLEANUP(align_tensors(file));
    *out = file;
    return OK;
cleanup:
    store_close(file);
    return code;
}

int store_open(struct store_file **out, const char *path)
{
    return open_file(out, path, STORE_WHOLE);
}

int store_open_own(struct store_file **out, const char *path)
{
    return open_file(out, path, STORE_OWN);
}

int store_open_lazy(struct store_file **out, const char *path)
{
    return open_file(out, path, STORE_LAZY);
}

/* The descriptor of the file that is mapped, opened anew. */
static int reopen_file(const struct store_file *file, int *fd)
{
    struct stat info;
    *fd = retry_open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    if (*fd < 0) return fail_errno(ERR_IO, "open %s again", file->path);
    if (fstat(*fd, &info) == 0 && info.st_dev == file->device && info.st_ino == file->number)
        return OK;
    retry_close(*fd);
    return fail(ERR_IO, "%s: another file has taken its place", file->path);
}

int store_read_bytes(const struct store_file *file, const struct store_tensor *tensor, void *to)
{
    const struct store_entry *entry = (const void *)tensor; /* its first member */
    size_t at = (size_t)(file->data - file->map) + (size_t)entry->begin, done = 0;
    int fd;
    TRY(reopen_file(file, &fd));
    int code = OK;
    while (code == OK && done < tensor->bytes) {
        ssize_t got = retry_pread(fd, (char *)to + done, tensor->bytes - done, (off_t)(at + done));
        if (got < 0) code = fail_errno(ERR_IO, "read %s", file->path);
        if (got == 0) code = fail(ERR_IO, "%s: the file got smaller", file->path);
        if (got > 0) done += (size_t)got;
    }
    retry_close(fd);
    return code;
}

int store_check_crcs(const struct store_file *file)
{
    return check_tensor_crcs(file);
}

void store_close(struct store_file *file)
{
    if (!file) return;
    for (size_t i = 0; i < file->copy_count; i++)
        free(file->copies[i]);
    free(file->copies);
    free(file->byname);
    store_header_free(&file->header);
    if (file->map) munmap(file->map, file->bytes);
    free(file->path);
    free(file);
}

const char *store_path(const struct store_file *file)
{
    return file->path;
}

size_t store_bytes(const struct store_file *file)
{
    return file->bytes;
}

bool store_has_crcs(const struct store_file *file)
{
    return file->has_crcs;
}

int store_count(const struct store_file *file)
{
    return (int)file->header.entry_count;
}

const struct store_tensor *store_at(const struct store_file *file, int index)
{
    return &file->header.entries[index].tensor;
}

const struct store_tensor *store_find(const struct store_file *file, const char *name)
{
    struct store_entry wanted = {.tensor.name = name};
    const struct store_entry *key = &wanted;
    const struct store_entry **found =
        bsearch(&key, file->byname, file->header.entry_count, sizeof(*file->byname), compare_name);
    return found ? &(*found)->tensor : NULL;
}

enum { SHAPE_BYTES = sizeof "[]" + TENSOR_MAX_DIMS * sizeof ", -9223372036854775808" };

/* "[3, 4]" */
static void shape_text(int dims, const int64_t *shape, char text[SHAPE_BYTES])
{
    int used = sprintf(text, "[");
    for (int i = 0; i < dims; i++)
        used += sprintf(text + used, "%s%" PRId64, i ? ", " : "", shape[i]);
    strcpy(text + used, "]");
}

static bool is_half(const struct store_tensor *tensor)
{
    return tensor->type == TENSOR_F16 || tensor->type == TENSOR_BF16;
}

static int expect_tensor(const struct store_file *file, const char *name, int dims,
                         const int64_t *shape, bool half_will_do)
{
    const struct store_tensor *tensor = store_find(file, name);
    if (!tensor) return fail(ERR_DATA, "%s: tensor %s is missing", file->path, name);
    bool same =
        tensor->dims == dims && (tensor->type == TENSOR_F32 || (half_will_do && is_half(tensor)));
    for (int i = 0; same && i < dims; i++)
        same = tensor->shape[i] == shape[i];
    if (!same) {
        char has[SHAPE_BYTES], wants[SHAPE_BYTES];
        shape_text(tensor->dims, tensor->shape, has);
        shape_text(dims, shape, wants);
        return fail(ERR_DATA, "%s: tensor %s is %s %s, expected F32 %s", file->path, name,
                    tensor_type_name(tensor->type), has, wants);
    }
    return OK;
}

int store_expect_f32(const struct store_file *file, const char *name, int dims,
                     const int64_t *shape)
{
    return expect_tensor(file, name, dims, shape, false);
}

int store_expect_float(const struct store_file *file, const char *name, int dims,
                       const int64_t *shape)
{
    return expect_tensor(file, name, dims, shape, true);
}

int store_read_f32(const struct store_file *file, const char *name, int dims, const int64_t *shape,
                   float *out)
{
    TRY(store_expect_f32(file, name, dims, shape));
    const struct store_tensor *tensor = store_find(file, name);
    if (tensor->bytes) memcpy(out, tensor->data, tensor->bytes);
    return OK;
}

int store_read_float(const struct store_file *file, const char *name, int dims,
                     const int64_t *shape, float *out)
{
    TRY(store_expect_float(file, name, dims, shape));
    const struct store_tensor *tensor = store_find(file, name);
    if (!is_half(tensor)) return store_read_f32(file, name, dims, shape, out);
    for (size_t i = 0; i < tensor->bytes / 2; i++)
        out[i] = (float)tensor_number(tensor, i);
    return OK;
}

const char *store_get(const struct store_file *file, const char *key)
{
    const struct store_header *h = &file->header;
    struct store_pair wanted = {.key = key};
    if (h->pair_count == 0) return NULL;
    const struct store_pair *found =
        bsearch(&wanted, h->pairs, h->pair_count, sizeof *h->pairs, compare_key);
    return found ? found->value : NULL;
}

int store_get_int(const struct store_file *file, const char *key, int64_t *value)
{
    const char *text = store_get(file, key);
    if (!text) return fail(ERR_DATA, "%s: metadata has no %s", file->path, key);
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || text[0] == ' ')
        return fail(ERR_DATA, "%s: metadata %s is no whole number", file->path, key);
    *value = number;
    return OK;
}

int store_get_double(const struct store_file *file, const char *key, double *value)
{
    const char *text = store_get(file, key);
    if (!text) return fail(ERR_DATA, "%s: metadata has no %s", file->path, key);
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end || text[0] == ' ')
        return fail(ERR_DATA, "%s: metadata %s is no number", file->path, key);
    *value = number;
    return OK;
}

int store_metadata_count(const struct store_file *file)
{
    return (int)file->header.pair_count;
}

void store_metadata_at(const struct store_file *file, int index, const char **key,
                       const char **value)
{
    *key = file->header.pairs[index].key;
    *value = file->header.pairs[index].value;
}
