"""scripts/significance.py: verdicts where the truth is known, intervals, refusals."""

import importlib.util
import json
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from electra.evaluation.classification import accuracy
from electra.evaluation.compared_results import PairedPredictions
from electra.evaluation.metrics import METRICS
from electra.evaluation.significance import (
    paired_bootstrap,
    resampled_accuracy_differences,
    resampled_differences,
    welch_interval,
)

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "significance.py"
WORDS = ("negative", "positive", "neutral")

_spec = importlib.util.spec_from_file_location("significance", SCRIPT)
program = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(program)

pytestmark = [pytest.mark.fast, pytest.mark.filterwarnings("error")]


# ---------------------------------------------------------------- results to compare


def word(value):
    return f"{value:.4f}" if isinstance(value, float) else WORDS[value]


def write_table(path, gold, predictions):
    """predictions: {seed: (N,)}."""
    lines = ["\t".join(["index", "gold", *(f"seed {seed}" for seed in predictions)])]
    lines += [
        "\t".join([str(i), *map(word, row)])
        for i, row in enumerate(zip(gold, *predictions.values(), strict=True))
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_run(folder, gold, predictions, test=None, metric="accuracy", **changes):
    """Write a run folder as finetune.py does and return its result.json.

    test: (gold, predictions), or None.
    """
    folder.mkdir()

    def score(gold, one):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return METRICS[metric](gold, one)

    seeds = [
        {
            "seed": seed,
            "dev": score(gold, one),
            "test": score(test[0], test[1][seed]) if test else None,
        }
        for seed, one in predictions.items()
    ]
    write_table(folder / "dev_predictions.tsv", gold, predictions)
    if test:
        write_table(folder / "test_predictions.tsv", *test)
    labels = [] if metric in ("pearson", "spearman") else list(WORDS)
    content = {
        "task": "sst2",
        "metric": metric,
        "also": [],
        "labels": labels,
        "seeds": seeds,
        **changes,
    }
    (folder / "result.json").write_text(json.dumps(content))
    return folder / "result.json"


def spoil(gold, *ranges):
    """Gold (N,) of two classes -> predictions that are wrong in these ranges of indices."""
    found = np.array(gold)
    for start, end in ranges:
        found[start:end] = 1 - found[start:end]
    return found.tolist()


GOLD = [i % 2 for i in range(200)]


@pytest.fixture
def better(tmp_path):
    """Right where `worse` is right, and on 20% more; three seeds that differ by one example."""
    return write_run(
        tmp_path / "better", GOLD, {seed: spoil(GOLD, (0, 20 + seed)) for seed in (1, 2, 3)}
    )


@pytest.fixture
def worse(tmp_path):
    return write_run(
        tmp_path / "worse", GOLD, {seed: spoil(GOLD, (0, 60 + seed)) for seed in (1, 2, 3)}
    )


@pytest.fixture
def say(capsys):
    """say(A, B, …) -> what the program prints; as an object where --json is among the arguments."""

    def run(*arguments):
        assert program.main([*map(str, arguments)]) == 0
        out, error = capsys.readouterr()
        assert error == ""
        return json.loads(out) if "--json" in arguments else out

    return run


@pytest.fixture
def refused(capsys):
    def run(message, *arguments):
        assert program.main([*map(str, arguments)]) == 2
        out, error = capsys.readouterr()
        assert out == "" and error.startswith("significance.py: error: ") and error.count("\n") == 1
        assert message in error

    return run


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# ---------------------------------------------------------------- verdicts


def test_the_one_that_is_right_on_more_is_ahead(better, worse, say):
    dev = say(better, worse, "--json")["dev"]
    assert dev["ahead"] == "A"
    assert dev["difference"] == pytest.approx(0.2)
    assert 0.1 < dev["over_examples"]["low"] < 0.2 < dev["over_examples"]["high"] < 0.3
    assert 0.15 < dev["over_seeds"]["low"] < 0.2 < dev["over_seeds"]["high"] < 0.25
    assert dev["over_examples"]["a_ahead"] == 1.0 and dev["over_examples"]["p"] == 2 / 10_001
    seeds = "over seeds 18.87 to 21.13"  # as the leader sees it, whichever of the two it is
    assert f"A is ahead by 20.00 points (95% interval {seeds};" in say(better, worse)
    assert f"B is ahead by 20.00 points (95% interval {seeds};" in say(worse, better)


def test_identical_runs_cannot_be_told_apart(better, say):
    dev = say(better, better, "--json")["dev"]
    assert (
        dev["difference"] == 0.0
        and dev["ahead"] is None
        and "cannot be told apart" in dev["verdict"]
    )
    assert dev["over_seeds"]["low"] < 0 < dev["over_seeds"]["high"]
    assert (dev["over_examples"]["low"], dev["over_examples"]["high"]) == (0, 0)
    assert (dev["over_examples"]["a_ahead"], dev["over_examples"]["p"]) == (0, 1)


@pytest.mark.parametrize(
    "metric", ("accuracy", "f1", "macro_f1", "matthews", "pearson", "spearman")
)
def test_swapping_the_two_negates_everything(tmp_path, say, metric):
    rng = np.random.default_rng(3)
    if metric in ("pearson", "spearman"):
        gold = rng.normal(size=40).round(4).tolist()

        def noisy(noise):
            return (np.array(gold) + noise * rng.normal(size=40)).round(4).tolist()
    else:
        gold = rng.integers(0, 3, 40).tolist()

        def noisy(noise):
            return np.where(rng.random(40) < noise, rng.integers(0, 3, 40), gold).tolist()

    a = write_run(tmp_path / "a", gold, {1: noisy(0.3), 2: noisy(0.3)}, metric=metric)
    b = write_run(
        tmp_path / "b", gold, {1: noisy(0.6), 5: noisy(0.7), 9: noisy(0.6)}, metric=metric
    )
    forth, back = (say(*pair, "--json", "--samples", "300")["dev"] for pair in ((a, b), (b, a)))
    assert back["difference"] == -forth["difference"] != 0
    for name in ("over_seeds", "over_examples"):
        assert [-back[name]["high"], -back[name]["low"]] == pytest.approx(
            [forth[name]["low"], forth[name]["high"]]
        )
        assert forth[name]["low"] < forth["difference"] < forth[name]["high"]
    assert back["over_examples"]["p"] == forth["over_examples"]["p"]
    assert {forth["ahead"], back["ahead"]} in ({"A", "B"}, {None})


def test_both_intervals_must_leave_out_zero(tmp_path, say):
    """Over examples A is ahead beyond doubt; but one of its seeds is as bad as B's."""
    a = write_run(tmp_path / "a", GOLD, {1: GOLD, 2: GOLD, 3: spoil(GOLD, (0, 60))})
    b = write_run(tmp_path / "b", GOLD, {seed: spoil(GOLD, (0, 60 + seed)) for seed in (1, 2, 3)})
    dev = say(a, b, "--json")["dev"]
    assert dev["over_examples"]["low"] > 0.1 and dev["over_seeds"]["low"] < 0
    assert dev["ahead"] is None and "the 95% interval over seeds holds 0" in dev["verdict"]
    small = [
        write_run(
            tmp_path / name,
            GOLD[:10],
            {seed: spoil(GOLD[:10], (0, seed % 2 + wrong)) for seed in range(6)},
        )
        for name, wrong in (("c", 0), ("d", 2))
    ]
    dev = say(*small, "--json")["dev"]
    assert dev["over_seeds"]["low"] > 0 and dev["over_examples"]["low"] <= 0
    assert dev["ahead"] is None and "the 95% interval over examples holds 0" in dev["verdict"]


def test_one_seed_has_no_spread_and_the_examples_decide(tmp_path, worse, say):
    single = write_run(tmp_path / "single", GOLD, {7: spoil(GOLD, (0, 20))})
    text = say(single, worse)
    assert "no interval: A with one seed, which has no spread" in text
    assert (
        "A is ahead by 21.00 points (95% interval over examples 1" in text
        and "; over seeds unknown)" in text
    )
    shown = say(single, single, "--json")["dev"]
    assert shown["over_seeds"] is None and shown["a_sd"] is None
    assert shown["missing"] == {"seeds": "A and B with one seed, which has no spread"}


def test_seeds_that_all_score_the_same_have_no_interval_of_width_zero(tmp_path, say):
    a, b = (
        write_run(
            tmp_path / name,
            GOLD,
            {seed: spoil(GOLD, (30 * seed, 30 * seed + wrong)) for seed in range(6)},
        )
        for name, wrong in (("a", 20), ("b", 22))
    )
    dev = say(a, b, "--json")["dev"]
    assert dev["over_seeds"] is None and "every seed scores the same" in dev["missing"]["seeds"]
    rounded = [score for score in (k / 100 for k in range(50, 100)) if np.std([score] * 6) > 0]
    assert rounded and all(welch_interval((score,) * 6, (0.3,) * 6) is None for score in rounded)


def test_without_predictions_the_seeds_decide(better, worse, say):
    (worse.parent / "dev_predictions.tsv").unlink()
    text = say(better, worse)
    assert f"over examples  no interval: no {worse.parent / 'dev_predictions.tsv'}\n" in text
    assert (
        "A is ahead by 20.00 points (95% interval over seeds 18." in text
        and "; over examples unknown)" in text
    )


def test_with_neither_nothing_is_claimed(tmp_path, say):
    a, b = (
        write_run(tmp_path / name, GOLD, {1: spoil(GOLD, (0, wrong))})
        for name, wrong in (("a", 0), ("b", 90))
    )
    (a.parent / "dev_predictions.tsv").unlink()
    dev = say(a, b, "--json")["dev"]
    assert dev["over_seeds"] is None and dev["over_examples"] is None and dev["ahead"] is None
    assert dev["verdict"] == (
        "A and B cannot be told apart: the difference is 45.00 points, and nothing here says how "
        "much of it is chance."
    )


def test_the_test_set_is_compared_where_both_have_scores(tmp_path, worse, say):
    runs = [
        write_run(
            tmp_path / name,
            GOLD,
            {1: GOLD, 2: spoil(GOLD, (0, 2))},
            test=(
                GOLD[:100],
                {1: spoil(GOLD[:100], (0, wrong)), 2: spoil(GOLD[:100], (0, wrong + 1))},
            ),
        )
        for name, wrong in (("a", 40), ("b", 10))
    ]
    shown = say(*runs, "--json")
    assert shown["dev"]["ahead"] is None and shown["test"]["ahead"] == "B"
    assert (
        shown["test"]["difference"] == pytest.approx(-0.3)
        and shown["test"]["over_examples"]["examples"] == 100
    )
    text = say(*runs)
    assert text.index("\ndev\n") < text.index("\ntest\n") < text.index("B is ahead by 30.00 points")
    assert (
        "test: only A has scores" in say(runs[0], worse)
        and say(runs[0], worse, "--json")["test"] is None
    )


def test_the_same_seed_gives_the_same_figures(better, worse, say):
    assert say(better, worse, "--json") == say(better, worse, "--json")
    few = [
        say(better, worse, "--json", "--samples", 100, "--seed", seed)["dev"]["over_examples"]
        for seed in range(5)
    ]
    assert len({(found["low"], found["high"]) for found in few}) > 1


# ---------------------------------------------------------------- the intervals


def test_welch_interval_by_hand():
    """Variances 1 and 4 of 3 and 5 values: squared errors 1/3 and 4/5."""
    a, b = (0.0, 1.0, 2.0), (-2.0, -2.0, 0.0, 2.0, 2.0)
    low, high, df = welch_interval(a, b)
    assert df == pytest.approx((1 / 3 + 4 / 5) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 5) ** 2 / 4))
    assert (low + high) / 2 == pytest.approx(1.0)
    assert high - low == pytest.approx(
        2 * 2.45 * math.sqrt(1 / 3 + 4 / 5), rel=0.005
    )  # t of 5.96 degrees, a table's


