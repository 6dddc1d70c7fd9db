/* Which shapes the operations of GANs take, on whatever device. */
#include "device/gan_ops.h"

#include "base/error.h"

int gan_check_augmentation(const char *what, const struct gan_augmentation *a)
{
    if (a->n > 0 && a->h > 0 && a->w > 0 && a->c > 0) return OK;
    return fail(ERR_USAGE, "%s: no tensor of %d x %d x %d x %d", what, a->n, a->h, a->w, a->c);
}

int gan_check_pictures(const char *what, int n, int batch)
{
    if (n > 0 && batch > 0) return OK;
    return fail(ERR_USAGE, "%s: %d pictures of a batch of %d", what, n, batch);
}
