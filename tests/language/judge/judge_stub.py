"""An OpenAI-compatible judge on this machine for tests: rates by a rule, counts what it is asked, misbehaves on demand."""

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness.files import write_jsonl
from tests.conftest import ROOT

KEY = "sk-test_0123456789abcdef"
ANSWER = re.compile(r"<(?:second-)?answer>\n(.*?)\n</(?:second-)?answer>", re.DOTALL)

QUESTIONS = [
    {"prompt_id": 1, "category": "writing", "prompt": ["Marc has 4 apples and sells 1 . how many apples now ?", "and why ?"]},
    {"prompt_id": 2, "category": "writing", "prompt": ["count the pens : Glen starts with 6 and loses 5 .", "once more ?"]},
    {"prompt_id": 3, "category": "math", "prompt": ["Ada has 6 keys , loses 3 .", "and then 1 more ?"], "reference": ["3", "2"]},
    {"prompt_id": 4, "category": "math", "prompt": ["Rosa has 2 pens and finds 3 .", "and then ?"], "reference": []},
]


def write_suite(folder, **changes):
    """The shipped suite with two of its rows, a few short questions of our own, and little patience."""
    text, _, _ = (ROOT / "harness/suites/mt-bench.toml").read_text().partition("\n[[task]]")
    little = {"questions": '"questions.jsonl"', "max_new_tokens": 12, "timeout_seconds": 2, "retries": 1, **changes}
    for key, value in little.items():
        text, replaced = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        assert replaced == 1, key
    for name in ("writing", "math"):
        text += f'\n[[task]]\nname = "{name}"\nlabel = "{name}"\nshots = 0\nmetric = "rating"\nfilter = "none"\nchance = 0.1\n'
    write_jsonl(folder / "questions.jsonl", QUESTIONS)
    path = folder / "judged.toml"
    path.write_text(text)
    return path


def rule(answer):
    """What the stub thinks of an answer: 1 to 10 from its letters, so that another answer mostly gets another rating."""
    return 1 + sum(map(ord, answer)) % 10


class Stub:
    """What the server was asked and how it behaves. `behave(request, count)` may return (status, body), None, or hang."""

    def __init__(self):
        self.requests, self.keys = [], []
        self.behave = lambda request, count: None
        self.url = ""
        self.closed = threading.Event()
        self._lock = threading.Lock()

    @property
    def judged(self):
        """Requests for a rating, the one that only asks whether somebody is there left out."""
        return [r for r in self.requests if r["max_tokens"] != 1]

    def answer(self, request, key):
        with self._lock:
            self.requests.append(request)
            self.keys.append(key)
            count = len(self.judged)
        if request["max_tokens"] != 1 and (own := self.behave(request, count)) is not None:
            return own
        found = ANSWER.search(request["messages"][0]["content"])
        return 200, f"I looked at it. Rating: [[{rule(found[1])}]]" if found else "1"


def completion(text):
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "stub", "choices": [choice]}


@contextmanager
def serving(key=None):
    """A running stub; with a key it refuses, and quotes, any other."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if self.path != "/v1/chat/completions":
                status, said = 404, {"error": {"message": f"no such page {self.path}"}}
            elif key is not None and given != key:
                status, said = 401, {"error": {"message": f"Incorrect API key provided: {given}"}}
            else:
                status, said = stub.answer(request, given)
                said = completion(said) if status == 200 else {"error": {"message": said}}
            body = json.dumps(said).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # whoever asked has given up waiting
                self.close_connection = True

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.closed.set()  # lets what hangs go
        server.shutdown()
        server.server_close()
        thread.join()
