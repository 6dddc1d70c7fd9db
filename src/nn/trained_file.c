#include "nn/trained_file.h"

#include "base/error.h"
#include "nn/weights_file.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <stdio.h>

static const struct {
    const char *prefix; /* of the tensors' names */
    bool squares;       /* not below 0 */
} trained_ranges[TRAINED_RANGES] = {
    [TRAINED_PARAMETERS] = {"", false},
    [TRAINED_MOMENTS] = {"v.", true},
    [TRAINED_EMA] = {"ema.", false},
    [TRAINED_MEANS] = {"m.", false},
};

struct trained_name {
    char text[48];
};

static struct trained_name trained_name_of(const char *head, const char *tail)
{
    struct trained_name name;
    snprintf(name.text, sizeof name.text, "%s%s", head, tail);
    return name;
}

int trained_file_store(const struct trained_net *network, struct device *device, const char *prefix,
                       const char *key, struct store_writer *writer)
{
    for (int i = 0; i < TRAINED_RANGES; i++) {
        float *view;
        if (!network->has[i]) continue;
        TRY(trained_net_pull(network, device, (enum trained_range)i, &view));
        TRY(weights_store(writer, trained_name_of(prefix, trained_ranges[i].prefix).text,
                          &network->net, view));
    }
    TRY(store_set_double(writer, trained_name_of(key, ".v_missing").text, network->v_missing));
    return store_set_double(writer, trained_name_of(key, ".m_missing").text, network->m_missing);
}

int trained_file_expect(const struct trained_net *network, const char *prefix,
                        const struct store_file *file)
{
    for (int i = 0; i < TRAINED_RANGES; i++)
        if (network->has[i])
            TRY(weights_expect(file, trained_name_of(prefix, trained_ranges[i].prefix).text,
                               &network->net));
    return OK;
}

int trained_file_load(struct trained_net *network, struct device *device, const char *prefix,
                      const char *key, const struct store_file *file)
{
    const struct store_range share = {0, 1};
    for (int i = 0; i < TRAINED_RANGES; i++) {
        enum trained_range range = (enum trained_range)i;
        if (!network->has[i]) continue;
        TRY(weights_load(file, trained_name_of(prefix, trained_ranges[i].prefix).text,
                         &network->net,
                         trained_ranges[i].squares ? store_not_negative() : store_finite(),
                         trained_net_view(network, range)));
        TRY(trained_net_push(network, device, range));
    }
    TRY(store_get_double_in(file, trained_name_of(key, ".v_missing").text, share,
                            &network->v_missing));
    return store_get_double_in(file, trained_name_of(key, ".m_missing").text, share,
                               &network->m_missing);
}
