/* What the schedules make of the config. */
#include "config/config.h"
#include "gan/gan_schedule.h"
#include "test/support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

Suite *gan_schedule_test_suite(void);

/* `keys` beside task: gan */
static struct config *config_of(const char *keys)
{
    char text[128];
    struct config *config;
    int length = snprintf(text, sizeof text, "task: gan\ngan: {%s}\n", keys);
    MUST(config_load_text(&config, "test", text, (size_t)length, 0, NULL));
    return config;
}

static void check_rate(const char *keys, double rate)
{
    struct config *config = config_of(keys);
    ck_assert_msg(!(fabs(gan_rate(config) - rate) > 1e-12), "%s: %g", keys, gan_rate(config));
    struct gan_schedule begin = gan_schedule_at(config, 100, 0),
                        end = gan_schedule_at(config, 100, 1);
    ck_assert(!(fabs(begin.lr - rate) > 1e-12));
    ck_assert(!(fabs(end.lr - config->gan.lr_end) > 1e-12));
    config_free(config);
}

START_TEST(larger_images_learn_at_a_lower_rate)
{
    check_rate("size: 8", 2e-3);
    check_rate("size: 16", 2e-3);
    check_rate("size: 32", 1e-3);
    check_rate("width: 16, height: 20", 1.6e-3);
    check_rate("size: 256", 1e-3);
    check_rate("size: 256, lr: 0.003, lr_end: 0.001", 3e-3); /* who says it gets it */
    check_rate("size: 32, lr: 0", 0);
}
END_TEST

Suite *gan_schedule_test_suite(void)
{
    Suite *suite = suite_create("gan_schedule_test");
    TCase *cases = tcase_create("all");
    tcase_add_test(cases, larger_images_learn_at_a_lower_rate);
    suite_add_tcase(suite, cases);
    return suite;
}
