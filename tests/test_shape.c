/* tests/test_shape.c - what schemas compile to, and where they are refused. */
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "grammar/shape.h"
#include "tests/fault.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT = 1 << 16 };

static void write_decimal(const decimal *d, st_buf *out)
{
    decimal_write(d, out);
}

static void write_number(const number_rule *n, st_buf *out)
{
    if (n->has_lo && n->has_hi && decimal_cmp(&n->lo, &n->hi) == 0) {
        write_decimal(&n->lo, out);
        return;
    }
    st_buf_str(out, n->integer ? "integer" : n->fraction ? "fraction" : "number");
    if (n->has_lo) {
        st_buf_str(out, n->lo_open ? ">" : ">=");
        write_decimal(&n->lo, out);
    }
    if (n->has_hi) {
        st_buf_str(out, n->hi_open ? "<" : "<=");
        write_decimal(&n->hi, out);
    }
    for (uint32_t i = 0; i < n->n_multiples; i++) {
        st_buf_char(out, '/');
        write_decimal(&n->multiple[i], out);
    }
}

static void write_range(uint32_t min, uint32_t max, st_buf *out)
{
    if (max == UINT32_MAX)
        st_buf_fmt(out, "%u..", min);
    else
        st_buf_fmt(out, "%u..%u", min, max);
}

static void write_string(const text_rule *t, st_buf *out)
{
    uint64_t n = text_rule_count(t, 1000);
    st_buf_str(out, "string");
    if (t->min > 0 || t->max != UINT32_MAX)
        write_range(t->min, t->max, out);
    if (n < 1000)
        st_buf_fmt(out, "#%u", (unsigned)n);
}

static void write_array(const shape_array *a, st_buf *out)
{
    st_buf_char(out, '[');
    for (uint32_t i = 0; i < a->n_items; i++)
        st_buf_fmt(out, "%u ", a->items[i]);
    st_buf_fmt(out, "*%u] ", a->rest);
    write_range(a->min, a->max, out);
    if (a->unique)
        st_buf_str(out, " unique");
    for (uint32_t i = 0; i < a->n_contains; i++) {
        const shape_contains *k = &a->contains[i];
        st_buf_fmt(out, " contains %u/%u ", k->with, k->without);
        write_range(k->min, k->max, out);
    }
}

/* Each listed name with its goal, '!' where it is required; then the labels of others. */
static void write_object(const shape_object *o, st_buf *out)
{
    st_buf_char(out, '{');
    for (uint32_t i = 0; i < o->n_names; i++) {
        const shape_name *n = &o->names[i];
        st_buf_fmt(out, "%s%s:%u", n->name, n->required ? "!" : "", n->goal);
        for (uint32_t j = 0; j < n->n_needs; j++)
            st_buf_fmt(out, ">%s", o->names[n->needs[j]].name);
        st_buf_char(out, ' ');
    }
    for (uint32_t i = 0; i < o->n_labels; i++) {
        if (o->labels[i].name < 0 && o->labels[i].parts == 0)
            st_buf_fmt(out, "*:%u", o->label_goal[i]);
        else if (o->labels[i].name < 0)
            st_buf_fmt(out, "/%u:%u ", (unsigned)o->labels[i].parts, o->label_goal[i]);
    }
    st_buf_char(out, '}');
    if (o->min > o->n_required || o->max != UINT32_MAX) {
        st_buf_char(out, ' ');
        write_range(o->min, o->max, out);
    }
    for (uint32_t i = 0; i < o->n_exists; i++) {
        st_buf_str(out, " some");
        for (uint32_t j = 0; j < o->n_labels; j++)
            st_buf_fmt(out, " %u", o->exists[i].with[j]);
    }
}

static void write_shape(const shape *s, st_buf *out)
{
    switch (s->type) {
    case JSON_NULL:
        st_buf_str(out, "null");
        break;
    case JSON_FALSE:
        st_buf_str(out, "false");
        break;
    case JSON_TRUE:
        st_buf_str(out, "true");
        break;
    case JSON_NUMBER:
        write_number(&s->number, out);
        break;
    case JSON_STRING:
        write_string(&s->string, out);
        break;
    case JSON_ARRAY:
        write_array(&s->array, out);
        break;
    case JSON_OBJECT:
        write_object(&s->object, out);
        break;
    }
}

