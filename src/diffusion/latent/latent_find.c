#include "diffusion/latent/latent_find.h"

#include "base/error.h"
#include "base/file.h"
#include "store/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* model/vae in the folder of the file, or in the one above (malloc); NULL without memory. */
static char *latent_beside(const char *path)
{
    const char *slash = strrchr(path, '/');
    int length = slash ? (int)(slash - path + 1) : 0;
    char *beside = string_format("%.*smodel/vae", length, path);
    if (!beside || file_exists_in(beside, "config.json")) return beside;
    char *above = string_format("%.*s../model/vae", length, path);
    if (above && file_exists_in(above, "config.json")) {
        free(beside);
        return above;
    }
    free(above);
    return beside;
}

/* A file's shape may claim what its autoencoder is not. */
static int latent_compare(const struct kl_folder *vae, const char *path,
                          const struct latent_wanted *wanted)
{
    int channels = vae->config.latent_channels, factor = kl_factor(&vae->config);
    uint64_t identity = kl_folder_identity(vae);
    if (identity != wanted->identity)
        return fail(ERR_DATA,
                    "%s: not the autoencoder that %s was trained with (%016" PRIx64
                    ", not %016" PRIx64 ")",
                    vae->path, path, identity, wanted->identity);
    if (channels == wanted->channels && factor == wanted->factor) return OK;
    return fail(ERR_DATA,
                "%s: latents of %d channels for %d pixels of a side, but %s makes %d for %d", path,
                wanted->channels, wanted->factor, vae->path, channels, factor);
}

int latent_find_vae(struct kl_folder *vae, const struct store_file *model,
                    const struct latent_wanted *wanted, const char *other)
{
    const char *path = store_path(model);
    char *beside = latent_beside(path);
    *vae = (struct kl_folder){.path = NULL};
    if (!beside) return ERR_SYSTEM;
    bool is_beside = file_exists_in(beside, "config.json");
    int code = OK;
    if (!is_beside && !file_exists(other))
        code = fail(ERR_INPUT, "%s: its autoencoder is neither in %s nor at %s", path, beside,
                    other[0] ? other : "the place that its config names");
    if (code == OK) code = kl_folder_open(vae, is_beside ? beside : other);
    if (code == OK) code = latent_compare(vae, path, wanted);
    free(beside);
    return code;
}
