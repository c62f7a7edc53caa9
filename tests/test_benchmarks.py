"""The reckoning of the benchmarks; what they measure are real runs of `make bench`."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

import benchmarks
from benchmarks import points, results, solved
from benchmarks.cases import CASES, VARIANTS
from benchmarks.memory import steps_so_far
from benchmarks.page import compose
from benchmarks.store import load, save
from benchmarks.tables import PEER, Side, ratio, speed_table
from benchmarks.timed import Failed, Loop, Measurement, Process, Update, measure, watch
from benchmarks.turns import Turn, check_equal

CASE = replace(CASES["cartpole"], warm_up=2, num_envs=2, num_steps=50)  # 100 steps an update


def measurement(compiling: float = 3.0) -> Measurement:
    """Five updates of a second each, the first longer by compilation; imports of 1.5 s before the loop, 0.5 s in it."""
    first = Update(0.25, 0.5 + compiling, 9.0)  # the whole of the first is not used
    updates = [first, *[Update(0.25, 0.5, 1.0)] * 4]
    process = Process(began=100.0, ended=111.75, imports=[(101.0, 1.5), (105.0, 0.5)])
    return measure(CASE, process, Loop(updates, ended=111.0, parameters=7, optimizer_steps=10))


def test_phases_add_up_to_the_wall_time_with_compilation_separately() -> None:
    one = measurement()
    # The loop begins at 111 - (3.75 + 1) - 3 = 103.25.
    assert one.phases.imports == 1.5
    assert one.phases.set_up == pytest.approx(103.25 - 100 - 1.5)
    assert one.phases.warm_up == pytest.approx(2.0)
    assert one.phases.compilation == pytest.approx(2.75)
    assert (one.phases.collect, one.phases.update, one.phases.logging) == (0.75, 1.5, 0.75)
    assert one.wall == pytest.approx(11.75)
    assert one.loop == pytest.approx(7.75)


def test_speed_leaves_the_warm_up_out() -> None:
    assert measurement(compiling=0.0).steps_per_second == measurement(compiling=50.0).steps_per_second == 100.0


def test_speed_leaves_the_last_update_out_which_collects_nothing_where_two_things_overlap() -> None:
    rows = [Update(0.5, 0.5, 1.0), *[Update(0.5, 0.5, 0.6)] * 4, Update(0.5, 0.5, 0.5)]
    process = Process(began=100.0, ended=111.75, imports=[])
    one = measure(CASE, process, Loop(rows, ended=111.0, parameters=7, optimizer_steps=10))
    assert one.steps_per_second == pytest.approx(100 / 0.6)


def test_the_ratio_is_of_medians_and_its_range_of_neighbours() -> None:
    assert ratio([4.0, 6.0, 9.0], [2.0, 2.0, 6.0]) == "**3.00** (1.50..3.00)"


def test_a_variant_with_other_work_has_no_ratio_of_whole_processes() -> None:
    base = Side(PEER, "", 300, 100, 1.0, [measurement()])
    other = Side("rlexp tensors", "", 900, 300, 1.0, [measurement()])
    row = speed_table([other, base], base).splitlines()[2]
    assert row.count("other work") == 3
    assert "**1.00**" in row


def test_a_stored_measurement_comes_back_and_makes_the_page(tmp_path: Path) -> None:
    side = Side(PEER, CASE.described(), 300, 100, 4.0, [measurement(), measurement(compiling=1.0)])
    result = {"case": "cartpole", "described": "d", "repeats": 2, "sides": [side.as_dict()], "skipped": {"A": "why"}}
    save(tmp_path, "speed-cartpole", result, "peer 1.2")
    stored = load(tmp_path, "speed-cartpole")
    assert stored is not None
    assert Side.from_dict(stored["sides"][0]) == side
    (tmp_path / "note.md").write_text("A shared machine.\n")
    page = compose(tmp_path)
    assert "\n\nA shared machine.\n\n## Speed\n\n" in page
    assert "### cartpole" in page
    assert "peer 1.2" in page
    assert "- Not measured: A: why." in page
    assert "- Not measured: rlexp eager: not asked for." in page
    assert "## Memory" not in page


def test_points_take_turns_and_those_that_are_refused_are_left_out(monkeypatch) -> None:
    asked: list[tuple[str, int]] = []

    def measure(overrides: list[str], envs: int, players: int, trainers: int, seed: int) -> float:
        asked.append((overrides[0], seed))
        if overrides[0] == "refused":
            raise Failed([], ["error: no such setting"])
        return 100.0 * envs * seed

    monkeypatch.setattr(points, "measure", measure)
    shapes = [("a", 1, ["a"], (1, 1, 1)), ("b", 2, ["refused"], (2, 1, 1)), ("a", 4, ["c"], (4, 1, 1))]
    rounds = [json.loads(json.dumps(found)) for found in points.by_turns(shapes, 2)]
    assert asked == [("a", 1), ("refused", 1), ("c", 1), ("a", 2), ("c", 2)]
    assert rounds == [{"a": {"1": [100.0], "4": [400.0]}}, {"a": {"1": [100.0, 200.0], "4": [400.0, 800.0]}}]


def test_points_make_a_section_of_the_page_unless_there_are_none(tmp_path: Path) -> None:
    save(tmp_path, "points-envs", {"series": {"one": {1: [1000.0, 3000.0, 2000.0], 4: [5.0, 5.0, 5.0]}}})
    save(tmp_path, "points-ranks", {"series": {}})
    page = compose(tmp_path)
    assert "medians of 3 runs" in page
    assert "| one | 2,000 | 5 |" in page
    assert "Speed by ranks" not in page


def test_results_by_the_fast_paths_have_a_table_of_their_own() -> None:
    task = results.FAST[0]
    summaries = [{"eval": {"mean_return": mean}, "env_steps": 1000, "wall_seconds": 5.0} for mean in (480.0, 500.0)]
    text = results.page("made", "how", [], [results.row(task, summaries)], [1.0], 2.0)
    *_, head, _, row = text.partition("\n\n## The Fabric")[0].splitlines()
    assert row.count("|") == head.count("|")
    assert "490.0 ± 14.1" in row
    assert results.folder(task, 3) != results.folder(results.TASKS[0], 3)


def test_runs_that_were_added_name_both_calls(tmp_path: Path) -> None:
    runs = {side: [{"seed": 1, "seconds": 9.0, "env_steps": 1000, "solved": True}] for side in ("preset", "zoo")}
    result = {"solved": 475.0, "eval_every": 8192, "preset": "p", "zoo": "z", "runs": runs}
    save(tmp_path, "solved-cartpole", {**result, "added": ["zoo"], "earlier": ["yesterday."]})
    page = compose(tmp_path)
    assert "By the last call, on its own: rlexp, the zoo's settings. " in page
    assert "By an earlier call: yesterday." in page


def test_times_to_solve_are_compared_over_the_seeds_that_both_sides_have() -> None:
    def runs(*seconds: float, solved: bool = True) -> list[dict[str, object]]:
        return [{"seed": i, "seconds": s, "env_steps": 1000, "solved": solved} for i, s in enumerate(seconds)]

    found = {"preset": runs(10, 20, 30), "sb3": runs(20, 40), "sb3-parallel": runs(9, 9, 9, solved=False)}
    row = solved.table(found).splitlines()[2]
    assert "| 20.0 (10.0..30.0) | **0.50** (0.50..0.50) |  |" in row
    kept = solved.others(runs(1, 2, 3), [{"seed": 1, "seconds": 9.0}])
    assert [one["seconds"] for one in kept] == [1, 9.0, 3]


def test_sides_that_did_other_work_are_refused_beyond_their_tolerance() -> None:
    def turn(name: str, **values: object) -> Turn:
        return Turn(name, CASE, 300, lambda *_: measurement(), **values)

    runs = {"peer": [measurement()], "ours": [replace(measurement(), optimizer_steps=9)]}
    check_equal([turn("peer"), turn("ours", equal=False)], runs)
    check_equal([turn("peer"), turn("ours", tolerance=0.1)], runs)
    with pytest.raises(RuntimeError, match="ours trained 7 parameters with 9 optimizer steps"):
        check_equal([turn("peer"), turn("ours", tolerance=0.05)], runs)


def test_tensors_run_steps_in_proportion() -> None:
    tensors, case = VARIANTS["tensors"], CASES["cartpole"]
    assert tensors.steps(case, None) == 1_638_400
    assert tensors.steps(case, case.steps // 2) == 819_200


def test_steps_so_far_reads_whole_rows_only(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    assert steps_so_far(file) == 0
    file.write_text("env_steps,x\n512,1\n1024,")
    assert steps_so_far(file) == 512


def test_a_refused_config_is_reported_from_a_failure(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    with pytest.raises(Failed) as refused:
        watch(["-m", "rlexp.main", "algo.gamma=2"], root, tmp_path)
    assert refused.value.refusal is not None
    assert refused.value.refusal.startswith("algo.gamma=2")
    with pytest.raises(Failed) as failed:
        watch(["-c", "raise ValueError('bug')"], root, tmp_path)
    assert failed.value.refusal is None


SCRIPTS = sorted(path.stem for path in Path(benchmarks.__file__).parent.glob("[!_]*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_can_be_imported(script: str) -> None:
    try:
        importlib.import_module(f"benchmarks.{script}")
    except ModuleNotFoundError as error:
        if error.name not in ("stable_baselines3", "sbx", "jax", "flax", "optax", "matplotlib"):
            raise
