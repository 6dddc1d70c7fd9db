/* Runs a grid: block after block, the threads of a block as fibers that are kept from one block to
 * the next. A fiber runs until it waits or ends; when none can run, somebody waits for a thread
 * that will never come, which is a fault of the kernel. */
#include "emu_grid.h"

#include "emu_fiber.h"
#include "emu_language.h"
#include "emu_launch.h"
#include "emu_runtime.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined __has_feature
#if __has_feature(memory_sanitizer)
#define WITH_MSAN 1
#include <sanitizer/msan_interface.h>
#endif
#endif

uint3 emu_thread_index, emu_block_index;
dim3 emu_block_size, emu_grid_size;

enum { MAX_THREADS = 1024, MAX_WARPS = MAX_THREADS / 32 };
enum thread_state { RUNNING, AT_BARRIER, AT_WARP, ENDED };

struct thread {
    struct emu_fiber fiber;
    uint3 index;
    enum thread_state state;
    int line;          /* where it waits */
    unsigned mask;     /* the lanes it waits for */
    emu_finish finish; /* the operation it waits in */
    void *argument;
    bool created;
};

static struct thread threads[MAX_THREADS];
static struct emu_fiber scheduler;
static int thread_count, self_index;
static bool inside;   /* a thread of a kernel runs now */
static bool reversed; /* as a test asks for */
static bool backwards;
static bool any_order; /* drawn, instead of forwards or backwards */
static unsigned long long order_state;

static const struct emu_grid *grid;
static void (*thread_body)(void *);
static void *thread_arguments;

/* Threads that can run, in the order in which they became so; each is in it at most once. */
static int ready[MAX_THREADS];
static int ready_first, ready_count;

static int barrier_arrived, barrier_predicates, barrier_result;

static void push_ready(int i)
{
    threads[i].state = RUNNING;
    ready[(ready_first + ready_count++) % MAX_THREADS] = i;
}

/* The order that emu_grid_order and IMGTRAIN_EMU="order=..." ask for together. */
static void choose_order(bool reverse)
{
    long long order = emu_settings()->order;
    any_order = order >= 2;
    backwards = any_order ? false : reverse != (order == 1);
    order_state = static_cast<unsigned long long>(2 * order + reverse) * 0x9e3779b97f4a7c15ull;
}

static unsigned draw_below(unsigned n)
{
    order_state = order_state * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<unsigned>((order_state >> 32) * n >> 32);
}

/* Moves a thread that can run to the front: any of them, or, in every second block, mostly the last
 * that became ready, so that one warp runs far ahead of the others. */
static void draw_next(bool ahead)
{
    int at = ahead && draw_below(8) > 0
                 ? ready_count - 1
                 : static_cast<int>(draw_below(static_cast<unsigned>(ready_count)));
    int *front = &ready[ready_first], *drawn = &ready[(ready_first + at) % MAX_THREADS];
    int thread = *front;
    *front = *drawn;
    *drawn = thread;
}

/* ---- errors of CUDA's functions ---- */
long long emu_noise;

/* Evenly from [-most, most]; the same for the same arguments. */
static long long drawn_error(unsigned long long x, unsigned long long y, long long most)
{
    unsigned long long hash = (x ^ y * 0x9e3779b97f4a7c15ull) * 0xd6e8feb86659fd93ull;
    hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93ull;
    hash ^= hash >> 32;
    return static_cast<long long>(hash % (2 * static_cast<unsigned long long>(most) + 1)) - most;
}

template <typename T, typename I> static T noisy(T exact, unsigned ulp, T x, T y)
{
    I bits, a, b, error;
    if (!isfinite(exact) || exact == 0 || (x == 0 && y == 0)) return exact;
    memcpy(&bits, &exact, sizeof bits);
    memcpy(&a, &x, sizeof a);
    memcpy(&b, &y, sizeof b);
    error = static_cast<I>(drawn_error(static_cast<unsigned long long>(a),
                                       static_cast<unsigned long long>(b), emu_noise * ulp));
    bits += error; /* towards or away from 0: the magnitude's last place */
    T result;
    memcpy(&result, &bits, sizeof result);
    if (!isfinite(result) || (result > 0) != (exact > 0)) return exact;
    /* On the same side of 1 and of -1, which few functions reach: sin, cos, exp, pow of what is so.
     */
    if ((fabs(exact) <= 1) != (fabs(result) <= 1)) return exact;
    return result;
}

