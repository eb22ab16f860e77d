"""langchain-openai: chat, structured output, decisions."""
import pytest
from conftest import MODEL

pytest.importorskip("langchain_openai")


def chat(server, **more):
    from langchain_openai import ChatOpenAI
    return ChatOpenAI(model=MODEL, base_url=server.url + "/v1", api_key="none",
                      max_retries=0, temperature=0, **more)


def test_chat(server):
    got = chat(server, max_tokens=8).invoke("Say hi")
    assert got.content and got.usage_metadata["output_tokens"] <= 8


def test_stream(server):
    pieces = [p.content for p in chat(server, max_tokens=8).stream("Say hi")]
    assert "".join(pieces) == chat(server, max_tokens=8).invoke("Say hi").content


def test_structured_output(server):
    from pydantic import BaseModel, Field

    class Person(BaseModel):
        name: str = Field(max_length=12)
        age: int = Field(ge=0, le=150)

    got = chat(server, max_tokens=64).with_structured_output(Person).invoke("Bo is 41")
    assert isinstance(got, Person)


@pytest.mark.filterwarnings("ignore")
def test_decisions(server):
    from langchain_openai import decisions as d
    ask = d.OpenAIDecisions(model=MODEL, base_url=server.url + "/v1", api_key="none",
                            max_retries=0)
    got = ask.invoke({"input": "I was charged twice. Help at once!", "questions": {
        "team": d.Choice(instructions="Which team?",
                         choices={"billing": "charges", "travel": "journeys"}),
        "urgent": d.Predicate(instructions="Is it urgent?"),
        "anger": d.Score(instructions="How angry?", levels=["calm", "angry"])}})
    assert got.choices["team"].choice in ("billing", "travel")
    assert 0 <= got.predicates["urgent"].probability <= 1
    assert 0 <= got.scores["anger"].score <= 1
