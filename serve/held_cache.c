/* serve/held_cache.c - what texts are held to, compiled once and shared.
 *
 * A form is found by a digest of its kind, text and tokenizer.  It is in the table from
 * the moment that somebody begins to compile it; one that could not be compiled leaves
 * the table and tells all who waited why. */
#include "serve/held_cache.h"

#include "base/hash.h"
#include "base/mem.h"
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    N_BUCKETS = 1024,
    MASKER_BYTES = 32 << 20, /* of one form's states and masks */
    FORM_BYTES = 32 << 10,   /* what a form takes at least, and for each byte of text: */
    FORM_BYTES_EACH = 64,
    MOST_CHOICES = 100000,
};

typedef struct vocab_kept { /* pieces of a tokenizer */
    char digest[ST_DIGEST_TEXT];
    vocab *v;
    uint32_t n_forms;
    struct vocab_kept *next;
} vocab_kept;

typedef enum form_state { COMPILING, READY, FAILED } form_state;

struct held_form {
    held_cache *of;
    char digest[ST_DIGEST_TEXT];
    form_state state;
    uint32_t refs;
    toolset *set;
    grammar *grammar;
    vocab_kept *vocab;
    masker *masker;
    size_t fixed_bytes, counted; /* counted: as it stands in the cache's sum */
    atomic_size_t mask_bytes;
    st_err why; /* of FAILED */
    grammar_refusal refusal;
    held_form *next;          /* of its bucket */
    held_form *newer, *older; /* of those unused */
    bool idle;                /* one of those */
};

struct held_cache {
    pthread_mutex_t lock;
    pthread_cond_t settled; /* some form is no longer COMPILING */
    pthread_mutex_t vocab_lock;
    vocab_kept *vocabs;
    held_form *buckets[N_BUCKETS];
    held_form *newest, *oldest;
    size_t limit, bytes;
    uint32_t n;
    uint64_t hits, compiled;
};

int held_cache_new(size_t bytes, held_cache **ret_cache, st_err *err)
{
    held_cache *c = st_zalloc_n(1, sizeof *c);
    if (!c)
        return st_err_set(err, ST_ENOMEM, "no memory for what texts are held to");
    c->limit = bytes ? bytes : (size_t)256 << 20;
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->vocab_lock, NULL);
    pthread_cond_init(&c->settled, NULL);
    *ret_cache = c;
    return 0;
}

/* ---- pieces of tokenizers ---- */

static int vocab_get(held_cache *c, const tok *t, vocab_kept **ret, st_err *err)
{
    int rc = 0;
    pthread_mutex_lock(&c->vocab_lock);
    vocab_kept *k = c->vocabs;
    while (k && strcmp(k->digest, tok_digest(t)) != 0)
        k = k->next;
    if (!k) {
        k = st_zalloc_n(1, sizeof *k);
        rc = k ? vocab_new(t, &k->v, err)
               : st_err_set(err, ST_ENOMEM, "no memory for a vocabulary");
        if (rc < 0) {
            st_free(k);
        } else {
            memcpy(k->digest, tok_digest(t), strlen(tok_digest(t)) + 1);
            k->next = c->vocabs;
            c->vocabs = k;
        }
    }
    if (rc == 0) {
        k->n_forms++;
        *ret = k;
    }
    pthread_mutex_unlock(&c->vocab_lock);
    return rc;
}

static void vocab_put(held_cache *c, vocab_kept *k)
{
    pthread_mutex_lock(&c->vocab_lock);
    bool last = --k->n_forms == 0;
    for (vocab_kept **at = &c->vocabs; last && *at; at = &(*at)->next)
        if (*at == k) {
            *at = k->next;
            break;
        }
    pthread_mutex_unlock(&c->vocab_lock);
    if (!last)
        return;
    vocab_free(k->v);
    st_free(k);
}

/* ---- one form ---- */

static void form_free(held_form *f)
{
    masker_free(f->masker);
    if (f->vocab)
        vocab_put(f->of, f->vocab);
    grammar_free(f->grammar);
    toolset_free(f->set);
    st_free(f);
}

static int choices_compile(const form_ask *ask, grammar **ret, st_err *err)
{
    json_t *list = json_loadb(ask->text, ask->len, JSON_ALLOW_NUL, NULL);
    size_t n = json_array_size(list), i;
    json_t *item;
    if (n == 0 || n > MOST_CHOICES) {
        json_decref(list);
        return st_err_set(err, ST_EINVAL, "1 to %d choices, not %zu", (int)MOST_CHOICES,
                          n);
    }
    const char **texts = st_alloc_n(n, sizeof *texts);
    size_t *lens = st_alloc_n(n, sizeof *lens);
    int rc = texts && lens ? 0 : st_err_set(err, ST_ENOMEM, "no memory for choices");
    json_array_foreach(list, i, item)
    {
        if (rc == 0 && !json_is_string(item))
            rc = st_err_set(err, ST_EINVAL, "choice %zu is no string", i);
        if (rc == 0) {
            texts[i] = json_string_value(item);
            lens[i] = json_string_length(item);
        }
    }
    if (rc == 0)
        rc = grammar_choices(texts, lens, (uint32_t)n, ret, err);
    st_free(texts);
    st_free(lens);
    json_decref(list);
    return rc;
}

