/* tests/fuzz/fuzz_chat.c - any bytes as the body of a request for text: sampling, forms,
 * messages, items and functions.
 *
 * What was read keeps its bounds; what was refused says why. */
#include "serve/responses_read.h"
#include "serve/talk_ask.h"
#include "serve/talk_form.h"
#include "serve/talk_messages.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>

static const member members[] = {
    TALK_SAMPLING TALK_FORMS{"response_format", TALK_OBJECT, .of = talk_form_response},
    {"messages", MEMBER_ARRAY | MEMBER_NULL, .of = talk_message},
    {"input", MEMBER_ANY, .nul = true, .items = MEMBER_OBJECT},
    {"tools", MEMBER_ARRAY | MEMBER_NULL, .items = MEMBER_OBJECT},
    {0}};

static void expect(bool right)
{
    if (!right)
        abort();
}

static void sampling_read(const json_t *body, problems *p)
{
    talk_ask *ask = calloc(1, sizeof *ask);
    expect(ask != NULL);
    ask->how = talk_how_openai;
    talk_ask_read(body, ask, p);
    expect(ask->stops.n <= STOP_MAX && ask->n_bias <= SCHED_MAX_BIAS &&
           ask->n_stop_ids <= TALK_MAX_STOP_IDS);
    for (uint32_t i = 0; i < ask->stops.n; i++)
        expect(ask->stops.len[i] > 0);
    if (p->n == 0) {
        sampler pick;
        st_err err = {0};
        expect(sampler_init(&pick, &ask->how, &err) == 0);
    }
    free(ask);
}

static void form_read(const json_t *body, problems *p)
{
    talk_form form = {0};
    uint32_t before = p->n;
    talk_form_read(body, body_get(body, "response_format"), "response_format", &form, p);
    if (p->n == before)
        expect((form.kind == FORM_NONE) == (form.text == NULL));
    if (form.schema)
        talk_form_is_told(form.schema, "a", 1);
    talk_form_done(&form);
}

static void turns_read(json_t *turns)
{
    const json_t *said = talk_last_said(turns);
    expect(!said || json_is_string(said));
    expect(!turns || talk_messages_lead(turns, "system", "x"));
    json_decref(turns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    problems p = {0};
    json_t *body = body_parse((const char *)data, len, 128, &p);
    expect(body || p.n > 0);
    if (body)
        body_check(body, members, false, "", &p);
    if (p.n == 0) {
        problems of_items = {0};
        sampling_read(body, &p);
        form_read(body, &p);
        turns_read(talk_messages_read(body_get(body, "messages"), "messages", &p));
        turns_read(responses_turns(body_get(body, "input"), "be", &of_items));
        json_decref(responses_tools(body_get(body, "tools"), &of_items));
        problems_done(&of_items);
    }
    problems_done(&p);
    json_decref(body);
    return 0;
}