/* JSON with ' for its quotes. */
static int read_quoted(const char *text, const json **root, st_err *err)
{
    size_t len = strlen(text);
    char *copy = st_dup(text, len);
    if (!copy)
        return ST_ENOMEM;
    for (size_t i = 0; i < len; i++)
        copy[i] = copy[i] == '\'' ? '"' : copy[i];
    int rc = json_read(copy, len, root, err);
    st_free(copy);
    return rc;
}

/* The goals of a schema from the root on, "2= null | string; 3= ...".  Goal 1 is any
 * value, and is not written unless it is the root. */
static char *described(const char *text)
{
    st_err err = {0};
    const json *root;
    schema *s;
    schema_refusal where;
    st_buf out;
    st_buf_init(&out, TEXT);
    assert_int_equal(read_quoted(text, &root, &err), 0);
    int rc = schema_new(root, &s, &where, &err);
    if (rc < 0) {
        st_buf_fmt(&out, "%s %s %s", st_code_text(rc), where.pointer, where.keyword);
    } else {
        assert_true(schema_root(s) < schema_n_goals(s));
        for (goal_id g = schema_root(s); g < schema_n_goals(s); g++) {
            shapes all = schema_shapes(s, g);
            st_buf_fmt(&out, "%s%u= ", out.len ? "; " : "", g);
            for (uint32_t i = 0; i < all.n; i++) {
                st_buf_str(&out, i ? " | " : "");
                write_shape(&all.shapes[i], &out);
            }
        }
        schema_free(s);
    }
    json_free(root);
    size_t len;
    return st_buf_detach(&out, &len);
}

typedef struct expect {
    const char *schema, *goals;
} expect;

static void check(const expect *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *is = described(rows[i].schema);
        assert_non_null(is);
        if (strcmp(is, rows[i].goals) != 0)
            fail_msg("%s\n  is:       %s\n  expected: %s", rows[i].schema, is,
                     rows[i].goals);
        st_free(is);
    }
}
#define CHECK(...)                                                                       \
    do {                                                                                 \
        static const expect rows[] = {__VA_ARGS__};                                      \
        check(rows, sizeof rows / sizeof *rows);                                         \
    } while (0)

static void test_types(void **state)
{
    (void)state;
    CHECK({"{'type':'string'}", "2= string"},
          {"{'type':['null','boolean']}", "2= null | false | true"},
          {"true", "1= null | false | true | number | string | [*1] 0.. | {*:1}"},
          {"{}", "1= null | false | true | number | string | [*1] 0.. | {*:1}"},
          {"{'type':['integer','number']}", "2= number"});
}

static void test_numbers(void **state)
{
    (void)state;
    CHECK({"{'type':'integer','minimum':1,'maximum':10}", "2= integer>=1<=10"},
          {"{'type':'number','exclusiveMinimum':0.5,'multipleOf':0.25}",
           "2= number>0.5/0.25"},
          {"{'$schema':'http://json-schema.org/draft-04/"
           "schema#','type':'number','minimum':1,'exclusiveMinimum':true}",
           "2= number>1"},
          {"{'type':'number','not':{'enum':[1,5]},'minimum':0,'maximum':5}",
           "2= number>=0<1 | number>1<5"},
          {"{'enum':[1,2.5,1.0,'x'],'type':'integer'}", "2= 1"},
          {"{'type':'integer','not':{'multipleOf':1}}", "invalid argument  "},
          {"{'type':'number','not':{'type':'integer'}}", "2= fraction"},
          {"{'type':'integer','allOf':[{'multipleOf':2},{'multipleOf':3}],'anyOf':[{'"
           "minimum':4},{'maximum':-4}]}",
           "2= integer>=4/2/3 | integer<=-4/2/3"});
}

static void test_strings(void **state)
{
    (void)state;
    CHECK(
        {"{'type':'string','minLength':2,'maxLength':3}", "2= string2..3"},
        {"{'enum':['a','b','c'],'not':{'const':'b'}}", "2= string#2"},
        {"{'type':'string','anyOf':[{'const':'a'},{'enum':['b','c']},{'const':'b'}]}",
         "2= string#3"},
        {"{'type':'string','pattern':'^a+$','anyOf':[{'enum':['a','b','aa']},{'const':'"
         "aaaa'}]}",
         "2= string#3"},
        {"{'type':'string','pattern':'^[ab]{2}$','not':{'pattern':'^a'}}", "2= string#2"},
        {"{'type':'string','oneOf':[{'maxLength':4},{'minLength':3}]}",
         "2= string0..2 | string5.."},
        {"{'type':'string','format':'x-unknown'}", "2= string"});
}

