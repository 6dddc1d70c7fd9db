#include "serve/serve_access.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

bool serve_access_has_key(const char *authorization, const char *key)
{
    static const char scheme[] = "Bearer ";
    size_t prefix = sizeof scheme - 1, length = strlen(key);
    if (!authorization || strncasecmp(authorization, scheme, prefix) != 0) return false;
    const char *shown = authorization + prefix;
    size_t given = strlen(shown);
    unsigned char different = given != length;
    for (size_t i = 0; i < given; i++)
        different |= (unsigned char)(shown[i] ^ key[length ? i % length : 0]);
    return length > 0 && !different;
}

/* The length of the name in "NAME" or "NAME:PORT". */
static size_t access_name_length(const char *host)
{
    const char *end = *host == '[' ? strchr(host, ']') : strchr(host, ':');
    return end ? (size_t)(end - host) + (*host == '[') : strlen(host);
}

static bool access_is_loopback(const char *host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    size_t length = access_name_length(host);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == length && strncasecmp(host, names[i], length) == 0) return true;
    return false;
}

bool serve_access_is_local(const char *host, const char *origin)
{
    static const char scheme[] = "http://";
    if (host && !access_is_loopback(host)) return false;
    if (!origin) return true;
    return host && strncasecmp(origin, scheme, sizeof scheme - 1) == 0 &&
           strcasecmp(origin + sizeof scheme - 1, host) == 0;
}
