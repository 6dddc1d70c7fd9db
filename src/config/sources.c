/* What overrides and the environment say, as lists of names and texts; files are in yaml.c. */
#include "base/error.h"
#include "base/file.h"
#include "config/config_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A value that was given outside a file: YAML in [brackets] or quotes, else taken as it stands. A
 * name of a file may be any bytes. */
static int config_sources_read_value(struct config_entry *entry, struct config_faults *faults,
                                     const char *where, const char *text)
{
    while (*text == ' ')
        text++;
    size_t n = strlen(text);
    bool bracketed = n >= 2 && text[0] == '[' && text[n - 1] == ']';
    bool quoted = n >= 2 && (text[0] == '"' || text[0] == '\'') && text[n - 1] == text[0];
    entry->where_key = string_format("%s", where);
    entry->where_text = string_format("%s", where);
    if (!entry->where_key || !entry->where_text) return ERR_SYSTEM;
    if ((bracketed || quoted) && !config_value_is_utf8(text)) {
        entry->is_skipped = true;
        return config_fault(faults, where,
                            "the value is not UTF-8: in brackets or quotes write such a name as "
                            "!!binary BASE64");
    }
    if (bracketed || quoted) return config_read_yaml_value(entry, faults, where, text);
    entry->is_null = n == 0; /* files may be called null or ~ */
    return entry->is_null ? OK : config_entry_add_text(entry, text);
}

int config_read_override(struct config_entries *entries, struct config_faults *faults,
                         enum config_source source, const char *override)
{
    const char *from = source == CONFIG_TESTING ? "IMGTRAIN_TESTING" : "command line";
    char shown[CONFIG_SHOWN_BYTES], where[128];
    snprintf(where, sizeof where, "%s: '%s'", from, config_value_shown(override, shown));
    size_t length = strcspn(override, "=");
    if (override[length] == '\0' || length == 0)
        return config_fault(faults, where, "expected key=value");
    char key[CONFIG_FULL_NAME_BYTES];
    snprintf(key, sizeof key, "%.*s", (int)(length < sizeof key ? length : sizeof key - 1),
             override);
    struct config_entry *entry;
    TRY(config_entry_add(entries, NULL, key, source, &entry));
    entry->origin = string_format("%s", from);
    return entry->origin ? config_sources_read_value(entry, faults, where, override + length + 1)
                         : ERR_SYSTEM;
}

/* IMGTRAIN_SPLAT__MAX_STEPS -> "splat.max_steps", IMGTRAIN_MAX_STEPS -> "max_steps". */
static void key_of_variable(const char *name, size_t length, char key[CONFIG_FULL_NAME_BYTES])
{
    size_t used = 0;
    bool dotted = false;
    for (size_t i = 0; i < length && used + 1 < CONFIG_FULL_NAME_BYTES; i++) {
        bool dot = !dotted && i > 0 && i + 2 < length && name[i] == '_' && name[i + 1] == '_';
        key[used++] = dot ? '.' : (char)tolower((unsigned char)name[i]);
        if (dot) i++;
        dotted = dotted || dot;
    }
    key[used] = '\0';
}

/* Variables that are read elsewhere: cpu/isa.c, device/faults.c, cmd/cmd_load.c, model_find.c,
 * cuda/cudnn/cudnn_api.c, the emulator of the tests. */
static bool is_no_key(const char *name)
{
    return strncmp(name, "ISA=", 4) == 0 || strncmp(name, "FAULTS=", 7) == 0 ||
           strncmp(name, "TESTING=", 8) == 0 || strncmp(name, "CUDNN=", 6) == 0 ||
           strncmp(name, "EMU=", 4) == 0 || strncmp(name, "EMU_LOG=", 8) == 0 ||
           strncmp(name, "KERNELS=", 8) == 0 || strncmp(name, "MODELS=", 7) == 0 ||
           strncmp(name, "SELF_CHECK=", 11) == 0;
}

static const char variable_prefix[] = "IMGTRAIN_";

bool config_is_variable(const char *entry)
{
    size_t length = sizeof variable_prefix - 1;
    return strncmp(entry, variable_prefix, length) == 0 && strchr(entry + length, '=') &&
           !is_no_key(entry + length);
}

int config_read_environment(struct config_entries *entries, struct config_faults *faults)
{
    for (char **variable = environ; variable && *variable; variable++) {
        if (!config_is_variable(*variable)) continue;
        const char *name = *variable + sizeof variable_prefix - 1;
        size_t length = strcspn(name, "=");
        char key[CONFIG_FULL_NAME_BYTES], where[CONFIG_FULL_NAME_BYTES];
        snprintf(where, sizeof where, "%.*s", (int)(name - *variable + (ptrdiff_t)length),
                 *variable);
        key_of_variable(name, length, key);
        struct config_entry *entry;
        TRY(config_entry_add(entries, NULL, key, CONFIG_ENVIRONMENT, &entry));
        entry->origin = string_format("%s", where);
        if (!entry->origin) return ERR_SYSTEM;
        TRY(config_sources_read_value(entry, faults, where, name + length + 1));
    }
    return OK;
}
