/* template/value.h - what a template computes with: values, strings with provenance, and
 * the state of one render that owns them.
 *
 * All memory of a render comes from one arena with a limit and goes at once, so values
 * have no owner and nothing is ever freed early.  Strings are immutable; a substring
 * shares its bytes.  Every byte of a string is marked 1 (data) or 0 (the template's own):
 * `marks` is NULL while all bytes have the same mark, which is nearly always.
 *
 * Work is counted: rt_step() takes from the render's budget, one for each node and one
 * for each STEP_BYTES bytes or items that an operation touches.
 *
 * Threads: one render, one thread. */
#ifndef TEMPLATE_VALUE_H
#define TEMPLATE_VALUE_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

__extension__ typedef __int128 tint; /* integers: 128 bits, overflow is an error */

typedef enum vtype {
    V_MISSING, /* an argument that was not given, a variable before its `set` */
    V_UNDEF,
    V_NONE,
    V_BOOL,
    V_INT,
    V_FLOAT,
    V_STR,
    V_LIST, /* lists, tuples, views and iterators: tlist.kind */
    V_DICT,
    V_RANGE,
    V_NAMESPACE,
    V_FUNC,
    V_MACRO,
    V_LOOP,
    V_CYCLER,
    V_JOINER,
} vtype;

typedef struct tstr {
    const char *s;
    size_t len;
    size_t n_chars;             /* code points */
    const unsigned char *marks; /* NULL: every byte has `mark` */
    unsigned char mark;
    bool markup; /* escaped text: `+` escapes what is joined to it */
} tstr;

typedef struct val {
    uint8_t type; /* vtype */
    bool data;    /* scalars: came from the variables */
    union {
        bool b;
        tint i;
        double f;
        const tstr *s;
        struct tlist *list;
        struct tdict *dict; /* V_DICT and V_NAMESPACE */
        struct trange *range;
        struct tundef *undef;
        struct tfunc *func;
        struct tmacro *macro;
        struct tloop *loop;
        struct tcycler *cycler; /* V_CYCLER and V_JOINER */
    } u;
} val;

typedef enum tlist_kind {
    L_LIST,
    L_TUPLE,
    L_GROUP, /* a pair of groupby: a tuple with .grouper and .list */
    L_ITER,  /* generators and iterators: read once, no length */
    L_KEYS,
    L_VALUES,
    L_ITEMS,
} tlist_kind;

typedef struct tlist {
    tlist_kind kind;
    size_t n, cap;
    size_t pos; /* L_ITER: items already read */
    val *v;
} tlist;

typedef struct tpair {
    val key, value;
} tpair;

typedef struct tdict {
    size_t n, cap;
    tpair *p;        /* in order of insertion */
    uint32_t *index; /* hash table of pair number + 1; NULL while small */
    size_t n_index;
} tdict;

typedef struct trange {
    tint start, stop, step;
} trange;

typedef enum undef_kind {
    UNDEF_NAME, /* 'name' is undefined */
    UNDEF_ATTR, /* 'T object' has no attribute or element `name` */
    UNDEF_HINT, /* `hint` says it */
    UNDEF_UNSAFE,
} undef_kind;

typedef struct tundef {
    undef_kind kind;
    const char *hint; /* UNDEF_HINT: the text; UNDEF_ATTR, UNDEF_UNSAFE: the type */
    val name;
} tundef;

typedef struct tcycler {
    tlist *items; /* cycler: what it hands out; joiner: one string */
    size_t pos;
} tcycler;

/* Arguments of a call as written. */
typedef struct tcall {
    val *pos;
    size_t n_pos;
    const tstr **names;
    val *named;
    size_t n_named;
} tcall;

enum { PARAMS_MAX = 6 };

typedef struct rt rt;

/* Arguments sorted by a builtin's parameter list. */
typedef struct targs {
    val self;          /* methods: the object */
    val v[PARAMS_MAX]; /* V_MISSING where not given */
    tlist *rest;       /* "*" */
    tdict *named;      /* "**" */
} targs;

