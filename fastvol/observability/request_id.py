"""Request ids: every response carries one, and it travels to peers.

Upper-case hex of the time in nanoseconds, then eight random hex digits
(``weed/util/request_id/request_id.go: New``). A client's own id is never taken over.
"""

import os
import random
import time

# Ids need to be distinct, not secret, so one seed from the system is enough.
_random = random.Random(os.urandom(16))  # noqa: S311


def new_request_id() -> str:
    """For example ``18EA4DF6694185D920616E23``."""
    return f"{time.time_ns():X}{_random.getrandbits(32):08X}"


def _reseed() -> None:
    _random.seed(os.urandom(16))


os.register_at_fork(after_in_child=_reseed)
