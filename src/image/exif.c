/* Reads the orientation from EXIF, the one thing wanted of it, and turns images upright. */
#include "base/error.h"
#include "base/threads.h"
#include "image/image_format.h"

#include <stdlib.h>
#include <string.h>

enum { TAG_ORIENTATION = 0x0112, ENTRY_BYTES = 12 };
enum { TYPE_BYTE = 1, TYPE_SHORT = 3, TYPE_LONG = 4 };

static unsigned exif_read16(const uint8_t *p, bool little)
{
    return little ? p[0] | (unsigned)p[1] << 8 : (unsigned)p[0] << 8 | p[1];
}

static size_t exif_read32(const uint8_t *p, bool little)
{
    return little ? exif_read16(p, true) | (size_t)exif_read16(p + 2, true) << 16
                  : (size_t)exif_read16(p, false) << 16 | exif_read16(p + 2, false);
}

/* SHORT by the standard; some programs write a LONG, or a BYTE. 0 when it is none of them. */
static size_t exif_read_value(const uint8_t *entry, bool little)
{
    if (exif_read32(entry + 4, little) != 1) return 0;
    switch (exif_read16(entry + 2, little)) {
    case TYPE_BYTE: return entry[8];
    case TYPE_SHORT: return exif_read16(entry + 8, little);
    case TYPE_LONG: return exif_read32(entry + 8, little);
    default: return 0;
    }
}

int exif_orientation(const uint8_t *tiff, size_t bytes)
{
    if (bytes >= 6 && memcmp(tiff, "Exif\0", 6) == 0) {
        tiff += 6;
        bytes -= 6;
    }
    if (bytes < 8) return 1;
    bool little = tiff[0] == 'I' && tiff[1] == 'I';
    if (!little && !(tiff[0] == 'M' && tiff[1] == 'M')) return 1;
    if (exif_read16(tiff + 2, little) != 42) return 1;
    size_t at = exif_read32(tiff + 4, little);
    if (at > bytes || bytes - at < 2) return 1;
    size_t entries = exif_read16(tiff + at, little);
    at += 2;
    for (size_t i = 0; i < entries && bytes - at >= ENTRY_BYTES; i++, at += ENTRY_BYTES) {
        const uint8_t *entry = tiff + at;
        if (exif_read16(entry, little) != TAG_ORIENTATION) continue;
        size_t value = exif_read_value(entry, little);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

/* The stored axes that run backwards in the upright image; 5 to 8 swap the axes besides. */
struct turn {
    bool swap, back_x, back_y;
};

static struct turn orientation_turn(int o)
{
    return (struct turn){o >= 5, o == 2 || o == 3 || o == 7 || o == 8,
                         o == 3 || o == 4 || o == 6 || o == 7};
}

/* Copies stored pixels [x0, x1) x [y0, y1) to where they belong. */
static void copy_tile(struct image *out, const struct image *in, struct turn turn, int x0, int y0,
                      int x1, int y1)
{
    size_t pixel = (size_t)in->channels * sample_bytes(in->type);
    for (int y = y0; y < y1; y++) {
        for (int x = x0; x < x1; x++) {
            size_t u = (size_t)(turn.back_x ? in->width - 1 - x : x);
            size_t v = (size_t)(turn.back_y ? in->height - 1 - y : y);
            size_t to = turn.swap ? u * (size_t)out->width + v : v * (size_t)out->width + u;
            size_t from = (size_t)y * (size_t)in->width + (size_t)x;
            memcpy((uint8_t *)out->data + to * pixel, (const uint8_t *)in->data + from * pixel,
                   pixel);
        }
    }
}

enum { COPY_TILE = 32 };

struct turning {
    struct image *out;
    const struct image *in;
    struct turn turn;
};

/* Copies in tiles, which keep both sides of a transposition in cache. */
static void copy_tiles(void *context, int64_t from, int64_t to)
{
    const struct turning *t = context;
    int width = t->in->width, height = t->in->height;
    for (int y = (int)from * COPY_TILE; y < height && y < (int)to * COPY_TILE; y += COPY_TILE)
        for (int x = 0; x < width; x += COPY_TILE)
            copy_tile(t->out, t->in, t->turn, x, y, x + COPY_TILE < width ? x + COPY_TILE : width,
                      y + COPY_TILE < height ? y + COPY_TILE : height);
}

int exif_apply(struct image *image, int orientation)
{
    if (orientation < 2 || orientation > 8) return OK;
    struct turn turn = orientation_turn(orientation);
    struct image out;
    TRY(image_create(&out, turn.swap ? image->height : image->width,
                     turn.swap ? image->width : image->height, image->channels, image->type));
    struct turning turning = {&out, image, turn};
    threads_for((image->height + COPY_TILE - 1) / COPY_TILE, 1, copy_tiles, &turning);
    image_free(image);
    *image = out;
    return OK;
}

/* ---- on the way to a sink ---- */

struct turner {
    struct image image;
    struct image_sink collector;
    const struct source *source;
    size_t whole_limit;
};

static int turn_begin(void *argument, const struct image *shape)
{
    struct turner *turner = argument;
    TRY(row_band_check_whole(turner->source->name, shape, 2 * image_bytes(shape),
                             turner->whole_limit, "its EXIF data says that it has to be turned"));
    return turner->collector.begin(&turner->image, shape);
}

static int turn_put(void *argument, struct image *rows, int y)
{
    struct turner *turner = argument;
    return turner->collector.put(&turner->image, rows, y);
}

int exif_read(const struct source *source, int orientation, size_t whole_limit,
              const struct image_sink *sink,
              int (*read_stored)(const struct source *source, size_t whole_limit,
                                 const struct image_sink *sink))
{
    if (orientation < 2 || orientation > 8) return read_stored(source, whole_limit, sink);
    struct turner turner = {.source = source, .whole_limit = whole_limit};
    turner.collector = image_collector(&turner.image);
    struct image_sink turning = {turn_begin, turn_put, &turner};
    int code = read_stored(source, whole_limit, &turning);
    if (code == OK) code = exif_apply(&turner.image, orientation);
    if (code == OK) code = image_stream_whole(&turner.image, sink);
    image_free(&turner.image);
    return code;
}
