/* How many rows go through each matrix, and what that costs. */
#include "diffusion/dit/s3dit.h"

int s3dit_matrix_rows(const struct s3dit_model *model, const struct s3dit_size *size, int block,
                      int slot)
{
    int patch = model->config.patch, own = size->height / patch * (size->width / patch);
    int image = s3dit_padded(own), text = s3dit_padded(size->text_rows);
    enum s3dit_part part = s3dit_part_of(model, block);
    if (part == S3DIT_EMBED)
        return slot == S3DIT_X_WEIGHT ? image : slot == S3DIT_TEXT_WEIGHT ? size->text_rows : 1;
    if (part == S3DIT_FINAL) return slot == S3DIT_FINAL_WEIGHT ? own : 1;
    if (slot == S3DIT_MODULATION_WEIGHT) return 1;
    if (part == S3DIT_NOISE_REFINER) return image;
    return part == S3DIT_CONTEXT_REFINER ? text : image + text;
}

double s3dit_macs(const struct s3dit_model *model, const struct s3dit_size *size, bool whole)
{
    double macs = 0;
    for (int i = 0; i < model->list.tensor_count; i++) {
        const struct block_tensor *t = &model->list.tensors[i];
        enum s3dit_part part = s3dit_part_of(model, t->block);
        bool is_end = part == S3DIT_EMBED || part == S3DIT_FINAL;
        if (!t->is_matrix) continue;
        if (!whole && (is_end || t->slot == S3DIT_MODULATION_WEIGHT)) continue;
        double rows = s3dit_matrix_rows(model, size, t->block, t->slot);
        macs += rows * (double)t->count;
        /* Each token with each, twice: how much it matters, and the sum. */
        if (!is_end && t->slot == S3DIT_Q) macs += 2 * rows * rows * model->config.dim;
    }
    return macs;
}
