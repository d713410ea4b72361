"""What a read with size parameters asks for, and what it gets."""

from __future__ import annotations

import threading

import pytest
from image_kit import encoded, gradient, opened, pictures, png_claiming
from PIL import Image, ImageChops, ImageStat

from fastvol.http import images
from fastvol.http.image_files import PixelBudget
from fastvol.http.image_request import ImageRequest, plan
from fastvol.http.images import transform
from fastvol.http.query import parse_query
from fastvol.log_limiter import LogLimiter


def asked(query: str, ext: str) -> ImageRequest | None:
    return plan(parse_query(query.encode()), ext)


def done(data: bytes, query: str, ext: str) -> bytes:
    request = asked(query, ext)
    assert request is not None
    return transform(data, request)


# --- what is asked ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "width", "height"),
    [
        ("width=30", 30, 0),
        ("height=10&width=0", 0, 10),
        ("width=%2B30", 30, 0),
        ("width=030", 30, 0),
        ("width=abc&height=10", 0, 10),
        ("width=-5&height=10", -5, 10),
        ("width=99999999999999999999", 2**63 - 1, 0),
        ("width=-99999999999999999999&height=1", -(2**63), 1),
        ("width=5&width=30", 5, 0),
    ],
)
def test_sizes_are_read_as_go_reads_numbers(query: str, width: int, height: int) -> None:
    request = asked(query, ".png")
    assert request is not None
    assert (request.width, request.height, request.resize) == (width, height, True)


@pytest.mark.parametrize(
    "query",
    [
        "", "width=", "width=0&height=0", "width=30.5", "width=3_0", "width=%2030", "Width=30",
        "width=-1", "mode=fit", "crop_x2=20", "crop_x1=10&crop_x2=10&crop_y2=20",
        "crop_x1=-1&crop_x2=20&crop_y2=10", "crop_y1=11&crop_x2=20&crop_y2=10",
    ],
)  # fmt: skip
def test_nothing_is_asked(query: str) -> None:
    assert asked(query, ".png") is None


@pytest.mark.parametrize("ext", ["", ".PNG", ".jpe", ".bmp", ".tiff", ".svg", "png"])
def test_other_extensions_are_never_touched(ext: str) -> None:
    assert asked("width=30&crop_x2=20&crop_y2=10", ext) is None


def test_webp_is_resized_but_not_cropped() -> None:
    assert asked("crop_x2=20&crop_y2=10", ".webp") is None
    request = asked("crop_x2=20&crop_y2=10&width=30", ".webp")
    assert request is not None and request.crop is None


# --- what is done -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("width=30", (30, 20)),
        ("height=10", (15, 10)),
        ("width=30&height=30", (30, 30)),
        ("width=30&height=10", (30, 10)),
        ("width=100&height=20", (100, 20)),
        ("width=30&height=30&mode=fit", (30, 20)),
        ("width=30&height=30&mode=fill", (30, 30)),
        ("crop_x1=5&crop_y1=5&crop_x2=25&crop_y2=15", (20, 10)),
        ("crop_x1=10&crop_y1=10&crop_x2=50&crop_y2=30&width=10", (10, 5)),
        ("crop_x2=61&crop_y2=40&width=10", (10, 7)),
    ],
)
@pytest.mark.parametrize("ext", [".png", ".jpg", ".gif"])
def test_sizes(query: str, size: tuple[int, int], ext: str) -> None:
    image = opened(done(pictures()["png"], query, ext))
    assert image.size == size
    assert image.format == {".png": "PNG", ".jpg": "JPEG", ".gif": "GIF"}[ext]


@pytest.mark.parametrize("query", ["width=100&height=100", "width=60", "crop_x2=61&crop_y2=40"])
def test_nothing_is_enlarged(query: str) -> None:
    data = pictures()["jpeg"]
    assert done(data, query, ".jpg") is data


@pytest.mark.parametrize("query", ["width=30&mode=fit", "height=10&mode=fill", "width=-5&height=9"])
@pytest.mark.parametrize("ext", [".png", ".jpg", ".gif", ".webp"])
def test_a_size_without_sense_gives_nothing(query: str, ext: str) -> None:
    assert done(pictures()["png"], query, ext) == b""


def test_a_webp_becomes_a_png() -> None:
    assert opened(done(pictures()["webp"], "width=30", ".webp")).format == "PNG"


@pytest.mark.parametrize("name", sorted(pictures()))
def test_the_picture_stays_the_same_picture(name: str) -> None:
    """Whatever the form: the middle of the result looks like the middle of the source."""
    data = pictures()[name]
    result = done(data, "width=30", ".png")
    if result == data:
        return
    if name == "webp but 1":
        data += bytes(1)  # the padding
    source, image = opened(data), opened(result)
    if name == "gif on a canvas":
        source = source.crop((10, 5, 70, 45))
    if name == "gray 16 bit":
        source = source.convert("I").point(lambda value: value / 257).convert("L")
    expected = source.convert("RGBA").resize(image.size, Image.Resampling.BOX).convert("RGB")
    difference = ImageChops.difference(expected, image.convert("RGBA").convert("RGB"))
    assert max(ImageStat.Stat(difference.crop((8, 5, 22, 15))).mean) < 20
    assert image.mode in ("RGB", "RGBA") and "icc_profile" not in image.info


