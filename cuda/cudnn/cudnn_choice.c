#include "cuda/cudnn/cudnn_choice.h"

#include "base/error.h"
#include "base/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Plans that are tried of a graph: what is fused is compiled first, a second or so each. */
enum { TRIED_PLAIN = 8, TRIED_FUSED = 3, TRIED_MOST = 8 };

static bool same_problem(const struct cudnn_problem *a, const struct cudnn_problem *b)
{
    return a->direction == b->direction && a->bias == b->bias && a->residual == b->residual &&
           !(a->slope < b->slope) && !(a->slope > b->slope) &&
           memcmp(&a->shape, &b->shape, sizeof a->shape) == 0; /* ints alone */
}

static bool same_key(const struct conv_key *a, const struct conv_key *b)
{
    return same_problem(&a->problem, &b->problem) && a->mask_out == b->mask_out &&
           a->mask_in == b->mask_in;
}

struct conv_choice *conv_choices_find(struct conv_choices *choices, const struct conv_key *key)
{
    for (int i = 0; i < choices->count; i++) {
        int at = (choices->next + i) % choices->count;
        if (!same_key(&choices->list[at]->key, key)) continue;
        choices->next = at + 1;
        return choices->list[at];
    }
    return NULL;
}

static struct conv_choice *cuda_cudnn_choice_add(struct conv_choices *c, const struct conv_key *key)
{
    struct conv_choice *choice = calloc(1, sizeof *choice);
    if (!choice) return NULL;
    if (c->count == c->room) {
        int room = c->room ? 2 * c->room : 64;
        struct conv_choice **list = realloc(c->list, (size_t)room * sizeof(struct conv_choice *));
        if (!list) {
            free(choice);
            return NULL;
        }
        c->list = list;
        c->room = room;
    }
    choice->key = *key;
    c->list[c->count++] = choice;
    return choice;
}

static void cuda_cudnn_choice_drop(const struct conv_choices *c, struct conv_choice *choice)
{
    cudnn_plan_free(&c->cudnn, &choice->plan);
    cudnn_graph_free(&c->cudnn, &choice->graph);
    choice->ready = false;
}

void conv_choices_give_up(struct conv_choices *c, struct conv_choice *choice)
{
    cuda_cudnn_choice_drop(c, choice);
    choice->mode = CONV_NATIVE;
}

void conv_choices_forget(struct conv_choices *c)
{
    while (c->count > 0) {
        struct conv_choice *choice = c->list[--c->count];
        cuda_cudnn_choice_drop(c, choice);
        free(choice);
    }
    free(c->list);
    c->list = NULL;
    c->room = c->next = c->learnt = 0;
}

/* ---- choosing ---- */

static struct cudnn_problem problem_of(const struct conv_key *key, enum conv_mode mode)
{
    struct cudnn_problem p = key->problem;
    if (mode == CONV_FUSED) return p;
    p.bias = p.residual = false;
    p.slope = 1;
    return p;
}

/* An engine that was found for the same graph with other masks. */
static const struct cudnn_engine *
known_engine(const struct conv_choices *c, const struct cudnn_problem *problem, enum conv_mode mode)
{
    for (int i = 0; i < c->count; i++) {
        const struct conv_choice *other = c->list[i];
        if (!other->ready || other->mode != mode) continue;
        struct cudnn_problem p = problem_of(&other->key, mode);
        if (same_problem(&p, problem)) return &other->plan.engine;
    }
    return NULL;
}

static int cuda_cudnn_choice_candidates(const struct conv_choices *c, const struct conv_key *key,
                                        enum conv_mode mode, struct cudnn_graph *graph,
                                        struct cudnn_plan *plans)
{
    struct cudnn_problem problem = problem_of(key, mode);
    const struct cudnn_engine *known = known_engine(c, &problem, mode);
    int count = 0, most = mode == CONV_FUSED ? TRIED_FUSED : TRIED_PLAIN;
    if (c->cudnn.deterministic) most = 1;
    if (cudnn_graph_build(&c->cudnn, &problem, graph) < 0) return 0;
    if (known && cudnn_plan_of(&c->cudnn, graph, c->workspace, known, &plans[0]) == OK) return 1;
    if (cudnn_plans(&c->cudnn, graph, c->workspace, plans, most, &count) < 0) count = 0;
    return count;
}

