/* What fuzz targets share. */
#ifndef IMGTRAIN_TEST_FUZZ_H
#define IMGTRAIN_TEST_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* libFuzzer's name for a target; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* What must hold for any bytes: libFuzzer keeps those for which it does not. */
static inline void require(int truth)
{
    if (!truth) abort();
}

/* A file without a name that holds the bytes: its path, until the next call. */
static inline const char *fuzz_file(const uint8_t *data, size_t bytes)
{
    static int fd = -1;
    static char path[32];
    if (fd < 0) fd = memfd_create("fuzz", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    require(ftruncate(fd, 0) == 0 && pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
    return path;
}

/* A folder until the end of the process, from fuzz_make_folder on. */
static char fuzz_folder[] = "/tmp/imgtrain-fuzz-XXXXXX";

static inline void fuzz_remove_folder(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", fuzz_folder);
    if (system(command) != 0) perror(fuzz_folder);
}

static inline void fuzz_make_folder(void)
{
    require(mkdtemp(fuzz_folder) != NULL);
    atexit(fuzz_remove_folder);
}

/* The path of a file of the folder; four may be in use at a time. */
static inline const char *fuzz_path(const char *name)
{
    static char path[4][160];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", fuzz_folder, name);
    return path[turn];
}

/* Writes a file of the folder. */
static inline void fuzz_put(const char *name, const void *data, size_t bytes)
{
    FILE *out = fopen(fuzz_path(name), "wb");
    require(out && fwrite(data, 1, bytes, out) == bytes && fclose(out) == 0);
}

#endif
