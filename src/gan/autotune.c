/* Before the first step, where a library may take convolutions: see device/conv_library.h. */
#include "base/error.h"
#include "device/conv_library.h"
#include "device/device.h"
#include "gan/core.h"

/* Trying engines may take this long: some are compiled first. */
static const double LEARN_SECONDS = 120;

/* Every pass of a step of n pairs. */
static int autotune_all_passes(struct gan_core *core, int n)
{
    core->g_make.n = core->g_learn.n = core->g_back.n = n;
    core->d_first.n = core->d_second.n = core->d_score.n = 2 * n;
    TRY(pass_forward(&core->g_make, PASS_NO_MASKS, false));
    TRY(pass_forward(&core->d_first, PASS_WRITE_MASKS, false));
    TRY(pass_backward(&core->d_first, false));
    TRY(pass_forward(&core->d_second, PASS_FROZEN_MASKS, true));
    TRY(pass_forward(&core->g_learn, PASS_WRITE_MASKS, false));
    TRY(pass_forward(&core->d_score, PASS_WRITE_MASKS, false));
    core->d_score.n = n;
    TRY(pass_backward(&core->d_score, false));
    return pass_backward(&core->g_back, true);
}

int gan_core_autotune(struct gan_core *core, const char *known, bool (*stop)(void))
{
    const struct conv_library *library = core->device->nn->conv_library;
    struct network_pass *passes[] = {&core->g_make,  &core->g_learn,  &core->g_back,
                                     &core->d_first, &core->d_second, &core->d_score};
    enum { PASSES = sizeof passes / sizeof *passes };
    const int *labels[PASSES];
    int batch = core->mode.batch, micro = core->mode.micro;
    if (!core->mode.conv_library) return OK;
    TRY(library->begin(core->device, core->mode.workspace_cap, LEARN_SECONDS, stop));
    int code = known ? library->restore(core->device, known) : OK;
    if (code == OK)
        code =
            core->device->nn->zero(core->device, core->factors, 2 * (size_t)micro * sizeof(float));
    for (int i = 0; i < PASSES; i++) {
        labels[i] = passes[i]->labels.label;
        passes[i]->labels.label = (const int *)(const void *)core->factors; /* all of class 0 */
    }
    for (int n = micro; code == OK && n > 0; n = n == batch % micro ? 0 : batch % micro)
        code = autotune_all_passes(core, n);
    for (int i = 0; i < PASSES; i++)
        passes[i]->labels.label = labels[i];
    int end = library->end(core->device);
    if (code == OK) code = end;
    return code < 0 ? code : core->device->synchronize(core->device);
}
