#include "config/foreign_degradations.h"

#include <stddef.h>
#include <string.h>

/* Ours with the section, which is left out where the name is the same. */
static const char *const same_names[] = {
    "sr.lq_usm",
    "sr.lq_usm_radius_range",
    "sr.l1_gt_usm",
    "sr.gan_gt_usm",
    "sr.thicklines_prob",
    "sr.dataroot_lq_prob",
    "sr.blur_prob",
    "sr.kernel_list",
    "sr.kernel_prob",
    "sr.kernel_range",
    "sr.sinc_prob",
    "sr.blur_sigma",
    "sr.betag_range",
    "sr.betap_range",
    "sr.resize_prob",
    "sr.resize_range",
    "sr.resize_mode_list",
    "sr.resize_mode_prob",
    "sr.gaussian_noise_prob",
    "sr.noise_range",
    "sr.poisson_scale_range",
    "sr.gray_noise_prob",
    "sr.jpeg_prob",
    "sr.jpeg_range",
    "sr.blur_prob2",
    "sr.kernel_list2",
    "sr.kernel_prob2",
    "sr.kernel_range2",
    "sr.sinc_prob2",
    "sr.blur_sigma2",
    "sr.betag_range2",
    "sr.betap_range2",
    "sr.resize_prob2",
    "sr.resize_range2",
    "sr.resize_mode_list2",
    "sr.resize_mode_prob2",
    "sr.gaussian_noise_prob2",
    "sr.noise_range2",
    "sr.poisson_scale_range2",
    "sr.gray_noise_prob2",
    "sr.jpeg_prob2",
    "sr.jpeg_range2",
    "sr.resize_mode_list3",
    "sr.resize_mode_prob3",
    "sr.final_sinc_prob",
    "sr.final_kernel_range",
};

const char *foreign_degradation_key(const char *path)
{
    static const char data[] = "datasets.train.";
    if (strncmp(path, data, sizeof data - 1) == 0) path += sizeof data - 1;
    if (strcmp(path, "second_blur_prob") == 0) return "sr.blur_prob2";
    for (size_t i = 0; i < sizeof same_names / sizeof *same_names; i++)
        if (strcmp(path, same_names[i] + strlen("sr.")) == 0) return same_names[i];
    return NULL;
}

#define MODES "bilinear bicubic nearest-exact lanczos"
#define EQUAL "0.25 0.25 0.25 0.25"
const struct foreign_degradation_default foreign_degradation_defaults[] = {
    {"sr.lq_usm_radius_range", "1 25"}, {"sr.blur_prob", "0"},
    {"sr.kernel_range", "5 17"},        {"sr.sinc_prob", "0"},
    {"sr.blur_sigma", "0.2 2"},         {"sr.resize_range", "0.4 1.5"},
    {"sr.resize_mode_list", MODES},     {"sr.resize_mode_prob", EQUAL},
    {"sr.gaussian_noise_prob", "0"},    {"sr.noise_range", "0 0"},
    {"sr.poisson_scale_range", "0 0"},  {"sr.gray_noise_prob", "0"},
    {"sr.jpeg_range", "75 95"},         {"sr.blur_prob2", "0"},
    {"sr.kernel_range2", "5 17"},       {"sr.sinc_prob2", "0"},
    {"sr.blur_sigma2", "0.2 1"},        {"sr.resize_range2", "0.6 1.2"},
    {"sr.resize_mode_list2", MODES},    {"sr.resize_mode_prob2", EQUAL},
    {"sr.gaussian_noise_prob2", "0"},   {"sr.noise_range2", "0 0"},
    {"sr.poisson_scale_range2", "0 0"}, {"sr.gray_noise_prob2", "0"},
    {"sr.jpeg_range2", "75 95"},        {"sr.resize_mode_list3", MODES},
    {"sr.resize_mode_prob3", EQUAL},    {"sr.final_sinc_prob", "0"},
    {"sr.final_kernel_range", "5 17"},  {NULL, NULL},
};
