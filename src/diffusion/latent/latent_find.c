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

int latent_find_vae(struct kl_folder *vae, const struct store_file *model, uint64_t checksum,
                    const char *other)
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
    if (code == OK && vae->checksum != checksum)
        code = fail(ERR_DATA,
                    "%s: not the autoencoder that %s was trained with (%016" PRIx64
                    ", not %016" PRIx64 ")",
                    vae->path, path, vae->checksum, checksum);
    free(beside);
    return code;
}
