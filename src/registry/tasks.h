/* Every task, by its name. */
#ifndef IMGTRAIN_REGISTRY_TASKS_H
#define IMGTRAIN_REGISTRY_TASKS_H

struct config;
struct task;

/* The task named `name`; NULL with the message set (ERR_CONFIG) and the known ones listed. */
const struct task *task_find(const char *name);

/* The one that the key `task` of a config names. */
const struct task *task_of_config(const struct config *config);

/* Number `index` of all, from 0; NULL behind the last. */
const struct task *task_at(int index);

#endif
