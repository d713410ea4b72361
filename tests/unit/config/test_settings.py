"""security.toml and volume.toml: search, merge, overrides, and refusing what is not built."""

from pathlib import Path

import pytest

from fastvol.config import SecuritySource, load_security
from fastvol.config.security import TlsSettings
from fastvol.config.settings import Settings, find_settings_file, read_toml
from fastvol.errors import ConfigError
from fastvol.security.caller_names import CallerNames
from fastvol.security.grpc_tls import GrpcTls
from fastvol.security.tls import ClientTls, ServerTls


def source(directory: Path, white_list: str = "", **environ: str) -> SecuritySource:
    return SecuritySource(str(directory), "", white_list, environ)


def write(directory: Path, text: str, name: str = "security") -> Path:
    path = directory / f"{name}.toml"
    path.write_text(text)
    return path


def test_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, here, home = (tmp_path / name for name in ("given", "here", "home"))
    for directory in (given, here, home / ".seaweedfs"):
        directory.mkdir(parents=True)
        write(directory, "")
    monkeypatch.chdir(here)
    environ = {"HOME": str(home)}
    assert find_settings_file("security", str(given), environ) == given / "security.toml"
    assert find_settings_file("security", "", environ) == Path("security.toml")
    (here / "security.toml").unlink()
    assert find_settings_file("security", "", environ) == home / ".seaweedfs/security.toml"
    assert find_settings_file("nosuch", str(given), environ) is None


def test_later_files_win_and_keys_ignore_case(tmp_path: Path) -> None:
    first = read_toml(write(tmp_path, '[a]\nb = "1"\nc = "2"\n[Grpc.Volume]\nAllowed_X = "y"\n'))
    second = read_toml(write(tmp_path, "[a]\nb = 3\n"))
    settings = Settings({}, first).merged(second)
    assert (settings.text("a.b"), settings.text("a.c")) == ("3", "2")
    assert settings.text("grpc.volume.allowed_x") == "y"
    assert settings.text("grpc.volume") == ""
    assert settings.text("a.b.c") == ""


def test_values_are_converted_or_refused() -> None:
    tree = {"t": True, "s": "T", "n": 5, "f": 1.5, "d": "2s", "bad": "x", "list": [1]}
    settings = Settings({}, tree)
    assert settings.flag("t")
    assert settings.flag("s")
    assert settings.text("t") == "true"
    assert settings.integer("n", 0) == 5
    assert settings.number("f", 0) == 1.5
    assert settings.duration("d", 0) == 2
    assert (settings.integer("no", 7), settings.duration("no", 7)) == (7, 7)
    for read in (
        lambda: settings.flag("bad"),
        lambda: settings.integer("bad", 0),
        lambda: settings.number("bad", 0),
        lambda: settings.duration("bad", 0),
        lambda: settings.text("list"),
    ):
        with pytest.raises(ConfigError):
            read()


def test_environment_wins_unless_empty() -> None:
    environ = {"WEED_JWT_SIGNING_KEY": "env", "WEED_GUARD_WHITE_LIST": ""}
    settings = Settings(
        environ, {"jwt": {"signing": {"key": "file"}}, "guard": {"white_list": "w"}}
    )
    assert settings.text("jwt.signing.key") == "env"
    assert settings.text("guard.white_list") == "w"


def test_security_settings(tmp_path: Path) -> None:
    write(
        tmp_path,
        '[jwt.signing]\nkey = "w"\n[jwt.signing.read]\nkey = "r"\nexpires_after_seconds = 5\n'
        '[access]\nui = true\n[guard]\nwhite_list = "10.0.0.0/8, ::1"\n[grpc]\nca = ""\n',
    )
    security, _ = load_security(source(tmp_path, "1.2.3.4,,"), Settings({}))
    assert (security.write_key, security.read_key) == ("w", "r")
    assert (security.write_expires_seconds, security.read_expires_seconds) == (10, 5)
    assert security.ui_access
    assert security.white_list == ("1.2.3.4", "10.0.0.0/8", " ::1")


def test_explicit_file_wins_over_the_search(tmp_path: Path) -> None:
    write(tmp_path, '[jwt.signing]\nkey = "searched"\n')
    explicit = tmp_path / "other.toml"
    explicit.write_text('[jwt.signing]\nkey = "explicit"\n')
    chosen = SecuritySource(str(tmp_path), str(explicit), "", {})
    assert load_security(chosen, Settings({}))[0].write_key == "explicit"
    with pytest.raises(ConfigError):
        load_security(SecuritySource("", str(tmp_path / "missing"), "", {}), Settings({}))


