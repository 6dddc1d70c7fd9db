/* The present numbers of a run in Prometheus' text format, for the textfile collector of
 * node_exporter: written anew, atomically, with each line of metrics and when the run ends. */
#ifndef IMGTRAIN_RUN_METRICS_PAGE_H
#define IMGTRAIN_RUN_METRICS_PAGE_H

#include <stdbool.h>

struct session;

/* Does nothing unless the key `prometheus` names a file, or a folder, in which the file is
 * imgtrain-NAME.prom. A file that cannot be written is a warning, once. */
void metrics_page_write(struct session *session);
/* Likewise, with the exit status for `code`. */
void metrics_page_end(struct session *session, int code);

#endif