static int tools_compile(const form_ask *ask, held_form *f, st_err *err)
{
    const toolset_opts opts = {.choice = ask->choice,
                               .choice_len = ask->choice ? strlen(ask->choice) : 0,
                               .one_call = ask->one_call,
                               .max_calls = ask->max_calls};
    int rc = toolset_new(ask->text, ask->len, &opts, &f->set, &f->refusal, err);
    return rc < 0 ? rc
                  : grammar_tools(f->set, ask->format, &f->grammar, &f->refusal, err);
}

static int form_compile(held_form *f, const tok *t, const form_ask *ask, st_err *err)
{
    const grammar_schema_opts spaced = {.space = GRAMMAR_SPACED};
    const masker_opts bounds = {.bytes = MASKER_BYTES};
    int rc = ST_EINVAL;
    switch (ask->kind) {
    case FORM_SCHEMA:
        rc = grammar_schema(ask->text, ask->len, &spaced, &f->grammar, &f->refusal, err);
        break;
    case FORM_REGEX:
        rc = grammar_regex(ask->text, ask->len, &f->grammar, err);
        break;
    case FORM_GBNF:
        rc = grammar_gbnf(ask->text, ask->len, &f->grammar, err);
        break;
    case FORM_CHOICES:
        rc = choices_compile(ask, &f->grammar, err);
        break;
    case FORM_TOOLS:
        rc = tools_compile(ask, f, err);
        break;
    case FORM_NONE:
        rc = st_err_set(err, rc, "held to nothing");
        break;
    }
    if (rc == 0)
        rc = vocab_get(f->of, t, &f->vocab, err);
    if (rc == 0)
        rc = masker_new(f->grammar, f->vocab->v, &bounds, &f->masker, err);
    if (rc == 0)
        atomic_store(&f->mask_bytes, masker_bytes(f->masker));
    return rc;
}

static void sha_part(st_sha *sha, const char *text, size_t len)
{
    uint64_t n = len;
    st_sha_add(sha, &n, sizeof n);
    st_sha_add(sha, text, len);
}

static void ask_digest(const tok *t, const form_ask *ask, char ret[ST_DIGEST_TEXT])
{
    const char *format = ask->format ? toolcall_format_name(ask->format) : "";
    const uint32_t numbers[] = {(uint32_t)ask->kind, ask->one_call, ask->max_calls,
                                ask->choice != NULL};
    st_sha sha;
    st_sha_init(&sha);
    st_sha_add(&sha, numbers, sizeof numbers);
    sha_part(&sha, tok_digest(t), strlen(tok_digest(t)));
    sha_part(&sha, format, strlen(format));
    sha_part(&sha, ask->choice ? ask->choice : "", ask->choice ? strlen(ask->choice) : 0);
    sha_part(&sha, ask->text, ask->len);
    st_sha_end(&sha, ret);
}

/* ---- the table, under its lock ---- */

static held_form **place(held_cache *c, const char *digest)
{
    held_form **at = &c->buckets[st_hash64(digest, strlen(digest), 0) % N_BUCKETS];
    while (*at && strcmp((*at)->digest, digest) != 0)
        at = &(*at)->next;
    return at;
}

static void table_leave(held_cache *c, held_form *f)
{
    held_form **at = place(c, f->digest);
    *at = f->next;
    c->bytes -= f->counted;
    c->n--;
}

static void idle_leave(held_cache *c, held_form *f)
{
    *(f->newer ? &f->newer->older : &c->newest) = f->older;
    *(f->older ? &f->older->newer : &c->oldest) = f->newer;
    f->newer = f->older = NULL;
    f->idle = false;
}

static void idle_join(held_cache *c, held_form *f)
{
    f->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = f;
    c->newest = f;
    f->idle = true;
}

static void count_again(held_cache *c, held_form *f)
{
    size_t now = f->fixed_bytes + atomic_load(&f->mask_bytes);
    c->bytes = c->bytes - f->counted + now;
    f->counted = now;
}

