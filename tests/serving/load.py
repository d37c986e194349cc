"""Load on a running server: many clients at full speed, and some that misbehave.

    python scripts/serve.py --ckpt runs/sst2-tiny-en/ckpt.pt
    python tests/serving/load.py --texts data/sample/sst2/dev.tsv

Each client sends a text as soon as it has the answer to the one before. Every answer is compared
with what the same server said to a single client. Prints one line of JSON for each phase.
"""

import argparse
import contextlib
import json
import os
import random
import socket
import statistics
import sys
import threading
import time
from urllib.parse import urlsplit

TOLERANCE = 1e-4


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000/")
    parser.add_argument("--texts", required=True, help="a text a line; .tsv: its first column")
    parser.add_argument("--model", help="default: the first one")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of a number in an answer")
    parser.add_argument("--pid", type=int, help="the server's, for its CPU time (Linux)")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--turns", type=int, default=3, help="of one client against all of them")
    parser.add_argument("--turn-seconds", type=float, default=10)
    args = parser.parse_args(argv)
    site = urlsplit(args.url)
    address = site.hostname, site.port or 80
    load = Load(address, args.model, read_texts(args.texts), args.tolerance, args.pid)
    load.learn_answers()

    ratios = []
    for _ in range(args.turns):
        one = load.run("one at a time", 1, args.turn_seconds)
        many = load.run(f"{args.clients} clients", args.clients, args.turn_seconds)
        ratios.append(many["per_second"] / one["per_second"])
        say({"ratio": round(ratios[-1], 2)})
    if ratios:
        say({"median_ratio": round(statistics.median(ratios), 2)})

    counts = [load.run(f"{args.clients} clients, long", args.clients, args.seconds)]
    counts.append(
        load.run("the same beside three that misbehave", args.clients, args.seconds, True)
    )
    return int(any(count["lost"] or count["wrong"] for count in counts))


def cpu_seconds(pid):
    """What a process has used so far, of all cores; 0 without a process."""
    if pid is None:
        return 0.0
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def say(values):
    print(json.dumps(values), flush=True)


def read_texts(path):
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file]
    if path.endswith(".tsv"):
        lines = [line.split("\t")[0] for line in lines[1:]]
    return list(dict.fromkeys(line for line in lines if line.strip()))


class Client:
    """A connection that is kept. Few lines, since the clients share the machine's cores."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def ask(self, message):
        """(status, body) of a request."""
        self.socket.sendall(message)
        status, length = int(self.file.readline().split()[1]), 0
        while (line := self.file.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        return status, self.file.read(length)

    def close(self):
        self.file.close()
        self.socket.close()


class Load:
    def __init__(self, address, model, texts, tolerance, pid):
        self.address, self.texts, self.tolerance, self.pid = address, texts, tolerance, pid
        self.messages = [
            self.message({"text": text, **({"model": model} if model else {})}) for text in texts
        ]
        self.expected = []

    def message(self, values):
        body = json.dumps(values).encode()
        head = f"POST /v1/predict HTTP/1.1\r\nHost: {self.address[0]}:{self.address[1]}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def learn_answers(self):
        """What the server says to each text alone."""
        client = Client(self.address)
        for message in self.messages:
            status, body = client.ask(message)
            assert status == 200, body
            self.expected.append(json.loads(body))
        client.close()

    def run(self, name, clients, seconds, misbehave=False):
        """Let the clients ask for so long; returns and prints the counts."""
        stop = time.monotonic() + seconds
        results = [[] for _ in range(clients)]
        lost = []
        threads = [
            threading.Thread(target=self._client, args=(number, stop, results[number], lost))
            for number in range(clients)
        ]
        if misbehave:
            threads += [
                threading.Thread(target=self._misbehave, args=(way, stop))
                for way in (send_slowly, send_garbage, hang_up)
            ]
        start, cpu = time.monotonic(), cpu_seconds(self.pid)
        for thread in threads:
            thread.start()
        for thread in threads[:clients]:
            thread.join()
        took, cpu = time.monotonic() - start, cpu_seconds(self.pid) - cpu
        for thread in threads[clients:]:
            thread.join()

        answers = [one for result in results for one in result]
        times = sorted(1000 * seconds for seconds, _, _ in answers)
        wrong = sum(
            not same(json.loads(body), self.expected[i], self.tolerance) for _, i, body in answers
        )
        found = {
            "phase": name,
            "answers": len(answers),
            "lost": len(lost),
            "wrong": wrong,
            "per_second": round(len(answers) / took, 1),
            "median_ms": round(statistics.median(times), 1),
            "p99_ms": round(times[int(0.99 * len(times))], 1),
            "max_ms": round(times[-1], 1),
        }
        if self.pid:
            found["cpu_ms"] = round(1000 * cpu / len(answers), 2)
        say(found | ({"first_lost": lost[0]} if lost else {}))
        return found

    def _client(self, number, stop, results, lost):
        numbers = random.Random(number)
        client = Client(self.address)
        while time.monotonic() < stop:
            i = numbers.randrange(len(self.messages))
            start = time.monotonic()
            try:
                status, body = client.ask(self.messages[i])
            except (OSError, IndexError) as problem:
                lost.append(repr(problem))
                client = Client(self.address)
                continue
            if status == 200:
                results.append((time.monotonic() - start, i, body))
            else:
                lost.append(f"{status} {body[:200]}")
        client.close()

    def _misbehave(self, way, stop):
        numbers = random.Random(0)
        while time.monotonic() < stop:
            with contextlib.suppress(OSError):
                connection = socket.create_connection(self.address, timeout=1)
                with connection:
                    way(connection, self.messages[0], numbers, stop)


def send_slowly(connection, message, numbers, stop):
    """A byte every 50 ms: the server gives up after a while."""
    for byte in message:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)
        if time.monotonic() > stop:
            return


def send_garbage(connection, message, numbers, stop):
    """Random bytes, or a request with some of its bytes changed."""
    data = bytearray(message if numbers.random() < 0.5 else numbers.randbytes(300))
    for _ in range(numbers.randrange(1, 30)):
        data[numbers.randrange(len(data))] = numbers.randrange(256)
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65_536):
        pass
    time.sleep(0.02)


def hang_up(connection, message, numbers, stop):
    """Half a request, or a whole one whose answer nobody reads."""
    size = len(message) if numbers.random() < 0.5 else numbers.randrange(len(message))
    connection.sendall(message[:size])
    time.sleep(0.02)


def same(answer, expected, tolerance):
    """Whether two answers are the same but for the last digits of their numbers."""
    if isinstance(answer, float) and isinstance(expected, float):
        return abs(answer - expected) <= tolerance
    if type(answer) is not type(expected):
        return False
    if isinstance(answer, dict):
        return answer.keys() == expected.keys() and all(
            same(answer[key], expected[key], tolerance) for key in answer
        )
    if isinstance(answer, list):
        pairs = zip(answer, expected)
        return len(answer) == len(expected) and all(same(*pair, tolerance) for pair in pairs)
    return answer == expected


if __name__ == "__main__":
    sys.exit(main())
