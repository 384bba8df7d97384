"""The chat rewriter against a server on this machine that speaks the protocol, well and badly."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from grounding_sdk.errors import ConfigError, GroundingError, QueryError, RewriteError
from grounding_sdk.query import Query
from grounding_sdk.text.chat import MAX_ANSWER_BYTES, ChatRewriter, phrases_in
from grounding_sdk.text.rewrite import Rewriter, cached, rewrite_query

KEY = "sk-very-secret"


class Server:
    """Answers every POST by `self.answer(handler)` and keeps what it was asked."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self.end = threading.Event()  # ends answers that would go on

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler):  # noqa: N805
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                self.requests.append((handler.path, dict(handler.headers), json.loads(body)))
                with suppress(OSError):  # where the client has gone
                    self.answer(handler)

            def do_GET(handler):  # noqa: N805
                self.requests.append((handler.path, dict(handler.headers), None))
                say("[]")(handler)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@contextmanager
def serving(answer):
    server = Server(answer)
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.end.set()
        server.http.shutdown()
        server.http.server_close()
        thread.join(10)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def send(handler, body, status=200, **headers):
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def raw(body, status=200, **headers):
    return lambda handler: send(handler, body, status, **headers)


def message(message):
    """An answer whose first choice holds this message."""
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return raw(json.dumps({"object": "chat.completion", "choices": [choice]}).encode())


def say(content):
    return message({"role": "assistant", "content": content})


def test_speaks_the_protocol():
    with serving(say('["chair", "park bench"]')) as server:
        rewriter = ChatRewriter(server.url, "some/model", max_phrases=7)
        assert rewriter("something  to sit on") == ("chair", "park bench")
    [(path, headers, body)] = server.requests
    assert path == "/v1/chat/completions"
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers
    assert body["model"] == "some/model"
    assert body["temperature"] == 0
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert "at most 7" in body["messages"][0]["content"]
    assert body["messages"][1]["content"] == "something to sit on"


