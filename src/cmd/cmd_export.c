/* imgtrain export: a trained generator as a file that other programs run. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "data/tags.h"
#include "gan/gan_checkpoint.h"
#include "gan/networks.h"
#include "nn/net_onnx.h"
#include "store/checkpoint.h"
#include "store/onnx.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CARD_MOST = 1 << 20 };

struct export_request {
    const char *output, *card;
    bool overwrite;
};

static void export_describe_tags(const struct tag_sets *tags, char *to, size_t room)
{
    char names[240];
    tags_tell(tags, names, sizeof names);
    snprintf(to, room,
             "- `tags` [N, %d]: float32, 1 for each tag that an image has, 0 for others, in this "
             "order: %s\n",
             tags->tag_count, names);
}

/* The text that goes with a model (Mitchell et al., "Model Cards for Model Reporting", 2019): what
 * its inputs and its output mean, and what it was made by. */
static char *export_card(const struct net_design *design, const struct store_file *file)
{
    const char *version = store_get(file, "version"), *step = store_get(file, "step");
    const char *pictures = store_get(file, "gan.pictures"), *rkid = store_get(file, "gan.rkid");
    char classes[400] = "";
    if (design->tags)
        export_describe_tags(design->tags, classes, sizeof classes);
    else if (design->classes)
        snprintf(classes, sizeof classes, "- `label` [N]: int64, the class, 0 to %d\n",
                 design->classes - 1);
    return string_format(
        "# Generator of images of %d x %d\n\nTrained by imgtrain %s (task gan), %s "
        "steps%s%s%s%s.\n\n"
        "## Inputs\n- `z` [N, %d]: float32, independent normal numbers of variance 1\n%s\n"
        "## Output\n- `image` [N, %d, %d, %d]: float32, %s around -1 to 1; a byte is "
        "128 x + 128, rounded, within 0 to 255%s\n",
        design->base_w << (design->stages - 1), design->base_h << (design->stages - 1),
        version ? version : "?", step ? step : "?", pictures ? ", on images: " : "",
        pictures ? pictures : "", rkid ? ", rKID of its samples " : "", rkid ? rkid : "", design->z,
        classes, design->channels, design->base_h << (design->stages - 1),
        design->base_w << (design->stages - 1),
        design->channels == 1   ? "grey"
        : design->channels == 4 ? "red, green, blue, each times alpha, and alpha,"
                                : "red, green, blue",
        design->channels == 4 ? "; colours are premultiplied: divide each by alpha (where that is "
                                "0 there is no colour) for files that hold straight ones"
                              : "");
}

static int export_add_card(struct onnx_model *model, const struct net_design *design,
                           const struct store_file *file, const char *path)
{
    char *card = NULL;
    size_t bytes;
    if (path)
        TRY(file_read(path, CARD_MOST, (uint8_t **)&card, &bytes));
    else
        card = export_card(design, file);
    if (!card) return ERR_SYSTEM;
    onnx_add_metadata(model, "model_card", card);
    free(card);
    return OK;
}

/* All that the file says of itself, but its checksums. */
static void export_add_metadata(struct onnx_model *model, const struct store_file *file)
{
    for (int i = 0; i < store_metadata_count(file); i++) {
        const char *key, *value;
        store_metadata_at(file, i, &key, &value);
        if (strncmp(key, "crc32", 5) != 0) onnx_add_metadata(model, key, value);
    }
}

static int export_generator(struct onnx_model *model, const struct net *net, bool tags,
                            const struct store_file *file)
{
    float *parameters = malloc(net->floats * sizeof *parameters);
    if (!parameters) return fail(ERR_SYSTEM, "out of memory");
    int code = gan_load_generator(net, parameters, file);
    if (code == OK) code = net_onnx_add(model, net, parameters, tags, "z", "image");
    free(parameters);
    return code;
}

static int export_file(const struct export_request *request, const struct store_file *file)
{
    struct onnx_model model = {0};
    struct net_design design;
    struct net net = {0};
    int code;
    struct tag_sets tags = {0};
    TRY(gan_load_design(&design, file));
    TRY_CLEANUP(gan_load_tags(&tags, &design, file));
    if (net_generator(&net, &design, false) < 0)
        TRY_CLEANUP(fail_within(ERR_DATA, "%s", store_path(file)));
    TRY_CLEANUP(gan_expect_generator(&net, file));
    TRY_CLEANUP(export_generator(&model, &net, design.tags != NULL, file));
    TRY_CLEANUP(export_add_card(&model, &design, file, request->card));
    export_add_metadata(&model, file);
    if (design.channels == 4) onnx_add_metadata(&model, "alpha", "premultiplied");
    TRY_CLEANUP(onnx_write(&model, "generator", request->output));
    log_info("%s: %zu parameters, z of %d numbers%s -> images of %dx%d", request->output,
             net.parameter_total, design.z,
             design.tags      ? " and tags"
             : design.classes ? " and a class"
                              : "",
             design.base_w << (design.stages - 1), design.base_h << (design.stages - 1));
cleanup:
    onnx_free(&model);
    net_free(&net);
    tag_sets_free(&tags);
    return code;
}

static int export_model(const struct export_request *request, const char *path)
{
    struct store_file *file = NULL;
    if (!request->output) return fail(ERR_USAGE, "no output: add -o FILE.onnx");
    if (!onnx_is_named(request->output))
        return fail(ERR_USAGE, "-o %s: the name must end in .onnx", request->output);
    if (!request->overwrite && file_exists(request->output))
        return fail(ERR_OUTPUT, "%s: is there already; --overwrite replaces it", request->output);
    TRY(checkpoint_open(path, &file));
    int code = checkpoint_expect(file, "gan", NULL);
    if (code == OK) code = export_file(request, file);
    store_close(file);
    return code;
}

int cmd_export(int argc, char **argv)
{
    struct export_request request = {NULL, NULL, false};
    const struct option_row rows[] = {
        {.letter = 'o',
         .name = "output",
         .argument = "FILE",
         .text = &request.output,
         .help = "the .onnx file to write"},
        {.name = "card",
         .argument = "FILE",
         .text = &request.card,
         .help = "text that goes with it as model_card, in place of one about inputs and output"},
        {.name = "overwrite", .flag = &request.overwrite, .help = "a file that is there goes"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain export MODEL -o FILE.onnx [--card FILE]",
        .about = "Writes a trained generator (a model, a checkpoint or a run of task gan) as ONNX, "
                 "opset 13,\nfor onnxruntime and others. `imgtrain info FILE.onnx` shows what is "
                 "in it, and the text\nthat goes with it.",
        .options = rows,
        .min_operands = 1,
        .max_operands = 1,
        .examples = "imgtrain export runs/photos-001 -o photos.onnx\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    return export_model(&request, argv[1]);
}
