/* What a network is told of a number (a level of noise, a guidance): cosines and sines. */
#ifndef IMGTRAIN_DIFFUSION_BLOCKS_TIME_FEATURES_H
#define IMGTRAIN_DIFFUSION_BLOCKS_TIME_FEATURES_H

enum { TIME_FEATURES = 256 };

/* Of n numbers, each times `scale`: features [n][TIME_FEATURES], cosines first. */
void time_features(const float *numbers, int n, float scale, float *features);

#endif
