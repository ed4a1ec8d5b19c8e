"""What each firing spares of a reconstruction's squared error."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from atlas.dictionary import Firings, Smixae


class Spared(NamedTuple):
    """Rows as the dictionary leaves them, and what of them is due to single firings."""

    residual: Float[Tensor, "row d_in"]
    """Rows without their reconstruction."""
    along: Float[Tensor, "firing d_code"]
    """Inner products of the residual of a firing's row with the rows of its expert's decoder."""
    scale: Float[Tensor, "firing"]
    """Of the firing's row: 1, but where rows are normalised one by one."""
    gain: Float[Tensor, "firing"]
    """What the squared error would grow by without the firing; below 0 where that would be better."""


def spared(x: Float[Tensor, "row d_in"], firings: Firings, smixae: Smixae) -> Spared:
    """Return what every firing on some rows spares, all other firings left as they are. `firings` are all there are on them."""
    row, expert, code = firings.token.long(), firings.expert.long(), firings.code
    residual = x - smixae.reconstruction(firings, x)
    # ‖r + szD‖² - ‖r‖² = 2s z·(D r) + s²‖zD‖², with r the residual, D the expert's decoder and s the scale of the row.
    along = (residual @ smixae.decoder.flatten(0, 1).T).view(len(x), smixae.n_experts, smixae.d_code)[row, expert]
    energy = (torch.bmm(code[:, None], smixae.decoder_gram[expert])[:, 0] * code).sum(dim=1)
    scale = smixae.row_scale(x)[row]
    gain = scale * (2 * (code * along).sum(dim=1) + scale * energy)
    return Spared(residual, along, scale, gain)
