#include "data/scan.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/retry.h"
#include "data/captions.h"
#include "data/label_file.h"
#include "image/image.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A folder on the way down: a link back to one of them would never end. */
struct level {
    const struct level *above;
    dev_t device;
    ino_t inode;
    int depth;
};

enum { MAX_DEPTH = 64 };

static void note_foreign(struct scan *scan, const char *ending)
{
    size_t used = strlen(scan->formats), length = strlen(ending);
    scan->foreign++;
    if (strstr(scan->formats, ending) || used + length + 3 > sizeof scan->formats) return;
    strcat(strcat(scan->formats, used ? ", " : ""), ending);
}

/* Whether a failure says nothing about the file, but that the disk or this process is in trouble.
 * Then the set would be another one than a moment later. */
static bool is_passing(int code)
{
    return code == ERR_SYSTEM || code == ERR_IO;
}

/* 1: an image by its first bytes; 0: none; or the error that keeps the file from being read now. */
static int looks_like_image(const char *path)
{
    int width, height, channels;
    enum sample_type type;
    int code = image_probe(path, &width, &height, &channels, &type);
    return code == OK ? 1 : is_passing(code) ? code : 0;
}

static int add_file(struct scan *scan, char *name, const struct stat *info)
{
    if (scan->count == scan->room) {
        int room = scan->room ? scan->room * 2 : 1024;
        struct scan_file *files = realloc(scan->files, (size_t)room * sizeof *files);
        if (!files) {
            free(name);
            return fail(ERR_SYSTEM, "out of memory");
        }
        scan->files = files;
        scan->room = room;
    }
    scan->files[scan->count++] = (struct scan_file){
        .name = name,
        .bytes = info->st_size,
        .changed = (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec,
        .device = (uint64_t)info->st_dev,
        .inode = (uint64_t)info->st_ino,
    };
    return OK;
}

/* Adds the file if it is an image. `name` becomes the scan's or is freed. */
static int look_at_file(struct scan *scan, const char *path, char *name, const struct stat *info)
{
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    const char *foreign = image_name_foreign(base);
    int wanted = strchr(base, '.') ? image_name_is_readable(base) : looks_like_image(path);
    if (wanted < 0) free(name);
    TRY(wanted);
    if (wanted) return add_file(scan, name, info);
    if (foreign) note_foreign(scan, foreign);
    free(name);
    return OK;
}

/* Frames of a run inside the data folder are no data: the set would grow while it is learnt. */
static bool scan_is_run_folder(const char *path)
{
    return file_exists_in(path, "config.yaml") && file_exists_in(path, "lock");
}

static int scan_walk(struct scan *scan, const char *path, const char *name,
                     const struct level *above);

/* Looks at one entry of the folder `path` whose relative name is `prefix`. */
static int look_at_entry(struct scan *scan, const char *path, const char *prefix, const char *entry,
                         const struct level *level)
{
    struct stat info;
    char *full = path_join(path, entry);
    char *name = *prefix ? path_join(prefix, entry) : string_format("%s", entry);
    int code = OK;
    if (!full || !name) {
        code = ERR_SYSTEM;
    } else if (retry_stat(full, &info) != 0) {
        code = fail_errno(ERR_INPUT, "stat %s", full);
        if (!is_passing(code)) { /* a link to nothing, or a file that we may not see */
            log_debug("%s", error_message());
            code = OK;
        }
    } else if (S_ISDIR(info.st_mode)) {
        code = scan_walk(scan, full, name, level);
    } else if (S_ISREG(info.st_mode)) {
        code = look_at_file(scan, full, name, &info);
        name = NULL;
    }
    free(full);
    free(name);
    return code;
}

static bool is_above(const struct level *level, const struct stat *info)
{
    for (; level; level = level->above)
        if (level->device == info->st_dev && level->inode == info->st_ino) return true;
    return false;
}

static int scan_walk(struct scan *scan, const char *path, const char *name,
                     const struct level *above)
{
    struct stat info;
    DIR *dir = file_open_folder(path, true);
    if (!dir || fstat(dirfd(dir), &info) != 0) {
        int code = fail_errno(ERR_INPUT, "open folder %s", path);
        if (dir) closedir(dir);
        if (!above || is_passing(code)) return code;
        log_warning("%s: skipped", error_message());
        return OK;
    }
    struct level level = {above, info.st_dev, info.st_ino, above ? above->depth + 1 : 0};
    int code = OK;
    bool leave_out = is_above(above, &info) || (above && scan_is_run_folder(path));
    if (level.depth > MAX_DEPTH) code = fail(ERR_DATA, "%s: folders nested too deeply", path);
    const char *entry;
    int more = 0;
    while (code == OK && !leave_out && (more = file_next_name(dir, path, &entry)) > 0) {
        if (entry[0] == '.') continue;
        if (scan->stop_requested && scan->stop_requested())
            code = fail(ERR_STOPPED, "stopped while listing %s", path);
        else
            code = look_at_entry(scan, path, name, entry, &level);
    }
    closedir(dir);
    return code < 0 ? code : more;
}

/* ---- order, links, classes ---- */

/* By bytes: the same order under every locale. */
static int scan_compare_names(const void *a, const void *b)
{
    return strcmp(((const struct scan_file *)a)->name, ((const struct scan_file *)b)->name);
}

static int compare_places(const void *a, const void *b)
{
    const struct scan_file *p = *(struct scan_file *const *)a, *q = *(struct scan_file *const *)b;
    if (p->device != q->device) return p->device < q->device ? -1 : 1;
    if (p->inode != q->inode) return p->inode < q->inode ? -1 : 1;
    if (p->label != q->label) return p->label < q->label ? -1 : 1;
    return strcmp(p->name, q->name);
}

/* Drops further names of the same image (icon themes are full of links): under two names it could
 * be both held out and learnt. */
static int drop_aliases(struct scan *scan)
{
    struct scan_file **order = malloc((size_t)scan->count * sizeof *order);
    if (!order) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < scan->count; i++)
        order[i] = &scan->files[i];
    qsort(order, (size_t)scan->count, sizeof *order, compare_places);
    for (int i = scan->count - 1; i > 0; i--) {
        struct scan_file *file = order[i], *first = order[i - 1];
        if (file->device != first->device || file->inode != first->inode ||
            file->label != first->label)
            continue;
        free(file->name);
        file->name = NULL;
    }
    free(order);
    int kept = 0;
    for (int i = 0; i < scan->count; i++)
        if (scan->files[i].name) scan->files[kept++] = scan->files[i];
    scan->aliases = scan->count - kept;
    scan->count = kept;
    return OK;
}

