/* Which build of the program this is. */
#ifndef IMGTRAIN_REGISTRY_BUILD_ID_H
#define IMGTRAIN_REGISTRY_BUILD_ID_H

#include <stddef.h>

/* The linker's build id in hex; without one, size and time of the program's file. */
char *build_id(char *text, size_t room);

#endif
