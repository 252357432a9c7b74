"""How sure the weights of a logistic model are: the curvature of its objective where the fit ended.

    H   = X' W X + diag(penalty),   W = diag(P (1 - P))       the observed information of the penalised fit
    se  = sqrt(diag(H^-1))                                     standard errors
    df  = trace(H^-1 X' W X)                                   how many weights the data alone hold (Gray, 1992, sec. 2)

A response meets the weights of one item and of one student, so their parts of H are made of small blocks. The largest such part
is eliminated first (Schur complement).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from adaptrace.errors import ModelError
from adaptrace.kernels import logistic as kernels
from adaptrace.kernels.logistic import Block, Design

FloatArray = NDArray[np.float64]

WIDE = 2000  # columns that are solved for at a time


class Criteria(NamedTuple):
    """How well a model fits, set against how many weights it has.

    Attributes
    ----------
    responses
        How many.
    log_likelihood
        Natural logarithm, summed over responses, without the penalty; partial credit counts by its share.
    weights
        How many there are.
    effective_weights
        As how many they count: a weight that its penalty holds counts for less than 1.
    aic, bic
        ``2 effective_weights - 2 log_likelihood`` (Akaike, 1974) and ``log(responses) effective_weights - 2 log_likelihood``
        (Schwarz, 1978); lower is better.
    """

    responses: int
    log_likelihood: float
    weights: int
    effective_weights: float
    aic: float
    bic: float

    @classmethod
    def of(cls, responses: int, log_likelihood: float, weights: int, effective: float) -> Criteria:
        """The criteria of a likelihood."""
        aic = 2.0 * effective - 2.0 * log_likelihood
        return cls(responses, log_likelihood, weights, effective, aic, aic + (math.log(max(responses, 1)) - 2.0) * effective)


def variances(design: Design, weights: FloatArray, penalty: FloatArray, apart: Block | None) -> FloatArray:
    """The variance of every weight, (n_weights,): the diagonal of the inverse of the observed information.

    Parameters
    ----------
    design, weights, penalty
        As in the fit.
    apart
        Weights of which a response meets those of one name only.

    Raises
    ------
    ModelError
        If the data cannot tell the weights apart and no penalty does.
    """
    information = _information(design, weights, penalty)
    own = np.zeros(len(weights), bool)
    if apart is not None:
        own[apart.first : apart.first + apart.features * apart.names] = True
    shared, out = np.flatnonzero(~own), np.empty(len(weights))
    try:
        if apart is None:
            out[shared] = np.diag(_inverse(information.toarray()))
            return out
        inverse = _inverse_of_blocks(information[own][:, own], apart)
        across = information[shared][:, own]
        reached = (across @ inverse).tocsc()
        rest = _inverse(information[shared][:, shared].toarray() - (reached @ across.T).toarray())
    except np.linalg.LinAlgError as error:
        remedy = "expected l2 above 0, or fewer features"
        raise ModelError(f"coefficients: the responses cannot tell the weights apart where l2 is 0; {remedy}") from error
    out[shared] = np.diag(rest)
    out[own] = inverse.diagonal() + _diagonal_of_product(rest, reached)
    return out


def _information(design: Design, weights: FloatArray, penalty: FloatArray) -> sparse.csr_matrix:
    """The observed information, sparse (n_weights, n_weights)."""
    rows, met = len(design.start) - 1, design.column >= 0
    chance = np.empty(rows)
    kernels.chances(design, weights, 0, rows, chance)
    row = np.repeat(np.arange(rows), np.diff(design.start))[met]
    values = sparse.csr_matrix((design.value[met], (row, design.column[met])), shape=(rows, len(weights)))
    weighted = values.multiply((chance * (1.0 - chance))[:, None]).tocsr()
    return sparse.csr_matrix(values.T @ weighted + sparse.diags(penalty))


def _inverse(matrix: FloatArray) -> FloatArray:
    """Of a symmetric, positive definite matrix; a LinAlgError where it is not one."""
    if not len(matrix):
        return matrix
    root = linalg.cho_factor(matrix)
    pivots = np.diag(root[0])
    if pivots.min() < 1e-7 * pivots.max():
        raise np.linalg.LinAlgError("singular")
    return np.asarray(linalg.cho_solve(root, np.eye(len(matrix))))


def _inverse_of_blocks(matrix: sparse.csr_matrix, block: Block) -> sparse.csc_matrix:
    """The inverse of a matrix that is made of one small block for each name."""
    n, size = block.features, block.names
    parts = [slice(each * size, (each + 1) * size) for each in range(n)]
    small = np.array([[matrix[a][:, b].diagonal() for b in parts] for a in parts]).transpose(2, 0, 1)
    inverse = np.linalg.inv(small).transpose(1, 2, 0)
    return sparse.csc_matrix(sparse.bmat([[sparse.diags(inverse[a, b]) for b in range(n)] for a in range(n)]))


def _diagonal_of_product(inner: FloatArray, outer: sparse.csc_matrix) -> FloatArray:
    """The diagonal of outer' inner outer, some columns at a time."""
    out = np.empty(outer.shape[1])
    for first in range(0, len(out), WIDE):
        columns = outer[:, first : first + WIDE].toarray()
        out[first : first + WIDE] = (columns * (inner @ columns)).sum(axis=0)
    return out
