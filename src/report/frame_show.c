#include "report/frame_show.h"

#include "base/base64.h"
#include "base/error.h"
#include "base/file.h"
#include "image/image.h"
#include "report/html.h"
#include "report/run_story.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* An image is shown no wider than this, so that the file stays small enough to be sent around, and
 * a small one by a whole factor. */
enum {
    SHOW_SIDE = 1280,
    SHOW_SMALL = 420,
    SHOW_QUALITY = 90,
    SHOW_FILE_LIMIT = 1 << 28,
    SHOW_AS_IT_IS = 400000,
    SHOW_MOST = 3
};

struct show {
    const struct run_story *story;
    int id;
    bool slides;  /* between columns, or between the target and a frame */
    bool columns; /* the former */
};

/* The image scaled down to what is shown, as JPEG. */
static int show_encode(const struct image *image, uint8_t **data, size_t *bytes, int *width,
                       int *height)
{
    struct image black = {0}, small = {0}, eight = {0};
    int longest = image->width > image->height ? image->width : image->height;
    double scale = longest > SHOW_SIDE ? (double)SHOW_SIDE / longest : 1;
    *width = (int)(image->width * scale + 0.5);
    *height = (int)(image->height * scale + 0.5);
    if (*width < 1) *width = 1;
    if (*height < 1) *height = 1;
    int code = image->channels <= 4 ? OK : fail(ERR_DATA, "too many channels to show");
    if (code == OK) code = image_over_black(&black, image);
    if (code == OK && scale < 1) code = image_resize(&small, &black, *width, *height);
    if (code == OK) code = image_convert(&eight, scale < 1 ? &small : &black, SAMPLE_U8);
    if (code == OK) code = image_encode_jpeg(&eight, SHOW_QUALITY, data, bytes);
    image_free(&black);
    image_free(&small);
    image_free(&eight);
    return code;
}

/* A frame that is small enough stays as it is. */
static int show_load(const char *path, uint8_t **data, size_t *bytes, int *width, int *height)
{
    struct image image = {0};
    uint8_t *file = NULL;
    size_t size = 0;
    *data = NULL;
    TRY(file_read_own(path, SHOW_FILE_LIMIT, &file, &size));
    int code = image_decode(&image, file, size, path);
    bool is_jpeg = size > 2 && file[0] == 0xFF && file[1] == 0xD8;
    if (code == OK && is_jpeg && size <= SHOW_AS_IT_IS && image.width <= SHOW_SIDE &&
        image.height <= SHOW_SIDE) {
        *data = file;
        *bytes = size;
        *width = image.width;
        *height = image.height;
        file = NULL;
    } else if (code == OK) {
        code = show_encode(&image, data, bytes, width, height);
    }
    image_free(&image);
    free(file);
    return code;
}

/* How wide a small image is shown. A column of a narrow frame may have no pixel of its own. */
static int show_width(int width)
{
    if (width < 1) width = 1;
    int factor = width < SHOW_SMALL ? (SHOW_SMALL + width - 1) / width : 1;
    return width * factor;
}

/* kind: "shot" or "target"; number: of the frame. An image that cannot be read is left out. */
static int show_write_image(FILE *out, const struct show *show, const char *path, const char *kind,
                            int number, const char *caption, int *width, int *height)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    char *text = NULL;
    int code = show_load(path, &data, &bytes, width, height);
    if (code == OK) {
        text = base64_encode(data, bytes);
        if (!text) code = ERR_SYSTEM;
    }
    if (code == OK) {
        fprintf(out,
                "<figure><img id=\"%s-%d-%d\"%s width=\"%d\" height=\"%d\" alt=\"\" "
                "src=\"data:image/jpeg;base64,%s\"><figcaption>",
                kind, show->id, number, *width < SHOW_SMALL ? " class=\"small\"" : "",
                show_width(*width), *height * show_width(*width) / *width, text);
        html_write_text(out, caption);
        fputs("</figcaption></figure>\n", out);
    }
    free(text);
    free(data);
    return code;
}

static void show_write_pick(FILE *out, const struct frame_list *frames, int chosen)
{
    fputs("<select>", out);
    for (int i = 0; i < frames->column_count; i++) {
        fprintf(out, "<option value=\"%d\"%s>", i, i == chosen ? " selected" : "");
        html_write_text(out, frames->columns[i]);
        fputs("</option>", out);
    }
    fputs("</select>\n", out);
}

/* The column that a slider begins with: of the first name, or the second. */
static int show_find_column(const struct frame_list *frames, const char *name, const char *or_name,
                            int otherwise)
{
    for (int i = 0; i < frames->column_count; i++)
        if (strcmp(frames->columns[i], name) == 0 || strcmp(frames->columns[i], or_name) == 0)
            return i;
    return otherwise;
}

