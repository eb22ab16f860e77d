/* task/yaml.h - YAML text to a small tree whose nodes know their line and column.
 *
 * libfyaml does the scanning; the tree is ours, so that a file can be refused before it
 * costs anything: one document, no anchors, aliases or tags (a contract needs none, and
 * an alias can make a small file large), no duplicate keys, bounded depth, size and
 * number of keys.  Lines and columns count from 1.
 *
 * Memory: the tree owns its strings.  Threads: immutable once parsed. */
#ifndef TASK_YAML_H
#define TASK_YAML_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum {
    YAML_MAX_BYTES = 1 << 20, /* 255 options with long descriptions take a tenth of it */
    YAML_MAX_DEPTH = 16,
    YAML_MAX_KEYS = 256, /* of one mapping */
};

typedef enum yaml_kind {
    YAML_SCALAR,
    YAML_LIST,
    YAML_MAP,
} yaml_kind;

typedef struct yaml_node {
    yaml_kind kind;
    bool plain; /* a scalar without quotes: true, 12 and null are no strings */
    unsigned line;
    unsigned column;
    const char *text; /* scalar: NUL-terminated, holds no other NUL */
    const char *key;  /* in a mapping: its key, else NULL */
    unsigned key_line;
    unsigned key_column;
    unsigned n; /* children */
    struct yaml_node *first;
    struct yaml_node *next; /* the next child of the same parent, in file order */
    struct yaml_node *last; /* of the children */
    struct yaml_node *made; /* all nodes, newest first: what yaml_free walks */
} yaml_node;

typedef struct yaml {
    char *path; /* what errors call the text */
    yaml_node *root;
    yaml_node *made;
} yaml;

/* ST_ECONTRACT "path:line:column: what was found and what was expected". */
ST_NODISCARD int yaml_parse(const char *path, const char *text, size_t len,
                            yaml **ret_yaml, st_err *err);
void yaml_free(yaml *y); /* NULL allowed */

const yaml_node *yaml_find(const yaml_node *map, const char *key); /* NULL when absent */

/* "string", "number", "boolean", "null", "list" or "mapping": what YAML 1.2 makes of it.
 */
const char *yaml_type(const yaml_node *node);

/* Record "path:line:column: ..." for a node, or for its key; returns ST_ECONTRACT. */
int yaml_fail(const yaml *y, const yaml_node *node, st_err *err, const char *fmt, ...)
    ST_PRINTF(4, 5);
int yaml_fail_key(const yaml *y, const yaml_node *node, st_err *err, const char *fmt, ...)
    ST_PRINTF(4, 5);
#endif
