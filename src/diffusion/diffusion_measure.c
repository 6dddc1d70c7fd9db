/* Samples of the averaged network against training images, in training: as many as
 * diffusion.eval_samples says. */
#include "base/error.h"
#include "config/config.h"
#include "diffusion/compared_images.h"
#include "diffusion/diffusion_task.h"

#include <math.h>

void diffusion_measure_forget(struct sample_metrics *m)
{
    const double unknown = (double)NAN;
    *m = (struct sample_metrics){unknown, unknown, unknown, unknown,
                                 unknown, unknown, unknown, unknown};
}

static int measure_draw(struct task_state *s, const struct compared_images *c)
{
    int at_once = (int)s->config->diffusion.samples;
    for (int first = 0; first < c->count; first += at_once) {
        int some = c->count - first < at_once ? c->count - first : at_once;
        uint8_t *to = c->samples + (size_t)first * c->image;
        TRY(diffusion_draw_wishes(s, c->wishes + first, some));
        for (size_t i = 0; i < (size_t)some * c->image; i++)
            to[i] = diffusion_byte(s->show[i]);
    }
    return OK;
}

int diffusion_measure_samples(struct task_state *s, struct sample_metrics *metrics)
{
    struct compared_images c;
    int code = compared_images_open(
        &c, s->data.set, (int)s->config->diffusion.eval_samples, diffusion_shown_width(&s->design),
        diffusion_shown_height(&s->design), s->data.classes > 0, s->data.captions);
    if (code == OK) code = measure_draw(s, &c);
    if (code == OK) code = compared_images_measure(&c, metrics, s->stop_requested);
    if (code == OK)
        sample_metrics_leave_out(metrics, c.count);
    else
        diffusion_measure_forget(metrics);
    compared_images_close(&c);
    return code;
}
