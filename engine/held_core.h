/* engine/held_core.h - what the files of held text share; nobody else includes it. */
#ifndef ENGINE_HELD_CORE_H
#define ENGINE_HELD_CORE_H
#include "engine/held.h"
#include "engine/lookup.h"

enum { HELD_TAIL = 32 /* bytes of the text that what follows is tokenised after */ };

struct held_text {
    sched_held ask;
    matcher *m;
    uint32_t n_vocab; /* the model's */
    uint32_t words;   /* of a mask */
    const int32_t *stop_ids;
    uint32_t n_stop;
    size_t settled; /* up to this byte, forced text was looked for */
    tok_ids due;    /* of that text; */
    size_t due_at;  /* how many were taken */
    st_buf forced;
    st_buf text; /* scratch of encode_after */
    tok_ids ids;
    uint32_t n_allowed; /* text ids in `bits` */
    uint32_t *bits;     /* [words] what may come next, ends with it */
    uint32_t *rows;     /* [HELD_GUESSES + 1, words] of a walk */
    lookup input;
    size_t copied;   /* where in the input the last copy ended */
    tok_ids guess;   /* to be tried next; */
    size_t guess_at; /* how many were */
    bool closes;     /* after them a value ends */
};

/* Tokens of text[0, len) as it would be written after what there is: ids[*ret_from, n) of
 * h->ids, none where they cannot be told from those before. */
ST_NODISCARD int held_encode_after(held_text *h, const char *text, size_t len,
                                   unsigned flags, size_t *ret_from, st_err *err);
/* What the matcher said to an attempt: *ret_fits, or an error other than ST_EINVAL. */
int held_tried(int rc, const st_err *why, bool *ret_fits, st_err *err);
/* A guess at the choice that comes next; -1: none. */
ST_NODISCARD int held_guess(held_text *h, int32_t *ret_id, st_err *err);
static inline void held_guess_drop(held_text *h)
{
    h->guess.n = h->guess_at = 0;
    h->closes = false;
}
#endif
