/* What a band's squared error grows by without one Gaussian. Compiled once per instruction set. */
#include "cpu/isa/splat_ellipse.h"
#include "cpu/isa/splat_isa.h"

#define REAL vf
#define FORMULA(name) name##_vf
#define REAL_FMA(a, b, c) vf_fma(a, b, c)
#define REAL_SET(x) vf_set((float)(x))
#define REAL_MIN(a, b) vf_min(a, b)
#define REAL_MAX(a, b) vf_max(a, b)
#include "math/importance.h"

/* The share of the pixels at x in row r, of their alphas. */
ALWAYS_INLINE vf splat_share_of(const struct splat_shown *shown, const float *feat, int channels,
                                bool additive, vf alpha, int r, int x)
{
    vf share = vf_set(0), part = vf_set(0) - alpha;
    if (!additive)
        part = importance_part_vf(alpha, vf_load(shown->inverse[r] + x), vf_set(SPLAT_DENOMINATOR));
    for (int c = 0; c < channels; c++) {
        vf color = vf_load(shown->color[r * channels + c] + x);
        vf own = vf_set(feat[c]), change = part * own;
        if (!additive) change = part * (color - own);
        vf off = color - vf_load(shown->target[r * channels + c] + x);
        share = importance_add_vf(change, off, share);
    }
    return importance_counted_vf(share, vf_set(SPLAT_SHARE_MOST), vf_load(shown->counts[r] + x));
}

float ISA_NAME(splat_share_item)(const struct splat_projected *projected,
                                 const struct splat_item *item, const float *all_feat, int channels,
                                 bool additive, float cut_power, int y0,
                                 const struct splat_shown *shown)
{
    const struct gaussian_form *g = &projected[item->id].form;
    const float *feat = all_feat + (int64_t)item->id * channels;
    vf sum = vf_set(0), weight = vf_set(projected[item->id].weight), cut = vf_set(cut_power);
    struct ellipse_rows ellipse;
    find_rows(g, cut_power, y0, &ellipse);
    for (int x = item->left; x <= item->right; x += LANES) {
        int at = x - shown->left;
        int first, last;
        if (!rows_reached(&ellipse, (float)x, LANES, &first, &last)) continue;
        vf dx = column_distance(g, x), square = vf_set(g->A) * dx * dx;
        for (int r = first; r <= last; r++) {
            vf alpha = alpha_within(square, vf_set(g->B) * dx, &ellipse, r, weight, cut);
            if (shown->threshold)
                alpha = vf_keep(vf_le(vf_load(shown->threshold[r] + at), alpha), alpha);
            sum = sum + splat_share_of(shown, feat, channels, additive, alpha, r, at);
        }
    }
    return vf_sum(sum);
}