static void test_arrays(void **state)
{
    (void)state;
    CHECK(
        {"{'type':'array','items':{'type':'null'},'minItems':1,'maxItems':3}",
         "2= [*3] 1..3; 3= null"},
        {"{'type':'array','prefixItems':[{'type':'null'},{'type':'string'}],'items':"
         "false}",
         "2= [3 4 *0] 0..2; 3= null; 4= string"},
        {"{'$schema':'http://json-schema.org/draft-07/"
         "schema#','type':'array','items':[{'type':'null'}],'additionalItems':{'type':'"
         "string'}}",
         "2= [3 *4] 0..; 3= null; 4= string"},
        {"{'type':'array','items':{'enum':['a','b','c']},'uniqueItems':true}",
         "2= [*3] 0..3 unique; 3= string#3"},
        {"{'type':'array','contains':{'const':1},'minContains':2,'maxContains':3,'items':"
         "{'type':'number'}}",
         "2= [*3] 0.. contains 4/5 2..3; 3= number; 4= 1; 5= number<1 | number>1"},
        {"{'type':'array','prefixItems':[{'type':'boolean'}],'contains':{'const':true}}",
         "2= [3 *1] 1.. | [4 *1] 0.. contains 5/1 1..; 3= true; 4= false | true; 5= "
         "true"},
        {"{'const':[1,[true]]}", "2= [3 4 *0] 2..2; 3= 1; 4= [5 *0] 1..1; 5= true"},
        {"{'type':'array','not':{'items':{'type':'null'}}}",
         "2= [*1] 0.. contains 3/1 1..; 3= false | true | number | string | [*1] 0.. | "
         "{*:1}"},
        {"{'type':'array','not':{'prefixItems':[true,{'type':'null'}]},'maxItems':2}",
         "2= [1 3 *0] 2..2; 3= false | true | number | string | [*1] 0.. | {*:1}"},
        {"{'type':'array','maxItems':5,'items':[{'const':1}],'not':{'minItems':2}}",
         "2= [3 *0] 0..1; 3= 1"});
}

static void test_objects(void **state)
{
    (void)state;
    CHECK({"{'type':'object','properties':{'a':{'type':'null'},'b':true},'required':['b',"
           "'c']}",
           "2= {a:3 b!:1 c!:1 *:1}; 3= null"},
          {"{'type':'object','properties':{'a':{'type':'null'}},'patternProperties':{'^x'"
           ":{'type':'string'}},'additionalProperties':false}",
           "2= {a:4 *:0/1:3 }; 3= string; 4= null"},
          {"{'type':'object','propertyNames':{'enum':['a','b']},'minProperties':1}",
           "2= {*:1} 1.."},
          {"{'type':'object','dependentRequired':{'a':['b'],'b':['c']}}",
           "2= {a:1>b b:1>c c:1 *:1}"},
          {"{'type':'object','dependentSchemas':{'a':{'required':['b']}}}",
           "2= {a:0 *:1} | {a!:1 b!:1 *:1}"},
          {"{'const':{'a':1}}", "2= {a!:3 *:0} 1..1; 3= 1"},
          {"{'type':'object','maxProperties':1,'required':['a'],'properties':{'b':true}}",
           "2= {b:0 a!:1 *:0} 1..1"},
          {"{'type':'object','properties':{'a':false,'b':true}}", "2= {a:0 b:1 *:1}"},
          {"{'type':'object','not':{'required':['a'],'properties':{'a':{'const':1}}}}",
           "2= {a:3 *:1}; 3= null | false | true | number<1 | number>1 | string | [*1] "
           "0.. | {*:1}"},
          {"{'type':'object','not':{'additionalProperties':{'type':'string'},'properties'"
           ":{'z':true}}}",
           "2= {z:1 *:1} some 3 0; 3= null | false | true | number | [*1] 0.. | {*:1}"},
          {"{'type':'object','not':{'propertyNames':{'maxLength':2}}}",
           "2= {*:1/1:1 } some 0 1"});
}