typedef int tfn(rt *r, const targs *a, val *ret);

/* A function, filter, test or method.  `params` names its parameters, separated by
 * spaces; "*" takes further positional and "**" further named arguments. */
typedef struct tbuiltin {
    const char *name;
    const char *params;
    unsigned n_required;
    tfn *fn;
} tbuiltin;

typedef struct tfunc {
    const tbuiltin *fn;
    val self;
} tfunc;

/* --- the render --- */

enum { STEP_BYTES = 64 };
enum { DEPTH_MAX = 1800 }; /* nested evaluations; about 0.5 KiB of stack each */

typedef struct tchunk {
    struct tchunk *next;
    size_t size;
} tchunk;

typedef struct tarena {
    tchunk *chunks;
    char *at, *end;
    size_t used, limit;
    bool over; /* a request was refused for the limit */
} tarena;

void tarena_init(tarena *a, size_t limit);
void tarena_done(tarena *a);
void *tarena_take(tarena *a, size_t bytes); /* 16-byte aligned; NULL: limit or memory */
/* A larger block with the old bytes; in place where the block is the newest. */
void *tarena_grow(tarena *a, void *p, size_t old_bytes, size_t bytes);

struct rt {
    tarena mem;
    uint64_t steps_left;
    size_t max_output;
    unsigned depth;
    int line; /* of the node that is being run */
    int64_t now_unix;
    st_err *err;
    const struct tmpl *tmpl;
    tdict *vars;
    struct tbuild *out; /* where printed text goes */
};

int rt_fail(rt *r, int code, const char *fmt, ...) ST_PRINTF(3, 4); /* names the line */
int rt_oom(rt *r); /* memory or its limit */
int rt_step(rt *r, size_t n);
int rt_enter(rt *r); /* one level deeper; leave with r->depth-- when it returned 0 */
void *rt_take(rt *r, size_t count, size_t size); /* zeroed; NULL: rt_oom() was called */

/* --- strings --- */

typedef struct tbuild {
    rt *r;
    char *s;
    unsigned char *marks; /* NULL while all bytes have `mark` */
    size_t len, cap, limit;
    unsigned char mark;
} tbuild;

void tbuild_init(tbuild *b, rt *r);
int tbuild_add(tbuild *b, const char *s, size_t n, unsigned char mark);
int tbuild_text(tbuild *b, const char *s, unsigned char mark); /* a C string */
int tbuild_code(tbuild *b, uint32_t code, unsigned char mark); /* one code point */
int tbuild_str(tbuild *b, const tstr *s);
int tbuild_part(tbuild *b, const tstr *s, size_t from, size_t n); /* bytes of s */
int tbuild_end(tbuild *b, val *ret);
const tstr *tbuild_take(tbuild *b); /* NULL: reported */

const tstr *tstr_new(rt *r, const char *s, size_t n, unsigned char mark); /* borrows s */
const tstr *tstr_part(rt *r, const tstr *s, size_t from, size_t n);       /* bytes */
size_t tstr_byte(const tstr *s, size_t n_char); /* byte offset of a code point */
bool tstr_is(const tstr *s, const char *text);
bool tstr_has_data(const tstr *s);
unsigned char tstr_mark(const tstr *s, size_t at);              /* of the byte at `at` */
size_t tstr_find(const tstr *s, const tstr *what, size_t from); /* SIZE_MAX: not there */
size_t tstr_rfind(const tstr *s, const tstr *what, size_t end); /* match ends by `end` */

