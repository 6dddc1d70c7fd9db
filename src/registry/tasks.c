/* The table of tasks: one row a task, at its value of the config key `task`. */
#include "registry/tasks.h"

#include "base/error.h"
#include "config/config.h"
#include "diffusion/diffusion.h"
#include "diffusion/vae/vae.h"
#include "gan/gan.h"
#include "splat/splat.h"
#include "sr/sr.h"

#include <string.h>

static const struct task *const tasks[] = {
    [CONFIG_TASK_SPLAT] = &task_splat, [CONFIG_TASK_GAN] = &task_gan,
    [CONFIG_TASK_SR] = &task_sr,       [CONFIG_TASK_DIFFUSION] = &task_diffusion,
    [CONFIG_TASK_VAE] = &task_vae,
};
enum { TASK_COUNT = sizeof tasks / sizeof tasks[0] };

const struct task *task_at(int index)
{
    return index < TASK_COUNT ? tasks[index] : NULL;
}

const struct task *task_of_config(const struct config *config)
{
    return tasks[config->task];
}

const struct task *task_find(const char *name)
{
    char known[256] = "";
    for (int i = 0; i < TASK_COUNT; i++) {
        if (strcmp(tasks[i]->name, name) == 0) return tasks[i];
        if (known[0]) strncat(known, ", ", sizeof known - strlen(known) - 1);
        strncat(known, tasks[i]->name, sizeof known - strlen(known) - 1);
    }
    fail(ERR_CONFIG, "task '%s' is not known; there is: %s", name, known);
    return NULL;
}
