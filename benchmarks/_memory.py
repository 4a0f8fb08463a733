"""Memory of a process as Linux counts it. MB are 10^6 bytes."""

import json
import subprocess
import sys
import time
from pathlib import Path

MB = 1e6


def status(name, pid="self"):
    """A field of /proc/PID/status in MB, 0 once the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) * 1024 / MB for line in lines if line.startswith(f"{name}:")), 0.0)


def reset_peak():
    """Forget the peak so far, which importing may have raised above what stays resident."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def watched(script, case):
    """What ``script --case CASE`` prints last, as JSON, and the growth of its anonymous memory after its first line.

    The first line says that imports are done.
    """
    command = [sys.executable, script, "--case", json.dumps(case)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    before = peak = status("RssAnon", process.pid)
    while process.poll() is None:
        peak = max(peak, status("RssAnon", process.pid))
        time.sleep(0.005)
    lines = process.stdout.read().splitlines()
    if process.returncode:
        sys.exit(f"{case}: {process.stderr.read()}")
    return json.loads(lines[-1]) | {"anonymous": peak - before}
