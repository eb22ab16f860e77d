/* serve/raw_prompt.h - prompts that are text or tokens, without a template.
 *
 * Who sends one has laid it out himself: spellings of control tokens in it are those
 * tokens.
 *
 * Threads: as talk.h. */
#ifndef SERVE_RAW_PROMPT_H
#define SERVE_RAW_PROMPT_H
#include "serve/talk.h"

#define RAW_PROMPT_TYPES (MEMBER_STRING | MEMBER_ARRAY)

/* Start with the member "prompt": a text, token ids, or several of those.  An array of
 * texts is as many prompts, or without `many` one prompt in pieces.  What else the body
 * asks has been read; what is wrong with it is answered. */
void raw_start(talk *t, const json_t *body, bool many);
#endif
