/* The table of tasks: one row a task. */
#include "task/task.h"

#include "base/error.h"
#include "gan/gan.h"
#include "splat/splat.h"

#include <string.h>

static const struct task *const tasks[] = {
    &task_splat, &task_gan, NULL, /* ends the table */
};

const struct task *task_find(const char *name)
{
    char known[256] = "";
    for (int i = 0; tasks[i]; i++) {
        if (strcmp(tasks[i]->name, name) == 0) return tasks[i];
        if (known[0]) strncat(known, ", ", sizeof known - strlen(known) - 1);
        strncat(known, tasks[i]->name, sizeof known - strlen(known) - 1);
    }
    fail(ERR_CONFIG, "task '%s' is not known; there is: %s", name, known);
    return NULL;
}
