/* A folder of images as one with many channels: a material's maps, the bands of a satellite. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "image/image_format.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stack {
    struct dirent **entries;
    int count;
    const char *folder;
};

static int is_image_name(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && image_name_is_readable(entry->d_name);
}

/* By bytes: the same order under every locale. */
static int image_stack_compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int open_stack(struct stack *stack, const char *folder)
{
    *stack = (struct stack){.folder = folder};
    stack->count = scandir(folder, &stack->entries, is_image_name, image_stack_compare_names);
    if (stack->count < 0) return fail_errno(ERR_INPUT, "open folder %s", folder);
    if (stack->count == 0)
        return fail(ERR_DATA, "%s: no images in this folder (%s)", folder,
                    image_format_names().text);
    return OK;
}

static void close_stack(struct stack *stack)
{
    for (int i = 0; i < stack->count; i++)
        free(stack->entries[i]);
    free(stack->entries);
}

/* The whole stack's shape: the widest sample type, the sum of the channels. */
static int probe_stack(const struct stack *stack, struct image *shape)
{
    for (int i = 0; i < stack->count; i++) {
        int width, height, channels;
        enum sample_type type;
        char *path = path_join(stack->folder, stack->entries[i]->d_name);
        if (!path) return ERR_SYSTEM;
        int code = image_probe(path, &width, &height, &channels, &type);
        free(path);
        TRY(code);
        if (i == 0) *shape = (struct image){.width = width, .height = height};
        if (width != shape->width || height != shape->height)
            return fail(ERR_DATA, "%s: %s is %dx%d but %s is %dx%d", stack->folder,
                        stack->entries[0]->d_name, shape->width, shape->height,
                        stack->entries[i]->d_name, width, height);
        shape->channels += channels;
        if (shape->channels > IMAGE_MAX_CHANNELS)
            return fail(ERR_DATA, "%s: more than %d channels together", stack->folder,
                        IMAGE_MAX_CHANNELS);
        if (type > shape->type) shape->type = type;
    }
    return OK;
}

/* Puts a layer's channels at `first` of every pixel. */
static void insert_layer(struct image *stacked, const struct image *layer, int first)
{
    size_t bytes = sample_bytes(layer->type), run = bytes * (size_t)layer->channels;
    size_t stride = bytes * (size_t)stacked->channels;
    size_t pixels = (size_t)layer->width * (size_t)layer->height;
    uint8_t *to = (uint8_t *)stacked->data + bytes * (size_t)first;
    const uint8_t *from = layer->data;
    for (size_t i = 0; i < pixels; i++)
        memcpy(to + i * stride, from + i * run, run);
}

static int load_layer(struct image *layer, const char *path, const struct image *stacked)
{
    TRY(image_load(layer, path));
    if (layer->width != stacked->width || layer->height != stacked->height)
        return fail(ERR_DATA, "%s changed while it was read", path);
    if (layer->type == stacked->type) return OK;
    struct image converted;
    TRY(image_convert(&converted, layer, stacked->type));
    image_free(layer);
    *layer = converted;
    return OK;
}

static int fill_stack(const struct stack *stack, struct image *stacked)
{
    int first = 0;
    for (int i = 0; i < stack->count; i++) {
        char *path = path_join(stack->folder, stack->entries[i]->d_name);
        if (!path) return ERR_SYSTEM;
        struct image layer = {0};
        int code = load_layer(&layer, path, stacked);
        if (code == OK && first + layer.channels > stacked->channels)
            code = fail(ERR_DATA, "%s changed while it was read", path);
        if (code == OK) insert_layer(stacked, &layer, first);
        first += layer.channels;
        image_free(&layer);
        free(path);
        TRY(code);
    }
    return OK;
}

int image_probe_stack(const char *folder, struct image *shape)
{
    struct stack stack;
    *shape = (struct image){0};
    int code = open_stack(&stack, folder);
    if (code == OK) code = probe_stack(&stack, shape);
    close_stack(&stack);
    return code;
}

int image_stack_names(const char *folder, char **names)
{
    struct stack stack;
    size_t bytes = 1, used = 0;
    *names = NULL;
    int code = open_stack(&stack, folder);
    for (int i = 0; code == OK && i < stack.count; i++)
        bytes += strlen(stack.entries[i]->d_name) + 1;
    if (code == OK) *names = calloc(1, bytes);
    if (code == OK && !*names) code = fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; code == OK && i < stack.count; i++)
        used += (size_t)snprintf(*names + used, bytes - used, "%s%s", i ? "/" : "",
                                 stack.entries[i]->d_name);
    close_stack(&stack);
    return code;
}

int image_stream_stack(const char *folder, size_t whole_limit, const struct image_sink *sink)
{
    struct stack stack;
    struct image whole = {0}, shape = {0};
    int code = open_stack(&stack, folder);
    if (code == OK) code = probe_stack(&stack, &shape);
    if (code == OK)
        code = row_band_check_whole(folder, &shape, image_bytes(&shape), whole_limit,
                                    "a texture stack is put together in memory");
    if (code == OK)
        code = image_create(&whole, shape.width, shape.height, shape.channels, shape.type);
    if (code == OK) code = fill_stack(&stack, &whole);
    if (code == OK) code = image_stream_whole(&whole, sink);
    image_free(&whole);
    close_stack(&stack);
    return code;
}

int image_load_stack(struct image *image, const char *folder)
{
    const struct image_sink collector = image_collector(image);
    int code = image_stream_stack(folder, 0, &collector);
    if (code < 0) image_free(image);
    return code;
}
