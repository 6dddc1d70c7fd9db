/* "Did you mean ...?": the name that a mistyped one was probably meant to be. */
#ifndef IMGTRAIN_BASE_SPELLING_H
#define IMGTRAIN_BASE_SPELLING_H

/* Edits (insert, delete, replace, swap of neighbours; case and '-' against '_' are free) that turn
 * `a` into `b`; texts are compared up to 63 bytes. */
int nearest_distance(const char *a, const char *b);

/* Whether `distance` is small enough for a name like `name` to be worth proposing. */
int nearest_is_close(const char *name, int distance);

#endif
