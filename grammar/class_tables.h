/* grammar/class_tables.h - classes of characters as tables over the bytes of UTF-8;
 * private to this room. */
#ifndef GRAMMAR_CLASS_TABLES_H
#define GRAMMAR_CLASS_TABLES_H
#include "grammar/gbnf.h"

/* The tables of all classes of a grammar: ret_next as gbnf_rules.h has it, ret_roots
 * [classes.n + 1] the first table of each class by number.  The caller frees both. */
ST_NODISCARD int class_tables(const gbnf *g, uint16_t **ret_next, uint16_t **ret_roots,
                              st_err *err);
#endif
