/* A zip archive whose entries are not compressed, as PyTorch writes those that count: names and
 * where their bytes lie. */
#ifndef IMGTRAIN_STORE_ZIP_STORED_H
#define IMGTRAIN_STORE_ZIP_STORED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zip_entry {
    const char *name; /* `name_bytes`, no zero behind */
    size_t name_bytes;
    const uint8_t *data; /* NULL: it is compressed */
    size_t bytes;
    uint32_t crc;  /* of the data, as the archive says */
    uint32_t unit; /* for who makes entries of his own: bytes of one number */
    bool is_sound; /* its CRC has been compared: entries may be asked for over and over */
};

struct zip_stored {
    struct zip_entry *entries; /* by name */
    size_t count;
};

/* `data` must outlive it. zip_stored_close takes it in any case. ERR_DATA, naming `path`, for what
 * is damaged or encrypted. */
int zip_stored_open(struct zip_stored *zip, const uint8_t *data, size_t bytes, const char *path);
void zip_stored_close(struct zip_stored *zip);
/* Puts entries that come from elsewhere in the order that zip_stored_find needs; false where two
 * have one name. */
bool zip_stored_sort(struct zip_stored *zip);
/* NULL: none. */
struct zip_entry *zip_stored_find(const struct zip_stored *zip, const char *name,
                                  size_t name_bytes);
/* Whether the data has its CRC. */
bool zip_entry_is_sound(struct zip_entry *entry);

#endif
