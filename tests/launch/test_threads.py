import os

import pytest

from rlexp.data.machine import _quotas, cores
from rlexp.data.spaces import ActionSpec, ImageSpec, ObservationSpec, SpaceSpec
from rlexp.launch import threads
from rlexp.launch.threads import jobs_at_once, threads_of, wait_politely
from tests.helpers import composed

ACTION = ActionSpec("discrete", (2,), (), (0,), (), ())
VECTOR = SpaceSpec(ObservationSpec(4, (), ()), ACTION)
IMAGES = SpaceSpec(ObservationSpec(0, (), (ImageSpec("", 4, 84, 84),)), ACTION)
LARGE = ("env.num_envs=64", "algo.per_rank_batch_size=2048")


@pytest.fixture
def eight(monkeypatch):
    """Eight cores, and no variables that limit threads."""
    monkeypatch.setattr(threads, "cores", lambda: 8)
    for name in ("OMP_NUM_THREADS", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("words", "spec", "jobs", "want"),
    [
        ((), VECTOR, 1, 1),
        (LARGE, VECTOR, 1, 8),
        (LARGE, VECTOR, 4, 2),
        ((), IMAGES, 1, 8),
        ((), IMAGES, 2, 4),
        ((), IMAGES, 3, 2),
        ((), IMAGES, 100, 1),
        (("fabric.devices=2",), IMAGES, 2, 2),
        (("fabric.threads_per_rank=3",), IMAGES, 8, 3),
    ],
)
def test_a_rank_gets_its_share_of_the_cores_where_threads_pay(eight, words, spec, jobs, want):
    assert threads_of(composed("env=cartpole", *words), spec, jobs) == want


@pytest.mark.parametrize(
    ("variables", "want"),
    [
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "3,2"}, 3),
        ({"OMP_NUM_THREADS": "99"}, 8),
        ({"OMP_NUM_THREADS": "many"}, 8),
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "1", "TORCHELASTIC_RUN_ID": "none"}, 8),
    ],
)
def test_omp_num_threads_is_an_upper_limit_unless_torchrun_set_it(eight, variables, want):
    for name, value in variables.items():
        eight.setenv(name, value)
    assert threads_of(composed("env=cartpole"), IMAGES) == want


@pytest.mark.parametrize(
    ("launcher", "want"),
    [
        ({}, 1),
        ({"n_jobs": None}, 1),
        ({"n_jobs": 3}, 3),
        ({"n_jobs": -1}, 8),
        ({"n_jobs": -2}, 7),
        ({"n_jobs": -99}, 1),
    ],
)
def test_joblibs_number_of_jobs(eight, launcher, want):
    assert jobs_at_once(launcher) == want


@pytest.mark.parametrize(
    ("files", "groups", "want"),
    [
        ({"cpu.max": "max 100000"}, "0::/", []),
        ({"cpu.max": "150000 100000"}, "0::/", [1.5]),
        ({"a/b/cpu.max": "200000 100000", "a/cpu.max": "300000 100000"}, "0::/a/b", [2.0, 3.0]),
        ({"cpu.max": "400000 100000"}, "0::/docker/of/the/host", [4.0]),
        ({"cpu/x/cpu.cfs_quota_us": "50000", "cpu/x/cpu.cfs_period_us": "25000"}, "4:memory:/y\n1:cpu,z:/x", [2.0]),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu:/", []),
        ({"cpu.max": "rubbish"}, "0::/", []),
    ],
)  # fmt: skip
def test_quotas_of_control_groups(tmp_path, files, groups, want):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "own").write_text(groups + "\n")
    assert _quotas(tmp_path, tmp_path / "own") == want


def test_cores_are_those_of_the_affinity_at_most():
    assert 1 <= cores() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_threads_spin_for_a_short_time_unless_the_user_says_how_they_wait(monkeypatch, name):
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    for one in names:
        monkeypatch.setenv(one, "before")  # so that what is set below is undone
        monkeypatch.delenv(one)
    wait_politely()
    assert [os.environ.get(one) for one in names] == [None, "1000", "0"]
    for one in names:
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv(name, "5")
    wait_politely()
    assert {one: os.environ[one] for one in names if one in os.environ} == {name: "5"}
