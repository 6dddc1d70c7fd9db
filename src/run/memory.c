#include "run/memory.h"

#include "base/error.h"
#include "base/format.h"
#include "config/config.h"
#include "device/device.h"
#include "task/task.h"

struct ladder_settings memory_settings(const struct config *config)
{
    return (struct ladder_settings){
        .level = (int)config->memory.level - 1, /* the enum begins with auto */
        .budget = (int64_t)config->memory.budget,
        .target_usage = config->memory.target_vram_usage,
        .safety_margin = config->memory.safety_margin,
    };
}

int memory_rows(struct ladder *ladder, const struct task *task, const struct task_state *state)
{
    struct memory_choices ways[TASK_MAX_CHOICES];
    struct memory_need need;
    int count = task->choices ? task->choices(state, ways) : 0;
    ladder->count = 0;
    for (int i = 0; i < count; i++) {
        TRY(task->need(state, &ways[i], &need));
        ladder_add(ladder, &ways[i], &need);
    }
    return OK;
}

/* The fastest way that fits; where none does the least, whose commit or forecast says what is
 * missing. */
static int choose(void *context, const struct task_state *state, struct memory_choices *choices)
{
    struct memory_choice *c = context;
    struct ladder *ladder = c->ladder;
    int least;
    TRY(memory_rows(ladder, c->task, state));
    c->chosen = -1;
    if (ladder->count == 0) return OK;
    ladder_judge(ladder, ladder_budget(&ladder->settings, c->device, c->held));
    c->chosen = ladder_pick(ladder, &least);
    if (c->failed >= 0) {
        c->chosen = ladder_down(ladder, c->failed);
        if (c->chosen < 0)
            return fail(ERR_DEVICE_MEMORY, "no way to run takes less than %s, which failed",
                        format_bytes((int64_t)ladder->rows[c->failed].need.device_bytes).text);
    }
    if (c->chosen < 0) c->chosen = least;
    if (c->chosen < 0) c->chosen = 0;
    *choices = ladder->rows[c->chosen].choices;
    return OK;
}

void memory_choose_with(struct task_setup *setup, struct memory_choice *choice)
{
    setup->choose = choose;
    setup->choose_context = choice;
}
