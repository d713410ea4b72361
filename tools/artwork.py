"""Draws the icons in ``fastvol/http/assets``: three platters, the top one with a mark of motion.

python tools/artwork.py [directory]
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

ASSETS = Path(__file__).parent.parent / "fastvol" / "http" / "assets"
BACKGROUND = (13, 94, 107)
PLATTERS = ((126, 211, 199), (176, 231, 218), (236, 252, 247))
MARK = (13, 94, 107)
FINE = 16
"""Drawn so many times larger, for smooth edges."""
ICON_SIZES = ((16, 16), (32, 32), (48, 48))


def icon(side: int) -> Image.Image:
    """The icon, ``side`` pixels square."""
    scale = side * FINE / 50
    image = Image.new("RGBA", (side * FINE, side * FINE))
    draw = ImageDraw.Draw(image)

    def box(left: float, upper: float, right: float, lower: float) -> tuple[float, ...]:
        return (left * scale, upper * scale, right * scale, lower * scale)

    draw.rounded_rectangle(box(0, 0, 49.9, 49.9), 11 * scale, BACKGROUND)
    for step, color in enumerate(PLATTERS):
        top = 25 - 8 * step
        draw.ellipse(box(8, top + 3, 42, top + 18), BACKGROUND)
        draw.ellipse(box(9, top, 41, top + 15), color)
    points = [(20, 11.5), (30, 16.5), (20, 21.5), (23.5, 16.5)]
    draw.polygon([(x * scale, y * scale) for x, y in points], MARK)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def draw_all(directory: Path) -> None:
    """Writes both files."""
    icon(50).save(directory / "seaweed50x50.png", optimize=True)
    large = icon(ICON_SIZES[-1][0])
    smaller = [icon(side) for side, _ in ICON_SIZES[:-1]]
    large.save(directory / "favicon.ico", sizes=list(ICON_SIZES), append_images=smaller)


if __name__ == "__main__":
    draw_all(Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS)
