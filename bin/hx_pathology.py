#!/usr/bin/env python3
"""What GTEx's pathologists wrote of a slide, as numbers: categories, and words, degrees and pieces of the notes.

Notes are split into clauses at `.`, `;`, `,` and `but`. A word is negated when `no`, `not`, `without`, `absent`,
`negative for` or `free of` stands at most REACH words before it in its clause, or `not seen`, `not present`, `absent`
and the like after it (as NegEx does: Chapman et al., J Biomed Inform 34:301, 2001; cut down to what these notes need).
"no fat, fibrosis" therefore says fibrosis: of a list behind one `no` the first item alone is negated.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

NO_ABNORMALITIES = "no_abnormalities"
# Categories that no abnormality need be: a normal state of the organ, or a remark on the specimen.
NORMAL = {"clean_specimens", "corpora_albicantia", "post_menopausal", "spermatogenesis", "sweat_glands"}
REACH = 5  # words between a negation or a percentage and the word it is about
SEVERITY_REACH = 3  # words between a severity and the word it is about
SEVERITY = {
    **dict.fromkeys(("trace", "minimal", "minimally"), 1.0),
    **dict.fromkeys(("mild", "mildly", "slight", "slightly", "focal", "focally"), 2.0),
    **dict.fromkeys(("mod", "moderate", "moderately"), 3.0),
    **dict.fromkeys(("marked", "markedly", "severe", "severely"), 4.0),
}
NEGATIONS = {"no", "not", "without", "absent"}
NEGATED_AFTER = re.compile(
    r"\b(absent|(?:not|nor) (?:seen|present|identified|noted|visible|visualized|evident|found))\b"
)
NUMBERS = dict(zip("one two three four five six seven eight nine ten".split(), range(1, 11), strict=True))
# Words that say nothing of the tissue's state: of language, of size and number, of the specimen as an object.
STOP = set(
    """
    a about above abundant adequate adjacent admixed aliquot aliquots all also an analysis analyze and any
    appearance appearing appears approximately are area areas as at ave be been below best better both but by
    can cannot central cm component components contain containing contains content could due each edge edges
    either element elements en etc evident except extensive few field foci focus for fragment fragments free
    from good had has have identified image images in incl includes including intermingled interspersed into is
    it its large left less little looks lots lower many maximum may micron microns mid minor mm more most much
    multiple near negative no none nor not note noted notes number numerous occasional of ok on one only or
    other others otherwise over part parts pending per piece pieces plus portion possible prepared present
    probable prominent pronounced questionable quite rare rather rep representative represented rest review
    right same sample samples scattered section sections seen several show showing shows side significant single
    size slide slides small some specimen specimens sq squared still than that the their there these they thick
    thickness thin this those though through throughout tissue tissues to total typical unable up upper used
    usual variable very viable visible visualized was well were where which while with within without yet
    """.split()
).union(SEVERITY, NUMBERS, NEGATIONS)
# Other forms of a finding, and misspellings of it, as GTEx's pathologists write them: one column each, not two.
FORMS = {
    form: finding
    for finding, forms in {
        "atrophy": "atrophic",
        "autolysis": "autolysed autolytic autolyzed",
        "cirrhosis": "cirrhotic",
        "congestion": "congested",
        "edema": "edematous oedema oedematous",
        "fibrosis": "fibrotic",
        "hemorrhage": "haemorrhage hemorrhagic",
        "hyperplasia": "hyperplastic",
        "inflammation": "inflamed",
        "macrovesicular": "macovesicular",
        "necrosis": "necrotic",
        "saponification": "saponifcation",
        "sloughed": "sloughing",
        "steatosis": "steatotic steatotis",
    }.items()
    for form in forms.split()
}
# What a severity does not reach across: "moderate autolysis and saponification" says nothing of saponification.
SEVERITY_ENDS = {"and", "with", "or", "vs", "consistent", "in"}
_TOKEN = re.compile(r"\d+(?:\.\d+)?(?:\s*(?:-|–|—|to|&)\s*\d+(?:\.\d+)?)?\s*\+?\s*%|[a-z]+|&")
_CLAUSE = re.compile(r"[;,]|\.(?!\d)|(?<!\d)\.|\b(?:but|however|although|though)\b")
_COUNT = re.compile(
    rf"(?<![\w.%x×~&-])(\d{{1,2}}|{'|'.join(NUMBERS)})(?!\s*(?:[x×%.&-]|mm|to\b)|\d)"
    r"(?:[\s,~.&-]|\d|x|×|mm|sq|each|up|to|poor|small|large)*(?:pieces?|aliquots?|fragments?|sections?)\b"
)


@dataclass
class Note:
    """One note: words it affirms, words it only negates, severity (1-4) and percent of words, number of pieces."""

    words: set[str] = field(default_factory=set)
    negated: set[str] = field(default_factory=set)
    severity: dict[str, float] = field(default_factory=dict)
    percent: dict[str, float] = field(default_factory=dict)
    pieces: float = np.nan


def percent_value(token: str) -> float | None:
    """Middle of a percentage ('30-40%' -> 35.0), None for a word or more than 100 %."""
    if not token.endswith("%"):
        return None
    value = float(np.mean([float(number) for number in re.findall(r"\d+(?:\.\d+)?", token)]))
    return value if value <= 100 else None


def pieces_of(note: str) -> float:
    """Number of pieces that a note names first ('2  ~8x6mm pieces' -> 2.0), NaN when it names none."""
    found = _COUNT.search(note.lower())
    return float(NUMBERS.get(found[1]) or int(found[1])) if found else np.nan


def read_note(text: str) -> Note:
    """What a note says.

    >>> note = read_note("2 pieces, ~10% fat; no inflammation, mild fibrosis")
    >>> sorted(note.words), sorted(note.negated), note.severity, note.percent, note.pieces
    (['fat', 'fibrosis'], ['inflammation'], {'fibrosis': 2.0}, {'fat': 10.0}, 2.0)
    """
    note = Note(pieces=pieces_of(text))
    said, percents = set(), defaultdict(list)
    last = ""
    for clause in _CLAUSE.split(re.sub(r"\bmod\.", "mod", text.lower())):
        tokens = _TOKEN.findall(clause)
        words = [(place, token) for place, token in enumerate(tokens) if _is_word(token)]
        for place, word in words:
            if _negated(tokens, place):
                note.negated.add(word)
                continue
            said.add(word)
            degree = _severity(tokens, place)
            if degree:
                note.severity[word] = max(degree, note.severity.get(word, 0.0))
        for place, token in enumerate(tokens):
            value = percent_value(token)
            # A percentage alone between commas belongs to what was said before: "focal fibrosis, 20%".
            for word in _about(tokens, place) or [last] * (len(tokens) == 1 and last != ""):
                if value is not None:
                    percents[word].append(value)
        last = words[-1][1] if words else last
    note.words, note.negated = said, note.negated - said
    note.percent = {word: float(np.mean(values)) for word, values in percents.items()}
    return note


def _is_word(token: str) -> bool:
    """Whether a token may be a keyword: no number, no word of STOP, no adverb but `poorly`."""
    adverb = token.endswith("ly") and token != "poorly"
    return len(token) > 2 and not token.endswith("%") and not adverb and token not in STOP


def _negated(tokens: list[str], place: int) -> bool:
    before = tokens[max(0, place - REACH) : place]
    for index, token in enumerate(before):
        follows = before[index + 1] if index + 1 < len(before) else ""
        if token in NEGATIONS or (token, follows) in (("free", "of"), ("negative", "for")):
            return True
    return bool(NEGATED_AFTER.search(" ".join(tokens[place + 1 : place + 1 + REACH])))


def _severity(tokens: list[str], place: int) -> float:
    """Degree of a word: what stands before it (of a range, mild-moderate, the middle), else at the end of its clause.

    0 = none is named.
    """
    degrees = []
    for token in reversed(tokens[max(0, place - SEVERITY_REACH) : place]):
        if token in SEVERITY_ENDS or token == "&" or (degrees and token not in SEVERITY):
            break
        if token in SEVERITY:
            degrees.append(SEVERITY[token])
    if degrees:
        return float(np.mean(degrees))
    if tokens[-1] in SEVERITY and len(tokens) - 1 - place <= SEVERITY_REACH:
        return SEVERITY[tokens[-1]]
    return 0.0


def _about(tokens: list[str], place: int) -> list[str]:
    """The words that a percentage is about: the nearest within REACH after it, else before it.

    Words side by side go together: "50-60% macrovesicular steatosis" speaks of both.
    """
    for step in (1, -1):
        found = []
        for token in tokens[place + step :: step][: REACH + 1]:
            if _is_word(token):
                found.append(token)
            elif found:
                break
        if found:
            return found if step == 1 else found[:1]
    return []


def categories(cells: Iterable[str]) -> pd.DataFrame:
    """Pathology categories, a column a label (sorted), a row a cell: 1 named, 0 not, NaN where the cell is blank.

    A blank cell says that nobody labelled the slide, not that it is sound: that is the label no_abnormalities.
    """
    labels = [_labels(cell) for cell in cells]
    names = sorted(set().union(*labels))
    values = [[float(name in row) if row else np.nan for name in names] for row in labels]
    return pd.DataFrame(values, columns=names, index=range(len(labels)), dtype=float)


def _labels(cell: str) -> set[str]:
    return {re.sub(r"[^a-z0-9]+", "_", part.strip().lower()) for part in re.split("[,;]", cell) if part.strip()}


def contradictions(
    samples: Sequence[str], cells: Sequence[str], tissues: Sequence[str], notes: Sequence[str]
) -> pd.DataFrame:
    """What speaks against itself: no_abnormalities beside one, and notes that say "not <the slide's tissue>".

    Returns:
        sample, text, reason; a row each, in the order given.
    """
    rows = []
    for sample, cell, tissue, note in zip(samples, cells, tissues, notes, strict=True):
        labels = _labels(cell)
        beside = labels - NORMAL - {NO_ABNORMALITIES}
        if NO_ABNORMALITIES in labels and beside:
            rows.append((sample, cell, f"{NO_ABNORMALITIES} beside {', '.join(sorted(beside))}"))
        denied = [word for word in _TOKEN.findall(tissue.lower()) if _is_word(word) and _denies(note, word)]
        if denied:
            rows.append((sample, note, f"the note says that it is not {denied[0]}, listed as {tissue}"))
    return pd.DataFrame(rows, columns=["sample", "text", "reason"], dtype=str)


def _denies(note: str, word: str) -> bool:
    return bool(re.search(rf"\bnot (?:a |an |the )?{word}\b", note.lower()))


def merge_forms(notes: Sequence[Note]) -> list[Note]:
    """Notes in which FORMS are one word, and `glands` is read as `gland` where the singular stands in any of them."""
    known = set().union(*(note.words | note.negated for note in notes))
    single = {word: word[:-1] for word in known if word.endswith("s") and word[:-1] in known} | FORMS

    def merged(values: dict[str, float]) -> dict[str, float]:
        out: dict[str, float] = {}
        for word, value in values.items():
            name = single.get(word, word)
            out[name] = max(value, out.get(name, value))
        return out

    result = []
    for note in notes:
        words, negated = ({single.get(word, word) for word in part} for part in (note.words, note.negated))
        result.append(Note(words, negated - words, merged(note.severity), merged(note.percent), note.pieces))
    return result


def annotate(cells: Sequence[str], texts: Sequence[str], least: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Categories and notes of slides as numbers.

    Args:
        cells: pathology categories as listed, a slide each.
        texts: notes of the same slides.
        least: a word becomes a column when at least as many notes affirm it and at least as many do not, its severity
            or percentage when at least as many notes state one.

    Returns:
        Table, a row a slide: category_<label>; note_<word> 1 affirmed, 0 not (negated or not mentioned);
        severity_<word> 1-4, 0 where the word is not affirmed; percent_<word> 0-100, 0 where it is negated; pieces.
        NaN = not known (no categories, no note, no degree stated).
        Counts, a row a column: column, kind, present, absent, blank (slides), negated (notes).
    """
    notes = merge_forms([read_note(text) for text in texts])
    given = np.array([bool(text.strip()) for text in texts], dtype=bool)
    columns: dict[str, list[float]] = {f"category_{n}": v.tolist() for n, v in categories(cells).items()}
    said = Counter(word for note in notes for word in note.words)
    chosen = sorted(w for w, n in said.items() if least <= n <= given.sum() - least)
    for word in chosen:
        columns[f"note_{word}"] = [float(word in n.words) if g else np.nan for n, g in zip(notes, given, strict=True)]
    for kind in ("severity", "percent"):
        stated = Counter(word for note in notes for word in getattr(note, kind))
        for word in sorted(w for w, n in stated.items() if n >= least):
            columns[f"{kind}_{word}"] = [
                _degree(note, kind, word, known) for note, known in zip(notes, given, strict=True)
            ]
    columns["pieces"] = [note.pieces for note in notes]
    table = pd.DataFrame(columns, index=range(len(notes)), dtype=float)
    negated = Counter(word for note in notes for word in note.negated)
    counts = pd.DataFrame({
        "column": table.columns,
        "kind": [name.split("_")[0] for name in table],
        "present": (table > 0).sum().to_numpy(),
        "absent": (table == 0).sum().to_numpy(),
        "blank": table.isna().sum().to_numpy(),
        "negated": [negated[name.split("_", 1)[1]] if name.startswith("note_") else 0 for name in table],
    })  # fmt: skip
    return table, counts


def _degree(note: Note, kind: str, word: str, known: bool) -> float:
    stated = getattr(note, kind)
    if word in stated:
        return stated[word]
    none = known and (word not in note.words if kind == "severity" else word in note.negated)
    return 0.0 if none else np.nan
