"""Query beside the real server: generated texts, paths and filters, and the odd requests by hand."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import grpc
import pytest
from cluster import (
    FASTVOL,
    Server,
    allocate,
    master_server,
    started,
    volume_channel,
    volume_server,
    weed,
)
from http_calls import CALL_SECONDS_MAX, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastvol.cluster.stub import Stub
from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

SERVICE = pb.DESCRIPTOR.services_by_name["VolumeServer"]
VOLUME = 3
COOKIE = "00001234"
Input = pb.QueryRequest.InputSerialization
JSON = Input(json_input=Input.JSONInput())
KEYS = count(1)


@dataclass
class Both:
    """The real server, then fastvol."""

    servers: list[Server]
    stubs: list[Stub]

    def put(self, content: bytes, **headers: str) -> str:
        fid = f"{VOLUME},{next(KEYS):x}{COOKIE}"
        kind = {"Content-Type": "application/octet-stream", **headers}
        for server in self.servers:
            assert request(server.port, "POST", f"/{fid}", content, kind).status == 201
        return fid

    def same(self, asked: pb.QueryRequest) -> Any:
        theirs, ours = (answer(stub, asked) for stub in self.stubs)
        assert ours == theirs, asked
        return ours

    def query(self, fid: str, *paths: str, where: tuple[str, str, str] = ("@this", "", "")) -> Any:
        field, relation, operand = where
        return self.same(
            pb.QueryRequest(
                selections=paths,
                from_file_ids=[fid],
                filter=pb.QueryRequest.Filter(field=field, operand=relation, value=operand),
                input_serialization=JSON,
            )
        )


def answer(stub: Stub, asked: pb.QueryRequest) -> Any:
    """The stripes, and how the stream ended."""
    found: list[Any] = []
    try:
        for message in stub.Query(asked, timeout=CALL_SECONDS_MAX):
            found.append(message.records)
    except grpc.RpcError as error:
        found.append((error.code().name, error.details()))
    return found


@pytest.fixture(name="both", scope="module")
def both_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    base = tmp_path_factory.mktemp("query")
    master = master_server(base)
    servers = [
        volume_server(program, base, base / name, [master.port])
        for program, name in ((weed(base), "weed-data"), (FASTVOL, "fastvol-data"))
    ]
    with started(master, *servers):
        channels = [volume_channel(server.ready().port) for server in servers]
        stubs = [Stub(channel, SERVICE) for channel in channels]
        for stub in stubs:
            allocate(stub, VOLUME)
        yield Both(servers, stubs)
        for channel in channels:
            channel.close()


# --- generated ----------------------------------------------------------------------------------

MEMBERS = [
    "a",
    "b",
    "ab",
    "a.b",
    "*",
    "",
    "#",
    "0",
    "@this",
    "é",
    'a\\"b',
    "\\u0061",
    "a|b",
    "\\\\",
]
SCALARS = [
    *("1", "2", "-3", "1.5", "1e3", "0", "0x1p4", "1_0", "+5", "1e400", "12345678901234567890"),
    *("true", "false", "null", "nul", "tru", "nan", "inf", "-Inf", "NaN", "n"),
    *('"a"', '"abc"', '""', '"1"', '"true"', '"é"', '"a\\"b"', '"\\u0041\\ud83d\\ude00"'),
    *('"x\\y"', '"\\ud800"', '"t\tb"', '"t\\n\tb"', '"{\\"a\\":1}"'),
]
DAMAGE = st.sampled_from([*map(bytes, zip(b'{}[]()"\\,: \x00\xffntf1-'))])


def blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    between = st.sampled_from([",", ", ", " ,"])
    member = st.builds(
        '"{}"{}{}'.format, st.sampled_from(MEMBERS), st.sampled_from([":", " : "]), inner
    )
    arrays = st.builds(lambda s, i: f"[{s.join(i)}]", between, st.lists(inner, max_size=4))
    objects = st.builds(lambda s, i: f"{{{s.join(i)}}}", between, st.lists(member, max_size=4))
    return arrays | objects


VALUES = st.recursive(st.sampled_from(SCALARS), blocks, max_leaves=10)
SOUND = st.builds(
    lambda s, records: s.join(records).encode(),
    st.sampled_from(["\n", " ", "", ","]),
    st.lists(VALUES, min_size=1, max_size=3),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    text = bytearray(draw(SOUND))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text[at : at + draw(st.integers(0, 1))] = draw(DAMAGE)
    return bytes(text)


STEPS = [
    *("a", "b", "ab", "a\\.b", "*", "?", "a*", "\\*", "*\\*", "a\\", "", "é", "a\\|b", "\\@this"),
    *("0", "1", "00", "99999999999999999999", "18446744073709551616", "#", ".."),
    *("#(a)", "#(a)#", "#(a=1)", "#(a>=1)#", '#(="a")', '#(%"a*")#', '#(!%"a*")#', "#(>1)#"),
    *('#(a.b=="x")#', "#(a=~true)#", "#(=~*)#", "#(=~null)#", "#(=~false)#", "#[a=1]", "#(#(a)#)#"),
    *("#(@this>0)#", "#(", "#(a", "#(a=1||)|", '#(  a  =  "\\"" )', "#(!a)", '#(a<"b")#'),
    *("[a,b]", "{a,b}", '{"x":a,b.c}', "{y:#.a}", "[a,@this]", "[a]b", "{a", '!"s"', "!true", "!5"),
    *("@this", "@reverse", "@keys", "@values", "@ugly", "@flatten", "@tostr", "@nope", "@this:1"),
]
STEPWISE = st.lists(
    st.tuples(st.sampled_from("...|"), st.sampled_from(STEPS)), min_size=1, max_size=3
)
PIECES = [
    *'ab.|#()[]{}"\\:,=!<>%*?~@01 -',
    "@this",
    "@keys",
    "@reverse:",
    "#(",
    "#[",
    "..",
    "~true",
]
PATHS = STEPWISE.map(lambda steps: "".join(map("".join, steps))[1:]) | st.lists(
    st.sampled_from(PIECES), max_size=9
).map("".join)
RELATIONS = st.sampled_from(["", "=", "!=", "<", "<=", ">", ">=", "%", "!%", "~", "=="])
PATTERNS = ["a*", "*", "?", "*b", "a?*", "\\*", "*a*", "??", "a", "b", "x", "é", ""]
NUMBERS = ["1", "1.5", "-3", "0x1p4", "1_0", "inf", "nan", "true", "false", "null"]
OPERANDS = st.sampled_from(PATTERNS + NUMBERS)


@given(SOUND | damaged(), st.lists(PATHS, min_size=1, max_size=8))
@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_paths_lead_to_the_same(both: Both, text: bytes, paths: list[str]) -> None:
    fid = both.put(text)
    for path in paths:
        both.query(fid, path)


@given(SOUND | damaged(), PATHS, RELATIONS, OPERANDS, st.lists(PATHS, max_size=2))
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_filters_select_the_same(
    both: Both, text: bytes, field: str, relation: str, operand: str, paths: list[str]
) -> None:
    fid = both.put(text)
    for name in (field, "@this", "a"):
        both.query(fid, *paths, where=(name, relation, operand))


# --- by hand ------------------------------------------------------------------------------------


def test_depth_is_no_limit(both: Both) -> None:
    fid = both.put(b'{"a":' * 3000 + b"[" * 3000 + b"7" + b"]" * 3000 + b"}" * 3000)
    path = ".".join(["a"] * 3000 + ["0"] * 3000)
    assert both.query(fid, path) == [f"{{{path}:7}}".encode()]


@pytest.mark.parametrize(
    "fid",
    [
        *("", "x", "3", "3,", ",01" + COOKIE, "3/01" + COOKIE, "3,01", "3,zz" + COOKIE),
        *("999,01" + COOKIE, "abc,01" + COOKIE, "99999999999,01" + COOKIE, "3,ffff" + COOKIE),
    ],
)
def test_file_ids_that_lead_nowhere(both: Both, fid: str) -> None:
    for ids in ([fid], [both.put(b"{}"), fid, fid]):
        both.same(pb.QueryRequest(from_file_ids=ids, input_serialization=JSON, filter=ANY))


ANY = pb.QueryRequest.Filter(field="@this")


def test_a_delta_counts_from_the_key(both: Both) -> None:
    first, second = both.put(b"1"), both.put(b"2")
    for suffix, found in (("_1", [b"{@this:2}"]), ("_0", [b"{@this:1}"]), ("_x", None)):
        told = both.query(first + suffix, "@this")
        assert found is None or told == found
    assert both.query(second, "@this") == [b"{@this:2}"]


def test_another_cookie_ends_the_stream(both: Both) -> None:
    fid = both.put(b"{}")
    ids = [fid, fid[:-1] + "5", fid]
    asked = pb.QueryRequest(from_file_ids=ids, input_serialization=JSON, filter=ANY)
    assert both.same(asked) == [b"{}"]


def test_other_inputs_say_nothing(both: Both) -> None:
    fid = both.put(b"{}")
    for given_input, found in (
        (Input(csv_input=Input.CSVInput()), []),
        (Input(parquet_input=Input.ParquetInput()), []),
        (Input(csv_input=Input.CSVInput(), json_input=Input.JSONInput()), [b"{}"]),
        (Input(json_input=Input.JSONInput(type="LINES"), compression_type="GZIP"), [b"{}"]),
    ):
        for ids in ([fid], [fid, "999,01" + COOKIE]):
            asked = pb.QueryRequest(from_file_ids=ids, input_serialization=given_input, filter=ANY)
            assert both.same(asked)[: len(found)] == found


def test_what_is_gone_empty_or_compressed(both: Both) -> None:
    gone = both.put(b"{}")
    for server in both.servers:
        assert request(server.port, "DELETE", f"/{gone}").status == 202
    assert both.query(gone) == [("UNKNOWN", "already deleted")]
    empty = both.put(b"")
    assert both.query(empty) == both.query(empty[:-1] + "5") == [b""]
    packed = gzip.compress(b'{"a":1}' * 100, mtime=0)
    assert both.query(
        both.put(packed, **{"Content-Encoding": "gzip"}), "a", where=("a", "", "")
    ) == [b""]


def test_what_crashes_the_real_server_is_answered(both: Both) -> None:
    fid = both.put(b"{}")
    ours = both.stubs[1]
    assert answer(ours, pb.QueryRequest(from_file_ids=[fid], filter=ANY)) == []
    no_filter = pb.QueryRequest(from_file_ids=[fid], input_serialization=JSON)
    assert answer(ours, no_filter) == [b""]


def test_what_is_not_built_or_too_much_is_refused(both: Both) -> None:
    fid = both.put(b"{}")
    for path, code in (("@pretty", "UNIMPLEMENTED"), ("a" * 20000, "UNKNOWN")):
        asked = pb.QueryRequest(
            selections=[path], from_file_ids=[fid], input_serialization=JSON, filter=ANY
        )
        ((told, _),) = answer(both.stubs[1], asked)
        assert told == code
