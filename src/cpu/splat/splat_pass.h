/* One pass over an image, band by band: render, compare, differentiate while rows are in cache. */
#ifndef IMGTRAIN_CPU_SPLAT_SPLAT_PASS_H
#define IMGTRAIN_CPU_SPLAT_SPLAT_PASS_H

#include "cpu/splat/splat_scene.h"

struct splat_pass {
    struct splat_scene *scene;
    struct splat_blend blend;
    const struct splat_target *target; /* NULL: render only */
    const struct splat_loss *loss;     /* with gradients: the weights */
    bool gradients;                    /* fill scene->record */
    int64_t *shares;                   /* [count]: instead, add each one's share to these; whole
                                          SPLAT_SHARE_UNITs, so that the order is free */
    bool inner_ssim;                   /* also sum SSIM over windows inside the image */
    float power;                       /* > 0: compare as seen: clamped to 0..1, raised to this */

    /* When only rendering: called for each finished row, by any thread, rows of a thread in order:
     * channels pointers to `width` samples. */
    void (*row)(void *argument, int y, const float *const *color);
    void *argument;
    int first_row, last_row;      /* rows wanted (inclusive) when only rendering */
    bool (*stop_requested)(void); /* device.h; looked at in every band */
    bool *stopped;                /* set by splat_pass_run for itself */
};

/* ERR_STOPPED: some bands were left out. */
int splat_pass_run(const struct splat_pass *pass);

/* The rows' sums added up, as means. */
void splat_pass_sums(const struct splat_pass *pass, struct splat_sums *sums);

#endif
