"""The label-powered estimators beside ppi-python 0.2.3 and glide-py 0.11.0 on the same seeded data.

    python -m venv peers && peers/bin/pip install ppi-python==0.2.3 glide-py==0.11.0   # Python >= 3.12
    peers/bin/python studies/labelled_peers.py        # the peers' numbers
    python studies/labelled_peers.py                  # ours and the largest difference

The data is made by the standard library, so that both interpreters see the same numbers. The peers speak of endless
traffic, so ours run with `finite=False`. Result: studies/results/labelled_peers.json.
"""

import json
import random
from importlib.metadata import version
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / "results" / "labelled_peers.json"


def data() -> dict[str, np.ndarray]:
    rng = random.Random(20261125)
    p = [rng.betavariate(3, 1.5) for _ in range(400)]
    truth = [float(rng.random() < x) for x in p]
    drawn = [rng.random() for _ in p]
    p, truth, drawn = np.array(p), np.array(truth), np.array(drawn)
    inclusion = 0.05 + 0.5 * np.sqrt(p * (1 - p))
    return {
        "p": p,
        "first": np.where(np.arange(400) < 80, truth, np.nan),
        "inclusion": inclusion,
        "active": np.where(drawn < inclusion, truth, np.nan),
        "clusters": np.arange(400) // 4,
    }


def peers() -> dict:
    import ppi_py
    from glide.estimators import ASIMeanEstimator, ClusteredClassicalMeanEstimator, PPIMeanEstimator

    d = data()
    y, f, rest = d["first"][:80], d["p"][:80], d["p"][80:]
    ppi = PPIMeanEstimator().estimate(d["first"], d["p"])
    asi = ASIMeanEstimator().estimate(d["active"], d["p"], d["inclusion"])
    clustered = ClusteredClassicalMeanEstimator().estimate(d["first"][:80], d["clusters"][:80])
    return {
        "ppi_py.ppi_mean_pointestimate": float(np.squeeze(ppi_py.ppi_mean_pointestimate(y, f, rest))),
        "ppi_py.ppi_mean_ci": [float(np.squeeze(end)) for end in ppi_py.ppi_mean_ci(y, f, rest, alpha=0.05)],
        "glide PPIMeanEstimator": [ppi.mean, ppi.std],
        "glide ASIMeanEstimator": [asi.mean, asi.std],
        "glide ClusteredClassicalMeanEstimator": [clustered.mean, clustered.std],
        "versions": {name: version(name) for name in ("ppi-python", "glide-py", "numpy")},
    }


def ours() -> dict:
    from nilometer.estimators import labelled_mean, ppi_mean, weighted_mean

    d = data()
    tuned = ppi_mean(d["first"], d["p"], finite=False)
    ppi = ppi_mean(d["first"], d["p"], finite=False, weight=tuned.weight)
    active = weighted_mean(d["active"], d["p"], d["inclusion"], finite=False)
    clustered = labelled_mean(d["first"][:80], clusters=d["clusters"][:80], finite=False)
    return {
        "ppi_mean, a degree of freedom for the weight": [tuned.accuracy, tuned.standard_error, tuned.weight],
        "ppi_mean, weight fixed": [ppi.accuracy, ppi.standard_error, ppi.weight],
        "weighted_mean": [active.accuracy, active.standard_error, active.weight],
        "labelled_mean, clustered": [clustered.accuracy, clustered.standard_error],
        "version": version("nilometer"),
    }


def main() -> None:
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    try:
        import ppi_py  # noqa: F401
    except ImportError:
        result["ours"] = ours()
    else:
        result["peers"] = peers()
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
