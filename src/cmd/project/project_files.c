/* What `imgtrain project` leaves. */
#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/format.h"
#include "cmd/project/project.h"
#include "cmd/sample/sample_make.h"
#include "image/image.h"
#include "image/premultiplied.h"
#include "store/npy.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHEET_SIDE = 128, /* an image of it at least, by a whole factor */
    SHEET_MOST = 4096 /* pixels side by side, but for a single image */
};

static const char latents_name[] = "latents.npy";

int project_check_output(const char *folder)
{
    if (!file_exists_in(folder, latents_name)) return OK;
    return fail(ERR_OUTPUT, "%s: has %s already: take another folder", folder, latents_name);
}

static int sheet_scale(const struct project *p)
{
    int side = p->w > p->h ? p->w : p->h;
    return side < SHEET_SIDE ? (SHEET_SIDE + side - 1) / side : 1;
}

int project_columns(const struct project *p, int images)
{
    int most = SHEET_MOST / (p->w * sheet_scale(p));
    if (most < 1) most = 1;
    return images < most ? images : most;
}

int project_sheet(const struct project *p, int first, int n, int columns, const uint8_t *drawn,
                  struct image *sheet)
{
    int scale = sheet_scale(p);
    TRY(image_create(sheet, columns * p->w * scale, 2 * p->h * scale, 3, SAMPLE_U8));
    uint8_t *shown = malloc((size_t)p->w * (size_t)p->h * 3);
    if (!shown) {
        image_free(sheet);
        return fail(ERR_SYSTEM, "out of memory");
    }
    for (int i = 0; i < n; i++) {
        premultiplied_show_all(shown, p->images[first + i].target, p->channels, p->w, p->h);
        sample_paste(sheet, i * p->w * scale, 0, shown, p->w, p->h, scale);
        premultiplied_show_all(shown, drawn + (ptrdiff_t)i * project_image_bytes(p), p->channels,
                               p->w, p->h);
        sample_paste(sheet, i * p->w * scale, p->h * scale, shown, p->w, p->h, scale);
    }
    free(shown);
    return OK;
}

static int write_image(const struct project *p, const char *kind, int number, const uint8_t *pixels)
{
    struct image image;
    char name[48];
    TRY(image_create(&image, p->w, p->h, p->channels, SAMPLE_U8));
    memcpy(image.data, pixels, (size_t)project_image_bytes(p));
    premultiplied_divide(image.data, (size_t)p->w * (size_t)p->h, p->channels);
    snprintf(name, sizeof name, "%s-%05d.png", kind, number);
    char *path = path_join(p->options->output, name);
    int code = path ? image_save(&image, path) : ERR_SYSTEM;
    image_free(&image);
    free(path);
    return code;
}

/* Text that `print` writes, as a file of the folder. */
static int write_text(const struct project *p, const char *name,
                      void (*print)(const struct project *p, FILE *to))
{
    struct printed_text printed = {.text = NULL};
    char *path = path_join(p->options->output, name);
    FILE *to = path ? printed_text_open(&printed) : NULL;
    int code = to ? OK : ERR_SYSTEM;
    if (to) {
        print(p, to);
        code = printed_text_close(&printed, to);
    }
    if (code == OK) code = file_atomic_write_whole(path, printed.text, printed.bytes, false);
    free(printed.text);
    free(path);
    return code;
}

/* Length of a latent beside that of a normal one, sqrt(z). */
static double latent_length(const struct project *p, int i)
{
    double sum = 0;
    for (int k = 0; k < p->z; k++)
        sum += pow((double)p->latents[(ptrdiff_t)i * p->z + k], 2);
    return sqrt(sum / p->z);
}

static void print_images(const struct project *p, FILE *to)
{
    fprintf(to, "row,class,seed,psnr_nearest,psnr_latent,psnr,length,set,psnr_training,image\n");
    for (int i = 0; i < p->count; i++) {
        const struct project_image *image = &p->images[i];
        fprintf(to, "%d,%d,%" PRIu64 ",%.3f,%.3f,%.3f,%.3f,%c,", i, p->labels[i], image->seed,
                image->nearest, image->psnr[p->options->steps], image->psnr[project_steps(p)],
                latent_length(p, i), image->towards ? 'b' : 'a');
        if (p->options->held_out) fprintf(to, "%.3f", image->training);
        fputs(",\"", to);
        for (const char *c = image->path; *c; c++)
            fprintf(to, *c == '"' ? "\"\"" : "%c", *c);
        fputs("\"\n", to);
    }
}

static void print_steps(const struct project *p, FILE *to)
{
    fprintf(to, "step,part,psnr_mean");
    for (int i = 0; i < p->count; i++)
        fprintf(to, ",psnr_%d", i);
    for (int step = 0; step <= project_steps(p); step++) {
        double sum = 0;
        for (int i = 0; i < p->count; i++)
            sum += p->images[i].psnr[step];
        fprintf(to, "\n%d,%s,%.4f", step, step <= p->options->steps ? "latent" : "generator",
                sum / p->count);
        for (int i = 0; i < p->count; i++)
            fprintf(to, ",%.4f", p->images[i].psnr[step]);
    }
    fputc('\n', to);
}

static int write_latents(const struct project *p, const char *name, const float *values, int rows)
{
    char *path = path_join(p->options->output, name);
    int code = path ? npy_write(path, values, rows, p->z) : ERR_SYSTEM;
    free(path);
    return code;
}

/* From the mean latent of the first set to that of the second (as Radford et al., DCGAN, 2016). */
static int write_direction(const struct project *p)
{
    float *direction = malloc((size_t)p->z * sizeof *direction);
    if (!direction) return fail(ERR_SYSTEM, "out of memory");
    for (int k = 0; k < p->z; k++) {
        double sums[2] = {0, 0};
        for (int i = 0; i < p->count; i++)
            sums[p->images[i].towards] += (double)p->latents[(ptrdiff_t)i * p->z + k];
        direction[k] = (float)(sums[1] / p->second - sums[0] / (p->count - p->second));
    }
    int code = write_latents(p, "direction.npy", direction, 1);
    free(direction);
    return code;
}

int project_write(const struct project *p)
{
    for (int i = 0; i < p->count; i++) {
        TRY(write_image(p, "target", i, p->images[i].target));
        TRY(write_image(p, "projected", i, p->images[i].projected));
    }
    TRY(write_text(p, "projected.csv", print_images));
    TRY(write_text(p, "metrics.csv", print_steps));
    if (p->second) TRY(write_direction(p));
    return write_latents(p, latents_name, p->latents, p->count);
}
