"""Example results of a comparison and of two fine-tunings, and the page of any of them."""

import pytest

from electra.report.comparison import html_report
from electra.report.finetuning import finetune_page

from .pages import NASTY, changed_strings
from .samples import bin_, point, run, scores, seed, token


@pytest.fixture
def results():
    return {
        "format": 1,
        "title": "A comparison",
        "date": "2026-11-23",
        "machine": "two cores",
        "command": "compare_models.py",
        "equal": {"by": "time", "text": "60 minutes each"},
        "pretraining": [
            run(
                "BERT",
                "mlm",
                None,
                [point(0, 8.3), point(200, 5.0), point(400, 4.2), point(600, 3.6)],
            ),
            run("BERT post", "mlm", "BERT", [point(0, 4.0), point(300, 3.6), point(600, 3.4)]),
            run(
                "ELECTRA",
                "electra",
                None,
                [point(0, 8.3, 0.5), point(300, 4.6, 0.6), point(600, 4.1, 0.75)],
            ),
            run("ELECTRA post", "electra", "ELECTRA", [point(0, 4.4, 0.7), point(600, 3.9, 0.78)]),
        ],
        "rows": [
            {
                "name": "Floor",
                "kind": "reference",
                "pretraining_minutes": None,
                "scores": {"imdb": scores(None, [0.99], [0.905], ())},
            },
            {
                "name": "BERT",
                "kind": "model",
                "pretraining_minutes": 60.0,
                "scores": {
                    "imdb": scores([0.70, 0.71, 0.72], [0.861, 0.858, 0.866], [0.85, 0.86, 0.852]),
                    "sst2": scores([0.74, 0.75, 0.75], [0.83, 0.86, 0.84], None),
                },
            },
            {
                "name": "BERT post",
                "kind": "model",
                "pretraining_minutes": 120.0,
                "scores": {
                    "imdb": scores([0.73, 0.74, 0.72], [0.871, 0.868, 0.876], [0.86, 0.87, 0.862])
                },
            },
            {
                "name": "ELECTRA",
                "kind": "model",
                "pretraining_minutes": 60.0,
                "scores": {
                    "imdb": scores([0.60, 0.61, 0.62], [0.851, 0.848, 0.856], [0.84, 0.85, 0.836]),
                    "sst2": scores([0.66], [0.82], None, (1,)),
                },
            },
            {
                "name": "ELECTRA post",
                "kind": "model",
                "pretraining_minutes": 120.0,
                "scores": {
                    "imdb": scores([0.63, 0.61, 0.62], [0.881, 0.878, 0.886], [0.88, 0.87, 0.89])
                },
            },
        ],
        "replaced_view": [
            {
                "model": "ELECTRA",
                "tokens": [
                    token("the", p=0.02),
                    token("woman", "banana", 0.93),
                    token("sle", "wa", 0.4),
                    token("pt", p=0.6, space=False),
                    token("well", masked=True),
                ],
            },
            {"model": "ELECTRA post", "tokens": [token("the"), token("woman", "banana", 0.97)]},
        ],
    }


@pytest.fixture
def tuning():
    """(result, rows): three seeds, three labels, 20 held-out examples of which five are wrong."""
    counts = [[8, 1, 0], [2, 4, 0], [0, 2, 3]]
    labels = ["negative", "mixed", "positive"]
    rows = [
        {
            "text": f"text {i}{j}{k}",
            "gold": labels[i],
            "prediction": labels[j],
            "p": 0.9 - 0.01 * k,
            "p_gold": 0.9 - 0.01 * k if i == j else 0.05 + 0.01 * k,
        }
        for i, line in enumerate(counts)
        for j, count in enumerate(line)
        for k in range(count)
    ]
    result = {
        "task": "sst2",
        "metric": "accuracy",
        "also": ["f1"],
        "labels": labels,
        "regression": False,
        "seeds": [seed(1, 0.70, 0.69), seed(2, 0.75, 0.71), seed(3, 0.45, 0.44, collapsed=True)],
        "best_seed": 2,
        "dev_mean": 0.633,
        "dev_sd": 0.16,
        "dev_median": 0.7,
        "dev_best": 0.75,
        "test_mean": 0.61,
        "test_sd": 0.15,
        "seconds": 1234.5,
        "train_examples": 67349,
        "confusion": counts,
        "calibration": [
            bin_(0.4, 0, None, None),
            bin_(0.5, 4, 0.55, 0.5),
            bin_(0.8, 6, 0.86, 1.0),
            bin_(0.9, 10, 1.0000001, 0.8),
        ],
        "settings": {
            "init": "runs/a/ckpt.pt",
            "lr": 4e-4,
            "seeds": [1, 2, 3],
            "text_columns": ["text"],
            "data": None,
        },
    }
    return result, sorted(rows, key=lambda row: row["p_gold"])


@pytest.fixture
def regression(tuning):
    result, _ = tuning
    rows = [
        {
            "text": f"pair {gold}",
            "gold": f"{gold:.4f}",
            "prediction": f"{gold + off:.4f}",
            "p": None,
            "p_gold": None,
        }
        for gold, off in ((0.0, 1.25), (1.5, -1.0), (5.0, -0.75), (2.5, 0.0))
    ]
    for one in result["seeds"]:
        one.update(ece=None, collapsed=False, retried=False)
    return {
        **result,
        "regression": True,
        "labels": [],
        "confusion": None,
        "calibration": None,
    }, rows


@pytest.fixture(params=["comparison", "fine-tuning", "regression"])
def any_page(request, results, tuning):
    """any_page(change) -> the page of data in which every string went through `change`."""
    if request.param == "comparison":
        return lambda change: html_report(changed_strings(results, change))
    result, rows = (
        tuning if request.param == "fine-tuning" else request.getfixturevalue("regression")
    )
    if request.param == "fine-tuning":
        rows = [{**row, "gold": f"{row['gold']}{NASTY}"} for row in rows]
    return lambda change: finetune_page(
        changed_strings(result, change), changed_strings(rows, change)
    )
