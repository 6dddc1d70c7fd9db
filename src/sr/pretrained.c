#include "sr/pretrained.h"

#include "base/error.h"
#include "base/file.h"
#include "config/config.h"
#include "nn/trained_net.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"

#include <string.h>

int sr_pretrained_open(struct store_file **file, const char *path)
{
    return file_is_dir(path) ? checkpoint_open(path, file) : store_open(file, path);
}

const char *sr_pretrained_prefix(const struct store_file *file)
{
    /* Other programs leave the wrapper of a network in its names. */
    static const char *const prefixes[] = {"ema.",        "",       "module.", "netG.",
                                           "params_ema.", "params."};
    struct sr_design design;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (sr_network_detect(&design, file, prefixes[i])) return prefixes[i];
    return "";
}

static int require_same_design(const struct store_file *file, const struct sr_design *wanted)
{
    struct sr_design d;
    TRY(sr_network_require(&d, file, sr_pretrained_prefix(file)));
    if (sr_design_equal(&d, wanted)) return OK;
    return fail(ERR_DATA,
                "%s is a %s of %dx, and %s of %dx is to be trained; sr.strict_load=false takes the "
                "tensors that fit",
                store_path(file), sr_design_text(&d).text, d.scale, sr_design_text(wanted).text,
                wanted->scale);
}

int sr_pretrained_check(const struct config *config, const struct sr_design *design)
{
    struct store_file *file = NULL;
    struct net net = {0};
    int code = OK;
    if (!*config->sr.pretrain_g) return OK;
    TRY_CLEANUP(sr_network_build(&net, design, 1, 1, 0));
    TRY_CLEANUP(sr_pretrained_open(&file, config->sr.pretrain_g));
    const char *prefix = sr_pretrained_prefix(file);
    if (config->sr.strict_load) {
        TRY_CLEANUP(require_same_design(file, design));
        TRY_CLEANUP(sr_network_expect(design, &net, file, prefix));
    } else {
        int fitting;
        TRY_CLEANUP(sr_network_count_fitting(design, &net, file, prefix, &fitting));
        if (fitting == 0) code = fail(ERR_DATA, "%s: none of its tensors fits", store_path(file));
    }
cleanup:
    store_close(file);
    net_free(&net);
    return code < 0 ? fail_within(code, "sr.pretrain_g") : OK;
}

int sr_pretrained_load(const struct config *config, const struct sr_design *design,
                       struct trained_net *net)
{
    struct store_file *file;
    if (!*config->sr.pretrain_g) return OK;
    float *parameters = trained_net_view(net, TRAINED_PARAMETERS);
    TRY(sr_pretrained_open(&file, config->sr.pretrain_g));
    const char *prefix = sr_pretrained_prefix(file);
    int code =
        config->sr.strict_load
            ? sr_network_load(design, &net->net, file, prefix, store_finite(), parameters)
            : sr_network_load_fitting(design, &net->net, file, prefix, store_finite(), parameters);
    store_close(file);
    if (code < 0) return fail_within(code, "sr.pretrain_g");
    memcpy(trained_net_view(net, TRAINED_EMA), parameters, net->net.floats * sizeof(float));
    return OK;
}
