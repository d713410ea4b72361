"""A start that fails late ends with the reason, not in the C core."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from fastvol.cli.main import main
from fastvol.server import lifecycle

def fail(*_, **__):
    raise RuntimeError("the handlers cannot be made")

lifecycle.rpc_handlers = fail
sys.exit(main())
"""


@pytest.mark.parametrize("times", [1, 2])
def test_a_fault_while_it_begins_to_answer_is_told(tmp_path: Path, times: int) -> None:
    for _ in range(times):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, "serve", "-port=0", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "the handlers cannot be made" in done.stderr
        assert done.returncode == 1, done.stderr
