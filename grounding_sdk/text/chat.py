"""Asks a language model behind an OpenAI-compatible chat endpoint what a query is called.

Servers of this kind are vLLM, llama.cpp, Ollama, LM Studio and most hosted models. What comes back
is data: bounded in size, number and time, and used only where it makes a phrase.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any

from grounding_sdk.errors import ConfigError, QueryError, RewriteError
from grounding_sdk.query import Phrase

MAX_ANSWER_BYTES = 2**20
LONGEST_NAME = 60  # characters; a detector is asked for names, not for sentences
MOST_WORDS = 5
INSTRUCTION = (
    "You help an object detector, which finds things in a photo by their names. The user describes "
    "what is wanted, perhaps only by its use. Answer with a JSON list of at most {} short English "
    "noun phrases that name visible things which fit, the likeliest first, such as "
    '["chair", "park bench"]. Answer with the list alone.'
)
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)])\s*")


@dataclass(frozen=True)
class ChatRewriter:
    """Has a language model name what a text asks for.

    The text is sent to the server; nothing else is, no picture and no other phrase.

    Attributes:
        url: Of the server: "http://localhost:8000", with or without "/v1", or the whole address
            that ends in "/chat/completions".
        model: As the server calls it.
        key_variable: Name of the environment variable with the API key, read at each call; None
            where none is needed.
        timeout: Seconds for the whole exchange.
        max_phrases: Of an answer, the first so many are used.
        temperature: 0 for answers that are as stable as the model allows; None leaves it out, as
            models demand that take no temperature.

    Raises:
        ConfigError: If a field has no usable value.
    """

    url: str
    model: str
    key_variable: str | None = None
    timeout: float = 20.0
    max_phrases: int = 10
    temperature: float | None = 0.0

    def __post_init__(self) -> None:
        # No message quotes these two: a key may have got into them by mistake.
        parts = _split_url(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("expected the url of a chat server, such as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigError(
                "expected the url of a chat server without user, password, ? and #: put the key "
                "into an environment variable and pass its name as key_variable"
            )
        if self.key_variable is not None and not re.fullmatch(r"[A-Za-z_]\w*", self.key_variable):
            raise ConfigError("expected key_variable as the name of an environment variable")
        if not self.model or not isinstance(self.model, str):
            raise ConfigError(f"expected the name of a model, got {self.model!r}")
        if not 0 < self.timeout < 3600:
            raise ConfigError(f"expected a timeout in seconds up to an hour, got {self.timeout!r}")
        if isinstance(self.max_phrases, bool) or not 1 <= self.max_phrases <= 1000:
            raise ConfigError(f"expected max_phrases from 1 to 1000, got {self.max_phrases!r}")

    @property
    def name(self) -> str:
        """The server and the model, as `load_rewriter` takes them."""
        return f"{self.url}#{self.model}"

    def __call__(self, text: str) -> tuple[str, ...]:
        """Returns the names that the model gives, the likeliest first.

        Raises:
            QueryError: If the text makes no phrase.
            RewriteError: If the server refuses, gives nothing of use, or not in time.
        """
        asked = Phrase(text).text
        key = self._key()
        try:
            body = _within(self.timeout, lambda: self._post(asked, key))
        except TimeoutError:
            raise self._error(f"no answer within {self.timeout:g} seconds") from None
        except urllib.error.HTTPError as problem:
            raise self._error(_refusal(problem)) from None  # its body could quote the key
        except (OSError, http.client.HTTPException, ValueError) as problem:
            cause = getattr(problem, "reason", problem)
            reason = str(cause) or type(cause).__name__
            raise self._error(reason.replace(key, "***") if key else reason) from None
        return self._names(body)

    def _key(self) -> str | None:
        if self.key_variable is None:
            return None
        key = os.environ.get(self.key_variable, "").strip()
        if not key or not key.isascii() or not key.isprintable():
            raise RewriteError(
                f"expected an API key in the environment variable {self.key_variable}, which "
                f"{'holds something else' if key else 'is not set'}"
            )
        return key

    def _post(self, asked: str, key: str | None) -> bytes:
        """Posts the question; runs in a thread of its own."""
        question: dict[str, object] = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": INSTRUCTION.format(self.max_phrases)},
                {"role": "user", "content": asked},
            ],
        }
        if self.temperature is not None:
            question["temperature"] = self.temperature
        headers = {"Content-Type": "application/json", "User-Agent": "grounding-sdk"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(
            self._address(), json.dumps(question).encode(), headers, method="POST"
        )
        # Built by hand: the default opener would take text and key along to wherever a server
        # redirects it. Without the handler, a redirection is an error like any other status.
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler,
            urllib.request.UnknownHandler,
            urllib.request.HTTPHandler,
            urllib.request.HTTPSHandler,
            urllib.request.HTTPDefaultErrorHandler,
            urllib.request.HTTPErrorProcessor,
        ):
            opener.add_handler(handler())
        deadline = time.monotonic() + self.timeout
        with opener.open(request, timeout=self.timeout) as response:
            return _read(response.read1, deadline)

    def _address(self) -> str:
        parts = _split_url(self.url)
        path = parts.path.rstrip("/")
        if not path.endswith("/chat/completions"):
            path += "/chat/completions" if path.endswith("/v1") else "/v1/chat/completions"
        return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, "", ""))

    def _names(self, body: bytes) -> tuple[str, ...]:
        try:
            content = json.loads(body)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise self._error(
                "expected the JSON of a chat completion with a message in it, got something else"
            ) from None
        if isinstance(content, list):  # of parts, as some servers send them
            content = "".join(str(p.get("text", "")) for p in content if isinstance(p, dict))
        if not isinstance(content, str):
            raise self._error("the message has no text, perhaps a call of a tool")
        content = _THOUGHT.sub("", content)
        names = phrases_in(content)
        if not names and _listed(content) != []:
            raise self._error("the model's answer names nothing")
        return names[: self.max_phrases]

    def _error(self, reason: str) -> RewriteError:
        return RewriteError(
            f"{self.model} at {self._address()} did not rewrite the query: {reason:.300}. Check "
            f"server and model, or ask for the things by their names"
        )


def phrases_in(content: str) -> tuple[str, ...]:
    r"""Finds short phrases in what a model answered: a JSON list, one inside an object, or lines.

    What is longer than a name is left out, and so is what makes no phrase.

    >>> phrases_in('Sure! ```json\n{"phrases": ["chair", "park bench", 3, "Chair", ""]}\n```')
    ('chair', 'park bench')
    >>> phrases_in("Here are some:\n1. chair\n2. park bench")
    ('chair', 'park bench')
    """
    listed = _listed(content)
    names: dict[str, str] = {}
    for text in _lines(content) if listed is None else listed:
        if isinstance(text, str) and len(text) <= LONGEST_NAME and len(text.split()) <= MOST_WORDS:
            try:
                name = Phrase(text).text
            except QueryError:
                continue
            names.setdefault(name.lower(), name)
    return tuple(names.values())


def _listed(content: str) -> list[Any] | None:
    """Returns the JSON list that a text holds, alone, in an object or among words, if it does."""
    starts = [start for start in (content.find("["), content.find("{")) if start >= 0]
    try:
        data = json.JSONDecoder().raw_decode(content, min(starts))[0]
    except (ValueError, RecursionError):  # the former also of min, where there is no start
        return None
    if isinstance(data, dict):
        return next((value for value in data.values() if isinstance(value, list)), None)
    return data if isinstance(data, list) else None


def _lines(content: str) -> Iterator[str]:
    """Yields the items of a plain list: one a line, or on one line between commas."""
    lines = [_BULLET.sub("", line) for line in content.splitlines() if line.strip()]
    if len(lines) == 1:
        lines = lines[0].split(",")
        if any(len(part.split()) > MOST_WORDS for part in lines):  # a sentence, whose parts are
            return  # not names either
    for line in lines:
        if not line.rstrip().endswith(":"):
            yield line.strip(" \t\"'`*,.;")


def _read(read: Callable[[int], bytes], deadline: float) -> bytes:
    body = bytearray()
    while chunk := read(2**16):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise ValueError(f"more than {MAX_ANSWER_BYTES:,} bytes came")
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


def _within(seconds: float, work: Callable[[], bytes]) -> bytes:
    """Runs work in a thread and waits no longer: no timeout of a socket bounds a whole exchange."""
    done: Future[bytes] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as problem:
            done.set_exception(problem)

    Thread(target=run, daemon=True, name="grounding_sdk rewriter").start()
    return done.result(seconds)


def _refusal(problem: urllib.error.HTTPError) -> str:
    with problem:
        advice = {
            401: ": the API key is missing or wrong",
            403: ": the API key is missing or wrong",
            404: ": no such model or address",
        }.get(problem.code, "")
        if 300 <= problem.code < 400:
            advice = ": it points elsewhere, which is not followed"
        return f"the server answered with status {problem.code}{advice}"


def _split_url(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except (ValueError, AttributeError, TypeError):
        raise ConfigError(
            "expected the url of a chat server, such as http://localhost:8000/v1"
        ) from None
    return parts
