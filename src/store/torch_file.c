#include "store/torch_file.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/utf8.h"
#include "store/pickle.h"
#include "store/zip_stored.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS_MOST = 16384, LISTED_KEYS = 8, UNWRAPPED_MOST = 4 };

struct torch_file {
    char *path;
    struct file_map map;
    struct pickle *pickle;
    struct zip_stored zip; /* of an archive; or `keys` alone */
    char *folder;          /* of the archive: "archive/data/"; "" without archive */
    struct pickle *keys_pickle;
    struct store_tensor *tensors;
    char **names; /* NULL behind the last */
    void **copies;
    int count, copy_count, left_out;
    size_t copied;
    bool is_checked;
    char key[64];
};

static const struct {
    const char *name;
    enum tensor_type type;
} storages[] = {
    {"torch.FloatStorage", TENSOR_F32},     {"torch.HalfStorage", TENSOR_F16},
    {"torch.BFloat16Storage", TENSOR_BF16}, {"torch.DoubleStorage", TENSOR_F64},
    {"torch.LongStorage", TENSOR_I64},      {"torch.IntStorage", TENSOR_I32},
    {"torch.ShortStorage", TENSOR_I16},     {"torch.CharStorage", TENSOR_I8},
    {"torch.ByteStorage", TENSOR_U8},       {"torch.BoolStorage", TENSOR_BOOL},
};

/* ---- numbers that are kept beside the pickle ---- */

struct torch_storage {
    const struct pickle_value *key;
    enum tensor_type type;
    size_t count;
};

static const struct pickle_value *item_of(const struct pickle_value *value, uint32_t index,
                                          enum pickle_kind kind)
{
    if (value->kind != PICKLE_TUPLE || index >= value->count) return NULL;
    return value->items[index]->kind == kind ? value->items[index] : NULL;
}

/* ("storage", torch.FloatStorage, KEY, DEVICE, COUNT, VIEW) */
static int read_storage(const struct torch_file *file, const struct pickle_value *value,
                        struct torch_storage *storage)
{
    const struct pickle_value *it = value->arguments, *count = item_of(it, 4, PICKLE_INT);
    const struct pickle_value *word = item_of(it, 0, PICKLE_TEXT);
    const struct pickle_value *type = item_of(it, 1, PICKLE_GLOBAL);
    storage->key = item_of(it, 2, PICKLE_TEXT);
    if (!word || !pickle_is_text(word, "storage") || !type || !storage->key || !count ||
        count->integer < 0)
        return fail(ERR_DATA,
                    "%s: no PyTorch file: its pickle refers to something else than tensors",
                    file->path);
    if (it->count > 5 && it->items[5]->kind != PICKLE_NONE)
        return fail(ERR_DATA, "%s: of a PyTorch before 0.4: load and save it with a newer one",
                    file->path);
    storage->count = (size_t)count->integer;
    for (size_t i = 0; i < sizeof storages / sizeof *storages; i++)
        if (pickle_is_global(type, storages[i].name)) {
            storage->type = storages[i].type;
            return OK;
        }
    return fail(ERR_DATA, "%s: numbers of type %s are not supported", file->path,
                pickle_global_name(type).text);
}

/* *entry: NULL where there is none. */
static int find_storage(const struct torch_file *file, const struct pickle_value *key,
                        struct zip_entry **entry)
{
    size_t folder = strlen(file->folder), bytes = folder + key->count;
    char *name = malloc(bytes + 1);
    if (!name) return fail(ERR_SYSTEM, "%s: out of memory", file->path);
    memcpy(name, file->folder, folder);
    memcpy(name + folder, key->text, key->count);
    *entry = zip_stored_find(&file->zip, name, bytes);
    free(name);
    return OK;
}

static int fail_compressed(const struct torch_file *file)
{
    return fail(ERR_DATA,
                "%s: compressed, which PyTorch's files are not: unzip it and zip it with -0",
                file->path);
}

/* ---- tensors ---- */

