"""Run folders of train.py become one picture or one page of their curves."""

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from electra.report.charts import BOTTOM, LEFT, RIGHT, TOP
from electra.report.picture import MARGIN, text_width, wrap
from electra.report.pretraining import lineage
from electra.report.run_folders import held_out, read_runs, shortest_names

from .pages import NASTY, check_whole, svgs, table_of
from .test_program import program

pytestmark = pytest.mark.fast

SVG = "{http://www.w3.org/2000/svg}"


def evaluation(step, loss, auc=None):
    own = {} if auc is None else {"rtd_auc": auc, "rtd_auc_unigram": auc + 0.1}
    return {
        "step": step,
        "split": "valid",
        "mlm_loss": loss,
        "mlm_acc": 0.2,
        "seconds": step * 6.0,
        **own,
    }


def run_folder(folder, losses=(8.3, 5.0, 4.0), auc=None, init=None, log=None):
    """A folder as train.py leaves it, evaluated every 100 steps; its path as text."""
    folder.mkdir(parents=True)
    objective = "mlm" if auc is None else "electra"
    (folder / "config.json").write_text(json.dumps({"objective": objective, "init": init}))
    lines = []
    for i, loss in enumerate(losses):
        step = 100 * i
        if i:
            lines.append({"step": step, "split": "train", "tokens": 1000, "seconds": step * 6.0})
        # Another length is not part of the curve.
        lines.append(evaluation(step, 99.0) | {"split": "valid_512"})
        lines.append(evaluation(step, loss, None if auc is None else auc + i / 100))
    written = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(written if log is None else log)
    return str(folder)


def draw(tmp_path, *arguments):
    """The picture that the program writes, as XML."""
    out = tmp_path / "curves.svg"
    assert program.main([*arguments, "--out", str(out)]) == 0
    return ElementTree.fromstring(out.read_bytes())


def panels(picture):
    """The curves of each panel: a list of (class of the line, its points)."""
    found = []
    for panel in picture.findall(f"{SVG}g"):
        plot = panel.find(f"{SVG}g")  # the first group; those of the legend follow
        lines = [group.find(f"{SVG}polyline") for group in plot.findall(f"{SVG}g")]
        found.append([(line.get("class"), points_of(line)) for line in lines])
    return found


def points_of(line):
    return [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]


def texts(picture):
    return [text.text for text in picture.iter(f"{SVG}text")]


def test_a_picture_has_a_curve_for_every_run_and_names_them(tmp_path, capsys):
    bert, electra = run_folder(tmp_path / "bert"), run_folder(tmp_path / "electra", auc=0.6)
    picture = draw(tmp_path, bert, electra)
    assert capsys.readouterr().out == f"{tmp_path / 'curves.svg'}\n"
    loss, auc = panels(picture)
    assert [kind for kind, _ in loss] == ["line"] * 2
    assert [kind for kind, _ in auc] == ["line", "line thin"]
    shown = texts(picture)
    assert {"bert", "electra", "electra: own", "electra: unigram"} <= set(shown)
    assert {"Held-out MLM loss", "MLM loss, nats", "minutes of pre-training"} <= set(shown)


def test_a_bert_alone_has_no_auc(tmp_path):
    picture = draw(tmp_path, run_folder(tmp_path / "bert"))
    assert len(panels(picture)) == 1 and "ROC AUC" not in texts(picture)


def test_a_lower_loss_is_drawn_lower_and_later_points_further_right(tmp_path):
    """Step 0 is left out, as on the page. The loss falls from 5 over 4 to 3."""
    low = run_folder(tmp_path / "low", losses=(8.3, 5.0, 4.0, 3.0))
    high = run_folder(tmp_path / "high", losses=(8.3, 5.5, 4.5, 3.5))
    [[(_, first), (_, second)]] = panels(draw(tmp_path, low, high))
    assert len(first) == len(second) == 3
    for points in (first, second):
        assert [x for x, _ in points] == sorted({x for x, _ in points})
        assert [y for _, y in points] == sorted({y for _, y in points})
        assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in points)
    assert all(above[1] < below[1] for above, below in zip(second, first, strict=True))
    # 5.0 − 4.0 = 4.0 − 3.0
    assert first[1][1] - first[0][1] == pytest.approx(first[2][1] - first[1][1], abs=0.11)


