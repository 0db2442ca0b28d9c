"""Names of months in other languages than English, which is the only one that strptime knows everywhere."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

# English months, each with its names in Danish, Dutch, French, German, Italian, Norwegian, Portuguese, Spanish and
# Swedish. No word is another month in another of these languages. Names that English shares are left out.
_NAMES = {
    "January": "januar januari janvier enero gennaio janeiro j\u00e4nner",
    "February": "februar februari f\u00e9vrier fevrier febrero febbraio fevereiro feber",
    "March": "m\u00e4rz maerz maart mars marzo mar\u00e7o marco marts",
    "April": "avril abril aprile",
    "May": "mai mei mayo maggio maio maj",
    "June": "juni juin junio giugno junho",
    "July": "juli juillet julio luglio julho",
    "August": "augustus ao\u00fbt aout agosto augusti",
    "September": "septembre septiembre settembre setembro",
    "October": "oktober octobre octubre ottobre outubro",
    "November": "novembre noviembre novembro",
    "December": "dezember december d\u00e9cembre decembre diciembre dicembre dezembro desember",
    "Jan": "janv ene gen j\u00e4n",
    "Feb": "f\u00e9vr fevr f\u00e9v fev febr",
    "Mar": "m\u00e4r mrz mrt",
    "Apr": "avr abr",
    "Jun": "giu",
    "Jul": "juil lug",
    "Aug": "ao\u00fb aou ago",
    "Sep": "sept set",
    "Oct": "okt ott out",
    "Dec": "dez d\u00e9c dic des",
}

_ENGLISH = {word: month for month, words in _NAMES.items() for word in words.split()}
_ANY = rf"(?i)(?:^|[^\pL])(?P<name>{'|'.join(sorted(_ENGLISH, key=len, reverse=True))})(?:$|[^\pL])"


def in_english(values: pa.Array) -> pa.Array:
    """Return strings with the names of months in English, each in full or abbreviated as it was: Juli is July."""
    if not pc.any(pc.match_substring_regex(values, r"\pL{3}")).as_py():
        return values
    found = pc.struct_field(pc.extract_regex(values, _ANY), "name")
    for name in pc.unique(pc.utf8_lower(found)).to_pylist():
        if name is not None:
            pattern = rf"(?i)(^|[^\pL]){name}($|[^\pL])"
            values = pc.replace_substring_regex(values, pattern, rf"\1{_ENGLISH[name]}\2")
    return values
