"""What generative models are used for: filling in, adding rows to rare classes, classifying. Each beside its peer.

``imputation``: diabetes, breast cancer and digits of scikit-learn, of which 30 % of the entries are taken away at
random, by ``default_rng(seed)``. GenerativeImputer as it comes, with a probabilistic PCA and, with ``--selected``, with
a model that cross-validated likelihood chooses, which counts in the time; scikit-learn's IterativeImputer and means.
Root mean squared error of what was taken away, in standard deviations of the column; CPU seconds of fit and transform,
in rounds that alternate; the share of what was taken away that lies between the 5th and the 95th of 99 draws, of which
90 % should.

``oversampling``: the five sets of the folder ``SKGEN_DATA``/adbench with the smallest share of anomalies, cut into
stratified folds. Average precision of one classifier, gradient boosting as it comes, on the test rows of each fold,
trained on the training rows alone, with the rare class brought to the size of the other by GenerativeOverSampler as it
comes, by interpolation between a row and one of its five nearest neighbours (SMOTE), and by repetition. The default of
GenerativeOverSampler was chosen on other sets.

``classification``: digits, five stratified folds (``random_state=0``); GenerativeClassifier with a mixture for each
class, whose number of components and variance floor are chosen in three folds of the training rows; the same as it
comes, scikit-learn's quadratic discriminant analysis with its shrinkage chosen likewise, and a support vector machine
as it comes.

Differences are paired, by seed and fold, with their standard errors.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from _timing import machine
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 makes the next line work
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skgen import GaussianMixture, ProbabilisticPCA
from skgen.meta import DensitySelector, GenerativeClassifier, GenerativeImputer, GenerativeOverSampler


def mean_and_error(values):
    values = np.asarray(values, dtype=float)
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")


def report(title, found, ours, form="{:.4f}"):
    """Print means, and paired differences to one side."""
    print(f"\n{title}")
    for name, values in found.items():
        mean, _ = mean_and_error(values)
        difference, error = mean_and_error(np.subtract(found[ours], values))
        beside = "" if name == ours else f"   {ours} less this: {form.format(difference)} ({form.format(error)})"
        print(f"  {name:34s} {form.format(mean)}{beside}", flush=True)


# -- imputation ----------------------------------------------------------------------------------------------

TABLES = {"diabetes": load_diabetes, "breast cancer": load_breast_cancer, "digits": load_digits}
DEFAULT = "GenerativeImputer"


def scaled(estimator):
    return make_pipeline(StandardScaler(), estimator)


def selected(seed):
    """Mixtures of one to three components, and factors, by the likelihood of held-out rows."""
    mixtures = [scaled(GaussianMixture(k, reg_covar=1e-3, tol=0.3, random_state=seed)) for k in (1, 2, 3)]
    return DensitySelector([*mixtures, scaled(ProbabilisticPCA("ard"))], cv=3, random_state=seed)


def imputers(seed, *, slow):
    sides = {
        DEFAULT: GenerativeImputer(random_state=seed),
        "the same, ProbabilisticPCA('ard')": GenerativeImputer(
            scaled(ProbabilisticPCA("ard", tol=1e-3)), random_state=seed
        ),
        "IterativeImputer": IterativeImputer(random_state=seed),
        "means": SimpleImputer(),
    }
    return sides | ({"the same, selected": GenerativeImputer(selected(seed), random_state=seed)} if slow else {})


def coverage(imputer, X, holes, missing):
    ends = np.sort(imputer.draw(holes, 99), axis=0)[[4, 94]]
    return ((ends[0] <= X) & (ends[1] >= X))[missing].mean()


def imputation(options):
    for table, load in TABLES.items():
        X = load().data
        scale = np.where(X.std(axis=0) > 0, X.std(axis=0), 1)
        errors, seconds, covered = {}, {}, {}
        for seed in range(options.seeds):
            missing = np.random.default_rng(seed).random(X.shape) < 0.3
            holes = np.where(missing, np.nan, X)
            for name, imputer in imputers(seed, slow=options.selected).items():
                start = time.process_time()
                filled = imputer.fit_transform(holes)
                seconds.setdefault(name, []).append(time.process_time() - start)
                error = np.sqrt(np.mean(((filled - X) / scale)[missing] ** 2))
                errors.setdefault(name, []).append(error)
                if isinstance(imputer, GenerativeImputer):
                    covered.setdefault(name, []).append(coverage(imputer, X, holes, missing))
        report(f"{table} {X.shape}, {options.seeds} seeds: error in standard deviations", errors, DEFAULT)
        print("  CPU seconds, median, and median of the paired ratios to IterativeImputer")
        for name, values in seconds.items():
            ratio = np.median(np.divide(seconds["IterativeImputer"], values))
            print(f"  {name:34s} {np.median(values):8.3f}  {ratio:6.2f} times faster", flush=True)
        for name, values in covered.items():
            mean, error = mean_and_error(values)
            print(f"  {name:34s} intervals of 90 % cover {100 * mean:.1f} % ({100 * error:.1f})", flush=True)


# -- oversampling --------------------------------------------------------------------------------------------


def imbalanced(n_sets):
    """The sets of smallest share of anomalies, by name."""
    folder = Path(os.environ.get("SKGEN_DATA", ".")) / "adbench"
    tables = {}
    for path in folder.glob("*.npz"):
        with np.load(path) as data:
            tables[path.stem.split("_", 1)[1]] = data["X"].astype(np.float64), data["y"].astype(int)
    return dict(sorted(tables.items(), key=lambda each: each[1][1].mean())[:n_sets])


def interpolated(rows, n_new, random):
    """Rows on the segments from rows to their neighbours."""
    n_neighbors = min(5, len(rows) - 1)
    neighbors = NearestNeighbors(n_neighbors=n_neighbors).fit(rows).kneighbors(return_distance=False)
    start = random.integers(len(rows), size=n_new)
    end = neighbors[start, random.integers(n_neighbors, size=n_new)]
    return rows[start] + random.random((n_new, 1)) * (rows[end] - rows[start])


def rare_density(n_rows, seed):
    """Mixtures from one component to one for every other row, by the likelihood of held-out rows."""
    settings = {"reg_covar": 1e-2, "random_state": seed}
    counts = [k for k in (1, 2, 5, 10, 20, 50, 100) if 2 * k <= n_rows]
    structures = [(structure, k) for k in counts for structure in ("full", "diag", "tied_spherical")]
    candidates = [GaussianMixture(k, covariance_type=structure, **settings) for structure, k in structures]
    return DensitySelector(candidates, cv=3, random_state=seed)


def enlarged(X, y, seed):
    """Training rows of each side."""
    random, rare = np.random.default_rng(seed), X[y == 1]
    n_new = int((y == 0).sum() - (y == 1).sum())
    ones = np.append(y, np.ones(n_new, dtype=int))
    return {
        "GenerativeOverSampler": GenerativeOverSampler(random_state=seed).fit_resample(X, y),
        "the same, selected": GenerativeOverSampler(rare_density(len(rare), seed), random_state=seed).fit_resample(
            X, y
        ),
        "interpolation": (np.vstack([X, interpolated(rare, n_new, random)]), ones),
        "repetition": (np.vstack([X, rare[random.integers(len(rare), size=n_new)]]), ones),
        "nothing": (X, y),
    }


def oversampling(options):
    together = {}
    for table, (X, y) in imbalanced(5).items():
        found = {}
        for seed in range(options.seeds):
            folds = StratifiedKFold(options.folds, shuffle=True, random_state=seed)
            for train, test in folds.split(X, y):
                scaler = StandardScaler().fit(X[train])
                for name, (rows, classes) in enlarged(scaler.transform(X[train]), y[train], seed).items():
                    model = HistGradientBoostingClassifier(random_state=seed).fit(rows, classes)
                    score = model.predict_proba(scaler.transform(X[test]))[:, 1]
                    found.setdefault(name, []).append(average_precision_score(y[test], score))
        title = f"{table} {X.shape}, {100 * y.mean():.1f} % rare, {options.seeds} seeds, {options.folds} folds"
        report(f"{title}: average precision", found, "GenerativeOverSampler")
        for name, values in found.items():
            together.setdefault(name, []).append(np.mean(values))
    if together:
        report("the five sets, one value for each: average precision", together, "GenerativeOverSampler")
    else:
        print("\noversampling: no sets in the folder SKGEN_DATA/adbench", flush=True)


# -- classification ------------------------------------------------------------------------------------------

CHOSEN = "GenerativeClassifier, chosen"


def classifiers():
    inner = StratifiedKFold(3, shuffle=True, random_state=0)
    mixture = GenerativeClassifier(GaussianMixture(random_state=0))
    grid = {"estimator__n_components": [1, 2, 3, 4], "estimator__reg_covar": [0.1, 0.3, 1.0, 3.0, 10.0]}
    shrinkage = {"reg_param": [0.001, 0.01, 0.03, 0.1, 0.3]}
    return {
        CHOSEN: GridSearchCV(mixture, grid, cv=inner),
        "GenerativeClassifier": GenerativeClassifier(),
        "quadratic discriminants, chosen": GridSearchCV(QuadraticDiscriminantAnalysis(), shrinkage, cv=inner),
        "support vectors": SVC(),
    }


def classification(options):
    X, y = load_digits(return_X_y=True)
    found = {}
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(X, y):
        for name, model in classifiers().items():
            found.setdefault(name, []).append(model.fit(X[train], y[train]).score(X[test], y[test]))
            print(f"{name}: {found[name][-1]:.4f} {getattr(model, 'best_params_', '')}", flush=True)
    report("digits, five folds: accuracy", found, CHOSEN)


PARTS = {"imputation": imputation, "oversampling": oversampling, "classification": classification}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5, help="of oversampling")
    parser.add_argument("--selected", action="store_true", help="impute by a selected model as well")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    print(machine(), flush=True)
    for part in options.parts:
        start = time.process_time()
        PARTS[part](options)
        print(f"{part}: {(time.process_time() - start) / 60:.1f} minutes of CPU", flush=True)


if __name__ == "__main__":
    main()
