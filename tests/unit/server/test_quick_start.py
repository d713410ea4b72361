"""What a start leaves for later, because many servers never need it."""

import subprocess
import sys


def test_a_start_imports_nothing_that_only_scrapes_pictures_and_peers_need() -> None:
    look = "import sys, fastvol.server.lifecycle; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, check=True, text=True)
    late = {"prometheus_client", "PIL", "aiohttp"}
    assert late.isdisjoint(found.stdout.split())
