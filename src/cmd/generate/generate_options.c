/* The command line of `imgtrain generate`. */
#include "cmd/generate/generate_request.h"
#include "cmd/options.h"

enum { BATCH_MOST = 4096, COUNT_MOST = 1000000 };

int generate_read_options(struct generate_options *o, int argc, char **argv)
{
    *o = (struct generate_options){.device = "auto", .at_once = 1};
    const struct option_row rows[] = {
        OPTION_TEXT("label", "NAME", &o->label,
                    "of a model of classes: which one, by name or number; none: any"),
        {.name = "prompt",
         .argument = "TEXT|@FILE",
         .text = &o->prompt,
         .may_be_empty = true,
         .help = "of a model of texts: what the image shows"},
        {.name = "negative",
         .argument = "TEXT|@FILE",
         .text = &o->negative,
         .may_be_empty = true,
         .help = "what guidance leads away from; else from a prompt that says nothing"},
        OPTION_TEXT("text-length", "N", &o->text_length,
                    "of FLUX.1: tokens that a prompt is filled up to, or cut (512; schnell 256)"),
        OPTION_TEXT("guidance", "G", &o->guidance,
                    "how far; 0: as the model predicts (others' scale is 1 higher; FLUX.1-dev is "
                    "told theirs: 3.5)"),
        OPTION_TEXT("init-image", "FILE", &o->init, "begin with this image instead of noise alone"),
        OPTION_TEXT(
            "strength", "S", &o->strength,
            "how much of it is made anew, above 0 to 1 (0.6; with --mask 1, of FLUX.1 0.6)"),
        OPTION_TEXT("mask", "FILE", &o->mask, "only where it is white; all other pixels stay"),
        OPTION_FLAG("invert-mask", &o->invert_mask, "only where it is black"),
        OPTION_FLAG(
            "composite", &o->wants_composite,
            "of a model with a VAE: kept pixels are the image's own (so it is; after --like)"),
        OPTION_FLAG("no-composite", &o->no_composite, "leave kept pixels as a VAE gives them back"),
        OPTION_TEXT("steps", "N", &o->steps,
                    "evaluations of the network; else as the model was trained"),
        {.name = "seed",
         .aliases = "seeds",
         .argument = "LIST",
         .text = &o->seed,
         .help = "one image each: 7 or 0-63,100 (0); an image depends on its own alone"},
        {.letter = 'n',
         .argument = "N",
         .integer = &o->count,
         .low = 1,
         .high = COUNT_MOST,
         .help = "so many images: of the seed and those that follow"},
        OPTION_TEXT("size", "WxH", &o->size, "in pixels; an init image is resized to it"),
        OPTION_TEXT("preset", "NAME", &o->preset,
                    "a size: fast 512, balanced 768, quality 1024, auto the largest that fits"),
        {.letter = 'o',
         .name = "output",
         .argument = "PATH",
         .text = &o->output,
         .help = "an image, or a folder for seed-00000.png ... (generated)"},
        OPTION_TEXT("like", "FILE.png", &o->like,
                    "as that image was made; other options win over what it says"),
        OPTION_TEXT("rng", "torch|philox", &o->rng,
                    "noise of PyTorch's generator, or of this program's own"),
        OPTION_TEXT("dtype", "TYPE", &o->dtype,
                    "f32: weights as they are stored, computed with in f32; bf16: rounded to it, "
                    "products of bf16 where the device is faster with them; int8: 8 bits with a "
                    "scale for each row, in f32; auto: f32, but bf16 what is stored so"),
        {.name = "batch",
         .argument = "N",
         .integer = &o->at_once,
         .low = 1,
         .high = BATCH_MOST,
         .help = "images at a time (1); changes no image"},
        OPTION_TEXT("offload", "WAY", &o->offload,
                    "none, model or sequential: what of the weights is on the device; auto"),
        OPTION_TEXT("prefetch", "0|1", &o->prefetch,
                    "with sequential: bring blocks before they are needed (1)"),
        OPTION_FLAG("read", &o->read,
                    "read weights in long pieces instead of mapping files: for network disks"),
        OPTION_TEXT("text-cache", "DIR|none", &o->text_cache,
                    "where a text encoder's answers are kept (MODEL/cache), so that it reads a "
                    "prompt once"),
        OPTION_MEMORY_LIMIT(&o->memory_limit, "most device memory to use: 512MB, 12GB"),
        OPTION_DEVICE(&o->device),
        OPTION_TEXT("vae-tiling", "HOW", &o->vae_tiling,
                    "auto, off, bands or blend: of a model with a VAE"),
        OPTION_FLAG("attention-slicing", &o->attention_slicing, "accepted: it always is"),
        OPTION_FLAG("vae-slicing", &o->vae_slicing, "accepted: it always is"),
        OPTION_FLAG("testing", &o->testing, "4 steps, at most 256 pixels, a line every second"),
        OPTION_TEXT("dump", "FILE", &o->dump, "what is between the stages, as a .safetensors file"),
        OPTION_FLAG("json", &o->json, "what was made, and of what, as JSON"),
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain generate MODEL [--label NAME | --prompt TEXT] [-o PATH]",
        .about = "Makes images with a diffusion model: a folder as diffusers lays it out, a run\n"
                 "that trained one, or a name below IMGTRAIN_MODELS (./models). PNGs carry all\n"
                 "that --like needs to make them again. Each seed gives one image, which is the\n"
                 "same whatever the other seeds, the threads, the batch and --offload.",
        .options = rows,
        .min_operands = 0,
        .max_operands = 1,
        .examples =
            "imgtrain generate runs/shapes-001 --label circle -n 16 -o out/\n"
            "imgtrain generate runs/shapes-001 --label star --init-image a.png --strength 0.5\n"
            "imgtrain generate runs/shapes-001 --label star --init-image a.png --mask m.png\n"
            "imgtrain generate --like out/seed-00003.png --steps 40 -o finer.png\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    if (operands > 0) o->model = argv[1];
    return OK;
}
