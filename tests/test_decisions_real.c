/* tests/test_decisions_real.c - decisions by SmolLM2, bit for bit in any company. */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/decisions_ask.h"
#include "tests/here.h"

static void company_changes_nothing(void **state)
{
    char path[4096];
    const char *folder = getenv("STINT_MODELS");
    served s;
    (void)state;
    snprintf(path, sizeof path, "%s/smollm2-135m-instruct.gguf",
             folder ? folder : ".cache/models");
    if (!is_here(path))
        skip();
    start(&s, path);
    company_check(&s);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(company_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
