"""Many clients at once on an OpenAI-compatible server: python3 serve.py URL MODEL CLIENTS SECONDS [TOKENS [SEED]]

Each client asks for completions one behind the other, streaming, until the time is over, at least once; then what runs is let
end.
Prints one JSON line: {requests, refused, errors, tokens, seconds, tok_s, first_p50, first_p99, request_p50, request_p99}
PROMPT_BYTES cuts the prompts, of some 30 tokens, for models that read little. (Times in seconds, from the request on; refused: answered 429, tried again after Retry-After).
"""
import asyncio
import json
import os
import sys
import time
import urllib.parse

url, model, clients, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
longest = int(os.environ.get("PROMPT_BYTES", "1000"))
tokens = int(sys.argv[5]) if len(sys.argv) > 5 else 64
seed = int(sys.argv[6]) if len(sys.argv) > 6 else 1
where = urllib.parse.urlparse(url)
WORDS = "the river runs past an old mill where two friends count stones and talk about rain bread and winter".split()
done = {"requests": 0, "refused": 0, "errors": 0, "tokens": 0}
first, whole, problems = [], [], []


async def ask(reader, writer, body):
    """(status, Retry-After, text, seconds to the first)"""
    data = json.dumps(body).encode()
    writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(data) + data)
    begin, seen, retry, chunked, length = time.perf_counter(), None, 1.0, False, 0
    status = int((await reader.readline()).split()[1])
    while True:
        line = (await reader.readline()).strip().lower()
        if not line:
            break
        if line.startswith(b"retry-after:"):
            retry = float(line.split(b":")[1])
        chunked = chunked or line == b"transfer-encoding: chunked"
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    if not chunked:
        return status, retry, await reader.readexactly(length), seen
    text = b""
    while True:
        size = int(await reader.readline(), 16)
        piece = await reader.readexactly(size)
        await reader.readexactly(2)
        if not size:
            return status, retry, text, seen
        if seen is None:
            seen = time.perf_counter() - begin
        text += piece


async def client(number, end):
    turn = 0
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 20)
    while not turn or time.perf_counter() < end:
        turn += 1
        words = [WORDS[(number * 7 + turn * 3 + i * (1 + number % 5)) % len(WORDS)] for i in range(24)]
        body = {"model": model, "prompt": " ".join(words)[:longest], "max_tokens": tokens, "temperature": 1, "stream": True,
                "seed": seed + number * 1000 + turn, "stream_options": {"include_usage": True}}
        begin = time.perf_counter()
        try:
            status, retry, text, seen = await ask(reader, writer, body)
        except Exception as e:
            done["errors"] += 1
            problems.append(repr(e))
            reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 20)
            continue
        if status == 429:
            done["refused"] += 1
            await asyncio.sleep(min(retry, max(0.0, end - time.perf_counter())))
            continue
        events = [json.loads(e[6:]) for e in text.decode().split("\n\n") if e.startswith("data: {")]
        usage = [e["usage"] for e in events if e.get("usage")]
        if status != 200 or not usage or not text.rstrip().endswith(b"data: [DONE]"):
            done["errors"] += 1
            problems.append("%d %r" % (status, text[-200:]))
            continue
        done["requests"] += 1
        done["tokens"] += usage[-1]["completion_tokens"]
        first.append(seen)
        whole.append(time.perf_counter() - begin)
    writer.close()


def quantile(values, q):
    values = sorted(values)
    return round(values[min(len(values) - 1, int(q * len(values)))], 4) if values else None


async def main():
    begin = time.perf_counter()
    await asyncio.gather(*(client(i, begin + seconds) for i in range(clients)))
    took = time.perf_counter() - begin
    print(json.dumps(dict(done, seconds=round(took, 2), tok_s=round(done["tokens"] / took, 1), first_p50=quantile(first, 0.5),
                          first_p99=quantile(first, 0.99), request_p50=quantile(whole, 0.5),
                          request_p99=quantile(whole, 0.99), problems=problems[:3])))
    sys.exit(done["errors"] > 0)


asyncio.run(main())
