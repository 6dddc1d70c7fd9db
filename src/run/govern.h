/* The governor at work in a run. */
#ifndef IMGTRAIN_RUN_GOVERN_H
#define IMGTRAIN_RUN_GOVERN_H

struct session;

/* Says which keys of memory.grow have no effect here, and why. */
void govern_begin(const struct session *session);

/* Call between steps: every memory.adjustment_frequency steps the governor looks at the free
 * memory, and the run goes on in another mode, or with more work in each step, where that is due.
 * More or less work is saved at once, so that a resumed run repeats it. After ERR_DEVICE_MEMORY the
 * state is saved. */
int govern(struct session *session);

#endif
