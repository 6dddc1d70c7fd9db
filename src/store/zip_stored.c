#include "store/zip_stored.h"

#include "base/error.h"
#include "store/store_header.h"

#include <stdlib.h>
#include <string.h>

/* Sizes of the records, and where their fields are: APPNOTE.TXT of PKWARE, 4.3. */
enum {
    LOCAL = 30,
    CENTRAL = 46,
    END = 22,
    END64 = 56,
    LOCATOR = 20,
    COMMENT_MOST = 65535,
    ENTRIES_MOST = 1 << 20
};

struct zip_bytes {
    const uint8_t *data;
    size_t bytes;
    const char *path;
};

static uint64_t zip_number(const uint8_t *p, int bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < bytes; i++)
        number |= (uint64_t)p[i] << 8 * i;
    return number;
}

static int zip_bad(const struct zip_bytes *in, const char *what)
{
    return fail(ERR_DATA, "%s: damaged or cut off: %s", in->path, what);
}

/* The record that begins with `signature` and has `need` bytes; NULL: it is not there. */
static const uint8_t *zip_record(const struct zip_bytes *in, uint64_t at, size_t need,
                                 const char *signature)
{
    if (at > in->bytes || in->bytes - at < need) return NULL;
    return memcmp(in->data + at, signature, 4) == 0 ? in->data + at : NULL;
}

/* Where the list of entries is. */
struct zip_directory {
    uint64_t at, bytes, count;
};

static int find_directory(const struct zip_bytes *in, struct zip_directory *directory)
{
    const uint8_t *end = NULL;
    for (size_t back = END; !end && back <= in->bytes && back <= END + COMMENT_MOST; back++)
        end = zip_record(in, in->bytes - back, END, "PK\5\6");
    if (!end) return zip_bad(in, "the list of its entries, at its end, is missing");
    *directory = (struct zip_directory){.count = zip_number(end + 10, 2),
                                        .bytes = zip_number(end + 12, 4),
                                        .at = zip_number(end + 16, 4)};
    size_t end_at = (size_t)(end - in->data);
    const uint8_t *locator =
        end_at >= LOCATOR ? zip_record(in, end_at - LOCATOR, LOCATOR, "PK\6\7") : NULL;
    if (locator) {
        const uint8_t *wide = zip_record(in, zip_number(locator + 8, 8), END64, "PK\6\6");
        if (!wide) return zip_bad(in, "the list of its entries is not where it should be");
        *directory = (struct zip_directory){.count = zip_number(wide + 32, 8),
                                            .bytes = zip_number(wide + 40, 8),
                                            .at = zip_number(wide + 48, 8)};
    }
    if (directory->at > in->bytes || directory->bytes > in->bytes - directory->at ||
        directory->count > ENTRIES_MOST || directory->count > directory->bytes / CENTRAL)
        return zip_bad(in, "the list of its entries is not where it should be");
    return OK;
}

/* Fields that are too small for a number say so, and have it in an extra field, in this order. */
static void read_wide(const uint8_t *extra, size_t bytes, uint64_t *numbers[], int count)
{
    while (bytes >= 4) {
        size_t length = (size_t)zip_number(extra + 2, 2);
        if (length > bytes - 4) return;
        if (zip_number(extra, 2) == 1) {
            const uint8_t *p = extra + 4, *end = p + length;
            for (int i = 0; i < count; i++) {
                if (*numbers[i] != UINT32_MAX || end - p < 8) continue;
                *numbers[i] = zip_number(p, 8);
                p += 8;
            }
            return;
        }
        extra += 4 + length;
        bytes -= 4 + length;
    }
}

/* The entry at `p`, of which `left` bytes are there; *used: its own. */
static int read_entry(const struct zip_bytes *in, const uint8_t *p, size_t left,
                      struct zip_entry *entry, size_t *used)
{
    if (left < CENTRAL || memcmp(p, "PK\1\2", 4) != 0)
        return zip_bad(in, "the list of its entries is broken");
    unsigned flags = (unsigned)zip_number(p + 8, 2), method = (unsigned)zip_number(p + 10, 2);
    uint64_t packed = zip_number(p + 20, 4), bytes = zip_number(p + 24, 4);
    uint64_t at = zip_number(p + 42, 4);
    size_t name = (size_t)zip_number(p + 28, 2), extra = (size_t)zip_number(p + 30, 2);
    *used = CENTRAL + name + extra + (size_t)zip_number(p + 32, 2);
    if (*used > left) return zip_bad(in, "the list of its entries is broken");
    read_wide(p + CENTRAL + name, extra, (uint64_t *[]){&bytes, &packed, &at}, 3);
    if (flags & 1) return fail(ERR_DATA, "%s: its entries are encrypted", in->path);
    const uint8_t *local = zip_record(in, at, LOCAL, "PK\3\4");
    if (!local) return zip_bad(in, "an entry is not where it should be");
    uint64_t data = at + LOCAL + zip_number(local + 26, 2) + zip_number(local + 28, 2);
    if (data > in->bytes || packed > in->bytes - data)
        return zip_bad(in, "an entry ends outside of the file");
    *entry = (struct zip_entry){.name = (const char *)p + CENTRAL,
                                .name_bytes = name,
                                .data = method == 0 && packed == bytes ? in->data + data : NULL,
                                .bytes = (size_t)bytes,
                                .crc = (uint32_t)zip_number(p + 16, 4)};
    return OK;
}

static int compare_names(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int compare_entries(const void *a, const void *b)
{
    const struct zip_entry *x = a, *y = b;
    return compare_names(x->name, x->name_bytes, y->name, y->name_bytes);
}

bool zip_stored_sort(struct zip_stored *zip)
{
    if (zip->count > 1) qsort(zip->entries, zip->count, sizeof *zip->entries, compare_entries);
    for (size_t i = 1; i < zip->count; i++)
        if (compare_entries(&zip->entries[i - 1], &zip->entries[i]) == 0) return false;
    return true;
}

int zip_stored_open(struct zip_stored *zip, const uint8_t *data, size_t bytes, const char *path)
{
    const struct zip_bytes in = {data, bytes, path};
    struct zip_directory directory = {0};
    *zip = (struct zip_stored){NULL, 0};
    TRY(find_directory(&in, &directory));
    zip->entries = calloc((size_t)directory.count + 1, sizeof *zip->entries);
    if (!zip->entries) return fail(ERR_SYSTEM, "out of memory");
    const uint8_t *p = data + directory.at, *end = p + directory.bytes;
    for (; zip->count < directory.count; zip->count++) {
        size_t used = 0;
        TRY(read_entry(&in, p, (size_t)(end - p), &zip->entries[zip->count], &used));
        p += used;
    }
    return zip_stored_sort(zip) ? OK : zip_bad(&in, "two entries of one name");
}

void zip_stored_close(struct zip_stored *zip)
{
    free(zip->entries);
    *zip = (struct zip_stored){NULL, 0};
}

struct zip_entry *zip_stored_find(const struct zip_stored *zip, const char *name, size_t name_bytes)
{
    const struct zip_entry wanted = {.name = name, .name_bytes = name_bytes};
    return zip->count
               ? bsearch(&wanted, zip->entries, zip->count, sizeof *zip->entries, compare_entries)
               : NULL;
}

bool zip_entry_is_sound(struct zip_entry *entry)
{
    if (!entry->is_sound)
        entry->is_sound = entry->data && store_crc(0, entry->data, entry->bytes) == entry->crc;
    return entry->is_sound;
}