static int torch_read_sizes(const struct pickle_value *value, int64_t *sizes, int *count)
{
    if (!value || value->kind != PICKLE_TUPLE || value->count > TENSOR_MAX_DIMS) return -1;
    for (uint32_t i = 0; i < value->count; i++) {
        if (value->items[i]->kind != PICKLE_INT || value->items[i]->integer < 0) return -1;
        sizes[i] = value->items[i]->integer;
    }
    *count = (int)value->count;
    return 0;
}

/* How the numbers of a tensor lie in its storage. */
struct torch_layout {
    int dims;
    int64_t shape[TENSOR_MAX_DIMS], stride[TENSOR_MAX_DIMS], offset;
    int64_t count; /* of numbers */
    bool is_contiguous;
};

/* 0, or -1 where it reaches beyond `room` numbers or has more numbers than these. A stride that is
 * not gone along may be any number: it becomes 0. */
static int torch_check_layout(struct torch_layout *l, size_t room)
{
    int64_t last = l->offset, step;
    l->count = 1;
    l->is_contiguous = true;
    for (int i = l->dims - 1; i >= 0; i--) {
        if (l->shape[i] <= 1) l->stride[i] = 0;
        if (l->shape[i] > 1 && l->stride[i] != l->count) l->is_contiguous = false;
        if (__builtin_mul_overflow(l->count, l->shape[i], &l->count)) return -1;
        if (l->shape[i] > 0 && (__builtin_mul_overflow(l->shape[i] - 1, l->stride[i], &step) ||
                                __builtin_add_overflow(last, step, &last)))
            return -1;
    }
    if (l->count == 0) l->offset = 0;
    if (l->count == 0) return 0;
    return (uint64_t)l->count <= room && (uint64_t)last < room ? 0 : -1;
}

/* The numbers in order, and aligned. Copies of one storage over and over would need more memory
 * than the file is large. */
static int copy_numbers(struct torch_file *file, const struct torch_layout *l, const uint8_t *from,
                        size_t size, const void **out)
{
    size_t bytes = (size_t)l->count * size;
    file->copied += bytes;
    if (file->copied > 4 * file->map.bytes)
        return fail(ERR_DATA, "%s: its tensors have more numbers than the file", file->path);
    uint8_t *to = malloc(bytes + 1);
    if (!to) return fail(ERR_SYSTEM, "out of memory");
    file->copies[file->copy_count++] = to;
    *out = to;
    int64_t at[TENSOR_MAX_DIMS] = {0};
    for (int64_t i = 0, place = l->offset; i < l->count; i++) {
        memcpy(to + (size_t)i * size, from + (size_t)place * size, size);
        for (int d = l->dims - 1; d >= 0; d--) {
            place += l->stride[d];
            if (++at[d] < l->shape[d]) break;
            place -= l->stride[d] * l->shape[d];
            at[d] = 0;
        }
    }
    return OK;
}

/* What torch.save makes of a tensor: the call that makes it again; NULL where it is none. */
static const struct pickle_value *tensor_call(const struct pickle_value *value)
{
    static const char *const wrapped[] = {"torch._utils._rebuild_parameter",
                                          "torch._utils._rebuild_parameter_with_state"};
    for (int i = 0; i < 2 && value->kind == PICKLE_CALL; i++)
        for (size_t k = 0; k < sizeof wrapped / sizeof *wrapped; k++)
            if (pickle_is_global(value->function, wrapped[k]) &&
                item_of(value->arguments, 0, PICKLE_CALL))
                value = value->arguments->items[0];
    if (value->kind != PICKLE_CALL || value->function->kind != PICKLE_GLOBAL) return NULL;
    return strncmp(pickle_global_name(value->function).text, "torch._utils._rebuild_", 22) == 0
               ? value
               : NULL;
}

static int tensor_bad(const struct torch_file *file, const char *name, const char *what)
{
    return fail(ERR_DATA, "%s: tensor %s %s", file->path, name, what);
}

