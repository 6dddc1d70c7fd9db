#include "data/channels.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/threads.h"
#include "image/image.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Of 255, as 16 bits and floats have them too. */
static const float ALPHA_BELOW = (CHANNELS_ALPHA_BELOW - 0.5f) / 255.0f, GREY_SPREAD = 1.5f / 255;

/* Images between two looks whether a stop is wanted. */
enum { LOOK_MOST = 1024 };

int channels_count(enum dataset_channels channels)
{
    static const int counts[] = {
        [DATASET_RGB] = 3, [DATASET_RGBA] = 4, [DATASET_GREY] = 1, [DATASET_AUTO] = 0};
    return counts[channels];
}

enum dataset_channels channels_of(int count)
{
    return count == 1   ? DATASET_GREY
           : count == 3 ? DATASET_RGB
           : count == 4 ? DATASET_RGBA
                        : DATASET_AUTO;
}

const char *channels_name(enum dataset_channels channels)
{
    static const char *const names[] = {[DATASET_RGB] = "rgb",
                                        [DATASET_RGBA] = "rgba",
                                        [DATASET_GREY] = "grey",
                                        [DATASET_AUTO] = "auto"};
    return names[channels];
}

/* What is known of a file: by its header, then by its pixels. */
struct channels_file {
    int channels; /* 0: cannot be read */
    bool decoded, alpha, colour;
};

struct channels_work {
    const struct dataset_options *options;
    const struct scan *scan;
    struct channels_file *files;
    int first;
    bool alpha; /* what is looked for among those from there on; else colours */
    int code;   /* of the first failure that says nothing about the image, with its message */
    char message[256];
};

static bool pixel_has_colour(const struct image *image, size_t at)
{
    float low = image_sample(image, at), high = low;
    for (size_t c = 1; c < 3; c++) {
        float value = image_sample(image, at + c);
        low = fminf(low, value);
        high = fmaxf(high, value);
    }
    return high - low > GREY_SPREAD;
}

static void channels_examine(struct channels_file *file, const struct image *image)
{
    size_t channels = (size_t)image->channels;
    size_t pixels = (size_t)image->width * (size_t)image->height;
    bool alpha = image_has_alpha(image), colours = channels >= 3;
    for (size_t i = 0; i < pixels; i++) {
        float a = alpha ? image_sample(image, (i + 1) * channels - 1) : 1.0f;
        if (a < ALPHA_BELOW) file->alpha = true;
        if (colours && a > 0 && !file->colour) file->colour = pixel_has_colour(image, i * channels);
    }
}

/* What is not readable is left out, as it will be by dataset_build, but not for want of memory or
 * because the disk fails: the choice would be another one than a moment later. */
static void channels_note(struct channels_work *work, int code)
{
    if (code != ERR_SYSTEM && code != ERR_IO) return;
    if (__atomic_exchange_n(&work->code, code, __ATOMIC_RELAXED) != OK) return;
    snprintf(work->message, sizeof work->message, "%s", error_message());
}

/* Once all threads are done. */
static int channels_check(const struct channels_work *work)
{
    return work->code < 0 ? fail(work->code, "%s", work->message) : OK;
}

/* By its header alone: which files are decoded must not depend on how many threads there are. */
static bool channels_are_wanted(const struct channels_work *work, const struct channels_file *file)
{
    bool alpha = file->channels == 2 || file->channels == 4;
    return !file->decoded && (work->alpha ? alpha : file->channels >= 3);
}

static void channels_decode(void *context, int64_t from, int64_t to)
{
    struct channels_work *work = context;
    for (int64_t i = from; i < to; i++) {
        struct channels_file *file = &work->files[work->first + i];
        struct image image = {0};
        if (!channels_are_wanted(work, file)) continue;
        char *path = path_join(work->options->folder, work->scan->files[work->first + i].name);
        int code = path ? image_load(&image, path) : ERR_SYSTEM;
        if (code == OK) channels_examine(file, &image);
        channels_note(work, code);
        if (code < 0) file->channels = 0;
        file->decoded = true;
        image_free(&image);
        free(path);
    }
}

