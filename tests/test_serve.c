/* tests/test_serve.c - the real program serving over loopback. */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/serve_child.h"
#include "tests/tiny_model.h"

static char model[64]; /* the tiny one's file; "" when the goldens are not here */

static int model_make(void **state)
{
    (void)state;
    snprintf(model, sizeof model, "/tmp/stint-tiny-%d.gguf", (int)getpid());
    if (!tiny_model_write(model))
        model[0] = '\0';
    return 0;
}

static int model_drop(void **state)
{
    (void)state;
    if (model[0])
        unlink(model);
    return 0;
}

static void needs_model(void)
{
    if (!model[0])
        skip();
}

static void error_is(answer *a, int status, const char *code)
{
    if (a->status != status || strcmp(answer_text(a, "error.code"), code) != 0)
        fail_msg("%d %s, not %d %s", a->status, a->body, status, code);
    answer_done(a);
}

static void health_and_models(void **state)
{
    served s;
    (void)state;
    needs_model();
    served_start(&s, (const char *const[]){"--model", model, NULL});
    answer a = ask_once(s.port, "GET", "/health", NULL, NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_text(&a, "status"), "ok");
    answer_done(&a);
    a = ask_once(s.port, "GET", "/v1/models/nobody", NULL, NULL);
    error_is(&a, 404, "model_not_found");
    a = ask_once(s.port, "GET", "/nowhere", NULL, NULL);
    error_is(&a, 404, "unknown_url");
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health_and_models),
    };
    return cmocka_run_group_tests(tests, model_make, model_drop);
}
