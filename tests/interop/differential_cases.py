"""The requests of the differential test, in the order in which they are sent.

The list is the same in every run: what is random comes from a fixed seed.
"""

from __future__ import annotations

import itertools
import random

from differential_protocol import framings, malformed, methods, paths, public_port
from differential_reads import (
    bad_fids,
    conditional_reads,
    deletes,
    range_reads,
    read_shapes,
)
from differential_request import COOKIE, ORDINARY, SEED, Case
from differential_static import static_files
from differential_uploads import (
    encoded_uploads,
    multipart_uploads,
    other_volumes,
    parameters,
    raw_uploads,
    rewrites,
)


def all_cases() -> list[Case]:
    """Everything, in order: later requests read what earlier ones stored."""
    chance = random.Random(SEED)
    fids = (f"{ORDINARY},{key:x}{COOKIE}" for key in itertools.count(0x100))
    return [
        *raw_uploads(fids),
        *multipart_uploads(fids),
        *encoded_uploads(fids),
        *parameters(fids),
        *other_volumes(),
        *rewrites(fids),
        *read_shapes(),
        *range_reads(chance),
        *conditional_reads(chance),
        *bad_fids(),
        *deletes(fids),
        *methods(),
        *public_port(),
        *paths(),
        *malformed(),
        *framings(fids),
        *static_files(),
    ]