static void test_branches(void **state)
{
    (void)state;
    CHECK(
        {"{'type':'object','anyOf':[{'required':['a']},{'required':['b']}]}",
         "2= {a!:1 *:1} | {b!:1 *:1}"},
        {"{'type':'object','oneOf':[{'required':['a']},{'required':['b']}]}",
         "2= {a!:1 b:0 *:1} | {b!:1 a:0 *:1}"},
        {"{'type':'object','required':['k'],'oneOf':[{'properties':{'k':{'const':'a'},'x'"
         ":{'type':'null'}}},{'properties':{'k':{'const':'b'},'y':{'type':'null'}}}]}",
         "2= {k!:3 x:4 *:1} | {k!:5 y:4 *:1}; 3= string#1; 4= null; 5= string#1"},
        {"{'oneOf':[{'type':'integer'},{'type':'number','minimum':3}]}",
         "2= integer<3 | fraction>=3"},
        {"{'type':'object','properties':{'k':{'type':'boolean'}},'if':{'properties':{'k':"
         "{'const':true}},'required':['k']},'then':{'required':['x']},'else':{'required':"
         "['y']}}",
         "2= {k!:3 x!:1 *:1} | {k:4 y!:1 *:1}; 3= true; 4= false"},
        {"{'type':'object','allOf':[{'properties':{'a':{'type':['string','null']}}},{'"
         "properties':{'a':{'type':['null','boolean']}}}]}",
         "2= {a:3 *:1}; 3= null"},
        {"{'anyOf':[{'type':'null'},true]}",
         "2= null | false | true | number | string | [*1] 0.. | {*:1}"},
        {"{'oneOf':[{'const':1},{'const':2},{'enum':[2,3]}]}", "2= 1 | 3"},
        {"{'not':{'type':['object','array','string','number']}}",
         "2= null | false | true"},
        {"{'type':'object','additionalProperties':false,'properties':{'a':true,'b':true},"
         "'oneOf':[{'properties':{'a':{'type':'null'}},'required':['a']},{'properties':{'"
         "b':{'type':'null'}},'required':['b']}]}",
         "2= {a!:3 b:4 *:0} | {a:4 b!:3 *:0}; 3= null; 4= false | true | number | string "
         "| [*1] 0.. | {*:1}"},
        {"{'type':'object','anyOf':[{'properties':{'k':{'const':1},'v':{'type':'array','"
         "uniqueItems':true}}},{'properties':{'k':{'const':2},'v':{'type':'string'}}}]}",
         "2= {k:3 v:4 *:1} | {k:5 v:6 *:1}; 3= 1; 4= [*1] 0.. unique; 5= 2; 6= string"});
}

static void test_references(void **state)
{
    (void)state;
    CHECK({"{'$ref':'#/$defs/"
           "t','$defs':{'t':{'type':'object','properties':{'kids':{'type':'array','items'"
           ":{'$ref':'#/$defs/t'}}},'additionalProperties':false}}}",
           "2= {kids:3 *:0}; 3= [*2] 0.."},
          {"{'type':'object','properties':{'next':{'anyOf':[{'type':'null'},{'$ref':'#'}]"
           "}},'required':['next']}",
           "2= {next!:3 *:1}; 3= null | {next!:3 *:1}"},
          {"{'$id':'http://x.test/a/"
           "b.json','$ref':'c.json','$defs':{'c':{'$id':'c.json','$ref':'#q','$defs':{'d'"
           ":{'$anchor':'q','type':'null'}}}}}",
           "2= null"},
          {"{'$ref':'#/x~1y/a%20b','x/y':{'a b':{'type':'null'}}}", "2= null"},
          {"{'$schema':'http://json-schema.org/draft-07/schema#','$ref':'#/definitions/"
           "a','type':'null','definitions':{'a':{'type':'string'}}}",
           "2= string"},
          {"{'$schema':'http://json-schema.org/draft-04/schema#','id':'http://x.test/"
           "','properties':{'a':{'$ref':'b#/definitions/"
           "c'}},'definitions':{'b':{'id':'b','definitions':{'c':{'type':'null'}}}},'"
           "type':'object'}",
           "2= {a:3 *:1}; 3= null"},
          {"{'type':'object','$dynamicAnchor':'n','properties':{'a':{'$dynamicRef':'#n'}}"
           ",'additionalProperties':false}",
           "2= {a:2 *:0}"});
}

