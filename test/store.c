#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/philox.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/tensor_range.h"

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

static char folder[] = "/tmp/imgtrain-store-XXXXXX";
static char path[256];

static void enter_folder(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/f.safetensors", folder);
}

static void leave_folder(void)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static const float weights[6] = {1, -2, 3.5F, 0, 1e-30F, -0.0F};
static const double wide[2] = {0.1, 1e300};
static const uint8_t small[3] = {1, 2, 255};

static struct store_writer *sample(void)
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

static void write_sample(void)
{
    struct store_writer *writer = sample();
    ck_assert_int_eq(store_write(writer, path, false), OK);
    store_writer_free(writer);
}

START_TEST(round_trip)
{
    write_sample();
    struct store_file *file;
    ck_assert_msg(store_open(&file, path) == OK, "%s", error_message());
    ck_assert_int_eq(store_count(file), 5);
    ck_assert_str_eq(store_at(file, 0)->name, "wide"); /* by falling alignment, then by name */
    ck_assert_str_eq(store_at(file, 4)->name, "small");
    for (int i = 0; i < 5; i++) {
        const struct store_tensor *t = store_at(file, i);
        ck_assert_uint_eq((uintptr_t)t->data % tensor_type_bytes(t->type), 0);
        ck_assert_ptr_eq(store_find(file, t->name), t);
    }
    ck_assert_ptr_null(store_find(file, "other"));
    float back[6];
    ck_assert_int_eq(store_read_f32(file, "weights", 2, (int64_t[]){2, 3}, back), OK);
    ck_assert_mem_eq(back, weights, sizeof back);
    ck_assert_mem_eq(store_find(file, "wide")->data, wide, sizeof wide);
    ck_assert_int_eq(store_find(file, "one")->dims, 0);
    ck_assert_uint_eq(store_find(file, "one")->bytes, 1);
    ck_assert_uint_eq(store_find(file, "empty")->bytes, 0);
    ck_assert_int_eq(store_read_f32(file, "weights", 2, (int64_t[]){3, 2}, back), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "F32 [2, 3], expected F32 [3, 2]"));
    ck_assert_int_eq(store_read_f32(file, "wide", 1, (int64_t[]){2}, back), ERR_DATA);
    ck_assert_int_eq(store_read_f32(file, "none", 1, (int64_t[]){2}, back), ERR_DATA);
    ck_assert_str_eq(store_get(file, "odd"),
                     "\"q\" \\ \n\t\x01 \xC3\xA9 \xF0\x9F\x98\x80 \xEF\xBF\xBD.");
    int64_t number;
    double real;
    ck_assert_int_eq(store_get_int(file, "big", &number), OK);
    ck_assert(number == INT64_MIN);
    ck_assert_int_eq(store_get_double(file, "lr", &real), OK);
    ck_assert(real == 0.1);
    ck_assert_int_eq(store_get_int(file, "task", &number), ERR_DATA);
    ck_assert_int_eq(store_get_int(file, "absent", &number), ERR_DATA);
    ck_assert_int_eq(store_metadata_count(file), 6 + 3 + 5 + 1);
    ck_assert_int_eq(checkpoint_expect(file, "splat", "checkpoint"), OK);
    ck_assert_int_eq(checkpoint_expect(file, "gan", NULL), ERR_DATA);
    store_close(file);
    store_close(NULL);
}
END_TEST

START_TEST(same_bytes_every_time)
{
    uint8_t *a, *b;
    size_t a_bytes, b_bytes;
    write_sample();
    ck_assert_int_eq(file_read(path, 1 << 20, &a, &a_bytes), OK);
    write_sample();
    ck_assert_int_eq(file_read(path, 1 << 20, &b, &b_bytes), OK);
    ck_assert_uint_eq(a_bytes, b_bytes);
    ck_assert_mem_eq(a, b, a_bytes);
    free(a);
    free(b);
}
END_TEST

/* The data section begins at a multiple of 8, whatever the length of the names. */
START_TEST(header_is_padded)
{
    for (int length = 1; length <= 8; length++) {
        uint8_t *data;
        size_t bytes;
        uint64_t header;
        char name[16] = "";
        memset(name, 'n', (size_t)length);
        struct store_writer *writer = store_writer_create();
        ck_assert_int_eq(store_add_f32(writer, name, 1, 1, weights), OK);
        ck_assert_int_eq(store_write(writer, path, false), OK);
        store_writer_free(writer);
        ck_assert_int_eq(file_read(path, 1 << 20, &data, &bytes), OK);
        memcpy(&header, data, sizeof header);
        ck_assert_uint_eq(header % 8, 0);
        ck_assert_uint_eq(8 + header + sizeof(float), bytes);
        ck_assert_mem_eq(data + 8 + header, weights, sizeof(float));
        free(data);
    }
}
END_TEST

