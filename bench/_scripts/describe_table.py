"""What a user would look at before training on a table: `describe_table.py FILE`."""

import sys

import pandas as pd

file = sys.argv[1]
frame = pd.read_csv(file) if file.endswith(".csv") else pd.read_parquet(file)
print(frame.describe().T)
print(frame.isna().sum())
print(frame.nunique())
print(frame.duplicated().sum(), "duplicates")
