/* imgtrain degrade: what a training that degrades its images itself would learn from. */
#include "base/error.h"
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/cmd_load.h"
#include "cmd/options.h"
#include "config/config.h"
#include "run/signals.h"
#include "sr/sr_degrade_images.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_IMAGES = 999999 };

struct degrade_request {
    const char *output, *images;
    int64_t count;
};

/* The operand that is neither the config nor KEY=VALUE goes out of the list. Returns how many are
 * left. */
static int take_images(struct degrade_request *request, int count, char **argv)
{
    int left = 0;
    for (int i = 1; i <= count; i++) {
        bool is_override = strchr(argv[i], '=') && !file_exists(argv[i]);
        if (i > 1 && !is_override && !request->images)
            request->images = argv[i];
        else
            argv[++left] = argv[i];
    }
    return left;
}

/* Another task's config has no data_mode: an error about that is of words that nobody wrote. */
static int degrading_error(int count, char **argv)
{
    const struct load_options none = {.device = NULL};
    struct config *config = NULL;
    const char *path;
    char *why = string_format("%s", error_message());
    bool other =
        load_config(&config, &path, count, argv, &none) == OK && config->task != CONFIG_TASK_SR;
    int code = fail(ERR_CONFIG, "%s",
                    other ? "degradations are there for task sr alone"
                    : why ? why
                          : "");
    config_free(config);
    free(why);
    return code;
}

/* The config with what this command adds to it: data_mode, and the folder. */
static int load_degrading(struct config **config, const struct degrade_request *request, int count,
                          char **argv)
{
    const struct load_options none = {.device = NULL};
    const char *path;
    bool is_folder = request->images && file_is_dir(request->images);
    char **all = calloc((size_t)count + 4, sizeof *all);
    char *folder = is_folder ? string_format("sr.dataroot_gt=%s", request->images) : NULL;
    char mode[] = "sr.data_mode=otf";
    int code = all && (folder || !is_folder) ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) {
        int used = count;
        for (int i = 1; i <= count; i++)
            all[i] = argv[i];
        all[++used] = mode;
        if (folder) all[++used] = folder;
        code = load_config(config, &path, used, all, &none);
    }
    if (code == ERR_CONFIG) code = degrading_error(count, argv);
    free(folder);
    free(all);
    return code;
}

static int degrade_images(struct degrade_request *request, int count, char **argv)
{
    struct config *config = NULL;
    if (!request->output) return fail(ERR_USAGE, "no output: add -o FOLDER");
    int left = take_images(request, count, argv);
    signals_install();
    int code = load_degrading(&config, request, left, argv);
    bool is_file = request->images && !file_is_dir(request->images);
    if (code == OK)
        code = sr_degrade_images(config, is_file ? request->images : NULL, request->output,
                                 (int)request->count, signals_stop_requested);
    config_free(config);
    return code;
}

int cmd_degrade(int argc, char **argv)
{
    struct degrade_request request = {.count = 16};
    const struct option_row rows[] = {
        {.letter = 'o',
         .name = "output",
         .argument = "FOLDER",
         .text = &request.output,
         .help = "where NNNNNN_lq.png, NNNNNN_gt.png and NNNNNN.json go"},
        {.name = "count",
         .argument = "N",
         .integer = &request.count,
         .low = 1,
         .high = MOST_IMAGES,
         .help = "how many (default 16)"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain degrade CONFIG [IMAGE|FOLDER] -o FOLDER [--count N] [key=value ...]",
        .about = "Writes the patches that a training with data_mode otf learns from, in their "
                 "order: LQ, GT,\nand what was drawn for each. FOLDER in place of dataroot_gt; an "
                 "IMAGE is degraded as a whole,\neach time by other draws.",
        .options = rows,
        .min_operands = 1,
        .max_operands = -1,
        .keys = true,
        .examples = "imgtrain degrade cfgs/sr-x4-otf.yaml photos/ -o look/ --count 16\n"
                    "imgtrain degrade cfgs/sr-x4-otf.yaml photo.png -o look/ jpeg_range=[20,50]\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    return degrade_images(&request, operands, argv);
}