def test_welch_interval_equals_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for n, m in ((2, 2), (3, 5), (10, 2)):
        a, b = rng.normal(0.8, 0.01, n), rng.normal(0.7, 0.05, m)
        expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
        assert welch_interval(tuple(a), tuple(b))[:2] == pytest.approx(
            (expected.low, expected.high), rel=1e-9
        )


@pytest.mark.parametrize("n, m, sd", ((3, 3, 1.0), (8, 5, 3.0)))
def test_welch_interval_holds_the_truth_in_about_95_of_100(n, m, sd):
    rng = np.random.default_rng(n)
    held = 0
    for _ in range(1000):
        low, high, _ = welch_interval(tuple(rng.normal(1, 1, n)), tuple(rng.normal(0, sd, m)))
        held += low <= 1 <= high
    assert 925 <= held <= 980  # one standard error is 7; few seeds make it hold a little more


def test_bootstrap_of_accuracy_has_the_width_of_the_normal_approximation():
    rng = np.random.default_rng(1)
    gold = rng.integers(0, 2, 5_000)
    a, b = (
        np.stack([np.where(rng.random(5_000) < right, gold, 1 - gold) for _ in range(seeds)])
        for right, seeds in ((0.82, 3), (0.80, 2))
    )
    found = paired_bootstrap("accuracy", PairedPredictions(gold, a, b), 40_000, rng)
    each = (a == gold).mean(0) - (b == gold).mean(0)  # (N,)
    reach = 1.959964 * each.std() / math.sqrt(len(each))
    assert (found.low + found.high) / 2 == pytest.approx(each.mean(), abs=0.03 * reach)
    assert (found.high - found.low) / 2 == pytest.approx(reach, rel=0.03)
    beyond = 0.5 * math.erfc(each.mean() / (each.std() / math.sqrt(len(each))) / math.sqrt(2))
    assert found.a_ahead == pytest.approx(1 - beyond, abs=0.01) and found.p == pytest.approx(
        2 * beyond, abs=0.01
    )


