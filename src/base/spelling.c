#include "base/spelling.h"

#include <ctype.h>
#include <string.h>

enum { LONGEST = 63 };

static int spelling_fold(char c)
{
    return c == '-' ? '_' : tolower((unsigned char)c);
}

static int spelling_smallest(int a, int b)
{
    return a < b ? a : b;
}

int nearest_distance(const char *a, const char *b)
{
    int n = (int)strnlen(a, LONGEST), m = (int)strnlen(b, LONGEST);
    int rows[3][LONGEST + 1]; /* rows i - 2, i - 1 and i of the edit table, taking turns */
    for (int j = 0; j <= m; j++)
        rows[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int replaced = above[j - 1] + (spelling_fold(a[i - 1]) != spelling_fold(b[j - 1]));
            row[j] = spelling_smallest(replaced, 1 + spelling_smallest(above[j], row[j - 1]));
            if (i > 1 && j > 1 && spelling_fold(a[i - 1]) == spelling_fold(b[j - 2]) &&
                spelling_fold(a[i - 2]) == spelling_fold(b[j - 1]))
                row[j] = spelling_smallest(row[j], above2[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

int nearest_is_close(const char *name, int distance)
{
    int length = (int)strnlen(name, LONGEST);
    return distance <= (length < 4 ? 1 : length < 9 ? 2 : length / 3);
}
