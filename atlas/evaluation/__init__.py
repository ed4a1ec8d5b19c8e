"""The evaluate stage: how faithfully a dictionary rebuilds text that it was not trained on, beside plain principal components."""

from atlas.evaluation.fidelity import Measured
from atlas.evaluation.stage import (
    STAGE,
    estimated_seconds,
    evaluate,
    evaluation_inputs,
    is_evaluated,
    known_inputs,
    measured,
    passed_tokens,
    require_own,
)
from atlas.evaluation.text import EvaluationConfig, HeldOut, held_out_text, require_enough

__all__ = [
    "STAGE",
    "EvaluationConfig",
    "HeldOut",
    "Measured",
    "estimated_seconds",
    "evaluate",
    "evaluation_inputs",
    "held_out_text",
    "is_evaluated",
    "known_inputs",
    "measured",
    "passed_tokens",
    "require_enough",
    "require_own",
]
