"""Command lines parse as Go's flag package parses them; texts are the real binary's."""

from pathlib import Path

import pytest

from fastvol.cli.go_flags import Flag, FlagSet, HelpRequestedError, ParsedFlags
from fastvol.errors import UsageError

FLAGS = FlagSet(
    [
        Flag("port", "int", 8080, "a port"),
        Flag("port.grpc", "int", 0, "another port"),
        Flag("dir", "string", "/tmp", "a directory"),
        Flag("pprof", "bool", False, "a switch"),
        Flag("slow", "bool", True, "a switch that is on"),
        Flag("wait", "duration", 60, "a time"),
        Flag("ratio", "float", 0.5, "a number"),
        Flag("count", "uint", 3, "a count"),
        Flag("options", "string", "", "a file"),
        Flag("no_env", "string", "", "not from the environment", from_environment=False),
    ]
)


def parse(*argv: str, **environ: str) -> ParsedFlags:
    return FLAGS.parse(argv, environ)


@pytest.mark.parametrize("argv", [("-port=1",), ("--port=1",), ("-port", "1"), ("--port", "1")])
def test_spellings(argv: tuple[str, ...]) -> None:
    parsed = parse(*argv)
    assert parsed.values["port"] == 1
    assert parsed.given == {"port"}
    assert parsed.values["dir"] == "/tmp"


def test_booleans_take_no_separate_value() -> None:
    parsed = parse("-pprof", "false", "-port=1")
    assert parsed.values["pprof"] is True
    assert parsed.arguments == ["false", "-port=1"]
    assert parsed.values["port"] == 8080
    assert parse("-pprof=F").values["pprof"] is False
    assert parse("-slow=0").values["slow"] is False


def test_where_flags_end() -> None:
    assert parse("x", "-port=1").arguments == ["x", "-port=1"]
    assert parse("-port=1", "--", "-dir=2").arguments == ["-dir=2"]
    assert parse("-port=1", "-", "x").arguments == ["-", "x"]
    assert parse("", "x").arguments == ["", "x"]


def test_last_one_wins_and_values_may_look_like_flags() -> None:
    assert parse("-port=1", "-port=2").values["port"] == 2
    assert parse("-dir", "-port").values["dir"] == "-port"
    assert parse("-dir=a=b").values["dir"] == "a=b"
    assert parse("-dir=").values["dir"] == ""


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["-nosuch"], "flag provided but not defined: -nosuch"),
        (["--nosuch=1"], "flag provided but not defined: -nosuch"),
        (["-Port=1"], "flag provided but not defined: -Port"),
        (["-port"], "flag needs an argument: -port"),
        (["---port=1"], "bad flag syntax: ---port=1"),
        (["-=x"], "bad flag syntax: -=x"),
        (["--=x"], "bad flag syntax: --=x"),
        (
            ["-port=abc"],
            'invalid value "abc" for flag -port: strconv.ParseInt: parsing "abc": invalid syntax',
        ),
        (
            ["-port", ""],
            'invalid value "" for flag -port: strconv.ParseInt: parsing "": invalid syntax',
        ),
        (
            ["-pprof=maybe"],
            'invalid boolean value "maybe" for -pprof: '
            'strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (
            ["-wait=10"],
            'invalid value "10" for flag -wait: time: missing unit in duration "10"',
        ),
        (
            ["-count=-1"],
            'invalid value "-1" for flag -count: strconv.ParseUint: parsing "-1": invalid syntax',
        ),
    ],
)
def test_errors(argv: list[str], error: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(*argv)
    assert str(caught.value) == error


@pytest.mark.parametrize("flag", ["-h", "--h", "-help", "--help"])
def test_help(flag: str) -> None:
    with pytest.raises(HelpRequestedError):
        parse(flag)


def test_environment() -> None:
    parsed = parse("-dir=x", PORT="0x10", PORT_GRPC="7", DIR="y", PPROF="", NO_ENV="z")
    assert (parsed.values["port"], parsed.values["port.grpc"]) == (16, 7)
    assert (parsed.values["dir"], parsed.values["pprof"]) == ("x", True)
    assert parsed.values["no_env"] == ""
    prefixed = FlagSet([Flag("log_json", "bool", False, "")], environment_prefix="WEED_")
    assert prefixed.parse([], {"WEED_LOG_JSON": "1"}).values["log_json"] is True


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        (
            "PORT",
            "",
            'invalid value "" for environment variable port: '
            'strconv.ParseInt: parsing "": invalid syntax',
        ),
        (
            "PPROF",
            "zz",
            'invalid value "zz" for environment variable pprof: '
            'strconv.ParseBool: parsing "zz": invalid syntax',
        ),
    ],
)
def test_bad_environment(name: str, text: str, error: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(**{name: text})
    assert str(caught.value) == error


def test_options_file_fills_what_was_not_given(tmp_path: Path) -> None:
    file = tmp_path / "options"
    file.write_text(
        "# comment\n\n  -port= 1\ndir: /x y\npprof\nwait 3s\nnosuch=1\nport.grpc=5\n--ratio=2\n"
    )
    parsed = parse(f"-options={file}", "-dir=cmd", PORT_GRPC="9")
    assert parsed.values["port"] == 1
    assert parsed.values["dir"] == "cmd"
    assert parsed.values["port.grpc"] == 9
    assert (parsed.values["pprof"], parsed.values["wait"]) == (True, 3)
    assert parsed.values["ratio"] == 0.5
    assert parse(OPTIONS=str(file)).values["dir"] == "/x y"


def test_bad_options_file(tmp_path: Path) -> None:
    file = tmp_path / "options"
    file.write_text("port\n")
    with pytest.raises(UsageError) as caught:
        parse(f"-options={file}")
    assert str(caught.value) == (
        'invalid value "" for configuration variable port: '
        'strconv.ParseInt: parsing "": invalid syntax'
    )
    with pytest.raises(UsageError, match="cannot read"):
        parse("-options=/nosuch")
    assert parse("-options=").values["port"] == 8080


def test_usage_lists_flags_by_name_with_their_defaults() -> None:
    usage = FLAGS.usage()
    names = [line.split()[0] for line in usage.splitlines() if line.startswith("  -")]
    assert names == sorted(names)
    assert '  -dir string\n    \ta directory (default "/tmp")\n' in usage
    assert "  -pprof\n    \ta switch\n" in usage
    assert "  -slow\n    \ta switch that is on (default true)\n" in usage
    assert "  -wait duration\n    \ta time (default 1m0s)\n" in usage
    assert "  -port int\n    \ta port (default 8080)\n" in usage
    assert "  -port.grpc int\n    \tanother port\n" in usage
