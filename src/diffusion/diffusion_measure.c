/* Samples of the averaged network against training images, in training: as many as
 * diffusion.eval_samples says. */
#include "base/error.h"
#include "config/config.h"
#include "data/dataset.h"
#include "diffusion/diffusion_draw.h"
#include "diffusion/diffusion_task.h"
#include "metrics/sample_metrics_internal.h"

#include <math.h>
#include <stdlib.h>

enum { MEASURE_SEED = 1 };

struct measured_images {
    uint8_t *samples;       /* [count] */
    const uint8_t **pixels; /* training images, held-out ones, samples */
    struct diffusion_wish *wishes;
    int count, held;
    size_t image; /* bytes */
};

void diffusion_measure_forget(struct sample_metrics *m)
{
    const double unknown = (double)NAN;
    *m = (struct sample_metrics){unknown, unknown, unknown, unknown,
                                 unknown, unknown, unknown, unknown};
}

static int measure_allocate(struct measured_images *m)
{
    size_t count = (size_t)m->count;
    m->samples = malloc(count * m->image + 1);
    m->pixels = calloc(2 * count + (size_t)m->held + 1, sizeof *m->pixels);
    m->wishes = calloc(count + 1, sizeof *m->wishes);
    bool is_there = m->samples && m->pixels && m->wishes;
    return is_there ? OK : fail(ERR_SYSTEM, "out of memory for %d samples", m->count);
}

/* Samples are of seeds 0, 1, ..., and of the classes of the images that they are compared with. */
static void measure_list(const struct task_state *s, struct measured_images *m)
{
    const struct dataset *set = s->data.set;
    for (int i = 0; i < m->held; i++)
        m->pixels[m->count + i] = dataset_held(set, i).pixels;
    for (int i = 0; i < m->count; i++) {
        const struct dataset_item item =
            dataset_train(set, metrics_spread(i, m->count, dataset_train_count(set)));
        bool is_text = s->data.captions;
        m->pixels[i] = item.pixels;
        m->pixels[m->count + m->held + i] = m->samples + (size_t)i * m->image;
        m->wishes[i] =
            (struct diffusion_wish){.seed = (uint64_t)i,
                                    .label = s->data.classes ? item.label : -1,
                                    .text = is_text ? dataset_class_name(set, item.label) : NULL};
    }
}

static int measure_draw(struct task_state *s, const struct measured_images *m)
{
    int at_once = (int)s->config->diffusion.samples;
    for (int first = 0; first < m->count; first += at_once) {
        int some = m->count - first < at_once ? m->count - first : at_once;
        uint8_t *to = m->samples + (size_t)first * m->image;
        TRY(diffusion_draw_wishes(s, m->wishes + first, some));
        for (size_t i = 0; i < (size_t)some * m->image; i++)
            to[i] = diffusion_byte(s->show[i]);
    }
    return OK;
}

int diffusion_measure_samples(struct task_state *s, struct sample_metrics *metrics)
{
    int wanted = (int)s->config->diffusion.eval_samples, all = dataset_train_count(s->data.set);
    int width = diffusion_shown_width(&s->design), height = diffusion_shown_height(&s->design);
    struct measured_images m = {.count = wanted < all ? wanted : all,
                                .held = dataset_held_count(s->data.set),
                                .image = (size_t)width * (size_t)height * 3};
    int code;
    TRY_CLEANUP(measure_allocate(&m));
    measure_list(s, &m);
    TRY_CLEANUP(measure_draw(s, &m));
    TRY_CLEANUP(sample_metrics_measure(metrics, (struct image_list){m.pixels, m.count},
                                       (struct image_list){m.pixels + m.count, m.held},
                                       (struct image_list){m.pixels + m.count + m.held, m.count},
                                       width, height, MEASURE_SEED, s->stop_requested));
    sample_metrics_leave_out(metrics, m.count);
cleanup:
    if (code < 0) diffusion_measure_forget(metrics);
    free(m.samples);
    free(m.pixels);
    free(m.wishes);
    return code;
}
