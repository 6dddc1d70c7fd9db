/* Sums over rows, chunk by chunk, of some columns at a time: gradients of norms and gates. */
#include "base/threads.h"
#include "cpu/token/token_cpu.h"

struct token_strip_job {
    struct token_strips s;
    token_chunk_sums *sums;
    const void *work;
};

static void token_strip_parts(void *context, int64_t begin, int64_t end)
{
    const struct token_strip_job *job = context;
    const struct token_strips *s = &job->s;
    int per_sample = token_sample_rows(s->rows_per_sample, s->rows);
    for (int first = (int)begin * s->strip; first < s->width && first < (int)end * s->strip;
         first += s->strip) {
        int count = s->width - first < s->strip ? s->width - first : s->strip;
        for (int row = 0; row < s->rows; row += per_sample)
            for (int from = 0; from < per_sample; from += s->chunk) {
                int to = per_sample - from < s->chunk ? per_sample : from + s->chunk;
                job->sums(job->work, row + from, row + to, first, count);
            }
    }
}

void token_over_strips(const struct token_strips *strips, token_chunk_sums *sums, const void *work,
                       int64_t grain)
{
    struct token_strip_job job = {*strips, sums, work};
    threads_for((strips->width + strips->strip - 1) / strips->strip, grain, token_strip_parts,
                &job);
}
