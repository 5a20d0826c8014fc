"""What a person does with own data, runs and checkpoints; the page's door to data, train and evaluate."""