static int torch_read_tensor(struct torch_file *file, const struct pickle_value *call,
                             const char *name, struct store_tensor *tensor)
{
    const struct pickle_value *given = call->arguments;
    struct torch_storage storage = {0};
    struct torch_layout l = {0};
    int strides = 0;
    if (!pickle_is_global(call->function, "torch._utils._rebuild_tensor_v2") &&
        !pickle_is_global(call->function, "torch._utils._rebuild_tensor"))
        return fail(ERR_DATA, "%s: tensor %s is of a kind that is not supported: %s", file->path,
                    name, pickle_global_name(call->function).text);
    const struct pickle_value *from = item_of(given, 0, PICKLE_PERSISTENT);
    const struct pickle_value *offset = item_of(given, 1, PICKLE_INT);
    if (!from || !offset || offset->integer < 0 ||
        torch_read_sizes(item_of(given, 2, PICKLE_TUPLE), l.shape, &l.dims) < 0 ||
        torch_read_sizes(item_of(given, 3, PICKLE_TUPLE), l.stride, &strides) < 0 ||
        strides != l.dims)
        return tensor_bad(file, name, "is described in a way that is not known");
    l.offset = offset->integer;
    TRY(read_storage(file, from, &storage));
    size_t size = tensor_type_bytes(storage.type);
    struct zip_entry *entry = NULL;
    TRY(find_storage(file, storage.key, &entry));
    if (!entry) return tensor_bad(file, name, "has no numbers in the file");
    if (!entry->data) return fail_compressed(file);
    if (torch_check_layout(&l, entry->bytes / size) < 0)
        return tensor_bad(file, name, "has other numbers in the file than its shape says");
    if (file->is_checked && !zip_entry_is_sound(entry))
        return tensor_bad(file, name, "is damaged: the checksum of its numbers is wrong");
    *tensor = (struct store_tensor){.name = name,
                                    .type = storage.type,
                                    .dims = l.dims,
                                    .data = entry->data + (size_t)l.offset * size,
                                    .bytes = (size_t)l.count * size};
    memcpy(tensor->shape, l.shape, sizeof l.shape);
    if (l.count > 0 && (!l.is_contiguous || (uintptr_t)tensor->data % size != 0))
        return copy_numbers(file, &l, entry->data, size, &tensor->data);
    return OK;
}

/* ---- which tensors ---- */

static bool is_mapping(const struct pickle_value *value)
{
    return value->kind == PICKLE_DICT || (value->kind == PICKLE_CALL && value->count > 0);
}

static const struct pickle_value *mapping_find(const struct pickle_value *mapping, const char *key)
{
    for (uint32_t i = 0; i + 1 < mapping->count; i += 2)
        if (pickle_is_text(mapping->items[i], key)) return mapping->items[i + 1];
    return NULL;
}

static int count_tensors(const struct pickle_value *mapping)
{
    int count = 0;
    for (uint32_t i = 0; i + 1 < mapping->count; i += 2)
        count += tensor_call(mapping->items[i + 1]) != NULL;
    return count;
}

/* Whether a text, from byte `skip` on, can be the name of a tensor in a safetensors file. */
static bool is_sound_name(const struct pickle_value *text, size_t skip)
{
    static const char metadata[] = "__metadata__";
    if (text->kind != PICKLE_TEXT || text->count <= skip || text->count > 1024) return false;
    for (size_t at = skip; at < text->count;) {
        size_t length = utf8_length(text->text + at, text->count - at);
        unsigned char c = (unsigned char)text->text[at];
        if (length == 0 || c < 0x20 || c == 0x7F) return false;
        at += length;
    }
    return text->count - skip != sizeof metadata - 1 ||
           memcmp(text->text + skip, metadata, sizeof metadata - 1) != 0;
}

/* "epoch, optimizer" */
static void list_keys(const struct pickle_value *mapping, char *text, size_t room)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0, shown = 0; i + 1 < mapping->count && used + 1 < room; i += 2) {
        if (!is_sound_name(mapping->items[i], 0)) continue;
        if (++shown > LISTED_KEYS) {
            snprintf(text + used, room - used, ", ...");
            return;
        }
        used += (size_t)snprintf(text + used, room - used, "%s%.*s", used ? ", " : "",
                                 mapping->items[i]->count > 40 ? 40 : (int)mapping->items[i]->count,
                                 mapping->items[i]->text);
    }
}

