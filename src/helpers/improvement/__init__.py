"""Improving the model: what the data lacks, the prompt, a gate behind the model, and ratings that train it again."""
