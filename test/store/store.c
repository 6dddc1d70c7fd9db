#include "store/store_header.h"
#include "test/failing_calls.h"
#include "test/store/store_files.h"

#include <errno.h>

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

START_TEST(numbers_of_metadata)
{
    static const char *const none[] = {"", " 1", "1x", "x", "99999999999999999999"};
    struct store_writer *writer = sample();
    ck_assert_int_eq(store_set(writer, "right", "-7"), OK);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(store_set(writer, (char[]){(char)('a' + i), 0}, none[i]), OK);
    ck_assert_int_eq(store_write(writer, path, false), OK);
    store_writer_free(writer);
    struct store_file *file;
    int64_t whole = 0;
    double real = 0;
    ck_assert_int_eq(store_open(&file, path), OK);
    ck_assert_int_eq(store_get_int(file, "right", &whole), OK);
    ck_assert_int_eq(store_get_double(file, "right", &real), OK);
    ck_assert(whole == -7 && real == -7);
    ck_assert_int_eq(store_get_int(file, "absent", &whole), ERR_DATA);
    ck_assert_int_eq(store_get_double(file, "absent", &real), ERR_DATA);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(store_get_int(file, (char[]){(char)('a' + i), 0}, &whole), ERR_DATA);
        int code = store_get_double(file, (char[]){(char)('a' + i), 0}, &real);
        ck_assert_int_eq(code, i < 4 ? ERR_DATA : OK); /* which has room for the last */
    }
    ck_assert(whole == -7);
    store_close(file);
}
END_TEST

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
        "{" TENSOR("b", "U8", "[4]", "[0,4]") "," TENSOR("a", "U8", "[0]", "[0,0]") "}",
        "{" TENSOR("b", "U8", "[0]", "[0,0]") "," TENSOR("a", "U8", "[4]", "[0,4]") "}",
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
        "{" TENSOR("a", "U8", "[2]", "[0,2]") "," TENSOR("b", "U8", "[2]", "[2,0]") "}",
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

/* A type that is not read is named with its tensor. */
START_TEST(types_that_are_not_read)
{
    ck_assert_int_eq(open_header("{" TENSOR("a.b", "F8_E4M3", "[4]", "[0,4]") "}", "abcd", 4),
                     ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "tensor a.b: fp8 is not read yet"));
    ck_assert_int_eq(open_header("{" TENSOR("a.b", "C64", "[4]", "[0,4]") "}", "abcd", 4),
                     ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "tensor a.b: dtype C64 is not known"));
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
    ck_assert(store_find(file, "a")->is_copy && !store_find(file, "b")->is_copy);
    one = 0; /* and as it stands in the file */
    ck_assert_int_eq(store_read_bytes(file, store_find(file, "a"), &one), OK);
    ck_assert(one == 1.0F);
    store_close(file);
}
END_TEST

START_TEST(reads_bytes_of_the_file_that_it_opened)
{
    struct store_file *file;
    uint8_t bytes[3];
    ck_assert_int_eq(
        open_header("{" TENSOR("a", "U8", "[2]", "[0,2]") "," TENSOR("b", "U8", "[3]", "[2,5]") "}",
                    "vwxyz", 5),
        OK);
    ck_assert_int_eq(store_open(&file, path), OK);
    ck_assert_int_eq(store_read_bytes(file, store_find(file, "b"), bytes), OK);
    ck_assert_mem_eq(bytes, "xyz", 3);
    ck_assert_int_eq(truncate(path, (off_t)store_bytes(file) - 1), 0);
    ck_assert_int_eq(store_read_bytes(file, store_find(file, "b"), bytes), ERR_IO);
    ck_assert_ptr_nonnull(strstr(error_message(), "smaller"));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(store_read_bytes(file, store_find(file, "b"), bytes), ERR_IO);
    write_bytes("another", 7);
    ck_assert_int_eq(store_read_bytes(file, store_find(file, "b"), bytes), ERR_IO);
    ck_assert_ptr_nonnull(strstr(error_message(), "taken its place"));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/proc/self/status", path), 0); /* on another disk */
    ck_assert_int_eq(store_read_bytes(file, store_find(file, "b"), bytes), ERR_IO);
    ck_assert_ptr_nonnull(strstr(error_message(), "taken its place"));
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
    write_bytes("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
    ck_assert_int_eq(open_code(), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "PNG"));
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

START_TEST(halves_are_read_as_floats)
{
    float read[2];
    struct store_file *file;
    const int64_t two[] = {2, 1};
    ck_assert_int_eq(
        open_header("{" TENSOR("whole", "F32", "[2]", "[0,8]") "," TENSOR(
                        "half", "F16", "[2]",
                        "[8,12]") "," TENSOR("brain", "BF16", "[2]",
                                             "[12,16]") "," TENSOR("byte", "U8", "[2]",
                                                                   "[16,18]") "," TENSOR("none",
                                                                                         "F32",
                                                                                         "[0]",
                                                                                         "[18,"
                                                                                         "18]") "}",
                    "\0\0\x80\x3F\0\0\0\xC0\0\x3C\0\xC0\x80\x3F\0\xC0xy", 18),
        OK);
    ck_assert_int_eq(store_open(&file, path), OK);
    static const char *const names[] = {"whole", "half", "brain"};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(store_read_float(file, names[i], 1, two, read), OK);
        ck_assert(read[0] == 1 && read[1] == -2);
        ck_assert_int_eq(store_read_f32(file, names[i], 1, two, read), i ? ERR_DATA : OK);
        ck_assert_int_eq(store_read_float(file, names[i], 2, two, read), ERR_DATA);
    }
    ck_assert_int_eq(store_read_float(file, "byte", 1, two, read), ERR_DATA);
    ck_assert_int_eq(store_read_float(file, "none", 1, (int64_t[]){0}, NULL), OK);
    store_close(file);
}
END_TEST

