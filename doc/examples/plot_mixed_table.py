"""
A table of mixed columns
========================

Tables hold text, categories, counts and amounts side by side. With ``likelihood="auto"`` a variational autoencoder
takes such a data frame as it is: each column gets a distribution of its own kind, and drawn rows come back as a data
frame with the same columns and dtypes.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skgen import VariationalAutoencoder

# %%
# Customers of a shop
# -------------------
#
# Simulated, so that we know what depends on what: the plan decides on visits and spending, the region on the channel,
# and age on all of it a little.

rng = np.random.default_rng(0)


def customers(n):
    """Rows of customers."""
    age = rng.gamma(9, 4.5, n) + 18
    plan = np.where(rng.random(n) < 1 / (1 + np.exp((age - 55) / 8)), "basic", "premium")
    plan = np.where((plan == "basic") & (rng.random(n) < 0.3), "free", plan)
    region = rng.choice(["north", "south", "west"], n, p=[0.5, 0.3, 0.2])
    online = rng.random(n) < np.select([region == "north", region == "south"], [0.9, 0.4], 0.6)
    mean_visits = pd.Series(plan).map({"free": 0.7, "basic": 2.5, "premium": 7.0}).to_numpy()
    visits = rng.poisson(rng.gamma(3, mean_visits / 3))
    amount = np.exp(rng.normal(1.5 + 0.25 * visits**0.5 + 0.8 * (plan == "premium"), 0.4))
    return pd.DataFrame(
        {
            "plan": pd.Categorical(plan, categories=["free", "basic", "premium"], ordered=True),
            "region": region,
            "online": online,
            "age": age.round().astype(int),
            "visits": visits,
            "log_amount": np.log(amount),
        }
    )


train, test = customers(4000), customers(4000)
train.head()

# %%
# Fit, and look at what was chosen
# --------------------------------

vae = VariationalAutoencoder(
    4, likelihood="auto", hidden_layer_sizes=(64, 64), learning_rate=2e-3, batch_size=256, max_iter=150, random_state=0
).fit(train)
for name, _, columns in vae.likelihood_.parts:
    print(f"{name:18} {columns}")

# %%
# A list says the same by hand, or something else: ``likelihood=[("kinds", "categorical", ["plan", "region", "online"]),
# ("counts", "poisson", "visits"), ("numbers", Gaussian("network"), ["age", "log_amount"])]``. Scores of rows with mixed
# columns are in nats too; they compare between models of the same columns that agree on which of them are counts or
# categories.

print(f"score of new rows: {vae.score(test):.2f} nats per row")
drawn = vae.sample(4000, random_state=0)
drawn.dtypes

# %%
# Each column
# -----------

figure, axes = plt.subplots(2, 3, figsize=(9, 5), layout="constrained")
for ax, column in zip(axes.flat, train, strict=True):
    for i, (label, table) in enumerate({"real": test, "drawn": drawn}.items()):
        values = table[column]
        if column in ("age", "log_amount"):
            edges = np.linspace(test[column].min(), test[column].max(), 30)
            ax.hist(values, bins=edges, histtype="step" if i else "stepfilled", label=label, density=True)
            continue
        known = test[column].cat.categories if column == "plan" else sorted(test[column].unique())[:13]
        shares = [float((values == each).mean()) for each in known]
        ax.bar(np.arange(len(known)) + 0.4 * i - 0.2, shares, 0.4, label=label)
        ax.set_xticks(np.arange(len(known)), [str(each) for each in known], fontsize=8)
    ax.set_title(column)
axes[0, 0].legend()
plt.show()

# %%
# Pairs of columns
# ----------------
#
# Cramer's V of two columns is 0 where they are independent and 1 where one determines the other. Numbers are cut into
# five classes, the same for all three tables. Rows whose columns are shuffled have lost all dependence.


def association(table, cuts):
    """Cramer's V of each pair of columns."""
    codes = {c: np.digitize(table[c], cuts[c]) if c in cuts else pd.Categorical(table[c]).codes for c in table}
    found = np.eye(len(codes))
    for i, one in enumerate(codes.values()):
        for j, other in enumerate(codes.values()):
            if i != j:
                counts = pd.crosstab(one, other).to_numpy()
                expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
                chi2 = ((counts - expected) ** 2 / expected).sum()
                found[i, j] = np.sqrt(chi2 / counts.sum() / (min(counts.shape) - 1))
    return found


cuts = {column: test[column].quantile([0.2, 0.4, 0.6, 0.8]).unique() for column in ("age", "visits", "log_amount")}
shuffled = test.apply(lambda column: column.sample(frac=1, random_state=rng).to_numpy())
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
for ax, (label, table) in zip(axes, {"real": test, "drawn": drawn, "shuffled": shuffled}.items(), strict=True):
    values = association(table, cuts)
    image = ax.imshow(values, vmin=0, vmax=0.8, cmap="viridis")
    ax.set_title(label)
    ax.set_xticks(range(len(train.columns)), train.columns, rotation=60, ha="right")
    ax.set_yticks(range(len(train.columns)), train.columns if ax is axes[0] else [])
    for i, j in np.ndindex(values.shape):
        if i != j:
            ax.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", color="w", fontsize=7)
figure.colorbar(image, ax=axes, label="Cramer's V")
plt.show()

# %%
# What is missing can be asked for
# --------------------------------
#
# Missing values are filled in by the most probable categories and by means, or by draws.

asked = test.head(4).copy()
asked.loc[asked.index[:2], "plan"] = None
asked.loc[asked.index[2:], "region"] = None
vae.impute(asked)
