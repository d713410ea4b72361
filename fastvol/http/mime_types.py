"""The type of a file name extension, as the upstream binary answers it.

Three layers, later ones win: Go's built-in table, the host's MIME database (``mime/type_unix.go``),
and the extensions that ``weed/admin/dash/file_mime.go`` registers for the whole process (which is
why ``.ts`` is TypeScript and ``.js`` is application/javascript).
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from fastvol.errors import InvalidRequestError
from fastvol.http.media_type import parse_media_type

_GO_BUILT_IN: Final = {
    "application/octet-stream": ".bin .com .exe",
    "application/postscript": ".ai .eps .ps",
    "application/rdf+xml": ".rdf",
    "application/rtf": ".rtf",
    "application/vnd.android.package-archive": ".apk",
    "application/wasm": ".wasm",
    "application/xhtml+xml": ".xht .xhtml",
    "audio/mp4": ".m4a",
    "audio/ogg": ".oga .opus",
    "image/apng": ".apng",
    "image/avif": ".avif",
    "image/jpeg": ".jfif .pjp .pjpeg",
    "image/tiff": ".tif .tiff",
    "image/x-xbitmap": ".xbm",
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "text/html": ".ehtml .shtml",
    "text/plain": ".text",
    "text/vtt": ".vtt",
    "text/xml": ".xbl .xsl",
    "video/ogg": ".ogv",
}
_REGISTERED: Final = {
    "application/gzip": ".gz",
    "application/javascript": ".js .mjs",
    "application/json": ".json",
    "application/msword": ".doc",
    "application/pdf": ".pdf",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.ms-powerpoint": ".ppt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/x-7z-compressed": ".7z",
    "application/x-bzip2": ".bz2",
    "application/x-rar-compressed": ".rar",
    "application/x-tar": ".tar",
    "application/xml": ".xml",
    "application/zip": ".zip",
    "audio/aac": ".aac",
    "audio/flac": ".flac",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/wav": ".wav",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "image/jpeg": ".jpeg .jpg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "image/webp": ".webp",
    "image/x-icon": ".ico",
    "text/css": ".css",
    "text/csv": ".csv",
    "text/html": ".htm .html",
    "text/markdown": ".markdown .md",
    "text/plain": ".cfg .conf .env .gitattributes .gitignore .ini .log .properties .txt",
    "text/sql": ".sql",
    "text/typescript": ".ts",
    "text/x-c++": ".c++ .cc .cpp .cxx",
    "text/x-c-header": ".h .hpp",
    "text/x-c": ".c",
    "text/x-dockerfile": ".dockerfile",
    "text/x-go": ".go",
    "text/x-java": ".java",
    "text/x-kotlin": ".kt",
    "text/x-perl": ".pl",
    "text/x-php": ".php",
    "text/x-python": ".py",
    "text/x-ruby": ".rb",
    "text/x-rust": ".rs",
    "text/x-scala": ".scala",
    "text/x-shellscript": ".bash .fish .sh .zsh",
    "text/x-swift": ".swift",
    "text/yaml": ".yaml .yml",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "video/x-flv": ".flv",
    "video/x-ms-wmv": ".wmv",
    "video/x-msvideo": ".avi",
}
_GLOBS_FILES: Final = (Path("/usr/local/share/mime/globs2"), Path("/usr/share/mime/globs2"))
_TYPE_FILES: Final = (
    Path("/etc/mime.types"),
    Path("/etc/apache2/mime.types"),
    Path("/etc/apache/mime.types"),
    Path("/etc/httpd/conf/mime.types"),
)


class MimeTable:
    """Extension -> type; extensions start with a dot."""

    def __init__(
        self,
        globs_files: Iterable[Path] = _GLOBS_FILES,
        type_files: Iterable[Path] = _TYPE_FILES,
    ) -> None:
        """Build the three layers; unreadable files are as if they were not there."""
        self._exact: dict[str, str] = {}
        self._lower: dict[str, str] = {}
        self._add_table(_GO_BUILT_IN)
        self._add_table(_REGISTERED)
        if not any(self._load_globs(path) for path in globs_files):
            for path in type_files:
                self._load_types(path)
        self._add_table(_REGISTERED)

    def type_by_extension(self, extension: str) -> str:
        """Type of ``.ext``, exact case first; empty when unknown."""
        found = self._exact.get(extension)
        return self._lower.get(extension.lower(), "") if found is None else found

    def items(self, *, lower: bool) -> Iterable[tuple[str, str]]:
        """All (extension, type) pairs of one table, for the fast read's copy."""
        return (self._lower if lower else self._exact).items()

    def _add_table(self, table: dict[str, str]) -> None:
        for kind, extensions in table.items():
            for extension in extensions.split():
                self._add(extension, kind)

    def _add(self, extension: str, kind: str) -> None:
        try:
            base, parameters = parse_media_type(kind)
        except InvalidRequestError:
            return
        if kind.startswith("text/") and not parameters.get("charset"):
            parameters = {**parameters, "charset": "utf-8"}
            kind = "; ".join((base, *(f"{name}={parameters[name]}" for name in sorted(parameters))))
        self._exact[extension] = kind
        self._lower[extension.lower()] = kind

    def _load_globs(self, path: Path) -> bool:
        """Read a shared-mime-info ``globs2``: the first line of an extension counts."""
        lines = _lines(path)
        if lines is None:
            return False
        for line in lines:
            fields = line.split(":")
            if len(fields) < 3 or not fields[0] or fields[0].startswith("#"):
                continue
            glob = fields[2]
            extension = glob[1:]
            if not glob.startswith("*.") or len(glob) < 3 or set(extension) & set("?*["):
                continue
            if extension not in self._exact:
                self._add(extension, fields[1])
        return True

    def _load_types(self, path: Path) -> None:
        """Read an Apache ``mime.types``: the last line of an extension counts."""
        for line in _lines(path) or ():
            fields = line.split()
            if len(fields) < 2 or fields[0].startswith("#"):
                continue
            for extension in fields[1:]:
                if extension.startswith("#"):
                    break
                self._add(f".{extension}", fields[0])


def _lines(path: Path) -> list[str] | None:
    try:
        return path.read_text("utf-8", "surrogateescape").split("\n")
    except OSError:
        return None


@cache
def system_table() -> MimeTable:
    """The table of this host."""
    return MimeTable()


def type_by_extension(extension: str) -> str:
    """Type of ``.ext`` on this host; empty when unknown."""
    return system_table().type_by_extension(extension)