def test_curves_are_drawn_over_tokens_too(tmp_path):
    fast = run_folder(tmp_path / "fast")
    slow = run_folder(tmp_path / "slow")
    log = tmp_path / "slow" / "metrics.jsonl"
    log.write_text(re.sub(r'"seconds": ([1-9]\d+)\.0', r'"seconds": \g<1>00.0', log.read_text()))
    [[(_, first), (_, second)]] = panels(draw(tmp_path, fast, slow))
    assert first[-1][0] < LEFT + 10 and second[-1][0] > RIGHT - 20
    picture = draw(tmp_path, fast, slow, "--by", "tokens")
    [[(_, first), (_, second)]] = panels(picture)
    assert first == second and "tokens of pre-training" in texts(picture)


@pytest.mark.parametrize("init", ["", "/ckpt.pt", "/ckpt-200.pt"])
@pytest.mark.parametrize("parent_first", [True, False])
def test_a_run_that_was_started_from_another_continues_its_curve(tmp_path, init, parent_first):
    base = run_folder(tmp_path / "base")
    post = run_folder(tmp_path / "post", losses=(3.9, 3.8), init=base + init)
    picture = draw(tmp_path, *((base, post) if parent_first else (post, base)))
    [[(kind, before), (kind_of_post, after)]] = panels(picture)
    assert (kind, kind_of_post) == ("line", "line dashed")
    assert before[-1][0] == after[0][0] < after[1][0]
    assert any(text.startswith("Dashed: ") for text in texts(picture))


OTHER_WEIGHTS = ["elsewhere/base/ckpt.pt", "/elsewhere/base/ckpt.pt", "base", "ckpt.pt", "a\0b"]


@pytest.mark.parametrize("init", [*OTHER_WEIGHTS, "{base}/best.pt", "{base}/ckpt-x.pt"])
def test_a_run_from_other_weights_starts_at_zero(tmp_path, init):
    """Copies elsewhere, a name that only looks like the run's, and no checkpoint of a run."""
    base = run_folder(tmp_path / "base")
    init = init.format(base=base)
    post = run_folder(tmp_path / "post", losses=(3.9, 3.8), init=init)
    picture = draw(tmp_path, base, post)
    [[_, (kind, after)]] = panels(picture)
    assert kind == "line dashed" and after[0][0] == LEFT
    assert any(text.startswith("A dashed curve that starts at 0") for text in texts(picture))


def stopped_run(folder, **settings):
    """A run that logs every 10 steps and is evaluated at 20 and 40; it was stopped at step 53."""
    lines = []
    for step in range(10, 51, 10):
        lines.append({"step": step, "split": "train", "tokens": 1000, "seconds": step * 6.0})
        if step % 20 == 0:
            lines.append(evaluation(step, 5.0 - step / 40))
            # An evaluation takes a minute.
            lines.append(evaluation(step, 5.0) | {"split": "valid_512", "seconds": step * 6.0 + 60})
    log = "".join(json.dumps(line) + "\n" for line in lines)
    return run_folder(folder, log=log, **settings)


CHECKPOINTS = {  # minutes and tokens of the run until there
    "": (5.0, 5000),
    "/ckpt.pt": (5.0, 5000),
    "/ckpt-53.pt": (5.0, 5000),  # the log ends at step 50
    "/ckpt-45.pt": (5.0, 4500),  # from 5 minutes after the evaluation to 5 at step 50
    "/ckpt-40.pt": (5.0, 4000),
    "/ckpt-30.pt": (3.0, 3000),
    "/ckpt-5.pt": (0.5, 500),
    "/ckpt-0.pt": (0.0, 0),
}


@pytest.mark.parametrize("init", CHECKPOINTS)
def test_a_run_starts_where_its_checkpoint_was(tmp_path, init):
    base = stopped_run(tmp_path / "base")
    post = run_folder(tmp_path / "post", losses=(3.9, 3.8), init=base + init)
    for unit, passed in zip(("minutes", "tokens"), CHECKPOINTS[init], strict=True):
        runs = read_runs([Path(base), Path(post)], unit)
        (first, _), (second, start) = lineage(runs, unit)
        assert start == pytest.approx(passed)
        # Only from the end it does not overlap the other curve.
        assert (first == second) == (passed == CHECKPOINTS[""][unit == "tokens"])

    picture = draw(tmp_path, base, post)
    assert not any("starts at 0" in text for text in texts(picture))


