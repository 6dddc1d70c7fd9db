/* The subcommands: each is a function in src/cmd/NAME.c and a row in main.c's table. It returns 0
 * or a negative error code with the message set; main prints the message and picks the status. */
#ifndef IMGTRAIN_CMD_CMD_H
#define IMGTRAIN_CMD_CMD_H

struct command {
    const char *name;
    int (*function)(int argc, char **argv);
    const char *help; /* one line */
};

/* argv[0] is the command's name; arguments follow. */
int cmd_bench(int argc, char **argv);
int cmd_render(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_project(int argc, char **argv);
int cmd_sample(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_upscale(int argc, char **argv);
int cmd_degrade(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_train(int argc, char **argv);
/* What main does first of all for it: a batch system's signal may come while a run still loads. */
void cmd_train_listen(void);
int cmd_verify(int argc, char **argv);
int cmd_video(int argc, char **argv);

/* Which GPUs run the code of a build as it is, and which compile it first; archs: what CUDA_ARCHS
 * of the Makefile said, or "emu", or "". */
struct doctor_text {
    char text[320];
};
struct doctor_text doctor_cuda_code(const char *archs);

#endif
