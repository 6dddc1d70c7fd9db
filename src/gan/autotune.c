/* Before the first step, where a library may take convolutions: see device/conv_library.h. */
#include "base/error.h"
#include "device/conv_library.h"
#include "device/device.h"
#include "gan/core.h"

/* Trying engines may take this long: some are compiled first. */
static const double LEARN_SECONDS = 120;

/* Every sweep of a step of n pairs. */
static void sweep_all(struct gan_core *core, int n)
{
    core->g_make.n = core->g_learn.n = core->g_back.n = n;
    core->d_first.n = core->d_second.n = core->d_judge.n = 2 * n;
    sweep_forward(&core->g_make, SWEEP_NO_MASKS, false);
    sweep_forward(&core->d_first, SWEEP_WRITE_MASKS, false);
    sweep_adjoint(&core->d_first, false);
    sweep_forward(&core->d_second, SWEEP_FROZEN_MASKS, true);
    sweep_forward(&core->g_learn, SWEEP_WRITE_MASKS, false);
    sweep_forward(&core->d_judge, SWEEP_WRITE_MASKS, false);
    core->d_judge.n = n;
    sweep_adjoint(&core->d_judge, false);
    sweep_adjoint(&core->g_back, true);
}

int gan_core_rehearse(struct gan_core *core, const char *known, bool (*stop)(void))
{
    const struct conv_library *library = core->ops->conv_library;
    struct sweep *sweeps[] = {&core->g_make,  &core->g_learn,  &core->g_back,
                              &core->d_first, &core->d_second, &core->d_judge};
    enum { SWEEPS = sizeof sweeps / sizeof *sweeps };
    const int *labels[SWEEPS];
    int batch = core->choices.batch, micro = core->choices.micro;
    if (!core->choices.conv_library) return OK;
    TRY(library->begin(core->choices.workspace_cap, LEARN_SECONDS, stop));
    int code = known ? library->restore(known) : OK;
    core->ops->zero(core->factors, 2 * (size_t)micro * sizeof(float));
    for (int i = 0; i < SWEEPS; i++) {
        labels[i] = sweeps[i]->labels;
        sweeps[i]->labels = (const int *)(const void *)core->factors; /* all of class 0 */
    }
    for (int n = micro; code == OK && n > 0; n = n == batch % micro ? 0 : batch % micro)
        sweep_all(core, n);
    for (int i = 0; i < SWEEPS; i++)
        sweeps[i]->labels = labels[i];
    int end = library->end();
    if (code == OK) code = end;
    return code < 0 ? code : core->device->synchronize(core->device);
}
