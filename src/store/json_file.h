/* JSON files of other programs, read by cJSON; each error names the file and the key. */
#ifndef IMGTRAIN_STORE_JSON_FILE_H
#define IMGTRAIN_STORE_JSON_FILE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value that all of a text is, of which text[bytes] is 0; NULL: it is none, or damaged at byte
 * *at, or, where errno is ENOMEM, memory did not suffice. Owned: cJSON_Delete. */
cJSON *json_parse(const char *text, size_t bytes, size_t *at);
/* The object that a file is; `limit`: most bytes of it. ERR_INPUT, ERR_DATA, ERR_IO,
 * ERR_SYSTEM. Owned: cJSON_Delete. */
int json_file_read(cJSON **object, const char *path, size_t limit);
/* Likewise, of a text that file_read has read already. */
int json_file_parse(cJSON **object, const char *path, const uint8_t *text, size_t bytes);

/* A member, whatever its kind; NULL where it is absent or null. Borrowed. */
const cJSON *json_file_member(const cJSON *object, const char *key);

/* A member of `object`, which is that of the file `path`. Where it is absent or null, *value stays
 * as it is and the answer is OK; ERR_DATA where it is of another kind or out of range (NaN is).
 * Strings are borrowed. */
int json_file_int(const cJSON *object, const char *path, const char *key, int64_t low, int64_t high,
                  int *value);
int json_file_double(const cJSON *object, const char *path, const char *key, double low,
                     double high, double *value);
int json_file_bool(const cJSON *object, const char *path, const char *key, bool *value);
int json_file_string(const cJSON *object, const char *path, const char *key, const char **value);
/* A list of exactly `count` numbers. */
int json_file_ints(const cJSON *object, const char *path, const char *key, int64_t low,
                   int64_t high, int count, int *values);

/* ERR_DATA unless the key is there. */
int json_file_expect(const cJSON *object, const char *path, const char *key);

#endif