/* Tries one way; what is faster than *best takes its place. */
static void try_mode(const struct conv_choices *c, struct conv_choice *best, float *best_time,
                     enum conv_mode mode, conv_trial *trial, void *context)
{
    struct cudnn_plan plans[TRIED_MOST];
    struct conv_choice one = {.key = best->key, .mode = mode, .ready = true};
    int count = cuda_cudnn_choice_candidates(c, &best->key, mode, &one.graph, plans), taken = -1;
    for (int i = 0; i < count; i++) {
        float time = 0; /* deterministic: by no clock */
        one.plan = plans[i];
        if (!c->cudnn.deterministic && trial(context, &one, &time) < 0) continue;
        if (!(time < *best_time)) continue;
        *best_time = time;
        taken = i;
    }
    for (int i = 0; i < count; i++)
        if (i != taken) cudnn_plan_free(&c->cudnn, &plans[i]);
    if (taken < 0) {
        cudnn_graph_free(&c->cudnn, &one.graph);
        return;
    }
    one.plan = plans[taken];
    cuda_cudnn_choice_drop(c, best);
    *best = one;
}

struct conv_choice *conv_choices_learn(struct conv_choices *c, const struct conv_key *key,
                                       conv_trial *trial, void *context)
{
    struct conv_choice *choice = cuda_cudnn_choice_add(c, key);
    float best = 1e30f;
    if (!choice) return NULL;
    c->learnt++;
    if (c->use == CONV_AUTO && trial(context, choice, &best) < 0) best = 1e30f;
    try_mode(c, choice, &best, CONV_PLAIN, trial, context);
    bool fuses = cudnn_problem_is_fused(&key->problem) && !c->cudnn.deterministic;
    if (fuses) try_mode(c, choice, &best, CONV_FUSED, trial, context);
    return choice;
}

/* ---- as text: a line for cuDNN's version, then one for each choice ---- */

int conv_choices_store(const struct conv_choices *c, char **text)
{
    size_t bytes;
    FILE *out = open_memstream(text, &bytes);
    if (!out) return fail(ERR_SYSTEM, "out of memory");
    fprintf(out, "cudnn %zu deterministic %d\n", c->cudnn.api.cudnnGetVersion(),
            c->cudnn.deterministic);
    for (int i = 0; i < c->count; i++) {
        const struct conv_choice *choice = c->list[i];
        const struct cudnn_problem *p = &choice->key.problem;
        const struct nn_conv *s = &p->shape;
        const struct cudnn_engine *e = &choice->plan.engine;
        fprintf(out, "%d %d %d %d %d %d %d %d %d %d %d %.9g %d %d : %d", (int)p->direction, s->n,
                s->h, s->w, s->cin, s->cout, s->kernel, s->groups, (int)s->in_type, p->bias,
                p->residual, (double)p->slope, choice->key.mask_out, choice->key.mask_in,
                (int)choice->mode);
        if (choice->ready) {
            fprintf(out, " %lld", (long long)e->index);
            for (int k = 0; k < e->knob_count; k++)
                fprintf(out, " %d=%lld", e->knobs[k].type, (long long)e->knobs[k].value);
        }
        fputc('\n', out);
    }
    return fclose(out) == 0 ? OK : fail(ERR_SYSTEM, "out of memory");
}

/* " INDEX KNOB=VALUE ..." up to the end of the line. */
static bool cuda_cudnn_choice_read_engine(const char *text, struct cudnn_engine *e)
{
    long long index, value;
    int used, type;
    if (sscanf(text, "%lld%n", &index, &used) != 1) return false;
    *e = (struct cudnn_engine){.index = index};
    for (text += used; sscanf(text, " %d=%lld%n", &type, &value, &used) == 2; text += used) {
        if (e->knob_count == CUDNN_KNOBS) return false;
        e->knobs[e->knob_count].type = type;
        e->knobs[e->knob_count++].value = value;
    }
    return text[strspn(text, " ")] == '\0';
}

/* A size that a network may have: products of them stay far from any overflow. */
static bool shape_is_possible(const struct nn_conv *s)
{
    enum { MOST = 1 << 20 };
    const int sizes[] = {s->n, s->h, s->w, s->cin, s->cout};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i] < 1 || sizes[i] > MOST) return false;
    return s->kernel >= 1 && s->kernel <= 64 && s->groups >= 1 && s->groups <= s->cin &&
           (double)s->n * s->h * s->w * (s->cin + s->cout) < 0x1p40;
}

