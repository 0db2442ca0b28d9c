"""Reading the cells of a table: decided once, on whole columns, and saved with the model.

To be read in this order: `cells`, `number_formats` and `date_formats` (with `date_patterns` and `months`) recognize
values. `deciding` (with `date_columns`) determines the type of each column, and `settling` resolves ambiguous ones by
the other columns of the file; `doubts` contains warnings. `column` is the result for one column, and reads its cells in
the training file and in new ones; `columns` are those of a table, as JSON. `reading_options` are the user's keys, and
`frames` reads tables in memory.
"""
