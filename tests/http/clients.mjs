// The official Node client: node clients.mjs URL MODEL; prints one JSON object.
import OpenAI from "openai";

const [url, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url + "/v1", apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "Say hi" }];
const out = {};

out.models = [];
for await (const m of client.models.list()) out.models.push(m.id);

const chat = await client.chat.completions.create({ model, messages, max_tokens: 8, temperature: 0 });
out.chat = chat.choices[0].message.content;

out.stream = "";
const stream = await client.chat.completions.create({ model, messages, max_tokens: 8, temperature: 0, stream: true });
for await (const part of stream) out.stream += part.choices[0]?.delta?.content ?? "";

const answer = await client.responses.create({ model, input: "Say hi", max_output_tokens: 16 });
out.response = answer.output_text;

const vectors = await client.embeddings.create({ model: "all-minilm-l6-v2", input: ["a", "b"] });
out.embeddings = vectors.data.map((d) => d.embedding.length);

const body = {
  model, input: "I was charged twice",
  questions: [{ type: "predicate", name: "p", instructions: "It is about money." }],
};
const decided = client.decisions ? await client.decisions.create(body)
                                 : await client.post("/decisions", { body });
out.decision = decided.answers[0];

try {
  await client.chat.completions.create({ model: "nobody", messages });
} catch (error) {
  out.error = { status: error.status, code: error.code, id: error.requestID };
}
console.log(JSON.stringify(out));
