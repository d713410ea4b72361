"""Request ids."""

import re
import time

from fastvol.observability.request_id import new_request_id


def test_form_and_uniqueness() -> None:
    before = time.time_ns()
    ids = [new_request_id() for _ in range(1000)]
    after = time.time_ns()
    assert len(set(ids)) == 1000
    for request_id in ids:
        assert re.fullmatch(r"[0-9A-F]{24}", request_id)
        assert before <= int(request_id[:-8], 16) <= after
