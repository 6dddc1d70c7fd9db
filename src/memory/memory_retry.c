#include "memory/memory_retry.h"

#include "base/error.h"

int memory_retry(int (*attempt)(void *context), void *attempt_context,
                 int (*relieve)(void *context), void *relieve_context)
{
    for (;;) {
        int code = attempt(attempt_context);
        if (code != ERR_DEVICE_MEMORY) return code;
        TRY(relieve(relieve_context));
    }
}
