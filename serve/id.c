/* serve/id.c - names for answers, that nobody can guess. */
#include "serve/id.h"

#include <sodium/randombytes.h>
#include <stdio.h>

void id_make(const char *prefix, char ret_id[ID_MAX])
{
    static const char letters[] =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    enum { N = sizeof letters - 1, EVEN = 256 / N * N }; /* bytes below: each as likely */
    unsigned char bytes[2 * ID_DRAWN]; /* one look at the system's randomness as a rule */
    char drawn[ID_DRAWN + 1];
    unsigned n = 0;
    while (n < ID_DRAWN) {
        randombytes_buf(bytes, sizeof bytes);
        for (unsigned i = 0; i < sizeof bytes && n < ID_DRAWN; i++)
            if (bytes[i] < EVEN)
                drawn[n++] = letters[bytes[i] % N];
    }
    drawn[ID_DRAWN] = '\0';
    snprintf(ret_id, ID_MAX, "%s%s", prefix, drawn);
}
