/* Rules for what other trainers' option files say of data sets and their patches. */
#ifndef IMGTRAIN_CONFIG_FOREIGN_DATA_H
#define IMGTRAIN_CONFIG_FOREIGN_DATA_H

#include "config/foreign_say.h"

foreign_rule foreign_translate_folder;
foreign_rule foreign_translate_gt_usm;
foreign_rule foreign_translate_data_type;
foreign_rule foreign_translate_gt_size;
foreign_rule foreign_translate_batch;
foreign_rule foreign_translate_lq_size;

#endif
