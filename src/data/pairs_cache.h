/* The packed cache of a set of pairs: one file with all images, made once and mapped afterwards. */
#ifndef IMGTRAIN_DATA_PAIRS_CACHE_H
#define IMGTRAIN_DATA_PAIRS_CACHE_H

#include "data/cache_file.h"
#include "data/pairs_format.h"
#include "data/pairs_match.h"

struct pairs_cache {
    struct cache_file file;
    struct pairs_header header;
    const struct pairs_entry *index; /* [header.count] */
};

/* Maps the cache of the listed files, after checking them (pairs_check) and making it where it is
 * missing or damaged. A folder that cannot take it costs a warning: it then stays without a name.
 * ERR_DATA: what does not fit, or no image is readable; ERR_STOPPED. */
int pairs_cache_open(struct pairs_cache *cache, struct pairs_list *list,
                     const struct pairs_options *options);
void pairs_cache_close(struct pairs_cache *cache); /* accepts a zeroed struct */
int pairs_cache_keep(struct pairs_cache *cache, const char *dir);

#endif