float emu_noisy(float exact, unsigned ulp, float x, float y)
{
    return noisy<float, int>(exact, ulp, x, y);
}

double emu_noisy_double(double exact, unsigned ulp, double x, double y)
{
    return noisy<double, long long>(exact, ulp, x, y);
}

/* ---- faults ---- */
void emu_where(char *text, size_t room)
{
    if (!grid) {
        snprintf(text, room, "no kernel runs");
        return;
    }
    uint3 t = emu_thread_index, b = emu_block_index;
    int at = snprintf(text, room, "kernel %s", grid->name);
    if (inside && at > 0 && (size_t)at < room)
        snprintf(text + at, room - (size_t)at, " block (%u,%u,%u) thread (%u,%u,%u)", b.x, b.y, b.z,
                 t.x, t.y, t.z);
}

void emu_fault(const char *format, ...)
{
    char where[256];
    emu_where(where, sizeof where);
    va_list list;
    va_start(list, format);
    fprintf(stderr, "cuda_emu: %s: ", where);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    abort();
}

/* The last word of a program that a sanitizer ends; each has its own way to ask for it. */
extern "C" void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void last_word(void)
{
    char where[256];
    emu_where(where, sizeof where);
    fprintf(stderr, "cuda_emu: in %s\n", where);
}

extern "C" void __ubsan_on_report(void);
extern "C" void __ubsan_on_report(void)
{
    last_word();
}

__attribute__((constructor)) static void install_last_word(void)
{
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(last_word);
#ifdef WITH_MSAN /* of libraries it knows nothing: what they write looks unwritten to it */
    __msan_scoped_disable_interceptor_checks();
#endif
}

static void select_thread(int i)
{
    self_index = i;
    emu_thread_index = threads[i].index;
    inside = true;
}

/* Nobody can run: names a thread that waits, and what it waits for. */
[[noreturn]] static void report_stuck(void)
{
    int waiting[4] = {0, 0, 0, 0}, first = -1, missing = -1;
    for (int i = 0; i < thread_count; i++) {
        waiting[threads[i].state]++;
        if (first < 0 && threads[i].state != ENDED) first = i;
    }
    const struct thread *t = &threads[first];
    select_thread(first);
    if (t->state == AT_BARRIER) {
        for (int i = thread_count - 1; i >= 0; i--)
            if (threads[i].state != AT_BARRIER) missing = i;
        emu_fault("the barrier at line %d is reached by %d of %d threads; thread %d %s", t->line,
                  waiting[AT_BARRIER], thread_count, missing,
                  threads[missing].state == ENDED ? "has ended" : "waits for its warp");
    }
    int base = first / 32 * 32;
    for (int lane = 31; lane >= 0; lane--) {
        const struct thread *other = &threads[base + lane];
        if (!(t->mask >> lane & 1)) continue;
        if (base + lane >= thread_count || other->state != AT_WARP || other->mask != t->mask ||
            other->line != t->line || other->finish != t->finish)
            missing = lane;
    }
    emu_fault("the warp operation at line %d with mask %08x waits for lane %d, which does not come "
              "there with that mask",
              t->line, t->mask, missing);
}

/* ---- the threads of a block ---- */
static void wait_for_others(enum thread_state state, int line)
{
    struct thread *t = &threads[self_index];
    t->state = state;
    t->line = line;
    emu_fiber_switch(&t->fiber, &scheduler);
}

static void fiber_entry(void)
{
    emu_fiber_entered();
    for (;;) {
        thread_body(thread_arguments);
        wait_for_others(ENDED, 0);
    }
}

static void run_block(void)
{
    ready_first = ready_count = barrier_arrived = barrier_predicates = 0;
    for (int i = 0; i < thread_count; i++)
        push_ready(backwards ? thread_count - 1 - i : i);
    bool ahead = any_order && draw_below(2) == 1;
    while (ready_count > 0) {
        if (any_order) draw_next(ahead);
        int i = ready[ready_first];
        ready_first = (ready_first + 1) % MAX_THREADS;
        ready_count--;
        select_thread(i);
        if (!threads[i].created) emu_fiber_create(&threads[i].fiber, fiber_entry);
        threads[i].created = true;
        emu_fiber_switch(&scheduler, &threads[i].fiber);
        inside = false;
    }
    for (int i = 0; i < thread_count; i++)
        if (threads[i].state != ENDED) report_stuck();
}