/* Files are sorted, so those of a class follow each other. But "a.b/x" comes before "a/x", so that
 * names of classes are in the order of "NAME/". */
static int number_classes(struct scan *scan, const char *folder)
{
    int beside = 0, first_beside = 0;
    scan->classes = calloc((size_t)scan->count, sizeof *scan->classes);
    if (!scan->classes) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < scan->count; i++) {
        struct scan_file *file = &scan->files[i];
        size_t length = strcspn(file->name, "/");
        if (file->name[length] == '\0') {
            if (beside++ == 0) first_beside = i;
            continue;
        }
        char *last = scan->class_count ? scan->classes[scan->class_count - 1] : NULL;
        if (!last || strlen(last) != length || memcmp(last, file->name, length) != 0) {
            char *name = string_format("%.*s", (int)length, file->name);
            if (!name) return ERR_SYSTEM;
            scan->classes[scan->class_count++] = name;
        }
        file->label = scan->class_count - 1;
    }
    if (scan->class_count < 2)
        return fail(ERR_DATA,
                    "%s: labels=true wants a sub-folder for each class, but %s of them has images",
                    folder, scan->class_count == 1 ? "only one" : "none");
    if (beside > 0)
        return fail(ERR_DATA,
                    "%s: with labels=true no image may lie beside the classes' "
                    "sub-folders, but %d do (%s%s)",
                    folder, beside, scan->files[first_beside].name, beside > 1 ? ", ..." : "");
    return OK;
}

/* Files are sorted, so those of a folder follow each other. */
static bool folders_look_like_classes(const struct scan *scan)
{
    int folders = 0, inside = 0;
    for (int i = 0; i < scan->count; i++) {
        const char *name = scan->files[i].name, *before = i ? scan->files[i - 1].name : "";
        size_t length = strcspn(name, "/");
        if (name[length] == '\0') return false;
        bool same = strncmp(name, before, length + 1) == 0;
        if (!same && i && inside < SCAN_CLASS_LEAST) return false;
        inside = same ? inside + 1 : 1;
        folders += !same;
    }
    return folders >= 2 && folders <= SCAN_CLASSES_MOST && inside >= SCAN_CLASS_LEAST;
}

static const char *scan_name(const void *context, int i)
{
    const struct scan *scan = context;
    return scan->files[i].name;
}