def test_a_run_from_the_middle_takes_no_colour_of_one_from_the_end(tmp_path):
    base = run_folder(tmp_path / "base")
    middle = run_folder(tmp_path / "middle", init=f"{base}/ckpt-100.pt")
    end = run_folder(tmp_path / "end", init=base)
    runs = read_runs([Path(base), Path(middle), Path(end)], "minutes")
    assert lineage(runs, "minutes") == [("c0", 0), ("c1", 10.0), ("c0", 20.0)]


def test_the_cost_is_that_of_the_whole_run(tmp_path):
    run = stopped_run(tmp_path / "run")
    assert program.main([run]) == 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert table_of(page, "tokens/s")[0][4:8] == ["5.0", "50", "5,000", "17"]


@pytest.mark.parametrize(
    "init", ["runs/base/ckpt.pt", "runs/base", "../runs/base/ckpt-200.pt", "base/ckpt.pt"]
)
def test_an_init_from_another_folder_is_recognised_by_its_end(tmp_path, init):
    base = run_folder(tmp_path / "x" / "runs" / "base")
    post = run_folder(tmp_path / "post", init=init)
    [[(_, before), (_, after)]] = panels(draw(tmp_path, base, post))
    assert before[-1][0] == after[0][0]


def test_an_init_that_fits_two_runs_or_only_the_run_itself_is_not_recognised(tmp_path):
    bases = [run_folder(tmp_path / name / "runs" / "base") for name in ("x", "y")]
    post = run_folder(tmp_path / "post", init="runs/base/ckpt.pt")
    itself = run_folder(tmp_path / "z" / "runs" / "base", init="runs/base/ckpt.pt")
    for runs in ([*bases, post], [itself]):
        *_, last = read_runs(list(map(Path, runs)), "minutes")
        assert last["init"] == "runs/base/ckpt.pt" and "start" not in last


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(
    "objective,first,drawn",
    [("mlm", 8.2, False), ("mlm", 5.0, False), ("electra", 8.2, True), ("electra", 5.0, True)],
)
def test_a_new_generator_is_not_drawn_before_its_first_step(
    tmp_path, given, objective, first, drawn
):
    """Of a BERT that is not given, only its child's loss tells."""
    base = run_folder(tmp_path / "base", auc=None if objective == "mlm" else 0.6)
    post = run_folder(tmp_path / "post", losses=(first, 4.2, 4.0), auc=0.5, init=base)
    runs = read_runs([Path(base), Path(post)] if given else [Path(post)], "minutes")
    drawn = drawn if given else first == 5.0
    assert [point["step"] for point in runs[-1]["curve"]] == [0, 100, 200][not drawn :]


@pytest.mark.parametrize("losses", [(8.2,), (8.2, float("nan"))])
def test_a_new_generator_with_no_later_loss_is_drawn(tmp_path, losses):
    run = run_folder(tmp_path / "run", losses=losses, auc=0.5, init="bert.pt")
    assert len(panels(draw(tmp_path, run))[0][0][1]) == 1


def test_two_runs_from_one_have_different_colours(tmp_path):
    base = run_folder(tmp_path / "base")
    posts = [run_folder(tmp_path / name, init=base) for name in ("a", "b")]
    picture = draw(tmp_path, base, *posts)
    plot = picture.find(f"{SVG}g").find(f"{SVG}g")
    assert [group.get("class") for group in plot.findall(f"{SVG}g")] == ["c0", "c0", "c1"]


def test_runs_in_a_circle_are_drawn(tmp_path):
    """Each folder was trained again from the other one."""
    one = run_folder(tmp_path / "one", init=str(tmp_path / "two"))
    two = run_folder(tmp_path / "two", init=one)
    [[(_, first), (_, second)]] = panels(draw(tmp_path, one, two))
    assert first[0][0] == LEFT and second[0][0] == first[-1][0]


