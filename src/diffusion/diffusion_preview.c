/* What is seen of a network in training: images of fixed seeds, drawn by its average, as `imgtrain
 * generate` draws them from the finished model. */
#include "base/error.h"
#include "config/config.h"
#include "data/dataset.h"
#include "device/device.h"
#include "diffusion/diffusion_draw.h"
#include "diffusion/diffusion_task.h"
#include "image/contact_sheet.h"
#include "image/image.h"
#include "task/task.h"

#include <stdlib.h>

/* Images are shown as RGB, whatever channels the network has. */
static size_t preview_image_floats(const struct task_state *s)
{
    return (size_t)diffusion_shown_width(&s->design) * (size_t)diffusion_shown_height(&s->design) *
           3;
}

size_t diffusion_show_floats(const struct task_state *s)
{
    return (size_t)s->config->diffusion.samples * preview_image_floats(s);
}

/* ---- samples ---- */

static int preview_predict(void *context, int n, float *out)
{
    struct task_state *s = context;
    return diffusion_core_predict(s->core, n, out);
}

/* Grey pixels, which lie close together, three times; from the last one on, as they lie in the way.
 */
static void preview_as_rgb(const struct task_state *s, float *images, size_t pixels)
{
    bool grey = diffusion_is_grey(&s->design);
    for (size_t i = pixels; i-- > 0 && grey;)
        images[i * 3] = images[i * 3 + 1] = images[i * 3 + 2] = images[i];
}

int diffusion_draw_wishes(struct task_state *s, const struct diffusion_wish *wishes, int n)
{
    int micro = s->core->mode.micro, code = s->device->synchronize(s->device);
    const struct diffusion_drawing drawing = {
        .width = s->design.width,
        .height = s->design.height,
        .channels = s->design.dit.channels,
        .conditions = s->design.conditions,
        .steps = (int)s->config->diffusion.sample_steps,
        .guidance = s->data.classes ? s->config->diffusion.guidance : 0,
        .shift = s->config->diffusion.shift,
        .in = diffusion_core_samples(s->core),
        .out = s->predicted,
        .without = s->guiding,
        .predict = preview_predict,
        .context = s,
    };
    for (int first = 0; first < n && code == OK; first += micro) {
        float *to = s->codec ? s->drawn + (size_t)first * diffusion_image_floats(&s->design)
                             : s->show + (size_t)first * preview_image_floats(s);
        int some = n - first < micro ? n - first : micro;
        code = diffusion_draw(&drawing, wishes + first, some, to);
        preview_as_rgb(s, to, (size_t)some * preview_image_floats(s) / 3);
    }
    return code == OK && s->codec ? diffusion_decode_drawn(s, n) : code;
}

/* Of seeds 0, 1, ...; classes or texts take turns. */
static int preview_draw(struct task_state *s)
{
    int total = (int)s->config->diffusion.samples, classes = s->data.classes;
    struct diffusion_wish *wishes = calloc((size_t)total, sizeof *wishes);
    if (!wishes) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < total; i++) {
        int label = classes ? i % classes : -1;
        bool is_text = s->data.captions && label >= 0;
        wishes[i] = (struct diffusion_wish){.seed = (uint64_t)i,
                                            .label = label,
                                            .text = is_text ? dataset_class_name(s->data.set, label)
                                                            : NULL};
    }
    int code = diffusion_draw_wishes(s, wishes, total);
    free(wishes);
    return code;
}

/* ---- images ---- */

/* Numbers of -1..1, as the network has them, as those of a contact sheet, which become the same
 * bytes. */
static void preview_as_sheet(float *images, size_t count)
{
    for (size_t i = 0; i < count; i++)
        images[i] = (float)diffusion_byte(images[i]) / 128 - 1;
}

static int preview_sheet(const struct task_state *s, int max_side, struct image *image)
{
    preview_as_sheet(s->show, diffusion_show_floats(s));
    return contact_sheet_draw(image, s->show, (int)s->config->diffusion.samples,
                              diffusion_shown_width(&s->design), diffusion_shown_height(&s->design),
                              3, max_side);
}

int diffusion_frame(struct task_state *s, int max_side, struct image *image)
{
    TRY(preview_draw(s));
    return preview_sheet(s, max_side, image);
}

/* The first training image from `from` on that is of class `label` (below 0: of any). */
static int preview_find_image(const struct task_state *s, int label, int from)
{
    int count = dataset_train_count(s->data.set);
    for (int k = 0; k < count; k++)
        if (label < 0 || dataset_train(s->data.set, (from + k) % count).label == label)
            return (from + k) % count;
    return from % count;
}

/* Training images, of the classes that stand at their places in a frame. */
int diffusion_reference(struct task_state *s, int max_side, struct image *image)
{
    int total = (int)s->config->diffusion.samples, classes = s->data.classes;
    int apart = classes ? classes : 1; /* cells of one class */
    size_t one = preview_image_floats(s);
    int *at = calloc((size_t)total, sizeof *at);
    if (!at) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < total; i++) {
        at[i] =
            preview_find_image(s, classes ? i % classes : -1, i < apart ? 0 : at[i - apart] + 1);
        struct dataset_item item = dataset_train(s->data.set, at[i]);
        dataset_item_values(s->data.set, &item, s->show + (size_t)i * one);
    }
    free(at);
    return preview_sheet(s, max_side, image);
}

/* Unlike a frame it is made by the next run where a stop leaves it out. */
int diffusion_write_final(struct task_state *s, const char *path)
{
    struct image image = {0};
    s->core->stop_requested = s->stop_requested;
    int code = diffusion_frame(s, 0, &image);
    s->core->stop_requested = NULL;
    if (code == OK) code = image_save(&image, path);
    image_free(&image);
    return code;
}

int diffusion_image_size(const struct task_state *s, int max_side, int *width, int *height)
{
    contact_sheet_size((int)s->config->diffusion.samples, diffusion_shown_width(&s->design),
                       diffusion_shown_height(&s->design), max_side, width, height);
    return OK;
}
