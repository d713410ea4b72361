"""Extensions have the types that the upstream binary gives them."""

from pathlib import Path

import pytest

from fastvol.http.mime_types import MimeTable


@pytest.fixture(name="bare")
def bare_fixture() -> MimeTable:
    return MimeTable((), ())


@pytest.mark.parametrize(
    ("extension", "kind"),
    [
        (".txt", "text/plain; charset=utf-8"),
        (".js", "application/javascript"),
        (".ts", "text/typescript; charset=utf-8"),
        (".go", "text/x-go; charset=utf-8"),
        (".JPG", "image/jpeg"),
        (".bin", "application/octet-stream"),
        (".env", "text/plain; charset=utf-8"),
        (".ehtml", "text/html; charset=utf-8"),
        (".opus", "audio/ogg"),
        (".nosuch", ""),
        ("", ""),
        (".", ""),
    ],
)
def test_base_table(bare: MimeTable, extension: str, kind: str) -> None:
    assert bare.type_by_extension(extension) == kind


def test_globs_add_but_do_not_override(tmp_path: Path) -> None:
    globs = tmp_path / "globs2"
    globs.write_text(
        "# comment\n60:text/x-special:*.xyz:cs\n50:application/other:*.xyz\n50:a/b:*.js\n"
        "50:a/b:*.wasm\n50:text/x-c++src:*.C\n50:a/b:x.foo\n50:a/b:*.[ab]\n50:not a type:*.bad\n"
        "50:text/Up:*.up\n50:a/Up:*.up2\nshort\n"
    )
    table = MimeTable([tmp_path / "missing", globs], [tmp_path / "never"])
    assert table.type_by_extension(".xyz") == "text/x-special; charset=utf-8"
    assert table.type_by_extension(".XYZ") == "text/x-special; charset=utf-8"
    assert table.type_by_extension(".js") == "application/javascript"
    assert table.type_by_extension(".wasm") == "application/wasm"
    assert table.type_by_extension(".C") == "text/x-c++src; charset=utf-8"
    assert table.type_by_extension(".c") == "text/x-c; charset=utf-8"
    assert table.type_by_extension(".up") == "text/up; charset=utf-8"
    assert table.type_by_extension(".up2") == "a/Up"
    assert table.type_by_extension(".foo") == ""
    assert table.type_by_extension(".bad") == ""


def test_type_files_override_only_go_s_own_table(tmp_path: Path) -> None:
    types = tmp_path / "mime.types"
    types.write_text("# x\napplication/first wasm js new # old\napplication/second new\nlonely\n")
    table = MimeTable([], [types])
    assert table.type_by_extension(".wasm") == "application/first"
    assert table.type_by_extension(".js") == "application/javascript"
    assert table.type_by_extension(".new") == "application/second"
    assert table.type_by_extension(".old") == ""


def test_a_readable_globs_file_hides_the_type_files(tmp_path: Path) -> None:
    globs, types = tmp_path / "globs2", tmp_path / "mime.types"
    globs.write_text("")
    types.write_text("a/b new\n")
    assert MimeTable([globs], [types]).type_by_extension(".new") == ""