def test_drawing_counts_is_drawing_examples():
    """The fast way for accuracy has the distribution and the support of the general way."""
    rng = np.random.default_rng(2)
    gold = rng.integers(0, 2, 30)
    a = np.where(rng.random((2, 30)) < 0.7, gold, 1 - gold)
    b = np.where(
        rng.random((3, 30)) < 0.7, a[0], gold
    )  # they err together, so an unpaired draw would spread more
    pair = PairedPredictions(gold, a, b)
    short = resampled_accuracy_differences(pair, 4_000, rng)
    long = resampled_differences(accuracy, pair, 4_000, rng)
    assert np.allclose(short * 30 * 6, (short * 30 * 6).round()) and np.allclose(
        long * 30 * 6, (long * 30 * 6).round()
    )
    grid = np.linspace(-0.5, 0.5, 51) + 1e-4
    gaps = (short[:, None] <= grid).mean(0) - (long[:, None] <= grid).mean(0)
    assert np.abs(gaps).max() < 0.04  # Kolmogorov and Smirnov reach 0.04 once in 300 at this size
    assert short.std() == pytest.approx(long.std(), rel=0.06)


def test_bootstrap_of_a_correlation_has_the_width_of_fishers_z():
    rng = np.random.default_rng(4)
    gold, noise = rng.normal(size=(2, 400))
    pair = PairedPredictions(gold, (gold + noise)[None], rng.normal(size=(1, 400)))
    found = paired_bootstrap("pearson", pair, 1_000, rng)
    r = [np.corrcoef(gold, gold + noise)[0, 1], 0.0]
    error = math.sqrt(sum((1 - value**2) ** 2 for value in r) / 400)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.15)


