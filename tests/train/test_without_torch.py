"""What one reads where PyTorch is not installed."""

import subprocess
import sys


def test_the_way_out() -> None:
    code = "import sys; sys.modules['torch'] = None; import sparnn.train"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode
    assert "pip install 'sparnn[train]'" in done.stderr.splitlines()[-1]
