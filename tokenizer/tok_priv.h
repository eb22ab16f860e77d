/* tokenizer/tok_priv.h - what the files of this room share; nobody else includes it.
 *
 * A vocabulary is an array of pieces.  A piece has its spelling in the file (`text`) and
 * the bytes it stands for in a text (`raw`).  A text is cut at control tokens
 * (special.c), each stretch between them is encoded by the algorithm of the vocabulary,
 * which appends ids through tok_push(). */
#ifndef TOKENIZER_TOK_PRIV_H
#define TOKENIZER_TOK_PRIV_H
#include "tokenizer/tokenizer.h"

#include "base/hash.h"
#include "base/map.h"
#include "tokenizer/pre.h"

typedef enum tok_algo {
    TOK_BYTE_BPE,  /* "gpt2": merges over bytes written as printable characters */
    TOK_SPACE_BPE, /* "gemma4": merges over characters, spaces written as U+2581 */
    TOK_SPM,       /* "llama": the same characters, merged by the score of the result */
    TOK_WORDPIECE, /* "bert" */
} tok_algo;

enum { /* tokenizer.ggml.token_type */
       PIECE_NORMAL = 1,
       PIECE_UNKNOWN = 2,
       PIECE_CONTROL = 3,
       PIECE_USER = 4, /* recognised in every text, before anything else */
       PIECE_UNUSED = 5,
       PIECE_BYTE = 6,
};

enum {
    TOK_MAX_TEXT = 1 << 30,    /* bytes of one text: positions are 32 bits wide */
    TOK_MAX_PIECE = 1 << 16,   /* bytes of one spelling */
    TOK_MAX_SPECIAL = 1 << 10, /* bytes of a spelling that is searched for in texts:
                                  bounds the work at each position */
};

#define TOK_SPACE "\xE2\x96\x81" /* U+2581, a space in most vocabularies */

enum { MAX_ENDS = 32 }; /* more than there are spellings and keys for them */

typedef struct piece {
    const char *text; /* as spelled in the vocabulary */
    const char *raw;  /* the bytes it stands for */
    uint32_t text_len;
    uint32_t raw_len;
    uint32_t order; /* SPM: smaller merges first */
    uint8_t kind;   /* PIECE_... */
    bool ends;      /* ends a turn or a text */
    bool rstrip;    /* white space after it belongs to it */
} piece;

typedef struct merge_slot {
    uint64_t pair; /* left id << 32 | right id */
    uint32_t rank;
    int32_t id; /* what the pair becomes; -1 marks a free slot */
} merge_slot;

struct tok {
    tok_algo algo;
    piece *pieces;
    uint32_t n;
    uint32_t max_text; /* longest spelling, bytes */
    char *text_blob;
    char *raw_blob;
    st_map by_text;        /* spelling -> id, every kind */
    st_map by_raw;         /* bytes -> id, literal pieces; filled only for whole_words */
    int32_t byte_ids[256]; /* the piece of one byte, or -1 */
    merge_slot *merges;
    size_t n_merge_slots; /* a power of two */
    int32_t *specials;    /* control, unknown and user-defined pieces by spelling */
    uint32_t n_specials;
    uint32_t special_first[257]; /* where the spellings with that first byte start */
    pre_split *pre;
    bool nfc;          /* text is brought to NFC first */
    bool whole_words;  /* a word that is a piece is not merged ("ignore_merges") */
    bool space_prefix; /* SPM: a stretch starts with a space */
    bool add_bos;
    bool add_eos;
    bool add_sep;
    bool lower;         /* WordPiece */
    bool strip_accents; /* WordPiece */
    bool hash_prefix; /* WordPiece: "##" marks inner pieces; else U+2581 marks first ones
                       */
    bool space_after[256]; /* some piece has a space right after that byte */
    bool has_bytes;        /* every byte has a piece */
    int32_t bos;           /* -1 where there is none, as below */
    int32_t eos;
    int32_t unk;
    int32_t sep;
    int32_t ends[MAX_ENDS]; /* pieces that end a turn or a text */
    uint32_t n_ends;
    char *chat_template;
    char digest[ST_DIGEST_TEXT];
};

typedef struct merge_sym { /* a stretch of the text that is one symbol so far */
    uint32_t at;
    uint32_t len; /* 0 once it was merged into its left neighbour */
    uint32_t prev;
    uint32_t next;
    int32_t id; /* -1 when it is no piece */
} merge_sym;

typedef struct merge_cand { /* a merge that was possible when it was queued */
    uint32_t order;
    uint32_t left; /* symbol */
    uint32_t size; /* bytes of both; another size means that one has changed since */
    int32_t id;
} merge_cand;

typedef struct tok_run { /* one call of tok_encode() */
    const tok *t;
    tok_ids *out;
    st_err *err;
    pre_match *match; /* NULL unless the tokenizer splits by patterns */
    const char *text; /* what the symbols point into */
    merge_sym *syms;
    size_t n_syms;
    size_t cap_syms;
    merge_cand *heap;
    size_t n_heap;
    size_t cap_heap;
    st_buf work;        /* the stretch after normalisation */
    size_t unknown_end; /* ids so far when the last was an unknown token */
} tok_run;

/* May text spell this piece?  Control tokens, bytes and the unknown token: never. */
static inline bool piece_is_literal(const piece *p)
{
    return p->kind != PIECE_CONTROL && p->kind != PIECE_UNKNOWN && p->kind != PIECE_BYTE;
}

/* vocab.c */
int vocab_load(tok *t, const gguf *g, st_err *err); /* spellings, kinds, scores */
int vocab_decode(tok *t, st_err *err); /* raw bytes, once the kinds are settled */
/* Where the word at `at` ends: no piece goes over that place, so what is before it merges
 * without what is behind it.  For texts whose spaces are written as TOK_SPACE. */
size_t vocab_word_end(const tok *t, const char *s, size_t len, size_t at);
void vocab_digest(const tok *t, st_sha *sha);
int32_t vocab_literal(const tok *t, const char *text, size_t len); /* id or -1 */

/* merges.c */
int merges_load(tok *t, const gguf *g, st_sha *sha, st_err *err);
const merge_slot *merges_find(const tok *t, int32_t left, int32_t right);

/* roles.c: which pieces begin, end and separate texts. */
int roles_load(tok *t, const gguf *g, unsigned pre_flags, st_err *err);

/* special.c */
int special_index(tok *t, st_err *err);
/* The first token at or after `at` whose spelling the rules let count; the longest where
 * several start at one place.  False when there is none. */
bool special_next(const tok *t, const char *text, const unsigned char *marks, size_t len,
                  size_t at, bool parse, size_t *ret_at, int32_t *ret_id);

/* tokenizer.c */
int tok_push(tok_run *r, int32_t id);
int tok_push_bytes(tok_run *r, const char *s, size_t len); /* byte pieces, or unknown */

/* The algorithms: one stretch without control tokens. */
int bpe_encode(tok_run *r, const char *s, size_t len);
int characters_encode(tok_run *r, const char *s, size_t len, bool prefix);
int wordpiece_encode(tok_run *r, const char *s, size_t len);

/* merge.c: begin with room for the symbols, add them, then merge_run joins them until
 * nothing joins. */
int merge_begin(tok_run *r, const char *text, size_t max_syms);
void merge_add(tok_run *r, uint32_t at, uint32_t len, int32_t id);
int merge_run(tok_run *r);

/* normal.c: the canonical composition of well-formed UTF-8 in r->work, or the text itself
 * where it is composed already. */
int normal_nfc(tok_run *r, const char *s, size_t len, const char **ret_s,
               size_t *ret_len);
#endif
