#include "splat/splat_goal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "config/config.h"
#include "math/cosine.h"
#include "splat/fit.h"
#include "splat/init.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <math.h>
#include <stdlib.h>

enum {
    PIXELS_EACH = 40,      /* pixels of a Gaussian where nothing else says how many */
    PIXELS_EACH_LEAST = 8, /* of one where a PSNR decides: more would be no model of the image */
    PIXELS_EACH_START = 150,
    MOST_ROUNDS = 10,
    FALLEN_STEPS = 4, /* until the next look: once Gaussians came or moved it rises fast */
    EARLY_LOOKS = 6,
    LEAST_STEPS = 1000, /* of a time that nothing is known of yet */
    GROWTHS = 40,       /* of max_steps: how often it is decided how many there are */
};

static const double DB_OF_TWICE = 2.5;  /* what twice as many Gaussians are worth */
static const double MOST_GROWTH = 1.3;  /* at a time */
static const double LEAST_ROUND = 1.03; /* growth of a round at the end */
static const double ROUND_STEPS = 0.2;  /* its length, of max_steps */
static const double ROUND_RATE = 0.5;   /* where its learning rates begin */
static const double USUAL_RISE = 5;     /* dB in e times as many steps */
static const double LEAST_BRAKE = 0.02; /* of learning rates just before the end */
static const double TIME_LOOK = 0.02;   /* share of the time between two looks at the clock */

static double system_clock_seconds(void)
{
    return clock_seconds();
}

double (*splat_goal_clock)(void) = system_clock_seconds;

/* ---- how many Gaussians ---- */

/* Bytes of a model's file without Gaussians, with room for longer numbers: those of a million
 * Gaussians take 99 bytes more than those of none, of 100 million 129. */
static int goal_file_bytes(const struct splat_fit *fit, size_t *bytes)
{
    enum { LARGE = 16 << 20, ROOM = 96, ROOM_LARGE = 152 };
    struct splat_model model = fit->model;
    model.count = 0;
    float none[1] = {0};
    float *groups[SPLAT_GROUPS];
    for (int g = 0; g < SPLAT_GROUPS; g++)
        groups[g] = none;
    char *text = NULL, *config = NULL;
    struct store_writer *writer = store_writer_create();
    int code = writer ? config_print_text(fit->config, &text) : ERR_SYSTEM;
    if (code == OK && !(config = config_result_text(text))) code = ERR_SYSTEM;
    if (code == OK) code = splat_model_save(&model, groups, writer);
    if (code == OK)
        code = checkpoint_describe(writer, "model", "splat", fit->config->splat.max_steps, config);
    if (code == OK) code = store_writer_bytes(writer, bytes);
    *bytes += fit->config->splat.target_bytes < LARGE ? ROOM : ROOM_LARGE;
    store_writer_free(writer);
    free(text);
    free(config);
    return code;
}

static int goal_count_of_bytes(const struct splat_fit *fit, int64_t *count)
{
    uint64_t wanted = fit->config->splat.target_bytes;
    size_t rest = 0, each = 0;
    for (int g = 0; g < SPLAT_GROUPS; g++)
        each += sizeof(float) * (size_t)splat_group_columns(&fit->model, g);
    TRY(goal_file_bytes(fit, &rest));
    if (wanted < rest + each)
        return fail(ERR_CONFIG, "target_bytes: a model of one Gaussian takes %zu bytes",
                    rest + each);
    uint64_t most = (wanted - rest) / each;
    *count = most < 100000000 ? (int64_t)most : 100000000;
    return OK;
}

static int64_t goal_pixels(const struct splat_fit *fit)
{
    return (int64_t)fit->source->fit.width * fit->source->fit.height;
}

static bool goal_finds(const struct config_splat *c)
{
    return c->target_psnr > 0 && (c->num_gaussians == 0 || c->target_bytes > 0);
}

int splat_goal_capacity(const struct splat_fit *fit, int64_t *capacity)
{
    const struct config_splat *c = &fit->config->splat;
    int64_t pixels = goal_pixels(fit), each = goal_finds(c) ? PIXELS_EACH_LEAST : PIXELS_EACH;
    *capacity = c->num_gaussians;
    if (c->target_bytes > 0) return goal_count_of_bytes(fit, capacity);
    if (c->num_gaussians == 0) *capacity = pixels / each > 0 ? pixels / each : 1;
    return OK;
}

/* ---- the way there ---- */

