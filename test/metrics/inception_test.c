/* FID and KID by a user's Inception against other programs'
 * (scripts/reference/inception_goldens.py), and the algebra behind the former. */
#include "metrics/frechet.h"
#include "metrics/inception.h"
#include "store/safetensors.h"
#include "test/formula.h"
#include "test/support.h"

#include <math.h>

/* ---- weights by formula, in a file ---- */

struct conv {
    const char *name;
    int cout, cin, kh, kw;
};
#define INCEPTION_CONV(name, cout, cin, kh, kw) {#name, cout, cin, kh, kw},
static const struct conv convs[] = {
#include "test/golden/inception.h"
};
#undef INCEPTION_CONV
static const double goldens[2][2] = {
#include "test/golden/inception.h"
};
enum { CONVS = sizeof convs / sizeof *convs };

static void add_filled(struct store_writer *writer, float **at, const char *name, int dims,
                       const int64_t *shape, double scale, double offset)
{
    size_t count = 1;
    for (int i = 0; i < dims; i++)
        count *= (size_t)shape[i];
    formula_fill(*at, count, name, scale, offset);
    MUST(store_add(writer, name, TENSOR_F32, dims, shape, *at));
    *at += count;
}

/* classes: of a last layer, which is not used; 0: none. without: a tensor that is left out. gain:
 * of the last block's last convolution. */
static void write_weights(const char *path, int classes, const char *without, double gain)
{
    static const struct {
        const char *name;
        double scale, offset;
    } norms[] = {
        {"weight", 0.3, 1}, {"bias", 0.3, 0}, {"running_mean", 0.3, 0}, {"running_var", 0.5, 1}};
    struct store_writer *writer = store_writer_create();
    size_t floats = 2048 * 1008;
    for (int i = 0; i < CONVS; i++)
        floats += (size_t)convs[i].cout * (size_t)(convs[i].cin * convs[i].kh * convs[i].kw + 4);
    float *numbers = malloc(floats * sizeof *numbers), *at = numbers;
    ck_assert(writer && numbers);
    for (int i = 0; i < CONVS; i++) {
        const struct conv *c = &convs[i];
        char name[96];
        const int64_t shape[] = {c->cout, c->cin, c->kh, c->kw};
        snprintf(name, sizeof name, "%s.conv.weight", c->name);
        if (!without || strcmp(name, without) != 0)
            add_filled(writer, &at, name, 4, shape,
                       (i == CONVS - 1 ? gain : 1) * sqrt(6.0 / (c->cin * c->kh * c->kw)), 0);
        for (int k = 0; k < 4; k++) {
            snprintf(name, sizeof name, "%s.bn.%s", c->name, norms[k].name);
            add_filled(writer, &at, name, 1, shape, norms[k].scale, norms[k].offset);
        }
    }
    if (classes) add_filled(writer, &at, "fc.weight", 2, (const int64_t[]){classes, 2048}, 1, 0);
    MUST(store_write(writer, path, false));
    store_writer_free(writer);
    free(numbers);
}

/* ---- as other programs ---- */

enum { REAL = 3, FAKE = 2, HEIGHT = 23, WIDTH = 31, IMAGE = HEIGHT * WIDTH * 3 };

static struct image_list draw(uint8_t *bytes, const uint8_t **list, const char *name, int n,
                              double spread)
{
    for (int i = 0; i < n * IMAGE; i++)
        bytes[i] =
            (uint8_t)nearbyint(127.5 + spread * (double)(float)formula_uniform(name, (uint64_t)i));
    for (int i = 0; i < n; i++)
        list[i] = bytes + i * IMAGE;
    return (struct image_list){list, n};
}

/* _i: torchvision's network, or TensorFlow's, which has 1008 classes. */
START_TEST(figures_of_two_networks)
{
    static uint8_t bytes[2][REAL * IMAGE];
    const uint8_t *lists[2][REAL];
    struct inception_metrics m;
    char path[128];
    struct image_list real = draw(bytes[0], lists[0], "real", REAL, 127.5);
    struct image_list fake = draw(bytes[1], lists[1], "fake", FAKE, 40);
    snprintf(path, sizeof path, "%s/inception.safetensors", folder);
    write_weights(path, _i ? 1008 : 0, NULL, 1);
    MUST(inception_check(path));
    MUST(inception_measure(&m, path, real, fake, WIDTH, HEIGHT, NULL));
    ck_assert_msg(fabs(m.fid / goldens[_i][0] - 1) <= 1e-4, "FID %.9g", m.fid);
    ck_assert_msg(fabs(m.kid / goldens[_i][1] - 1) <= 1e-4, "KID %.9g", m.kid);
    /* of one image no covariance is known */
    fake.n = 1;
    MUST(inception_measure(&m, path, real, fake, WIDTH, HEIGHT, NULL));
    ck_assert(isnan(m.fid) && isnan(m.kid));
}
END_TEST

