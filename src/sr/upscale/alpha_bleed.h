/* Colours of what is wholly transparent are accidents of the program that wrote the file: black or
 * green seeps into the edges of what is seen when an image is enlarged. */
#ifndef IMGTRAIN_SR_UPSCALE_ALPHA_BLEED_H
#define IMGTRAIN_SR_UPSCALE_ALPHA_BLEED_H

struct image;

/* Gives each pixel of alpha 0 within `reach` pixels of others the mean colour of those neighbours
 * that have one. Images without alpha stay as they are. ERR_SYSTEM. */
int alpha_bleed(struct image *image, int reach);

#endif
