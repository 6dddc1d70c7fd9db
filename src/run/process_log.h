/* processes.jsonl of a run: a line when a process begins to train, with the machine it is on, and
 * one when it ends, with its exit status. A process that was killed leaves no second one. */
#ifndef IMGTRAIN_RUN_PROCESS_LOG_H
#define IMGTRAIN_RUN_PROCESS_LOG_H

struct session;

/* Does nothing where the process has begun before. A line that cannot be written is no reason to
 * stop. */
int process_log_begin(struct session *session);
/* code: what the command ends with, whose message is set. Does nothing where none has begun. */
void process_log_end(struct session *session, int code);

#endif
