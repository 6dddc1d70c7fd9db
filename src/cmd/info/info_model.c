#include "cmd/info/info_model.h"

#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/json.h"
#include "diffusion/model/model_trained.h"
#include "diffusion/text/token_tables.h"
#include "store/json_file.h"
#include "store/shards.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_MAX = 1 << 20, TENSOR_TYPES = TENSOR_BOOL + 1 };

static const char index_name[] = "model_index.json";

/* What a component's weights come to. */
struct component_facts {
    int files, tensors;
    int64_t parameters, bytes;
    int64_t of_type[TENSOR_TYPES]; /* numbers */
};

bool info_is_model(const char *path)
{
    return file_is_dir(path) && file_exists_in(path, index_name);
}

static void info_add_file(struct component_facts *facts, const struct store_file *file)
{
    facts->files++;
    facts->bytes += (int64_t)store_bytes(file);
    for (int i = 0; i < store_count(file); i++) {
        const struct store_tensor *tensor = store_at(file, i);
        int64_t numbers = (int64_t)(tensor->bytes / tensor_type_bytes(tensor->type));
        facts->tensors++;
        facts->parameters += numbers;
        facts->of_type[tensor->type] += numbers;
    }
}

/* None where the component has no weights, as a scheduler. */
static int find_facts(struct component_facts *facts, const char *model, const char *component)
{
    static const char *const stems[] = {"diffusion_pytorch_model", "model", NULL};
    struct store_shards *shards = NULL;
    *facts = (struct component_facts){0};
    char *folder = path_join(model, component);
    int code = folder ? store_shards_open(&shards, folder, stems) : ERR_SYSTEM;
    for (int i = 0; code == OK && i < store_shards_count(shards); i++)
        info_add_file(facts, store_shards_at(shards, i));
    store_shards_close(shards);
    free(folder);
    return code == ERR_INPUT ? OK : code;
}

/* Types by their names, with how many numbers are of each where they are several. */
static void types_text(const struct component_facts *facts, char *text, size_t room)
{
    size_t used = 0;
    *text = '\0';
    for (int t = 0; t < TENSOR_TYPES && used < room; t++) {
        if (facts->of_type[t] == 0) continue;
        const char *name = tensor_type_name((enum tensor_type)t);
        used += (size_t)snprintf(text + used, room - used, "%s%s", used ? ", " : "", name);
        if (facts->of_type[t] < facts->parameters && used < room)
            used += (size_t)snprintf(text + used, room - used, " (%" PRId64 ")", facts->of_type[t]);
    }
}

struct component {
    const char *name, *class;
    struct component_facts facts;
};

static void print_component(const struct component *c)
{
    const struct component_facts *facts = &c->facts;
    char types[128];
    types_text(facts, types, sizeof types);
    printf("  %-16s %s\n", c->name, c->class);
    if (facts->files)
        printf("  %-16s %" PRId64 " parameters, %s, %s in %d file%s\n", "", facts->parameters,
               types, format_bytes(facts->bytes).text, facts->files, facts->files == 1 ? "" : "s");
}

static void print_component_json(const struct component *c)
{
    const struct component_facts *facts = &c->facts;
    char types[128];
    types_text(facts, types, sizeof types);
    json_write_string(stdout, c->name);
    fputs(": {\"class\": ", stdout);
    json_write_string(stdout, c->class);
    printf(", \"files\": %d, \"tensors\": %d, \"parameters\": %" PRId64 ", \"bytes\": %" PRId64
           ", \"types\": ",
           facts->files, facts->tensors, facts->parameters, facts->bytes);
    json_write_string(stdout, types);
    putchar('}');
}

/* The second of [library, class]; NULL for what is no component. */
static const char *class_of(const cJSON *entry)
{
    if (!cJSON_IsArray(entry) || cJSON_GetArraySize(entry) != 2) return NULL;
    return cJSON_GetStringValue(cJSON_GetArrayItem(entry, 1));
}

/* Those up to the first that cannot be read; *list is owned. */
static int list_components(const cJSON *index, const char *path, struct component **list,
                           int *count)
{
    const cJSON *entry;
    *count = 0;
    *list = calloc((size_t)cJSON_GetArraySize(index) + 1, sizeof **list);
    if (!*list) return fail(ERR_SYSTEM, "out of memory");
    cJSON_ArrayForEach(entry, index)
    {
        struct component *c = &(*list)[*count];
        c->class = class_of(entry);
        c->name = entry->string;
        if (!c->class || strchr(c->name, '/') || *c->name == '.') continue;
        TRY(find_facts(&c->facts, path, c->name));
        ++*count;
    }
    return OK;
}

/* The first of these files; NULL: the model does not say under which terms it may be used. */
static const char *find_licence(const char *path)
{
    static const char *const names[] = {"LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (file_exists_in(path, names[i])) return names[i];
    return NULL;
}

/* In one line whether `generate` takes it, and what of; or why not. */
static void describe_use(const char *path, char *text, size_t room)
{
    struct model_folder model;
    if (model_open_any(&model, path) < 0) {
        snprintf(text, room, "no: %s", error_message());
    } else if (!tokenizer_has_labels(model.reader.tokens)) {
        snprintf(text, room, "yes, by --prompt");
    } else if (tokenizer_rows(model.reader.tokens) == 1) {
        snprintf(text, room, "yes");
    } else {
        snprintf(text, room, "yes, by --label: %s",
                 tokenizer_label_names(model.reader.tokens).text);
    }
    model_folder_close(&model);
}

/* What is said of a folder; its licence NULL: no file says. */
struct model_words {
    const char *path, *class, *licence, *use;
    const struct component *list;
    int count;
};

static void print_model(const struct model_words *m)
{
    printf("%s: model, %s\n", m->path, m->class);
    for (int i = 0; i < m->count; i++)
        print_component(&m->list[i]);
}

static void print_model_end(const struct model_words *m)
{
    printf("  %-16s %s\n", "licence", m->licence ? m->licence : "no file says");
    printf("  %-16s %s\n", "generates", m->use);
}

static void print_model_json(const struct model_words *m)
{
    fputs("{\"model\": ", stdout);
    json_write_string(stdout, m->path);
    fputs(", \"class\": ", stdout);
    json_write_string(stdout, m->class);
    fputs(", \"licence\": ", stdout);
    if (m->licence)
        json_write_string(stdout, m->licence);
    else
        fputs("null", stdout);
    fputs(", \"generates\": ", stdout);
    json_write_string(stdout, m->use);
    fputs(", \"components\": {", stdout);
    for (int i = 0; i < m->count; i++) {
        fputs(i ? ", " : "", stdout);
        print_component_json(&m->list[i]);
    }
    puts("}}");
}

int info_print_model(const char *path, bool json)
{
    cJSON *index = NULL;
    struct component *list = NULL;
    char *file = path_join(path, index_name), use[512];
    struct model_words words = {
        .path = path, .class = "none", .licence = find_licence(path), .use = use};
    int code = file ? json_file_read(&index, file, INDEX_MAX) : ERR_SYSTEM;
    TRY_CLEANUP(code);
    TRY_CLEANUP(json_file_string(index, file, "_class_name", &words.class));
    describe_use(path, use, sizeof use);
    code = list_components(index, path, &list, &words.count);
    words.list = list;
    if (!json) print_model(&words); /* also what of it can be read */
    if (code == OK) json ? print_model_json(&words) : print_model_end(&words);
cleanup:
    cJSON_Delete(index);
    free(list);
    free(file);
    return code;
}
