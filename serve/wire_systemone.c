/* serve/wire_systemone.c - POST /v1/systemone: TypeSafe's decisions. */
#include "serve/decision.h"
#include "serve/route.h"

static void decide(call *c)
{
    decision d;
    problems p = {0};
    decision_read_systemone(call_body(c), &d, &p);
    if (p.n > 0 || p.out_of_memory) {
        decision_done(&d);
        call_reply_problems(c, &p);
        return;
    }
    decision_start(c, &d);
}

static const member usage[] = {
    {"input_tokens", MEMBER_INTEGER, .need = true},
    {"output_tokens", MEMBER_INTEGER, .need = true},
    {0},
};
static const member answer[] = {
    {"model", MEMBER_STRING, .need = true},
    {"answers", MEMBER_OBJECT, .need = true, .about = "By the keys of the questions."},
    {"usage", MEMBER_OBJECT, .need = true, .of = usage},
    {"stint", MEMBER_OBJECT, .need = true, .open = true,
     .about = "How each was answered: route, calibrated, label_mass, method, orders."},
    {0},
};

static const member *const bodies[] = {decision_systemone_body, NULL};

const route wire_systemone[] = {
    {"POST", "/v1/systemone", "systemOne",
     "Probabilities of the answers to typed questions about a state.", SCOPE_CLIENT,
     .dialect = DIALECT_TYPESAFE, .shapes = true, .alternatives = bodies,
     .answer = answer, .handle = decide},
    {0},
};
