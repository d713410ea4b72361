"""What makes the answers of two servers to a generated request equal.

First what each does in its own way is taken out of an answer: how its compressor writes a known text
and its encoder a picture. What differs after that must stand among the deliberate differences.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from differential_client import CUT, Answer, Exchange
from differential_request import Case
from image_kit import opened

UNREAD_BYTES: Final = 256 << 10
"""Go's server closes a connection on which its handler left more than this unread."""
DELETED: Final = re.compile(rb'\{\s*"size":\s?(\d+)\s*\}')
MANIFEST_WORDS: Final = re.compile(rb'\{\s*"error":\s?"Load chunks manifest error: ')
RANGE_STARTS: Final = re.compile(rb"[=,]([ \d]+)-")
RANGED: Final = (
    "Transfer-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "X-Content-Type-Options",
)


@dataclass(frozen=True, slots=True)
class Texts:
    """How one server compresses the known texts."""

    packed: dict[str, bytes]
    """By ETag, without quotes."""

    @classmethod
    def of(cls, exchanges: Sequence[Exchange]) -> Texts:
        """From the answers to :func:`generated_requests.text_cases`."""
        found = {}
        for stored, read in zip(exchanges[::2], exchanges[1::2], strict=True):
            (created,), (answer,) = stored.answers, read.answers
            assert created and answer and answer.header("Content-Encoding") == "gzip"
            found[json.loads(created.body)["eTag"]] = answer.body
        return cls(found)

    def deletions(self, others: Texts) -> set[int]:
        """By how many bytes what a deletion frees may differ from the other server's."""
        pairs = zip(self.packed.values(), others.packed.values(), strict=True)
        return {len(mine) - len(theirs) for mine, theirs in pairs}

    def settled(self, case: Case, exchange: Exchange) -> Exchange:
        """The exchange as if all servers compressed in one way."""
        return replace(
            exchange,
            answers=tuple(answer and self._settled(case, answer) for answer in exchange.answers),
        )

    def _settled(self, case: Case, answer: Answer) -> Answer:
        for number, (tag, packed) in enumerate(self.packed.items()):
            if answer.header("Etag") == f'"{tag}"':
                shown = f"(tag {number})"
                body = answer.body.replace(b'"%b"' % tag.encode(), b'"%b"' % shown.encode())
                answer = with_header(replace(answer, body=body), "Etag", shown)
                if answer.header("Content-Encoding") is not None:
                    answer = _of_packed(case, answer, packed)
                elif answer.header("Content-Type") == "application/json" and answer.status == 201:
                    answer = without(answer, "Content-Length")
        return answer


def _of_packed(case: Case, answer: Answer, packed: bytes) -> Answer:
    """An answer with stored bytes: its length is the server's own, and so is what a range meets."""
    if b"\r\nrange:" in case.raw.lower() and (answer.status, answer.body) != (200, packed):
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.header("Content-Range") or "")
        if answer.status == 206 and found:
            first, last, size = map(int, found.groups())
            if size != len(packed):
                return answer  # the text itself, called gzip by a parameter
            assert packed[first : last + 1] == answer.body, case.title
        return replace(without(answer, *RANGED), start="HTTP/1.1 0 (a range)", body=b"")
    if answer.body == packed:
        return replace(without(answer, "Content-Length"), body=b"(packed)")
    if not answer.body and answer.header("Content-Length") == str(len(packed)):
        return without(answer, "Content-Length")
    return answer  # the text itself, called gzip by a parameter


def with_header(answer: Answer, name: str, value: str) -> Answer:
    headers = tuple((given, value if given == name else had) for given, had in answer.headers)
    return replace(answer, headers=headers)


def without(answer: Answer, *names: str) -> Answer:
    return replace(answer, headers=tuple(pair for pair in answer.headers if pair[0] not in names))


# --- deliberate differences ---------------------------------------------------------------------


def only_the_connection(case: Case, theirs: Exchange, mine: Exchange) -> bool:
    """The parts behind the first file of a large form are not read there, and of one that was
    invited not even its end; here all is, and the connection goes on."""
    kept = [answer and without(answer, "Connection") for answer in theirs.answers]
    return (
        (("form" in case.group and len(case.raw) > UNREAD_BYTES) or case.group == "expecting")
        and b"form-data" in case.raw
        and (theirs.stays_open, mine.stays_open) == (False, True)
        and kept == list(mine.answers)
    )


def the_handler_crashes(case: Case, theirs: Exchange, mine: Exchange) -> bool:
    """Some paths without sense end the connection there; here they are bad requests."""
    return (
        case.group in ("odd", "raw", "old version", "expecting")
        and theirs.answers == (None,)
        and [answer and answer.status for answer in mine.answers] == [400]
    )


def no_invitation(case: Case, theirs: Exchange, mine: Exchange) -> bool:
    """A body that is there already needs none."""
    invited = ("HTTP/1.1 100 Continue",)
    kept = tuple(answer and replace(answer, interim=()) for answer in theirs.answers)
    return (
        case.group == "expecting"
        and [answer and answer.interim for answer in theirs.answers] == [invited]
        and (
            replace(theirs, answers=kept) == mine
            or only_the_connection(case, replace(theirs, answers=kept), mine)
        )
    )


