/* tests/shape_fit.c - shapes tried on a value, one after the other. */
#include "tests/shape_fit.h"

static bool number_fits(const number_rule *r, const json *value)
{
    decimal d;
    return decimal_read(value->text, value->n, &d) && number_rule_takes(r, &d);
}

static bool string_fits(const text_rule *r, const json *value)
{
    text_state at = text_start(r);
    for (uint32_t i = 0; i < value->n && at.at != DFA_DEAD; i++)
        at = text_step(r, at, (uint8_t)value->text[i]);
    return at.at != DFA_DEAD && text_accepts(r, at);
}

static bool all_differ(const json *value)
{
    for (uint32_t i = 0; i < value->n; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (json_same(&value->items[i], &value->items[j]))
                return false;
        }
    }
    return true;
}

static bool array_fits(const schema *s, const shape_array *a, const json *value)
{
    if (value->n < a->min || value->n > a->max || (a->unique && !all_differ(value)))
        return false;
    uint32_t found[SHAPE_CONTAINS] = {0};
    for (uint32_t i = 0; i < value->n; i++) {
        const json *item = &value->items[i];
        if (!goal_fits(s, i < a->n_items ? a->items[i] : a->rest, item))
            return false;
        for (uint32_t j = 0; i >= a->n_items && j < a->n_contains; j++)
            found[j] += goal_fits(s, a->contains[j].with, item);
    }
    for (uint32_t j = 0; j < a->n_contains; j++) {
        if (found[j] < a->contains[j].min || found[j] > a->contains[j].max)
            return false;
    }
    return true;
}

static bool is_there(const json *value, const shape_name *name)
{
    return json_get_n(value, name->name, name->len) != NULL;
}

static bool names_fit(const shape_object *o, const json *value)
{
    for (uint32_t i = 0; i < o->n_names; i++) {
        bool there = is_there(value, &o->names[i]);
        if (o->names[i].required && !there)
            return false;
        for (uint32_t j = 0; there && j < o->names[i].n_needs; j++) {
            if (!is_there(value, &o->names[o->names[i].needs[j]]))
                return false;
        }
    }
    return value->n >= o->min && value->n <= o->max;
}

static bool object_fits(const schema *s, const shape_object *o, const json *value)
{
    bool some[SHAPE_EXISTS] = {false};
    if (!names_fit(o, value))
        return false;
    for (uint32_t i = 0; i < value->n; i++) {
        const json *name = &value->names[i];
        uint32_t label =
            o->keys->label[dfa_run(o->keys, o->keys->start, name->text, name->n)];
        if (label == 0 || !goal_fits(s, o->label_goal[label - 1], &value->items[i]))
            return false;
        for (uint32_t j = 0; j < o->n_exists; j++)
            some[j] |= goal_fits(s, o->exists[j].with[label - 1], &value->items[i]);
    }
    for (uint32_t j = 0; j < o->n_exists; j++) {
        if (!some[j])
            return false;
    }
    return true;
}

static bool shape_fits(const schema *s, const shape *p, const json *value)
{
    if (p->type != value->type)
        return false;
    switch (p->type) {
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        return true;
    case JSON_NUMBER:
        return number_fits(&p->number, value);
    case JSON_STRING:
        return string_fits(&p->string, value);
    case JSON_ARRAY:
        return array_fits(s, &p->array, value);
    case JSON_OBJECT:
        return object_fits(s, &p->object, value);
    }
    return false;
}

bool goal_fits(const schema *s, goal_id g, const json *value)
{
    if (g == GOAL_NONE)
        return false;
    if (g == GOAL_ANY)
        return true;
    shapes all = schema_shapes(s, g);
    for (uint32_t i = 0; i < all.n; i++) {
        if (shape_fits(s, &all.shapes[i], value))
            return true;
    }
    return false;
}