def test_twelve_runs_look_different_and_a_thirteenth_is_refused(tmp_path, capsys):
    runs = [run_folder(tmp_path / f"run{i}") for i in range(13)]
    plot = draw(tmp_path, *runs[:12]).find(f"{SVG}g").find(f"{SVG}g")
    assert len({group.get("class") for group in plot.findall(f"{SVG}g")}) == 12
    assert program.main(runs) == 2 and "13 runs are too many" in capsys.readouterr().err


# ---------------------------------------------------------------- the file


def test_a_picture_stands_alone(tmp_path):
    """No script, no address but the namespace, and no variable, which only browsers know."""
    draw(tmp_path, run_folder(tmp_path / "a"))
    text = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert re.findall(r"\w+://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|@import|url\(|href|var\(", text)
    light, dark = text.split("@media (prefers-color-scheme: dark)")
    assert ".paper { fill: #fff; }" in light and ".paper { fill: #15181b; }" in dark


@pytest.mark.parametrize("name", ["<b>bold", "a&b\"c'", "  two\nlines", "\x1b[31m", "שלום 日本語"])
def test_names_are_escaped(tmp_path, name):
    picture = draw(tmp_path, run_folder(tmp_path / name, auc=0.6))
    shown = " ".join(name.replace("\x1b", "\ufffd").split())
    assert {shown, f"{shown}: own"} <= set(texts(picture))


def test_a_long_name_is_whole_and_inside_the_picture(tmp_path):
    name = "mask-prob-0.25-" * 15
    picture = draw(tmp_path, run_folder(tmp_path / name))
    assert name in "".join(text for text in texts(picture))
    height = float(picture.get("height"))
    assert all(0 < float(t.get("y", 1)) < height for t in picture.iter(f"{SVG}text"))


@pytest.mark.parametrize(
    "text", ["", "a", "one two three " * 9, "W" * 99, "日本語" * 40, "a-b_c/" * 30]
)
def test_lines_fit_and_nothing_is_lost(text):
    lines = wrap(text, 200, 13)
    assert all(line and text_width(line, 13) <= 200 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_the_legend_does_not_overlap(tmp_path):
    """By the estimated widths: no name reaches its neighbour in the row, or the border."""
    names = ["a", "base-run", "mask-25", "mask-15", "W" * 6]
    picture = draw(tmp_path, *(run_folder(tmp_path / name) for name in names))
    rows = {}
    for text in picture.iter(f"{SVG}text"):
        if text.text in names:
            rows.setdefault(text.get("y"), []).append((float(text.get("x")), text.text))
    assert sum(map(len, rows.values())) == len(names) > len(rows)
    for row in rows.values():
        starts = [x for x, _ in row] + [float(picture.get("width")) - MARGIN]
        for (x, name), following in zip(row, starts[1:], strict=True):
            assert x + text_width(name, 13) <= following


def test_the_page_holds_the_same_curves_and_the_cost(tmp_path, capsys):
    base = run_folder(tmp_path / "base", auc=0.6)
    post = run_folder(tmp_path / "post", losses=(3.9, 3.8), init=base)
    assert program.main([base, post]) == 0
    path = tmp_path / "base" / "report.html"
    assert capsys.readouterr().out == f"{path}\n"
    page = path.read_text(encoding="utf-8")
    check_whole(page)
    assert [len(svg.findall("g")) for svg in svgs(page, "chart")] == [2, 2]
    rows = table_of(page, "tokens/s")
    assert [row[:4] for row in rows] == [
        ["base", "ELECTRA", "pre-training", "random weights"],
        ["post", "masked LM", "post-pre-training", "base"],
    ]
    assert [row[4:7] for row in rows] == [["20.0", "200", "2,000"], ["10.0", "100", "1,000"]]


def test_nothing_of_a_run_acts_on_the_page(tmp_path):
    run = run_folder(tmp_path / "run", init=NASTY)
    config = tmp_path / "run" / "config.json"
    config.write_text(json.dumps({"objective": NASTY, "init": NASTY}))
    assert program.main([run]) == 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    check_whole(page)
    assert "<script" not in page


# ---------------------------------------------------------------- names and logs


def test_names_are_as_short_as_they_can_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "c", tmp_path / "b/../d"]
    assert shortest_names(paths) == ["a/run", "b/run", "c", "d"]
    monkeypatch.chdir(tmp_path / "a")
    assert shortest_names([tmp_path.joinpath("x"), tmp_path / "a" / "."]) == ["x", "a"]


