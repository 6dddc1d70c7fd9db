#include "cmd/cmd.h"
#include "cmd/options.h"

int cmd_config(int argc, char **argv)
{
    const struct option_usage usage = {
        .usage = "imgtrain config CONFIG [key=value ...]",
        .about = "Prints the resolved values.",
        .max_operands = -1,
    };
    int operand_count;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operand_count));
    return OK;
}
