#include "cuda/cudnn/cudnn_api.h"

#include "base/error.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef CUDA_EMU /* a real one would want a real GPU */
static const char standard[] = "libcudnn.so.9 in the emulator";
#else
static const char standard[] = "libcudnn.so.9";
#endif

int cudnn_api_open(struct cudnn_api *api)
{
    const char *named = getenv("IMGTRAIN_CUDNN");
    memset(api, 0, sizeof *api);
    snprintf(api->path, sizeof api->path, "%s", named && *named ? named : standard);
    /* What it loads itself has threads and handlers that unloading would pull the code from. */
    api->library = dlopen(api->path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!api->library) return fail(ERR_DEVICE, "no cuDNN: %.300s", dlerror());
    const struct {
        const char *name;
        void *slot;
    } functions[] = {
#define CUDNN_SLOT(result, name, arguments) {#name, &api->name},
        CUDNN_FUNCTIONS(CUDNN_SLOT)
#undef CUDNN_SLOT
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(api->library, functions[i].name);
        memcpy(functions[i].slot, &function, sizeof function);
        if (function) continue;
        cudnn_api_close(api);
        return fail(ERR_DEVICE, "no cuDNN: %s has no %s", api->path, functions[i].name);
    }
    size_t version = api->cudnnGetVersion();
    if (version / 10000 == 9) return OK;
    cudnn_api_close(api);
    return fail(ERR_DEVICE, "no cuDNN: %s is version %zu, needed is 9", api->path, version);
}

void cudnn_api_close(struct cudnn_api *api)
{
    if (api->library) dlclose(api->library);
    api->library = NULL;
}

int cudnn_result(const struct cudnn_api *api, int status, const char *what)
{
    char detail[256] = "";
    if (status == DNN_STATUS_SUCCESS) return OK;
    api->cudnnGetLastErrorString(detail, sizeof detail);
    detail[strcspn(detail, "\n")] = '\0';
    bool memory = status == DNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    return fail(memory ? ERR_DEVICE_MEMORY : ERR_DEVICE, "%s: %s%s%s", what,
                api->cudnnGetErrorString(status), *detail ? ": " : "", detail);
}
