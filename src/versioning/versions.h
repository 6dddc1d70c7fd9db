/* Versions of a model, stored and pushed by a thread of its own: training waits for none of it, and
 * no failure is more than a line of the log and a number. */
#ifndef IMGTRAIN_VERSIONING_VERSIONS_H
#define IMGTRAIN_VERSIONING_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

struct versions;

struct versions_options { /* texts are copied */
    const char *git_dir;
    const char *remote, *include, *branch;
    int keep;
    bool lfs;
    double seconds; /* that a push may take */
};

struct versions_state {
    int64_t pushed;  /* versions, by this process */
    int64_t failed;  /* of which something went wrong: the next push brings what is missing */
    int64_t skipped; /* that came while another was on its way */
    int64_t step;    /* of the newest one that was pushed; -1: none */
};

/* Starts the thread, which first pushes what an earlier process could not. ERR_SYSTEM, ERR_IO, ...
 * when its folder cannot be made. */
int versions_open(struct versions **versions, const struct versions_options *options);
/* Whether a version can be given: none is on its way. Otherwise it counts as skipped. */
bool versions_is_free(struct versions *versions);
/* Where the file of the next version is to be written (borrowed), unless it is another that stays.
 */
const char *versions_path(const struct versions *versions);
/* Takes the file `path` as the version of `step`; removes it once it is stored, where it is that of
 * versions_path. Only when versions_is_free, or after versions_wait. */
void versions_give(struct versions *versions, const char *path, int64_t step, const char *message);
/* One that could not be made. The message of the error is what the log says. */
void versions_lost(struct versions *versions, int64_t step);
/* Until none is on its way; false where `stop` said true before. */
bool versions_wait(struct versions *versions, bool (*stop)(void));
void versions_look(struct versions *versions, struct versions_state *state);
/* Waits so long for one that is on its way, then ends it. Accepts NULL. */
void versions_close(struct versions *versions, double seconds);

#endif
