#include "emu_fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined __SANITIZE_ADDRESS__
#define WITH_ASAN 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif

/* Stacks that change under AddressSanitizer's feet have to be told to it. */
#ifdef WITH_ASAN
extern "C" {
void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake, const void **old_bottom, size_t *old_size);
}
#endif

enum { GUARD = 4096 };
static const size_t stack_bytes = (size_t)256 << 10;
static struct emu_fiber *left_fiber; /* the one that the last switch left */

#if defined __x86_64__
/* Saves what the System V ABI leaves to the called function. ucontext does the same with two system
 * calls, which take ten times as long. */
extern "C" void emu_switch_stacks(void **save, void *load);
__asm__(".text\n"
        ".globl emu_switch_stacks\n"
        ".type emu_switch_stacks, @function\n"
        "emu_switch_stacks:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size emu_switch_stacks, .-emu_switch_stacks\n"
        ".section .note.GNU-stack,\"\",@progbits\n"
        ".text\n");

static void prepare(struct emu_fiber *fiber, void (*entry)(void))
{
    uintptr_t *top =
        reinterpret_cast<uintptr_t *>(static_cast<char *>(fiber->stack) + fiber->bytes);
    *--top = 0; /* keeps the stack 16-byte aligned at entry, and ends back traces */
    *--top = reinterpret_cast<uintptr_t>(entry);
    for (int saved = 0; saved < 6; saved++)
        *--top = 0;
    fiber->sp = top;
}

static void switch_stacks(struct emu_fiber *from, struct emu_fiber *to)
{
    emu_switch_stacks(&from->sp, to->sp);
}
#else
#include <ucontext.h>

static void prepare(struct emu_fiber *fiber, void (*entry)(void))
{
    ucontext_t *context = static_cast<ucontext_t *>(calloc(1, sizeof *context));
    if (!context || getcontext(context) != 0) abort();
    context->uc_stack.ss_sp = fiber->stack;
    context->uc_stack.ss_size = fiber->bytes;
    makecontext(context, entry, 0);
    fiber->sp = context;
}

static void switch_stacks(struct emu_fiber *from, struct emu_fiber *to)
{
    if (!from->sp) from->sp = calloc(1, sizeof(ucontext_t));
    if (!from->sp) abort();
    swapcontext(static_cast<ucontext_t *>(from->sp), static_cast<ucontext_t *>(to->sp));
}
#endif

void emu_fiber_create(struct emu_fiber *fiber, void (*entry)(void))
{
    void *memory = mmap(NULL, stack_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, GUARD, PROT_NONE) != 0) {
        perror("cuda_emu: stack of a fiber");
        abort();
    }
    fiber->stack = static_cast<char *>(memory) + GUARD;
    fiber->bytes = stack_bytes - GUARD;
    fiber->fake = NULL;
    prepare(fiber, entry);
}

static void arrived(struct emu_fiber *self)
{
#ifdef WITH_ASAN
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(self ? self->fake : NULL, &bottom, &size);
    if (left_fiber && !left_fiber->stack) { /* the program's own stack: seen for the first time */
        left_fiber->stack = const_cast<void *>(bottom);
        left_fiber->bytes = size;
    }
#else
    (void)self;
#endif
}

void emu_fiber_entered(void)
{
    arrived(NULL);
}

void emu_fiber_switch(struct emu_fiber *from, struct emu_fiber *to)
{
    left_fiber = from;
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(&from->fake, to->stack, to->bytes);
#endif
    switch_stacks(from, to);
    arrived(from);
}
