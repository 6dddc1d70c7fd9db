/* What stages would take in every way, and what they took: tables for people, JSON for programs. */
#ifndef IMGTRAIN_PLACEMENT_PLACEMENT_PRINT_H
#define IMGTRAIN_PLACEMENT_PLACEMENT_PRINT_H

#include "placement/placement.h"

#include <stdio.h>

/* All ways, one line for each stage of each; the way that was chosen is marked. JSON: an array. */
int placement_print_ways(const struct placement *placement, const struct placement_stage *stages,
                         int count, bool json, FILE *out);

/* The stages that were, one line each: predicted and measured. JSON: an array. */
void placement_print_reports(const struct placement *placement, bool json, FILE *out);

#endif
