"""Learning curves: what is read of whole and damaged files, how runs are aligned, and intervals at each step."""

import itertools
import math

import numpy as np
import pytest

from rlexp.report.curves import (
    EVALUATED,
    RETURN,
    Columns,
    common_grid,
    curves_of,
    interpolated,
    phases_of,
    read_columns,
    scalars_of,
    shown_runs,
    summarised,
)
from rlexp.report.groups import grouped
from rlexp.report.read import read_runs
from rlexp.report.statistics import interquartile_mean
from tests.report.files import rising, write_run

HEAD = "env_steps,seconds,Rewards/rew_avg\n"


def written(folder, text):
    path = folder / "metrics.csv"
    path.write_text(text)
    return path


def test_the_columns_of_a_whole_file_are_read(tmp_path):
    found = read_columns(written(tmp_path, HEAD + "10,1.5,\n20,2.5,4\n30,3.5,nan\n40,4.5,inf\n"))
    assert found.problem == ""
    assert found.values["env_steps"].tolist() == [10, 20, 30, 40]
    assert found.values["seconds"].tolist() == [1.5, 2.5, 3.5, 4.5]
    values = found.values[RETURN].tolist()
    assert values[1] == 4
    assert all(math.isnan(values[at]) for at in (0, 2, 3))  # empty and infinite: nothing to draw


@pytest.mark.parametrize(
    ("text", "steps", "problem"),
    [
        (HEAD + "10,1,1\n20,2,2\n30,3", [10, 20], "metrics.csv: 1 damaged row is left out"),
        (HEAD + "10,1,1\n20,2,2", [10], "metrics.csv: 1 damaged row is left out"),  # whether it is whole is not known
        (HEAD + "10,1,1\n20,x,2\n30,3\n40,4,4,4\n50,5,5\n", [10, 50], "metrics.csv: 3 damaged rows are left out"),
        (HEAD + "20,2,2\n10,1,1\n20,3,3\n", [10, 20], ""),
        (HEAD + "nan,1,1\n10,1,1\n", [10], ""),
        ("env_steps,Rewards/rew_avg\n10,1\n", [10], "metrics.csv has no column seconds"),
        ("seconds,Rewards/rew_avg\n10,1\n", None, "metrics.csv has no column env_steps"),
        (HEAD, None, ""),
        ("", None, "metrics.csv has no column env_steps and none seconds"),
        ("\0\n\1,\n", None, "1 damaged row is left out; metrics.csv has no column env_steps and none seconds"),
    ],
)  # fmt: skip
def test_damaged_rows_are_left_out_and_said(text, steps, problem, tmp_path):
    found = read_columns(written(tmp_path, text))
    assert found.problem.removeprefix("metrics.csv: ") == problem.removeprefix("metrics.csv: ")
    assert (found.values["env_steps"].tolist() if found.values else None) == steps


def test_the_last_line_of_a_run_that_goes_on_may_be_half_written(tmp_path):
    found = read_columns(written(tmp_path, HEAD + "10,1,1\n20,2"), going=True)
    assert (found.values["env_steps"].tolist(), found.problem) == ([10], "")
    assert read_columns(written(tmp_path, ""), going=True).problem == ""


def test_what_is_not_there_is_said(tmp_path):
    assert read_columns(tmp_path / "metrics.csv") == Columns({}, "no metrics.csv")
    assert read_columns(tmp_path / "evaluations.csv") == Columns({}, "")
    (tmp_path / "metrics.csv").mkdir()
    assert read_columns(tmp_path / "metrics.csv").problem.startswith("metrics.csv cannot be read")


def test_evaluations_are_read_though_they_hold_lists(tmp_path):
    run = write_run(tmp_path / "a", 1.0, evaluations=[(500, 5.0, 7.0), (1000, 9.0, 8.0)])
    found = read_columns(run / "evaluations.csv", wanted=("env_steps", "seconds", "mean_return"))
    assert {name: values.tolist() for name, values in found.values.items()} == {
        "env_steps": [500, 1000], "seconds": [5, 9], "mean_return": [7, 8],
    }  # fmt: skip


def test_runs_of_equal_steps_keep_them_and_many_are_spread_evenly():
    assert common_grid([np.array([10.0, 20.0]), np.array([10.0, 30.0])]).tolist() == [10, 20, 30]
    many = common_grid([np.arange(1.0, 2001.0)], 5)
    assert many.tolist() == [1, 501, 1000, 1500, 2000]


