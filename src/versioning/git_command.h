/* The program `git`, run without a shell in a process of its own. It can ask nobody for anything:
 * it has no terminal and no input but what it is given, and is told not to ask. */
#ifndef IMGTRAIN_VERSIONING_GIT_COMMAND_H
#define IMGTRAIN_VERSIONING_GIT_COMMAND_H

#include <stdatomic.h>
#include <stdbool.h>

struct git_command {
    const char *git_dir;     /* the repository; NULL: the one that the current folder is in */
    const char *include;     /* file of settings that counts too; NULL: none */
    const char *input;       /* text for its standard input; NULL: nothing */
    int input_fd;            /* instead of it, from where it stands; 0: none */
    double seconds;          /* after which it is ended, and all that it has started */
    const atomic_bool *stop; /* likewise, when that becomes true; may be NULL */
};

enum { GIT_MOST_ARGUMENTS = 16 };

/* Runs `git ARGUMENT ...` (the list ends with NULL). *output: what it printed, without the last
 * line end (malloc, owned by the caller); NULL where that is not wanted. ERR_INPUT: there is no
 * such program; ERR_STOPPED: by `stop`; ERR_IO: it failed, with its own words, or took too long. */
int git_run(const struct git_command *command, const char *const *arguments, char **output);

/* Takes user:password@ out of the URLs in a text, and control characters. */
void git_hide_secrets(char *text);

#endif
