"""Models of transformers for tests, and how ours are compared with them."""

import torch

from huggingface.checks import computed
from huggingface.released import random_batch

SMALL = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
}


def shaken(model):
    """A model of theirs whose biases are not 0 and whose LayerNorms are not 1."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


@torch.no_grad()
def assert_equal_to(theirs, model, network, vocab_size, lengths=(20, 13, 4), width=20):
    """Hidden states of every layer and logits, within 1e-5."""
    batch = random_batch(vocab_size, lengths, width)
    said = theirs(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask.long(),
        token_type_ids=batch.token_type_ids,
        output_hidden_states=True,
    )
    states, logits = computed(model, network, batch)
    assert len(said.hidden_states) == len(states)
    for mine, other in zip(states, said.hidden_states, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)
    other = said.get("logits", said.get("prediction_logits"))
    if other is not None:
        torch.testing.assert_close(logits, other, rtol=0, atol=1e-5)
        assert other.std() > 0.02
    return other is not None