def test_a_run_is_interpolated_between_its_rows_and_nowhere_else():
    values = {"env_steps": np.array([10.0, 20.0, 30.0, 40.0]), "y": np.array([np.nan, 2.0, np.nan, 6.0])}
    found = interpolated(values, "y", np.array([10.0, 20.0, 25.0, 30.0, 40.0, 50.0]))
    assert np.array_equal(found, [np.nan, 2.0, 3.0, 4.0, 6.0, np.nan], equal_nan=True)


def test_each_point_is_of_the_runs_that_have_a_value_there():
    values = np.array([[1.0, 1.0, np.nan, np.nan], [3.0, np.nan, np.nan, 4.0], [8.0, 2.0, np.nan, np.nan]])
    middle, low, high, counts = summarised(values)
    assert np.array_equal(middle, [4.0, 1.5, np.nan, 4.0], equal_nan=True)
    assert counts.tolist() == [3, 2, 0, 1]
    assert np.isfinite(low).tolist() == np.isfinite(high).tolist() == [True, True, False, False]
    assert 1 <= low[0] < 4 < high[0] <= 8


@pytest.mark.parametrize("count", [2, 4, 5])
def test_the_interval_at_a_point_is_that_of_all_resamples(count):
    """Against every possible resample, each as likely as the others."""
    values = np.random.default_rng(count).normal(size=count)
    resamples = [interquartile_mean([values[list(at)]]) for at in itertools.product(range(count), repeat=count)]
    _, low, high, _ = summarised(values[:, None], draws=40_000)
    expected = np.quantile(resamples, [0.025, 0.975])
    assert [low[0], high[0]] == pytest.approx(expected, abs=0.1 * np.ptp(values))


def test_a_curve_of_a_group(tmp_path):
    for seed, top in enumerate((10.0, 20.0, 60.0)):
        write_run(tmp_path / str(seed), top, seed, curve=rising(top))
    (group,) = grouped(read_runs([tmp_path]))
    tables = [read_columns(run.directory / "metrics.csv") for run in shown_runs(group)]
    names = scalars_of(tables)
    assert names == [RETURN, "Time/collect_seconds", "Time/update_seconds"]
    curve = curves_of(tables, names)[RETURN]
    assert curve.steps.tolist() == [50.0 * number for number in range(1, 21)]
    assert curve.seconds.tolist() == [0.5 * number for number in range(1, 21)]
    assert math.isnan(curve.middle[0])
    assert curve.middle[1:].tolist() == pytest.approx([1.5 * number for number in range(2, 21)])  # of 1/2, 1 and 3
    assert curve.counts.tolist() == [0, *[3] * 19]
    assert not curves_of([Columns({})], names)
    assert EVALUATED not in names


def test_wall_time_never_falls_where_a_slow_run_ends_first():
    fast = {"env_steps": np.array([10.0, 20.0, 30.0]), "seconds": np.array([1.0, 2.0, 3.0]), "y": np.ones(3)}
    slow = {"env_steps": np.array([10.0, 20.0]), "seconds": np.array([5.0, 10.0]), "y": np.ones(2)}
    assert curves_of([Columns(fast), Columns(slow)], ["y"])["y"].seconds.tolist() == [3, 6, 6]


def test_one_run_of_each_seed_is_shown_and_none_that_failed(tmp_path):
    write_run(tmp_path / "0", 1.0, 1)
    write_run(tmp_path / "1", None, 1, state="running")
    write_run(tmp_path / "2", None, 2, state="interrupted")
    write_run(tmp_path / "3", None, 2, state="running")
    write_run(tmp_path / "4", None, 3, state="failed")
    (group,) = grouped(read_runs([tmp_path]))
    assert [run.directory.name for run in shown_runs(group)] == ["0", "3"]


def test_phases_count_rows_by_their_steps(tmp_path):
    """Ten updates of 100 steps: the first row is a mean over two of them, the second over eight."""
    write_run(tmp_path / "a", 1.0, steps=1000, curve=[(200, 3.0, 1.0, 0.5, 0.5), (1000, 9.0, 1.0, 0.25, 0.25)])
    (run,) = read_runs([tmp_path])
    table = read_columns(run.directory / "metrics.csv")
    assert phases_of(run, table) == pytest.approx((0.5 * 2 + 0.25 * 8, 0.5 * 2 + 0.25 * 8, 9 - 6))
    assert phases_of(run, Columns({"env_steps": np.array([1.0])})) is None
