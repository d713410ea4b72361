"""The command line as a whole: which subcommand runs, with what, and the exit status."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from fastvol.cli.global_flags import GLOBAL_FLAGS, GlobalOptions, parse_global_flags
from fastvol.cli.main import main
from fastvol.cli.serve import describe
from fastvol.cli.volume_flags import volume_flags
from fastvol.config import Config
from fastvol.errors import ConfigError, UsageError


class FakeServer(ModuleType):
    """Stands where the composition root is; remembers what it was asked to run."""

    def __init__(self) -> None:
        super().__init__("fastvol.server")
        self.configs: list[Config] = []
        self.error: Exception | None = None

    def run(self, config: Config, *, on_ready: Callable[[Config], None] | None = None) -> int:
        if self.error:
            raise self.error
        self.configs.append(config)
        if on_ready:
            on_ready(config)
        return 0


@pytest.fixture(name="server")
def server_fixture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeServer:
    server = FakeServer()
    monkeypatch.setitem(sys.modules, "fastvol.server", server)
    monkeypatch.chdir(tmp_path)
    for name in [*volume_flags().flags, *GLOBAL_FLAGS.flags]:
        for prefix in ("", "WEED_"):
            monkeypatch.delenv(prefix + name.upper().replace(".", "_"), raising=False)
    (tmp_path / "d").mkdir()
    return server


def test_volume_subcommand(server: FakeServer) -> None:
    assert main(["-v=1", "volume", "-dir=d", "-port", "9000", "ignored", "-port=1"]) == 0
    assert server.configs[0].port == 9000
    assert not server.configs[0].single_node


def test_flags_alone_mean_volume(server: FakeServer) -> None:
    assert main(["--port", "9001", "--dir", "d", "--preStopSeconds", "0"]) == 0
    assert main(["-config_dir", ".", "-logtostderr", "-v=2", "--port=9002", "-dir=d"]) == 0
    assert [config.port for config in server.configs] == [9001, 9002]
    assert server.configs[1].security_source.config_dir == "."


def test_volume_reads_its_environment(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9005")
    assert main(["volume", "-dir=d"]) == 0
    assert main(["serve", "d"]) == 0
    assert [config.port for config in server.configs] == [9005, 8080]


def test_serve(server: FakeServer, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["serve", "-port=9003", "new/dir"]) == 0
    (config,) = server.configs
    assert (config.single_node, config.port, config.ip) == (True, 9003, "127.0.0.1")
    assert (config.volume_size_max, config.masters, config.pre_stop_seconds) == (1 << 30, (), 0)
    assert config.locations[0].directory == Path("new/dir")
    assert config.locations[0].max_volume_count == 0
    assert (tmp_path / "new/dir").is_dir()
    text = capsys.readouterr().out
    assert "curl -F file=@README.md http://127.0.0.1:9003/$fid" in text
    assert "curl http://127.0.0.1:9003/$fid" in text
    assert str(tmp_path / "new/dir") in text


def test_serve_defaults_to_the_directory_data(server: FakeServer, tmp_path: Path) -> None:
    assert main(["serve"]) == 0
    assert (tmp_path / "data").is_dir()


def test_a_wildcard_address_is_not_shown_to_clients(server: FakeServer) -> None:
    assert main(["serve", "-ip=192.0.2.1", "-ip.bind=0.0.0.0", "d"]) == 0
    assert "http://192.0.2.1:8080" in describe(server.configs[0])


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([], "The commands are:"),
        (["-h"], "The commands are:"),
        (["-nosuch"], "flag provided but not defined: -nosuch\n"),
        (["-v"], "flag needs an argument: -v\n"),
        (["-v=abc", "volume"], 'invalid value "abc" for flag -v: strconv.Atoi: parsing "abc"'),
        (["volum"], "fastvol: unknown subcommand \"volum\"\nRun 'fastvol help' for usage.\n"),
        (["volume", "-h"], "Example: fastvol volume -port=8080"),
        (["volume", "-v=3"], "flag provided but not defined: -v\nExample: fastvol volume"),
        (["-port=x"], 'invalid value "x" for flag -port: strconv.ParseInt: parsing "x"'),
        (["version", "-x"], "flag provided but not defined: -x\nExample: fastvol version\n"),
        (["serve", "d", "-port=1"], "unexpected argument: -port=1"),
        (["serve", "d,e"], "a single node has one directory"),
        (["help", "nosuch"], "Unknown help topic `nosuch`.  Run 'fastvol help'.\n"),
        (["help", "a", "b"], "Too many arguments given."),
    ],
)
def test_usage_errors_exit_2(
    server: FakeServer, capsys: pytest.CaptureFixture[str], argv: list[str], text: str
) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.out == ""
    assert not server.configs


def test_help_and_version_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    assert "The commands are:" in capsys.readouterr().out
    assert main(["help", "volume"]) == 0
    assert "  -dir.idx string" in capsys.readouterr().out
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("version 8000GB 4.48 fastvol linux ")


def test_fatal_configuration_exits_255(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["volume", "-dir=/nosuch"]) == 255
    assert "Check Data Folder(-dir) Writable /nosuch" in capsys.readouterr().err
    server.error = ConfigError("Volume server listener error: in use")
    assert main(["volume", "-dir=d"]) == 255
    error = capsys.readouterr().err
    assert error.startswith("F")
    assert "Volume server listener error: in use" in error
    (Path("file")).touch()
    assert main(["serve", "file/dir"]) == 255


def test_flags_without_effect_are_named_once(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-logdir=x", "volume", "-dir=d", "-pprof", "-debug=false", "-index=memory"]) == 0
    assert capsys.readouterr().err.count("accepted, but not built yet: -logdir, -pprof\n") == 1


def test_verbosity_and_json_reach_the_log(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-log_json", "volume", "-dir=/nosuch"]) == 255
    assert capsys.readouterr().err.startswith('{"ts":"')


def test_global_flags() -> None:
    options, rest = parse_global_flags(
        [
            "-config_dir=c",
            "-v",
            "3",
            "-stderrthreshold=warning",
            "-vmodule=a=1,b=2",
            "volume",
            "-x",
        ],
        {"WEED_LOG_JSON": "true"},
    )
    assert options == GlobalOptions("c", 3, True, ("stderrthreshold", "vmodule"))
    assert rest == ["volume", "-x"]


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("-vmodule=abc", "syntax error: expect comma-separated list of filename=N"),
        ("-vmodule=a=x", "syntax error: expect comma-separated list of filename=N"),
        ("-log_backtrace_at=abc", "syntax error: expect file.go:234"),
        ("-log_backtrace_at=a.go:0", "negative or zero value for level"),
        ("-stderrthreshold=abc", 'strconv.Atoi: parsing "abc": invalid syntax'),
    ],
)
def test_bad_global_values(flag: str, reason: str) -> None:
    name, _, value = flag[1:].partition("=")
    with pytest.raises(UsageError) as caught:
        parse_global_flags([flag], {})
    assert str(caught.value) == f'invalid value "{value}" for flag -{name}: {reason}'
