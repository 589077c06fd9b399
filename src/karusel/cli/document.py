"""Parts of the JSON documents that commands print."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np

import karusel
from karusel.cli.outputs import or_null
from karusel.cli.work import Series
from karusel.forecasting.forecaster import Forecaster

__all__ = ["evidence", "found", "model_settings", "print_document", "versions"]


def print_document(document: Mapping[str, Any]) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=1, allow_nan=False))


def found(series: Series) -> dict[str, Any]:
    """What was read."""
    table, panel = series.table, series.panel
    return {
        "form": table.origin.form,
        "rows": len(table),
        "series": len(panel),
        "id_col": table.id_col,
        "time_col": table.time_col,
        "target_cols": list(table.target_cols),
        "frequency": panel.frequency.describe(),
        "season_length": panel.frequency.season_length,
        "notes": list(panel.notes),
    }


def evidence(model: Forecaster) -> dict[str, Any]:
    """Backtest and verdict, null where there are too few rows for them."""
    backtest, verdict = model.backtest_, model.verdict_
    if backtest is None or verdict is None:
        return {"backtest": None, "verdict": None}
    return {
        "backtest": {
            "cutoffs": backtest.cutoffs,
            "refits": backtest.refits,
            "methods": {
                method: {name: or_null(value) for name, value in row.items()}
                for method, row in backtest.table().items()
            },
            "notes": list(backtest.notes),
            "coverage": {f"{level:g}": share for level, share in model.coverage_.items()},
            "coverage_values": model.coverage_values_,
        },
        "verdict": {
            "outcome": verdict.outcome,
            "best_simple": verdict.best_simple,
            "skill": or_null(verdict.skill),
            "skill_interval": [or_null(verdict.skill_low), or_null(verdict.skill_high)],
            "cutoffs_won": verdict.cutoffs_won,
            "series_won": verdict.series_won,
            "worst_series": list(verdict.worst),
            "lag_copy": verdict.lag_copy,
            "sentence": verdict.sentence,
        },
    }


def model_settings(model: Forecaster) -> dict[str, Any]:
    """What was fitted."""
    return {
        "members": model.model_.members,
        "epochs": model.model_.epochs,
        "share": model.model_.share,
        "window": model.model_.length,
        "season_length": model.season_length_,
        "log": model.model_.units.log,
    }


def versions() -> dict[str, str]:
    """What a result may depend on."""
    return {"karusel": karusel.__version__, "numpy": np.__version__, "python": platform.python_version()}
