"""What commands do alike: read a source into a panel, and fit a forecaster to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from karusel.cli.options import Covariates, Fitting, Reading, Running
from karusel.errors import DataError, UsageError
from karusel.forecasting.forecaster import Forecast, Forecaster, names_of_columns
from karusel.forecasting.future import Future
from karusel.forecasting.intervals import check_levels, check_quantiles
from karusel.forecasting.panel import Panel
from karusel.sources import Table, read_table
from karusel.sources.origin import STDIN

__all__ = [
    "Series",
    "Wanted",
    "fit_series",
    "future_of",
    "has_ids",
    "naming",
    "read_like",
    "read_series",
    "read_wanted",
    "short_name",
]


@dataclass(frozen=True)
class Series:
    """A table, the panel that it became, and the season that was asked for."""

    table: Table
    panel: Panel
    season_length: int | None = None


def read_series(reading: Reading, covariates: Covariates, progress: Callable[[str], None]) -> Series:
    """Read the source that a command names."""
    source = reading.source or []
    progress(f"reading {short_name(source)}")
    table = read_table(
        source,
        sql=reading.sql,
        id_col=reading.id_col,
        time_col=reading.time_col,
        target_cols=reading.target_col or (),
        futr_exog_list=Covariates.names(covariates.future),
        hist_exog_list=Covariates.names(covariates.past),
        stat_exog_list=Covariates.names(covariates.static),
        freq=reading.freq,
    )
    with naming(table.origin.name):
        panel = table.panel(reading.freq, reading.season_length)
    table = replace(table, times=None, ids=None, covariates=())  # the panel has them: 70 million are 1.1 GB
    return Series(table, panel, reading.season_length)


def read_like(reading: Reading, model: Forecaster, progress: Callable[[str], None]) -> Series:
    """Read rows as those that a model was fitted to, by the same columns unless others are named."""
    source, columns, panel = reading.source or [], model.columns, model.panel_
    for option in ("freq", "season_length"):
        if getattr(reading, option) is not None:
            raise UsageError(f"--{option.replace('_', '-')} is the model's; leave it out, or fit anew")
    progress(f"reading {short_name(source)}")
    targets = columns.target_col
    table = read_table(
        source,
        sql=reading.sql,
        id_col=reading.id_col or (columns.id_col if has_ids(model) else None),
        time_col=reading.time_col or columns.time_col or "none",
        target_cols=reading.target_col or ((targets,) if isinstance(targets, str) else targets),
        known=panel.covariates.described,
        time_format=columns.time_format,
        notation=columns.notation,
        like=panel,
    )
    with naming(table.origin.name):
        return Series(table, table.panel(like=panel))


def has_ids(model: Forecaster) -> bool:
    """Whether the series that a model was fitted to had a column of ids."""
    return isinstance(model.columns.target_col, str) and model.panel_.ids != ("series",)


def fit_series(
    series: Series, fitting: Fitting, running: Running, progress: Callable[[str], None]
) -> Forecaster:
    """Fit the forecaster that a command asks for."""
    table = series.table
    targets = table.target_cols
    named = {
        kind: [one.name for one in series.panel.covariates.described if one.kind == kind]
        for kind in ("past", "future", "static")
    }
    model = Forecaster(
        fitting.horizon,
        input_size=fitting.input_size,
        hidden_size=fitting.hidden_size,
        num_layers=fitting.num_layers,
        learning_rate=fitting.learning_rate,
        batch_size=fitting.batch_size,
        n_members=fitting.n_members,
        season_length=series.season_length,
        backtest=fitting.backtest,
        best=fitting.best,
        time_limit=fitting.time_limit,
        random_state=running.seed,
        n_jobs=running.threads,
    )
    with naming(table.origin.name):
        model.fit(
            series.panel,
            id_col=table.id_col or "unique_id",
            time_col=table.time_col,
            target_col=targets[0] if len(targets) == 1 else targets,
            hist_exog_list=named["past"],
            futr_exog_list=named["future"],
            stat_exog_list=named["static"],
            progress=progress,
        )
    model.columns = replace(model.columns, time_format=table.time_format, notation=table.notation)
    return model


def future_of(
    model: Forecaster, panel: Panel, files: Sequence[str], progress: Callable[[str], None]
) -> Future | None:
    """The covariates of the next steps of a panel, None for a model without any."""
    known = panel.covariates.of("future")
    if not known:
        if files:
            raise UsageError(
                "--future-data is given, but the model knows no columns of the future; leave it out"
            )
        return None
    if not files:
        names = ",".join(one.name for one in known)
        raise UsageError(
            f"--future {names} needs --future-data, a file with these columns for the next {model.h} steps "
            "of every series"
        )
    progress(f"reading {short_name(files)}")
    table = read_table(
        files,
        id_col=model.columns.id_col if has_ids(model) else None,
        time_col=model.columns.time_col or "none",
        target_cols=None,
        known=known,
        time_format=model.columns.time_format,
        like=panel,
    )
    return table.future(panel, model.h)


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Put the source's name before what is wrong with its data."""
    try:
        yield
    except DataError as error:
        raise type(error)(f"{source}: {error}") from None


def short_name(source: Sequence[str]) -> str:
    """A source as titles call it."""
    if not source:
        return "the query"
    first = "standard input" if source[0] == STDIN else source[0]
    name = first if "://" in first else Path(first).name
    return name if len(source) == 1 else f"{name} and {len(source) - 1} more"


@dataclass(frozen=True)
class Wanted:
    """What is forecast beside the values: levels of intervals in percent, and quantiles."""

    levels: tuple[float, ...]
    quantiles: tuple[float, ...]

    def forecast(self, model: Forecaster, future: Future | None, panel: Panel) -> Forecast:
        """A model's forecast of a panel. Without a backtest it has no intervals; quantiles were asked for."""
        levels = self.levels if model.calibration_ is not None else ()
        return model.forecast(levels, quantiles=self.quantiles, X_df=future, panel=panel)

    def names(self, name: str) -> tuple[str, ...]:
        """What the columns of such a forecast are called at most."""
        return names_of_columns(name, self.levels, self.quantiles)


def read_wanted(level: str, quantiles: str | None) -> Wanted:
    """`--level 80,95` and `--quantiles 0.1,0.9`."""
    return Wanted(
        check_levels(_numbers("--level", level, "percentages", "80,95")),
        check_quantiles(_numbers("--quantiles", quantiles or "", "numbers between 0 and 1", "0.1,0.9")),
    )


def _numbers(option: str, text: str, what: str, example: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UsageError(f"{option} {text!r} is not a list of {what}; write one such as {example}") from None
