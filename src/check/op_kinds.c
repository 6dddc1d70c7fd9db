/* The one list of all operations that have cases. */
#include "check/op_kinds.h"

#include <string.h>

const struct op_kind *const op_kinds[] = {
    /* nn_ops */
    &op_conv_forward, &op_conv_dgrad, &op_conv_wgrad, &op_bias_grad, &op_fir_up, &op_fir_down,
    &op_spatial_map_expand, &op_spatial_map_contract, &op_spatial_map_grad, &op_embed_gather,
    &op_embed_grad, &op_project, &op_project_dgrad, &op_project_grad, &op_from_u8, &op_scale_add,
    &op_strided_copy, &op_prelu_forward, &op_prelu_dgrad, &op_prelu_grad, &op_prelu_conv_forward,
    &op_prelu_conv_dgrad, &op_prelu_conv_wgrad, &op_pointwise_forward, &op_pointwise_dgrad,
    &op_image_loss, &op_zero, &op_copy, &op_adam, &op_ema, &op_norm2, &op_clip_norm, &op_mask_slope,
    &op_score_loss, &op_spectral_norm, &op_spectral_grad, &op_reduced_loss, &op_ssim_loss,
    &op_fft_loss, &op_hsluv_loss, &op_max_pool_forward, &op_max_pool_dgrad, &op_group_norm_sums,
    &op_group_norm_forward, &op_group_norm_slopes, &op_group_norm_dgrad, &op_group_norm_grad,
    &op_softmax_forward, &op_softmax_dgrad, &op_latent_sample, &op_latent_dgrad, &op_latent_kl,
    /* gan_ops */
    &op_augment, &op_augment_adjoint, &op_square_sums, &op_pair_loss, &op_penalty,
    &op_penalty_check,
    /* token_ops */
    &op_linear_forward, &op_linear_dgrad, &op_linear_wgrad, &op_norm_forward, &op_norm_backward,
    &op_gate_forward, &op_gate_backward, &op_rope, &op_swiglu_forward, &op_swiglu_backward,
    &op_geglu_forward, &op_attention_forward, &op_attention_backward, &op_embedding_gather,
    &op_embedding_grad, &op_pads_set, &op_pads_backward,
    /* splat_ops */
    &op_splat_step, &op_splat_evaluate, &op_splat_render, &op_splat_show, &op_splat_importance,
    &op_splat_adam, &op_splat_fake_quantize, &op_splat_train, &op_splat_sample, NULL};

const struct op_kind *op_kind_find(const char *name)
{
    for (int i = 0; op_kinds[i]; i++)
        if (strcmp(op_kinds[i]->name, name) == 0) return op_kinds[i];
    return NULL;
}
