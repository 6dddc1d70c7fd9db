/* Enough stack whatever the limit: `ulimit -s 64` leaves 64 KiB to the main thread and, by the C
 * library's default, to every thread that is made, those of video encoders among them, which need
 * more and end in a segmentation fault. */
#ifndef IMGTRAIN_BASE_STACK_H
#define IMGTRAIN_BASE_STACK_H

/* Returns function(argc, argv). Where the limit of the stack is small, it runs on a thread with
 * more, which gets the process's signals, and so does every thread that is made from then on. */
int stack_run(int (*function)(int argc, char **argv), int argc, char **argv);

#endif