/* ---- shared memory ---- */
/* Bounds of the linker's section of all __shared__ variables; absent when there are none. */
extern "C" {
extern unsigned char __start_emu_shared[] __attribute__((weak, visibility("hidden")));
extern unsigned char __stop_emu_shared[] __attribute__((weak, visibility("hidden")));
}
static unsigned char *dynamic_shared;

/* AddressSanitizer's red zones lie between shared variables: filled like the rest. */
__attribute__((no_sanitize("address"))) static void fill(unsigned char *from, unsigned char *to)
{
    for (volatile unsigned char *p = from; p < to; p++)
        *p = EMU_POISON;
#ifdef WITH_MSAN
    __msan_allocated_memory(from, static_cast<size_t>(to - from));
#endif
}

void emu_forget(void *memory, size_t bytes)
{
    unsigned char *from = static_cast<unsigned char *>(memory);
    fill(from, from + bytes);
}

#ifdef WITH_MSAN /* gcc knows no such sanitizer */
#define READS_ALL no_sanitize("address", "memory")
#else
#define READS_ALL no_sanitize("address")
#endif
__attribute__((READS_ALL)) static void bounds_of_use(unsigned char **from, unsigned char **to)
{
    unsigned char *first = __start_emu_shared, *last = __stop_emu_shared;
    while (first < last && *first == EMU_POISON)
        first++;
    while (last > first && last[-1] == EMU_POISON)
        last--;
    *from = first;
    *to = last;
}

void *emu_dynamic_shared(void)
{
    if (!dynamic_shared) emu_fault("DYNAMIC_SHARED without shared_bytes in the launch");
    return dynamic_shared;
}

/* ---- the grid ---- */
unsigned long long emu_work;

void emu_grid_order(bool reverse)
{
    reversed = reverse;
}

static void set_block(size_t number)
{
    const dim3 *g = &grid->grid;
    emu_block_index.x = static_cast<unsigned>(number % g->x);
    emu_block_index.y = static_cast<unsigned>(number / g->x % g->y);
    emu_block_index.z = static_cast<unsigned>(number / g->x / g->y);
}

void emu_run_grid(const struct emu_grid *g, void (*body)(void *), void *arguments)
{
    grid = g;
    choose_order(reversed);
    emu_noise = emu_settings()->ulp;
    thread_body = body;
    thread_arguments = arguments;
    emu_block_size = g->block;
    emu_grid_size = g->grid;
    thread_count = static_cast<int>(g->block.x * g->block.y * g->block.z);
    for (int i = 0; i < thread_count; i++) {
        unsigned at = static_cast<unsigned>(i);
        threads[i].index.x = at % g->block.x;
        threads[i].index.y = at / g->block.x % g->block.y;
        threads[i].index.z = at / g->block.x / g->block.y;
    }
    void *dynamic = NULL;
    if (g->shared_bytes > 0 && posix_memalign(&dynamic, 16, g->shared_bytes) != 0) abort();
    dynamic_shared = static_cast<unsigned char *>(dynamic);

    /* The first block starts with all of the section filled; the following ones with that part
     * which the first has used, which is what this kernel declares. */
    unsigned char *from = __start_emu_shared, *to = __stop_emu_shared;
    size_t blocks = static_cast<size_t>(g->grid.x) * g->grid.y * g->grid.z;
    bool spoilt = emu_is_spoilt(g);
    size_t offset = any_order ? draw_below(static_cast<unsigned>(blocks)) : 0;
    for (size_t i = 0; i < blocks; i++) {
        if (spoilt && i == (backwards ? blocks - 1 : 0)) continue;
        if (from) fill(from, to);
        if (dynamic_shared) fill(dynamic_shared, dynamic_shared + g->shared_bytes);
        set_block(backwards ? blocks - 1 - i : (i + offset) % blocks);
        run_block();
        if (i == 0 && from) bounds_of_use(&from, &to);
    }
    free(dynamic_shared);
    dynamic_shared = NULL;
    emu_noise = 0;
    grid = NULL;
}

