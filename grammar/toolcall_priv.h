/* grammar/toolcall_priv.h - a format's row and a set's functions, for the toolcall files.
 *
 * Threads, memory: as toolcall.h. */
#ifndef GRAMMAR_TOOLCALL_PRIV_H
#define GRAMMAR_TOOLCALL_PRIV_H
#include "grammar/json.h"
#include "grammar/toolcall.h"

enum { FORMAT_MARKS = 5, FORMAT_MARKERS = 6 };

/* An answer is content, calls, or content with calls behind it; calls are
 *   first call between call between call end
 * and a call is a text with $name and $arguments in it, and $id where ids are written. */
struct toolcall_format {
    const char *name;
    /* A chat template writes so when it holds all of them, and none that begins with !.
     */
    const char *marks[FORMAT_MARKS];
    const char *trigger; /* content never holds it: here the calls begin */
    bool leads;          /* calls stand only at the beginning; content merely does not
                          * begin with the trigger */
    const char *tag;     /* may stand before calls that lead */
    const char *content; /* stands before content; NULL: nothing does */
    const char *first;
    const char *behind; /* instead of `first` when there is content; NULL: the same */
    const char *call;
    bool object; /* the call is one JSON object: members in any order are read */
    const char *between;
    const char *end;
    const char *id;                      /* expression of an id that the grammar writes */
    const char *markers[FORMAT_MARKERS]; /* spellings that may be control tokens */
};

typedef struct tool {
    const char *name;
    const char *description; /* "" when it has none */
    const json *parameters;  /* NULL: takes none */
    char *schema;            /* of its arguments; owned */
    size_t schema_len;
    grammar *arguments; /* of that schema */
    bool allowed;       /* by tool_choice */
} tool;

typedef enum tools_mode { TOOLS_AUTO, TOOLS_NONE, TOOLS_REQUIRED } tools_mode;

struct toolset {
    const json *root;
    tool *tools; /* [n] in the order given */
    uint32_t n;
    tools_mode mode;
    uint32_t max_calls; /* 0: endless */
};

/* The next piece of a call's text: a literal of *ret_len bytes, or '$' and which.  *at
 * moves on; false at the end. */
typedef enum call_piece { PIECE_TEXT, PIECE_NAME, PIECE_ARGUMENTS, PIECE_ID } call_piece;
bool call_next(const char **at, call_piece *ret_piece, const char **ret_text,
               size_t *ret_len);

/* Append the schema of a function's arguments: always an object's, closed where it lists
 * what it takes.  ST_EINVAL: not an object's. */
ST_NODISCARD int arguments_schema(const json *parameters, st_buf *out, st_err *err);
#endif