/* Labels in place of sub-folders' names: classes out of label_file, or, where it is NULL, captions
 * beside the images, or tags. */
static int scan_read_labels(struct scan *scan, const char *folder, const char *label_file,
                            bool are_tags)
{
    struct captions labels;
    int code = label_file ? label_file_read(&labels, label_file, scan->count, scan_name, scan)
                          : captions_read(&labels, folder, are_tags, scan->count, scan_name, scan,
                                          scan->stop_requested);
    for (int i = 0; i < scan->count && code == OK; i++)
        scan->files[i].label = labels.labels[i];
    if (code == OK) {
        *(label_file ? &scan->has_label_file : &scan->has_captions) = true;
        scan->classes = labels.texts;
        scan->class_count = labels.text_count;
        labels.texts = NULL;
        labels.text_count = 0;
    }
    captions_free(&labels);
    return code;
}

enum scan_labels scan_labels_of(const char *text)
{
    if (!*text || strcmp(text, "auto") == 0) return SCAN_LABELS_AUTO;
    if (strcmp(text, "true") == 0) return SCAN_LABELS_FOLDERS;
    if (strcmp(text, "false") == 0) return SCAN_LABELS_NONE;
    if (strcmp(text, "tags") == 0) return SCAN_LABELS_TAGS;
    return SCAN_LABELS_FILE;
}

enum scan_labels scan_labels_known(const char *text)
{
    enum scan_labels labels = scan_labels_of(text);
    return labels == SCAN_LABELS_FILE || labels == SCAN_LABELS_TAGS ? labels : SCAN_LABELS_FOLDERS;
}

int scan_folder(struct scan *scan, const char *folder, enum scan_labels labels,
                bool (*stop_requested)(void))
{
    return scan_folder_labelled(scan, folder, labels, NULL, stop_requested);
}

int scan_folder_labelled(struct scan *scan, const char *folder, enum scan_labels labels,
                         const char *label_file, bool (*stop_requested)(void))
{
    *scan = (struct scan){.stop_requested = stop_requested};
    struct stat info;
    if (retry_stat(folder, &info) == 0 && !S_ISDIR(info.st_mode))
        return fail(ERR_INPUT, "%s: a file, but a folder of images is wanted", folder);
    TRY(scan_walk(scan, folder, "", NULL));
    if (scan->count == 0 && scan->foreign > 0)
        return fail(ERR_DATA,
                    "%s: no image that can be read (%s), only %d of other formats (%s): "
                    "convert them to PNG",
                    folder, image_format_names().text, scan->foreign, scan->formats);
    if (scan->count == 0)
        return fail(ERR_DATA, "%s: no image in this folder (%s)", folder,
                    image_format_names().text);
    qsort(scan->files, (size_t)scan->count, sizeof *scan->files, scan_compare_names);
    bool classes = labels == SCAN_LABELS_FOLDERS;
    if (labels == SCAN_LABELS_AUTO) classes = folders_look_like_classes(scan);
    if (classes) TRY(number_classes(scan, folder));
    if (labels == SCAN_LABELS_CAPTIONS) TRY(scan_read_labels(scan, folder, NULL, false));
    if (labels == SCAN_LABELS_TAGS) TRY(scan_read_labels(scan, folder, NULL, true));
    if (labels == SCAN_LABELS_FILE) TRY(scan_read_labels(scan, folder, label_file, false));
    return drop_aliases(scan);
}

void scan_free(struct scan *scan)
{
    for (int i = 0; i < scan->count; i++)
        free(scan->files[i].name);
    for (int i = 0; i < scan->class_count; i++)
        free(scan->classes[i]);
    free(scan->files);
    free(scan->classes);
    *scan = (struct scan){0};
}

uint64_t scan_hash(const struct scan *scan)
{
    uint64_t hash = (uint64_t)scan->count;
    for (int i = 0; i < scan->count; i++) {
        const struct scan_file *file = &scan->files[i];
        int64_t numbers[3] = {file->bytes, file->changed, file->label};
        hash = hash_bytes(hash, file->name, strlen(file->name));
        hash = hash_bytes(hash, numbers, sizeof numbers);
    }
    bool are_told = scan->has_captions || scan->has_label_file; /* by no name of a file */
    for (int i = 0; are_told && i < scan->class_count; i++)
        hash = hash_bytes(hash, scan->classes[i], strlen(scan->classes[i]) + 1);
    return hash;
}
