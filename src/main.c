/* imgtrain: the table of commands, and the only place that turns an error into an exit status. */
#include "base/error.h"
#include "base/log.h"
#include "base/spelling.h"
#include "base/thread_stack.h"
#include "base/version.h"
#include "cmd/cmd.h"
#include "cmd/manual.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct command commands[] = {
    {"train", cmd_train, "train what a config describes"},
    {"plan", cmd_plan, "what training takes of memory, in every way it can run"},
    {"render", cmd_render, "make the image of a model at any size"},
    {"sample", cmd_sample, "make images with a trained generator"},
    {"project", cmd_project, "find the latents that draw given images"},
    {"generate", cmd_generate, "make images with a diffusion model"},
    {"tokenize", cmd_tokenize, "the tokens that a text encoder is shown of a text"},
    {"upscale", cmd_upscale, "enlarge images with a trained network"},
    {"serve", cmd_serve, "answer over HTTP with models"},
    {"degrade", cmd_degrade, "write the patches that a training would make worse by itself"},
    {"eval", cmd_eval, "compare two images: PSNR, SSIM, MS-SSIM, FLIP"},
    {"report", cmd_report, "one page about a run, or several runs beside one another"},
    {"watch", cmd_watch, "the progress of a run from another terminal"},
    {"video", cmd_video, "put a run's video together from its frames"},
    {"bench", cmd_bench, "time training steps on this machine"},
    {"doctor", cmd_doctor, "devices, memory, features and versions"},
    {"convert", cmd_convert, "make a safetensors file of a PyTorch file (.pth)"},
    {"export", cmd_export, "write a generator as ONNX, for other programs"},
    {"config", cmd_config, "print the resolved configuration, or explain keys"},
    {"info", cmd_info, "say what a checkpoint, a model or a run folder holds"},
    {"verify", cmd_verify, "look whether files of runs are as they were written"},
};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void main_print_help(FILE *to)
{
    fprintf(to,
            "imgtrain trains image models: 2D Gaussians fitted to an image, GANs, networks that\n"
            "enlarge images.\n\n"
            "usage: imgtrain COMMAND [ARGUMENTS]\n\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-8s  %s\n", commands[i].name, commands[i].help);
    fprintf(to, "\n`imgtrain help COMMAND` or `imgtrain COMMAND --help` says more; "
                "`imgtrain --version` prints the version.\n");
}

static const struct command *find_command(const char *name)
{
    const struct command *nearest = &commands[0];
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0) return &commands[i];
        if (nearest_distance(name, commands[i].name) < nearest_distance(name, nearest->name))
            nearest = &commands[i];
    }
    if (nearest_is_close(name, nearest_distance(name, nearest->name)))
        fail(ERR_USAGE, "unknown command '%s': did you mean '%s'?", name, nearest->name);
    else
        fail(ERR_USAGE, "unknown command '%s' (`imgtrain --help` lists them)", name);
    return NULL;
}

static int main_run_command(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        main_print_help(stderr);
        return fail(ERR_USAGE, "no command given");
    }
    if (strcmp(name, "--version") == 0) {
        printf("imgtrain %s\n", IMGTRAIN_VERSION);
        return OK;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        if (argc == 3 && strcmp(argv[2], "--man") == 0)
            return manual_print_page(commands, COMMAND_COUNT);
        if (argc == 4 && strcmp(argv[2], "--completion") == 0)
            return manual_print_completion(argv[3], commands, COMMAND_COUNT);
        const struct command *command = argc > 2 ? find_command(argv[2]) : NULL;
        if (argc > 2 && !command) return ERR_USAGE;
        if (command) return command->function(2, (char *[]){argv[2], (char[]){"--help"}, NULL});
        main_print_help(stdout);
        return OK;
    }
    const struct command *command = find_command(name);
    return command ? command->function(argc - 1, argv + 1) : ERR_USAGE;
}

/* With 0, 1 or 2 closed, the next file opened would get that number and receive our messages.
 * Opened for reading only, so that data lost on a closed stdout is still an error. */
static void occupy_standard_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDONLY);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

static int run_program(int argc, char **argv)
{
    occupy_standard_descriptors();
    int code = main_run_command(argc, argv);
    if (code > OK) code = OK; /* OPTIONS_HELP: the help was what was wanted */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (code == OK) code = fail_errno(ERR_IO, "write to standard output");
    }
    log_end(code == OK);
    if (code != OK) fprintf(stderr, "imgtrain: %s\n", error_message());
    return error_exit_status(code);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "train") == 0) cmd_train_listen();
    return stack_run(run_program, argc, argv);
}