@pytest.mark.parametrize(
    "path, asked",
    [
        ("", "/v1/chat/completions"),
        ("/", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("/openai/v1/", "/openai/v1/chat/completions"),
        ("/v1beta/openai/chat/completions", "/v1beta/openai/chat/completions"),
    ],
)
def test_any_form_of_the_address_is_taken(path, asked):
    with serving(say("[]")) as server:
        ChatRewriter(server.url + path, "m")("x")
    assert server.requests[0][0] == asked


def test_the_key_is_sent_and_nowhere_to_be_seen(monkeypatch):
    monkeypatch.setenv("SOME_KEY", f" {KEY}\n")
    with serving(raw(f"bad key {KEY}".encode(), 401)) as server:
        rewriter = ChatRewriter(server.url, "m", key_variable="SOME_KEY")
        with pytest.raises(RewriteError, match="status 401: the API key is missing") as caught:
            rewriter("x")
    assert server.requests[0][1]["Authorization"] == f"Bearer {KEY}"
    for shown in (repr(rewriter), str(rewriter), str(caught.value), repr(caught.value.__cause__)):
        assert KEY not in shown
    assert caught.value.__suppress_context__


def test_a_model_without_temperature_is_not_sent_one():
    with serving(say("[]")) as server:
        ChatRewriter(server.url, "m", temperature=None)("x")
    assert "temperature" not in server.requests[0][2]


@pytest.mark.parametrize(
    "content, expected",
    [
        ('["chair", "bench"]', ("chair", "bench")),
        ('```json\n["chair"]\n```', ("chair",)),
        (
            'Of course!\n```\n{"phrases": ["chair", "bench"]}\n```\nAnything else?',
            ("chair", "bench"),
        ),
        ('{"note": "ok", "names": ["chair"]}', ("chair",)),
        ('["Chair", "chair", " chair "]', ("Chair",)),
        ('["chair", 7, null, ["bench"], {"a": "b"}, "", "...", "!"]', ("chair",)),
        ('["chair\\u0000\\u001b[31m stool"]', ("chair [31m stool",)),
        (json.dumps(["x" * 61, "one two three four five six", "chair"]), ("chair",)),
        ("- chair\n- park bench\n", ("chair", "park bench")),
        ("1. chair\n2) park bench\n\n", ("chair", "park bench")),
        ("chair, bench, 'stool'.", ("chair", "bench", "stool")),
        ("Here are some:\n* chair", ("chair",)),
        ('<think>Perhaps ["dog"]?</think>["chair"]', ("chair",)),
        ("[]", ()),
        ('{"phrases": []}', ()),
        (
            json.dumps([f"thing {number}" for number in range(99)]),
            ("thing 0", "thing 1", "thing 2"),
        ),
        ([{"type": "text", "text": '["chair"]'}], ("chair",)),
    ],
)
def test_answers_are_read_as_what_they_are_meant(content, expected):
    with serving(say(content)) as server:
        assert ChatRewriter(server.url, "m", max_phrases=3)("x") == expected


@pytest.mark.parametrize(
    "answer, reason",
    [
        (raw(b"", 500), "status 500"),
        (raw(b"{}", 404), "status 404: no such model"),
        (raw(b"slow down", 429), "status 429"),
        (raw(b""), "expected the JSON of a chat completion"),
        (raw(b"<html>hello</html>"), "expected the JSON of a chat completion"),
        (raw(b"\xff\xfe\x00garbage"), "expected the JSON of a chat completion"),
        (raw(b"[" * 100_000), "expected the JSON of a chat completion"),
        (raw(b'{"error": {"message": "no"}}'), "expected the JSON of a chat completion"),
        (raw(b'{"choices": []}'), "expected the JSON of a chat completion"),
        (raw(b'{"choices": [null]}'), "expected the JSON of a chat completion"),
        (raw(b'{"choices": "chair"}'), "expected the JSON of a chat completion"),
        (raw(b" " * (MAX_ANSWER_BYTES + 1)), "more than 1,048,576 bytes"),
        (raw(b'{"cho', Content_Length="999"), "IncompleteRead|expected the JSON"),
        (message({"content": None, "tool_calls": [{"type": "function"}]}), "call of a tool"),
        (message({"content": {"phrases": ["chair"]}}), "call of a tool"),
        (message({"role": "assistant"}), "expected the JSON of a chat completion"),
        (say(""), "names nothing"),
        (say("I am sorry, but I cannot help you with that request."), "names nothing"),
        (say("There is none. Sorry, nothing comes to my mind here, really."), "names nothing"),
        (say("[1, 2]"), "names nothing"),
        (say("[" * 100_000), "names nothing"),
        (say("<think>It could be a"), "names nothing"),
    ],
)
def test_what_is_no_answer_is_a_clear_error(answer, reason):
    with serving(answer) as server, pytest.raises(RewriteError, match=reason) as caught:
        ChatRewriter(server.url, "some/model")("x")
    assert "some/model at http://127.0.0.1" in str(caught.value)
    assert len(str(caught.value)) < 600
    assert isinstance(caught.value, GroundingError)


def test_a_redirection_takes_neither_text_nor_key_along(monkeypatch):
    monkeypatch.setenv("SOME_KEY", KEY)
    with (
        serving(say("[]")) as other,
        serving(raw(b"", 307, Location=other.url)) as server,
        pytest.raises(RewriteError, match="status 307: it points elsewhere"),
    ):
        ChatRewriter(server.url, "m", key_variable="SOME_KEY")("x")
    assert len(server.requests) == 1
    assert other.requests == []


def drip_headers(server):
    def answer(handler):
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n")
        while not server.end.wait(0.01):
            handler.wfile.write(b"X: y\r\n"[:1])

    return answer


def drip_body(server):
    def answer(handler):
        send(handler, b"", Content_Length="1000000")
        while not server.end.wait(0.01):
            handler.wfile.write(b" ")

    return answer


def say_nothing(server):
    return lambda handler: server.end.wait()


@pytest.mark.parametrize("behaviour", [drip_headers, drip_body, say_nothing])
def test_the_time_is_bounded_however_the_server_behaves(behaviour):
    with serving(None) as server:
        server.answer = behaviour(server)
        with pytest.raises(RewriteError, match=r"no answer within 0\.1 seconds"):
            ChatRewriter(server.url, "m", timeout=0.1)("x")


def test_no_server_is_a_clear_error():
    with serving(say("[]")) as server:
        pass
    with pytest.raises(RewriteError, match=r"did not rewrite the query: .*refused"):
        ChatRewriter(server.url, "m")("x")


def test_a_failure_is_asked_again_and_an_answer_is_not():
    answers = [raw(b"", 500), say('["chair"]')]
    with serving(lambda handler: answers.pop(0)(handler)) as server:
        rewriter = cached(ChatRewriter(server.url, "m"))
        with pytest.raises(RewriteError):
            rewriter("x")
        assert [rewriter("x"), rewriter("x")] == [("chair",), ("chair",)]
    assert len(server.requests) == 2


def test_rewrites_a_query():
    with serving(say('["park bench", "chair"]')) as server:
        rewriter = ChatRewriter(server.url, "m")
        assert isinstance(rewriter, Rewriter)
        query = rewrite_query(Query.of(["something to sit on"]), rewriter)
    assert query.texts == ("park bench", "chair")
    assert query.labels == ("something to sit on",)


@pytest.mark.parametrize("text", ["", "...", "x" * 1001])
def test_what_makes_no_phrase_is_not_sent(text):
    with pytest.raises(QueryError):
        ChatRewriter("http://127.0.0.1:1", "m")(text)


@pytest.mark.parametrize("value", [None, "", "two\nlines", "schlüssel"])
def test_a_missing_or_strange_key_is_said_without_showing_it(monkeypatch, value):
    monkeypatch.delenv("SOME_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("SOME_KEY", value)
    with pytest.raises(
        RewriteError, match="API key in the environment variable SOME_KEY"
    ) as caught:
        ChatRewriter("http://127.0.0.1:1", "m", key_variable="SOME_KEY")("x")
    assert not value or value not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "localhost:8000"},
        {"url": "ftp://localhost"},
        {"url": "http://"},
        {"url": "http://[::1"},
        {"url": "http://x:99999"},
        {"url": None},
        {"url": f"http://user:{KEY}@localhost"},
        {"url": f"http://localhost?key={KEY}"},
        {"key_variable": KEY},
        {"model": ""},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"max_phrases": 0},
        {"max_phrases": True},
    ],
)
def test_unusable_fields_are_refused_without_showing_a_key(fields):
    with pytest.raises(ConfigError, match="expected") as caught:
        ChatRewriter(**{"url": "http://localhost", "model": "m", **fields})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("content", ["[" * 10**6, "{" * 10**6, "`" * 10**6, "<think>" * 10**5])
def test_hostile_answers_are_read_quickly(content):
    phrases_in(content)