@pytest.mark.parametrize("text", ["[jwt", "key = ", "\xff"])
def test_a_security_file_that_does_not_parse_is_fatal(tmp_path: Path, text: str) -> None:
    (tmp_path / "security.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"security\.toml"):
        load_security(source(tmp_path), Settings({}))


def test_reload_keeps_keys_that_vanished(tmp_path: Path) -> None:
    path = write(tmp_path, '[jwt.signing]\nkey = "w"\n')
    security, settings = load_security(source(tmp_path), Settings({}))
    assert security.write_key == "w"
    path.write_text('[guard]\nwhite_list = "1.1.1.1"\n')
    security, settings = load_security(source(tmp_path), settings)
    assert (security.write_key, security.white_list) == ("w", ("1.1.1.1",))
    path.write_text('[jwt.signing]\nkey = ""\n')
    assert load_security(source(tmp_path), settings)[0].write_key == ""


@pytest.mark.parametrize(
    "text",
    [
        '[grpc.volume]\ncert = "c"\nkey = "k"\n',
        '[grpc]\nca = "a"\n[grpc.volume]\ncert = "c"\n',
        '[grpc]\nca = "a"\n[grpc.volume]\nclient_cert = "c"\nclient_key = "k"\n',
        '[grpc.volume]\nclient_key = "c"\n',
        '[grpc.volume]\nallowed_commonNames = "c"\n',
    ],
)
def test_half_of_tls_for_grpc_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    with pytest.raises(ConfigError, match=r"grpc\.volume: cert, key and grpc\.ca must all be set"):
        load_security(source(tmp_path), Settings({}))


def test_half_of_tls_for_grpc_by_environment_is_refused_too(tmp_path: Path) -> None:
    environ = {"WEED_GRPC_VOLUME_CERT": "c"}
    with pytest.raises(ConfigError, match=r"got cert=\"c\" key=\"\" ca=\"\""):
        load_security(SecuritySource(str(tmp_path), "", "", environ), Settings(environ))


def test_keys_that_programs_share_ask_nothing_of_this_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, '[grpc]\nca = "a"\nallowed_wildcard_domain = ".x"\n[grpc.master]\ncert = "c"\n')
    assert load_security(source(tmp_path), Settings({}))[0].tls.grpc is None
    assert "gRPC is in plaintext: security.toml sets grpc.ca and grpc.allow" in caplog.text


ALL_OF_GRPC = (
    '[grpc]\nca = "a"\nallowed_wildcard_domain = ".x"\n[grpc.volume]\ncert = "c"\nkey = "k"\n'
)


def test_tls_of_grpc(tmp_path: Path) -> None:
    write(tmp_path, ALL_OF_GRPC + 'allowed_commonNames = "n, m"\n[tls]\nmin_version = "TLS 1.3"\n')
    assert load_security(source(tmp_path), Settings({}))[0].tls.grpc == GrpcTls(
        "a", "c", "k", "c", "k", CallerNames("n, m", ".x"), min_version="TLS 1.3"
    )


@pytest.mark.parametrize("one", ["client_cert", "client_key"])
def test_half_of_a_client_pair_of_grpc_is_left_alone(
    tmp_path: Path, one: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, ALL_OF_GRPC + f'{one} = "x"\n')
    tls = load_security(source(tmp_path), Settings({}))[0].tls.grpc
    assert tls is not None
    assert (tls.client_certificate, tls.client_key) == ("c", "k")
    assert f'{one}="x"' in caplog.text
    assert "calls use cert and key" in caplog.text


def test_a_client_pair_of_grpc_is_used(tmp_path: Path) -> None:
    write(tmp_path, ALL_OF_GRPC + 'client_cert = "x"\nclient_key = "y"\n')
    tls = load_security(source(tmp_path), Settings({}))[0].tls.grpc
    assert tls is not None
    assert (tls.client_certificate, tls.client_key) == ("x", "y")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[https.volume]\ncert = "c"\n', r'https\.volume: .*\(got cert="c" key="" ca=""\)'),
        ('[https.volume]\nkey = "k"\n', r'https\.volume: .*\(got cert="" key="k" ca=""\)'),
        ('[https.volume]\nca = "a"\n', r'https\.volume: .*\(got cert="" key="" ca="a"\)'),
        (
            '[https.client]\nenabled = true\ncert = "c"\n',
            r'https\.client: both cert and key must be set \(got cert="c" key=""\)',
        ),
    ],
)
def test_half_of_tls_is_refused(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path, text)
    with pytest.raises(ConfigError, match=words):
        load_security(source(tmp_path), Settings({}))


def test_tls_settings(tmp_path: Path) -> None:
    write(
        tmp_path,
        '[https.volume]\ncert = "c"\nkey = "k"\nca = "a"\n'
        '[tls]\nmin_version = "TLS 1.3"\nmax_version = "x"\ncipher_suites = "y,z"\n'
        '[https.client]\nenabled = true\ncert = "cc"\nkey = "ck"\nca = "ca"\n'
        "insecure_skip_verify = true\n",
    )
    tls = load_security(source(tmp_path), Settings({}))[0].tls
    assert tls.server == ServerTls("c", "k", "a", "TLS 1.3", "x", "y,z")
    assert tls.client == ClientTls("cc", "ck", "ca", skip_verify=True)
    assert tls.refresh_seconds == 5 * 3600


def test_a_client_that_is_not_enabled_is_none(tmp_path: Path) -> None:
    write(tmp_path, '[https.client]\ncert = "c"\nca = "a"\n')
    tls = load_security(source(tmp_path), Settings({}))[0].tls
    assert tls == TlsSettings()


def test_tls_by_environment(tmp_path: Path) -> None:
    environ = {
        "WEED_HTTPS_VOLUME_CERT": "c",
        "WEED_HTTPS_VOLUME_KEY": "k",
        "WEED_HTTPS_CLIENT_ENABLED": "true",
        "WEED_TLS_CERT_REFRESH_INTERVAL": "1m30s",
    }
    tls = load_security(source(tmp_path, **environ), Settings(environ))[0].tls
    assert tls == TlsSettings(ServerTls("c", "k"), ClientTls(), refresh_seconds=90)


@pytest.mark.parametrize("text", ["soon", "5", "0s", "-1h"])
def test_a_refresh_interval_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="WEED_TLS_CERT_REFRESH_INTERVAL"):
        load_security(source(tmp_path, WEED_TLS_CERT_REFRESH_INTERVAL=text), Settings({}))


def test_tls_of_other_components_is_none_of_ours(tmp_path: Path) -> None:
    write(tmp_path, '[grpc.master]\ncert = "c"\n[https.filer]\nkey = "k"\n')
    security, settings = load_security(source(tmp_path), Settings({}))
    assert settings.text("grpc.master.cert") == "c", "it has been read"
    assert security.write_key == ""
