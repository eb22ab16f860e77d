"""litellm as a client: client_litellm.py URL MODEL; prints one JSON object."""
import json
import sys

import litellm

litellm.telemetry = False
URL, MODEL = sys.argv[1:3]
HOW = {"api_base": URL + "/v1", "api_key": "none", "num_retries": 0}
MESSAGES = [{"role": "user", "content": "Say hi"}]

whole = litellm.completion(model="openai/" + MODEL, messages=MESSAGES, max_tokens=8, temperature=0, **HOW)
parts = litellm.completion(model="openai/" + MODEL, messages=MESSAGES, max_tokens=8, temperature=0,
                           stream=True, **HOW)
vectors = litellm.embedding(model="openai/all-minilm-l6-v2", input=["a", "b"],
                            api_base=URL + "/v1", api_key="none")
out = {
    "chat": whole.choices[0].message.content,
    "tokens": whole.usage.completion_tokens,
    "stream": "".join(p.choices[0].delta.content or "" for p in parts),
    "embeddings": len(vectors.data),
}
try:
    litellm.completion(model="openai/nobody", messages=MESSAGES, **HOW)
except litellm.NotFoundError as error:
    out["error"] = error.status_code
print(json.dumps(out))
