"""Transformers of a table's columns, which `dlcli.preprocessing.table.Table` combines."""
