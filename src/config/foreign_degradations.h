/* Degradations of data while training, as files of traiNNer-redux and Real-ESRGAN name them. */
#ifndef IMGTRAIN_CONFIG_FOREIGN_DEGRADATIONS_H
#define IMGTRAIN_CONFIG_FOREIGN_DEGRADATIONS_H

/* Our key ("sr.blur_prob2") of a key of theirs ("second_blur_prob", "datasets.train.sinc_prob");
 * NULL: it is none of these. Borrowed. */
const char *foreign_degradation_key(const char *path);

/* What traiNNer-redux does where a file does not say it, and ours would be another: values with a
 * blank between; key NULL behind the last. */
struct foreign_degradation_default {
    const char *key, *values;
};
extern const struct foreign_degradation_default foreign_degradation_defaults[];

#endif
