/* The page around a report, and text in it. */
#ifndef IMGTRAIN_REPORT_HTML_H
#define IMGTRAIN_REPORT_HTML_H

#include <stdio.h>

/* Text as it is, whatever is in it; bytes that are no UTF-8 become U+FFFD. For the inside of
 * elements and of attributes in quotes. */
void html_write_text(FILE *out, const char *text);

/* Everything before and behind the content: style, and the script that moves sliders and says
 * numbers of curves. Nothing is fetched from anywhere. */
void html_begin(FILE *out, const char *title);
void html_end(FILE *out);

/* Rows of a table with two columns. */
void html_begin_facts(FILE *out);
void html_add_fact(FILE *out, const char *label, const char *text);
void html_end_facts(FILE *out);

/* A number for people, in six digits at most; "" when it is not known. */
struct html_number {
    char text[32];
};
struct html_number html_number(double value);
/* "12 s", "3 min 20 s", "2 h 5 min"; "" when it is not known. */
struct html_number html_duration(double seconds);

#endif
