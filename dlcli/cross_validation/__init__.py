"""Cross-validation: run the folds as jobs and combine their results into one estimate."""
