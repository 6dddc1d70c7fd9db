/* What a packager installs beside the program: the man page and the completions of shells, printed
 * from the tables that the program itself works by: main's commands, each command's options, and
 * the keys of default.yaml. */
#ifndef IMGTRAIN_CMD_MANUAL_H
#define IMGTRAIN_CMD_MANUAL_H

#include "cmd/cmd.h"

/* `imgtrain help --man`: imgtrain(1) in the man(7) macros, on stdout. */
int manual_print_page(const struct command *commands, int count);

/* `imgtrain help --completion SHELL`: a script for bash or zsh, on stdout. */
int manual_print_completion(const char *shell, const struct command *commands, int count);

#endif
