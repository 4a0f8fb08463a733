"""Peak memory of fit on 60000 x 784 float32 rows: the data plus at most 400 MB over the imports.

Each case runs in a process of its own. Its peak is the largest resident size that the kernel recorded (VmHWM), reset
after the imports where that is allowed. Cached pages of a memory-mapped file count in it, although the kernel can drop
them at any moment; so the anonymous part, which fit itself asked for, is sampled as well, every 5 ms. A memory map is
fitted a second time with twice the rows: what the anonymous part grows by, as a share of the added data, is 0 when
nothing is copied and 1 for a copy of the whole array. MB are 10^6 bytes. Needs Linux.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from _memory import MB, reset_peak, status, watched

N_ROWS, N_FEATURES = 60_000, 784
ALLOWED = 400
CASES = {
    "array, bernoulli": {"likelihood": "bernoulli"},
    "array, gaussian": {"likelihood": "gaussian"},
    "array, bernoulli, early stopping": {"likelihood": "bernoulli", "early_stopping": True},
    "memmap, bernoulli": {"likelihood": "bernoulli", "mapped": True},
    "memmap, gaussian": {"likelihood": "gaussian", "mapped": True},
    "memmap, bernoulli, early stopping": {"likelihood": "bernoulli", "mapped": True, "early_stopping": True},
}


def rows(n_rows, mapped):
    """Rows in [0, 1) made in place, or the first ones of a read-only map of a file."""
    import numpy as np

    if mapped:
        return np.load(mapped, mmap_mode="r")[:n_rows]
    X = np.empty((n_rows, N_FEATURES), dtype=np.float32)
    np.random.default_rng(0).random(out=X, dtype=np.float32)
    return X


def fit(likelihood, n_rows, mapped=None, early_stopping=False):
    """Fit for one epoch in this process and print the sizes as JSON."""
    import numpy as np
    import sklearn.base  # noqa: F401 its memory counts before the fit
    import torch
    from sklearn.datasets import make_blobs

    from skgen import VariationalAutoencoder

    settings = {"likelihood": likelihood, "hidden_layer_sizes": (400,), "max_iter": 1, "early_stopping": early_stopping}
    few = np.clip(make_blobs(64, 4, random_state=0)[0].astype(np.float32), 0, 1)
    VariationalAutoencoder(2, random_state=0, **settings).fit(few)  # loads what is loaded late
    reset_peak()
    imports = status("VmRSS")
    print(json.dumps({"stage": "imported"}), flush=True)
    X = rows(n_rows, mapped)
    start = time.perf_counter()
    VariationalAutoencoder(20, random_state=0, **settings).fit(X)
    print(
        json.dumps(
            {
                "stage": "fitted",
                "imports": imports,
                "data": X.nbytes / MB,
                "peak": status("VmHWM"),
                "seconds": time.perf_counter() - start,
                "threads": torch.get_num_threads(),
            }
        )
    )


def watch(case, n_rows, path):
    """Run a case in a process; its figures, with the peak of anonymous memory over that of the imports."""
    options = CASES[case] | {"n_rows": n_rows} | ({"mapped": str(path)} if CASES[case].get("mapped") else {})
    return watched(__file__, options)


def write_rows(path, n_rows):
    """Write rows in [0, 1) to a file, block by block."""
    import numpy as np

    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n_rows, N_FEATURES))
    generator = np.random.default_rng(0)
    for start in range(0, n_rows, 10_000):
        file[start : start + 10_000] = generator.random((10_000, N_FEATURES), dtype=np.float32)
    file.flush()


def report(case, path):
    found = watch(case, N_ROWS, path)
    over = found["peak"] - found["imports"] - found["data"]
    line = f"{case:34} {found['imports']:7.0f} {found['data']:6.0f} {found['peak']:6.0f} {over:8.0f} "
    line += f"{found['anonymous']:11.0f}"
    if CASES[case].get("mapped"):
        twice = watch(case, 2 * N_ROWS, path)
        line += f"{(twice['anonymous'] - found['anonymous']) / (twice['data'] - found['data']):12.2f}"
    print(line + ("" if over <= ALLOWED else "   above the limit"), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        fit(**json.loads(options.case))
        return
    print(f"over = peak - imports - data, limit {ALLOWED}; copied = growth of the anonymous part per added MB of data")
    print("MB                                 imports   data   peak     over   anonymous   copied")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        write_rows(path, 2 * N_ROWS)
        for case in CASES:
            report(case, path)


if __name__ == "__main__":
    main()