START_TEST(writer_refuses)
{
    struct store_writer *writer = sample();
    ck_assert_int_eq(store_add_f32(writer, "weights", 1, 1, weights), ERR_INTERNAL);
    ck_assert_int_eq(store_add_f32(writer, "__metadata__", 1, 1, weights), ERR_INTERNAL);
    ck_assert_int_eq(store_add_f32(writer, "a\nb", 1, 1, weights), ERR_INTERNAL);
    ck_assert_int_eq(store_add_f32(writer, "x", -1, 1, weights), ERR_INTERNAL);
    ck_assert_int_eq(store_add_f32(writer, "x", INT64_MAX, 4, weights), ERR_INTERNAL);
    ck_assert_int_eq(store_set(writer, "crc32.x", ""), ERR_INTERNAL);
    ck_assert_int_eq(store_set(writer, "step", "13"), OK); /* replaces */
    ck_assert_int_eq(store_write(writer, path, true), OK);
    store_writer_free(writer);
    store_writer_free(NULL);
    struct store_file *file;
    ck_assert_int_eq(store_open(&file, path), OK);
    ck_assert_str_eq(store_get(file, "step"), "13");
    store_close(file);
}
END_TEST

START_TEST(ranges)
{
    static const float f[4] = {-2, NAN, 7, INFINITY};
    static const uint16_t half[5] = {0x3C00, 0xC500, 0x0001, 0x7BFF, 0xFC00};
    static const uint16_t bfloat[2] = {0x4049, 0xBF80};
    static const struct {
        struct tensor_range range;
        struct store_tensor tensor;
    } known[] = {
        {{4, 2, -2, 7}, {.type = TENSOR_F32, .data = f, .bytes = sizeof f}},
        {{5, 1, -5, 65504}, {.type = TENSOR_F16, .data = half, .bytes = sizeof half}},
        {{1, 0, 0x1p-24, 0x1p-24}, {.type = TENSOR_F16, .data = half + 2, .bytes = 2}},
        {{2, 0, -1, 3.140625}, {.type = TENSOR_BF16, .data = bfloat, .bytes = sizeof bfloat}},
        {{3, 0, 1, 255}, {.type = TENSOR_U8, .data = small, .bytes = 3}},
        {{3, 0, -1, 2}, {.type = TENSOR_I8, .data = small, .bytes = 3}},
        {{2, 0, 0.1, 1e300}, {.type = TENSOR_F64, .data = wide, .bytes = sizeof wide}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct tensor_range range = tensor_range(&known[i].tensor);
        ck_assert_int_eq(range.count, known[i].range.count);
        ck_assert_int_eq(range.nonfinite, known[i].range.nonfinite);
        ck_assert(range.min == known[i].range.min);
        ck_assert(range.max == known[i].range.max);
    }
    struct tensor_range none = tensor_range(&(struct store_tensor){.type = TENSOR_F32});
    ck_assert(none.count == 0 && isnan(none.min) && isnan(none.max));
}
END_TEST

/* ---- damage ---- */

static void write_bytes(const void *data, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ck_assert_int_eq(file_write_all(fd, data, bytes, path), OK);
    close(fd);
}

static int open_code(void)
{
    struct store_file *file;
    int code = store_open(&file, path);
    ck_assert((code == OK) == (file != NULL));
    store_close(file);
    return code;
}

START_TEST(every_flipped_bit_is_seen)
{
    uint8_t *data;
    size_t bytes;
    write_sample();
    ck_assert_int_eq(file_read(path, 1 << 20, &data, &bytes), OK);
    ck_assert_int_eq(open_code(), OK);
    int fd = open(path, O_WRONLY);
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        uint8_t flipped = (uint8_t)(data[bit / 8] ^ 1u << bit % 8);
        ck_assert_int_eq(pwrite(fd, &flipped, 1, (off_t)(bit / 8)), 1);
        ck_assert_msg(open_code() == ERR_DATA, "bit %zu of %zu", bit, 8 * bytes);
        ck_assert_int_eq(pwrite(fd, &data[bit / 8], 1, (off_t)(bit / 8)), 1);
    }
    close(fd);
    free(data);
}
END_TEST

