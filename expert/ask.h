/* expert/ask.h - any question about a text, to any language model, as tokens to be run.
 *
 *   text --ask_base_new--> base        tokens that all questions about the text begin
 *                           |          with: the chat's opening, the text, "Question:"
 *   question --ask_new----> ask        for each order of the options: the tokens that
 *                           |          follow, and the trie of replies
 *   (an engine runs base + own, and scores the trie: SCHED_OPTIONS)
 *                           |
 *   log-probabilities --ask_combine--> probabilities, mass, confidence
 *
 * The text comes first, so k questions about it share one reading of it.  What a question
 * is called is not in the prompt, and nothing of one question is in another's.
 *
 *   letters  up to ASK_MAX_LETTERS options are listed as A., B., ... and the reply is one
 *            letter, where each letter is one token of its own in its place
 *   text     else: the exact probability of each option's text as the reply, the end of
 *            the turn included where one option begins another
 *   yes, no  a predicate, in lower case and with a capital
 *
 * A choice is listed forward and reversed, a predicate asks "yes or no" and "no or yes";
 * the geometric mean of both cancels what the model prefers by position (Zheng 2024).
 * Levels keep their order: their meaning is in it.
 *
 * Text and question are data: whatever they spell, they become no control token.  Nothing
 * is cut; whether a prompt fits is the caller's to check (ask_tokens).
 *
 * The keys `<arch>.decision.*` of models made for decisions are not read: such a model is
 * asked like any other.
 *
 * Threads: any, on different objects; the lm is only read.  Memory: the lm must outlive
 * the base; an ask needs neither base nor question afterwards. */
#ifndef EXPERT_ASK_H
#define EXPERT_ASK_H
#include "engine/options.h"
#include "expert/lm.h"
#include "expert/question.h"

enum { ASK_MAX_ORDERS = 2, ASK_MAX_LETTERS = 26 };

typedef enum ask_method { ASK_LETTERS, ASK_TEXT } ask_method;
const char *ask_method_name(ask_method m); /* "letters", "text" */

typedef struct ask_base ask_base;

/* ST_EUNSUPPORTED: a model that writes no text, or whose template does not show the text
 * as it is.  ST_EINVAL: not UTF-8. */
ST_NODISCARD int ask_base_new(const lm *l, const char *text, size_t len,
                              ask_base **ret_base, st_err *err);
void ask_base_free(ask_base *b); /* NULL allowed */
uint32_t ask_base_tokens(const ask_base *b);

typedef struct ask_order {
    tok_ids own;            /* after the base's */
    const options *replies; /* n_replies of them */
} ask_order;

typedef struct ask {
    question_type type;
    ask_method method;
    uint32_t n_options;
    uint32_t n_orders;
    uint32_t n_replies;
    ask_order orders[ASK_MAX_ORDERS];
    options *tries[ASK_MAX_ORDERS]; /* that it owns */
    uint32_t *option_of;            /* [n_replies] */
} ask;

/* Predicate, choice of 1 to 255 or score.  A predicate's options are "true" and "false",
 * of which only descriptions are shown, or none (n_options 0).  Values are shown as they
 * are: whoever tells true from "true" passes them as JSON.  ST_EINVAL: two options with
 * the same tokens. */
ST_NODISCARD int ask_new(const ask_base *b, const question *q, ask **ret_ask,
                         st_err *err);
void ask_free(ask *a); /* NULL allowed */

/* Tokens of the prompt in one order, all: what it begins with and its own. */
uint32_t ask_tokens(const ask_base *b, const ask *a, uint32_t order);
/* Append them. */
ST_NODISCARD int ask_prompt(const ask_base *b, const ask *a, uint32_t order, tok_ids *ids,
                            st_err *err);

typedef struct ask_answer {
    double mass; /* probability of all replies together, mean over the orders */
    double confidence;
    double score;  /* sum of i * p[i] */
    uint32_t best; /* the first option with the highest probability */
} ask_answer;

/* logp [n_orders, n_replies]; ret_probs [n_options] sum to 1, a predicate's are those of
 * true and false. */
void ask_combine(const ask *a, const double *logp, double *ret_probs,
                 ask_answer *ret_answer);

/* How much an answer stands out, in [0, 1]; 1 for a single option.
 *   choice  max(0, (pmax - 1/n) / (1 - 1/n))
 *   score   max(0, 1 - sum p[i] |i - mode| / MAD), MAD = sum |i - (n-1)/2| / n
 * (TypeSafe's published adapter).  A predicate's is that of a choice of two. */
double ask_confidence(question_type type, const double *probs, uint32_t n);
double ask_score(const double *probs, uint32_t n);
#endif
