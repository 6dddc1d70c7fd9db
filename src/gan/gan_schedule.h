/* What the config means: the networks' design, and the schedules. */
#ifndef IMGTRAIN_GAN_GAN_SCHEDULE_H
#define IMGTRAIN_GAN_GAN_SCHEDULE_H

#include "data/channels.h"
#include "gan/core.h"

struct config;

/* Values at one point of the training: cosines from start to end over all images (Huang et al.). */
struct gan_schedule {
    double gamma, lr, b2, augment;
    double ema; /* beta of one step: 0.5^(batch / half-life) */
};

/* classes, channels: of the data set. ERR_CONFIG, naming the key. Sizes: the side is halved while
 * it is even and at least 8; that many stages there are. */
int gan_design(struct net_design *design, const struct config *config, int classes, int channels);

/* Width and height of the images. */
int gan_picture_width(const struct config *config);
int gan_picture_height(const struct config *config);

/* What images shall have by gan.channels. */
enum dataset_channels gan_channels(const struct config *config);

/* images: in the training set; t: images seen / images in all, 0..1 */
struct gan_schedule gan_schedule_at(const struct config *config, int pictures, double t);

/* gan.gamma and gan.lr, by resolution when they are -1. */
double gan_gamma(const struct config *config);
double gan_rate(const struct config *config);

#endif
