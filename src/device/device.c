#include "device/device.h"

#include "base/error.h"
#include "base/format.h"
#include "base/log.h"

void device_close(struct device *device)
{
    if (!device) return;
    if (device->used_bytes > 0)
        log_warning("%s of device memory was not given back",
                    format_bytes((int64_t)device->used_bytes).text);
    device->close(device);
}

int64_t device_limit_left(const struct device *device)
{
    if (device->limit_bytes == 0 || device->limit_bytes > INT64_MAX) return INT64_MAX;
    if (device->used_bytes >= device->limit_bytes) return 0;
    return (int64_t)(device->limit_bytes - device->used_bytes);
}

int device_check_limit(const struct device *device, size_t bytes)
{
    if (bytes > (size_t)INT64_MAX || (int64_t)bytes > device_limit_left(device))
        return fail(ERR_DEVICE_MEMORY, "%s do not fit: %s of memory.limit %s are used",
                    format_bytes((int64_t)bytes).text,
                    format_bytes((int64_t)device->used_bytes).text,
                    format_bytes((int64_t)device->limit_bytes).text);
    return OK;
}

void device_book(struct device *device, size_t bytes)
{
    device->used_bytes += bytes;
    if (device->used_bytes > device->peak_bytes) device->peak_bytes = device->used_bytes;
}

void device_unbook(struct device *device, size_t bytes)
{
    device->used_bytes -= bytes;
}

void device_book_host(struct device *device, size_t bytes)
{
    device->host_bytes += bytes;
    if (device->host_bytes > device->host_peak_bytes) device->host_peak_bytes = device->host_bytes;
}

void device_unbook_host(struct device *device, size_t bytes)
{
    device->host_bytes -= bytes;
}

int device_upload(struct device *device, void *to, const void *from, size_t bytes)
{
    return to == from ? OK : device->upload(device, to, from, bytes);
}

int device_send(struct device *device, void *to, const void *from, size_t bytes)
{
    TRY(device_upload(device, to, from, bytes));
    return device->synchronize(device);
}

int device_fetch(struct device *device, void *host, const void *from, size_t bytes)
{
    if (host != from) TRY(device->download(device, host, from, bytes));
    return device->synchronize(device);
}
