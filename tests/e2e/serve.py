"""What tests/e2e/serve.sh runs, in a folder with the models talker and endless."""
import concurrent.futures
import http.client
import json
import signal
import subprocess
import sys
import time

assay = sys.argv[1]
failures = 0


def check(ok, what):
    global failures
    if not ok:
        print("FAILED:", what)
        failures += 1


class Server:
    def __init__(self, model, *options):
        self.process = subprocess.Popen(
            [assay, "serve", model, "--port", "0", "--threads", "1", "--json", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("FAILED: serve does not start: " + self.process.stderr.read())
        self.port = int(json.loads(line)["url"].rsplit(":", 1)[1])

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, text)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, answer.headers, text

    def post(self, path, **body):
        status, _, text = self.ask("POST", path, json.dumps(body))
        return status, json.loads(text)

    def complete(self, **body):
        status, answer = self.post("/v1/completions", **body)
        if status != 200:
            raise SystemExit("FAILED: %r: %d %r" % (body, status, answer))
        return answer

    def events(self, path, **body):
        """The events of a stream, [DONE] left out."""
        status, headers, text = self.ask("POST", path, json.dumps(dict(body, stream=True)))
        check(status == 200 and headers["Content-Type"].startswith("text/event-stream"), "stream: %d %s" % (status, text))
        parts = text.split("\n\n")
        check(parts[-2:] == ["data: [DONE]", ""], "the end of a stream: %r" % text[-200:])
        return [json.loads(p[len("data: "):]) for p in parts[:-2]]

    def metric(self, name):
        for line in self.ask("GET", "/metrics")[2].splitlines():
            if line.startswith("assay_%s " % name):
                return float(line.split()[1])
        raise SystemExit("FAILED: no metric " + name)

    def open_stream(self, **body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/v1/completions", json.dumps(dict(body, stream=True)))
        return connection, connection.getresponse()

    def stop(self, want=0):
        self.process.send_signal(signal.SIGTERM)
        begin = time.time()
        out, err = self.process.communicate(timeout=60)
        check(self.process.returncode == want, "ends with %d: %s" % (self.process.returncode, err[-300:]))
        return time.time() - begin


def run(*arguments, line=None):
    done = subprocess.run([assay, *arguments], input=json.dumps(line) + "\n" if line else None, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit("FAILED: %r: %s" % (arguments, done.stderr))
    return [json.loads(l) for l in done.stdout.splitlines()]


def pages(s):
    check(s.ask("GET", "/health")[:1] == (200,), "health")
    models = json.loads(s.ask("GET", "/v1/models")[2])
    check(models["object"] == "list" and models["data"][0]["id"] == "talker", "models: %r" % models)
    check(json.loads(s.ask("GET", "/v1/models/talker")[2])["id"] == "talker", "model")
    check(s.ask("GET", "/v1/models/other")[0] == 404, "a model that is not served")
    check(s.ask("GET", "/v1/chat/completions")[0] == 405, "GET of a POST")
    check(s.ask("GET", "/v2")[0] == 404, "no such page")
    check(s.ask("GET", "/health", headers={"Host": "evil.example"})[0] == 421, "another Host")


def same_as_generate(s):
    """Text, ids and log-probabilities of generate and of score."""
    for options in ({"temperature": 0}, {"temperature": 1, "seed": 5}, {"temperature": 0.7, "top_p": 0.9, "seed": 6}):
        answer = s.complete(prompt="12+34=", max_tokens=20, logprobs=3, n=3, **options)
        lines = run("generate", "talker", "--json", line=dict(options, prompt="12+34=", max_new_tokens=20, n=3))
        for choice, line in zip(answer["choices"], lines):
            check(choice["text"] == line["text"] and choice["finish_reason"] == line["finish"], "%r, %r" % (choice, line))
            ids = choice["logprobs"]["token_ids"]
            check(ids == line["ids"][:len(ids)], "ids %r, %r" % (ids, line))
            score = run("score", "talker", "--top", "3", line={"ids": [50, 51, 44, 52, 53, 62] + ids, "from": 6})[0]
            check(choice["logprobs"]["token_logprobs"] == score["logp"], "bits %r, %r" % (choice, score))
            tops = [sorted(t.values()) for t in choice["logprobs"]["top_logprobs"]]
            check(tops == [sorted(t["logp"]) for t in score["top"]], "top %r, %r" % (tops, score["top"]))
    # the best of several are the likeliest a token, end token and all, in that order
    lines = run("generate", "talker", "--json", line=dict(prompt="12+34=", max_new_tokens=20, n=5, seed=11, temperature=1.2))
    lines.sort(key=lambda line: -sum(line["logp"]) / len(line["logp"]))
    answer = s.complete(prompt="12+34=", max_tokens=20, n=2, best_of=5, seed=11, temperature=1.2)
    check([c["text"] for c in answer["choices"]] == [line["text"] for line in lines[:2]], "best_of %r, %r" % (answer, lines))
    check([c["index"] for c in answer["choices"]] == [0, 1], "best_of %r" % answer)
    check(answer["usage"]["completion_tokens"] == sum(len(line["ids"]) for line in lines), "usage of best_of %r" % answer)
    # a prompt's own
    answer = s.complete(prompt="12+34=46", max_tokens=0, echo=True, logprobs=0)
    score = run("score", "talker", line={"ids": answer["choices"][0]["logprobs"]["token_ids"]})[0]
    check(answer["choices"][0]["logprobs"]["token_logprobs"] == [None] + score["logp"], "echo %r" % answer)
    check(answer["choices"][0]["text"] == "12+34=46" and answer["usage"]["completion_tokens"] == 0, "echo %r" % answer)
    # a chat is generate's answer to the messages
    messages = [{"role": "user", "content": "7+8"}]
    status, chat = s.post("/v1/chat/completions", messages=messages, temperature=0, logprobs=True, top_logprobs=2)
    line = run("generate", "talker", "--json", line={"messages": messages, "temperature": 0})[0]
    message = chat["choices"][0]["message"]
    check(status == 200 and message == {"role": "assistant", "content": line["text"]}, "chat %r" % chat)
    content = chat["choices"][0]["logprobs"]["content"]
    check([t["logprob"] for t in content] == line["logp"][:len(content)] and len(content[0]["top_logprobs"]) == 2, "chat %r" % chat)
    check(bytes(b for t in content for b in t["bytes"]).decode() == line["text"], "bytes of %r" % content)


def among_others(s):
    """Law 2 over HTTP: alone, and among 31 others that come and go, several times."""
    bodies = [dict(prompt="%d+%d=" % (i, 3 * i), seed=i, n=1 + i % 3, max_tokens=5 + i, temperature=1 + i / 10, logprobs=2)
              for i in range(32)]
    alone = [s.complete(**b)["choices"] for b in bodies]
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for _ in range(3):
            for i, (a, b) in enumerate(zip(alone, pool.map(lambda b: s.complete(**b)["choices"], bodies))):
                check(a == b, "request %d differs among others: %r, %r" % (i, a, b))


def streams(s):
    for kind in range(12):
        # hot enough for half characters, which never show
        body = dict(prompt="1+1=", seed=kind, temperature=[1, 20][kind % 2], max_tokens=50, n=1 + kind % 3, logprobs=1)
        whole = s.complete(**body)
        events = s.events("/v1/completions", **dict(body, stream_options={"include_usage": True}))
        check(events[-1]["choices"] == [] and events[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"],
              "usage %r" % events[-1])
        for choice in whole["choices"]:
            parts = [e["choices"][0] for e in events[:-1] if e["choices"][0]["index"] == choice["index"]]
            check("".join(p["text"] for p in parts) == choice["text"], "stream %r, %r" % (parts, choice))
            logp = [x for p in parts for x in p["logprobs"]["token_logprobs"]]
            check(logp == choice["logprobs"]["token_logprobs"], "logprobs %r" % parts)
            check([p["finish_reason"] for p in parts] == [None] * (len(parts) - 1) + [choice["finish_reason"]], "finish")
    messages = [{"role": "user", "content": "2+3"}]
    whole = s.post("/v1/chat/completions", messages=messages, seed=3)[1]["choices"][0]
    deltas = [e["choices"][0]["delta"] for e in s.events("/v1/chat/completions", messages=messages, seed=3)]
    check(deltas[0]["role"] == "assistant", "first delta %r" % deltas)
    check("".join(d.get("content", "") for d in deltas) == whole["message"]["content"], "deltas %r" % deltas)
    # a stop string never shows, in pieces neither
    whole = s.complete(prompt="12+34=", temperature=0)["choices"][0]["text"]
    stop = s.events("/v1/completions", prompt="12+34=", temperature=0, stop=[whole[1:], "none"])
    check("".join(e["choices"][0]["text"] for e in stop) == whole[:1], "stop %r" % stop)
    check(stop[-1]["choices"][0]["finish_reason"] == "stop", "stop %r" % stop[-1])


def several_prompts(s):
    answer = s.complete(prompt=["1+1=", [50, 44, 50, 62], "12+34="], temperature=0, n=2)
    texts = [c["text"] for c in answer["choices"]]
    check(len(texts) == 6 and texts[0] == texts[1] and texts[4] == s.complete(prompt="12+34=", temperature=0)["choices"][0]["text"],
          "prompts %r" % texts)
    check([c["index"] for c in answer["choices"]] == list(range(6)), "indices")


def constrained(s):
    for seed in range(6):
        schema = {"type": "object", "properties": {"a": {"enum": ["x", "yz"]}, "b": {"type": "boolean"}}, "required": ["a", "b"]}
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
        choice = s.complete(prompt="1+1=", seed=seed, max_tokens=55, response_format=form)["choices"][0]
        if choice["finish_reason"] == "stop":
            value = json.loads(choice["text"])
            check(value["a"] in ("x", "yz") and value["b"] in (True, False), "constrained %r" % choice)
        among = s.complete(prompt="1+1=", seed=seed, max_tokens=55, response_format=form)["choices"][0]
        check(among == choice, "constrained twice")
    schema = {"enum": ["red", "green", 3]}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    choice = s.complete(prompt="1+1=", temperature=5, max_tokens=55, response_format=form)["choices"][0]
    check(json.loads(choice["text"]) in schema["enum"] and choice["finish_reason"] == "stop", "enum %r" % choice)


def biased(s):
    """logit_bias and the penalties move the choice alone: what is reported stays score's, bit for bit."""
    prompt = [50, 51, 44, 52, 53, 62]
    ask = dict(prompt=prompt, max_tokens=30, logprobs=20)

    def scored(ids):
        return run("score", "talker", "--top", "20", line={"ids": prompt + ids, "from": len(prompt)})[0]

    def entries(**more):
        choice = s.complete(**ask, **more)["choices"][0]
        ids = choice["logprobs"]["token_ids"]
        check(choice["logprobs"]["token_logprobs"] == scored(ids)["logp"], "bits of %r: %r" % (more, choice))
        return choice, ids

    choice, ids = entries(temperature=0)
    check(choice["finish_reason"] == "stop", "ends by itself: %r" % choice)
    choice, longer = entries(temperature=0, logit_bias={"0": -100})  # the end token is as good as forbidden
    check(choice["finish_reason"] == "length" and longer[:len(ids)] == ids, "no end: %r" % choice)
    choice, forced = entries(temperature=1.3, seed=2, top_p=0.9, logit_bias={"60": 100})
    check(forced == [60] * 30, "one token alone: %r" % forced)
    choice, alone = entries(temperature=1, seed=2, logit_bias={"0": -100}, frequency_penalty=0.5, presence_penalty=1)
    check(entries(temperature=1, seed=2, logit_bias={"0": -100}, frequency_penalty=0.5, presence_penalty=1)[1] == alone, "twice")
    # greedy: at each place the best of what the model says, less what the answer has so far
    for frequency, presence in ((2, 0), (0, 2), (0.3, 1.1), (-1, 0)):
        _, ids = entries(temperature=0, logit_bias={"0": -100}, frequency_penalty=frequency, presence_penalty=presence)
        for i, top in enumerate(scored(ids)["top"]):
            def worth(id, logp):
                drawn = ids[:i].count(id)
                return logp - frequency * drawn - presence * (drawn > 0) - 100 * (id == 0)
            moved = {id: worth(id, logp) for id, logp in zip(top["ids"], top["logp"])}
            check(ids[i] in moved and moved[ids[i]] > max(moved.values()) - 1e-5, "%d of %r: %r" % (i, ids, moved))
        check(ids != longer, "penalties move something")
    # each of n answers counts its own; streams are the same
    two = s.complete(**ask, n=3, seed=9, temperature=1, frequency_penalty=1.5)
    events = s.events("/v1/completions", **ask, n=3, seed=9, temperature=1, frequency_penalty=1.5)
    for choice in two["choices"]:
        parts = [e["choices"][0] for e in events if e["choices"][0]["index"] == choice["index"]]
        check([i for p in parts for i in p["logprobs"]["token_ids"]] == choice["logprobs"]["token_ids"], "streams %r" % choice)
    status, answer = s.post("/v1/completions", prompt="1", logit_bias={"9999": 1})
    check(status == 400 and answer["error"]["param"] == "logit_bias" and "9999" in answer["error"]["message"], answer)


def refusals(s):
    for body, param in (({"prompt": "1", "temprature": 1}, "temprature"), ({"prompt": "1", "n": 1000}, "n"),
                        ({"prompt": "1" * 70}, "prompt"), ({"prompt": [9999]}, "prompt"), ({"prompt": "1", "model": "x"}, "model"),
                        ({"prompt": ""}, "prompt"),
                        ({"prompt": "1", "response_format": {"type": "json_schema", "json_schema": {"schema": {"pattern": "x"}}}},
                         "response_format")):
        status, answer = s.post("/v1/completions", **body)
        check(status == 400 and answer["error"]["param"] == param and answer["error"]["type"] == "invalid_request_error",
              "%r: %d %r" % (body, status, answer))
    status, _, text = s.ask("POST", "/v1/completions", b"{\"prompt\": \"\xff\"}")
    check(status == 400, "not UTF-8: %d %s" % (status, text))
    status, _, text = s.ask("POST", "/v1/completions", "[" * 10000)
    check(status == 400, "deep: %d %s" % (status, text[:200]))
    status, _, text = s.ask("POST", "/v1/completions", "x" * 30000)
    check(status == 413, "large: %d" % status)


def keys():
    open("keys", "w").write("# who may ask\nfirst\n  second  \n")
    s = Server("talker", "--api-key-file", "keys")
    body = json.dumps({"prompt": "1+1="})
    check(s.ask("POST", "/v1/completions", body)[0] == 401, "no key")
    check(s.ask("POST", "/v1/completions", body, {"Authorization": "Bearer third"})[0] == 401, "another key")
    check(s.ask("POST", "/v1/completions", body, {"Authorization": "Bearer second"})[0] == 200, "a key")
    check(s.ask("GET", "/health")[0] == 200, "health is open")
    check(s.ask("GET", "/metrics")[0] == 401, "metrics are not")
    s.stop()


def pressure():
    """One slot, a queue of two: the rest is told when to come back; clients that leave make room."""
    s = Server("endless", "--slots", "1", "--queue", "2", "--context", "60000", "--grace", "0.3")
    long = dict(prompt="1+1=", max_tokens=50000)
    streams = [s.open_stream(**long)]
    streams[0][1].readline()
    waiting = [http.client.HTTPConnection("127.0.0.1", s.port, timeout=60) for _ in range(2)]
    for c in waiting:
        c.request("POST", "/v1/completions", json.dumps(dict(long, max_tokens=3)))
    end = time.time() + 10
    while s.metric("requests_waiting") < 2 and time.time() < end:
        time.sleep(0.05)
    status, headers, text = s.ask("POST", "/v1/completions", json.dumps(long))
    check(status == 429 and int(headers["Retry-After"]) >= 1 and "rate_limit_error" in text, "429: %d %s" % (status, text))
    streams[0][1].close()
    streams[0][0].close()  # leaves: its row goes, and those who wait are served
    for c in waiting:
        answer = json.loads(c.getresponse().read())
        check(answer["usage"]["completion_tokens"] == 3, "after the one that left: %r" % answer)
    check(s.metric("requests_cancelled_total") == 1 and s.metric("requests_refused_total") == 1, "metrics of those who left")
    end = time.time() + 10
    while s.metric("rows_running") > 0 and time.time() < end:
        time.sleep(0.05)  # the answer is sent before its row is put away
    check(s.metric("rows_running") == 0, "rows are free again")
    # the second turn of a conversation finds the first one's KV
    first = s.complete(prompt="123456789" * 20, max_tokens=40, seed=1)
    again = s.complete(prompt="123456789" * 20 + first["choices"][0]["text"], max_tokens=1, seed=1)
    check(first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0, "nothing kept yet")
    check(again["usage"]["prompt_tokens_details"]["cached_tokens"] >= 160, "kept: %r" % again["usage"])
    # stopped in the middle of a stream: it is told, and the server ends
    connection, stream = s.open_stream(**long)
    stream.readline()
    seconds = s.stop()
    check(seconds < 10, "stops in %.1f s" % seconds)
    rest = stream.read().decode()
    check("the server stopped before" in rest, "told: %r" % rest[-300:])


def time_limit():
    s = Server("endless", "--context", "60000", "--time-limit", "0.5")
    status, answer = s.post("/v1/completions", prompt="1+1=", max_tokens=50000)
    check(status == 504 and "--time-limit" in answer["error"]["message"], "time limit: %d %r" % (status, answer))
    s.stop()


def starts():
    done = subprocess.run([assay, "serve", "talker", "--host", "no.such.host.invalid"], capture_output=True, text=True)
    check(done.returncode == 2 and "address of this machine" in done.stderr, "host: %s" % done.stderr)
    done = subprocess.run([assay, "serve", "talker", "--memory", "1M"], capture_output=True, text=True)
    check(done.returncode == 3 and "--memory" in done.stderr, "memory: %s" % done.stderr)
    done = subprocess.run([assay, "serve", "talker", "--api-key-file", "/dev/null"], capture_output=True, text=True)
    check(done.returncode == 2, "an empty key file: %s" % done.stderr)


s = Server("talker", "--max-body", "20K")
for test in (pages, same_as_generate, among_others, streams, several_prompts, constrained, biased, refusals):
    test(s)
s.stop()
for test in (keys, pressure, time_limit, starts):
    test()
if failures:
    sys.exit(1)
print("served as expected")
