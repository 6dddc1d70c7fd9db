/* Made by scripts/reference/gan_metrics_goldens.py: width, height, real, held, fake, seed, then SWD,
 * rKID, precision, recall, density, coverage, MS-SSIM, nearest ratio, coverage of pixels (k = 3). */
/* clang-format off */
{33, 38, 14, 6, 11, 5, {212.056039, -0.0250528503, 1, 1, 1.25454545, 1, 0.10511737, 0.645100188, 1}},
{104, 50, 9, 0, 12, 6, {268.988919, -0.360588114, 1, 1, 1.18333333, 1, 0.165507836, (double)NAN, 1}},
{16, 16, 40, 9, 33, 7, {205.49773, 0.400883579, 0.757575758, 0.4, 0.521212121, 0.525, 0.151186146, 1.13617369, 0.875}},
/* clang-format on */
