/* What translating another trainer's option file goes by: what they say, and what becomes of it. */
#ifndef IMGTRAIN_CONFIG_FOREIGN_SAY_H
#define IMGTRAIN_CONFIG_FOREIGN_SAY_H

#include "config/config_internal.h"

struct translation {
    const struct config_entries *theirs;
    struct config_entries *ours;
    struct config_faults *faults;
    const struct config_entry *first_loss; /* NULL: the file names none */
};

/* What becomes of an entry whose key is not one of ours: negative only where reading on makes no
 * sense. */
typedef int foreign_rule(struct translation *t, const struct config_entry *entry);

/* The first value of it; "" without one, and for NULL. */
const char *foreign_text(const struct config_entry *entry);
bool foreign_is_off(const struct config_entry *entry);
bool foreign_is_auto(const struct config_entry *entry);
/* NULL: they do not say it. */
const struct config_entry *foreign_find(const struct translation *t, const char *path);
double foreign_number(const struct translation *t, const char *path, double otherwise);
/* Whether a key of ours, without its section, is said already. */
bool foreign_is_said(const struct translation *t, const char *key);

/* Notes a fault. */
int foreign_refuse(struct translation *t, const struct config_entry *entry, const char *why);
int foreign_no_effect(const struct config_entry *entry);
/* Our key, said where they say theirs; text NULL: with all of their values. */
int foreign_say(struct translation *t, const struct config_entry *entry, const char *key,
                const char *text);
/* A list, `values` with a blank between. */
int foreign_say_values(struct translation *t, const struct config_entry *entry, const char *key,
                       const char *values);
int foreign_say_number(struct translation *t, const struct config_entry *entry, const char *key,
                       double value);

#endif
