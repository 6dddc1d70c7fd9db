/* Tensor files that tests write, in a folder of their own. */
#ifndef IMGTRAIN_TEST_STORE_STORE_FILES_H
#define IMGTRAIN_TEST_STORE_STORE_FILES_H

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/tensor_range.h"
#include "test/support.h"

#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[256];

static inline void enter_folder(void)
{
    folder_make();
    snprintf(path, sizeof path, "%s/f.safetensors", folder);
}

static const float weights[6] = {1, -2, 3.5F, 0, 1e-30F, -0.0F};
static const double wide[2] = {0.1, 1e300};
static const uint8_t small[3] = {1, 2, 255};

static inline struct store_writer *sample(void)
{
    struct store_writer *writer = store_writer_create();
    ck_assert_int_eq(store_add(writer, "small", TENSOR_U8, 1, (int64_t[]){3}, small), OK);
    ck_assert_int_eq(store_add_f32(writer, "weights", 2, 3, weights), OK);
    ck_assert_int_eq(store_add(writer, "wide", TENSOR_F64, 1, (int64_t[]){2}, wide), OK);
    ck_assert_int_eq(store_add(writer, "empty", TENSOR_F16, 2, (int64_t[]){0, 4}, NULL), OK);
    ck_assert_int_eq(store_add(writer, "one", TENSOR_U8, 0, NULL, small), OK);
    ck_assert_int_eq(checkpoint_describe(writer, "checkpoint", "splat", 12, "task: splat\n"), OK);
    ck_assert_int_eq(store_set(writer, "odd", "\"q\" \\ \n\t\x01 \xC3\xA9 \xF0\x9F\x98\x80 \xFF."),
                     OK);
    ck_assert_int_eq(store_set_double(writer, "lr", 0.1), OK);
    ck_assert_int_eq(store_set_int(writer, "big", INT64_MIN), OK);
    return writer;
}

static inline void write_sample(void)
{
    struct store_writer *writer = sample();
    ck_assert_int_eq(store_write(writer, path, false), OK);
    store_writer_free(writer);
}

static inline void write_bytes(const void *data, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ck_assert_int_eq(file_write_all(fd, data, bytes, path), OK);
    close(fd);
}

static inline int open_code(void)
{
    struct store_file *file;
    int code = store_open(&file, path);
    ck_assert((code == OK) == (file != NULL));
    store_close(file);
    return code;
}

static inline int open_header(const char *json, const char *data, size_t data_bytes)
{
    char buffer[2048];
    uint64_t length = strlen(json);
    memcpy(buffer, &length, 8);
    memcpy(buffer + 8, json, length);
    if (data_bytes) memcpy(buffer + 8 + length, data, data_bytes);
    write_bytes(buffer, 8 + length + data_bytes);
    return open_code();
}

#define TENSOR(name, type, shape, offsets)                                                         \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

#endif