/* As its writer, but with other CRCs of tensors than there are tensors. */
static int open_crcs(const char *pairs)
{
    char json[400];
    uint8_t all[500];
    size_t at = 8 + strlen(STORE_CRC_FRONT);
    uint64_t length = (uint64_t)snprintf(
        json, sizeof json, STORE_CRC_FRONT "00000000\"%s}," TENSOR("a", "U8", "[4]", "[0,4]") "}",
        pairs);
    memcpy(all, &length, 8);
    memcpy(all + 8, json, length);
    snprintf(json, sizeof json, "%08x", (unsigned)store_crc(0, all, 8 + length));
    memcpy(all + at, json, 8);
    memcpy(all + 8 + length, "abcd", 4);
    write_bytes(all, 8 + length + 4);
    return open_code();
}

START_TEST(each_tensor_has_its_crc)
{
    char pairs[100];
    unsigned crc = (unsigned)store_crc(0, "abcd", 4);
    snprintf(pairs, sizeof pairs, ",\"crc32.a\":\"%08x\"", crc);
    ck_assert_int_eq(open_crcs(pairs), OK);
    ck_assert_int_eq(open_crcs(",\"crc32.a\":\"00000000\""), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "tensor a: its CRC is wrong"));
    ck_assert_int_eq(open_crcs(""), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "a tensor without its CRC"));
    snprintf(pairs, sizeof pairs, ",\"crc32.a\":\"%08x\",\"crc32.b\":\"%08x\"", crc, crc);
    ck_assert_int_eq(open_crcs(pairs), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "a CRC without its tensor"));
}
END_TEST

/* ---- calls that fail ---- */

/* A sound file is read whole, or there is an error that says why, and not that it is damaged. */
START_TEST(opening_fails_at_any_call)
{
    static const int errors[] = {0, EFAULT, EHWPOISON, EINTR};
    char text[5];
    open_header("{\"__metadata__\":{\"k\":\"vv\"}," TENSOR("b", "U8", "[1]", "[0,1]") "," TENSOR(
                    "a", "F32", "[1]", "[1,5]") "}",
                "x\0\0\x80\x3F", 5);
    const char *call = "";
    for (int turn = 1; call; turn++) {
        struct store_file *file;
        fail(OK, "%s", "");
        CALL_FAILS(.turn = turn, .error = errors[_i / 2]);
        int code = _i % 2 ? store_open_lazy(&file, path) : store_open(&file, path);
        if (code == OK) code = store_check_crcs(file);
        if (code == OK) code = store_read_bytes(file, store_find(file, "a"), text);
        call = call_that_failed();
        ck_assert_msg(code == OK || ((code == ERR_IO || code == ERR_SYSTEM || code == ERR_INPUT) &&
                                     error_message()[0]),
                      "%s, call %d: %d", call, turn, code);
        store_close(file);
    }
}
END_TEST

/* ---- failed writes ---- */

START_TEST(writing_fails_at_any_call)
{
    const char *call = "";
    for (int turn = 1; call; turn++) {
        write_bytes("old", 3);
        fail(OK, "%s", "");
        CALL_FAILS(.turn = turn);
        int code = ERR_SYSTEM;
        struct store_writer *writer = store_writer_create();
        if (writer) code = store_add_f32(writer, "weights", 2, 3, weights);
        for (int i = 0; code == OK && i < 40; i++) { /* more than it first has room for */
            char key[12];
            size_t bytes;
            snprintf(key, sizeof key, "key%d", i);
            code = store_set(writer, key, "value");
            if (code == OK && i == 39) code = store_writer_bytes(writer, &bytes);
        }
        if (code == OK) code = store_write(writer, path, false);
        store_writer_free(writer);
        call = call_that_failed();
        ck_assert_msg(code == OK || ((code == ERR_IO || code == ERR_SYSTEM || code == ERR_OUTPUT) &&
                                     error_message()[0]),
                      "%s, call %d: %d", call, turn, code);
        struct stat info;
        ck_assert_int_eq(stat(path, &info), 0);
        ck_assert_msg(code == OK ? open_code() == OK : info.st_size == 3, "%s, call %d", call,
                      turn);
    }
}
END_TEST

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

Suite *store_suite(void);
Suite *store_suite(void)
{
    Suite *suite = suite_create("store");
    TCase *tests = tcase_create("store");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_test(tests, round_trip);
    tcase_add_test(tests, same_bytes_every_time);
    tcase_add_test(tests, header_is_padded);
    tcase_add_test(tests, writer_refuses);
    tcase_add_test(tests, ranges);
    tcase_add_test(tests, numbers_of_metadata);
    tcase_add_test(tests, every_flipped_bit_is_seen);
    tcase_add_test(tests, every_truncation_is_seen);
    tcase_add_test(tests, random_damage_is_seen);
    tcase_add_test(tests, accepts_sound_headers);
    tcase_add_test(tests, refuses_unsound_headers);
    tcase_add_test(tests, types_that_are_not_read);
    tcase_add_test(tests, aligns_foreign_tensors);
    tcase_add_test(tests, reads_bytes_of_the_file_that_it_opened);
    tcase_add_test(tests, refuses_what_is_no_file);
    tcase_add_test(tests, halves_are_read_as_floats);
    tcase_add_test(tests, each_tensor_has_its_crc);
    tcase_add_loop_test(tests, opening_fails_at_any_call, 0, 8);
    tcase_add_test(tests, writing_fails_at_any_call);
    tcase_add_test(tests, failed_write_leaves_the_old);
    suite_add_tcase(suite, tests);
    return suite;
}
