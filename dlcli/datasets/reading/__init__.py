"""What the cells of a table mean: decided once, on whole columns, and saved with the model.

To read in this order: `words`, `numbers` and `dates` (with `date_patterns` and `months`) know how people write values.
`deciding` (with `date_columns`) decides on each column, and `settling`, by the other columns, on those with two
readings; `doubts` are notes for the user. `column` is the result for one column, and reads its cells in the training
file and in new ones; `columns` are those of a table, as JSON. `options` are the user's keys, and `frames` reads tables
in memory.
"""