static void test_unevaluated(void **state)
{
    (void)state;
    CHECK({"{'type':'object','properties':{'a':{'type':'null'}},'allOf':[{'properties':{'"
           "b':true}}],'unevaluatedProperties':false}",
           "2= {a:3 b:1 *:0}; 3= null"},
          {"{'type':'object','anyOf':[{'required':['a'],'properties':{'a':true}},{'"
           "required':['b'],'properties':{'b':true}}],'unevaluatedProperties':false}",
           "2= {a!:1 b!:1 *:0} | {a!:1 b:0 *:0} | {b!:1 a:0 *:0}"},
          {"{'type':'array','allOf':[{'prefixItems':[{'type':'null'}]}],'"
           "unevaluatedItems':{'type':'string'}}",
           "2= [3 *4] 0..; 3= null; 4= string"},
          {"{'type':'object','not':{'properties':{'a':true},'unevaluatedProperties':"
           "false}}",
           "2= {a:1 *:1} some 1 0"});
}

static void test_impossible(void **state)
{
    (void)state;
    CHECK({"false", "invalid argument  "},
          {"{'type':'string','enum':[1]}", "invalid argument  "},
          {"{'type':'object','properties':{'a':{'$ref':'#'}},'required':['a']}",
           "invalid argument  "},
          {"{'type':'array','minItems':3,'maxItems':2}", "invalid argument  "},
          {"{'type':'object','required':['a'],'propertyNames':{'maxLength':0}}",
           "invalid argument  "},
          {"{'type':'array','items':{'type':'boolean'},'uniqueItems':true,'minItems':3}",
           "invalid argument  "},
          {"{'allOf':[{'type':'string','pattern':'^a'},{'pattern':'^b'}]}",
           "invalid argument  "},
          {"{'type':'object','additionalProperties':false,'minProperties':2,'properties':"
           "{'a':true}}",
           "invalid argument  "},
          {"{'type':'integer','minimum':3,'maximum':3.5,'exclusiveMinimum':3}",
           "invalid argument  "},
          {"{'type':'array','contains':true,'maxContains':0}", "invalid argument  "},
          {"{'type':'object','properties':{'a':{'type':'null'}},'required':['a'],'not':{'"
           "additionalProperties':true}}",
           "invalid argument  "});
}

static void test_refusals(void **state)
{
    (void)state;
    CHECK(
        {"{'properties':{'a/b':{'pattern':'(a)\\\\1'}}}",
         "not supported /properties/a~1b pattern"},
        {"{'$ref':'http://x.test/other.json'}", "not supported  $ref"},
        {"{'$ref':'#/nowhere'}", "malformed file  $ref"},
        {"{'$ref':'#'}", "malformed file  $ref"},
        {"{'allOf':[{'anyOf':[{'$ref':'#/allOf/0'}]}]}", "malformed file /allOf/0 $ref"},
        {"{'type':'text'}", "malformed file  type"},
        {"{'minLength':-1}", "malformed file  minLength"},
        {"{'required':'a'}", "malformed file  required"},
        {"{'properties':{'a':{'$schema':'urn:x'}}}",
         "not supported /properties/a $schema"},
        {"{'type':'array','not':{'uniqueItems':true}}", "not supported /not uniqueItems"},
        {"{'type':'number','not':{'multipleOf':0.3}}", "not supported /not multipleOf"},
        {"{'$dynamicRef':'#n','$defs':{'a':{'$dynamicAnchor':'n'},'b':{'$id':'b','$"
         "dynamicAnchor':'n'}}}",
         "not supported  $dynamicRef"},
        {"{'type':'object','properties':{'a':{'$ref':'#/definitions/"
         "b','minimum':1}},'definitions':{'b':{'type':'integer'}}}",
         "not supported /properties/a $ref"},
        {"{'type':'string','contentEncoding':'base64'}",
         "not supported  contentEncoding"},
        {"{'items':{'enum':3}}", "malformed file /items enum"},
        {"{'patternProperties':{'(':true},'type':'object'}",
         "malformed file  patternProperties"},
        {"{'multipleOf':0}", "malformed file  multipleOf"}, {"3", "malformed file  "},
        {"{'anyOf':[{'type':'array','uniqueItems':true},{'type':'array','minItems':2}]}",
         "not supported  uniqueItems"},
        {"{'type':'array','contains':{'type':'array','uniqueItems':true}}",
         "not supported  uniqueItems"},
        {"{'properties':{'a':{'$ref':'#/$defs/b'}},'$defs':{'b':{'$ref':'#/$defs/"
         "c'},'c':{'$ref':'#/$defs/b'}}}",
         "malformed file /properties/a $ref"});
}