START_TEST(every_truncation_is_seen)
{
    uint8_t *data;
    size_t bytes;
    write_sample();
    ck_assert_int_eq(file_read(path, 1 << 20, &data, &bytes), OK);
    for (size_t length = bytes; length-- > 0;) {
        ck_assert_int_eq(truncate(path, (off_t)length), 0);
        ck_assert_int_eq(open_code(), ERR_DATA);
    }
    data = realloc(data, bytes + 8);
    for (size_t more = 1; more <= 8; more++) { /* and what is appended */
        memset(data + bytes, 0, more);
        write_bytes(data, bytes + more);
        ck_assert_int_eq(open_code(), ERR_DATA);
    }
    free(data);
}
END_TEST

/* A larger file: tensors of 300 KB, lengths and bits at random. */
START_TEST(random_damage_is_seen)
{
    enum { COUNT = 40000 };
    float *values = malloc(COUNT * sizeof *values);
    for (uint32_t i = 0; i < COUNT; i++)
        values[i] = philox_uniform(philox_draw(1, STREAM_TEST, 0, i).v[0]);
    struct store_writer *writer = sample();
    ck_assert_int_eq(store_add_f32(writer, "large", COUNT, 1, values), OK);
    ck_assert_int_eq(store_add_f32(writer, "larger", COUNT / 2, 2, values), OK);
    ck_assert_int_eq(store_write(writer, path, false), OK);
    store_writer_free(writer);
    uint8_t *data;
    size_t bytes;
    ck_assert_int_eq(file_read(path, 1 << 20, &data, &bytes), OK);
    int fd = open(path, O_RDWR);
    for (uint32_t i = 0; i < 1000; i++) {
        struct philox4 r = philox_draw(2, STREAM_TEST, 0, i);
        size_t at = r.v[0] % bytes, length = r.v[1] % bytes;
        uint8_t flipped = (uint8_t)(data[at] ^ 1u << r.v[2] % 8);
        ck_assert_int_eq(pwrite(fd, &flipped, 1, (off_t)at), 1);
        ck_assert_int_eq(open_code(), ERR_DATA);
        ck_assert_int_eq(pwrite(fd, &data[at], 1, (off_t)at), 1);
        ck_assert_int_eq(ftruncate(fd, (off_t)length), 0);
        ck_assert_int_eq(open_code(), ERR_DATA);
        ck_assert_int_eq(pwrite(fd, data + length, bytes - length, (off_t)length),
                         (ssize_t)(bytes - length));
    }
    ck_assert_int_eq(open_code(), OK);
    close(fd);
    free(data);
    free(values);
}
END_TEST

/* ---- foreign files ---- */

static int open_header(const char *json, const char *data, size_t data_bytes)
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

START_TEST(accepts_sound_headers)
{
    static const char *const sound[] = {
        "{" TENSOR("a", "F32", "[1]", "[0,4]") "}",
        "{" TENSOR("a", "U8", "[4]", "[0,4]") "}    ",
        "{ \"a\" : { \"shape\" : [ 2 , 2 ] , \"data_offsets\" : [ 0 , 4 ] ,\n"
        "\t\"dtype\":\"I8\" } }",
        "{" TENSOR("b", "U8", "[1]", "[3,4]") "," TENSOR("a", "U8", "[3]", "[0,3]") "}",
        "{" TENSOR("b", "U8", "[1]", "[0,1]") "," TENSOR("a", "U8", "[3]", "[1,4]") "," TENSOR(
            "c", "F64", "[0,7]", "[1,1]") "}",
        "{\"__metadata__\":{}," TENSOR("a", "F32", "[]", "[0,4]") "}",
        "{\"__metadata__\":{\"k\":\"\\u00e9\\ud83d\\ude00\\\"\"}," TENSOR("a\\u0041", "F32", "[1]",
                                                                          "[0,4]") "}",
    };
    for (size_t i = 0; i < sizeof sound / sizeof sound[0]; i++)
        ck_assert_msg(open_header(sound[i], "abcd", 4) == OK, "%s: %s", sound[i], error_message());
}
END_TEST

