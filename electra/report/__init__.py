"""Results as HTML pages without scripts: a comparison of models, or one fine-tuning."""
