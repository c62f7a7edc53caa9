"""The command that writes a page of runs: what stands in the page, whatever the files hold."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest

from rlexp.compare import main as compare
from rlexp.errors import ConfigError
from rlexp.report.__main__ import main, parse
from rlexp.report.about import command_of
from rlexp.report.comparison import improvements, normalised, profiles, ranked, scores_by_method
from rlexp.report.curves import EVALUATED, RETURN
from rlexp.report.groups import grouped
from rlexp.report.read import read_runs
from tests.report.files import bench_of, rising, write_run

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>{{1913*1931}}"


class Elements(HTMLParser):
    """The elements of a page, and its text outside scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self._inside = [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(folder, *words):
    """Return the page as text, its elements, and the values that its script draws."""
    main([str(folder), *words])
    text = (folder / "report.html").read_text()
    return text, Elements(text), json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def start(*words, cwd):
    return subprocess.Popen(
        [sys.executable, "-m", "rlexp.report", *words], cwd=cwd, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip


def test_the_numbers_of_the_page_are_those_of_compare(tmp_path):
    bench_of(tmp_path)
    _, elements, data = page_of(tmp_path)
    expected = json.loads(compare([str(tmp_path)], "--json", 80))
    for name in ("setting", "env_id", "mean", "iqm", "low", "high", "best", "scores"):
        assert [group[name] for group in data["groups"]] == [group[name] for group in expected["groups"]], name
    assert all(line in elements.text for line in expected["warnings"])
    for line in compare([str(tmp_path)], "", 200).splitlines()[1:5]:
        label, mean, middle = re.split(r"\s{2,}", line)[:3]
        assert label in elements.text
        assert mean in elements.text
        assert middle in elements.text


def test_curves_of_metrics_and_evaluations_with_their_intervals(tmp_path):
    bench_of(tmp_path)
    _, _, data = page_of(tmp_path)
    assert data["scalars"] == [RETURN, EVALUATED, "Time/collect_seconds", "Time/update_seconds"]
    curves = data["groups"][0]["curves"]
    line = curves["lines"][RETURN]
    assert curves["grids"]["metrics"]["steps"] == [50 * number for number in range(1, 21)]
    assert (line["y"][0], line["y"][-1]) == (None, 102)  # of 101, 102 and 103
    assert line["low"][-1] >= 101
    assert line["high"][-1] <= 103
    assert line["n"] == [0, *[3] * 19]
    assert curves["lines"][EVALUATED] == {
        "grid": "evaluations", "y": [51, 102], "n": 3, "low": [50.5, 101], "high": [51.5, 103],
    }  # fmt: skip
    assert curves["grids"]["evaluations"]["seconds"] == [5, 10]
    assert "low" not in curves["lines"]["Time/collect_seconds"]  # equal in all runs
    assert data["groups"][0]["time"] == {"collect": 1.0, "update": 2.0, "rest": 7.0}


def test_a_page_stays_small_however_many_scalars_and_rows_there_are(tmp_path):
    for number in range(40):
        run = write_run(tmp_path / str(number), 1.0, 1, algo__gamma=number / 100)
        names = [f"Loss/{index}" for index in range(20)]
        rows = [f"{step},{step / 100},{','.join(['0.123456789'] * 20)}" for step in range(1, 501)]
        (run / "metrics.csv").write_text("\n".join([f"env_steps,seconds,{','.join(names)}", *rows]) + "\n")
    text, _, data = page_of(tmp_path)
    assert len(text) < 600_000
    assert len(data["groups"]) == 40
    assert len(data["first"]) == 8  # of so many groups few are shown at first


def test_groups_of_several_environments_share_a_method(tmp_path):
    groups = grouped(read_runs([bench_of(tmp_path)]))
    assert [group.method for group in groups] == ["learning_rate=0.001", "learning_rate=0.01"] * 2
    assert ranked(groups) == ["learning_rate=0.01", "learning_rate=0.001"]
    assert normalised(scores_by_method(groups))["learning_rate=0.001"]["Acrobot-v1"].tolist() == [0, 1 / 52, 2 / 52]
    (pair,) = improvements(groups)
    assert (pair["better"], pair["worse"]) == ("learning_rate=0.01", "learning_rate=0.001")
    assert (pair["chance"], pair["low"], pair["high"], pair["envs"], pair["runs"]) == (1, 1, 1, 2, [6, 6])
    found = profiles(groups)
    assert found["envs"] == ["Acrobot-v1", "CartPole-v1"]
    best, other = found["lines"]
    assert (best["method"], best["share"][50], other["share"][50]) == ("learning_rate=0.01", 1, 0)
    assert best["share"][-1] == 0


def test_one_environment_has_no_profiles_and_one_seed_no_interval(tmp_path):
    write_run(tmp_path / "a", 1.0, 1, curve=rising(1.0))
    _, elements, data = page_of(tmp_path)
    assert data["profiles"] is None
    assert data["improvements"] == []
    assert (data["groups"][0]["low"], "low" in data["groups"][0]["curves"]["lines"][RETURN]) == (None, False)
    assert "Profiles need two groups that share two environments or more." in elements.text
    assert "No run has videos" in elements.text
    assert "Nothing but seeds" in elements.text


def test_the_state_of_every_run_with_its_error(tmp_path):
    write_run(tmp_path / "0", 5.0, 1, curve=rising(5.0))
    write_run(tmp_path / "1", None, 2, state="running", curve=rising(9.0, count=5))
    write_run(tmp_path / "2", None, 3, state="failed", curve=rising(50.0))
    write_run(tmp_path / "3", 7.0, 1, curve=rising(7.0))
    (write_run(tmp_path / "4", 6.0, 4) / "metrics.csv").write_text("env_steps,seconds,Rewards/rew_avg\n1,1,1\n2,x,1\n")
    (write_run(tmp_path / "5", 6.0, 5) / "metrics.csv").unlink()
    _, elements, data = page_of(tmp_path)
    assert "6 runs in 1 group:" in elements.text
    for said in ("it broke", "not counted: another run has this seed", "metrics.csv: 1 damaged row is left out",
                 "no metrics.csv", "not counted: 1 running, 1 failed"):  # fmt: skip
        assert said in elements.text, said
    assert data["groups"][0]["scores"] == [7, 6, 6]
    assert data["groups"][0]["curves"]["lines"][RETURN]["n"][2:7] == [2] * 4 + [1]  # the second is still running


def test_nothing_of_a_file_becomes_html(tmp_path):
    write_run(tmp_path / "a", 1.0, 1, env_id=HOSTILE, curve=rising(1.0), algo__gamma=HOSTILE)
    write_run(tmp_path / "b", 2.0, 2, env_id=HOSTILE, state="failed", algo__gamma=2, videos=["test/<img src=x>.mp4"],
              summary={"error": HOSTILE, "overrides": [f"x={HOSTILE}", 3], "versions": {HOSTILE: HOSTILE}})  # fmt: skip
    run = write_run(tmp_path / "c", 3.0, 3)
    (run / "metrics.csv").write_text(f"env_steps,seconds,{HOSTILE}\n1,1,1\n2,2,2\n")
    (run / "main.log").write_text(f"2026-01-01 INFO rlexp.command.records: machine: {HOSTILE}\n")
    text, elements, data = page_of(tmp_path, "--title", HOSTILE)
    assert len(elements.all("script")) == 2  # the data and the script
    assert not elements.all("img")
    assert "<script>window" not in text
    assert "{{1913*1931}}" in elements.text
    assert "3694003" not in elements.text
    assert text.count("</script>") == 2
    assert HOSTILE in elements.text
    assert HOSTILE in data["scalars"]
    assert data["envs"][0] == HOSTILE
    assert [attributes["src"] for attributes in elements.all("video")] == ["b/videos/test/%3Cimg%20src%3Dx%3E.mp4"]


def test_values_of_wrong_types_are_no_scores(tmp_path):
    write_run(tmp_path / "a", "text", 1)
    write_run(tmp_path / "b", 2.0, "x", summary={"overrides": 7, "env_steps": 10**400, "versions": [1], "updates": "a"})
    (write_run(tmp_path / "c", 1.0, 1) / "summary.json").write_text('{"state": "completed", "objective": NaN}')
    (write_run(tmp_path / "d", 1.0, 1) / "summary.json").write_text("[]")
    (write_run(tmp_path / "e", 1.0, 1, curve=rising(1)) / "metrics.csv").write_bytes(bytes(range(256)) * 20)
    _, elements, data = page_of(tmp_path)
    assert sorted(score for group in data["groups"] for score in group["scores"]) == [1, 2]
    assert "summary.json cannot be read" in elements.text


def test_a_page_needs_nothing_but_itself(tmp_path):
    bench_of(tmp_path)
    text, elements, _ = page_of(tmp_path)
    addresses = [
        value for _, attributes in elements.tags for name, value in attributes.items() if name in ("src", "href")
    ]
    assert [one for one in addresses if "//" in one] == ["https://arxiv.org/abs/2108.13264"]  # a link, not loaded
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_videos_are_linked_beside_the_runs_or_held_by_the_page(tmp_path):
    write_run(
        tmp_path / "a b", 1.0, 1, videos=["test/step-9-return-1.mp4", "test/step-10-return-2.mp4", "train/step-99.mp4"]
    )
    _, elements, _ = page_of(tmp_path)
    sources = [attributes["src"] for attributes in elements.all("video")]
    assert sources == [
        f"a%20b/videos/{name}.mp4" for name in ("test/step-10-return-2", "test/step-9-return-1", "train/step-99")
    ]
    assert all(attributes["preload"] == "none" for attributes in elements.all("video"))
    assert "The page links to the videos" in elements.text
    _, elements, _ = page_of(tmp_path, "--embed-videos")
    assert [attributes["src"] for attributes in elements.all("video")] == ["data:video/mp4;base64,dmlkZW8="] * 3
    assert "The page holds these videos" in elements.text


def test_videos_over_the_limit_stay_links(tmp_path, monkeypatch):
    monkeypatch.setattr("rlexp.report.about.EMBED_LIMIT", 12)
    write_run(tmp_path / "a", 1.0, 1, videos=[f"test/step-{number}.mp4" for number in range(4)])  # of 5 bytes each
    _, elements, _ = page_of(tmp_path, "--embed-videos")
    assert [attributes["src"][:5] for attributes in elements.all("video")] == ["data:", "data:", "a/vid", "a/vid"]
    assert "The page holds 2 of these videos" in elements.text


def test_the_command_that_repeats_a_group(tmp_path):
    for seed in (1, 2):
        words = ["env.id=Cart Pole", "algo.learning_rate=0.001", f"seed={seed}", "resume=auto", "+env.kwargs.x='a b'"]
        write_run(tmp_path / str(seed), 1.0, seed, summary={"overrides": words})
    (group,) = grouped(read_runs([tmp_path]))
    assert shlex.split(command_of(group))[-5:] == [
        "--multirun", "env.id=Cart Pole", "algo.learning_rate=0.001", "+env.kwargs.x='a b'", "seed=1,2",
    ]  # fmt: skip
    assert " -m rlexp.main --multirun " in command_of(group)


def test_what_differs_in_the_configs_and_only_that(tmp_path):
    write_run(tmp_path / "a", 1.0, 1, algo__gamma=0.9, model__name="mlp")
    write_run(tmp_path / "b", 1.0, 2, algo__gamma=0.8, model__name="mlp", capture_video=True)
    text, _, _ = page_of(tmp_path)
    table = Elements(re.search(r'<table id="setting-table">.*?</table>', text, re.DOTALL)[0])
    assert table.text.split() == ["group", "gamma", "gamma=0.9", "0.9", "gamma=0.8", "0.8"]


def test_the_page_lies_where_it_shall(tmp_path, capsys):
    write_run(tmp_path / "runs" / "a", 1.0, 1, videos=["test/x.mp4"])
    (tmp_path / "pages").mkdir()
    output = tmp_path / "pages" / "of runs.html"
    main([str(tmp_path / "runs"), f"--output={output}", "--title", "All of them"])
    text = output.read_text()
    assert "<h1>All of them</h1>" in text
    assert 'src="../runs/a/videos/test/x.mp4"' in text
    assert capsys.readouterr().out.startswith(f"{output} (1 run, 1 group; ")
    main([str(tmp_path / "runs" / "a" / "summary.json")])
    assert (tmp_path / "runs" / "a" / "report.html").is_file()
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no directory is given; write: python -m rlexp.report outputs/runs"),
        (["--folow", "DIR"], "--folow is no option; allowed: --output, --title, --embed-videos, --follow"),
        (["DIR", "--output"], "--output has no value; write: --output FILE"),
        (["DIR", "--follow=0"], "--follow 0: give whole seconds from 1 to 86400"),
        (["DIR", "--embed-videos=yes"], "--embed-videos takes no value"),
        (["DIR", "--output", "DIR"], "is a directory; give a file"),
        (["DIR", "--output", "/no/where/page.html"], "the directory /no/where does not exist"),
        (["/no/where"], "/no/where does not exist; give the directory of a run or of a sweep"),
        (["DIR"], "holds no run"),
    ],
)
def test_bad_input_is_one_line(words, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        main([str(tmp_path) if word == "DIR" else word for word in words])
    assert not list(tmp_path.iterdir())


def test_options_stand_anywhere(tmp_path):
    assert parse(["--follow", "5", str(tmp_path), "--embed-videos"]).refresh == 5
    assert parse(["--follow", str(tmp_path)]).refresh == 30
    assert parse([str(tmp_path), "--follow"]).refresh == 30
    assert parse([str(tmp_path)]).refresh == 0


def test_the_command_needs_no_torch(tmp_path):
    bench_of(tmp_path, seeds=1)
    heavy = {"torch", "hydra", "lightning", "gymnasium"}
    program = (
        "import sys; from rlexp.report.__main__ import main; main(sys.argv[1:]);"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_command(tmp_path):
    bench_of(tmp_path, seeds=1)
    for words, code, out, err in (
        (["."], 0, "report.html (4 runs, 4 groups; ", ""),
        (["nothing"], 1, "", "error: nothing does not exist"),
        (["--help"], 0, "The command that writes a page of runs", ""),
        (["--version"], 0, "rlexp ", ""),
    ):
        process = start(*words, cwd=tmp_path)
        printed, complained = process.communicate(timeout=60)
        assert process.returncode == code
        assert printed.startswith(out)
        assert complained.startswith(err)
        assert len(complained.splitlines()) == (code != 0)
    assert (tmp_path / "report.html").is_file()


def test_following_ends_when_no_run_is_running(tmp_path):
    run = write_run(tmp_path / "a", None, 1, state="running", curve=rising(4.0))
    process = start(".", "--follow", "1", cwd=tmp_path)
    assert "1 running" in process.stdout.readline()
    assert '<meta http-equiv="refresh" content="1">' in (tmp_path / "report.html").read_text()
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | {"state": "completed", "objective": 4.0}))
    printed, complained = process.communicate(timeout=60)
    assert (process.returncode, complained) == (0, "")
    assert "running" not in printed
    text = (tmp_path / "report.html").read_text()
    assert 'http-equiv="refresh"' not in text
    assert "1 completed" in text


def test_ctrl_c_ends_following_quietly(tmp_path):
    write_run(tmp_path / "a", None, 1, state="running")
    process = start(".", "--follow", cwd=tmp_path)
    process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, complained = process.communicate(timeout=60)
    assert (process.returncode, complained) == (130, "")
    assert 'http-equiv="refresh"' not in (tmp_path / "report.html").read_text()
