/* The work of each step of a run, as the line of a config that repeats it. */
#ifndef IMGTRAIN_CMD_INFO_INFO_SCHEDULE_H
#define IMGTRAIN_CMD_INFO_INFO_SCHEDULE_H

#include <stdbool.h>

/* Prints memory.schedule by the run's memory.jsonl. ERR_INPUT where there is none, or the task has
 * no size and batch; ERR_DATA. */
int info_print_schedule(const char *run_dir, bool json);

#endif
