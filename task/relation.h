/* task/relation.h - what the fields of an answer must have to do with each other.
 *
 *     /total == /net + /tax
 *     /start <= /end
 *     count(/items) >= 1
 *
 *     relation = sum ('==' | '!=' | '<' | '<=' | '>' | '>=') sum
 *     sum      = product (('+' | '-') product)...
 *     product  = part ('*' part)...
 *     part     = pointer | number | 'text' | sum(pointer) | count(pointer) | '(' sum ')'
 *
 * A pointer is that of a field (RFC 6901) and ends at a blank or one of ")=!<>".  Inside
 * sum and count a part "*" stands for every item: with "/lines", "*" and "price" as its
 * parts, sum adds up the prices of all lines.  count without "*" is how many items an
 * array has.  Two texts are compared byte by byte, which orders dates as ISO writes them;
 * a text that reads as a number is one.  Numbers are equal up to 1e-9 of their size, so
 * that cents add up.
 *
 * A relation holds where a field of it is absent or null: what must be there is said by
 * the schema.  It does not hold where a field is of the wrong kind.
 *
 * Threads: immutable once parsed.  Memory: relation_free. */
#ifndef TASK_RELATION_H
#define TASK_RELATION_H
#include "task/fields.h"

typedef struct relation relation;

/* ST_EINVAL says at which character and what was expected. */
ST_NODISCARD int relation_parse(const char *text, relation **ret, st_err *err);
void relation_free(relation *r);                 /* NULL allowed */
bool relation_compares_equal(const relation *r); /* its operator is == */
/* The pointers in it, i < relation_n. */
uint32_t relation_n(const relation *r);
const char *relation_pointer(const relation *r, uint32_t i);

/* `within`: the most that == may be off.  Where it does not hold, `why` says what the
 * two sides came to. */
ST_NODISCARD int relation_holds(const relation *r, double within, const fields *f,
                                bool *ret_holds, char *why, size_t size, st_err *err);
#endif