/* The slider; the script puts the images in. width, height: of what one side shows. */
static void show_write_slider(FILE *out, const struct show *show, int number, int width, int height)
{
    const struct frame_list *frames = &show->story->frames;
    int columns = frames->column_count;
    fprintf(out, "<div class=\"slide scripted\" data-shot=\"shot-%d-%d\"", show->id, number);
    if (columns > 1)
        fprintf(out, " data-columns=\"%d\">\n", columns);
    else
        fprintf(out, " data-target=\"target-%d-0\">\n", show->id);
    if (columns > 1) {
        show_write_pick(out, frames, show_find_column(frames, "target", "GT", columns - 1));
        show_write_pick(out, frames, show_find_column(frames, "render", "result", columns - 2));
    } else {
        html_write_text(out, frames->labels[0]);
        fputs(" | ", out);
        html_write_text(out, frames->labels[1]);
    }
    fprintf(out,
            "<div class=\"pair%s\" style=\"width:%dpx;aspect-ratio:%d/%d\"><div "
            "class=\"under\"></div><div class=\"over\"></div><div class=\"bar\"></div></div>\n"
            "<input type=\"range\" min=\"0\" max=\"100\" step=\"0.1\" value=\"50\" "
            "style=\"width:%dpx\" aria-label=\"how much of the left one is shown\"></div>\n",
            width < SHOW_SMALL ? " small" : "", show_width(width), width, height,
            show_width(width));
}

static int show_write_frame(FILE *out, const struct show *show, const struct frame_entry *entry,
                            int number)
{
    int width = 0, height = 0;
    bool instead = show->slides && !show->columns && entry->reference;
    fprintf(out, "<div class=\"shot\">\n<div%s>", instead ? " class=\"still\"" : "");
    int code =
        show_write_image(out, show, entry->path, "shot", number, entry->caption, &width, &height);
    fputs("</div>", out);
    if (code == OK && show->columns)
        show_write_slider(out, show, number, width / show->story->frames.column_count, height);
    else if (code == OK && instead)
        show_write_slider(out, show, number, width, height);
    if (instead) {
        fputs("<p class=\"dim scripted\">", out);
        html_write_text(out, entry->caption);
        fputs("</p>", out);
    }
    fputs("</div>\n", out);
    return code == ERR_SYSTEM ? code : OK;
}

/* Whether the target and the last frame have one shape. Of a generator, "real" are other images
 * than its samples: there is nothing to slide between. */
static bool show_is_matched(const struct frame_list *frames, const char *target)
{
    int w, h, width, height, channels;
    enum sample_type type;
    if (strcmp(frames->labels[0], "real") == 0) return false;
    if (image_probe(target, &w, &h, &channels, &type) < 0) return false;
    if (image_probe(frames->entries[frames->count - 1].path, &width, &height, &channels, &type) < 0)
        return false;
    return w == width && h == height;
}

/* The image that the frames are to be compared with, where the run has one. */
static int show_write_target(FILE *out, struct show *show)
{
    const struct frame_list *frames = &show->story->frames;
    int width, height, code = OK;
    char *path = path_join(show->story->path, "reference.png");
    if (!path) return ERR_SYSTEM;
    if (file_exists(path)) {
        show->slides = show_is_matched(frames, path);
        fprintf(out, "<div%s>", show->slides ? " class=\"still\"" : "");
        code = show_write_image(out, show, path, "target", 0, frames->labels[0], &width, &height);
        fputs("</div>\n", out);
        show->slides = show->slides && code == OK;
    }
    free(path);
    return code == ERR_SYSTEM ? code : OK;
}

int frame_show_write(FILE *out, const struct run_story *story, int id, bool last_only)
{
    static const char *const names[SHOW_MOST] = {"first", "middle", "last"};
    const struct frame_list *frames = &story->frames;
    if (frames->count == 0) return OK;
    size_t picks[SHOW_MOST] = {0, frames->count / 2, frames->count - 1};
    bool wanted[SHOW_MOST] = {!last_only && picks[1] > 0, !last_only && picks[2] > picks[1], true};
    struct show show = {.story = story, .id = id, .columns = frames->column_count > 1};
    show.slides = show.columns;
    fputs("<div class=\"shots\">\n", out);
    if (!show.columns) TRY(show_write_target(out, &show));
    fputs("<div class=\"show\">\n", out);
    for (int i = 0; i < SHOW_MOST; i++)
        if (wanted[i])
            fprintf(out,
                    "<input type=\"radio\" name=\"show-%d\" id=\"show-%d-%d\"%s>"
                    "<label for=\"show-%d-%d\">%s (step %lld)</label>\n",
                    id, id, i, i == SHOW_MOST - 1 ? " checked" : "", id, i, names[i],
                    (long long)frames->entries[picks[i]].number);
    for (int i = 0; i < SHOW_MOST; i++)
        if (wanted[i]) TRY(show_write_frame(out, &show, &frames->entries[picks[i]], i));
    fputs("</div></div>\n", out);
    return OK;
}
