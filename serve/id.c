/* serve/id.c - names for answers, that nobody can guess. */
#include "serve/id.h"

#include <sodium/randombytes.h>
#include <stdio.h>

void id_make(const char *prefix, char ret_id[ID_MAX])
{
    static const char letters[] =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char drawn[ID_DRAWN + 1];
    for (unsigned i = 0; i < ID_DRAWN; i++)
        drawn[i] = letters[randombytes_uniform(sizeof letters - 1)];
    drawn[ID_DRAWN] = '\0';
    snprintf(ret_id, ID_MAX, "%s%s", prefix, drawn);
}
