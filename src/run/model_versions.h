/* Versions of the model in Git while a run trains (section `git` of the config). A version that
 * cannot be made, stored or pushed changes nothing of the run. */
#ifndef IMGTRAIN_RUN_MODEL_VERSIONS_H
#define IMGTRAIN_RUN_MODEL_VERSIONS_H

#include <stdint.h>

struct config;
struct session;

/* Warns of keys of the section that have no effect. */
void model_versions_remark(const struct config *config);
/* Before the run folder is made: what git.mode asks for is there. Nothing is connected to.
 * ERR_CONFIG; ERR_SYSTEM, ... */
int model_versions_check(struct session *session);
/* When the state has been entered; again where the run went back to its last checkpoint. */
void model_versions_begin(struct session *session);
/* Between steps: a version, where one is due. */
void model_versions_step(struct session *session);
/* The finished model, the file `path`; waits until it is pushed, or that has failed. ERR_STOPPED.
 */
int model_versions_finish(struct session *session, const char *path);
/* However the run has ended: a push on its way gets a moment. */
void model_versions_end(struct session *session);

/* So far, by this process: versions pushed, and those with which something went wrong; 0 and 0
 * without git.mode. */
void model_versions_count(const struct session *session, int64_t *pushed, int64_t *failed);

#endif
