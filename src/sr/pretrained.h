/* Networks that are there already: of a run, of a checkpoint, of this program or of another. */
#ifndef IMGTRAIN_SR_PRETRAINED_H
#define IMGTRAIN_SR_PRETRAINED_H

#include "sr/sr_networks.h"

struct config;
struct trained_net;

/* ERR_DATA for a .pth, with the command that converts it. */
int sr_pretrained_open(struct store_file **file, const char *path);
/* Before the names of the tensors to use: a checkpoint has averaged parameters beside others, and a
 * file of another program may have the name of what was around the network. */
const char *sr_pretrained_prefix(const struct store_file *file);

/* sr.pretrain_g, nothing where it is empty: whether the run can begin with it; and the parameters
 * of `net` and their averages, from it. ERR_DATA for another network, unless sr.strict_load is off:
 * then for one of which no tensor fits. */
int sr_pretrained_check(const struct config *config, const struct sr_design *design);
int sr_pretrained_load(const struct config *config, const struct sr_design *design,
                       struct trained_net *net);

#endif