START_TEST(refuses_unsound_headers)
{
    static const char *const unsound[] = {
        "",
        "  ",
        "[]",
        "{",
        " {" TENSOR("a", "F32", "[1]", "[0,4]") "}",
        "{}", /* bytes behind the last tensor */
        "{" TENSOR("a", "F32", "[1]", "[0,4]") "}x",
        "{" TENSOR("a", "F32", "[1]", "[0,4]") ",}",
        "{," TENSOR("a", "F32", "[1]", "[0,4]") "}",
        "{" TENSOR("a", "F32", "[1,]", "[0,4]") "}",
        "{" TENSOR("a", "F32", "[2]", "[0,4]") "}",
        "{" TENSOR("a", "F32", "[1]", "[0,5]") "}",
        "{" TENSOR("a", "F32", "[1]", "[4,0]") "}",
        "{" TENSOR("a", "F32", "[1]", "[4,8]") "}",
        "{" TENSOR("a", "U8", "[3]", "[0,3]") "}",
        "{" TENSOR("a", "U8", "[3]", "[0,4]") "}",
        "{" TENSOR("a", "U8", "[3]", "[1,4]") "}",
        "{" TENSOR("a", "U8", "[2]", "[0,2]") "," TENSOR("b", "U8", "[1]", "[3,4]") "}",
        "{" TENSOR("a", "U8", "[3]", "[0,3]") "," TENSOR("b", "U8", "[2]", "[2,4]") "}",
        "{" TENSOR("a", "U8", "[2]", "[0,2]") "," TENSOR("a", "U8", "[2]", "[2,4]") "}",
        "{" TENSOR("a", "F8", "[4]", "[0,4]") "}",
        "{" TENSOR("a", "U8", "[04]", "[0,4]") "}",
        "{" TENSOR("a", "U8", "[4.0]", "[0,4]") "}",
        "{" TENSOR("a", "U8", "[4e0]", "[0,4]") "}",
        "{" TENSOR("a", "U8", "[-4]", "[0,4]") "}",
        "{" TENSOR("a", "U8", "[18446744073709551620]", "[0,4]") "}",
        "{" TENSOR("a", "U8", "[9007199254740993]", "[0,4]") "}",
        "{" TENSOR("a", "F32", "[4611686018427387905]", "[0,4]") "}",
        "{" TENSOR("a", "F32", "[9007199254740992,512,1]", "[0,4]") "}",
        "{" TENSOR("a", "U8", "[4,1,1,1,1,1,1,1,1]", "[0,4]") "}",
        "{" TENSOR("a", "U8", "[4]", "[0]") "}",
        "{" TENSOR("a", "U8", "[4]", "[0,4,4]") "}",
        "{" TENSOR("a\\u0000", "U8", "[4]", "[0,4]") "}",
        "{" TENSOR("a\\ud800", "U8", "[4]", "[0,4]") "}",
        "{" TENSOR("a\\udc00\\udc00", "U8", "[4]", "[0,4]") "}",
        "{" TENSOR("a\\udc00", "U8", "[4]", "[0,4]") "}",
        "{" TENSOR("a\\u001b", "U8", "[4]", "[0,4]") "}",
        "{" TENSOR("a\\x", "U8", "[4]", "[0,4]") "}",
        "{" TENSOR("a\xFF", "U8", "[4]", "[0,4]") "}",
        "{" TENSOR("a\xC0\x80", "U8", "[4]", "[0,4]") "}",
        "{" TENSOR("a\n", "U8", "[4]", "[0,4]") "}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"shape\":[4],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4],\"x\":[[[[]]]]}}",
        "{\"a\":null}",
        "{\"__metadata__\":{\"k\":1}," TENSOR("a", "U8", "[4]", "[0,4]") "}",
        "{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}," TENSOR("a", "U8", "[4]", "[0,4]") "}",
        "{\"__metadata__\":{},\"__metadata__\":{}," TENSOR("a", "U8", "[4]", "[0,4]") "}",
        "{\"__metadata__\":{\"crc32.a\":\"00000000\"}," TENSOR("a", "U8", "[4]", "[0,4]") "}",
        "{\"__metadata__\":{\"crc32\":\"00000000\"}," TENSOR("a", "U8", "[4]", "[0,4]") "}",
    };
    for (size_t i = 0; i < sizeof unsound / sizeof unsound[0]; i++) {
        ck_assert_msg(open_header(unsound[i], "abcd", 4) == ERR_DATA, "%s", unsound[i]);
        ck_assert_ptr_nonnull(strstr(error_message(), path));
        ck_assert_ptr_null(strchr(error_message(), '\n'));
    }
}
END_TEST

