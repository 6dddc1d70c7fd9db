/* imgtrain report: a run, or several, on one page. */
#include "base/error.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "report/report.h"

#include <stdio.h>

int cmd_report(int argc, char **argv)
{
    const char *output = NULL;
    const struct option_row options[] = {
        {.letter = 'o',
         .name = "output",
         .argument = "FILE",
         .text = &output,
         .help = "the page; without this RUN/report.html, of several runs report.html in the\n"
                 "current folder"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain report RUN... [-o FILE]",
        .about = "Writes what a run folder holds as one HTML file that needs no network: curves, "
                 "first, middle\nand last frame, memory, settings, machine. Of several runs: their "
                 "last numbers, curves in\none picture, and the settings in which they differ. A "
                 "run writes its own when it ends (report).",
        .options = options,
        .min_operands = 1,
        .max_operands = -1,
        .examples = "imgtrain report runs/photo-001\n"
                    "imgtrain report runs/photo-* -o compared.html\n",
    };
    int count;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &count));
    if (!output && count > 1) output = "report.html";
    TRY(report_write((const char *const *)argv + 1, count, output));
    if (output)
        printf("%s\n", output);
    else
        printf("%s/report.html\n", argv[1]);
    return OK;
}
