"""Transformers of a table's columns, each with one idea; `dlcli.preprocessing.table.Table` composes them."""
