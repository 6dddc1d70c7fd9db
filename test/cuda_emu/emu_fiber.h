/* Fibers: stacks that take turns on one thread. */
#ifndef CUDA_EMU_FIBER_H
#define CUDA_EMU_FIBER_H

#include <stddef.h>

struct emu_fiber {
    void *sp;    /* where it stopped */
    void *stack; /* NULL: the stack of the program */
    size_t bytes;
    void *fake; /* AddressSanitizer's frames of this fiber */
};

/* A fiber that starts in `entry`, which never returns, at the first switch to it. */
void emu_fiber_create(struct emu_fiber *fiber, void (*entry)(void));
void emu_fiber_switch(struct emu_fiber *from, struct emu_fiber *to);
/* First thing in `entry`. */
void emu_fiber_entered(void);

#endif
