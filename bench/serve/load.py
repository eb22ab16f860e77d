"""A closed loop of requests over HTTP/1.1: so many streams, each asks again when answered.

One thread, raw sockets: it costs the machine about a tenth of a millisecond a request."""
import asyncio
import json
import time


class Answer(Exception):
    """An answer that is not one."""


async def exchange(reader, writer, head, body):
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    status = int((await reader.readline()).split()[1])
    length, chunked = 0, False
    while (line := (await reader.readline()).strip().lower()):
        if line.startswith(b"content-length:"):
            length = int(line[15:])
        chunked |= line.startswith(b"transfer-encoding:") and b"chunked" in line
    if not chunked:
        return status, await reader.readexactly(length)
    out = b""
    while (size := int((await reader.readline()).strip(), 16)):
        out += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return status, out


async def _run(port, path, bodies, streams, seconds, at_least, check):
    head = (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Content-Type: application/json\r\n").encode()
    lines = [json.dumps(b).encode() for b in bodies]
    asked, times, begin = 0, [], time.perf_counter()

    async def stream():
        nonlocal asked
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        while time.perf_counter() - begin < seconds or asked < at_least:
            body = lines[asked % len(lines)]
            asked += 1
            start = time.perf_counter()
            status, data = await exchange(reader, writer, head, body)
            times.append(time.perf_counter() - start)
            if status != 200:
                raise Answer(f"{path}: {status} {data[:300]!r}")
            if check:
                check(json.loads(data))
        writer.close()

    await asyncio.gather(*(stream() for _ in range(streams)))
    return times, time.perf_counter() - begin


def percentile(ordered, p):
    return ordered[min(len(ordered) - 1, int(p * len(ordered)))]


def closed(port, path, bodies, streams, seconds, at_least, check=None):
    """Ask for `seconds`, and until `at_least` were asked; whoever is under way then is
    waited for.  Requests a second and latencies in milliseconds."""
    times, took = asyncio.run(_run(port, path, bodies, streams, seconds, at_least, check))
    times.sort()
    return {"per_s": len(times) / took,
            **{f"p{int(100 * p)}": 1000 * percentile(times, p) for p in (.5, .95, .99)}}
