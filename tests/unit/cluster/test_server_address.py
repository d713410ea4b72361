"""Server addresses: what is dialled, and what is compared and printed."""

import pytest

from fastvol.cluster.server_address import ServerAddress, parse_addresses
from fastvol.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("text", "grpc", "http"),
    [
        ("h:8080", "h:18080", "h:8080"),
        ("h:8080.18081", "h:18081", "h:8080"),
        ("10.0.0.7:9333.19334", "10.0.0.7:19334", "10.0.0.7:9333"),
        ("[::1]:9333", "[::1]:19333", "[::1]:9333"),
        ("[::1]:9333.19334", "[::1]:19334", "[::1]:9333"),
        ("fe80::1:9333.1", "[fe80::1]:1", "[fe80::1]:9333"),
        ("h", "h", "h"),
        ("h:", "h:", "h:"),
        ("", "", ""),
    ],
)
def test_an_address_has_a_grpc_form_and_an_http_form(text: str, grpc: str, http: str) -> None:
    address = ServerAddress(text)
    assert address.grpc == grpc
    assert address.http == http
    assert str(address) == http


@pytest.mark.parametrize("text", ["h:http", "h:80x.1", "h:8080.grpc", "h:.5", "h:-1", "h:８０"])
def test_a_port_that_is_no_number_is_an_error_and_not_the_end_of_the_process(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not a number"):
        _ = ServerAddress(text).grpc


def test_addresses_are_one_server_when_their_http_forms_are_equal() -> None:
    assert ServerAddress("m:9333.1").same_server(ServerAddress("m:9333"))
    assert not ServerAddress("m:9333").same_server(ServerAddress("m:9334"))


def test_a_list_drops_blanks_empty_items_and_repetitions() -> None:
    found = parse_addresses(" a:1, b:2.3,,a:1 ,")
    assert [address.text for address in found] == ["a:1", "b:2.3"]
