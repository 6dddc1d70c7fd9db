/* Files of PyTorch (scripts/reference/torch_files.py), sound and damaged. */
#include "store/torch_file.h"
#include "test/support.h"

#include <sys/mman.h>
#include <unistd.h>

enum { NUMBERS = 155, ROOM = 4096 };

static const char *seed_path(const char *name)
{
    static char path[2][256];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "test/fuzz/seed_torch/%s", name);
    return path[turn];
}

/* The numbers of its tensors, one after the other; 0: it was refused. */
static int read_numbers(const char *path, float *out)
{
    struct torch_file *file;
    int count = 0, code = torch_file_open(&file, path, NULL);
    if (code < 0) {
        ck_assert_int_eq(code, ERR_DATA);
        return 0;
    }
    for (int i = 0; i < torch_file_count(file); i++) {
        const struct store_tensor *t = torch_file_at(file, i);
        ck_assert_int_eq(t->type, TENSOR_F32);
        int numbers = (int)(t->bytes / sizeof *out);
        ck_assert_int_le(count + numbers, ROOM);
        memcpy(out + count, t->data, t->bytes);
        count += numbers;
    }
    torch_file_close(file);
    return count;
}

START_TEST(types)
{
    static const struct {
        const char *name;
        enum tensor_type type;
    } files[] = {{"archive", TENSOR_F32}, {"half", TENSOR_F16}, {"bfloat16", TENSOR_BF16}};
    for (int i = 0; i < 3; i++) {
        struct torch_file *file;
        MUST(torch_file_open(&file, seed_path(files[i].name), NULL));
        ck_assert_int_eq(torch_file_count(file), 8);
        ck_assert_str_eq(torch_file_at(file, 0)->name, "body.0.bias");
        const struct store_tensor *t = torch_file_at(file, 1);
        ck_assert_str_eq(t->name, "body.0.weight");
        ck_assert_int_eq(t->type, files[i].type);
        ck_assert_int_eq(t->dims, 4);
        ck_assert_int_eq(t->shape[1], 3);
        ck_assert(torch_file_is_checked(file));
        torch_file_close(file);
    }
}
END_TEST

/* A file of these bytes, read: one in memory, as there are thousands. */
static int read_changed(const uint8_t *data, size_t bytes, float *out)
{
    static int fd = -1;
    static char path[32];
    if (fd < 0) fd = memfd_create("changed", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ck_assert(ftruncate(fd, 0) == 0 && pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
    return read_numbers(path, out);
}

/* An archive has checksums: what is read from a damaged one is what was written. The older format
 * has none, and is only not to do harm. */
START_TEST(damage)
{
    static float sound[ROOM], numbers[ROOM];
    const char *name = _i ? "legacy" : "archive";
    uint8_t *data;
    size_t bytes;
    int refused = 0;
    MUST(file_read(seed_path(name), 1 << 20, &data, &bytes));
    ck_assert_int_eq(read_changed(data, bytes, sound), NUMBERS);
    for (size_t at = 0; at < bytes; at++) {
        data[at] ^= (uint8_t)(1u << at % 8);
        int count = read_changed(data, bytes, numbers);
        data[at] ^= (uint8_t)(1u << at % 8);
        refused += count == 0;
        if (count > 0 && _i == 0) ck_assert_mem_eq(numbers, sound, NUMBERS * sizeof *sound);
    }
    ck_assert_int_gt(refused, (int)bytes / 4);
    for (size_t end = 0; end < bytes; end++)
        if (read_changed(data, end, numbers) > 0)
            ck_assert_mem_eq(numbers, sound, NUMBERS * sizeof *sound);
    free(data);
}
END_TEST

Suite *torch_file_test_suite(void);
Suite *torch_file_test_suite(void)
{
    Suite *suite = suite_create("torch_file_test");
    TCase *tests = tcase_create("torch_file");
    tcase_add_checked_fixture(tests, set_up, folder_remove);
    tcase_add_test(tests, types);
    tcase_add_loop_test(tests, damage, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
