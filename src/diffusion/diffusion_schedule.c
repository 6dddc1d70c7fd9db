#include "diffusion/diffusion_schedule.h"

#include "config/config.h"
#include "math/cosine.h"

#include <math.h>

enum { MEASUREMENTS = 20 };

bool diffusion_is_latent(const struct config *config)
{
    return config->diffusion.space == CONFIG_DIFFUSION_SPACE_LATENT;
}

int diffusion_width(const struct config *config)
{
    return (int)(config->diffusion.width > 0 ? config->diffusion.width : config->diffusion.size);
}

int diffusion_height(const struct config *config)
{
    return (int)(config->diffusion.height > 0 ? config->diffusion.height : config->diffusion.size);
}

/* The average's memory grows along with the run: at first it follows what is learned quickly. */
struct diffusion_rates diffusion_rates_at(const struct config *config, double progress,
                                          int64_t batch)
{
    double warmup = config->diffusion.warmup, lr = config->diffusion.lr;
    double step = (double)batch / fmax(1, (double)config->diffusion.images);
    double half_life = cosine_between(0, config->diffusion.ema, progress);
    lr = cosine_between(lr, lr * config->diffusion.lr_end, progress);
    if (progress < warmup) lr *= fmin(1, (progress + step) / warmup);
    return (struct diffusion_rates){
        .adam = {.lr = lr,
                 .b1 = 0.9,
                 .b2 = config->diffusion.b2,
                 .decay = config->diffusion.weight_decay},
        .ema = half_life > 0 ? pow(0.5, step / half_life) : 0,
    };
}

struct diffusion_times diffusion_times_of(const struct config *config)
{
    return (struct diffusion_times){
        .uniform = config->diffusion.timesteps == CONFIG_DIFFUSION_TIMESTEPS_UNIFORM,
        .mean = config->diffusion.logit_mean,
        .std = config->diffusion.logit_std,
        .shift = config->diffusion.shift,
    };
}

double diffusion_time_draw(const struct diffusion_times *times, const uint32_t *words)
{
    double u = ((double)words[0] + 0.5) * 0x1p-32, t = u;
    if (!times->uniform) {
        double n = sqrt(-2 * log(u)) * cos(6.283185307179586 * (double)words[1] * 0x1p-32);
        t = 1 / (1 + exp(-(times->mean + times->std * n)));
    }
    return times->shift * t / (1 + (times->shift - 1) * t);
}

int64_t diffusion_eval_every(const struct config *config, int64_t total)
{
    int64_t every = config->diffusion.eval_every, lines = config->eval_steps;
    if (every <= 0) every = total / MEASUREMENTS;
    return every <= lines ? lines : (every + lines - 1) / lines * lines;
}
