#include "cmd/info/info_onnx.h"

#include "base/error.h"
#include "base/json.h"
#include "store/onnx.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char onnx_card[] = "model_card";

/* Text of a file for the terminal: nothing that moves the cursor; lines are kept, or (most above 0)
 * one line of so many bytes. */
static void onnx_print_text(const char *text, int most)
{
    for (int shown = 0; text && *text && (most == 0 || shown < most); text++, shown++) {
        unsigned char c = (unsigned char)*text;
        bool line = c == '\n' && most == 0;
        putchar((c < 0x20 && !line) || c == 0x7F ? ' ' : c);
    }
    if (text && *text && most && strlen(text) > 0) fputs("...", stdout);
}

static const char *onnx_type_name(int64_t type)
{
    return type == ONNX_FLOAT ? "float32" : type == ONNX_INT64 ? "int64" : "other";
}

static void onnx_print_shape(const struct onnx_value *v)
{
    putchar('[');
    for (int i = 0; i < v->dims; i++) {
        if (i > 0) fputs(", ", stdout);
        if (v->shape[i] < 0)
            fputs("N", stdout);
        else
            printf("%" PRId64, v->shape[i]);
    }
    putchar(']');
}

static void onnx_print(const char *path, const struct onnx_summary *s)
{
    printf("%s: ONNX model, IR %" PRId64 ", opset %" PRId64 ", by ", path, s->ir, s->opset);
    onnx_print_text(s->producer ? s->producer : "?", 64);
    putchar(' ');
    onnx_print_text(s->version, 64);
    printf("\n  %-12s %" PRId64 ", weights %" PRId64 "\n", "operators", s->nodes, s->initializers);
    for (int i = 0; i < s->value_count; i++) {
        printf("  %-12s ", s->values[i].is_output ? "output" : "input");
        onnx_print_text(s->values[i].name ? s->values[i].name : "?", 64);
        printf(" %s ", onnx_type_name(s->values[i].type));
        onnx_print_shape(&s->values[i]);
        putchar('\n');
    }
    puts("metadata");
    for (int i = 0; i < s->pair_count; i++) {
        const struct onnx_pair *p = &s->pairs[i];
        if (!p->key || strcmp(p->key, onnx_card) == 0) continue;
        fputs("  ", stdout);
        onnx_print_text(p->key, 64);
        printf("%*s ", strlen(p->key) < 12 ? 12 - (int)strlen(p->key) : 0, "");
        onnx_print_text(p->value, 64);
        putchar('\n');
    }
    for (int i = 0; i < s->pair_count; i++) {
        if (!s->pairs[i].key || strcmp(s->pairs[i].key, onnx_card) != 0) continue;
        printf("%s\n", onnx_card);
        onnx_print_text(s->pairs[i].value, 0);
        putchar('\n');
    }
}

static void onnx_json_text(const char *key, const char *value)
{
    json_write_string(stdout, key);
    fputs(": ", stdout);
    json_write_string(stdout, value ? value : "");
}

static void onnx_json(const char *path, const struct onnx_summary *s)
{
    putchar('{');
    onnx_json_text("path", path);
    fputs(", ", stdout);
    onnx_json_text("producer", s->producer);
    printf(", \"ir\": %" PRId64 ", \"opset\": %" PRId64 ", \"operators\": %" PRId64
           ", \"weights\": %" PRId64 ", \"values\": [",
           s->ir, s->opset, s->nodes, s->initializers);
    for (int i = 0; i < s->value_count; i++) {
        const struct onnx_value *v = &s->values[i];
        printf("%s{", i ? ", " : "");
        onnx_json_text("name", v->name);
        printf(", \"output\": %s, \"type\": \"%s\", \"shape\": [", v->is_output ? "true" : "false",
               onnx_type_name(v->type));
        for (int k = 0; k < v->dims; k++)
            printf("%s%" PRId64, k ? ", " : "", v->shape[k]);
        fputs("]}", stdout);
    }
    fputs("], \"metadata\": {", stdout);
    for (int i = 0; i < s->pair_count; i++) {
        if (i > 0) fputs(", ", stdout);
        onnx_json_text(s->pairs[i].key ? s->pairs[i].key : "", s->pairs[i].value);
    }
    puts("}}");
}

int info_print_onnx(const char *path, bool json)
{
    struct onnx_summary summary;
    TRY(onnx_read_summary(&summary, path));
    if (json)
        onnx_json(path, &summary);
    else
        onnx_print(path, &summary);
    onnx_summary_free(&summary);
    return OK;
}
