#include "sr/sr_losses.h"

#include "base/error.h"
#include "config/config.h"
#include "device/device.h"
#include "memory/plan.h"
#include "sr/discriminator/sr_gan_files.h"

#include <math.h>
#include <stdio.h>

/* In the order of enum sr_term. */
static const struct {
    const char *name;
    bool always_shown; /* image_loss sums it up anyway */
    size_t weight;     /* where its key is in struct config */
} sr_terms[SR_TERMS] = {
    [SR_TERM_L1] = {"l1", true, offsetof(struct config, sr.l1_weight)},
    [SR_TERM_CHARBONNIER] = {"charbonnier", true, offsetof(struct config, sr.charbonnier_weight)},
    [SR_TERM_MSE] = {"mse", true, offsetof(struct config, sr.mse_weight)},
};

const char *sr_term_name(enum sr_term term)
{
    return sr_terms[term].name;
}

bool sr_term_is_shown(const struct sr_loss_choices *choices, int term)
{
    return sr_terms[term].always_shown || choices->weight[term] > 0;
}

struct sr_loss_choices sr_losses_of(const struct config *config)
{
    struct sr_loss_choices choices = {.grad_clip = config->sr.grad_clip, .gan = sr_gan_of(config)};
    for (int t = 0; t < SR_TERMS; t++)
        choices.weight[t] = *(const double *)((const char *)config + sr_terms[t].weight);
    return choices;
}

void sr_losses_describe(const struct sr_loss_choices *choices, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int t = 0; t < SR_TERMS && used < size; t++)
        if (choices->weight[t] > 0)
            used += (size_t)snprintf(text + used, size - used, "%s%g %s", used ? " + " : "",
                                     choices->weight[t], sr_terms[t].name);
}

int sr_losses_phases(const struct sr_loss_choices *choices)
{
    (void)choices;
    return 1;
}

/* Sums lie as the operations write them: those of image_loss for each patch, then an array for each
 * other term; behind them the gradient's square. */
int sr_losses_other_sums(const struct sr_losses *losses)
{
    return losses->shape.batch * SR_TERMS + 1;
}

int sr_losses_sum_count(const struct sr_losses *losses)
{
    return sr_losses_other_sums(losses) + losses->shape.other_sums;
}

int sr_losses_declare(struct sr_losses *losses, const struct sr_loss_choices *choices,
                      const struct sr_loss_shape *shape, struct device *device, int phase,
                      struct plan *plan)
{
    (void)phase;
    losses->device = device;
    losses->choices = *choices;
    losses->shape = *shape;
    return plan_declare(plan, "sums", PLAN_DATA,
                        (size_t)sr_losses_sum_count(losses) * sizeof(double), PLAN_ALWAYS,
                        (void **)&losses->sums);
}

void sr_losses_close(struct sr_losses *losses)
{
    (void)losses;
}

static size_t patch_numbers(const struct sr_losses *losses)
{
    return (size_t)losses->shape.side * (size_t)losses->shape.side * 3;
}

int sr_losses_queue(struct sr_losses *losses, int first, int n, const float *out,
                    const float *target, float *grad)
{
    struct nn_image_loss loss = {.sums = losses->sums + (ptrdiff_t)first * NN_LOSS_TERMS,
                                 .grad = grad,
                                 .out = out,
                                 .target = target,
                                 .n = n,
                                 .count = patch_numbers(losses)};
    double numbers = (double)losses->shape.batch * (double)loss.count;
    for (int t = 0; t < NN_LOSS_TERMS; t++)
        loss.weight[t] = (float)((double)(float)losses->choices.weight[t] / numbers);
    return losses->device->nn->image_loss(losses->device, &loss);
}

int sr_losses_clip(struct sr_losses *losses, float *gradients, size_t count)
{
    if (!(losses->choices.grad_clip > 0)) return OK;
    return losses->device->nn->clip_norm(losses->device, gradients, count,
                                         losses->choices.grad_clip,
                                         losses->sums + (ptrdiff_t)losses->shape.batch * SR_TERMS);
}

void sr_losses_report(const struct sr_losses *losses, const double *sums, struct sr_report *report)
{
    double numbers = (double)losses->shape.batch * (double)patch_numbers(losses);
    *report = (struct sr_report){.grad_norm = sqrt(sums[losses->shape.batch * SR_TERMS])};
    for (int i = 0; i < losses->shape.batch; i++)
        for (int t = 0; t < NN_LOSS_TERMS; t++)
            report->term[t] += sums[i * NN_LOSS_TERMS + t];
    for (int t = 0; t < NN_LOSS_TERMS; t++) {
        report->term[t] /= numbers;
        report->loss += (double)(float)losses->choices.weight[t] * report->term[t];
    }
}