START_TEST(aligns_foreign_tensors)
{
    ck_assert_int_eq(open_header("{" TENSOR("b", "U8", "[1]", "[0,1]") "," TENSOR("a", "F32", "[1]",
                                                                                  "[1,5]") "}",
                                 "x\0\0\x80\x3F", 5),
                     OK);
    struct store_file *file;
    float one = 0;
    ck_assert_int_eq(store_open(&file, path), OK);
    ck_assert_uint_eq((uintptr_t)store_find(file, "a")->data % 4, 0);
    ck_assert_int_eq(store_read_f32(file, "a", 1, (int64_t[]){1}, &one), OK);
    ck_assert(one == 1.0F);
    store_close(file);
}
END_TEST

START_TEST(refuses_what_is_no_file)
{
    struct store_file *file;
    ck_assert_int_eq(store_open(&file, "/nonexistent/x"), ERR_INPUT);
    ck_assert_int_eq(store_open(&file, folder), ERR_DATA);
    ck_assert_int_eq(store_open(&file, "/dev/zero"), ERR_DATA);
    ck_assert_int_eq(mkfifo(path, 0666), 0);
    ck_assert_int_eq(store_open(&file, path), ERR_DATA); /* and does not wait for a writer */
    unlink(path);
    write_bytes("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F{}", 10);
    ck_assert_int_eq(open_code(), ERR_DATA);
    write_bytes("\x01\x00\x00\x01\x00\x00\x00\x00{}", 10);
    ck_assert_int_eq(open_code(), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "16 MiB"));
    char page[4096]; /* a header that would go on behind the last mapped page */
    memset(page, ' ', sizeof page);
    uint64_t length = sizeof page;
    memcpy(page, &length, sizeof length);
    page[8] = '{';
    write_bytes(page, sizeof page);
    ck_assert_int_eq(open_code(), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "within its header"));
}
END_TEST

/* ---- failed writes ---- */

START_TEST(failed_write_leaves_the_old)
{
    write_sample();
    uint8_t *before, *after;
    size_t before_bytes, after_bytes;
    ck_assert_int_eq(file_read(path, 1 << 20, &before, &before_bytes), OK);
    float *values = calloc(100000, sizeof *values);
    struct store_writer *writer = sample();
    ck_assert_int_eq(store_add_f32(writer, "large", 100000, 1, values), OK);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){8192, RLIM_INFINITY});
    int code = store_write(writer, path, true);
    ck_assert_int_eq(code, ERR_IO);
    ck_assert_int_eq(error_exit_status(code), 74);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    store_writer_free(writer);
    free(values);
    ck_assert_int_eq(file_read(path, 1 << 20, &after, &after_bytes), OK);
    ck_assert_uint_eq(before_bytes, after_bytes);
    ck_assert_mem_eq(before, after, before_bytes);
    free(before);
    free(after);
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing else was left */
    ck_assert_int_eq(mkdir(folder, 0777), 0);
}
END_TEST

/* ---- checkpoints ---- */

static void write_step(int64_t step, int keep)
{
    struct store_writer *writer = sample();
    ck_assert_int_eq(checkpoint_write(folder, step, writer, keep, false), OK);
    store_writer_free(writer);
}

static void assert_steps(int count, const int64_t *expected)
{
    int64_t *steps;
    int found;
    ck_assert_int_eq(checkpoint_list(folder, &steps, &found), OK);
    ck_assert_int_eq(found, count);
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(steps[i], expected[i]);
    free(steps);
}

static void damage(int64_t step)
{
    char *name = checkpoint_path(folder, step);
    ck_assert_int_eq(truncate(name, 100), 0);
    free(name);
}

static int64_t latest(void)
{
    struct store_file *file;
    int64_t step = -1;
    int code = checkpoint_latest(folder, &file, &step);
    ck_assert((code == OK) == (file != NULL));
    store_close(file);
    return code < 0 ? code : step;
}