def test_a_log_stands_for_its_folder(tmp_path):
    run = run_folder(tmp_path / "run")
    whole = draw(tmp_path, run)
    assert texts(draw(tmp_path, f"{run}/metrics.jsonl")) == texts(whole)


@pytest.mark.parametrize("cut", ["{", '{"step": 300, "split": "val', "\0\0", '{"a": "\ud83d'])
def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path, cut):
    run = run_folder(tmp_path / "run")
    whole = read_runs([tmp_path / "run"], "tokens")
    with open(tmp_path / "run" / "metrics.jsonl", "ab") as log:
        log.write(cut.encode("utf-8", "surrogatepass"))
    assert read_runs([tmp_path / "run"], "tokens") == whole
    assert len(panels(draw(tmp_path, run))) == 1


def test_a_figure_that_is_not_finite_is_left_out(tmp_path):
    run = run_folder(tmp_path / "run", losses=(8.3, 5.0, float("nan"), 4.0, float("inf")))
    [[(_, points)]] = panels(draw(tmp_path, run))
    assert len(points) == 2


FINE = json.dumps(evaluation(0, 8.3)) + "\n"
BAD_LOGS = {
    "empty": ("", "no evaluation"),
    "training alone": ('{"step": 1, "split": "train", "tokens": 9}\n', "no evaluation"),
    "another length alone": (FINE.replace('"valid"', '"valid_512"'), "no evaluation"),
    "not JSON inside": ("{\n" + FINE, "line 1: not JSON"),
    "too deep": ("[" * 100_000 + "\n" + FINE, "line 1: not JSON"),
    "a list": ("[]\n" + FINE, "line 1"),
    "no step": ('{"split": "valid"}\n', "step is missing"),
    "no seconds": ('{"split": "valid", "step": 1}\n', "seconds is missing"),
    "no tokens": (FINE + '{"split": "train", "step": 1}\n', "line 2: tokens is missing"),
    "no accuracy": (FINE.replace("mlm_acc", "acc"), "mlm_acc is missing"),
    "a loss in words": (FINE.replace("8.3", '"low"'), "mlm_loss is not"),
    "huge": (FINE.replace('"seconds": 0.0', '"seconds": 1e300'), "seconds is not"),
    "no loss": (FINE.replace("8.3", "NaN"), "no finite loss"),
}


def refusal(capsys, *arguments):
    """The one line of a refusal."""
    assert program.main(list(map(str, arguments))) == 2
    written = capsys.readouterr()
    assert written.out == "" and written.err.count("\n") == 1
    assert written.err.startswith("report.py: error: ")
    return written.err


@pytest.mark.parametrize("log,match", BAD_LOGS.values(), ids=BAD_LOGS)
def test_a_bad_log_is_one_line_that_names_the_folder(tmp_path, capsys, log, match):
    good, bad = run_folder(tmp_path / "good"), run_folder(tmp_path / "bad", log=log)
    line = refusal(capsys, good, bad, "--out", tmp_path / "x.svg")
    assert bad in line and match in line and not (tmp_path / "x.svg").exists()


def test_a_log_without_training_is_not_drawn_over_tokens(tmp_path, capsys):
    run = run_folder(tmp_path / "run", log=FINE + json.dumps(evaluation(100, 5.0)) + "\n")
    assert len(panels(draw(tmp_path, run))) == 1
    assert program.main([run]) == 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert table_of(page, "tokens/s")[0][5:8] == ["100", "–", "–"]
    assert "at step 100, 10.0 min, – tokens" in page
    capsys.readouterr()
    assert f"{run} has no count of tokens" in refusal(capsys, run, "--by", "tokens")


