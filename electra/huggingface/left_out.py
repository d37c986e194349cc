"""What released and re-saved files carry that a model here has no place for, and does not need."""

from __future__ import annotations

# Description -> names of tensors, without the network's prefix. A name that ends in a dot is the
# beginning of names.
_TENSORS = {
    "position numbers": ("embeddings.position_ids",),
    "pooler": ("pooler.",),
    "next-sentence head": ("cls.seq_relationship.",),
    "task head": ("classifier.", "qa_outputs.", "sequence_summary."),
}
# Present in released ELECTRAs whose two sizes are equal; `transformers` does not use it either.
_PROJECTION = "embeddings_project."
# Parts of the names of what an optimizer of TensorFlow stored beside the weights.
_OPTIMIZER_PARTS = {
    "adam_m",
    "adam_v",
    "AdamWeightDecayOptimizer",
    "AdamWeightDecayOptimizer_1",
    "global_step",
}
OPTIMIZER_STATE = "optimizer state"
# Entries of a pickled file that are no tensors and stand beside the weights.
TRAINING_ENTRIES = {
    "epoch",
    "global_step",
    "lr_scheduler",
    "optimizer",
    "optimizer_state_dict",
    "scheduler",
    "scheduler_state_dict",
    "step",
}


def why_left_out(name: str, has_projection: bool) -> str | None:
    """What a tensor is that is left out; None where it is none of these.

    name: without the network's prefix. has_projection: whether the network's embedding size differs
    from its hidden size, so that it needs its projection.
    """
    for description, known in _TENSORS.items():
        if any(name == one or (one.endswith(".") and name.startswith(one)) for one in known):
            return description
    if name.startswith(_PROJECTION) and not has_projection:
        return "unused projection"
    if _OPTIMIZER_PARTS & set(name.replace("/", ".").split(".")) or name in TRAINING_ENTRIES:
        return OPTIMIZER_STATE
    return None
