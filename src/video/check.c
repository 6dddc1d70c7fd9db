/* Whether an MP4 that this program wrote is whole, without libav: its boxes (ISO/IEC 14496-12, 4.2)
 * lie one behind the other and end with the file. */
#include "base/error.h"
#include "base/file.h"
#include "video/video.h"

#include <stdbool.h>
#include <string.h>

struct box {
    char type[5];
    size_t head, bytes; /* of the whole box */
};

static uint64_t box_number(const uint8_t *at, int bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < bytes; i++)
        number = number << 8 | at[i];
    return number;
}

/* The box at the beginning of `left` bytes; false where there is none that fits. */
static bool read_box(struct box *box, const uint8_t *data, size_t left)
{
    if (left < 8) return false;
    uint64_t bytes = box_number(data, 4);
    *box = (struct box){.head = 8};
    memcpy(box->type, data + 4, 4);
    if (bytes == 1 && left >= 16) {
        bytes = box_number(data + 8, 8);
        box->head = 16;
    }
    box->bytes = (size_t)bytes;
    return bytes >= box->head && bytes <= left;
}

/* Whether boxes fill the data, those that are `wanted` among them. */
static bool boxes_fill(const uint8_t *data, size_t bytes, const char *const wanted[2])
{
    bool found[2] = {false, false};
    for (size_t at = 0; at < bytes;) {
        struct box box;
        if (!read_box(&box, data + at, bytes - at)) return false;
        for (int i = 0; i < 2; i++)
            found[i] = found[i] || strcmp(box.type, wanted[i]) == 0;
        bool moov = strcmp(box.type, "moov") == 0;
        if (moov && !boxes_fill(data + at + box.head, box.bytes - box.head,
                                (const char *const[]){"mvhd", "trak"}))
            return false;
        at += box.bytes;
    }
    return found[0] && found[1];
}

int video_check(const char *path)
{
    struct file_map map;
    TRY(file_map(&map, path));
    bool whole = boxes_fill(map.data, map.bytes, (const char *const[]){"moov", "mdat"});
    int code = OK;
    if (map.bytes == 0)
        code = fail(ERR_DATA, "%s is empty", path);
    else if (map.bytes < 8 || memcmp(map.data + 4, "ftyp", 4) != 0)
        code = fail(ERR_DATA, "%s is not the video that it was", path);
    else if (!whole)
        code = fail(ERR_DATA, "%s is cut off or damaged", path);
    file_unmap(&map);
    return code;
}
