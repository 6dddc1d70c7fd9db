/* What test/fuzz is given by libFuzzer for as long as one likes: here the seeds of each target, and
 * what comes of them by a few changes that are the same every time. */
#include "base/random.h"
#include "test/support.h"

typedef int fuzz_take(const uint8_t *data, size_t bytes);
typedef size_t fuzz_mutate(uint8_t *data, size_t bytes, size_t room, unsigned seed);

#define FUZZ(name)                                                                                 \
    fuzz_take fuzz_##name##_take;                                                                  \
    __attribute__((weak)) fuzz_mutate fuzz_##name##_mutate;
#include "fuzz_targets.h"
#undef FUZZ

static const struct {
    const char *name;
    fuzz_take *take;
    fuzz_mutate *mutate; /* NULL: LLVMFuzzerMutate alone */
} targets[] = {
#define FUZZ(name) {#name, fuzz_##name##_take, fuzz_##name##_mutate},
#include "fuzz_targets.h"
#undef FUZZ
};

enum { TARGETS = sizeof targets / sizeof *targets, CHANGED = 200, ROOM = 1 << 16 };

static uint32_t drawn; /* words of the changes so far */

static uint32_t draw(size_t below)
{
    return philox_draw(11, STREAM_TEST, 0, drawn++).v[0] % (uint32_t)below;
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t room);
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t room)
{
    static const char *const words[] = {"nan",  "1e999", "-1", "9223372036854775807",
                                        "null", "\"",    "[",  "{"};
    enum { WORDS = sizeof words / sizeof *words, MORE = 8 };
    if (bytes == 0) return 0;
    size_t at = draw(bytes), length;
    switch (draw(5)) {
    case 0: data[at] ^= (uint8_t)(1 << draw(8)); break;
    case 1: data[at] = (uint8_t)draw(256); break;
    case 2: return at;
    case 3:
        if (bytes + MORE > room) break;
        memmove(data + at + MORE, data + at, bytes - at);
        return bytes + MORE;
    default:
        length = strlen(words[at % WORDS]);
        if (at + length <= bytes) memcpy(data + at, words[at % WORDS], length);
    }
    return bytes;
}

static size_t read_seed(const char *folder_name, const char *name, uint8_t *out)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder_name, name);
    FILE *in = fopen(path, "rb");
    ck_assert_msg(in != NULL, "%s", path);
    size_t bytes = fread(out, 1, ROOM, in);
    ck_assert_msg(bytes > 0 && bytes < ROOM, "%s", path);
    fclose(in);
    return bytes;
}

/* A copy of its own, so that a sanitizer sees what is read behind its end. */
static void give(int target, const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes + (bytes == 0));
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, bytes);
    ck_assert_int_eq(targets[target].take(copy, bytes), 0);
    free(copy);
}

/* readdir's order is the file system's. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

START_TEST(seeds_and_what_comes_of_them)
{
    static uint8_t seed[ROOM], changed[ROOM];
    char seeds[64];
    struct dirent **names;
    snprintf(seeds, sizeof seeds, "test/fuzz/seed_%s", targets[_i].name);
    int count = scandir(seeds, &names, is_shown, by_name);
    ck_assert_msg(count > 0, "%s", seeds);
    log_set_level(LOG_ERROR);
    give(_i, seed, 0);
    for (int i = 0; i < count; i++) {
        size_t bytes = read_seed(seeds, names[i]->d_name, seed);
        give(_i, seed, bytes);
        for (int k = i; k < CHANGED; k += count) {
            size_t left = bytes;
            memcpy(changed, seed, bytes);
            for (int changes = 0; changes <= k % 4; changes++)
                left = targets[_i].mutate ? targets[_i].mutate(changed, left, ROOM, (unsigned)k)
                                          : LLVMFuzzerMutate(changed, left, ROOM);
            give(_i, changed, left);
        }
        free(names[i]);
    }
    free(names);
}
END_TEST

Suite *fuzz_seeds_suite(void);
Suite *fuzz_seeds_suite(void)
{
    Suite *suite = suite_create("fuzz_seeds");
    TCase *tests = tcase_create("store");
    tcase_add_loop_test(tests, seeds_and_what_comes_of_them, 0, TARGETS);
    suite_add_tcase(suite, tests);
    return suite;
}