def test_a_resample_of_one_class_is_no_noise(tmp_path, say):
    a, b = (
        write_run(tmp_path / name, [0, 1, 0], {1: one, 2: [0, 0, 0]}, metric="matthews")
        for name, one in (("a", [0, 1, 0]), ("b", [1, 1, 0]))
    )
    assert say(a, b, "--samples", "200", "--json")["dev"]["over_examples"]["examples"] == 3


@pytest.mark.parametrize("metric", ("accuracy", "macro_f1"))
def test_the_order_of_the_seeds_is_no_difference(metric):
    """Equal means that are added in another order are equal, not 1e-17 ahead in half of the
    resamples."""
    rng = np.random.default_rng(6)
    gold, a = rng.integers(0, 3, 50), rng.integers(0, 3, (3, 50))
    found = paired_bootstrap(metric, PairedPredictions(gold, a, a[[2, 0, 1]]), 200, rng)
    assert (found.low, found.high, found.a_ahead, found.p) == (0, 0, 0, 1)


def test_f1_is_of_the_second_label_whatever_its_word(tmp_path, say):
    gold = [0, 1, 1, 0]
    a = write_run(tmp_path / "a", gold, {1: [0, 1, 0, 0]}, metric="f1")
    assert say(a, a, "--json", "--samples", "100")["dev"]["a_mean"] == pytest.approx(2 / 3)


# ---------------------------------------------------------------- refusals


def test_files_that_are_no_result_are_refused(better, tmp_path, refused):
    refused("nowhere.json: no such file", better, tmp_path / "nowhere.json")
    broken = tmp_path / "broken.json"
    for content, message in (
        (b"{", "not a JSON"),
        (b"\xff", "not a JSON"),
        (b"[" * 100_000, "not a JSON"),
        (b"[]", "not a result of finetune"),
        (b'{"task": "sst2"}', "not a result of finetune"),
    ):
        broken.write_bytes(content)
        refused(f"broken.json: {message}", broken, better)


@pytest.mark.parametrize(
    "changes, message",
    (
        ({"task": "imdb"}, "cannot be compared: task 'sst2' and 'imdb'"),
        ({"metric": "f1"}, "cannot be compared: metric 'accuracy' and 'f1'"),
        ({"metric": "rouge"}, "metric 'rouge' is none of accuracy, f1"),
        ({"labels": ["positive", "negative"]}, "cannot be compared: labels ("),
        ({"seeds": []}, "no seeds"),
        ({"seeds": [3]}, "an entry of seeds has no seed number"),
        ({"seeds": [{"seed": 1, "dev": 0.5}, {"seed": 1, "dev": 0.6}]}, "seed 1 occurs twice"),
        ({"seeds": [{"seed": 1, "dev": None}]}, "the dev score of seed 1 is None"),
        ({"seeds": [{"seed": 1, "dev": math.nan}]}, "the dev score of seed 1 is nan"),
        (
            {"seeds": [{"seed": 1, "dev": 83.0}]},
            "the dev score of seed 1 is 83.0, not from -1 to 1",
        ),
        (
            {"seeds": [{"seed": 1, "dev": 0.5}]},
            "its columns are not those of result.json, index, gold, seed 1",
        ),
    ),
)
def test_results_that_cannot_be_compared_are_refused(better, worse, refused, changes, message):
    edit(worse, **changes)
    refused(message, better, worse)