static void test_exists(void **state)
{
    (void)state;
    CHECK({"{'type':'object','properties':{'a':true},'additionalProperties':false,'not':{"
           "'properties':{'b':true},'additionalProperties':false}}",
           "2= {a!:1 b:0 *:0}"},
          {"{'type':'object','allOf':[{'not':{'additionalProperties':{'type':'string'}}},"
           "{'not':{'additionalProperties':{'type':'null'}}}]}",
           "2= {*:1} some 3 some 4; 3= null | false | true | number | [*1] 0.. | {*:1}; "
           "4= false | true | number | string | [*1] 0.. | {*:1}"},
          {"{'type':'object','not':{'additionalProperties':false}}", "2= {*:1} 1.."},
          {"{'type':'object','maxProperties':1,'allOf':[{'not':{'additionalProperties':{'"
           "type':'string'}}},{'not':{'additionalProperties':{'type':'null'}}}]}",
           "over a limit  maxProperties"});
}

typedef struct work {
    const char *text;
} work;

static int compile_once(void *arg)
{
    const work *w = arg;
    st_err err = {0};
    const json *root;
    schema *s;
    schema_refusal where;
    int rc = read_quoted(w->text, &root, &err);
    if (rc < 0)
        return rc;
    rc = schema_new(root, &s, &where, &err);
    if (rc == 0)
        schema_free(s);
    json_free(root);
    return rc;
}

/* Every allocation fails once; nothing is lost and nothing else is said. */
static void test_memory(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"$id\":\"http://x.test/"
        "\",\"type\":\"object\",\"properties\":{\"a\":{\"enum\":[1,\"x\",[2],"
        "{\"b\":null}]},\"k\":{\"type\":\"string\",\"pattern\":\"^2\",\"format\":"
        "\"date\"}},"
        "\"patternProperties\":{\"^z\":{\"$ref\":\"#\"}},\"required\":[\"k\"],"
        "\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}],"
        "\"dependentRequired\":{\"a\":[\"k\"]},\"propertyNames\":{\"maxLength\":3}}",
        "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\",\"not\":{\"const\":3}"
        "}],"
        "\"contains\":{\"type\":\"string\"},\"maxContains\":2,\"items\":{\"anyOf\":[{"
        "\"type\":\"string\"},"
        "{\"type\":\"object\",\"allOf\":[{\"properties\":{\"a\":true}}],"
        "\"unevaluatedProperties\":false}]},\"not\":{\"items\":{\"type\":\"integer\"}}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_true(fault_sweep(compile_once, &(work){texts[i]}, 1) > 50);
}

/* Ways to combine alternatives multiply; the schema is refused in time. */
static void test_limits(void **state)
{
    (void)state;
    st_buf text;
    st_buf_init(&text, TEXT);
    st_buf_str(&text, "{'type':'object','allOf':[true");
    for (int i = 0; i < 12; i++)
        st_buf_fmt(&text,
                   ",{'anyOf':[{'required':['a%d']},{'required':['b%d']},"
                   "{'required':['c%d']}]}",
                   i, i, i);
    st_buf_str(&text, "]}");
    char *is = described(text.data);
    assert_string_equal(is, "over a limit  anyOf");
    st_free(is);
    st_buf_reset(&text);
    st_buf_str(&text, "{'oneOf':[{'const':-1}");
    for (int i = 0; i < 300; i++)
        st_buf_fmt(&text, ",{'const':'v%d'}", i);
    st_buf_str(&text, "]}");
    is = described(text.data);
    assert_string_equal(is, "2= -1 | string#300");
    st_free(is);
    st_buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),      cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings),    cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_objects),    cmocka_unit_test(test_branches),
        cmocka_unit_test(test_references), cmocka_unit_test(test_unevaluated),
        cmocka_unit_test(test_impossible), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_exists),     cmocka_unit_test(test_limits),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