def test_tokens_between_and_after_the_lines_of_training():
    """1,000 tokens until step 100, 3,000 until 200; later steps as full as those before."""
    log = [
        {"step": step, "split": "train", "tokens": tokens}
        for step, tokens in ((100, 1000), (200, 2000))
    ]
    log += [evaluation(step, 5.0) for step in (0, 50, 100, 150, 200, 300)]
    curve = held_out(log)["curve"]
    assert [point["tokens"] for point in curve] == [0, 500, 1000, 2000, 3000, 4500]


BAD_CONFIGS = {
    "not JSON": ("{", "config.json"),
    "a list": ("[]", "config.json"),
    "no objective": ("{}", "objective is missing"),
    "a fine-tuning": ('{"task": "sst2"}', "give its result.json"),
    "an init that is no path": ('{"objective": "mlm", "init": 5}', "init"),
}


@pytest.mark.parametrize("config,match", BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_bad_settings_are_one_line(tmp_path, capsys, config, match):
    run = run_folder(tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(config)
    line = refusal(capsys, run)
    assert run in line and match in line


@pytest.mark.parametrize("name", ["result.json", "results.json"])
def test_a_folder_with_results_is_told_by_its_file(tmp_path, capsys, name):
    run = run_folder(tmp_path / "run")
    (tmp_path / "run" / name).write_text("{}")
    assert f"give {run}/{name}" in refusal(capsys, run)


@pytest.mark.parametrize("missing", ["config.json", "metrics.jsonl"])
def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys, missing):
    run = run_folder(tmp_path / "run")
    (tmp_path / "run" / missing).unlink()
    assert f"{run} is not a run folder" in refusal(capsys, run)


def test_what_cannot_be_drawn_together_is_refused(tmp_path, capsys, results):
    run, path = run_folder(tmp_path / "run"), tmp_path / "results.json"
    path.write_text(json.dumps(results))
    assert "do not go together" in refusal(capsys, run, path)
    assert "give one of them" in refusal(capsys, path, path)
    assert "given twice" in refusal(capsys, run, f"{run}/metrics.jsonl")
    typo = tmp_path / "typo"
    assert f"error: {typo}: No such file" in refusal(capsys, run, typo)
    assert f"error: {path}/x: Not a directory" in refusal(capsys, f"{path}/x")
    assert "--by is for run folders" in refusal(capsys, path, "--by", "tokens")


@pytest.mark.parametrize("name", ["ckpt.pt", "ckpt-200.pt", "config.json"])
def test_a_file_of_a_run_is_refused_with_the_folder_to_give(tmp_path, capsys, name):
    run = run_folder(tmp_path / "run")
    (tmp_path / "run" / name).touch()
    for paths in ([f"{run}/{name}"], [run, f"{run}/{name}"]):
        assert f"{run}/{name} has no curve: give the run folder {run}\n" in refusal(capsys, *paths)
    copy = tmp_path / "copy.pt"
    copy.touch()
    assert f"{copy} has no curve: give the run folder of train.py" in refusal(capsys, copy)


@pytest.mark.parametrize("name", ["x.png", "x", "x.svgz", ".svg"])
def test_another_suffix_is_refused(tmp_path, capsys, name):
    run = run_folder(tmp_path / "run")
    assert f"{tmp_path / name}: the name has to end in" in refusal(
        capsys, run, "--out", tmp_path / name
    )
    assert not (tmp_path / name).exists()


def test_a_file_of_results_makes_no_picture(tmp_path, capsys, results):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    assert "has to end in .html" in refusal(capsys, path, "--out", tmp_path / "x.svg")


def test_an_input_is_not_replaced(tmp_path, capsys):
    run = run_folder(tmp_path / "run")
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    (tmp_path / "x.svg").symlink_to(tmp_path / "run" / "metrics.jsonl")
    for out in (tmp_path / "run" / ".." / "run" / "metrics.jsonl", tmp_path / "x.svg"):
        assert "would replace the results" in refusal(capsys, run, "--out", out)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_a_run_of_an_earlier_version_is_drawn(tmp_path):
    folder = tmp_path / "run"
    source = Path(__file__).parents[1] / "data" / "earlier_version" / "run"
    folder.mkdir()
    for name in ("config.json", "metrics.jsonl"):
        shutil.copy(source / name, folder)
    assert [len(panel) for panel in panels(draw(tmp_path, str(folder)))] == [1, 2]