def test_other_examples_are_refused(better, worse, refused):
    path = worse.parent / "dev_predictions.tsv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    refused("not of the same examples: 200 rows and 199", better, worse)
    path.write_text("".join([*lines[:5], lines[5].replace("negative", "positive", 1), *lines[6:]]))
    refused("line 6 has index and gold ('4', 'negative') and ('4', 'positive')", better, worse)
    path.write_text("".join([lines[0], *lines[2:], lines[1]]))
    refused("line 2 has index and gold ('0', 'negative') and ('1', 'positive')", better, worse)


def test_broken_tables_are_refused(better, worse, refused):
    path = worse.parent / "dev_predictions.tsv"
    whole = path.read_bytes()
    for content, message in (
        (whole[:-12], "columns where the header has 5"),
        (whole.split(b"\n")[0], "no rows"),
        (b"", "its columns are not those"),
        (b"\xff" + whole, "not UTF-8"),
        (whole[:-9] + b"unheard\n", "dev_predictions.tsv:201: 'unheard' is not among the labels"),
    ):
        path.write_bytes(content)
        refused(message, better, worse)


def test_predictions_of_another_run_are_refused(better, worse, refused):
    (better.parent / "dev_predictions.tsv").rename(worse.parent / "dev_predictions.tsv")
    write_table(
        better.parent / "dev_predictions.tsv",
        GOLD,
        {seed: spoil(GOLD, (0, 20 + seed)) for seed in (1, 2, 3)},
    )
    refused("the predictions of seed 1 score 0.8950, but result.json says 0.6950", better, worse)


def test_values_that_are_no_numbers_are_refused(tmp_path, refused):
    gold = [0.5, 1.0, 2.0]
    a, b = (
        write_run(tmp_path / name, gold, {1: [0.1, 0.3, 0.2]}, metric="pearson") for name in "ab"
    )
    path = b.parent / "dev_predictions.tsv"
    for bad, message in (
        ("nan", ":4: not a finite number"),
        ("much", "could not convert string to float: 'much'"),
    ):
        write_table(path, gold, {1: [0.1, 0.3, 0.2]})
        path.write_text(path.read_text().replace("0.2000", bad))
        refused(message, a, b)


def test_f1_needs_the_labels(tmp_path, refused):
    a = write_run(tmp_path / "a", [0, 1], {1: [0, 1]}, metric="f1", labels=None)
    refused("it is unknown which of the classes F1 is of", a, a)


@pytest.mark.parametrize(
    "arguments, message",
    (
        (["--samples", "99"], "--samples must be 100 or more"),
        (["--seed", "-1"], "--seed must be 0 or more"),
        (["--jso"], "--jso"),
    ),
)
def test_settings_out_of_range_are_refused(better, capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        program.main([str(better), str(better), *arguments])
    assert message in capsys.readouterr().err


# ---------------------------------------------------------------- the program


def test_the_program_as_a_user_runs_it(better, worse):
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, SCRIPT, *arguments],
            text=True,
            capture_output=True,
            cwd=better.parent,
            env={**os.environ, **environment},
        )

    done = run("result.json", worse)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:5] == [
        "sst2, accuracy in points",
        "  A  result.json, seeds 1, 2, 3",
        f"  B  {worse}, seeds 1, 2, 3",
        "",
        "dev",
    ]
    assert lines[5:8] == [
        "  A              89.00 ± 0.50",
        "  B              69.00 ± 0.50",
        "  A - B          20.00",
    ]
    assert lines[8] == "  over seeds     18.87 to 21.13 (95%, Welch, 4.0 degrees of freedom)"
    assert lines[9].startswith("  over examples  1") and lines[9].endswith(
        "(95%, 10,000 resamples of 200 examples; A ahead in 100.0%, p = 0.0002)"
    )
    assert lines[10].startswith(
        "  A is ahead by 20.00 points (95% interval over seeds 18.87 to 21.13; over examples 1"
    )
    assert len(lines) == 11
    done = run("result.json", "nowhere.json")
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1
