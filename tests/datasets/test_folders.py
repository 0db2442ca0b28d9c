"""Folders and archives of files: their classes and parts, links, and what is left out."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlcli.datasets.folders.class_folders import Listing, PartFolders, list_class_folders, list_files
from dlcli.datasets.folders.part_words import part_of
from dlcli.datasets.folders.stored import FileEntry
from dlcli.datasets.folders.tree import Tree
from dlcli.datasets.image_folder import load
from dlcli.datasets.notices import Notice
from dlcli.datasets.text import load as load_texts
from dlcli.errors import DataError


def make(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"text {number} of {name}")
    return root


def read(place: Path, parts: PartFolders = "auto") -> Listing:
    return list_class_folders(place, (".txt",), "texts", "a table", parts)


def rows(listing: Listing) -> list[tuple[str, str, str]]:
    found = zip(listing.entries, listing.parts, listing.labels, strict=True)
    return [(entry.name, part, label) for entry, part, label in found]


def counts(notices: tuple[Notice, ...] | list[Notice]) -> dict[str, int | float]:
    return {notice.key: notice.count for notice in notices}


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("Train", "train"), ("TRAINING", "train"), ("train_set", "train"), ("training-images", "train"),
        ("train2017", "train"), ("dev", "val"), ("valid", "val"), ("Validation", "val"), ("val_set", "val"),
        ("Test", "test"), ("test1", "test"), ("holdout", "test"), ("hold-out", "test"), ("testing set", "test"),
        ("cat", None), ("trainer", None), ("contest", None), ("devil", None), ("set", None), ("", None),
    ],
)  # fmt: skip
def test_parts_are_known_by_their_usual_names(word: str, part: str | None) -> None:
    assert part_of(word) == part


@pytest.mark.parametrize(
    "names", [("Train", "DEV", "Test"), ("training", "valid", "holdout"), ("train", "Validation", "testing")]
)
def test_folders_of_parts_in_any_spelling(tmp_path: Path, names: tuple[str, ...]) -> None:
    make(tmp_path, *(f"{part}/{label}/1.txt" for part in names for label in ("bad", "good")))
    listing = read(tmp_path)
    by_part = dict(zip(listing.parts, listing.entries, strict=True))
    assert set(listing.labels) == {"bad", "good"}
    assert {part: entry.name.split("/")[0] for part, entry in by_part.items()} == dict(
        zip(("train", "val", "test"), names, strict=True)
    )
    assert listing.notices == ()


def test_parts_without_classes_are_reported(tmp_path: Path) -> None:
    make(tmp_path, *(f"data/train/{label}/1.txt" for label in ("bad", "good")), "data/test/1.txt")
    (tmp_path / "data" / "val").mkdir()
    listing = read(tmp_path)
    assert (listing.labels, listing.parts) == (["bad", "good"], ["train", "train"])
    assert [notice.text for notice in listing.notices] == [
        "1 of 3 texts are not in a class folder and are left out: data/test/1.txt",
        "no texts of any class in the folders of parts data/test, data/val",
    ]
    (tmp_path / "data" / "test" / "1.txt").unlink()
    assert counts(read(tmp_path).notices) == {"empty_parts": 2}


def test_parts_may_lie_below_the_classes(tmp_path: Path) -> None:
    make(tmp_path, *(f"{label}/{part}/1.txt" for part in ("train", "test") for label in ("bad", "good")))
    assert rows(read(tmp_path)) == [
        ("bad/test/1.txt", "test", "bad"),
        ("bad/train/1.txt", "train", "bad"),
        ("good/test/1.txt", "test", "good"),
        ("good/train/1.txt", "train", "good"),
    ]


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (
            ("train/bad/1.txt", "train/good/1.txt", "test/bad/1.txt", "new/1.txt"),
            [
                "has folders of parts (test, train) next to folders of classes (new)",
                "new/    1 text",
                "test/   bad/ 1",
                "train/  bad/ 1, good/ 1",
            ],
        ),
        (
            ("bad/1.txt", "good/1.txt", "good/2.txt", "Test/1.txt"),
            [
                "has folders of parts (Test) next to folders of classes (bad, good)",
                "Test/  1 text",
                "bad/   1 text",
                "good/  2 texts",
            ],
        ),
        (
            ("train/1.txt", "test/1.txt"),
            [
                "has folders of parts (test, train), but no class folders in them",
                "test/   1 text",
                "train/  1 text",
            ],
        ),
        (
            ("bad/train/1.txt", "bad/test/1.txt", "good/1.txt"),
            [
                "some class folders contain folders of parts (bad), and texts next to these",
                "bad/   test/ 1, train/ 1",
                "good/  1 text",
            ],
        ),
    ],
    ids=["part and class", "class named test", "no classes", "parts below some classes"],
)
def test_a_mixture_of_parts_and_classes_is_refused_and_drawn(
    tmp_path: Path, names: tuple[str, ...], lines: list[str]
) -> None:
    make(tmp_path, *names)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    (problem,) = caught.value.problems
    assert problem.message.split("\n") == lines
    assert problem.where == str(tmp_path)
    assert "dataset.parts=false" in problem.hint


PARTS = {
    "train": ("train", "Training", "TRAIN_SET", "train2017"),
    "val": ("val", "Valid", "VALIDATION", "dev"),
    "test": ("Test", "testing", "HOLDOUT", "test-images"),
}
CLASSES = ("cat", "Hot Dog", "\u00e4rger", "0", "contest", "c.d")


@pytest.mark.parametrize("seed", range(int(os.environ.get("DLCLI_EXAMPLES", "12"))))
def test_parts_and_classes_of_generated_folders_are_found(seed: int, tmp_path: Path) -> None:
    """Parts in any spelling above, below or without classes, among loose, hidden and other files and links."""
    draw = np.random.default_rng(seed)
    layout = ("above", "below", "none")[seed % 3]
    split = ["train", *draw.choice(["val", "test"], draw.integers(1, 3), replace=False)]
    spelt = {str(part): str(draw.choice(PARTS[part])) for part in split if layout != "none"}
    classes = [str(name) for name in draw.choice(CLASSES, draw.integers(2, 5), replace=False)]
    root = tmp_path / "data"
    top = str(draw.choice(["", "photos/"]))
    expected = []
    for part, word in (spelt or {"": ""}).items():
        for label in classes:
            folders = {"above": f"{word}/{label}", "below": f"{label}/{word}", "none": label}[layout]
            for number in range(draw.integers(1, 4)):
                name = f"{top}{folders}/{number}{draw.choice(['.txt', '.TXT'])}"
                expected.append((name, part, label))
    first = expected[0][0]
    loose = [f"loose{number}.txt" for number in range(draw.integers(0, 3))]
    others = [f"{Path(first).parent}/{number}.md" for number in range(draw.integers(0, 3))]
    hidden = [f"{top}{name}" for name in ("Thumbs.db", ".DS_Store")[: draw.integers(0, 3)]]
    make(root, *(name for name, _, _ in expected), *loose, *others, *hidden)
    packed = {
        kind: shutil.make_archive(str(tmp_path / f"packed-{kind}"), kind, root) for kind in ("zip", "tar")
    }
    for name, target in (("again", root), (f"{first}.txt", root / first))[: (links := draw.integers(0, 3))]:
        (root / name).symlink_to(target)
    listing = read(root)
    told = {
        "loose_files": len(loose), "other_files": len(others), "hidden_files": len(hidden), "repeated_links": links,
    }  # fmt: skip
    assert rows(listing) == sorted(expected, key=lambda row: row[0].split("/"))
    assert counts(listing.notices) == {key: count for key, count in told.items() if count}
    for archive in packed.values():
        same = read(Path(archive))
        assert sorted(rows(same)) == sorted(expected)
        assert counts(same.notices) == {k: n for k, n in told.items() if n and k != "repeated_links"}
    entries, notices = list_files(root, (".txt",), "texts")  # as new files are read
    assert len(entries) == len(expected) + len(loose)
    assert "loose_files" not in counts(notices)


def test_a_key_makes_all_folders_classes(tmp_path: Path) -> None:
    make(tmp_path, "bus/1.txt", "car/1.txt", "train/1.txt")
    listing = read(tmp_path, parts=False)
    assert (listing.labels, listing.parts) == (["bus", "car", "train"], [""] * 3)
    assert load_texts(str(tmp_path), parts=False).classes == ("bus", "car", "train")


def test_loose_hidden_and_other_files_are_counted(tmp_path: Path) -> None:
    make(tmp_path, *(f"some/{part}/{label}/1.txt" for part in ("train", "test") for label in ("bad", "good")))
    make(tmp_path, "some/a.txt", "some/train/b.txt", "README.md", "some/train/bad/labels.csv")
    make(tmp_path, ".DS_Store", "some/train/bad/._1.txt", "some/Thumbs.db", "__MACOSX/x.txt", ".git/a.txt")
    listing = read(tmp_path)
    assert len(listing.entries) == 4
    assert counts(listing.notices) == {"loose_files": 2, "other_files": 2, "hidden_files": 5}
    texts = [notice.text for notice in listing.notices]
    assert texts[0] == (
        "2 of 6 texts are not in a class folder and are left out: some/a.txt, some/train/b.txt"
    )
    assert texts[1] == ("2 files without a suffix of texts left out: README.md, some/train/bad/labels.csv")
    assert "5 hidden files or folders left out: .DS_Store, .git/, __MACOSX/, ..." in texts


def test_folders_within_class_folders_are_reported(tmp_path: Path) -> None:
    make(tmp_path, "animals/cat/1.txt", "animals/dog/1.txt", "plants/rose/1.txt", "plants/2.txt")
    listing = read(tmp_path)
    assert listing.labels == ["animals", "animals", "plants", "plants"]
    assert [notice.text for notice in listing.notices] == [
        "3 of 4 texts are in folders within the class folders animals, plants: their class is the outer folder's name, "
        "not cat, dog, rose"
    ]


def test_classes_that_differ_in_case_only_are_warned_of(tmp_path: Path) -> None:
    make(tmp_path, "train/Cat/1.txt", "train/dog/1.txt", "test/cat/1.txt", "test/dog/1.txt")
    listing = read(tmp_path)
    assert set(listing.labels) == {"Cat", "cat", "dog"}
    (notice,) = listing.notices
    assert (notice.key, notice.warns) == ("similar_classes", True)
    assert notice.text == "classes differ only in case or whitespace: 'Cat' and 'cat'"


def test_each_file_is_counted_once_whatever_links_there_are(tmp_path: Path) -> None:
    root = make(tmp_path / "data", "bad/1.txt", "good/1.txt", "good/2.txt")
    make(tmp_path / "other", "3.txt", "deep/4.txt")
    (root / "again").symlink_to(".")
    (root / "a_bad").symlink_to("bad")
    (root / "bad" / "up").symlink_to("../..")
    (root / "bad" / "same.txt").symlink_to("1.txt")
    (root / "new").symlink_to(tmp_path / "other")
    (root / "new2").symlink_to(tmp_path / "other")
    (root / "good" / "5.txt").symlink_to(tmp_path / "other" / "3.txt")
    (tmp_path / "other" / "deep" / "back").symlink_to(root)
    listing = read(root)
    assert rows(listing) == [
        ("bad/1.txt", "", "bad"),
        ("good/1.txt", "", "good"),
        ("good/2.txt", "", "good"),
        ("good/5.txt", "", "good"),
        ("new/3.txt", "", "new"),
        ("new/deep/4.txt", "", "new"),
    ]
    found = counts(listing.notices)
    assert (found["repeated_links"], found["outside_links"]) == (6, 2)


def test_links_to_hidden_stores_are_files(tmp_path: Path) -> None:
    make(tmp_path, ".git/annex/x.txt", "good/1.txt", "bad/1.txt")
    (tmp_path / "good" / "2.txt").symlink_to("../.git/annex/x.txt")
    assert [name for name, _, _ in rows(read(tmp_path))] == ["bad/1.txt", "good/1.txt", "good/2.txt"]


@pytest.mark.parametrize("kind", ["tar", "zip", "zip stored"])
def test_archives_follow_the_rules_of_folders(tmp_path: Path, kind: str) -> None:
    root = make(
        tmp_path / "data", *(f"{part}/{c}/{n}.txt" for part in ("Train", "test") for c in "ab" for n in "12")
    )
    make(root, "loose.txt", "notes.md", ".DS_Store", "__MACOSX/Train/a/._1.txt")
    (root / "Train" / "empty").mkdir()
    file = tmp_path / f"data.{kind[:3]}"
    if kind == "tar":
        with tarfile.open(file, "w") as tar:
            tar.add(root, "data")
    else:
        method = zipfile.ZIP_STORED if kind == "zip stored" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(file, "w", method) as archive:
            for path in sorted(root.rglob("*")):
                archive.write(path, f"data/{path.relative_to(root)}")
    folder, packed = read(root), read(file)
    assert (packed.labels, packed.parts) == (folder.labels, folder.parts)
    assert [entry.read() for entry in packed.entries] == [entry.read() for entry in folder.entries]
    assert [entry.read(3) for entry in packed.entries[:1]] == [b"tex"]
    assert [place.rpartition("data/")[2] for place in packed.empty] == ["Train/empty"]
    assert counts(packed.notices)["loose_files"] == 1
    assert counts(packed.notices)["other_files"] == 1


def test_damaged_archives_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match=r"neither a folder nor a \.tar or \.zip file"):
        read(tmp_path / "a.zip")
    root = make(tmp_path / "data", "a/1.txt", "b/1.txt")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.write(root / "a" / "1.txt", "a/1.txt")
    with pytest.raises(DataError, match=r"b\.zip: a/1\.txt: is compressed by a method"):
        read(tmp_path / "b.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_of_an_archive_is_named(tmp_path: Path, method: int) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w", method) as archive:
        for label in "ab":
            archive.writestr(f"{label}/1.txt", f"text of {label}")
    content = bytearray(file.read_bytes())
    start = zipfile.ZipFile(file).getinfo("b/1.txt").header_offset + 30 + len("b/1.txt")
    content[start + 4] ^= 1
    file.write_bytes(content)
    good, bad = read(file).entries
    assert good.read() == b"text of a"
    with pytest.raises(DataError, match=r"a\.zip: b/1\.txt: the archive is damaged"):
        bad.read()
    with pytest.raises(DataError, match=r"a\.zip: b/1\.txt: the archive is damaged"):
        load_texts(str(file))


class CountedName(str):
    """A name that counts how often it is hashed."""

    __slots__ = ()
    hashed = 0

    def __hash__(self) -> int:
        CountedName.hashed += 1
        return super().__hash__()


def test_telling_other_files_takes_time_in_proportion_to_their_number(tmp_path: Path) -> None:
    endings = (".heic", ".md")
    others = [FileEntry(CountedName(f"{n}{endings[n % 2]}"), "", 0, 0) for n in range(200)]
    CountedName.hashed = 0
    found = counts(list(Tree(tmp_path).notices(others, "images")))
    assert found == {"unreadable_formats": 100, "other_files": 100}
    assert CountedName.hashed <= 3 * len(others)


def test_the_error_about_a_folder_without_such_files_lists_its_content(tmp_path: Path) -> None:
    make(tmp_path, "a/1.md", "b/2.rst")
    with pytest.raises(DataError, match=r"contains no texts: its 2 files have the suffixes \.md, \.rst"):
        list_files(tmp_path, (".txt",), "texts")


def test_images_of_all_readable_endings_are_read_and_others_are_reported(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for ending, kind in [
            ("jfif", "JPEG"), ("JPE", "JPEG"), ("avif", "AVIF"), ("tif", "TIFF"), ("webp", "WEBP"), ("bmp", "BMP"),
            ("ppm", "PPM"), ("tga", "TGA"), ("jp2", "JPEG2000"), ("qoi", "QOI"), ("mpo", "JPEG"),
        ]:  # fmt: skip
            Image.fromarray(np.full((4, 4, 3), 100, np.uint8)).save(tmp_path / label / f"1.{ending}", kind)
        make(tmp_path, f"{label}/1.heic", f"{label}/1.svg", f"{label}/1.eps", f"{label}/1.mpeg")
    data = load(str(tmp_path))
    assert len(data) == 22
    assert np.abs(data.x.astype(int) - 100).max() <= 2
    found = {notice.key: notice for notice in data.notices}
    assert found["unreadable_formats"].count == 4
    assert "2 .heic" in found["unreadable_formats"].text
    assert found["other_files"].count == 4


def test_the_row_order_of_a_folder_is_that_of_the_names(tmp_path: Path) -> None:
    make(tmp_path, *(f"{label}/{n}.txt" for label in "ba" for n in (10, 2, 1)))
    order = ["a/1.txt", "a/10.txt", "a/2.txt", "b/1.txt", "b/10.txt", "b/2.txt"]
    assert [name for name, _, _ in rows(read(tmp_path))] == order
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(DataError, match="there is only one class: a"):
        load_texts(str(tmp_path))


@pytest.mark.parametrize("before", ["seg_", "intel_seg_"])
def test_folders_that_may_be_parts_or_classes_are_refused(tmp_path: Path, before: str) -> None:
    make(
        tmp_path,
        *(f"{before}{part}/{label}/1.txt" for part in ("train", "test") for label in ("bad", "good")),
    )
    with pytest.raises(DataError, match=f"{before}test, {before}train may be parts or classes"):
        read(tmp_path)
    listing = list_class_folders(tmp_path, [".txt"], "texts", "a table", parts=False)
    assert set(listing.labels) == {f"{before}train", f"{before}test"}


def test_images_that_pillow_cannot_read_are_counted(tmp_path: Path) -> None:
    make(tmp_path, "cat/1.txt", "dog/1.txt", "cat/2.heic", "dog/3.HEIC", "dog/4.svg")
    notices = list_class_folders(tmp_path, [".txt"], "images", "a table").notices
    assert [notice.text for notice in notices if notice.key == "unreadable_formats"] == [
        "3 images in unsupported formats left out: 2 .heic, 1 .svg"
    ]


def test_a_language_is_a_class_unless_there_is_another_part(tmp_path: Path) -> None:
    languages = make(tmp_path / "languages", "de/1.txt", "en/2.txt", "tr/3.txt")
    assert set(read(languages).labels) == {"de", "en", "tr"}
    parts = make(tmp_path / "parts", "tr/a/1.txt", "tr/b/2.txt", "val/a/3.txt", "val/b/4.txt")
    assert set(read(parts).parts) == {"train", "val"}
