#include "splat/fingerprint.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/utf8.h"
#include "config/config.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"
#include "task/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHAT_BYTES = 256 };

/* Metadata is UTF-8, names of files need not be: %XX for what is none, and for % itself. Owned. */
static char *escape_names(const char *names)
{
    char *text = malloc(3 * strlen(names) + 1), *out = text;
    if (!text) fail(ERR_SYSTEM, "out of memory");
    for (size_t length; text && *names; names += length) {
        length = utf8_length(names, strlen(names));
        bool odd = length == 0 || *names == '%' || (unsigned char)*names < 0x20;
        if (odd) length = 1;
        if (odd)
            out += sprintf(out, "%%%02X", (unsigned char)*names);
        else
            out = (char *)memcpy(out, names, length) + length;
    }
    if (text) *out = '\0';
    return text;
}

int splat_fingerprint_store(const struct splat_source *source, struct store_writer *writer)
{
    char samples[32], *maps = escape_names(source->maps ? source->maps : "");
    if (!maps) return ERR_SYSTEM;
    snprintf(samples, sizeof samples, "%016" PRIx64, source->samples);
    int code = store_set(writer, "input.maps", maps);
    free(maps);
    TRY(code);
    TRY(store_set_int(writer, "input.width", source->full.width));
    TRY(store_set_int(writer, "input.height", source->full.height));
    TRY(store_set_int(writer, "input.channels", source->full.channels));
    TRY(store_set_int(writer, "input.sample_bits", source->sample_bits));
    return store_set(writer, "input.samples", samples);
}

/* ---- comparison ---- */

static int count_maps(const char *maps)
{
    int count = *maps != '\0';
    for (; *maps; maps++)
        count += *maps == '/';
    return count;
}

/* Describes the first map that differs. */
static void describe_maps(char what[WHAT_BYTES], const char *then, const char *now)
{
    int number = 1, before = count_maps(then), after = count_maps(now);
    if (before != after && before && after) {
        snprintf(what, WHAT_BYTES, "it had %d maps, now %d", before, after);
        return;
    }
    if (before != after) {
        snprintf(what, WHAT_BYTES, "it was a %s, now it is a %s",
                 before ? "folder of maps" : "single image",
                 after ? "folder of maps" : "single image");
        return;
    }
    for (;; number++) {
        int a = (int)strcspn(then, "/"), b = (int)strcspn(now, "/");
        if (a != b || strncmp(then, now, (size_t)a) != 0) {
            snprintf(what, WHAT_BYTES, "map %d of %d was %.*s, now %.*s", number, before,
                     a < 64 ? a : 64, then, b < 64 ? b : 64, now);
            return;
        }
        if (!then[a]) return; /* the same */
        then += a + 1;
        now += b + 1;
    }
}

/* Describes how the image changed; "" for not at all. *channels: their number did, so no model of
 * the old image can be used. */
static int fingerprint_describe_change(const struct splat_source *source,
                                       const struct store_file *file, char what[WHAT_BYTES],
                                       bool *channels)
{
    int64_t width, height, count, bits;
    const char *samples = store_get(file, "input.samples"), *then = store_get(file, "input.maps");
    char now[32], *maps = escape_names(source->maps ? source->maps : "");
    if (!maps) return ERR_SYSTEM;
    what[0] = '\0';
    snprintf(now, sizeof now, "%016" PRIx64, source->samples);
    int code = store_get_int_in(file, "input.width", 1, INT32_MAX, &width);
    if (code == OK) code = store_get_int_in(file, "input.height", 1, INT32_MAX, &height);
    if (code == OK) code = store_get_int_in(file, "input.channels", 1, SPLAT_MAX_CHANNELS, &count);
    if (code == OK) code = store_get_int_in(file, "input.sample_bits", 8, 32, &bits);
    *channels = code == OK && count != source->full.channels;
    if (code == OK && strcmp(then ? then : "", maps) != 0)
        describe_maps(what, then ? then : "", maps);
    if (code == OK && (width != source->full.width || height != source->full.height))
        snprintf(what, WHAT_BYTES, "it was %" PRId64 "x%" PRId64 " pixels, now %dx%d", width,
                 height, source->full.width, source->full.height);
    else if (*channels && !what[0])
        snprintf(what, WHAT_BYTES, "it had %" PRId64 " channels, now %d", count,
                 source->full.channels);
    else if (code == OK && !what[0] && bits != source->sample_bits)
        snprintf(what, WHAT_BYTES, "it had %" PRId64 " bits a sample, now %d", bits,
                 source->sample_bits);
    else if (code == OK && !what[0] && strcmp(samples, now) != 0)
        snprintf(what, WHAT_BYTES, "its pixels%s are others",
                 source->full.weights ? ", or its mask's," : "");
    free(maps);
    return code;
}

/* ---- the checkpoint's and the present one ---- */

static int check_unknown(const struct task_setup *setup)
{
    const char *path = setup->config->splat.input_path;
    if (!setup->input_renamed || setup->allow_changed_input) {
        log_info("the checkpoint does not say which image it is of (an older version wrote it): "
                 "going on with %s",
                 path);
        return OK;
    }
    return fail(
        ERR_CONFIG,
        "the checkpoint does not say which image it is of (an older version wrote it), and "
        "%s is not the name that it had: give the same name, or --allow-changed-input if it "
        "is the same image",
        path);
}

int splat_fingerprint_check(const struct splat_source *source, const struct task_setup *setup,
                            bool *changed)
{
    const char *path = setup->config->splat.input_path;
    char what[WHAT_BYTES];
    bool channels;
    *changed = false;
    if (!store_get(setup->resume, "input.samples")) return check_unknown(setup);
    TRY(fingerprint_describe_change(source, setup->resume, what, &channels));
    if (!what[0]) return OK;
    if (channels)
        return fail(ERR_CONFIG,
                    "%s is not the image that this run began with (%s): put it back, or begin a "
                    "new run",
                    path, what);
    if (!setup->allow_changed_input)
        return fail(ERR_CONFIG,
                    "%s is not the image that this run began with (%s): put it back, or go on "
                    "with this one by --allow-changed-input",
                    path, what);
    log_warning("--allow-changed-input: going on with %s, which is not the image that this run "
                "began with (%s)",
                path, what);
    *changed = true;
    if (setup->input_changed) *setup->input_changed = true;
    return OK;
}
