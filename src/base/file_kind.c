#include "base/file_kind.h"

#include "base/error.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

struct bytes_head {
    const uint8_t *data;
    size_t count;
};

static bool has_at(struct bytes_head head, size_t at, const char *text, size_t count)
{
    return head.count >= at + count && memcmp(head.data + at, text, count) == 0;
}

#define HAS(at, text) has_at(head, at, text, sizeof(text) - 1)

static const char convert[] = "convert it to PNG";
static const char torch[] = "`imgtrain convert FILE -o FILE.safetensors` makes one of its tensors";
static const char python[] = "models here are .safetensors files, and images PNG or the like";

/* ---- by a few bytes at a fixed place ---- */

static const struct magic {
    unsigned at, count;
    const char *bytes;
    struct file_kind kind;
} magics[] = {
#define MAGIC(at, bytes, class, what, advice)                                                      \
    {                                                                                              \
        at, sizeof(bytes) - 1, bytes,                                                              \
        {                                                                                          \
            class, what, advice                                                                    \
        }                                                                                          \
    }
    MAGIC(0, "\x89PNG\r\n\x1a\n", FILE_IMAGE, "a PNG image", NULL),
    MAGIC(0, "\xFF\xD8\xFF", FILE_IMAGE, "a JPEG image", NULL),
    MAGIC(0, "GIF87a", FILE_IMAGE, "a GIF image", convert),
    MAGIC(0, "GIF89a", FILE_IMAGE, "a GIF image", convert),
    MAGIC(0, "8BPS", FILE_IMAGE, "a Photoshop (PSD) image", convert),
    MAGIC(0, "\x76\x2F\x31\x01", FILE_IMAGE, "an OpenEXR image", "convert it to PFM"),
    MAGIC(0, "#?RADIANCE", FILE_IMAGE, "a Radiance (HDR) image", "convert it to PFM"),
    MAGIC(0, "#?RGBE", FILE_IMAGE, "a Radiance (HDR) image", "convert it to PFM"),
    MAGIC(0, "\xFF\x0A", FILE_IMAGE, "a JPEG XL image", convert),
    MAGIC(0, "\0\0\0\x0CJXL \r\n\x87\n", FILE_IMAGE, "a JPEG XL image", convert),
    MAGIC(0, "\0\0\0\x0CjP  \r\n\x87\n", FILE_IMAGE, "a JPEG 2000 image", convert),
    MAGIC(0, "\xFF\x4F\xFF\x51", FILE_IMAGE, "a JPEG 2000 image", convert),
    MAGIC(0, "\0\0\1\0", FILE_IMAGE, "an icon (ICO)", convert),
    MAGIC(0, "DDS ", FILE_IMAGE, "a DDS texture", convert),
    MAGIC(0, "\xABKTX ", FILE_IMAGE, "a KTX texture", convert),
    MAGIC(0, "qoif", FILE_IMAGE, "a QOI image", convert),
    MAGIC(0, "gimp xcf", FILE_IMAGE, "a GIMP (XCF) image", convert),
    MAGIC(0, "SIMPLE  =", FILE_IMAGE, "a FITS image", "convert it to PFM"),
    MAGIC(128, "DICM", FILE_IMAGE, "a DICOM image", convert),
    MAGIC(0, "%PDF-", FILE_OTHER, "a PDF document", NULL),
    MAGIC(0, "%!PS", FILE_OTHER, "a PostScript document", NULL),
    MAGIC(0, "\x1A\x45\xDF\xA3", FILE_OTHER, "a Matroska or WebM video", NULL),
    MAGIC(0, "\x80\x02", FILE_OTHER, "a Python pickle (.pth, .pkl)", torch),
    MAGIC(0, "\x80\x03", FILE_OTHER, "a Python pickle (.pth, .pkl)", torch),
    MAGIC(0, "\x80\x04", FILE_OTHER, "a Python pickle (.pth, .pkl)", torch),
    MAGIC(0, "\x80\x05", FILE_OTHER, "a Python pickle (.pth, .pkl)", torch),
    MAGIC(0, "\x93NUMPY", FILE_OTHER, "a NumPy array (.npy)", python),
    MAGIC(0, "\x89HDF\r\n\x1a\n", FILE_OTHER, "an HDF5 file", python),
    MAGIC(0, "GGUF", FILE_OTHER, "a GGUF model", python),
    MAGIC(0, "\x1F\x8B", FILE_OTHER, "a gzip archive", "unpack it"),
    MAGIC(0, "BZh", FILE_OTHER, "a bzip2 archive", "unpack it"),
    MAGIC(0,
          "\xFD"
          "7zXZ",
          FILE_OTHER, "an xz archive", "unpack it"),
    MAGIC(0, "\x28\xB5\x2F\xFD", FILE_OTHER, "a zstd archive", "unpack it"),
    MAGIC(0, "7z\xBC\xAF\x27\x1C", FILE_OTHER, "a 7z archive", "unpack it"),
    MAGIC(0, "Rar!", FILE_OTHER, "a RAR archive", "unpack it"),
    MAGIC(257, "ustar", FILE_OTHER, "a tar archive", "unpack it"),
    MAGIC(0,
          "\x7F"
          "ELF",
          FILE_OTHER, "a program", NULL),
    MAGIC(0, "version https://git-lfs.github.com/", FILE_OTHER,
          "a Git LFS pointer instead of the file itself", "`git lfs pull` brings it"),
};

/* ---- by more than that ---- */