static void channels_probe(void *context, int64_t from, int64_t to)
{
    struct channels_work *work = context;
    for (int64_t i = from; i < to; i++) {
        int width, height, channels;
        enum sample_type type;
        char *path = path_join(work->options->folder, work->scan->files[i].name);
        int code = path ? image_probe(path, &width, &height, &channels, &type) : ERR_SYSTEM;
        channels_note(work, code);
        work->files[i].channels = code == OK ? channels : 0;
        free(path);
    }
}

/* How many can be read, how many of them have alpha, and how many more may turn out to. */
static void channels_tally(const struct channels_work *work, int *readable, int *alpha, int *more)
{
    *readable = *alpha = *more = 0;
    for (int i = 0; i < work->scan->count; i++) {
        const struct channels_file *file = &work->files[i];
        bool may = file->channels == 2 || file->channels == 4;
        *readable += file->channels > 0;
        *alpha += file->alpha;
        *more += may && !file->decoded;
    }
}

/* Decodes the next images that may have alpha (or colours) from *next on: a quarter more than were
 * looked at so far, as all are counted anew each time. *found false: there are none. */
static int channels_decode_some(struct channels_work *work, int *next, bool *found)
{
    if (work->options->stop_requested && work->options->stop_requested())
        return fail(ERR_STOPPED, "stopped while looking at the images");
    while (*next < work->scan->count && !channels_are_wanted(work, &work->files[*next]))
        ++*next;
    *found = *next < work->scan->count;
    if (!*found) return OK;
    int count = threads_count() + (*next < 4 * LOOK_MOST ? *next / 4 : LOOK_MOST);
    if (count > work->scan->count - *next) count = work->scan->count - *next;
    work->first = *next;
    threads_for(count, 1, channels_decode, work);
    *next += count;
    return channels_check(work);
}

static int channels_have_alpha(struct channels_work *work, bool *have)
{
    bool found = true;
    work->alpha = true;
    for (int next = 0; found;) {
        int readable, alpha, more;
        channels_tally(work, &readable, &alpha, &more);
        *have = readable > 0 && 2 * alpha >= readable;
        if (*have || 2 * (alpha + more) < readable) return OK;
        TRY(channels_decode_some(work, &next, &found));
    }
    return OK;
}

static int channels_are_grey(struct channels_work *work, bool *grey)
{
    bool found = true;
    int next = 0;
    work->alpha = false;
    *grey = true;
    while (found) {
        for (int i = 0; i < work->scan->count; i++)
            if (work->files[i].colour) *grey = false;
        if (!*grey) return OK;
        TRY(channels_decode_some(work, &next, &found));
    }
    return OK;
}

static int channels_find(struct channels_work *work, enum dataset_channels *channels)
{
    bool alpha, grey = false;
    int readable, with, more;
    threads_for(work->scan->count, 1, channels_probe, work);
    TRY(channels_check(work));
    TRY(channels_have_alpha(work, &alpha));
    if (!alpha) TRY(channels_are_grey(work, &grey));
    channels_tally(work, &readable, &with, &more);
    *channels = readable == 0 ? DATASET_RGB
                : alpha       ? DATASET_RGBA
                : grey        ? DATASET_GREY
                              : DATASET_RGB;
    log_info("%s: channels %s, as %s %d images %s", work->options->folder, channels_name(*channels),
             alpha  ? "at least half of its"
             : grey ? "all of its"
                    : "fewer than half of its",
             readable,
             alpha  ? "have alpha"
             : grey ? "are grey"
                    : "have alpha, and not all are grey");
    return OK;
}

int channels_look(enum dataset_channels *channels, const struct dataset_options *options,
                  const struct scan *scan)
{
    struct channels_work work = {.options = options, .scan = scan};
    work.files = calloc((size_t)scan->count + 1, sizeof *work.files);
    if (!work.files) return fail(ERR_SYSTEM, "out of memory");
    int code = channels_find(&work, channels);
    free(work.files);
    return code;
}
