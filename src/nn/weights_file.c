#include "nn/weights_file.h"

#include "base/error.h"
#include "base/log.h"
#include "store/safetensors.h"

#include <stdio.h>

enum { LISTED = 10 };

struct tensor_name {
    char text[96];
};

static struct tensor_name name_of(const char *prefix, const struct net_parameter *p)
{
    struct tensor_name name;
    snprintf(name.text, sizeof name.text, "%s%s", prefix, p->name);
    return name;
}

int weights_store(struct store_writer *writer, const char *prefix, const struct net *net,
                  const float *range)
{
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        TRY(store_add(writer, name_of(prefix, p).text, TENSOR_F32, p->dims, p->shape,
                      range + p->offset));
    }
    return OK;
}

int weights_load(const struct store_file *file, const char *prefix, const struct net *net,
                 struct store_range allowed, float *range)
{
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        TRY(store_read_float_in(file, name_of(prefix, p).text, p->dims, p->shape, allowed,
                                range + p->offset));
    }
    return OK;
}

int weights_count_fitting(const struct store_file *file, const char *prefix, const struct net *net)
{
    int count = 0;
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        count += store_expect_float(file, name_of(prefix, p).text, p->dims, p->shape) == OK;
    }
    return count;
}

int weights_take_fitting(const struct store_file *file, const char *prefix, const struct net *net,
                         struct store_range allowed, float *range,
                         void (*left)(void *context, const char *name), void *context)
{
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        struct tensor_name name = name_of(prefix, p);
        if (store_expect_float(file, name.text, p->dims, p->shape) < 0) {
            left(context, p->name);
            continue;
        }
        TRY(store_read_float_in(file, name.text, p->dims, p->shape, allowed, range + p->offset));
    }
    return OK;
}

/* The message is why. */
static void weights_say_left(void *context, const char *name)
{
    int *count = context;
    (void)name;
    if ((*count)++ < LISTED) log_info("%s: not taken", error_message());
}

int weights_load_fitting(const struct store_file *file, const char *prefix, const struct net *net,
                         struct store_range allowed, float *range)
{
    int left = 0;
    TRY(weights_take_fitting(file, prefix, net, allowed, range, weights_say_left, &left));
    log_info("%s: %d of %d tensors are taken", store_path(file), net->parameter_count - left,
             net->parameter_count);
    return OK;
}

int weights_expect(const struct store_file *file, const char *prefix, const struct net *net)
{
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        TRY(store_expect_float(file, name_of(prefix, p).text, p->dims, p->shape));
    }
    return OK;
}