/* ---- barriers and warps ---- */
int emu_barrier(int line, int predicate)
{
    barrier_arrived++;
    barrier_predicates += predicate != 0;
    if (barrier_arrived < thread_count) {
        wait_for_others(AT_BARRIER, line);
        return barrier_result;
    }
    for (int i = 0; i < thread_count; i++) {
        if (i == self_index) continue;
        if (threads[i].line != line)
            emu_fault("at the barrier of line %d while thread %d is at that of line %d", line, i,
                      threads[i].line);
    }
    barrier_result = barrier_predicates;
    barrier_arrived = barrier_predicates = 0;
    for (int i = 0; i < thread_count; i++) {
        int next = backwards ? thread_count - 1 - i : i;
        if (next != self_index) push_ready(next);
    }
    return barrier_result;
}

unsigned emu_lane(void)
{
    return static_cast<unsigned>(self_index) % 32;
}

void emu_warp(int line, unsigned mask, emu_finish finish, void *argument)
{
    int base = self_index / 32 * 32;
    struct thread *self = &threads[self_index];
    if (!(mask >> emu_lane() & 1))
        emu_fault("line %d: lane %u is not in its own mask %08x", line, emu_lane(), mask);
    self->mask = mask;
    self->finish = finish;
    self->argument = argument;
    void *arguments[32];
    arguments[self_index - base] = argument;
    for (int i = 1; i < 32; i++) { /* from the lane that runs next, which is likely to be missing */
        int lane = (self_index + (backwards ? -i : i)) & 31;
        struct thread *other = &threads[base + lane];
        arguments[lane] = NULL;
        if (!(mask >> lane & 1)) continue;
        arguments[lane] = other->argument;
        if (base + lane >= thread_count || other->state != AT_WARP || other->line != line ||
            other->mask != mask || other->finish != finish) {
            wait_for_others(AT_WARP, line);
            return;
        }
    }
    if (finish) finish(arguments, mask);
    for (int i = 0; i < 32; i++) {
        int lane = backwards ? 31 - i : i;
        if ((mask >> lane & 1) && base + lane != self_index) push_ready(base + lane);
    }
}

/* ---- alignment: what the compiler calls where an access has not what its type wants ---- */
#ifdef EMU_ALIGNMENT
struct emu_mismatch {
    const char *file;
    uint32_t line, column;
    const struct {
        uint16_t kind, info;
        char name[1];
    } * type;
    unsigned char log_alignment, access;
};

extern "C" [[noreturn]] void __ubsan_handle_type_mismatch_v1_abort(struct emu_mismatch *where,
                                                                   uintptr_t address);
extern "C" [[noreturn]] void __ubsan_handle_type_mismatch_v1_abort(struct emu_mismatch *where,
                                                                   uintptr_t address)
{
    emu_fault("%s:%u: %s at %#llx, no multiple of %d", where->file, where->line, where->type->name,
              static_cast<unsigned long long>(address), 1 << where->log_alignment);
}
#endif

void emu_syncwarp(int line, unsigned mask)
{
    emu_warp(line, mask, NULL, NULL);
}

static void finish_ballot(void *const arguments[32], unsigned mask)
{
    unsigned ballot = 0;
    for (unsigned lane = 0; lane < 32; lane++)
        if ((mask >> lane & 1) && static_cast<struct emu_vote *>(arguments[lane])->predicate)
            ballot |= 1u << lane;
    for (int lane = 0; lane < 32; lane++)
        if (mask >> lane & 1) static_cast<struct emu_vote *>(arguments[lane])->ballot = ballot;
}

unsigned emu_ballot(int line, unsigned mask, int predicate)
{
    struct emu_vote vote = {predicate, 0};
    emu_warp(line, mask, finish_ballot, &vote);
    return vote.ballot;
}

int emu_shuffle_source(int kind, unsigned lane, int operand, int width)
{
    int self = static_cast<int>(lane), first = self / width * width, last = first + width - 1;
    int source = kind == EMU_INDEX  ? first + (operand & (width - 1))
                 : kind == EMU_UP   ? self - operand
                 : kind == EMU_DOWN ? self + operand
                                    : self ^ operand;
    if (kind == EMU_UP && source < first) return -1;
    if (kind != EMU_UP && source > last) return -1;
    return source;
}