START_TEST(newest_is_by_number)
{
    ck_assert_int_eq(latest(), ERR_INPUT);
    write_step(9000, 10);
    write_step(10000, 10);
    write_step(INT64_C(12345678901), 10);
    assert_steps(3, (int64_t[]){INT64_C(12345678901), 10000, 9000});
    ck_assert_int_eq(latest(), INT64_C(12345678901));
    damage(INT64_C(12345678901));
    log_set_level(LOG_ERROR);
    ck_assert_int_eq(latest(), 10000);
    damage(10000);
    ck_assert_int_eq(latest(), 9000);
    char *from = checkpoint_path(folder, 9000), *to = checkpoint_path(folder, 9001);
    ck_assert_int_eq(link(from, to), 0); /* says of itself that it is another step's */
    free(from);
    free(to);
    ck_assert_int_eq(latest(), 9000);
    damage(9000);
    ck_assert_int_eq(latest(), ERR_DATA);
}
END_TEST

START_TEST(prunes_only_what_is_old)
{
    for (int64_t step = 1; step <= 5; step++)
        write_step(step * 1000, 2);
    assert_steps(2, (int64_t[]){5000, 4000});
    log_set_level(LOG_ERROR);
    damage(5000);
    ck_assert_int_eq(latest(), 4000);
    write_step(4500, 1); /* the run went on from 4000: 5000 is of no use any more */
    assert_steps(1, (int64_t[]){4500});
    ck_assert_int_eq(latest(), 4500);
    write_step(4600, 0); /* what was just written is never removed */
    assert_steps(1, (int64_t[]){4600});
}
END_TEST

START_TEST(leftovers_go_strangers_stay)
{
    static const char *const names[] = {"step-000000001.safetensors.tmp123", "notes.txt",
                                        "step-1.safetensors", "step-00000000x.safetensors"};
    write_step(1, 1);
    char name[300];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s/checkpoints/%s", folder, names[i]);
        ck_assert_int_eq(file_write_atomic(name, "x", 1, false), OK);
    }
    ck_assert_int_eq(latest(), 1); /* reading removes nothing: the run may be going on */
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s/checkpoints/%s", folder, names[i]);
        ck_assert(file_exists(name));
    }
    write_step(2, 1);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s/checkpoints/%s", folder, names[i]);
        ck_assert_int_eq(file_exists(name), i > 0);
    }
    assert_steps(1, (int64_t[]){2});
}
END_TEST

START_TEST(opens_file_or_run)
{
    struct store_file *file;
    ck_assert_int_eq(checkpoint_open(folder, &file), ERR_INPUT);
    write_step(7, 1);
    ck_assert_int_eq(checkpoint_open(folder, &file), OK);
    ck_assert_str_eq(store_get(file, "step"), "7");
    store_close(file);
    char name[300];
    snprintf(name, sizeof name, "%s/model.safetensors", folder);
    struct store_writer *writer = sample();
    ck_assert_int_eq(store_write(writer, name, false), OK);
    store_writer_free(writer);
    ck_assert_int_eq(checkpoint_open(folder, &file), OK);
    ck_assert_str_eq(store_path(file), name);
    store_close(file);
    open_header("{" TENSOR("a", "U8", "[4]", "[0,4]") "}", "abcd", 4);
    ck_assert_int_eq(checkpoint_open(path, &file), ERR_DATA);
    ck_assert_ptr_null(file);
}
END_TEST

Suite *store_suite(void);
Suite *store_suite(void)
{
    Suite *suite = suite_create("store");
    TCase *tests = tcase_create("store");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, enter_folder, leave_folder);
    tcase_add_test(tests, round_trip);
    tcase_add_test(tests, same_bytes_every_time);
    tcase_add_test(tests, header_is_padded);
    tcase_add_test(tests, writer_refuses);
    tcase_add_test(tests, ranges);
    tcase_add_test(tests, every_flipped_bit_is_seen);
    tcase_add_test(tests, every_truncation_is_seen);
    tcase_add_test(tests, random_damage_is_seen);
    tcase_add_test(tests, accepts_sound_headers);
    tcase_add_test(tests, refuses_unsound_headers);
    tcase_add_test(tests, aligns_foreign_tensors);
    tcase_add_test(tests, refuses_what_is_no_file);
    tcase_add_test(tests, failed_write_leaves_the_old);
    tcase_add_test(tests, newest_is_by_number);
    tcase_add_test(tests, prunes_only_what_is_old);
    tcase_add_test(tests, leftovers_go_strangers_stay);
    tcase_add_test(tests, opens_file_or_run);
    suite_add_tcase(suite, tests);
    return suite;
}