def test_a_large_jpeg_is_decoded_small_with_the_same_result() -> None:
    """Draft decoding halves the work per axis; what comes out must lie exactly where it lay."""
    large = gradient((1200, 800))
    jpeg = encoded(large, "JPEG", quality=95)
    for query in ("width=60", "width=50&height=50", "width=70&height=30&mode=fill"):
        image = opened(done(jpeg, query, ".png"))
        plain = opened(done(encoded(large, "PNG"), query, ".png"))
        assert image.size == plain.size
        assert max(ImageStat.Stat(ImageChops.difference(image, plain)).mean) < 2


def test_the_first_of_several_pictures_in_a_jpeg_file_is_shown() -> None:
    """Phones append a second picture, with a directory that says so."""
    pair = encoded(gradient(), "MPO", save_all=True, append_images=[gradient().rotate(180)])
    image = opened(done(pair, "width=30", ".jpg"))
    assert (image.format, image.size) == ("JPEG", (30, 20))


def test_transparency_becomes_black_where_there_is_none() -> None:
    clear = encoded(Image.new("RGBA", (60, 40), (255, 255, 255, 0)), "PNG")
    for ext in (".jpg", ".gif"):
        assert opened(done(clear, "width=30", ext)).convert("RGB").getextrema() == ((0, 0),) * 3
    assert opened(done(clear, "width=30", ".png")).mode == "RGBA"


def test_of_a_film_the_first_picture_is_shown() -> None:
    for name in ("film gif", "film png"):
        image = opened(done(pictures()[name], "width=30", ".png")).convert("RGB")
        first, last = image.getpixel((1, 1)), image.getpixel((28, 18))
        assert isinstance(first, tuple) and isinstance(last, tuple)
        assert first[0] < 60 and last[0] > 180


def test_a_crop_of_a_small_frame_is_cut_to_the_frame() -> None:
    canvas = pictures()["gif on a canvas"]
    query = "crop_x1=5&crop_y1=5&crop_x2=25&crop_y2=15"
    assert opened(done(canvas, query, ".png")).size == (15, 10)
    assert done(canvas, "crop_x2=5&crop_y2=5", ".png") == b""


def test_sides_that_a_format_cannot_have_give_nothing() -> None:
    assert done(pictures()["png"], "width=70000&height=10", ".jpg") == b""
    assert opened(done(pictures()["png"], "width=70000&height=10", ".png")).size == (70000, 10)


# --- bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["windows icon", "portable pixmap", "no image"])
def test_no_other_decoder_is_ever_used(name: str) -> None:
    data = pictures()[name]
    assert done(data, "width=30", ".png") is data


TRUNCATED = [
    name
    for name in pictures()
    if ("half" in name or "but" in name) and name not in ("gif but 1", "webp but 1")
]


@pytest.mark.parametrize("name", TRUNCATED)
def test_a_truncated_picture_is_shown_as_it_is(name: str) -> None:
    data = pictures()[name]
    assert done(data, "width=30", ".png") is data


def test_a_small_file_that_claims_to_be_large_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(images, "limited", LogLimiter(images.log))
    monkeypatch.setattr(PixelBudget, "take", lambda *_: pytest.fail("decodes"))
    claims = [png_claiming(40_000, 4_000), png_claiming(60_000, 60_000)]
    for name in ("webp", "webp lossy", "webp alpha"):
        data = bytearray(pictures()[name])
        at = {b"VP8 ": 26, b"VP8L": 21, b"VP8X": 24}[bytes(data[12:16])]
        data[at : at + 6] = b"\xff\xff\xff\xff\xff\xff" if at == 24 else b"\xff\x3f\xff\x3f??"
        claims.append(bytes(data))
    for data in claims:
        assert done(data, "width=30", ".png") is data
    assert caplog.text.count("shown as it is") == 1  # once for many


def test_a_result_that_would_be_too_large_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pictures()["png"]
    monkeypatch.setattr(PixelBudget, "take", lambda *_: pytest.fail("decodes"))
    assert done(data, "width=99999999999999999999&height=10", ".png") is data
    assert done(data, "width=20000000&height=10", ".png") is data


def test_so_many_pixels_at_a_time_and_no_more() -> None:
    budget = PixelBudget(100)
    entered, leave = threading.Event(), threading.Event()

    def second() -> None:
        with budget.take(60):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=second)
    with budget.take(60):
        with budget.take(40):
            thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(10)
    leave.set()
    thread.join(10)
    with budget.take(1000):
        pass
