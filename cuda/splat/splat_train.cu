/* A step of training without a wait: its kernels are captured as a CUDA graph once and launched
 * again for as long as nothing but the rates changes. */
#include "cuda/splat/splat_cuda.h"

extern "C" {
#include "base/log.h"
}

/* What a graph was made for. Without padding, so that memcmp compares. */
struct graph_key {
    struct splat_workspace workspace;
    struct splat_training training; /* without what splat_rates holds: splat_training_key */
};
static_assert(sizeof(struct graph_key) ==
                  sizeof(struct splat_workspace) + sizeof(struct splat_training),
              "no padding");

/* Of the open device: there is one. */
static struct {
    struct device *device;
    struct graph_key key;
    struct device_graph *graph;
    struct splat_rates *rates;   /* device memory */
    struct splat_status *status; /* as it was seen last: splat_cuda_statuses */
    bool ahead;                  /* steps were launched that nobody has waited for */
    bool warm;                   /* a step of this key was done without a graph */
    bool no_graph;               /* making one failed */
} trainer;

static void drop_graph(void)
{
    if (trainer.graph) trainer.device->graph_free(trainer.device, trainer.graph);
    trainer.graph = NULL;
}

void splat_train_close(void)
{
    drop_graph();
    if (trainer.rates) cudaFree(trainer.rates);
    memset(&trainer, 0, sizeof trainer);
}

/* Queues the kernels of one step. */
static int queue_step(const struct splat_scene *scene, const struct splat_training *t)
{
    struct splat_quantizing q;
    struct splat_update update;
    memset(&q, 0, sizeof q);
    memset(&update, 0, sizeof update);
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        update.group[g] = t->groups[g];
        if (t->bits[g] <= 0) continue;
        q.values[q.lists] = t->groups[g].parameter;
        q.out[q.lists] = t->quantized[g];
        q.count[q.lists] = t->view.count * t->groups[g].columns;
        q.bits[q.lists++] = t->bits[g];
    }
    update.groups = SPLAT_GROUPS;
    splat_update_rows(&update, &t->rows);
    update.rates = trainer.rates;
    splat_quantize(scene->device, &q);
    struct splat_comparison comparison = {&t->view, &t->target, &t->loss, &t->gradients,
                                          &update,  0,          true};
    return splat_cuda_compare(scene, &comparison);
}

static __global__ void rates_kernel(struct splat_rates *to, struct splat_rates from)
{
    *to = from;
}

/* Waits for the steps that were launched, and takes what the last one left. */
static int catch_up(struct device *device, const struct splat_scene *scene)
{
    TRY(device->download(device, trainer.status, scene->status, sizeof *trainer.status));
    TRY(device->synchronize(device));
    trainer.ahead = false;
    return OK;
}

/* The steps from here on are of another key; a stop that nobody has seen yet stays to be seen. */
static int cuda_splat_train_renew(struct device *device, const struct splat_scene *scene,
                                  const struct graph_key *key)
{
    if (trainer.ahead) {
        TRY(catch_up(device, scene));
        if (trainer.status->stopped) return OK;
    }
    drop_graph();
    trainer.warm = false;
    memcpy(&trainer.key, key, sizeof *key);
    return OK;
}

/* Behind graph_begin. */
static int cuda_splat_train_capture(struct device *device, const struct splat_scene *scene,
                                    const struct splat_training *training)
{
    int queued = queue_step(scene, training), code = device->graph_end(device, &trainer.graph);
    if (queued < 0) drop_graph();
    return code < 0 ? code : queued;
}

/* The first step of a key is done without a graph: what is loaded when a kernel is used for the
 * first time cannot be captured. All are where there can be none: that costs time alone. */
static int cuda_splat_train_run(struct device *device, const struct splat_scene *scene,
                                const struct splat_training *training, bool graphed)
{
    if (graphed && trainer.warm && !trainer.graph && !trainer.no_graph) {
        TRY(device->graph_begin(device)); /* an error is of what was asked for before */
        trainer.no_graph = cuda_splat_train_capture(device, scene, training) < 0;
        if (trainer.no_graph) log_warning("steps go on without a graph: %s", error_message());
    }
    trainer.warm = graphed;
    return graphed && trainer.graph ? device->graph_launch(device, trainer.graph)
                                    : queue_step(scene, training);
}

int splat_cuda_train(struct device *device, const struct splat_workspace *workspace,
                     const struct splat_training *training, bool wait, struct splat_sums *sums,
                     int64_t *skipped)
{
    struct splat_scene scene;
    const struct splat_view *view = &training->view;
    if (training->target.width != view->width || training->target.height != view->height)
        return fail(ERR_INTERNAL, "gradients need the target at the model's size");
    TRY(splat_scene_open(&scene, device, workspace, view, &training->blend, view->width,
                         view->height));
    trainer.device = device;
    if (!trainer.rates) cuda_check(cudaMalloc((void **)&trainer.rates, sizeof *trainer.rates));
    TRY(splat_cuda_statuses(device, &scene.status, &trainer.status));
    scene.status++; /* those of training */
    trainer.status++;
    struct graph_key key = {*workspace, splat_training_key(training)};
    bool graphed = !training->target.host_resident; /* else the host copies within the step */
    if (graphed && memcmp(&key, &trainer.key, sizeof key) != 0)
        TRY(cuda_splat_train_renew(device, &scene, &key));
    bool stopped = trainer.status->stopped; /* seen by renew(), not by the caller */
    if (!stopped) {
        struct splat_rates rates =
            splat_rates_of(training->groups, SPLAT_GROUPS, (int32_t)training->t, training->b2);
        rates.ssim_rows = training->loss.ssim_rows;
        LAUNCH(rates_kernel, 1, 1, 0, cuda_stream(device), trainer.rates, rates);
        TRY(cuda_splat_train_run(device, &scene, training, graphed));
        trainer.ahead = true;
        if (wait) TRY(catch_up(device, &scene));
    }
    *sums = trainer.status->sums;
    *skipped = trainer.status->skipped;
    if (trainer.status->stopped && (wait || stopped)) { /* it has been shown: begin anew */
        trainer.status->stopped = 0;
        cuda_check(cudaMemsetAsync(&scene.status->stopped, 0, sizeof scene.status->stopped,
                                   cuda_stream(device)));
    }
    return OK;
}