/* ISO base media: a box `ftyp` with its brand, which videos have, too. */
static struct file_kind media_kind(struct bytes_head head)
{
    static const char *const heic[] = {"heic", "heix", "heim", "heis",
                                       "hevc", "hevx", "mif1", "msf1"};
    if (HAS(8, "avif") || HAS(8, "avis"))
        return (struct file_kind){FILE_IMAGE, "an AVIF image", convert};
    for (size_t i = 0; i < sizeof heic / sizeof heic[0]; i++)
        if (has_at(head, 8, heic[i], 4))
            return (struct file_kind){FILE_IMAGE, "a HEIC image", convert};
    if (HAS(8, "crx ")) return (struct file_kind){FILE_IMAGE, "a camera's raw image", convert};
    return (struct file_kind){FILE_OTHER, "a video (MP4)", NULL};
}

/* PyTorch's archive has its folder's name before the pickle's. */
static struct file_kind zip_kind(struct bytes_head head)
{
    for (size_t at = 4; at + 8 <= head.count; at++)
        if (HAS(at, "data.pkl"))
            return (struct file_kind){FILE_OTHER, "a PyTorch file (.pth, .pt)", torch};
    return (struct file_kind){FILE_OTHER, "a zip archive", "unpack it"};
}

static bool is_space_byte(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool begins_with(struct bytes_head head, const char *word)
{
    size_t length = strlen(word);
    return head.count >= length && strncasecmp((const char *)head.data, word, length) == 0;
}

static bool file_kind_contains(struct bytes_head head, const char *word)
{
    return memmem(head.data, head.count, word, strlen(word)) != NULL;
}

static struct file_kind markup_kind(struct bytes_head head)
{
    size_t mark = utf8_mark((const char *)head.data, head.count);
    head = (struct bytes_head){head.data + mark, head.count - mark};
    while (head.count && is_space_byte(*head.data))
        head = (struct bytes_head){head.data + 1, head.count - 1};
    bool xml = begins_with(head, "<?xml") || begins_with(head, "<!--");
    if (begins_with(head, "<svg") || begins_with(head, "<!doctype svg") ||
        (xml && file_kind_contains(head, "<svg")))
        return (struct file_kind){FILE_IMAGE, "an SVG drawing", convert};
    if (begins_with(head, "<!doctype html") || begins_with(head, "<html") ||
        begins_with(head, "<head") || (xml && file_kind_contains(head, "<html")))
        return (struct file_kind){FILE_OTHER, "an HTML page",
                                  "the download brought a page instead of the file"};
    if (xml) return (struct file_kind){FILE_OTHER, "an XML text", NULL};
    return (struct file_kind){FILE_UNKNOWN, NULL, NULL};
}

static bool is_netpbm(struct bytes_head head)
{
    return head.count >= 3 && head.data[0] == 'P' && strchr("1234567Ff", head.data[1]) &&
           head.data[1] && (is_space_byte(head.data[2]) || head.data[2] == '#');
}

/* The length of a safetensors header (below 2^32) in eight bytes, then the brace that begins it. */
static bool is_safetensors(struct bytes_head head)
{
    return head.count >= 10 && head.data[8] == '{' && head.data[5] == 0 && head.data[6] == 0 &&
           head.data[7] == 0 && head.data[4] == 0 &&
           (head.data[9] == '"' || head.data[9] == '}' || is_space_byte(head.data[9]));
}

/* Whether a match of `count` bytes may as well be the length that a safetensors file begins with:
 * the rest of the eight bytes is zero. */
static bool may_be_header_length(struct bytes_head head, unsigned count)
{
    return count < 8 && has_at(head, count, "\0\0\0\0\0\0\0", 8 - count);
}

struct file_kind file_kind_of(const void *bytes, size_t count)
{
    const struct bytes_head head = {bytes, count};
    if (count == 0) return (struct file_kind){FILE_EMPTY, "an empty file", NULL};
    if (is_safetensors(head))
        return (struct file_kind){FILE_MODEL, "a safetensors file",
                                  "`imgtrain render` makes the image of a model"};
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (has_at(head, magics[i].at, magics[i].bytes, magics[i].count) &&
            !may_be_header_length(head, magics[i].count))
            return magics[i].kind;
    if (HAS(0, "RIFF") && HAS(8, "WEBP"))
        return (struct file_kind){FILE_IMAGE, "a WebP image", convert};
    if (HAS(0, "II*\0") || HAS(0, "MM\0*") || HAS(0, "II+\0") || HAS(0, "MM\0+"))
        return (struct file_kind){FILE_IMAGE, "a TIFF image", convert};
    if (HAS(0, "BM") && HAS(6, "\0\0\0\0"))
        return (struct file_kind){FILE_IMAGE, "a BMP image", convert};
    if (HAS(4, "ftyp")) return media_kind(head);
    if (HAS(0, "PK\3\4")) return zip_kind(head);
    if (is_netpbm(head)) return (struct file_kind){FILE_IMAGE, "a PNM or PFM image", NULL};
    return markup_kind(head);
}

struct file_kind file_kind_of_path(const char *path)
{
    uint8_t head[FILE_KIND_BYTES];
    size_t count = 0;
    struct stat info;
    struct file_kind kind = {FILE_UNKNOWN, NULL, NULL};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return kind;
    bool sound = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    while (sound && count < sizeof head) {
        ssize_t got = read(fd, head + count, sizeof head - count);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) sound = false;
        if (got <= 0) break;
        count += (size_t)got;
    }
    close(fd);
    return sound ? file_kind_of(head, count) : kind;
}

int file_kind_fail(int code, const char *name, struct file_kind kind, const char *wanted)
{
    if (kind.class == FILE_UNKNOWN) return fail(code, "%s: not %s", name, wanted);
    if (kind.class == FILE_EMPTY) return fail(code, "%s: the file is empty", name);
    return fail(code, "%s: %s, not %s%s%s", name, kind.what, wanted, kind.advice ? ": " : "",
                kind.advice ? kind.advice : "");
}
