"""The official Python client, unmodified."""
import json

import pytest
from conftest import MODEL
from openai import BadRequestError, NotFoundError

QUESTION = {"type": "choice", "name": "team", "instructions": "Which team?",
            "choices": [{"value": "billing", "description": "charges"},
                        {"value": "travel"}, {"value": True}]}
PERSON = {"type": "object", "properties": {
    "name": {"type": "string", "maxLength": 12},
    "age": {"type": "integer", "minimum": 0, "maximum": 150}},
    "required": ["name", "age"], "additionalProperties": False}
WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string",
                                                              "maxLength": 20}},
                   "required": ["city"], "additionalProperties": False}}}


def ask(client, words, **more):
    return client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": words}],
        **{"temperature": 0, **more})


def test_models(client):
    names = [m.id for m in client.models.list()]
    assert {MODEL, "all-minilm-l6-v2", "support", "orders"} <= set(names)
    assert client.models.retrieve("support").id == "support"
    with pytest.raises(NotFoundError) as wrong:
        client.models.retrieve("nobody")
    assert wrong.value.code == "model_not_found"


def test_decisions(client):
    got = client.decisions.create(model=MODEL, input="I was charged twice", questions=[
        QUESTION, {"type": "predicate", "name": "p", "instructions": "The writer is angry."},
        {"type": "score", "instructions": "How urgent?",
         "levels": [{"label": "low"}, {"label": "high"}]}])
    choice, predicate, score = got.answers
    assert [a.type for a in got.answers] == ["choice", "predicate", "score"]
    assert [p.value for p in choice.probabilities] == ["billing", "travel", True]
    assert abs(sum(p.probability for p in choice.probabilities) - 1) < 1e-9
    assert choice.choice == max(choice.probabilities, key=lambda p: p.probability).value
    assert 0 <= predicate.probability <= 1 and predicate.name == "p"
    assert score.score == pytest.approx(sum(p.value * p.probability
                                            for p in score.probabilities))
    assert got.usage.total_tokens == got.usage.input_tokens + got.usage.output_tokens


def test_decisions_do_not_touch_each_other(client):
    one = client.decisions.create(model=MODEL, input="late", questions=[QUESTION])
    other = {**QUESTION, "name": "renamed"}
    two = client.decisions.create(model=MODEL, input="late", questions=[
        {"type": "predicate", "instructions": "It is late."}, other])
    assert [p.probability for p in one.answers[0].probabilities] == \
        [p.probability for p in two.answers[1].probabilities]


def test_any_question_of_a_task(client):
    got = client.decisions.create(model="support", input="my parcel never came", questions=[
        {"type": "choice", "instructions": "Is it about money?",
         "choices": [{"value": "yes"}, {"value": "no"}]}])
    assert got.answers[0].choice in ("yes", "no")


def test_chat(client):
    got = ask(client, "Say hi", max_tokens=8)
    assert got.choices[0].message.content
    assert got.usage.completion_tokens <= 8
    again = ask(client, "Say hi", max_tokens=8)
    assert again.choices[0].message.content == got.choices[0].message.content


def test_chat_stream(client):
    whole = ask(client, "Count to five", max_tokens=16).choices[0].message.content
    pieces, usage = [], None
    for part in ask(client, "Count to five", max_tokens=16, stream=True,
                    stream_options={"include_usage": True}):
        usage = part.usage or usage
        pieces += [c.delta.content or "" for c in part.choices]
    assert "".join(pieces) == whole
    assert usage.completion_tokens > 0


def test_chat_json_schema(client):
    got = ask(client, "Bo is 41", max_tokens=64, response_format={
        "type": "json_schema", "json_schema": {"name": "p", "strict": True, "schema": PERSON}})
    assert set(json.loads(got.choices[0].message.content)) == {"name", "age"}


def test_chat_logprobs(client):
    got = ask(client, "hi", max_tokens=3, logprobs=True, top_logprobs=5)
    for token in got.choices[0].logprobs.content:
        assert len(token.top_logprobs) == 5
        assert token.logprob <= 0


def test_chat_tools(client):
    got = ask(client, "What is the weather in Bonn?", max_tokens=64, tools=[WEATHER],
              tool_choice="required")
    call = got.choices[0].message.tool_calls[0]
    assert call.function.name == "weather"
    assert set(json.loads(call.function.arguments)) == {"city"}
    assert got.choices[0].finish_reason == "tool_calls"


def test_completions(client):
    got = client.completions.create(model=MODEL, prompt="Once upon a", max_tokens=5)
    assert got.choices[0].text


def test_responses(client):
    got = client.responses.create(model=MODEL, input="Say hi", max_output_tokens=16,
                                  temperature=0)
    assert got.output_text and got.status in ("completed", "incomplete")
    deltas = [e.delta for e in client.responses.create(
        model=MODEL, input="Say hi", max_output_tokens=16, temperature=0, stream=True)
        if e.type == "response.output_text.delta"]
    assert "".join(deltas) == got.output_text


def test_embeddings(client):
    got = client.embeddings.create(model="all-minilm-l6-v2", input=["a cat", "a kitten", "tax"])
    cat, kitten, tax = [e.embedding for e in got.data]
    dot = lambda a, b: sum(x * y for x, y in zip(a, b))
    assert len(cat) == 384 and dot(cat, kitten) > dot(cat, tax)
    plain = client.embeddings.create(model="all-minilm-l6-v2", input="a cat",
                                     encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(cat, abs=1e-6)


def test_errors(client):
    with pytest.raises(NotFoundError) as wrong:
        client.chat.completions.create(model="nobody",
                                       messages=[{"role": "user", "content": "x"}])
    assert wrong.value.code == "model_not_found" and wrong.value.request_id
    with pytest.raises(BadRequestError) as wrong:
        ask(client, "x", top_p=3, extra_body={"no_such_field": 1})
    assert {e["param"] for e in wrong.value.body["errors"]} == {"top_p",
                                                                "no_such_field"}
    with pytest.raises(BadRequestError) as wrong:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}])
    assert wrong.value.param.startswith("messages[0].content[0]")
