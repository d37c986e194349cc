"""What a fine-tuning leaves behind: the classifier, the tables of predictions, the last lines."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from electra.checkpoint.checkpoint import Checkpoint, make_checkpoint
from electra.checkpoint.next_command import next_command
from electra.checkpoint.run_folder import RunFolder
from electra.checkpoint.storage import save_checkpoint
from electra.config import FinetuneConfig, to_dict
from electra.evaluation import results
from electra.evaluation.results import Outcome
from electra.files import write_atomically
from electra.model.build import with_weights
from electra.report.finetuning import finetune_page, held_out_rows
from electra.tasks.task import TaskData
from electra.training.finetuning import Prepared
from electra.training.finetuning_seed import say_red


def save_results(
    folder: RunFolder,
    config: FinetuneConfig,
    prepared: Prepared,
    outcomes: list[Outcome],
    began: float,
) -> dict[str, Any]:
    """Write the classifier, the tables, the page, and result.json last; say how it went.

    began: when the fine-tuning began, on the monotonic clock. Returns what result.json holds.
    """
    data = prepared.data
    best = max(outcomes, key=lambda outcome: outcome.dev)
    checkpoint = save_classifier(folder, config, prepared, best)

    seconds = time.monotonic() - began
    result = results.summary(data, outcomes, best, seconds, to_dict(config))
    write_tables(folder, data, outcomes, best)
    if config.report:
        page = finetune_page(result, held_out_rows(folder.path / "predictions.tsv"))
        write_atomically(folder.path / "report.html", page.encode())
    folder.write_json("result.json", result)

    print_result(folder, data, result, seconds, config.report)
    print(f"  {next_command(folder.checkpoint, checkpoint.kind, checkpoint.pairs)}")
    if any(outcome.collapsed for outcome in outcomes):
        say_red("at least one seed has learned nothing: do not read these scores as a model's.")
    return result


def save_classifier(
    folder: RunFolder, config: FinetuneConfig, prepared: Prepared, best: Outcome
) -> Checkpoint:
    """Write the best seed's model as the checkpoint of the run folder, and return it.

    Raises ValueError.
    """
    data = prepared.data
    model = with_weights(
        lambda config: prepared.kind.make_model(config, data),
        *(prepared.model_config, best.state, folder.checkpoint),
    )
    checkpoint = replace(
        make_checkpoint(model, prepared.tokenizer, config),
        labels=data.labels,
        pairs=getattr(data.train[0], "text_b", None) is not None,
        scale=data.task.scale,
        thresholds=best.thresholds,
    )
    if prepared.checkpoint is not None:
        checkpoint = replace(checkpoint, origin=prepared.checkpoint.origin_now())
    save_checkpoint(folder.checkpoint, checkpoint)
    return checkpoint


def write_tables(folder: RunFolder, data: TaskData, outcomes: list[Outcome], best: Outcome) -> None:
    """Write predictions.tsv of the best seed, and <set>_predictions.tsv of all seeds."""
    write_atomically(folder.path / "predictions.tsv", results.predictions_tsv(data, best))
    for name, examples in results.sets_of(data).items():
        table = results.every_seed_tsv(data, examples, name, outcomes)
        write_atomically(folder.path / f"{name}_predictions.tsv", table)


def print_result(
    folder: RunFolder, data: TaskData, result: dict[str, Any], seconds: float, report: bool
) -> None:
    """The scores, and which files there are. report: whether report.html was drawn."""
    count = len(result["seeds"])
    spread = f" ± {result['dev_sd']:.2%} over {count} seeds" if count > 1 else ""
    majority = ""
    floor = results.SCORINGS[data.task.kind].floor(data)
    if floor is not None:
        majority = f" ({floor[0]}: {floor[1]:.2%})"
    print(
        f"\n{data.task.name} {data.task.metric}, held out: {result['dev_mean']:.2%}"
        f"{spread}{majority}"
    )
    before = [seed["dev_labelled_only"] for seed in result["seeds"]]
    if None not in before:
        print(f"held out, before the unlabelled texts: {sum(before) / count:.2%}")
    if result["test_mean"] is not None:
        spread = f" ± {result['test_sd']:.2%}" if count > 1 else ""
        print(f"test: {result['test_mean']:.2%}{spread}")
    print(
        f"{folder.path / 'result.json'}, predictions.tsv{', report.html' if report else ''} and "
        f"ckpt.pt are written ({seconds / 60:.1f} minutes). Next:"
    )
