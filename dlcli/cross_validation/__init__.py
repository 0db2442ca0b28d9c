"""Cross-validation: folds as jobs, their results as one estimate."""