static inline val val_of(vtype type)
{
    return (val){.type = (uint8_t)type};
}
static inline val val_bool(bool b)
{
    return (val){.type = V_BOOL, .u.b = b};
}
static inline val val_int(tint i)
{
    return (val){.type = V_INT, .u.i = i};
}
static inline val val_float(double f)
{
    return (val){.type = V_FLOAT, .u.f = f};
}
static inline val val_str(const tstr *s)
{
    return (val){.type = V_STR, .u.s = s};
}
static inline val val_list(tlist *list)
{
    return (val){.type = V_LIST, .u.list = list};
}
static inline val val_dict(tdict *dict)
{
    return (val){.type = V_DICT, .u.dict = dict};
}
static inline bool val_is_num(val v) /* bool counts, as in Python */
{
    return v.type == V_INT || v.type == V_FLOAT || v.type == V_BOOL;
}
static inline bool val_is_int(val v)
{
    return v.type == V_INT || v.type == V_BOOL;
}
static inline bool val_is_list(val v, tlist_kind kind)
{
    return v.type == V_LIST && v.u.list->kind == kind;
}
static inline bool val_is_tuple(val v)
{
    return val_is_list(v, L_TUPLE) || val_is_list(v, L_GROUP);
}
static inline tint val_as_int(val v) /* val_is_int */
{
    return v.type == V_BOOL ? (tint)v.u.b : v.u.i;
}
static inline double val_as_float(val v) /* val_is_num */
{
    return v.type == V_FLOAT ? v.u.f : (double)val_as_int(v);
}
int val_text(rt *r, const char *s, val *ret); /* the template's own text; borrows s */
int val_undef(rt *r, undef_kind kind, const char *hint, val name, val *ret);

/* --- lists and dictionaries --- */

tlist *tlist_new(rt *r, tlist_kind kind, size_t cap); /* NULL: reported */
int tlist_add(rt *r, tlist *list, val v);
tdict *tdict_new(rt *r, size_t cap);
/* The value, or NULL where the key is not there; fails for a key without a hash. */
int tdict_find(rt *r, tdict *d, val key, val **ret_value);
val *tdict_text(rt *r, tdict *d, const char *key, size_t len); /* NULL: not there */
int tdict_set(rt *r, tdict *d, val key, val value);
int tdict_add(rt *r, tdict *d, val key, val value); /* the key is known to be new */
int tdict_pair(rt *r, const tpair *pair, val *ret); /* (key, value) */

/* --- what Python does with any value (compare.c, iterate.c) --- */

const char *val_type_name(val v); /* "str", "dict", "NoneType" */
const char *val_type_repr(val v); /* as jinja2 names it: "None", "str object" */
bool val_truth(val v);
int val_equal(rt *r, val a, val b, bool *ret);
int val_less(rt *r, val a, val b, const char *op,
             bool *ret); /* a < b; op for the error */
int val_contains(rt *r, val item, val where, bool *ret);
int val_hash(rt *r, val v, uint64_t *ret);
bool val_has_data(val v); /* any byte of it came from the variables */

typedef struct titer {
    val seq;
    size_t i, byte;
} titer;

int titer_init(rt *r, val seq, titer *it);
int titer_next(rt *r, titer *it, val *ret, bool *ret_more);
bool val_iterable(val v);
int val_items(rt *r, val v, tlist **ret); /* a new list of what iteration gives */
int val_length(rt *r, val v, size_t *ret);
size_t trange_length(const trange *range);
int undef_use(rt *r, val undef); /* the error of using an undefined value */

/* --- text of values (print.c, number.c) --- */

typedef struct json_style {
    bool ascii, sorted, has_indent;
    const tstr *indent; /* one level, when has_indent */
    const tstr *item_separator, *key_separator;
} json_style;

int val_print(tbuild *b, val v);                /* str() */
int val_repr(tbuild *b, val v);                 /* repr() */
int val_string(rt *r, val v, const tstr **ret); /* str(); markup stays */
int val_json(tbuild *b, val v, const json_style *style);

enum { NUMBER_TEXT = 400 };
size_t tint_text(tint i, unsigned base, char *buf); /* into NUMBER_TEXT bytes */
size_t float_text(double f, char *buf);             /* Python's repr */
bool tint_parse(const char *s, size_t n, unsigned base, tint *ret, bool *ret_big);
bool float_parse(const char *s, size_t n, double *ret);
int float_to_int(rt *r, double f, tint *ret);

/* --- operators (arith.c, attr.c, format.c) --- */

