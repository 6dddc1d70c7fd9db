/* imgtrain convert: the tensors of a PyTorch file as a safetensors file. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "sr/sr_networks.h"
#include "store/safetensors.h"
#include "store/torch_file.h"

#include <inttypes.h>
#include <string.h>

struct convert_request {
    const char *output, *key;
    bool overwrite;
};

static int collect_tensors(const struct torch_file *file, struct store_writer *writer)
{
    TRY(store_set(writer, "format", "pt"));
    for (int i = 0; i < torch_file_count(file); i++) {
        const struct store_tensor *t = torch_file_at(file, i);
        TRY(store_add(writer, t->name, t->type, t->dims, t->shape, t->data));
    }
    return OK;
}

/* Which network it is, where it is one that is known here: told by the file that was written. */
static int report_result(const struct torch_file *file, const char *path)
{
    struct store_file *written;
    int64_t numbers = 0;
    TRY(store_open(&written, path));
    for (int i = 0; i < store_count(written); i++) {
        const struct store_tensor *t = store_at(written, i);
        numbers += (int64_t)(t->bytes / tensor_type_bytes(t->type));
    }
    const char *key = torch_file_key(file);
    log_info("%s: %d tensors%s%s, %" PRId64 " numbers", path, store_count(written),
             *key ? " of " : "", key, numbers);
    struct sr_design design;
    if (sr_network_detect(&design, written, ""))
        log_info("%s: %s, enlarges %dx", path, sr_design_text(&design).text, design.scale);
    store_close(written);
    return OK;
}

static int convert_file(const struct convert_request *request, const char *path)
{
    struct torch_file *file = NULL;
    struct store_writer *writer = NULL;
    int code = OK;
    if (!request->output) return fail(ERR_USAGE, "no output: add -o FILE.safetensors");
    if (!request->overwrite && file_exists(request->output))
        return fail(ERR_OUTPUT, "%s: is there already; --overwrite replaces it", request->output);
    TRY_CLEANUP(torch_file_open(&file, path, request->key));
    if (torch_file_left_out(file) > 0)
        log_info("%s: entries that are no tensors, left out: %d", path, torch_file_left_out(file));
    writer = store_writer_create();
    if (!writer) TRY_CLEANUP(ERR_SYSTEM);
    TRY_CLEANUP(collect_tensors(file, writer));
    const char *broken = store_find_nonfinite(writer);
    if (broken)
        TRY_CLEANUP(fail(ERR_DATA, "%s: tensor %s has numbers that are not finite", path, broken));
    TRY_CLEANUP(store_write(writer, request->output, true));
    code = report_result(file, request->output);
cleanup:
    store_writer_free(writer);
    torch_file_close(file);
    return code;
}

int cmd_convert(int argc, char **argv)
{
    struct convert_request request = {NULL, NULL, false};
    const struct option_row rows[] = {
        {.letter = 'o',
         .name = "output",
         .argument = "FILE",
         .text = &request.output,
         .help = "the .safetensors file to write"},
        {.name = "key",
         .argument = "NAME",
         .text = &request.key,
         .help = "which of the file's dicts; else params_ema before params"},
        {.name = "overwrite", .flag = &request.overwrite, .help = "a file that is there goes"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain convert FILE.pth -o FILE.safetensors [--key NAME]",
        .about = "Writes the tensors of a PyTorch file (torch.save: .pth, .pt, .ckpt) as a\n"
                 "safetensors file, bit for bit. Nothing in the file is run. Averaged parameters\n"
                 "(params_ema) come before others; `module.` before all names is left out.",
        .options = rows,
        .min_operands = 1,
        .max_operands = 1,
        .examples = "imgtrain convert RealESRGAN_x4plus.pth -o RealESRGAN_x4plus.safetensors\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    return convert_file(&request, argv[1]);
}
