/* serve/id.h - names for answers, that nobody can guess.  Threads: any. */
#ifndef SERVE_ID_H
#define SERVE_ID_H

enum { ID_MAX = 64, ID_DRAWN = 24 }; /* with the NUL; letters and digits after a prefix */

/* "chatcmpl-" and 24 letters and digits at random.  A prefix of at most 39 bytes. */
void id_make(const char *prefix, char ret_id[ID_MAX]);
#endif
