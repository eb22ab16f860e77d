/* grammar/regex.c - from a pattern to an automaton: tree, atoms, nodes, states, bytes. */
#include "grammar/regex.h"

#include "grammar/regex_bytes.h"

/* The set of all characters, which what stands before a match is made of. */
static int add_any(regex_tree *t, uint32_t *ret, st_err *err)
{
    code_set any = {0};
    int rc = code_set_add(&any, 0, CODE_MAX, err);
    if (!rc)
        rc = intern_put(&t->sets, any.ranges, any.n * sizeof *any.ranges, ret, err);
    code_set_done(&any);
    return rc;
}

int regex_dfa(const char *pattern, size_t len, regex_match how, dfa **ret, st_err *err)
{
    regex_tree tree;
    regex_atoms atoms = {0};
    regex_nfa nfa = {0};
    regex_table table = {0};
    uint32_t any;
    int rc = regex_parse(pattern, len, &tree, err);
    if (rc < 0)
        return rc;
    rc = add_any(&tree, &any, err);
    if (!rc)
        rc = regex_atoms_make(&tree, &atoms, err);
    if (!rc)
        rc = regex_nfa_make(&tree, how, any, &nfa, err);
    if (!rc)
        rc = regex_table_make(&tree, &atoms, &nfa, &table, err);
    if (!rc)
        rc = regex_bytes_make(&atoms, &table, ret, err);
    regex_table_done(&table);
    regex_nfa_done(&nfa);
    regex_atoms_done(&atoms);
    regex_tree_done(&tree);
    return rc;
}
