#include "image/library.h"

#include "base/error.h"

#include <dlfcn.h>
#include <string.h>

/* The library is never closed: its handlers at exit may outlive every use. */
static int load_library(const char *soname, const struct image_function *functions, size_t count)
{
    void *opened = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    if (!opened) return fail(ERR_DATA, "%.300s", dlerror());
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(opened, functions[i].name);
        if (!function) return fail(ERR_DATA, "%s has no %s", soname, functions[i].name);
        memcpy(functions[i].slot, &function, sizeof function);
    }
    return OK;
}

int image_library_open(struct image_library *library, const struct image_function *functions,
                       size_t count)
{
    pthread_mutex_lock(&library->lock);
    int code = library->loaded ? OK : load_library(library->soname, functions, count);
    library->loaded = code == OK;
    pthread_mutex_unlock(&library->lock);
    return code;
}
