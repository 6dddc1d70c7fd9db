/* The files of a folder that are the images of a data set. */
#ifndef IMGTRAIN_DATA_SCAN_H
#define IMGTRAIN_DATA_SCAN_H

#include <stdbool.h>
#include <stdint.h>

/* Whether first-level folders are classes. AUTO: when every image lies in one, there are at least
 * two, and each holds enough images to learn a class from. CAPTIONS: the text beside an image is
 * its class (data/captions.h). FILE: a file names each image's class (data/label_file.h). TAGS: the
 * names of all folders above an image and the words of the text beside it are its tags; each set of
 * tags is a class (data/tags.h). */
enum scan_labels {
    SCAN_LABELS_NONE,
    SCAN_LABELS_FOLDERS,
    SCAN_LABELS_AUTO,
    SCAN_LABELS_CAPTIONS,
    SCAN_LABELS_FILE,
    SCAN_LABELS_TAGS
};
enum { SCAN_CLASS_LEAST = 50, SCAN_CLASSES_MOST = 1000 }; /* of AUTO */

struct scan_file {
    char *name;             /* relative to the folder */
    int64_t bytes, changed; /* size, and time of the last change in ns */
    uint64_t device, inode;
    int label; /* 0 without classes */
};

struct scan {
    struct scan_file *files; /* by the bytes of their names */
    int count, room;
    char **classes; /* names of the first-level folders with images, or captions, sorted; none
                       without */
    int class_count;
    bool has_captions, has_label_file;
    int aliases;      /* further names (links) of the same file, left out */
    int foreign;      /* files of image formats that image_load does not know */
    char formats[64]; /* "webp, svg": some of these */
    bool (*stop_requested)(void);
};

/* Lists the images below `folder`: files with the ending of a format that can be read, or without
 * any ending but with such a beginning. Hidden names and run folders are left out, links followed.
 * SCAN_LABELS_FOLDERS: every first-level folder with images is a class; fewer than two such
 * folders, or an image beside them, is ERR_DATA. ERR_INPUT: no such folder; ERR_DATA: no image.
 * *scan is to be freed in any case. */
int scan_folder(struct scan *scan, const char *folder, enum scan_labels labels,
                bool (*stop_requested)(void));
/* Likewise; label_file: that of SCAN_LABELS_FILE. */
int scan_folder_labelled(struct scan *scan, const char *folder, enum scan_labels labels,
                         const char *label_file, bool (*stop_requested)(void));
void scan_free(struct scan *scan);

/* What a user's "auto", "true", "false" or "tags" says; any other text is the name of a file. */
enum scan_labels scan_labels_of(const char *text);
/* The same where there are classes: of folders, unless a file or tags say. */
enum scan_labels scan_labels_known(const char *text);

/* A checksum of names, sizes, times, labels and captions. */
uint64_t scan_hash(const struct scan *scan);

#endif
