/* serve/wire_decisions.c - POST /v1/decisions: OpenAI's decisions, and the two other
 * bodies that are sent to this path (serve/decision.h). */
#include "serve/decision.h"
#include "serve/route.h"

static void decide(call *c)
{
    decision d;
    problems p = {0};
    decision_read(call_body(c), &d, &p);
    if (p.n > 0 || p.out_of_memory) {
        decision_done(&d);
        call_reply_problems(c, &p);
        return;
    }
    decision_start(c, &d);
}

static const member *const bodies[] = {decision_openai_body, decision_systemone_body,
                                       decision_sglang_body, NULL};

static const member cached[] = {
    {"cached_tokens", MEMBER_INTEGER, .need = true},
    {"cache_write_tokens", MEMBER_INTEGER, .need = true},
    {0},
};
static const member thought[] = {
    {"reasoning_tokens", MEMBER_INTEGER, .need = true},
    {0},
};
static const member usage[] = {
    {"input_tokens", MEMBER_INTEGER, .need = true,
     .about = "The text once, and every question in each order that it is asked in; the "
              "same whether it was run before or not."},
    {"input_tokens_details", MEMBER_OBJECT, .of = cached},
    {"output_tokens", MEMBER_INTEGER, .need = true},
    {"output_tokens_details", MEMBER_OBJECT, .of = thought},
    {"total_tokens", MEMBER_INTEGER, .need = false},
    {0},
};
static const member answer[] = {
    {"model", MEMBER_STRING, .need = true},
    {"answers", MEMBER_ARRAY | MEMBER_OBJECT, .need = true,
     .about = "In the order of the questions; by their keys where they have keys."},
    {"usage", MEMBER_OBJECT, .need = true, .of = usage},
    {"stint", MEMBER_OBJECT, .need = true, .open = true,
     .about = "How each was answered: route, calibrated, label_mass, method, orders."},
    {0},
};

const route wire_decisions[] = {
    {"POST", "/v1/decisions", "createDecision",
     "Probabilities of the answers to typed questions about a text.", SCOPE_CLIENT,
     .shapes = true, .alternatives = bodies, .answer = answer, .handle = decide},
    {0},
};