static bool read_key(const char *line, struct conv_key *key, int *mode, int *used)
{
    int direction, type, bias, residual, mask_out, mask_in;
    memset(key, 0, sizeof *key);
    struct nn_conv *s = &key->problem.shape;
    int got = sscanf(line, "%d %d %d %d %d %d %d %d %d %d %d %g %d %d : %d%n", &direction, &s->n,
                     &s->h, &s->w, &s->cin, &s->cout, &s->kernel, &s->groups, &type, &bias,
                     &residual, &key->problem.slope, &mask_out, &mask_in, mode, used);
    if (got != 15 || direction < CUDNN_FORWARD || direction > CUDNN_WGRAD ||
        !shape_is_possible(s) || !isfinite(key->problem.slope) || *mode < CONV_NATIVE ||
        *mode > CONV_FUSED)
        return false;
    key->problem.direction = (enum cudnn_direction)direction;
    s->in_type = s->out_type = type ? NN_BF16 : NN_F32;
    key->problem.bias = bias != 0;
    key->problem.residual = residual != 0;
    key->mask_out = mask_out != 0;
    key->mask_in = mask_in != 0;
    return true;
}

static int cuda_cudnn_choice_follow(struct conv_choices *c, const char *line)
{
    struct conv_key key;
    struct cudnn_engine engine;
    struct conv_choice made = {.mode = CONV_NATIVE};
    int mode, used = 0;
    if (!read_key(line, &key, &mode, &used) ||
        (mode != CONV_NATIVE && !cuda_cudnn_choice_read_engine(line + used, &engine)))
        return fail(ERR_DATA, "'%.60s' is no choice of an engine", line);
    if (conv_choices_find(c, &key)) return fail(ERR_DATA, "'%.60s' twice", line);
    if (mode != CONV_NATIVE) {
        struct cudnn_problem problem = problem_of(&key, (enum conv_mode)mode);
        TRY(cudnn_graph_build(&c->cudnn, &problem, &made.graph));
        int code = cudnn_plan_of(&c->cudnn, &made.graph, c->workspace, &engine, &made.plan);
        made.ready = code == OK;
        made.mode = (enum conv_mode)mode;
        if (code < 0) {
            cuda_cudnn_choice_drop(c, &made);
            return code;
        }
    }
    struct conv_choice *choice = cuda_cudnn_choice_add(c, &key);
    if (!choice) {
        cuda_cudnn_choice_drop(c, &made);
        return fail(ERR_SYSTEM, "out of memory");
    }
    made.key = key;
    *choice = made;
    return OK;
}

int conv_choices_restore(struct conv_choices *c, const char *text)
{
    size_t version;
    int deterministic, used = 0, lost = 0;
    if (sscanf(text, "cudnn %zu deterministic %d\n%n", &version, &deterministic, &used) != 2) {
        log_warning("conv: engines are chosen anew: those of the checkpoint cannot be read");
        return OK;
    }
    if (version != c->cudnn.api.cudnnGetVersion() ||
        (deterministic != 0) != c->cudnn.deterministic) {
        log_info("conv: engines are chosen anew: they were for cuDNN %zu%s", version,
                 deterministic ? ", deterministic" : "");
        return OK;
    }
    char *copy = strdup(text + used), *rest = NULL;
    if (!copy) return fail(ERR_SYSTEM, "out of memory");
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        lost += cuda_cudnn_choice_follow(c, line) < 0;
    free(copy);
    if (lost)
        log_warning("conv: %d engines of the checkpoint are chosen anew (%s)", lost,
                    error_message());
    return OK;
}

char *conv_choices_describe(const struct conv_choices *c, char *text, size_t room)
{
    int by_library = 0, fused = 0;
    for (int i = 0; i < c->count; i++) {
        by_library += c->list[i]->mode != CONV_NATIVE;
        fused += c->list[i]->mode == CONV_FUSED;
    }
    snprintf(text, room, "%d of %d convolutions, %d of them with bias or activation", by_library,
             c->count, fused);
    return text;
}
