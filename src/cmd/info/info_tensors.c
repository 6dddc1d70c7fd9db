#include "cmd/info/info_tensors.h"

#include "base/json.h"
#include "store/safetensors.h"
#include "store/tensor_range.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FEW_TENSORS = 16, GROUPS_MOST = 64 };

/* ---- one by one ---- */

static void info_print_range(const struct tensor_range *range)
{
    if (range->count > range->nonfinite) printf(" %.6g .. %.6g", range->min, range->max);
    if (range->nonfinite) printf(" (%" PRId64 " NOT FINITE)", range->nonfinite);
    putchar('\n');
}

static void info_print_shape(const struct store_tensor *tensor)
{
    char text[200];
    size_t used = 0;
    for (int d = 0; d < tensor->dims && used < sizeof text - 24; d++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%" PRId64, d ? ", " : "",
                                 tensor->shape[d]);
    text[used] = '\0';
    printf("[%s]", text);
    if (used < 18) printf("%*s", (int)(18 - used), "");
}

static void info_print_each(const struct store_file *file)
{
    for (int i = 0; i < store_count(file); i++) {
        const struct store_tensor *tensor = store_at(file, i);
        const struct tensor_range range = tensor_range(tensor);
        printf("  %-28s %-4s ", tensor->name, tensor_type_name(tensor->type));
        info_print_shape(tensor);
        info_print_range(&range);
    }
}

static void info_json_tensor(const struct store_tensor *tensor)
{
    struct tensor_range range = tensor_range(tensor);
    fputs("{\"name\": ", stdout);
    json_write_string(stdout, tensor->name);
    printf(", \"dtype\": \"%s\", \"shape\": [", tensor_type_name(tensor->type));
    for (int d = 0; d < tensor->dims; d++)
        printf("%s%" PRId64, d ? ", " : "", tensor->shape[d]);
    fputs("], \"min\": ", stdout);
    json_write_number(stdout, range.min);
    fputs(", \"max\": ", stdout);
    json_write_number(stdout, range.max);
    printf(", \"nonfinite\": %" PRId64 "}", range.nonfinite);
}

void info_json_tensors(const struct store_file *file)
{
    putchar('[');
    for (int i = 0; i < store_count(file); i++) {
        if (i > 0) fputs(", ", stdout);
        info_json_tensor(store_at(file, i));
    }
    putchar(']');
}

/* ---- all whose names begin alike ---- */

struct info_group {
    const char *name; /* of its first tensor */
    int length;       /* of what they have in common */
    int tensors;
    enum tensor_type type;
    bool mixed; /* of several types */
    struct tensor_range range;
};

static void info_group_add(struct info_group *group, const struct store_tensor *tensor)
{
    const struct tensor_range range = tensor_range(tensor);
    bool first = group->tensors++ == 0;
    if (first) group->type = tensor->type;
    group->mixed = group->mixed || tensor->type != group->type;
    /* NaN, where there is no finite number, is less than none. */
    group->range.min = first ? range.min : fmin(group->range.min, range.min);
    group->range.max = first ? range.max : fmax(group->range.max, range.max);
    group->range.count += range.count;
    group->range.nonfinite += range.nonfinite;
}

/* Returns how many groups there are; those beyond GROUPS_MOST are in the last one. */
static int info_find_groups(const struct store_file *file, struct info_group *groups)
{
    int count = 0;
    for (int i = 0; i < store_count(file); i++) {
        const char *name = store_at(file, i)->name;
        int length = (int)strcspn(name, "."), at = 0;
        while (at < count &&
               (groups[at].length != length || memcmp(groups[at].name, name, (size_t)length) != 0))
            at++;
        if (at == GROUPS_MOST) at--;
        if (at == count) groups[count++] = (struct info_group){.name = name, .length = length};
        info_group_add(&groups[at], store_at(file, i));
    }
    return count;
}

static void info_print_groups(const struct store_file *file)
{
    struct info_group groups[GROUPS_MOST];
    int count = info_find_groups(file, groups);
    for (int i = 0; i < count; i++) {
        const struct info_group *g = &groups[i];
        printf("  %-28.*s %-5s %4d tensor%s %10" PRId64 " numbers", g->length, g->name,
               g->mixed ? "mixed" : tensor_type_name(g->type), g->tensors,
               g->tensors == 1 ? " " : "s", g->range.count);
        info_print_range(&g->range);
    }
    puts("  (--tensors: each of them)");
}

void info_print_tensors(const struct store_file *file, bool each)
{
    if (each || store_count(file) <= FEW_TENSORS)
        info_print_each(file);
    else
        info_print_groups(file);
}
