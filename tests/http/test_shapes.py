"""Answers against OpenAI's own description of its API, where that is beside the checkout."""
import gzip
import json

import pytest
from conftest import MODEL, SHARED, status_of
from jsonschema import Draft202012Validator

API = SHARED / "data" / "openai_openapi" / "openapi.json.gz"
HEADERS = {"Content-Type": "application/json"}
TALK = {"model": MODEL, "messages": [{"role": "user", "content": "Say hi"}], "max_tokens": 4}
PREDICATE = {"type": "predicate", "name": "p", "instructions": "It is so."}


def with_nulls(schema):
    """The description has `nullable`, a word of OpenAPI 3.0, in places: what it means."""
    if isinstance(schema, list):
        return [with_nulls(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    read = {k: with_nulls(v) for k, v in schema.items()}
    return {"anyOf": [read, {"type": "null"}]} if read.pop("nullable", None) is True else read


@pytest.fixture(scope="module")
def api():
    if not API.exists():
        pytest.skip(f"SKIP: {API} is not here")
    return with_nulls(json.load(gzip.open(API)))


def fits(api, name, value):
    schema = {"$ref": f"#/components/schemas/{name}", "components": api["components"]}
    wrong = [f"{list(e.absolute_path)}: {e.message[:200]}"
             for e in Draft202012Validator(schema).iter_errors(value)]
    assert not wrong, "\n".join(wrong)


def post(server, path, body):
    status, text = status_of(server.url + path, json.dumps(body).encode(), HEADERS)
    assert status == 200, text
    return text


@pytest.mark.parametrize("more", [
    {}, {"n": 2, "temperature": 1, "seed": 1}, {"logprobs": True, "top_logprobs": 2},
    {"response_format": {"type": "json_schema", "json_schema": {
        "name": "x", "schema": {"type": "object", "properties": {"a": {"type": "boolean"}},
                                "required": ["a"], "additionalProperties": False}}},
     "max_tokens": 20}])
def test_chat(api, server, more):
    got = json.loads(post(server, "/v1/chat/completions", {**TALK, **more}))
    fits(api, "CreateChatCompletionResponse", got)


def test_chat_stream(api, server):
    text = post(server, "/v1/chat/completions",
                {**TALK, "stream": True, "stream_options": {"include_usage": True}})
    lines = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    for line in lines[:-1]:
        fits(api, "CreateChatCompletionStreamResponse", json.loads(line))


def test_completions(api, server):
    got = json.loads(post(server, "/v1/completions",
                          {"model": MODEL, "prompt": "Once", "max_tokens": 4}))
    fits(api, "CreateCompletionResponse", got)


def test_responses(api, server):
    got = json.loads(post(server, "/v1/responses",
                          {"model": MODEL, "input": "Say hi", "max_output_tokens": 16}))
    fits(api, "Response", got)


def test_responses_stream(api, server):
    text = post(server, "/v1/responses", {"model": MODEL, "input": "Say hi",
                                          "max_output_tokens": 16, "stream": True})
    events = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] in ("response.completed", "response.incomplete")
    names = {one["properties"]["type"]["enum"][0]: ref for ref, one in
             api["components"]["schemas"].items() if ref.startswith("Response")
             and ref.endswith("Event") and "type" in one.get("properties", {})}
    for event in events:
        fits(api, names[event["type"]], event)


def test_embeddings(api, server):
    got = json.loads(post(server, "/v1/embeddings",
                          {"model": "all-minilm-l6-v2", "input": ["a", "b"]}))
    fits(api, "CreateEmbeddingResponse", got)


def test_models(api, server):
    fits(api, "ListModelsResponse", json.loads(server.get("/v1/models")))
    fits(api, "Model", json.loads(server.get("/v1/models/support")))


@pytest.mark.parametrize("path, body", [
    ("/v1/chat/completions", b"{"), ("/v1/chat/completions", b"{}"),
    ("/v1/decisions", b'{"model": "nobody", "input": "x", "questions": []}'),
    ("/v1/nowhere", b"{}")])
def test_errors(api, server, path, body):
    status, text = status_of(server.url + path, body, HEADERS)
    assert status in (400, 404)
    fits(api, "ErrorResponse", json.loads(text))


def test_decisions(server):
    got = json.loads(post(server, "/v1/decisions", {
        "model": MODEL, "input": "x", "questions": [PREDICATE]}))
    assert {"answers", "model", "usage"} <= set(got)
    assert set(got["usage"]) >= {"input_tokens", "input_tokens_details", "output_tokens",
                                 "output_tokens_details", "total_tokens"}


def test_systemone(server):
    got = json.loads(post(server, "/v1/systemone", {
        "model": MODEL, "state": "Server room at 41 C", "questions": {
            "sev": {"type": "score", "instructions": "Severity?",
                    "criteria": ["fine", "watch", "act"]},
            "page": {"type": "noul", "instructions": "Page someone?"}}}))
    assert list(got["answers"]) == ["sev", "page"]
    assert got["answers"]["sev"]["legend"] == {"0": "fine", "1": "watch", "2": "act"}
    assert 0 <= got["answers"]["page"]["noul"] <= 1
    status, text = status_of(server.url + "/v1/systemone", json.dumps({
        "model": MODEL, "state": "x", "questions": {
            "s": {"type": "score", "instructions": "?", "criteria": ["one"]}}}).encode(),
        HEADERS)
    assert status == 422
    assert json.loads(text)["detail"][0]["loc"] == ["body", "questions", "s", "criteria"]
