/* One step of training: its inputs to the device, its operations asked for at once, its report. */
#include "base/error.h"
#include "base/log.h"
#include "device/device.h"
#include "gan/core.h"
#include "gan/gan_step.h"

/* Marks (device.h) behind the steps of each turn. */
enum { MARK_STEP = DEVICE_MARKS - 2 };

static int await_turn(struct gan_core *core, int turn)
{
    struct device *device = core->device;
    return device->await_host ? device->await_host(device, MARK_STEP + turn) : OK;
}

/* Takes the host's side of this turn, when the step that had it last is done. */
static int train_step_begin(struct gan_core *core, const struct gan_rates *rates, gan_fill *fill,
                            void *context)
{
    struct gan_numbers *numbers = core->host[core->turn].numbers;
    TRY(await_turn(core, core->turn));
    core->fill = fill;
    core->fill_context = context;
    numbers->gamma = rates->gamma;
    numbers->ema = (float)rates->ema;
    return OK;
}

/* Where the device works ahead: the inputs of steps first .. last (D, G), and the numbers. */
static int train_step_send(struct gan_core *core, enum gan_which first, enum gan_which last)
{
    const struct gan_step_inputs *host = &core->host[core->turn];
    if (!core->ahead) return OK;
    for (int i = (int)first; i <= (int)last; i++)
        TRY(gan_block_fill(core, &host->step[i], (enum gan_which)i, 0, core->choices.batch));
    return gan_upload(core, core->inputs.memory, host->memory,
                      gan_step_inputs_layout(core, NULL, NULL));
}

/* Asks for the report, and marks the end. */
static int train_step_end(struct gan_core *core)
{
    struct device *device = core->device;
    double *to = core->host_sums[core->turn];
    if (to != core->sums[GAN_D])
        TRY(device->download(device, to, core->sums[GAN_D], 2 * GAN_SUMS * sizeof *to));
    if (device->mark) TRY(device->mark(device, QUEUE_WORK, MARK_STEP + core->turn));
    core->turn = 1 - core->turn;
    return OK;
}

/* A step that is kept as a graph while it is asked for; it is done when the graph is launched. */
static int train_step_capture(struct gan_core *core)
{
    struct device *device = core->device;
    TRY(device->graph_begin(device));
    int asked = gan_queue_all(core), ended = device->graph_end(device, &core->graph);
    if (asked == OK) return ended;
    device->graph_free(device, core->graph);
    core->graph = NULL;
    return asked;
}

/* The first step is done without a graph: what is loaded or measured when an operation is used for
 * the first time cannot be captured. All are where there can be none: that costs time alone. */
static int train_step_run(struct gan_core *core)
{
    struct device *device = core->device;
    if (device->graph_begin && core->warm && !core->graph && !core->no_graph) {
        core->no_graph = train_step_capture(core) < 0;
        if (core->no_graph) log_warning("steps go on without a graph: %s", error_message());
    }
    core->warm = true;
    return core->graph ? device->graph_launch(device, core->graph) : gan_queue_all(core);
}

/* The product of all b2 grows by this step's. */
static struct adam_f32 train_step_advance(struct gan_network *network, const struct gan_rates *rates)
{
    network->v_missing *= rates->b2;
    return adam_without_mean(rates->lr, rates->b2, network->v_missing);
}

int gan_train_step(struct gan_core *core, const struct gan_rates *rates, gan_fill *fill,
                   void *context)
{
    double d_before = core->d.v_missing, g_before = core->g.v_missing;
    bool first_half = !core->half || !core->half->done;
    TRY(train_step_begin(core, rates, fill, context));
    if (first_half)
        core->host[core->turn].numbers->adam[GAN_D] = train_step_advance(&core->d, rates);
    core->host[core->turn].numbers->adam[GAN_G] = train_step_advance(&core->g, rates);
    TRY(train_step_send(core, GAN_D, GAN_G));
    int code = train_step_run(core);
    if (code == ERR_STOPPED) {
        core->g.v_missing = g_before;
        if (first_half && !core->half->done) core->d.v_missing = d_before;
    }
    TRY(code);
    return train_step_end(core);
}

static int step_alone(struct gan_core *core, enum gan_which which, const struct gan_rates *rates,
                      gan_fill *fill, void *context)
{
    TRY(train_step_begin(core, rates, fill, context));
    TRY(train_step_send(core, which, which));
    TRY(gan_queue(core, which));
    return train_step_end(core);
}

int gan_d_step(struct gan_core *core, gan_fill *fill, void *context, double gamma,
               struct gan_report *report)
{
    TRY(step_alone(core, GAN_D, &(struct gan_rates){.gamma = gamma}, fill, context));
    return gan_report(core, 0, report, NULL);
}

int gan_g_step(struct gan_core *core, gan_fill *fill, void *context, struct gan_report *report)
{
    TRY(step_alone(core, GAN_G, &(struct gan_rates){.gamma = 0}, fill, context));
    return gan_report(core, 0, NULL, report);
}

/* ---- reports ---- */

static struct gan_report report_of(const struct gan_core *core, const double *sums, double macs)
{
    return (struct gan_report){
        .loss = sums[GAN_SUM_LOSS],
        .r1 = sums[GAN_SUM_R1],
        .r2 = sums[GAN_SUM_R2],
        .score_real = sums[GAN_SUM_REAL],
        .score_fake = sums[GAN_SUM_FAKE],
        .sign = sums[GAN_SUM_SIGN],
        .units = macs / (2 * core->choices.batch * net_macs(&core->d.net)),
        .invariant = sums[GAN_SUM_ERROR],
    };
}

int gan_report(struct gan_core *core, int back, struct gan_report *d, struct gan_report *g)
{
    int turn = back ? core->turn : 1 - core->turn;
    const double *sums = core->host_sums[turn];
    TRY(await_turn(core, turn));
    if (d) *d = report_of(core, sums, core->d_first.macs + core->d_second.macs);
    if (g) *g = report_of(core, sums + GAN_SUMS, core->d_score.macs);
    return OK;
}

int gan_core_rest(struct gan_core *core)
{
    struct device *device = core->device;
    if (!device) return OK;
    int code = device->synchronize(device);
    if (core->graph) device->graph_free(device, core->graph);
    core->graph = NULL;
    return code;
}