START_TEST(files_that_are_none)
{
    char path[128];
    snprintf(path, sizeof path, "%s/inception.safetensors", folder);
    ck_assert_int_eq(inception_check(path), ERR_INPUT);
    write_weights(path, 0, "Mixed_6c.branch7x7_2.conv.weight", 1);
    ck_assert_int_eq(inception_check(path), ERR_DATA);
    ck_assert_msg(strstr(error_message(), path) &&
                      strstr(error_message(), "Mixed_6c.branch7x7_2.conv.weight"),
                  "%s", error_message());
}
END_TEST

/* Weights that are finite, and make what is not. */
START_TEST(features_are_finite)
{
    static uint8_t bytes[FAKE * IMAGE];
    const uint8_t *list[FAKE];
    struct inception_metrics m;
    char path[128];
    struct image_list images = draw(bytes, list, "fake", FAKE, 40);
    snprintf(path, sizeof path, "%s/inception.safetensors", folder);
    write_weights(path, 0, NULL, 5e39);
    ck_assert_int_eq(inception_measure(&m, path, images, images, WIDTH, HEIGHT, NULL), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "inception.safetensors: its weights make"));
}
END_TEST

/* ---- the algebra ---- */

START_TEST(eigenvalues_of_known_matrices)
{
    enum { N = 24 };
    static double matrix[N * N], values[N];
    /* Q D Q' of a product of reflections, D = 0, 0, 1, 4, 9, ... */
    double expected[N], v[N];
    memset(matrix, 0, sizeof matrix);
    for (int i = 0; i < N; i++)
        matrix[i * N + i] = expected[i] = i < 2 ? 0 : (i - 1.0) * (i - 1);
    for (int k = 0; k < 3; k++) {
        double square = 0;
        for (int i = 0; i < N; i++) {
            v[i] = formula_uniform("v", (uint64_t)(k * N + i));
            square += v[i] * v[i];
        }
        for (int side = 0; side < 2; side++)
            for (int i = 0; i < N; i++) {
                double sum = 0;
                for (int j = 0; j < N; j++)
                    sum += v[j] * matrix[side ? j * N + i : i * N + j];
                for (int j = 0; j < N; j++)
                    matrix[side ? j * N + i : i * N + j] -= 2 / square * sum * v[j];
            }
    }
    MUST(symmetric_eigenvalues(matrix, N, values, NULL));
    for (int i = 0; i < N; i++) {
        double nearest = (double)INFINITY;
        for (int j = 0; j < N; j++)
            nearest = fmin(nearest, fabs(values[j] - expected[i]));
        ck_assert_msg(nearest <= 1e-11 * expected[N - 1], "%g: %g off", expected[i], nearest);
    }
    double one = -3;
    MUST(symmetric_eigenvalues(&one, 1, values, NULL));
    ck_assert(fabs(values[0] + 3) <= 0);
}
END_TEST

/* More points than dimensions, as many, and fewer; where the answer is known: the same points
 * stretched by s and moved by t are (1 - s)^2 tr S + |t + (s - 1) mu|^2 away. */
START_TEST(distances_of_stretched_sets)
{
    enum { DIMS = 7 };
    static const int counts[] = {40, 7, 3};
    for (int k = 0; k < 3; k++) {
        int n = counts[k];
        struct metrics_rows a, b;
        double mean[DIMS] = {0}, trace = 0, square = 0, distance;
        MUST(metrics_rows_create(&a, n, DIMS));
        MUST(metrics_rows_create(&b, n, DIMS));
        formula_fill(a.data, (size_t)(n * DIMS), "points", 2, 1);
        for (int i = 0; i < n * DIMS; i++) {
            b.data[i] = 3 * a.data[i] + 0.5f;
            mean[i % DIMS] += (double)a.data[i] / n;
        }
        for (int i = 0; i < n * DIMS; i++)
            trace += pow((double)a.data[i] - mean[i % DIMS], 2) / (n - 1);
        for (int j = 0; j < DIMS; j++)
            square += pow(0.5 + 2 * mean[j], 2);
        MUST(frechet_distance(&distance, &a, &a, NULL));
        ck_assert_msg(fabs(distance) <= 1e-6 * trace, "%d points: %g from themselves", n, distance);
        MUST(frechet_distance(&distance, &a, &b, NULL));
        ck_assert_msg(fabs(distance - 4 * trace - square) <= 1e-5 * trace,
                      "%d points: %.9g, not %.9g", n, distance, 4 * trace + square);
        metrics_rows_free(&a);
        metrics_rows_free(&b);
    }
}
END_TEST

Suite *inception_test_suite(void);
Suite *inception_test_suite(void)
{
    Suite *suite = suite_create("inception_test");
    TCase *tests = tcase_create("figures");
    tcase_add_checked_fixture(tests, folder_make, folder_remove);
    tcase_add_loop_test(tests, figures_of_two_networks, 0, getenv("SKIP_SLOW") ? 1 : 2);
    tcase_add_test(tests, files_that_are_none);
    if (!getenv("SKIP_SLOW")) tcase_add_test(tests, features_are_finite);
    tcase_add_test(tests, eigenvalues_of_known_matrices);
    tcase_add_test(tests, distances_of_stretched_sets);
    suite_add_tcase(suite, tests);
    return suite;
}