void splat_goal_begin(struct splat_fit *fit, double opened)
{
    const struct config_splat *c = &fit->config->splat;
    int64_t start = goal_pixels(fit) / PIXELS_EACH_START;
    fit->goal = (struct splat_goal){.steps = c->max_steps,
                                    .planned = fit->model.capacity,
                                    .finds = goal_finds(c),
                                    .look = c->target_psnr > 0,
                                    .brake = 1,
                                    .opened = opened};
    if (c->time_budget > 0 && c->max_steps < LEAST_STEPS) fit->goal.steps = LEAST_STEPS;
    if (fit->goal.finds && start < fit->goal.planned) fit->goal.planned = start > 0 ? start : 1;
    splat_growth_plan(fit, fit->goal.steps);
    if (!fit->goal.finds) return;
    fit->grow_first = fit->goal.planned;
    fit->grow_every = fit->grow_times = 1;
    fit->grown_at = -1;
}

double splat_goal_rate(const struct splat_fit *fit, int64_t step)
{
    const struct config_splat *c = &fit->config->splat;
    const struct splat_goal *goal = &fit->goal;
    if (goal->tail == 0 || c->disable_lr_schedule || !(c->lr_end < 1))
        return goal->brake * splat_schedule_factor(&fit->schedule, c, goal->steps, step);
    double gone = (double)(step - goal->tail) / (double)(goal->steps - goal->tail);
    double begin = ROUND_RATE > c->lr_end ? ROUND_RATE : c->lr_end;
    return goal->brake * cosine_between(begin, c->lr_end, gone < 1 ? gone : 1);
}

/* The PSNR of the image that is written, whose samples are rounded to the bits of the file's: at
 * least, but for one image in 4000, as what rounding adds to the error is known on average only:
 * its deviation is allowed for 3.5 times. */
static double goal_shown_psnr(const struct splat_fit *fit)
{
    double levels = fit->model.sample_bits == 8 ? 255 : fit->model.sample_bits == 16 ? 65535 : 0;
    double mse = pow(10, -fit->psnr / 10), samples = (double)goal_pixels(fit) * fit->full.channels;
    if (levels > 0)
        mse += 1 / (12 * levels * levels) + 3.5 * 2 * sqrt(mse / (12 * samples)) / levels;
    return -10 * log10(mse);
}

static bool goal_is_reached(const struct splat_fit *fit)
{
    return !(goal_shown_psnr(fit) < fit->config->splat.target_psnr);
}

/* ---- how many it takes ---- */

static int64_t goal_growth_steps(const struct splat_fit *fit)
{
    int64_t every = fit->config->splat.max_steps / GROWTHS;
    return every > 0 ? every : 1;
}

/* What a fit gains from a share of its steps on, rates falling at the end: by fits of photographs
 * whose Gaussians were added in this way. */
static double goal_gain_to_come(double share)
{
    static const double gains[] = {4.8, 3.3, 2.6, 2.1, 1.7, 1.4}; /* each tenth of max_steps */
    double at = 10 * share;
    if (!(at < 5)) return gains[5]; /* also where max_steps is 0 */
    int i = (int)at;
    return gains[i] + (gains[i + 1] - gains[i]) * (at - i);
}

/* Sets how many there are to be from here on. */
static void goal_plan(struct splat_fit *fit, double factor)
{
    struct splat_goal *goal = &fit->goal;
    int64_t count = (int64_t)llround((double)goal->planned * factor);
    if (count <= goal->planned) count = goal->planned + 1;
    goal->planned = count < fit->model.capacity ? count : fit->model.capacity;
}

static void goal_search(struct splat_fit *fit, int64_t done, double psnr)
{
    const struct config_splat *c = &fit->config->splat;
    struct splat_goal *goal = &fit->goal;
    double share = (double)done / (double)c->max_steps;
    double lack = c->target_psnr - psnr - goal_gain_to_come(share);
    if (lack <= 0 || goal->planned == fit->model.capacity || share >= c->lr_hold) {
        goal->settled = true;
        log_debug("step %lld: %lld Gaussians are to do", (long long)done, (long long)goal->planned);
        return;
    }
    goal_plan(fit, fmin(exp2(lack / DB_OF_TWICE), MOST_GROWTH));
}

/* The end of the schedule, and the goal is not reached: more Gaussians where there is room. */
static void goal_extend(struct splat_fit *fit, int64_t done, double psnr)
{
    const struct config_splat *c = &fit->config->splat;
    struct splat_goal *goal = &fit->goal;
    bool full = goal->planned == fit->model.capacity || goal->rounds == MOST_ROUNDS;
    if (!goal->finds || full || c->time_budget > 0) {
        log_warning("target_psnr %g is not reached: %.2f dB with %lld Gaussians%s", c->target_psnr,
                    psnr, (long long)fit->model.count,
                    goal->finds ? "" : " (num_gaussians=auto takes as many as it needs)");
        return;
    }
    int64_t more = (int64_t)(ROUND_STEPS * (double)c->max_steps);
    goal->settled = true;
    goal->rounds++;
    goal->tail = done;
    goal->steps = done + (more > 0 ? more : 1);
    goal_plan(fit, fmax(exp2(1.3 * (c->target_psnr - psnr) / DB_OF_TWICE), LEAST_ROUND));
    fit->grown_at = -1;
    log_info("step %lld: %.2f dB, and target_psnr is %g: %lld Gaussians, %lld steps more",
             (long long)done, psnr, c->target_psnr, (long long)goal->planned, (long long)more);
}

