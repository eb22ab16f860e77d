/* tests/decisions_ask.h - decisions asked over HTTP, and that company changes no bit. */
#ifndef TESTS_DECISIONS_ASK_H
#define TESTS_DECISIONS_ASK_H
#include "tests/serve_child.h"

#define OPENAI "/v1/decisions"
#define TYPESAFE "/v1/systemone"

static inline void start(served *s, const char *path)
{
    char named[4200];
    if (!path[0])
        skip();
    snprintf(named, sizeof named, "m=%s", path);
    served_start(s, (const char *const[]){"--model", named, "--threads", "2", NULL});
}

static inline answer post(const served *s, const char *path, const char *body)
{
    return ask_once(s->port, "POST", path, NULL, body);
}

static inline answer post_good(const served *s, const char *path, const char *body)
{
    answer a = post(s, path, body);
    if (a.status != 200)
        fail_msg("%d %s\n%s", a.status, a.body, body);
    return a;
}

/* ---- questions, and a body of some of them ---- */

#define PREDICATE "\"type\":\"predicate\",\"instructions\":\"The writer wants money.\""
#define CHOICE                                                                           \
    "\"type\":\"choice\",\"instructions\":\"Which team?\",\"choices\":[{\"value\":"      \
    "\"billing\",\"description\":\"charges\"},{\"value\":true},{\"value\":\"true\"}]"
#define SCORE                                                                            \
    "\"type\":\"score\",\"instructions\":\"How urgent?\",\"levels\":[{\"label\":"        \
    "\"low\"},{\"label\":\"high\",\"description\":\"now\"}]"
#define STORY "The parcel is two weeks late and I want my money back."

static inline answer ask(const served *s, const char *more, const char *questions)
{
    st_buf body;
    st_buf_init(&body, 1 << 24);
    st_buf_fmt(&body, "{\"model\":\"m\",\"input\":\"" STORY "\"%s,\"questions\":[%s]}",
               more, questions);
    answer a = post_good(s, OPENAI, body.data);
    st_buf_done(&body);
    return a;
}

static inline void same_answer(const answer *a, const char *at, const answer *b,
                               const char *other)
{
    char *one = json_dumps(answer_at(a, at), JSON_SORT_KEYS | JSON_ENCODE_ANY);
    char *two = json_dumps(answer_at(b, other), JSON_SORT_KEYS | JSON_ENCODE_ANY);
    assert_non_null(one);
    assert_non_null(two);
    assert_string_equal(one, two);
    free(one);
    free(two);
}

/* The same bytes alone, beside others, renamed, elsewhere in the list, in a full batch,
 * cold and warm. */
static inline void company_check(const served *s)
{
    st_buf many;
    answer choice = ask(s, "", "{" CHOICE "}"), score = ask(s, "", "{" SCORE "}");
    answer cold = ask(s, ",\"prompt_cache_key\":\"cold\"", "{" CHOICE "}");
    same_answer(&choice, "answers.0", &cold, "answers.0");
    assert_int_equal(answer_number(&cold, "usage.input_tokens_details.cached_tokens"), 0);
    answer warm = ask(s, ",\"prompt_cache_key\":\"cold\"", "{" CHOICE "}");
    same_answer(&choice, "answers.0", &warm, "answers.0");
    assert_true(answer_number(&warm, "usage.input_tokens_details.cached_tokens") > 20);
    assert_int_equal(answer_number(&warm, "usage.input_tokens"),
                     answer_number(&cold, "usage.input_tokens"));
    /* beside others, renamed, in another order */
    answer a = ask(s, "", "{" SCORE "},{" PREDICATE "},{" CHOICE ",\"name\":\"new\"}");
    same_answer(&score, "answers.0", &a, "answers.0");
    same_answer(&choice, "answers.0.probabilities", &a, "answers.2.probabilities");
    same_answer(&choice, "answers.0.confidence", &a, "answers.2.confidence");
    /* and among many that are in one batch with it */
    st_buf_init(&many, 1 << 20);
    for (int i = 0; i < 50; i++)
        st_buf_fmt(&many,
                   "{\"type\":\"predicate\",\"instructions\":\"Number %d is in it.\"},",
                   i);
    st_buf_str(&many, "{" CHOICE "},{" SCORE "}");
    answer b = ask(s, ",\"prompt_cache_key\":\"many\"", many.data);
    same_answer(&choice, "answers.0", &b, "answers.50");
    same_answer(&score, "answers.0", &b, "answers.51");
    st_buf_done(&many);
    answer *const all[] = {&choice, &score, &cold, &warm, &a, &b};
    for (size_t i = 0; i < ST_COUNT(all); i++)
        answer_done(all[i]);
}
#endif