static int choose_mapping(struct torch_file *file, const char *key,
                          const struct pickle_value **mapping)
{
    static const char *const known[] = {"params_ema", "params-ema",       "params",
                                        "state_dict", "model_state_dict", "model",
                                        "net",        "generator",        "netG"};
    const struct pickle_value *root = pickle_root(file->pickle), *found = NULL;
    char keys[400];
    if (!is_mapping(root))
        return fail(ERR_DATA, "%s: it holds no tensors by name, but %s%s: save its state_dict()",
                    file->path, root->kind == PICKLE_CALL ? "a whole object, " : "something else",
                    pickle_global_name(root).text);
    list_keys(root, keys, sizeof keys);
    if (key) {
        found = mapping_find(root, key);
        if (!found) return fail(ERR_DATA, "%s: no key %s: it has %s", file->path, key, keys);
    } else if (count_tensors(root) > 0) {
        *mapping = root;
        return OK;
    }
    for (size_t i = 0; !found && i < sizeof known / sizeof *known; i++) {
        const struct pickle_value *value = mapping_find(root, key = known[i]);
        if (value && is_mapping(value) && count_tensors(value) > 0) found = value;
    }
    if (!found)
        return fail(ERR_DATA, "%s: none of its keys that are known holds tensors: it has %s",
                    file->path, keys[0] ? keys : "no keys");
    if (!is_mapping(found) || count_tensors(found) == 0)
        return fail(ERR_DATA, "%s: %s holds no tensors", file->path, key);
    snprintf(file->key, sizeof file->key, "%s", key);
    *mapping = found;
    return OK;
}

/* Bytes at the beginning of all names that are of a wrapper around the network. */
static size_t wrapper_bytes(const struct pickle_value *mapping)
{
    static const char *const wrappers[] = {"module.", "netG.", "_orig_mod."};
    size_t skip = 0;
    for (int level = 0; level < UNWRAPPED_MOST; level++) {
        size_t before = skip;
        for (size_t k = 0; k < sizeof wrappers / sizeof *wrappers && skip == before; k++) {
            size_t length = strlen(wrappers[k]);
            bool all = true;
            for (uint32_t i = 0; all && i + 1 < mapping->count; i += 2) {
                const struct pickle_value *name = mapping->items[i];
                if (!tensor_call(mapping->items[i + 1])) continue;
                all = name->kind == PICKLE_TEXT && name->count > skip + length &&
                      memcmp(name->text + skip, wrappers[k], length) == 0;
            }
            if (all) skip += length;
        }
        if (skip == before) break;
    }
    return skip;
}

static int torch_compare_names(const void *a, const void *b)
{
    return strcmp(((const struct store_tensor *)a)->name, ((const struct store_tensor *)b)->name);
}

static int read_tensors(struct torch_file *file, const struct pickle_value *mapping)
{
    int count = count_tensors(mapping);
    size_t skip = wrapper_bytes(mapping), room = (size_t)count;
    if (count > TENSORS_MOST)
        return fail(ERR_DATA, "%s: %d tensors, more than %d", file->path, count, TENSORS_MOST);
    file->tensors = calloc(room, sizeof *file->tensors);
    file->names = calloc(room + 1, sizeof *file->names);
    file->copies = calloc(room, sizeof *file->copies);
    if (!file->tensors || !file->names || !file->copies) return fail(ERR_SYSTEM, "out of memory");
    for (uint32_t i = 0; i + 1 < mapping->count; i += 2) {
        const struct pickle_value *call = tensor_call(mapping->items[i + 1]),
                                  *key = mapping->items[i];
        if (!call) {
            file->left_out++;
            continue;
        }
        if (!is_sound_name(key, skip))
            return fail(ERR_DATA, "%s: a tensor has no name that can be written", file->path);
        char *name = strndup(key->text + skip, key->count - skip);
        if (!name) return fail(ERR_SYSTEM, "out of memory");
        file->names[file->count] = name;
        TRY(torch_read_tensor(file, call, name, &file->tensors[file->count]));
        file->count++;
    }
    qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, torch_compare_names);
    for (int i = 1; i < file->count; i++)
        if (strcmp(file->tensors[i - 1].name, file->tensors[i].name) == 0)
            return tensor_bad(file, file->tensors[i].name, "is there twice");
    return OK;
}

