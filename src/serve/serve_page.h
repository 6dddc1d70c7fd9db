/* The page for people: model, size and seed are picked, the image is shown. */
#ifndef IMGTRAIN_SERVE_SERVE_PAGE_H
#define IMGTRAIN_SERVE_SERVE_PAGE_H

/* serve_page.html, which asks for nothing from another server: the build makes the array. */
extern const char serve_page[];

#endif
