/* One option of a command line, as commands and tasks list them (cmd/options.h reads them). */
#ifndef IMGTRAIN_BASE_OPTION_ROW_H
#define IMGTRAIN_BASE_OPTION_ROW_H

#include <stdbool.h>
#include <stdint.h>

/* Exactly one of the pointers is set and receives the value; without a .flag pointer the option
 * takes an argument. Given twice, the last one counts. A table ends with an empty row. */
struct option_row {
    char letter;          /* 'o' for -o; 0: none */
    const char *name;     /* "output" for --output; NULL: none */
    const char *aliases;  /* other names that mean the same, with blanks between; NULL: none */
    const char *argument; /* what the help calls its argument: "FILE" */
    const char *help;     /* one line */
    bool *flag;           /* set to true */
    const char **text;    /* borrowed from argv */
    bool may_be_empty;    /* the text, which is no name of anything */
    int64_t *integer;     /* low..high, where these differ */
    double *number;       /* likewise */
    double low, high;
    double *seconds; /* a duration: 90, 5m, 3h50m */
    uint64_t *bytes; /* 1500, 512MB, 8GB */
};

#endif
