/* Counts of what the host asked for, and their prices. */
#include "emu_counts.h"

#include "emu_stream.h"

#include <stdlib.h>
#include <string.h>

static struct emu_counts all;
static long long tensor_products;

static const struct {
    const char *name;
    double price; /* nanoseconds each */
    bool of_bytes;
} kinds[] = {
#define EMU_COUNT_KIND(name, price) {#name, price, price > 0 && price < 1},
    EMU_COUNTS(EMU_COUNT_KIND)
#undef EMU_COUNT_KIND
};
enum { KINDS = sizeof kinds / sizeof *kinds };
static_assert(sizeof(struct emu_counts) == KINDS * sizeof(long long), "one number a kind");

struct emu_counts *emu_counting(cudaStream_t stream)
{
    const struct emu_stream *s = emu_stream_of(stream);
    return s->recording ? emu_graph_counts(s->recording) : &all;
}

void emu_count_graph(const struct emu_counts *graph)
{
    all.graph_launches++;
    all.graph_kernels += graph->launches;
    all.bytes_in += graph->bytes_in;
    all.bytes_out += graph->bytes_out;
    all.bytes_within += graph->bytes_within;
}

/* With IMGTRAIN_EMU="counts=1", what the whole process has asked for. */
static void print_at_exit(void)
{
    emu_counts_print(stderr, "host calls", &all);
}

__attribute__((constructor)) static void print_if_asked(void)
{
    const char *text = getenv("IMGTRAIN_EMU"); /* a test may still set it: not by emu_settings */
    if (text && strstr(text, "counts=1")) atexit(print_at_exit);
}

struct emu_counts emu_counts_now(void)
{
    return all;
}

void emu_count_tensor_product(void)
{
    tensor_products++;
}

long long emu_tensor_products(void)
{
    return tensor_products;
}

static long long *number(struct emu_counts *counts, int kind)
{
    return reinterpret_cast<long long *>(counts) + kind;
}

struct emu_counts emu_counts_since(const struct emu_counts *before)
{
    struct emu_counts from = *before, used = all;
    for (int i = 0; i < KINDS; i++)
        *number(&used, i) -= *number(&from, i);
    return used;
}

long long emu_waits(const struct emu_counts *c)
{
    return c->stream_waits + c->event_waits + c->device_waits + c->pageable_copies +
           c->device_frees + c->pinned_frees;
}

static double price_of(int kind)
{
    char key[64];
    const char *text = getenv("IMGTRAIN_EMU");
    snprintf(key, sizeof key, "ns_%s=", kinds[kind].name);
    const char *at = text ? strstr(text, key) : NULL;
    if (!at) return kinds[kind].price;
    return static_cast<double>(atoll(at + strlen(key))) / (kinds[kind].of_bytes ? 1000 : 1);
}

double emu_milliseconds(const struct emu_counts *counts)
{
    struct emu_counts copy = *counts;
    double nanoseconds = 0;
    for (int i = 0; i < KINDS; i++)
        nanoseconds += static_cast<double>(*number(&copy, i)) * price_of(i);
    return nanoseconds * 1e-6;
}

void emu_counts_print(FILE *file, const char *title, const struct emu_counts *counts)
{
    struct emu_counts copy = *counts;
    fprintf(file, "%s:", title);
    for (int i = 0; i < KINDS; i++)
        if (*number(&copy, i)) fprintf(file, " %s %lld,", kinds[i].name, *number(&copy, i));
    fprintf(file, " emulated %.3f ms\n", emu_milliseconds(counts));
}
