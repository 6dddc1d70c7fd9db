/* The program's version, in one place: --version, checkpoint metadata, doctor. */
#ifndef IMGTRAIN_BASE_VERSION_H
#define IMGTRAIN_BASE_VERSION_H

#define IMGTRAIN_VERSION "0.1.0"

/* The day of the man page. */
#define IMGTRAIN_DATE "2026-11-28"

#endif