/* ---- steps ---- */

/* When to look again: before it can have been reached, by how fast it rose. Where that is the next
 * step, learning rates are lowered so far that it is not passed by much. */
static void goal_plan_look(struct splat_fit *fit, int64_t done, double psnr)
{
    struct splat_goal *goal = &fit->goal;
    double lack = fit->config->splat.target_psnr - psnr, most = (double)fit->config->eval_steps;
    double rise = (psnr - goal->seen_psnr) / (double)(done - goal->seen) / goal->brake;
    double usual = USUAL_RISE / (double)done;
    goal->rise = goal->seen == 0 ? 0 : fmax(rise, 0.7 * goal->rise);
    double steps = goal->seen == 0 ? 1 : floor(lack / (6 * fmax(goal->rise, usual)));
    if (psnr < goal->seen_psnr) steps = fmin(steps, FALLEN_STEPS);
    bool brakes = steps < 1 && goal->rise > 0;
    goal->brake = brakes ? fmax(fmin((lack + 0.02) / (5 * goal->rise), 1), LEAST_BRAKE) : 1;
    goal->look = done + (int64_t)fmax(fmin(steps, most), 1);
}

bool splat_goal_wants(const struct splat_fit *fit, int64_t done)
{
    const struct splat_goal *goal = &fit->goal;
    if (goal->look == 0) return false;
    bool searching = goal->finds && !goal->settled && done % goal_growth_steps(fit) == 0;
    return done >= goal->look || done == goal->steps || searching;
}

static void goal_decide_psnr(struct splat_fit *fit, int64_t done)
{
    const struct config_splat *c = &fit->config->splat;
    struct splat_goal *goal = &fit->goal;
    double psnr = goal_shown_psnr(fit);
    if (goal_is_reached(fit)) {
        if (goal->steps == done && goal->seen == done) return; /* said before a resume */
        goal->steps = goal->seen = done;
        goal->seen_psnr = psnr;
        log_info("step %lld: target_psnr %g is reached with %lld Gaussians", (long long)done,
                 c->target_psnr, (long long)fit->model.count);
        return;
    }
    if (done > goal->seen) {
        goal_plan_look(fit, done, psnr);
        goal->seen = done;
        goal->seen_psnr = psnr;
    }
    if (goal->finds && !goal->settled && done % goal_growth_steps(fit) == 0)
        goal_search(fit, done, psnr);
    if (done == goal->steps) goal_extend(fit, done, psnr);
}

/* ---- time ---- */

static double goal_seconds(const struct splat_fit *fit)
{
    return fit->goal.seconds + splat_goal_clock() - fit->goal.opened;
}

/* Looks at the clock soon at first, as nothing is known yet, then a few times a percent. */
void splat_goal_plan_time(struct splat_fit *fit, int64_t step)
{
    struct splat_goal *goal = &fit->goal;
    double budget = fit->config->splat.time_budget;
    if (!(budget > 0)) return;
    double now = splat_goal_clock();
    int64_t steps = step - goal->timed;
    if (goal->looks > 0) {
        bool soon = goal->looks <= EARLY_LOOKS && steps >= INT64_C(1) << goal->looks;
        if (steps < 1 || !(soon || now - goal->timed_at >= TIME_LOOK * budget)) return;
        goal->rate = fmax((now - goal->timed_at) / (double)steps, 1e-9);
        double left = (budget - goal_seconds(fit)) / goal->rate;
        goal->steps = step + (int64_t)fmax(fmin(left, 1e9), 1);
        splat_growth_pace(fit, goal->steps);
    }
    goal->looks++;
    goal->timed = step;
    goal->timed_at = now;
}

static void goal_decide_time(struct splat_fit *fit, int64_t done)
{
    struct splat_goal *goal = &fit->goal;
    if (goal_seconds(fit) + goal->rate / 2 >= fit->config->splat.time_budget)
        goal->steps = done;
    else if (goal->steps <= done)
        goal->steps = done + 1;
}

void splat_goal_decide(struct splat_fit *fit, int64_t done, bool measured)
{
    const struct config_splat *c = &fit->config->splat;
    fit->goal.done = done;
    if (c->time_budget > 0) goal_decide_time(fit, done);
    if (c->target_psnr > 0 && measured && isfinite(fit->psnr)) goal_decide_psnr(fit, done);
}

