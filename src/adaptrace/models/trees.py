"""Gradient-boosted trees: grown by LightGBM, kept as arrays, so that only a fit needs that package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptrace.errors import ModelError
from adaptrace.kernels import parallel
from adaptrace.kernels.trees import LEAF, Trees
from adaptrace.models import content as read

FloatArray = NDArray[np.float64]

MOST, MOST_LEAVES = 2**31 - 1, 2**17  # of LightGBM's whole numbers, and of the leaves of a tree
PATIENCE = 20  # trees without a gain on students not seen, after which no more are tried
WHOLE = ("start", "column", "left", "right")
FIXED = {  # LightGBM's parameters (Ke et al., 2017): the same trees for any number of threads
    "objective": "cross_entropy",
    "boost_from_average": False,
    "use_missing": False,
    "lambda_l2": 10.0,
    "feature_fraction": 0.5,
    "max_bin": 127,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}

NO_TREES = Trees(np.zeros(1, np.int64), *(np.zeros(0, kind) for kind in (np.int64, float, np.int64, np.int64, float)))


@dataclass(frozen=True)
class Grower:
    """How trees are grown.

    Attributes
    ----------
    rounds
        Trees, at most.
    rate
        The share of what a tree finds that is added.
    leaves
        Of a tree, at most.
    least
        Responses of a leaf, at least.
    seed
        Draws the inputs that each tree looks at.
    """

    rounds: int
    rate: float
    leaves: int
    least: int
    seed: int

    @property
    def parameters(self) -> dict[str, Any]:
        """As LightGBM names them."""
        sizes = {"learning_rate": self.rate, "num_leaves": self.leaves, "min_data_in_leaf": self.least}
        return {**FIXED, **sizes, "seed": self.seed, "num_threads": parallel.cores()}

    def enough(self, inputs: FloatArray, logit: FloatArray, correct: FloatArray, seen: NDArray[np.bool_]) -> int:
        """How many trees, grown on the rows that are seen, predict the other rows best; 0 if none helps."""
        if not self.rounds:
            return 0
        package = lightgbm()
        curve: dict[str, dict[str, list[float]]] = {}
        train, other = (package.Dataset(inputs[rows], correct[rows], init_score=logit[rows]) for rows in (seen, ~seen))
        package.train(
            self.parameters,
            train,
            self.rounds,
            valid_sets=[other.set_reference(train)],
            callbacks=[package.record_evaluation(curve), package.early_stopping(PATIENCE, verbose=False)],
        )
        (losses,) = curve["valid_0"].values()
        before = float((np.logaddexp(0.0, logit[~seen]) - correct[~seen] * logit[~seen]).mean())
        return int(np.argmin([before, *losses]))

    def grow(self, inputs: FloatArray, logit: FloatArray, correct: FloatArray, rounds: int) -> Trees:
        """So many trees, each grown on what the logit and those before it leave."""
        if not rounds:
            return NO_TREES
        package = lightgbm()
        data = package.Dataset(inputs, correct, init_score=logit)
        return trees_of(package.train(self.parameters, data, rounds).dump_model()["tree_info"])


def lightgbm() -> Any:
    """The package ``lightgbm``, imported where used."""
    try:
        import lightgbm
    except ImportError as error:
        raise ModelError(
            'the fit of Boosted needs the package lightgbm, which is not installed; pip install "adaptrace[boost]"'
        ) from error
    return lightgbm


def trees_of(found: list[dict[str, Any]]) -> Trees:
    """Trees as LightGBM describes them."""
    start, nodes = [0], list[list[Any]]()
    for tree in found:
        _add(tree["tree_structure"], nodes)
        start.append(len(nodes))
    columns = zip(*nodes, strict=True) if nodes else [()] * 5
    kinds = (np.int64, float, np.int64, np.int64, float)
    return Trees(np.array(start), *(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def _add(node: Mapping[str, Any], nodes: list[list[Any]]) -> int:
    """Add a node and what hangs from it; return its place."""
    place = len(nodes)
    nodes.append([LEAF, 0.0, LEAF, LEAF, float(node.get("leaf_value", 0.0))])
    if "split_feature" in node:
        left, right = _add(node["left_child"], nodes), _add(node["right_child"], nodes)
        nodes[place] = [node["split_feature"], float(node["threshold"]), left, right, 0.0]
    return place


def trees_to_dict(trees: Trees) -> dict[str, Any]:
    """Trees as plain data, exact to the last bit."""
    return {name: part.tolist() for name, part in trees._asdict().items()}


def trees_from_dict(content: Mapping[str, Any], inputs: int) -> Trees:
    """The trees that :func:`trees_to_dict` described, if they are trees over so many inputs."""
    parts = {name: _part(content, name) for name in Trees._fields}
    trees = Trees(**parts)
    nodes = len(trees.column)
    if any(len(part) != nodes for name, part in parts.items() if name != "start"):
        raise ValueError("trees: expected a column, threshold, left, right and value of every node")
    if trees.start[:1].tolist() != [0] or trees.start[-1] != nodes or (np.diff(trees.start) < 1).any():
        raise ValueError("trees: expected the first node of every tree, in order, and the end")
    if ((trees.column < LEAF) | (trees.column >= inputs)).any():
        raise ValueError(f"trees: expected inputs below {inputs}, or {LEAF} for a leaf")
    _check_children(trees)
    return trees


def _part(content: Mapping[str, Any], name: str) -> NDArray[Any]:
    found = content[name]
    if not isinstance(found, list):
        raise ValueError(f"trees: {name}: expected a list")
    read.check_all(found, f"trees: {name}", -read.MOST, read.MOST, whole=name in WHOLE)
    return np.array(found, np.int64 if name in WHOLE else float)


def _check_children(trees: Trees) -> None:
    """Refuse nodes that are not each below exactly one other of their tree, which stands before them: no walk would end."""
    split = np.flatnonzero(trees.column != LEAF)
    child, parent = np.concatenate([trees.left[split], trees.right[split]]), np.concatenate([split, split])
    tree = np.searchsorted(trees.start, np.arange(len(trees.column)), side="right")
    inner = np.setdiff1d(np.arange(len(trees.column)), trees.start)
    below = np.sort(child).tolist() == inner.tolist()
    if not below or (child <= parent).any() or (tree[child] != tree[parent]).any():
        raise ValueError("trees: expected every node but the first below exactly one other of its tree, which stands before it")
