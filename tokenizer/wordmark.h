/* tokenizer/wordmark.h - the character classes of WordPiece and Falcon.  Threads: any. */
#ifndef TOKENIZER_WORDMARK_H
#define TOKENIZER_WORDMARK_H
#include <stdbool.h>
#include <stdint.h>

bool wordmark_is_punct(uint32_t c);     /* splits words and stands alone */
bool wordmark_is_mark(uint32_t c);      /* an accent */
bool wordmark_is_dropped(uint32_t c);   /* control, format and private characters */
bool wordmark_is_space(uint32_t c);     /* Unicode white space */
bool wordmark_is_ideograph(uint32_t c); /* each is a word */

#endif
