#include "diffusion/vae/kl_folder_write.h"

#include "base/error.h"
#include "diffusion/vae/kl_file.h"

int kl_folder_write(const struct kl_folder *vae, int side, const char *folder)
{
    const struct kl_config *config = &vae->config;
    struct store_writer *writer = store_writer_create();
    struct net net = {.layer_count = 0};
    int moments, factor = kl_factor(config);
    int code = writer ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = kl_build_training(&net, config, factor, factor, &moments);
    for (int i = 0; i < net.parameter_count && code == OK; i++) {
        const struct net_parameter *p = &net.parameters[i];
        const struct store_tensor *tensor = vae->weights[i]; /* whatever its name there */
        code = store_add(writer, p->name, tensor->type, p->dims, p->shape, tensor->data);
    }
    if (code == OK)
        code =
            kl_write_component(folder, config, vae->sample_size ? vae->sample_size : side, writer);
    net_free(&net);
    store_writer_free(writer);
    return code;
}