def other_encoders(case: Case, theirs: Exchange, mine: Exchange) -> bool:
    """The same picture by other encoders: its bytes, and so its length, are another's.

    A size that makes no sense is an empty body here; there JPEG and GIF of 0x0 that nothing opens.
    """
    if case.group != "picture read" or theirs.stays_open != mine.stays_open:
        return False
    (left,), (right,) = theirs.answers, mine.answers
    if not left or not right:
        return False
    bodies = left.body, right.body
    lengths = [int(answer.header("Content-Length") or -1) for answer in (left, right)]
    left, right = (replace(without(a, "Content-Length"), body=b"") for a in (left, right))
    if left != right or left.status != 200:
        return False
    if case.raw.startswith(b"HEAD"):
        return min(lengths) > 0
    if lengths != [len(body) for body in bodies]:
        return False
    if b"" in bodies:
        return bodies[1] == b"" and not _opens(bodies[0])
    shapes = [(image.format, image.mode, image.size) for image in map(opened, bodies)]
    return shapes[0] == shapes[1]


def _opens(body: bytes) -> bool:
    try:
        opened(body)
    except OSError:
        return False
    return True


def a_chunk_is_missing(case: Case, theirs: Exchange, mine: Exchange) -> bool:
    """Where a chunk cannot be had, the answer is an error that says so or ends early.

    Here it is an error unless something of it has been sent. There a part of the content, asked for
    with a range, ends the connection without a word, and nothing is sent that fits a buffer.
    """
    return (
        b"," in case.raw[:40]
        and all(answer is None or answer.status >= 500 for answer in theirs.answers)
        and all(
            answer
            and (answer.body.endswith(CUT) or answer.status >= 500)
            and answer.header("X-File-Store") == "chunked"
            for answer in mine.answers
        )
    )


def _without_words(answer: Answer | None) -> Answer | None:
    """Why a manifest is no JSON is said in the words of another parser."""
    words = MANIFEST_WORDS.match(answer.body) if answer else None
    if answer is None or words is None:
        return answer
    return replace(without(answer, "Content-Length"), body=words[0])


def a_closed_old_connection(case: Case, theirs: Exchange, mine: Exchange) -> bool:
    """An HTTP/1.0 client that says both keep-alive and close is kept there; here close wins."""
    kept = [answer and without(answer, "Connection") for answer in theirs.answers]
    return (
        b"\r\nConnection: keep-alive, close\r\n" in case.raw
        and (theirs.stays_open, mine.stays_open) == (True, False)
        and kept == list(mine.answers)
    )


def a_known_length(case: Case, theirs: Exchange, mine: Exchange) -> bool:
    """A length that is known is said here. There an answer is chunked when it has several ranges of
    something encoded, or is empty and a stored pair is called Content-Length."""
    framing = ("Transfer-Encoding", "Content-Length")
    framings = [
        [answer.header(name) if answer else None for name in framing]
        for answer in (*theirs.answers, *mine.answers)
    ]
    if len(framings) != 2 or framings[0] != ["chunked", None] or framings[1][1] is None:
        return False
    left, right = (
        [answer and without(answer, *framing) for answer in exchange.answers]
        for exchange in (theirs, mine)
    )
    return left == right and theirs.stays_open == mine.stays_open


def ranges_of_one_start(case: Case, theirs: Exchange, mine: Exchange) -> bool:
    """Of two ranges of a manifest that begin at the same byte, one behind the other, the second goes
    on there where the first ended."""
    starts = [text.strip() for text in RANGE_STARTS.findall(case.raw)]
    answers = *theirs.answers, *mine.answers
    bare = [answer and replace(answer, body=b"") for answer in answers]
    return (
        len(starts) > len(set(starts))
        and len(bare) == 2
        and bare[0] == bare[1]
        and all(answer and answer.header("X-File-Store") == "chunked" for answer in answers)
    )


DELIBERATE: Final[tuple[Callable[[Case, Exchange, Exchange], bool], ...]] = (
    only_the_connection,
    the_handler_crashes,
    no_invitation,
    other_encoders,
    a_chunk_is_missing,
    a_closed_old_connection,
    a_known_length,
    ranges_of_one_start,
)


def same(case: Case, theirs: Exchange, mine: Exchange) -> bool:
    """Whether the answers, settled, differ only where they shall."""
    if theirs == mine:
        return True
    left, right = (
        replace(exchange, answers=tuple(map(_without_words, exchange.answers)))
        for exchange in (theirs, mine)
    )
    return left == right or any(holds(case, left, right) for holds in DELIBERATE)


def like_sizes(theirs: Exchange, mine: Exchange, gaps: set[int]) -> Exchange:
    """Ours, with their sizes of deleted needles where the compressor makes the difference."""
    pairs = zip(theirs.answers, mine.answers, strict=True)
    return replace(mine, answers=tuple(_like_size(*pair, gaps) for pair in pairs))


def _like_size(theirs: Answer | None, mine: Answer | None, gaps: set[int]) -> Answer | None:
    if not (theirs and mine and theirs.status == mine.status == 202):
        return mine
    sizes = [DELETED.fullmatch(answer.body) for answer in (theirs, mine)]
    left, right = (int(found[1]) if found else 0 for found in sizes)
    if right - left not in gaps:
        return mine
    length = theirs.header("Content-Length") or ""
    return with_header(replace(mine, body=theirs.body), "Content-Length", length)
