/* Inside src/image: decoders that are opened on first use. Linked, they and what they need would be
 * loaded at every start, and a machine without them could not start the program. */
#ifndef IMGTRAIN_IMAGE_LIBRARY_H
#define IMGTRAIN_IMAGE_LIBRARY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* The name of a function in the library, and where its address goes. */
struct image_function {
    const char *name;
    void *slot;
};

/* One for each library: static, {soname, PTHREAD_MUTEX_INITIALIZER, false}. */
struct image_library {
    const char *soname;
    pthread_mutex_t lock;
    bool loaded;
};

/* Fills the slots, the first time. ERR_DATA, as the image cannot be read here, with the reason;
 * another call tries again. Any thread. */
int image_library_open(struct image_library *library, const struct image_function *functions,
                       size_t count);

#endif