/* ---- the two formats ---- */

/* FOLDER/data.pkl, FOLDER/data/KEY, FOLDER/byteorder */
static int open_archive(struct torch_file *file)
{
    static const char ending[] = "/data.pkl";
    struct zip_entry *entry = NULL;
    size_t length = sizeof ending - 1, used = 0;
    TRY(zip_stored_open(&file->zip, file->map.data, file->map.bytes, file->path));
    for (size_t i = 0; !entry && i < file->zip.count; i++) {
        struct zip_entry *e = &file->zip.entries[i];
        if (e->name_bytes > length && e->name_bytes < 512 &&
            memcmp(e->name + e->name_bytes - length, ending, length) == 0)
            entry = e;
    }
    if (!entry)
        return fail(ERR_DATA, "%s: a zip archive, but not of PyTorch: it has no data.pkl",
                    file->path);
    if (!entry->data) return fail_compressed(file);
    int stem = (int)(entry->name_bytes - length);
    file->folder = string_format("%.*s/byteorder", stem, entry->name);
    if (!file->folder) return ERR_SYSTEM;
    const struct zip_entry *order = zip_stored_find(&file->zip, file->folder, strlen(file->folder));
    if (order && (order->bytes != 6 || !order->data || memcmp(order->data, "little", 6) != 0))
        return fail(ERR_DATA, "%s: its numbers are in another byte order", file->path);
    snprintf(file->folder, strlen(file->folder) + 1, "%.*s/data/", stem, entry->name);
    /* PyTorch can leave all checksums out; what it does not leave out is right. */
    file->is_checked = zip_entry_is_sound(entry);
    if (!file->is_checked && entry->crc != 0)
        return fail(ERR_DATA, "%s: damaged: the checksum of data.pkl is wrong", file->path);
    return pickle_open(&file->pickle, entry->data, entry->bytes, file->path, &used);
}

/* Before 1.6: four pickles (a number, the version, the machine, the object), the list of keys, and
 * for each its count and its numbers. */
static const char legacy_magic[] = "\x8a\nl\xfc\x9c"
                                   "F\xf9 j\xa8P\x19.";

/* One entry a key, without data yet. */
static int list_storages(struct torch_file *file)
{
    const struct pickle_value *first = pickle_last_persistent(file->pickle);
    size_t count = 0;
    for (const struct pickle_value *v = first; v; v = v->previous)
        count++;
    file->zip.entries = calloc(count + 1, sizeof *file->zip.entries);
    if (!file->zip.entries) return fail(ERR_SYSTEM, "out of memory");
    for (const struct pickle_value *v = first; v; v = v->previous) {
        struct torch_storage storage = {0};
        TRY(read_storage(file, v, &storage));
        file->zip.entries[file->zip.count++] =
            (struct zip_entry){.name = storage.key->text,
                               .name_bytes = storage.key->count,
                               .bytes = storage.count,
                               .unit = (uint32_t)tensor_type_bytes(storage.type)};
    }
    (void)zip_stored_sort(&file->zip);
    size_t kept = 0;
    for (size_t i = 0; i < file->zip.count; i++) {
        const struct zip_entry *e = &file->zip.entries[i];
        const struct zip_entry *before = kept ? &file->zip.entries[kept - 1] : NULL;
        bool same = before && before->name_bytes == e->name_bytes &&
                    memcmp(before->name, e->name, e->name_bytes) == 0;
        if (!same) file->zip.entries[kept++] = *e;
    }
    file->zip.count = kept;
    return OK;
}

static int legacy_bad(const struct torch_file *file)
{
    return fail(ERR_DATA, "%s: damaged or cut off: its numbers are not all there", file->path);
}

