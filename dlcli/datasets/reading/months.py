"""Names of months in languages other than English, the only one that strptime supports in every locale."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

# English months, each with its names in Danish, Dutch, French, German, Italian, Norwegian, Portuguese, Spanish and
# Swedish, and, by Unicode's CLDR (Babel 2.19), also in the genitive, in Polish, Czech, Slovak, Russian, Ukrainian,
# Bulgarian, Finnish, Hungarian, Romanian and Turkish. No word denotes different months in two of these languages. Names
# shared with English are left out.
_NAMES = {
    "January": (
        "januar januari janvier enero gennaio janeiro jänner stycznia styczeń ledna leden januára "
        "január января январь січня січень януари tammikuuta tammikuu ianuarie ocak"
    ),
    "February": (
        "februar februari février fevrier febrero febbraio fevereiro feber lutego luty února únor "
        "februára február февраля февраль лютого лютий февруари helmikuuta helmikuu februarie şubat"
    ),
    "March": (
        "märz maerz maart mars marzo março marco marts marca marzec března březen marec марта март "
        "березня березень maaliskuuta maaliskuu március martie mart"
    ),
    "April": (
        "avril abril aprile kwietnia kwiecień dubna duben apríla apríl апреля апрель квітня квітень "
        "април huhtikuuta huhtikuu április aprilie nisan"
    ),
    "May": (
        "mai mei mayo maggio maio maj maja května květen kvě mája máj мая май травня травень трав "
        "toukokuuta toukokuu touko május mayıs"
    ),
    "June": (
        "juni juin junio giugno junho czerwca czerwiec června červen júna jún июня июнь червня "
        "червень юни kesäkuuta kesäkuu június iunie haziran"
    ),
    "July": (
        "juli juillet julio luglio julho lipca lipiec července červenec júla júl июля июль липня "
        "липень юли heinäkuuta heinäkuu július iulie temmuz"
    ),
    "August": (
        "augustus août aout agosto augusti sierpnia sierpień srpna srpen augusta августа август "
        "серпня серпень elokuuta elokuu augusztus ağustos"
    ),
    "September": (
        "septembre septiembre settembre setembro września wrzesień září septembra сентября сентябрь "
        "вересня вересень септември syyskuuta syyskuu szeptember septembrie eylül"
    ),
    "October": (
        "oktober octobre octubre ottobre outubro października październik října říjen októbra "
        "október октября октябрь жовтня жовтень октомври lokakuuta lokakuu octombrie ekim"
    ),
    "November": (
        "novembre noviembre novembro listopada listopad listopadu novembra ноября ноябрь листопада "
        "листопад ноември marraskuuta marraskuu noiembrie kasım"
    ),
    "December": (
        "dezember december décembre decembre diciembre dicembre dezembro desember grudnia grudzień "
        "prosince prosinec decembra декабря декабрь грудня грудень декември joulukuuta joulukuu "
        "decembrie aralık"
    ),
    "Jan": "janv ene gen jän sty led янв січ яну tammi ian oca",
    "Feb": "févr fevr fév fev febr lut úno февр лют фев helmi şub",
    "Mar": "mär mrz mrt bře мар бер maalis márc",
    "Apr": "avr abr kwi dub апр квіт huhti ápr nis",
    "Jun": "giu cze čvn июн черв kesä iun haz",
    "Jul": "juil lug lip čvc июл лип heinä iul tem",
    "Aug": "aoû aou ago sie srp авг серп elo ağu",
    "Sep": "sept set wrz zář сент вер сеп syys szept eyl",
    "Oct": "okt ott out paź říj окт жовт loka eki",
    "Nov": "lis нояб лист ное marras kas",
    "Dec": "dez déc dic des gru pro дек груд joulu ara",
}

# Words that denote another month in Croatian, which is therefore not supported.
_DOUBTFUL = frozenset(("listopad", "listopada", "lis", "lip", "srp"))

# The English name, full or abbreviated, of each name.
ENGLISH_MONTHS = {word: month for month, words in _NAMES.items() for word in words.split()}


def letters(values: pa.Array) -> str:
    r"""Return the characters of a class of letters: a to z suffice for ASCII, since `\pL` takes long to compile."""
    return "a-zA-Z" if pc.all(pc.string_is_ascii(values)).as_py() else r"\pL"


def in_english(values: pa.Array) -> pa.Array:
    """Return strings with the names of months translated to English, full or abbreviated as before: Juli
    becomes July."""
    other = f"[^{letters(values)}]"
    for name in _found(values):
        pattern = rf"(?i)(^|{other}){name}($|{other})"
        values = pc.replace_substring_regex(values, pattern, rf"\1{ENGLISH_MONTHS[name]}\2")
    return values


def are_doubtful(values: pa.Array) -> bool:
    """Return whether all names of months denote another month in Croatian."""
    found = _found(values)
    return bool(found) and found <= _DOUBTFUL


def _found(values: pa.Array) -> set[str]:
    """Return the names of months among the words of all strings, in lower case."""
    letter = letters(values)
    if not pc.any(pc.match_substring_regex(values, f"[{letter}]{{3}}")).as_py():
        return set()
    # Searching all names by one expression takes long to compile, for each column.
    words = pc.list_flatten(pc.split_pattern_regex(pc.utf8_lower(values), f"[^{letter}]+"))
    return set(pc.unique(words).to_pylist()) & ENGLISH_MONTHS.keys()
