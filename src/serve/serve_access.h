/* Who may ask: by a token, or from this machine alone. */
#ifndef IMGTRAIN_SERVE_SERVE_ACCESS_H
#define IMGTRAIN_SERVE_SERVE_ACCESS_H

#include <stdbool.h>

/* Whether the header Authorization (NULL: none) is "Bearer KEY": the time that this takes tells
 * nothing of the key but its length. */
bool serve_access_has_key(const char *authorization, const char *key);

/* Without a key every page that a browser on this machine shows could ask: whether Host (NULL:
 * none) names loopback, so that no foreign name was turned to it, and Origin (NULL: none) is the
 * server's own page. */
bool serve_access_is_local(const char *host, const char *origin);

#endif