/* The list of keys, and the numbers in its order. */
static int read_legacy_numbers(struct torch_file *file, size_t at)
{
    const uint8_t *data = file->map.data;
    size_t bytes = file->map.bytes, used = 0;
    TRY(pickle_open(&file->keys_pickle, data + at, bytes - at, file->path, &used));
    at += used;
    const struct pickle_value *keys = pickle_root(file->keys_pickle);
    if (keys->kind != PICKLE_LIST) return legacy_bad(file);
    for (uint32_t i = 0; i < keys->count; i++) {
        uint64_t count;
        const struct pickle_value *key = keys->items[i];
        struct zip_entry *entry = NULL;
        if (key->kind == PICKLE_TEXT) entry = zip_stored_find(&file->zip, key->text, key->count);
        if (!entry || entry->data || bytes - at < sizeof count) return legacy_bad(file);
        memcpy(&count, data + at, sizeof count);
        at += sizeof count;
        if (count != entry->bytes || count > (bytes - at) / entry->unit) return legacy_bad(file);
        entry->data = data + at;
        entry->bytes = (size_t)count * entry->unit;
        at += entry->bytes;
    }
    for (size_t i = 0; i < file->zip.count; i++)
        if (!file->zip.entries[i].data) return legacy_bad(file);
    return OK;
}

static int open_legacy(struct torch_file *file)
{
    size_t at = 0, used = 0;
    for (int i = 0; i < 4; i++) {
        pickle_close(file->pickle);
        file->pickle = NULL;
        TRY(pickle_open(&file->pickle, file->map.data + at, file->map.bytes - at, file->path,
                        &used));
        at += used;
        const struct pickle_value *root = pickle_root(file->pickle), *little = NULL;
        if (i == 2 && is_mapping(root)) little = mapping_find(root, "little_endian");
        if (little && little->kind == PICKLE_BOOL && !little->integer)
            return fail(ERR_DATA, "%s: its numbers are in another byte order", file->path);
    }
    file->folder = string_format("%s", "");
    if (!file->folder) return ERR_SYSTEM;
    TRY(list_storages(file));
    return read_legacy_numbers(file, at);
}

static int open_format(struct torch_file *file)
{
    const uint8_t *data = file->map.data;
    size_t bytes = file->map.bytes, head = bytes < FILE_KIND_BYTES ? bytes : FILE_KIND_BYTES;
    if (bytes >= 4 && memcmp(data, "PK\3\4", 4) == 0) return open_archive(file);
    if (bytes > 2 + sizeof legacy_magic && data[0] == 0x80 &&
        memcmp(data + 2, legacy_magic, sizeof legacy_magic - 1) == 0)
        return open_legacy(file);
    return file_kind_fail(ERR_DATA, file->path, file_kind_of(data, head),
                          "a file of PyTorch (.pth, .pt)");
}

int torch_file_open(struct torch_file **out, const char *path, const char *key)
{
    int code = OK;
    const struct pickle_value *mapping = NULL;
    struct torch_file *file = calloc(1, sizeof *file);
    *out = NULL;
    if (!file || !(file->path = strdup(path))) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    TRY_CLEANUP(file_map(&file->map, path));
    TRY_CLEANUP(open_format(file));
    TRY_CLEANUP(choose_mapping(file, key, &mapping));
    TRY_CLEANUP(read_tensors(file, mapping));
    *out = file;
    return OK;
cleanup:
    torch_file_close(file);
    return code;
}

void torch_file_close(struct torch_file *file)
{
    if (!file) return;
    for (int i = 0; i < file->copy_count; i++)
        free(file->copies[i]);
    for (char **name = file->names; name && *name; name++)
        free(*name);
    free(file->names);
    free(file->copies);
    free(file->tensors);
    pickle_close(file->pickle);
    pickle_close(file->keys_pickle);
    zip_stored_close(&file->zip);
    file_unmap(&file->map);
    free(file->folder);
    free(file->path);
    free(file);
}

const char *torch_file_key(const struct torch_file *file)
{
    return file->key;
}

int torch_file_count(const struct torch_file *file)
{
    return file->count;
}

const struct store_tensor *torch_file_at(const struct torch_file *file, int index)
{
    return &file->tensors[index];
}

int torch_file_left_out(const struct torch_file *file)
{
    return file->left_out;
}

bool torch_file_is_checked(const struct torch_file *file)
{
    return file->is_checked;
}
