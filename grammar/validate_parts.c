/* grammar/validate_parts.c - keywords about arrays, objects and what is in them. */
#include "grammar/validate_priv.h"

#include "base/mem.h"
#include <stdlib.h>

enum { SMALL = 8 }; /* so few items are compared each with each */

static void mark(bool *seen, uint32_t i)
{
    if (seen)
        seen[i] = true;
}

/* Arrays. */

int check_min_items(vrun *r, const vnode *node, const vrule *rule, const json *value,
                    bool *seen)
{
    (void)node;
    (void)seen;
    return vrun_is_so(r, value->type != JSON_ARRAY || value->n >= rule->count, rule,
                      "too few");
}

int check_max_items(vrun *r, const vnode *node, const vrule *rule, const json *value,
                    bool *seen)
{
    (void)node;
    (void)seen;
    return vrun_is_so(r, value->type != JSON_ARRAY || value->n <= rule->count, rule,
                      "too many");
}

typedef struct hashed {
    uint64_t hash;
    const json *item;
} hashed;

static int cmp_hashed(const void *a, const void *b)
{
    const hashed *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

/* 1: all differ; 0: two are equal; or out of memory. */
static int all_differ(vrun *r, const json *value)
{
    if (value->n <= SMALL) {
        for (uint32_t i = 0; i < value->n; i++)
            for (uint32_t j = 0; j < i; j++)
                if (json_same(&value->items[i], &value->items[j]))
                    return 0;
        return 1;
    }
    hashed *all = st_alloc_n(value->n, sizeof *all);
    if (!all)
        return st_err_set(r->err, ST_ENOMEM, "out of memory for a check");
    for (uint32_t i = 0; i < value->n; i++)
        all[i] = (hashed){json_hash(&value->items[i]), &value->items[i]};
    qsort(all, value->n, sizeof *all, cmp_hashed);
    int rc = 1;
    for (uint32_t i = 0; i < value->n; i++)
        for (uint32_t j = i; rc && j-- > 0 && all[j].hash == all[i].hash;)
            rc = !json_same(all[i].item, all[j].item);
    st_free(all);
    return rc;
}

int check_unique_items(vrun *r, const vnode *node, const vrule *rule, const json *value,
                       bool *seen)
{
    (void)node;
    (void)seen;
    if (value->type != JSON_ARRAY || rule->value->type != JSON_TRUE)
        return 1;
    int rc = all_differ(r, value);
    return rc < 0 ? rc : vrun_is_so(r, rc == 1, rule, "two items are equal");
}

/* One schema for all items from `from` on. */
static int rest_items(vrun *r, const vnode *schema, const json *value, uint32_t from,
                      bool *seen)
{
    int rc = 1;
    for (uint32_t i = from; rc == 1 && i < value->n; i++) {
        rc = vrun_apply_in(r, schema, value, i);
        mark(seen, i);
    }
    return rc;
}

/* A schema for each of the first items. */
int check_prefix_items(vrun *r, const vnode *node, const vrule *rule, const json *value,
                       bool *seen)
{
    int rc = 1;
    (void)node;
    for (uint32_t i = 0; rc == 1 && value->type == JSON_ARRAY && i < value->n; i++) {
        if (i >= rule->n)
            break;
        rc = vrun_apply_in(r, rule->nodes[i], value, i);
        mark(seen, i);
    }
    return rc;
}

int check_items(vrun *r, const vnode *node, const vrule *rule, const json *value,
                bool *seen)
{
    if (value->type != JSON_ARRAY)
        return 1;
    if (rule->value->type == JSON_ARRAY)
        return check_prefix_items(r, node, rule, value, seen);
    const vrule *prefix = vnode_rule(node, "prefixItems");
    return rest_items(r, rule->nodes[0], value, prefix ? prefix->n : 0, seen);
}

int check_additional_items(vrun *r, const vnode *node, const vrule *rule,
                           const json *value, bool *seen)
{
    const vrule *items = vnode_rule(node, "items");
    if (value->type != JSON_ARRAY || !items || items->value->type != JSON_ARRAY)
        return 1;
    return rest_items(r, rule->nodes[0], value, items->n, seen);
}

int check_contains(vrun *r, const vnode *node, const vrule *rule, const json *value,
                   bool *seen)
{
    const vrule *least = vnode_rule(node, "minContains");
    const vrule *most = vnode_rule(node, "maxContains");
    uint64_t n = 0;
    if (value->type != JSON_ARRAY)
        return 1;
    for (uint32_t i = 0; i < value->n; i++) {
        int rc = vrun_ask_in(r, rule->nodes[0], value, i);
        if (rc < 0)
            return rc;
        n += rc == 1;
        if (rc == 1 && node->in->draft == DRAFT2020)
            mark(seen, i);
    }
    if (most && n > most->count)
        return vrun_no(r, "maxContains", "too many such items");
    return vrun_is_so(r, n >= (least ? least->count : 1), least ? least : rule,
                      "too few such items");
}

static int all_unseen(vrun *r, const vrule *rule, const json *value, bool *seen)
{
    int rc = 1;
    for (uint32_t i = 0; rc == 1 && i < value->n; i++) {
        if (seen[i])
            continue;
        rc = vrun_apply_in(r, rule->nodes[0], value, i);
        seen[i] = true;
    }
    return rc;
}

int check_unevaluated_items(vrun *r, const vnode *node, const vrule *rule,
                            const json *value, bool *seen)
{
    (void)node;
    return value->type == JSON_ARRAY ? all_unseen(r, rule, value, seen) : 1;
}

/* Objects. */

int check_min_properties(vrun *r, const vnode *node, const vrule *rule, const json *value,
                         bool *seen)
{
    (void)node;
    (void)seen;
    return vrun_is_so(r, value->type != JSON_OBJECT || value->n >= rule->count, rule,
                      "too few");
}

int check_max_properties(vrun *r, const vnode *node, const vrule *rule, const json *value,
                         bool *seen)
{
    (void)node;
    (void)seen;
    return vrun_is_so(r, value->type != JSON_OBJECT || value->n <= rule->count, rule,
                      "too many");
}

static bool has_all(const json *object, const json *names)
{
    for (uint32_t i = 0; i < names->n; i++)
        if (!json_get_n(object, names->items[i].text, names->items[i].n))
            return false;
    return true;
}

int check_required(vrun *r, const vnode *node, const vrule *rule, const json *value,
                   bool *seen)
{
    (void)node;
    (void)seen;
    return vrun_is_so(r, value->type != JSON_OBJECT || has_all(value, rule->value), rule,
                      "a member is missing");
}

/* The index in a rule's object of a name, or UINT32_MAX. */
static uint32_t find_name(const vrule *rule, const json *name)
{
    const json *found = json_get_n(rule->value, name->text, name->n);
    return found ? (uint32_t)(found - rule->value->items) : UINT32_MAX;
}

int check_properties(vrun *r, const vnode *node, const vrule *rule, const json *value,
                     bool *seen)
{
    int rc = 1;
    (void)node;
    for (uint32_t i = 0; rc == 1 && value->type == JSON_OBJECT && i < value->n; i++) {
        uint32_t k = find_name(rule, &value->names[i]);
        if (k == UINT32_MAX)
            continue;
        rc = vrun_apply_in(r, rule->nodes[k], value, i);
        mark(seen, i);
    }
    return rc;
}

int check_pattern_properties(vrun *r, const vnode *node, const vrule *rule,
                             const json *value, bool *seen)
{
    (void)node;
    for (uint32_t i = 0; value->type == JSON_OBJECT && i < value->n; i++) {
        const json *name = &value->names[i];
        for (uint32_t k = 0; k < rule->n; k++) {
            int rc = pattern_find(rule->patterns[k], name->text, name->n, r->err);
            if (rc == 0)
                continue;
            mark(seen, i);
            rc = rc < 0 ? rc : vrun_apply_in(r, rule->nodes[k], value, i);
            if (rc != 1)
                return rc;
        }
    }
    return 1;
}

/* Do `properties` and `patternProperties` have a schema for the name? */
static int is_listed(vrun *r, const vnode *node, const json *name)
{
    const vrule *plain = vnode_rule(node, "properties");
    const vrule *patterns = vnode_rule(node, "patternProperties");
    int rc = plain && find_name(plain, name) != UINT32_MAX;
    for (uint32_t k = 0; rc == 0 && patterns && k < patterns->n; k++)
        rc = pattern_find(patterns->patterns[k], name->text, name->n, r->err);
    return rc;
}

int check_additional_properties(vrun *r, const vnode *node, const vrule *rule,
                                const json *value, bool *seen)
{
    for (uint32_t i = 0; value->type == JSON_OBJECT && i < value->n; i++) {
        int rc = is_listed(r, node, &value->names[i]);
        if (rc == 1)
            continue;
        rc = rc < 0 ? rc : vrun_apply_in(r, rule->nodes[0], value, i);
        if (rc != 1)
            return rc;
        mark(seen, i);
    }
    return 1;
}

int check_property_names(vrun *r, const vnode *node, const vrule *rule, const json *value,
                         bool *seen)
{
    int rc = 1;
    (void)node;
    (void)seen;
    for (uint32_t i = 0; rc == 1 && value->type == JSON_OBJECT && i < value->n; i++) {
        vstep here = {r->at, &value->names[i], i};
        r->at = &here;
        rc = vrun_apply(r, rule->nodes[0], &value->names[i], NULL);
        r->at = here.up;
    }
    return rc;
}

/* By name: when it is there, so must others be, or a schema holds for the whole object.
 * `dependencies` has both. */
int check_dependents(vrun *r, const vnode *node, const vrule *rule, const json *value,
                     bool *seen)
{
    int rc = 1;
    (void)node;
    for (uint32_t i = 0; rc == 1 && value->type == JSON_OBJECT && i < rule->value->n;
         i++) {
        const json *name = &rule->value->names[i], *needs = &rule->value->items[i];
        if (!json_get_n(value, name->text, name->n))
            continue;
        rc = needs->type == JSON_ARRAY
                 ? vrun_is_so(r, has_all(value, needs), rule, "a member is missing")
                 : vrun_apply(r, rule->nodes[i], value, seen);
    }
    return rc;
}

int check_unevaluated_properties(vrun *r, const vnode *node, const vrule *rule,
                                 const json *value, bool *seen)
{
    (void)node;
    return value->type == JSON_OBJECT ? all_unseen(r, rule, value, seen) : 1;
}