/* Forms to let go, as a list by `next`. */
static held_form *shed(held_cache *c)
{
    held_form *gone = NULL;
    while (c->bytes > c->limit && c->oldest) {
        held_form *f = c->oldest;
        idle_leave(c, f);
        table_leave(c, f);
        f->next = gone;
        gone = f;
    }
    return gone;
}

static void all_free(held_form *gone)
{
    while (gone) {
        held_form *next = gone->next;
        form_free(gone);
        gone = next;
    }
}

/* ---- what others call ---- */

static int failure_take(held_form *f, grammar_refusal *ret_refusal, st_err *err)
{
    st_err_set(err, f->why.code, "%s", f->why.message);
    if (*f->why.hint)
        st_err_hint(err, "%s", f->why.hint);
    if (ret_refusal)
        *ret_refusal = f->refusal;
    return f->why.code;
}

/* Drop a use of one that failed and is in no table. */
static int failure_leave(held_cache *c, held_form *f, grammar_refusal *ret_refusal,
                         st_err *err)
{
    int rc = failure_take(f, ret_refusal, err);
    bool last = --f->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (last)
        form_free(f);
    return rc;
}

/* One that was found; the lock is held and let go. */
static int found(held_cache *c, held_form *f, held_form **ret_form,
                 grammar_refusal *ret_refusal, st_err *err)
{
    if (f->idle)
        idle_leave(c, f);
    f->refs++;
    c->hits++;
    while (f->state == COMPILING)
        pthread_cond_wait(&c->settled, &c->lock);
    if (f->state == FAILED)
        return failure_leave(c, f, ret_refusal, err);
    pthread_mutex_unlock(&c->lock);
    *ret_form = f;
    return 0;
}

/* One that was begun by this thread. */
static int compiled(held_cache *c, held_form *f, int rc, held_form **ret_form,
                    grammar_refusal *ret_refusal, st_err *err)
{
    held_form *gone = NULL;
    pthread_mutex_lock(&c->lock);
    f->state = rc < 0 ? FAILED : READY;
    pthread_cond_broadcast(&c->settled);
    if (rc < 0) {
        table_leave(c, f);
        return failure_leave(c, f, ret_refusal, err);
    }
    c->compiled++;
    count_again(c, f);
    gone = shed(c);
    pthread_mutex_unlock(&c->lock);
    all_free(gone);
    *ret_form = f;
    return 0;
}

int held_cache_get(held_cache *c, const tok *t, const form_ask *ask, held_form **ret_form,
                   grammar_refusal *ret_refusal, st_err *err)
{
    char digest[ST_DIGEST_TEXT];
    ask_digest(t, ask, digest);
    pthread_mutex_lock(&c->lock);
    held_form **at = place(c, digest);
    if (*at)
        return found(c, *at, ret_form, ret_refusal, err);
    held_form *f = st_zalloc_n(1, sizeof *f);
    if (!f) {
        pthread_mutex_unlock(&c->lock);
        return st_err_set(err, ST_ENOMEM, "no memory for what a text is held to");
    }
    f->of = c;
    f->refs = 1;
    f->fixed_bytes = FORM_BYTES + ask->len * FORM_BYTES_EACH;
    memcpy(f->digest, digest, sizeof digest);
    *at = f;
    c->n++;
    pthread_mutex_unlock(&c->lock);
    int rc = form_compile(f, t, ask, &f->why);
    return compiled(c, f, rc, ret_form, ret_refusal, err);
}

void held_form_release(held_form *f)
{
    if (!f)
        return;
    held_cache *c = f->of;
    pthread_mutex_lock(&c->lock);
    if (--f->refs == 0)
        idle_join(c, f);
    count_again(c, f);
    held_form *gone = shed(c);
    pthread_mutex_unlock(&c->lock);
    all_free(gone);
}

void held_form_measure(held_form *f)
{
    atomic_store(&f->mask_bytes, masker_bytes(f->masker));
}

const grammar *held_form_grammar(const held_form *f)
{
    return f->grammar;
}

masker *held_form_masker(const held_form *f)
{
    return f->masker;
}

const toolset *held_form_tools(const held_form *f)
{
    return f->set;
}

void held_cache_stats_get(held_cache *c, held_cache_stats *ret_stats)
{
    pthread_mutex_lock(&c->lock);
    *ret_stats = (held_cache_stats){
        .forms = c->n, .bytes = c->bytes, .hits = c->hits, .compiled = c->compiled};
    pthread_mutex_unlock(&c->lock);
}

void held_cache_free(held_cache *c)
{
    if (!c)
        return;
    c->limit = 0;
    c->bytes++; /* all of them go */
    all_free(shed(c));
    pthread_cond_destroy(&c->settled);
    pthread_mutex_destroy(&c->vocab_lock);
    pthread_mutex_destroy(&c->lock);
    st_free(c);
}
