"""The official client against a server: python3 serve_openai.py URL KEY. The model is models/tiny with a template."""
import asyncio
import json
import sys

import openai

url, key = sys.argv[1:3]
client = openai.OpenAI(base_url=url + "/v1", api_key=key, max_retries=0)
messages = [{"role": "system", "content": ""}, {"role": "user", "content": "12+34"}]


def check(ok, what):
    if not ok:
        raise SystemExit("FAILED: %s" % (what,))


def refused(error, **arguments):
    try:
        client.chat.completions.create(model="tiny", **arguments)
    except error as e:
        return e
    raise SystemExit("FAILED: %r was not refused" % (arguments,))


check([m.id for m in client.models.list()] == ["tiny"], "models")
check(client.models.retrieve("tiny").id == "tiny", "a model")

# a chat, whole and streamed
chat = client.chat.completions.create(model="tiny", messages=messages, seed=4, n=2, logprobs=True, top_logprobs=3, max_tokens=20)
check(len(chat.choices) == 2 and chat.choices[0].message.role == "assistant", chat)
entries = chat.choices[0].logprobs.content
check("".join(e.token for e in entries) == chat.choices[0].message.content and len(entries[0].top_logprobs) == 3, entries)
check(chat.usage.total_tokens == chat.usage.prompt_tokens + chat.usage.completion_tokens, chat.usage)
texts, usage = {0: "", 1: ""}, None
stream = client.chat.completions.create(model="tiny", messages=messages, seed=4, n=2, max_tokens=20, stream=True,
                                        stream_options={"include_usage": True})
for event in stream:
    usage = event.usage or usage
    for choice in event.choices:
        texts[choice.index] += choice.delta.content or ""
check([texts[0], texts[1]] == [c.message.content for c in chat.choices], texts)
check(usage == chat.usage or usage.total_tokens == chat.usage.total_tokens, usage)

# completions
text = client.completions.create(model="tiny", prompt=["1+1=", "12+34="], temperature=0, logprobs=2, max_tokens=8)
check(len(text.choices) == 2 and text.choices[1].finish_reason == "stop", text)
parts = client.completions.create(model="tiny", prompt="12+34=", temperature=0, max_tokens=8, stream=True)
check("".join(p.choices[0].text for p in parts) == text.choices[1].text, "streamed completion")

# logit_bias and penalties choose otherwise; log-probabilities stay the model's
plain = client.chat.completions.create(model="tiny", messages=messages, temperature=0, max_tokens=6, logprobs=True)
first = plain.choices[0].logprobs.content[0]
other = client.chat.completions.create(model="tiny", messages=messages, temperature=0, max_tokens=6, logprobs=True, top_logprobs=5,
                                       logit_bias={str(first.id): -100}, presence_penalty=0.5, frequency_penalty=0.5)
entry = other.choices[0].logprobs.content[0]
check(entry.token != first.token and entry.logprob < first.logprob, entry)
check(entry.top_logprobs[0].logprob == first.logprob, "what is reported is not biased")

# answers to a schema, by the client's own helper where it has one
schema = {"name": "colour", "schema": {"enum": ["red", "green", "blue"]}, "strict": True}
for seed in range(4):
    said = client.chat.completions.create(model="tiny", messages=messages, seed=seed, temperature=2, max_tokens=40,
                                          response_format={"type": "json_schema", "json_schema": schema})
    check(said.choices[0].message.content.strip() in ('"red"', '"green"', '"blue"'), said)

# a call of a tool that must be, of any and of one; the best of several
def tool(name, **properties):
    parameters = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


tools = [tool("add", a={"type": "integer"}, b={"type": "integer"}), tool("say", c={"enum": ["red", "green"]})]
named = {"type": "function", "function": {"name": "say"}}
short = messages[:1] + [{"role": "user", "content": "1"}]  # models/tiny has 64 positions
for choice, names in (("required", ("add", "say")), (named, ("say",))):
    for seed in range(4):
        said = client.chat.completions.create(model="tiny", messages=short, seed=seed, temperature=0.5, max_tokens=90, tools=tools,
                                              tool_choice=choice).choices[0]
        if said.finish_reason == "length":
            continue
        call = said.message.tool_calls[0].function
        check(said.finish_reason == "tool_calls" and call.name in names and said.message.content is None, said)
        arguments = json.loads(call.arguments)
        check(set(arguments) == {"a", "b"} if call.name == "add" else arguments["c"] in ("red", "green"), arguments)
    check(said.finish_reason == "tool_calls" or choice == "required", "a call of one tool comes to its end")
    parts = client.chat.completions.create(model="tiny", messages=short, seed=3, temperature=0.5, max_tokens=90, tools=tools,
                                           tool_choice=choice, stream=True)
    found = [p.choices[0].delta.tool_calls[0].function for p in parts if p.choices[0].delta.tool_calls]
    check([f.arguments for f in found] == [c.function.arguments for c in said.message.tool_calls or []], found)
every = client.completions.create(model="tiny", prompt="12+34=", seed=9, temperature=1.5, max_tokens=8, n=4)
best = client.completions.create(model="tiny", prompt="12+34=", seed=9, temperature=1.5, max_tokens=8, n=1, best_of=4)
check(best.choices[0].text in [c.text for c in every.choices] and len(best.choices) == 1, best)
check(best.usage.completion_tokens == every.usage.completion_tokens, best)

# refusals become the client's exceptions
check("temperature" in str(refused(openai.BadRequestError, messages=messages, temperature=-1)), "bad request")
refused(openai.BadRequestError, messages=messages, frequency_penalty=3)
refused(openai.BadRequestError, messages=[])
wrong = openai.OpenAI(base_url=url + "/v1", api_key="wrong", max_retries=0)
try:
    wrong.models.list()
    raise SystemExit("FAILED: a wrong key was taken")
except openai.AuthenticationError:
    pass


async def many():
    """The same seed among others, by the asynchronous client."""
    other = openai.AsyncOpenAI(base_url=url + "/v1", api_key=key, max_retries=5)
    asked = [other.chat.completions.create(model="tiny", messages=messages, seed=4 + i % 2, n=2, max_tokens=20) for i in range(40)]
    for i, answer in enumerate(await asyncio.gather(*asked)):
        if i % 2 == 0:
            check([c.message.content for c in answer.choices] == [c.message.content for c in chat.choices], answer)
    await other.close()


asyncio.run(many())
print("openai %s: as expected" % openai.__version__)
