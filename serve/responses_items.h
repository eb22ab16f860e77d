/* serve/responses_items.h - answers of /v1/responses: items, and the events that tell
 * them as they are made.
 *
 * Both come from the same walk over what is certain of the text, so a stream's last event
 * carries what the whole answer would have been.
 *
 * Threads, memory: as talk.h. */
#ifndef SERVE_RESPONSES_ITEMS_H
#define SERVE_RESPONSES_ITEMS_H
#include "serve/talk.h"

typedef struct responses_own { /* talk.own */
    json_int_t n_events;
    json_t *output; /* items that are done */
    bool said;      /* the message has begun, */
    bool said_all;  /* and is done */
    char item_id[ID_MAX];
    json_t *choice; /* tool_choice as chat has it */
} responses_own;

void responses_own_free(void *own);
bool responses_more(talk *t, talk_text *x);
void responses_finish(talk *t);
void responses_fail(talk *t, const problems *p);
#endif