typedef enum top {
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOORDIV,
    OP_MOD,
    OP_POW,
} top;

int val_binary(rt *r, top op, val a, val b, val *ret);
int val_negate(rt *r, val v, val *ret);
int val_plus(rt *r, val v, val *ret);
int val_attr(rt *r, val obj, const tstr *name, val *ret);
int val_item(rt *r, val obj, val key, val *ret);
int val_slice(rt *r, val obj, val start, val stop, val step, val *ret);
int val_path(rt *r, val obj, val path, const val *def, val *ret); /* "a.b.0" */
int val_getattr(rt *r, val obj, const tstr *name, val *ret, bool *ret_found);
/* Keys of sort, min, groupby...: the value at `path`, strings lower where `fold`. */
int val_key(rt *r, val v, val path, bool fold, const val *def, val *ret);
int str_percent(rt *r, const tstr *fmt, val args, val *ret);
int str_format(rt *r, const tstr *fmt, tlist *pos, tdict *named, val *ret);
int format_spec(tbuild *b, val v, const tstr *spec); /* as in "{:>5}" */
int html_escape(tbuild *b, const tstr *s);
int val_escape(rt *r, val v, val *ret); /* markup stays as it is */
int val_markup(rt *r, val *v);          /* the same text, as markup */

/* --- strings (strip.c) --- */

int str_replace(rt *r, const tstr *s, const tstr *old, const tstr *with, tint count,
                val *ret);
const tstr *str_strip(rt *r, const tstr *s, const tstr *chars, bool left, bool right);
int str_lines(rt *r, const tstr *s, bool keep_ends, tlist **ret);
int str_padded(rt *r, const tstr *s, size_t left, size_t right, const tstr *fill,
               val *ret);
int arg_chars(rt *r, val v, const tstr **ret); /* NULL for none or missing */

/* --- calls (call.c) --- */

int val_call(rt *r, val fn, const tcall *call, val *ret);
int builtin_call(rt *r, const tbuiltin *fn, const val *self, const tcall *call, val *ret);
const tbuiltin *filter_find(const tstr *name);
const tbuiltin *test_find(const tstr *name);
const tbuiltin *method_find(val obj, const tstr *name);
bool method_changes(val obj, const tstr *name); /* "append": known, but not allowed */
const tbuiltin *global_find(const tstr *name);

/* Tables that end with name NULL. */
extern const tbuiltin filters_text[], filters_seq[], filters_pick[], filters_number[];
extern const tbuiltin methods_str[], methods_split[], methods_is[];
const tbuiltin *loop_methods(void); /* cycle, changed */
const tbuiltin *builtin_find(const tbuiltin *table, const tstr *name);

/* Arguments with a default. */
int arg_int(rt *r, val v, const char *what, tint def, tint *ret);
int arg_text(rt *r, val v, const char *what, const tstr **ret);

/* --- Unicode (unicode.c) --- */

typedef enum tcase {
    CASE_UPPER,
    CASE_LOWER,
    CASE_TITLE, /* strings: the first letter of each word */
    CASE_FOLD,
    CASE_CAPITAL, /* strings only: the first character, the rest lower */
    CASE_SWAP,    /* strings only */
} tcase;
typedef enum tclass {
    CLASS_SPACE,
    CLASS_ALPHA,
    CLASS_ALNUM,
    CLASS_DIGIT,
    CLASS_DECIMAL,
    CLASS_NUMERIC,
    CLASS_PRINTABLE,
    CLASS_WORD,
    CLASS_UPPER,
    CLASS_LOWER,
    CLASS_TITLE,
    CLASS_CASED,
} tclass;

bool code_is(uint32_t code, tclass what);
size_t code_map(uint32_t code, tcase to, uint32_t ret[3]); /* one to three code points */
int str_case(rt *r, const tstr *s, tcase to, val *ret);
size_t space_left(const char *s, size_t n);  /* bytes of white space at the start */
size_t space_right(const char *s, size_t n); /* and at the end */
#endif
