"""How much worse the rows of a task are rebuilt without single firings on them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from atlas.activations.stream import row_blocks
from atlas.dictionary import Firings, Smixae
from atlas.harvest.spared import spared


def firing_importance(x: Float[Tensor, "row d_in"], firings: Firings, smixae: Smixae) -> Float64[np.ndarray, "firing"]:
    """Return what each firing spares of the squared error, over the mean of ‖x - x̄‖² over the rows.

    `firings` are all there are, sorted by row: an expert's importance is the sum over its own, divided by the number of rows. NaN
    where the rows have no variance.
    """
    gains, start = [], 0
    for block, n in row_blocks(x):
        here = slice(*torch.searchsorted(firings.token, torch.tensor([start, start + n], device=x.device).int()).tolist())
        own = Firings(firings.token[here] - start, firings.expert[here], firings.code[here])
        gains.append(spared(block, own, smixae).gain)
        start += n
    rows = x.double().cpu().numpy()
    mean_square = float(((rows - rows.mean(axis=0)) ** 2).sum() / len(rows))
    return torch.cat(gains).double().cpu().numpy() / (mean_square or np.nan)
