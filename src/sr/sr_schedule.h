/* What the config says of the network, of a step and of a measurement. */
#ifndef IMGTRAIN_SR_SR_SCHEDULE_H
#define IMGTRAIN_SR_SR_SCHEDULE_H

#include "sr/sr_core.h"

struct config;

/* ERR_CONFIG, naming the key, for what cannot be trained. */
int sr_design_of(struct sr_design *design, const struct config *config);
/* Of step `step`, from 0: functions of the step, so a resumed run has the same. */
struct sr_rates sr_rates_at(const struct config *config, int64_t step);
int64_t sr_val_every(const struct config *config);
int sr_crop_border(const struct config *config);

#endif
