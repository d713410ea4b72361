"""Replies are byte for byte what Go's encoding/json writes."""

import pytest

from fastvol.http.go_json import Float32, dumps, quote, sorted_map


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("x<&>", '"x\\u003c\\u0026\\u003e"'),
        ('1; "two"\\', '"1; \\"two\\"\\\\"'),
        ("\n\r\t\b\f\x01\x1f", '"\\n\\r\\t\\b\\f\\u0001\\u001f"'),
        ("é\u2028\u2029😀\x7f", '"é\\u2028\\u2029😀\x7f"'),
        (b"a\xff\xe2\x82b".decode("utf-8", "surrogateescape"), '"a\ufffd\ufffd\ufffdb"'),
    ],
)
def test_strings(text: str, quoted: str) -> None:
    assert quote(text) == quoted
    assert dumps(text) == quoted.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (100.0, "100"),
        (0.1, "0.1"),
        (123456789.125, "123456789.125"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-1.25e-10, "-1.25e-10"),
        (Float32(31.498142242), "31.498142"),
        (Float32(68.50186), "68.50186"),
        (Float32(0.1), "0.1"),
        (True, "true"),
        (None, "null"),
        (1 << 63, "9223372036854775808"),
    ],
)
def test_scalars(value: object, text: str) -> None:
    assert dumps(value) == text.encode()


def test_members_keep_their_order_and_maps_are_sorted() -> None:
    assert dumps({"name": "n", "eTag": "e", "a": [1, {}]}) == b'{"name":"n","eTag":"e","a":[1,{}]}'
    assert (
        dumps(sorted_map({"b": 1, "B": 2, "é": 3, "a": 4})) == '{"B":2,"a":4,"b":1,"é":3}'.encode()
    )


def test_pretty() -> None:
    assert dumps({"a": [1, 2], "b": {}, "c": [], "d": {"e": "f"}}, pretty=True) == (
        b'{\n  "a": [\n    1,\n    2\n  ],\n  "b": {},\n  "c": [],\n  "d": {\n    "e": "f"\n  }\n}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", object()])
def test_what_has_no_form_is_an_error(value: object) -> None:
    with pytest.raises(TypeError):
        dumps(value)
