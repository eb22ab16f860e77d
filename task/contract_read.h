/* task/contract_read.h - mappings of a contract read through tables of their keys; for
 * contract*.c only.
 *
 * For each key of a mapping there is a function that takes its value.  What the table
 * does not have is refused, what it requires must be there. */
#ifndef TASK_CONTRACT_READ_H
#define TASK_CONTRACT_READ_H
#include "task/contract.h"
#include "task/yaml.h"

typedef struct reader {
    contract *c;
    st_err *err;
    const yaml_node *rules; /* read last: answers need the options */
    const yaml_node *checks;
    const yaml_node *output;
    const yaml_node *abstain;
    const yaml_node *choices;
    const yaml_node *levels;
    const yaml_node *schema;
    const yaml_node *text; /* of a draft: its template */
    const yaml_node *slots;
    uint32_t item; /* the rule or the check being read */
    question_option *option;
} reader;

typedef struct key_row {
    const char *name;
    int (*take)(reader *r, const yaml_node *value);
    bool required;
} key_row;

/* `place` names the mapping in errors: "question", "a rule". */
ST_NODISCARD int reader_map(reader *r, const yaml_node *map, const char *place,
                            const key_row *rows, size_t n);
/* A string that says something.  What YAML reads as another type needs quotes. */
ST_NODISCARD int reader_string(reader *r, const yaml_node *node, const char *what,
                               const char **ret);
ST_NODISCARD int reader_bool(reader *r, const yaml_node *node, const char *what,
                             bool *ret);
/* A finite number as JSON writes it. */
ST_NODISCARD int reader_number(reader *r, const yaml_node *node, const char *what,
                               double *ret);
ST_NODISCARD int reader_count(reader *r, const yaml_node *node, const char *what,
                              uint32_t most, uint32_t *ret); /* 1 .. most */
ST_NODISCARD int reader_enum(reader *r, const yaml_node *node, const char *what,
                             const char *const *names, size_t n, unsigned *ret);
ST_NODISCARD int reader_list(reader *r, const yaml_node *node, const char *what);

/* contract_output.c: what a task of type extract or draft needs, and refuses of others.
 */
ST_NODISCARD int reader_extract(reader *r);
ST_NODISCARD int reader_draft(reader *r);
/* The checks and the limits of what is written; last, when the schema is known. */
ST_NODISCARD int reader_output(reader *r);
void output_done(contract_output *o);
#endif
