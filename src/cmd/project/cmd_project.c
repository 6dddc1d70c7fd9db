/* imgtrain project: the latents of a generator that draw given images. */
#include "base/error.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/fallback.h"
#include "cmd/options.h"
#include "cmd/project/project.h"
#include "cmd/sample/class_mix.h"
#include "data/tags.h"
#include "gan/gan.h"
#include "gan/gan_checkpoint.h"
#include "run/signals.h"
#include "store/checkpoint.h"

static int cmd_project_attempt(void *context, struct device *device, int at_once)
{
    return project_descend(context, device, at_once);
}

static void project_report(const struct project *p)
{
    double nearest = 0, latent = 0, last = 0, training = 0;
    int better[2] = {0, 0};
    for (int i = 0; i < p->count; i++) {
        nearest += p->images[i].nearest / p->count;
        latent += p->images[i].psnr[p->options->steps] / p->count;
        last += p->images[i].psnr[project_steps(p)] / p->count;
        training += p->images[i].training / p->count;
        better[0] += p->images[i].psnr[p->options->steps] > p->images[i].training;
        better[1] += p->images[i].psnr[project_steps(p)] > p->images[i].training;
    }
    log_info("%s: %d image%s, PSNR %.2f dB with the nearest of %d samples, %.2f after %d steps",
             p->options->output, p->count, p->count == 1 ? "" : "s", nearest,
             (int)p->options->candidates, latent, (int)p->options->steps);
    if (p->options->tune)
        log_info("%s: %.2f dB with the generator tuned in %d steps (model.safetensors)",
                 p->options->output, last, (int)p->options->tune);
    if (p->options->held_out)
        log_info("%s: %.2f dB with the nearest image of the training; better than that by their "
                 "latents: %d of %d, at the end: %d",
                 p->options->output, training, better[0], p->count, better[1]);
}

static int project_with(struct project *p, const char *model)
{
    struct net_design design;
    struct tag_sets tags = {0};
    TRY(gan_load_design(&design, p->file));
    int code = gan_load_tags(&tags, &design, p->file);
    p->classes = net_labels(&design);
    tag_sets_free(&tags);
    TRY(code);
    p->w = design.base_w << (design.stages - 1);
    p->h = design.base_h << (design.stages - 1);
    p->channels = design.channels;
    p->z = design.z;
    TRY(class_mix_check(p->classes, p->options->label));
    TRY(p->options->held_out ? project_data(p, model) : project_load(p));
    struct fallback fallback = {.task = &task_gan,
                                .whole = p->count,
                                .least = p->options->tune ? p->count : 1,
                                .unit = "images",
                                .attempt = cmd_project_attempt,
                                .context = p};
    TRY(fallback_run(&fallback, p->options->device, p->options->memory_limit));
    TRY(project_write(p));
    project_report(p);
    return OK;
}

static int project_model(const struct project_options *options, char **operands, int count)
{
    struct project p = {.options = options};
    struct store_file *file = NULL;
    int code;
    signals_install();
    TRY_CLEANUP(project_check_output(options->output));
    TRY_CLEANUP(checkpoint_open(operands[0], &file));
    TRY_CLEANUP(checkpoint_expect(file, "gan", NULL));
    p.file = file;
    for (int i = 1; i < count; i++)
        TRY_CLEANUP(project_add(&p, operands[i], false));
    if (options->towards) TRY_CLEANUP(project_add(&p, options->towards, true));
    code = project_with(&p, operands[0]);
cleanup:
    store_close(file);
    project_free(&p);
    return code;
}

int cmd_project(int argc, char **argv)
{
    struct project_options options = {
        .device = "auto", .steps = 400, .candidates = 512, .label = -1, .lr = 0.1, .tune_lr = 1e-3};
    const struct option_row rows[] = {
        {.letter = 'o',
         .name = "output",
         .argument = "FOLDER",
         .text = &options.output,
         .help = "latents, images, PSNR over steps, video"},
        {.name = "steps",
         .argument = "N",
         .integer = &options.steps,
         .low = 1,
         .high = 1000000,
         .help = "steps on the latents (400)"},
        {.name = "lr",
         .argument = "RATE",
         .number = &options.lr,
         .low = 1e-6,
         .high = 10,
         .help = "Adam's rate on them at the start (0.1)"},
        {.name = "candidates",
         .argument = "N",
         .integer = &options.candidates,
         .low = 1,
         .high = 1000000,
         .help = "samples, of which each image begins with the nearest (512)"},
        {.name = "class",
         .argument = "K",
         .integer = &options.label,
         .low = 0,
         .high = 1 << 20,
         .help = "the images' class; without it that of the nearest sample"},
        {.name = "tune",
         .argument = "N",
         .integer = &options.tune,
         .low = 0,
         .high = 1000000,
         .help = "then so many steps on a copy of the generator: model.safetensors (0)"},
        {.name = "tune-lr",
         .argument = "RATE",
         .number = &options.tune_lr,
         .low = 1e-7,
         .high = 1,
         .help = "Adam's rate on it at the start (0.001)"},
        {.name = "towards",
         .argument = "PATH",
         .text = &options.towards,
         .help = "a second set (an image or a folder): direction.npy leads there from the first"},
        {.name = "held-out",
         .argument = "N",
         .integer = &options.held_out,
         .low = 1,
         .high = 200,
         .help =
             "also N images that the training held out; PSNR of the nearest that it did not hold "
             "out"},
        OPTION_DEVICE(&options.device),
        OPTION_MEMORY_LIMIT(
            &options.memory_limit,
            "most device memory to use: 512MB, 2GB; below it fewer images at a time"),
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain project MODEL PHOTO|FOLDER... -o FOLDER [--tune N] [--towards PATH] "
                 "[--held-out N]",
        .about = "Finds the latents with which a trained generator (task gan) draws these images: "
                 "gradient descent\nfrom the nearest of many samples. `imgtrain sample --latents` "
                 "and `--edit` go on from there.",
        .options = rows,
        .min_operands = 1,
        .max_operands = -1,
        .examples = "imgtrain project runs/photos-001 photo.jpg -o found --tune 200\n"
                    "imgtrain project runs/photos-001 --held-out 10 -o found\n"
                    "imgtrain project runs/faces grave/ --towards smiling/ -o smile\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    if (!options.output) return fail(ERR_USAGE, "no output: add -o FOLDER");
    if (operands < 2 && !options.held_out)
        return fail(ERR_USAGE, "no image: name one or a folder, or add --held-out N");
    if (!options.tune) options_without_effect("tune-lr", "without --tune");
    return project_model(&options, argv + 1, operands);
}
