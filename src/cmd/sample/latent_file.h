/* A file of latents: .npy, or text with a row of numbers a line. */
#ifndef IMGTRAIN_CMD_LATENT_FILE_H
#define IMGTRAIN_CMD_LATENT_FILE_H

struct latent_file {
    float *values; /* [count][z], owned */
    int count, z;
};

/* Text: numbers between commas, semicolons or blanks; lines that are empty or begin with # count
 * for nothing. ERR_INPUT, ERR_DATA with line and column. */
int latent_file_read(struct latent_file *latents, const char *path);
void latent_file_free(struct latent_file *latents); /* accepts a zeroed struct */

#endif
