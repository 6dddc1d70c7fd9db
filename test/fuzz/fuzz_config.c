/* Fuzzes the configuration: YAML text up to the first zero byte, then overrides, each ended by a
 * zero byte. What loads must print as text that loads to the same text; every combination of a
 * batch must load. */
#include "config/config.h"
#include "test/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_OVERRIDES = 8 };

static void check_round_trip(const struct config *config)
{
    char *once, *twice;
    struct config *again;
    if (config_print_text(config, &once) < 0) abort();
    if (config_load_text(&again, "printed", once, strlen(once), 0, NULL) < 0) abort();
    if (config_print_text(again, &twice) < 0 || strcmp(once, twice) != 0) abort();
    if (config_batch_count(config) != config_batch_count(again)) abort();
    config_free(again);
    free(once);
    free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 1), *overrides[MAX_OVERRIDES];
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    size_t yaml_bytes = bytes; /* UTF-16 has zero bytes: behind a byte order mark all is YAML */
    if (!(bytes >= 2 && (data[0] ^ data[1]) == 1 && (data[0] | data[1]) == 0xFF))
        yaml_bytes = strlen(text);
    int count = 0;
    for (char *p = text + yaml_bytes; p + 1 < text + bytes && count < MAX_OVERRIDES;
         p += strlen(p)) {
        overrides[count++] = ++p;
    }
    struct config *config, *last;
    if (config_load_text(&config, "fuzz", text, yaml_bytes, count, overrides) == 0) {
        check_round_trip(config);
        if (config_batch(config, config_batch_count(config) - 1, &last) < 0) abort();
        config_free(last);
        config_free(config);
    } else if (config) {
        abort();
    }
    free(text);
    return 0;
}