/* ---- checkpoints ---- */

static bool goal_is_set(const struct splat_fit *fit)
{
    return fit->config->splat.target_psnr > 0 || fit->config->splat.time_budget > 0;
}

int splat_goal_save(const struct splat_fit *fit, struct store_writer *writer)
{
    const struct splat_goal *goal = &fit->goal;
    if (!goal_is_set(fit)) return OK;
    TRY(store_set_int(writer, "goal.steps", goal->steps));
    TRY(store_set_int(writer, "goal.done", goal->done));
    TRY(store_set_int(writer, "goal.planned", goal->planned));
    TRY(store_set_int(writer, "goal.settled", goal->settled));
    TRY(store_set_int(writer, "goal.tail", goal->tail));
    TRY(store_set_int(writer, "goal.rounds", goal->rounds));
    TRY(store_set_int(writer, "goal.look", goal->look));
    TRY(store_set_int(writer, "goal.seen", goal->seen));
    TRY(store_set_double(writer, "goal.seen_psnr", goal->seen_psnr));
    TRY(store_set_double(writer, "goal.rise", goal->rise));
    TRY(store_set_double(writer, "goal.brake", goal->brake));
    TRY(store_set_double(writer, "goal.rate", goal->rate));
    return store_set_double(writer, "goal.seconds", goal_seconds(fit));
}

static int goal_load_numbers(struct splat_fit *fit, const struct store_file *file, int64_t steps)
{
    struct splat_goal *goal = &fit->goal;
    int64_t done;
    const struct store_range psnr = {-1000, 1000}, brake = {LEAST_BRAKE, 1}, seconds = {0, 1e12};
    TRY(store_get_int_in(file, "goal.steps", 0, CHECKPOINT_MOST_STEPS, &goal->steps));
    TRY(store_get_int_in(file, "goal.done", 0, steps, &done));
    goal->done = done;
    TRY(store_get_int_in(file, "goal.planned", 1, INT32_MAX, &goal->planned));
    TRY(store_get_bool(file, "goal.settled", &goal->settled));
    TRY(store_get_int_in(file, "goal.tail", 0, done, &goal->tail));
    TRY(store_get_int_in(file, "goal.rounds", 0, MOST_ROUNDS, &goal->rounds));
    TRY(store_get_int_in(file, "goal.look", 0, CHECKPOINT_MOST_STEPS, &goal->look));
    TRY(store_get_int_in(file, "goal.seen", 0, done, &goal->seen));
    TRY(store_get_double_in(file, "goal.seen_psnr", psnr, &goal->seen_psnr));
    TRY(store_get_double_in(file, "goal.rise", psnr, &goal->rise));
    TRY(store_get_double_in(file, "goal.brake", brake, &goal->brake));
    TRY(store_get_double_in(file, "goal.rate", seconds, &goal->rate));
    TRY(store_get_double_in(file, "goal.seconds", seconds, &goal->seconds));
    if (goal->planned > fit->model.capacity) goal->planned = fit->model.capacity;
    if (goal->tail >= goal->steps) goal->tail = 0;
    return OK;
}

/* A goal that is new, or another than when the run ended, may have it go on. */
int splat_goal_load(struct splat_fit *fit, const struct store_file *file, int64_t done)
{
    const struct config_splat *c = &fit->config->splat;
    struct splat_goal *goal = &fit->goal;
    if (!goal_is_set(fit)) return OK;
    if (store_get(file, "goal.steps")) {
        TRY(goal_load_numbers(fit, file, done));
        done = goal->done;
    } else {
        if (goal->finds) goal->planned = fit->model.count;
        goal->settled = true;
        if (store_get(file, "seconds"))
            TRY(store_get_double_in(file, "seconds", store_not_negative(), &goal->seconds));
    }
    if (c->target_psnr > 0 && goal->look == 0) goal->look = done + 1;
    bool measured = c->target_psnr > 0 && isfinite(fit->psnr) && goal->seen == done && done > 0;
    if (measured && goal_is_reached(fit)) {
        goal_decide_psnr(fit, done);
        return OK;
    }
    if (c->time_budget > 0) {
        double left = c->time_budget - goal->seconds;
        bool over = left < TIME_LOOK * c->time_budget;
        double steps = goal->rate > 0 ? left / goal->rate : (double)LEAST_STEPS;
        goal->steps = done + (over ? 0 : (int64_t)fmax(fmin(steps, 1e9), 1));
        if (over) return OK;
    } else if (goal->tail == 0) { /* max_steps may be another, too */
        goal->steps = c->max_steps > done ? c->max_steps : done;
    }
    if (measured && goal->steps <= done) goal_decide_psnr(fit, done);
    return OK;
}
