"""Canaries planted in the data of a real study are found wherever they come out on the site, and nothing else is."""

from __future__ import annotations

import base64
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from helpers.dicom_files import write_ct
from helpers.own_study import GRADE, own_study
from PIL import Image, PngImagePlugin

from radsupport.book import gate
from radsupport.cli import main
from radsupport.data.people import subjects_of
from radsupport.errors import RadsupportError
from radsupport.study import load_study

STUDY = own_study("manifest.csv", GRADE)
SHEET = """subject,label,grade,Surname,MRN,Scan date,age
KAN-001,1,low,Meyerbeer,70012345,2019-03-02,61
KAN-002,0,high,Zelter,70012346,2018-11-24,59
7,1,low,Loewe,70012347,2020-01-31,44
"""


def _edit(data: object, _: int) -> None:
    data.PatientName, data.PatientID = "Kanarienvogel^Dora", "PID998877"  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a real study of three patients, whose files hold canaries."""
    root = tmp_path_factory.mktemp("gate")
    (root / "studies").mkdir()
    (root / "studies" / "mine.yaml").write_text(STUDY, encoding="utf-8")
    rows = ["study,subject,center,phase,role,path"]
    for subject, folder in (("KAN-001", "Distelfink_Anna"), ("KAN-002", "second"), ("7", "third")):
        (root / folder).mkdir()
        scan = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
        scan.header["descrip"] = f"Zaunkoenig {subject}" if subject == "KAN-001" else "dcm2niix"
        nibabel.save(scan, root / folder / "ct.nii.gz")
        rows.append(f"mine,{subject},A,ct,image,{folder}/ct.nii.gz")
    write_ct(root / "dicom" / "one", n=1, edit=_edit)
    rows += ["mine,KAN-002,A,ct,dicom,dicom/one", "mine,,,,clinical,sheet.csv"]
    (root / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (root / "sheet.csv").write_text(SHEET, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def wanted(project: Path) -> list[gate.Needle]:
    return gate.looked_for(project)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site that says nothing about anybody."""
    page = "<p>Patient No. 7 of 12, risk 0.70012345, grade low, root mean square, in 2019.</p><p>x^Y, 7 slices, R^2</p>"
    page += "<table><tr><th>Patients</th><th>Case</th></tr><tr><td>7</td><td>No. 7</td></tr></table> 1.2.840.10008.1.2"
    # no path of this machine, although it looks like one: an address of another site, a unit, a place below the page
    page += '<a href="../_static/made/a.csv">mg/ml/h</a> https://x.org/home/a/b ../tmp/x'
    (tmp_path / "_static" / "made").mkdir(parents=True)
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    # made up: what the theme brings is not ours to word
    (tmp_path / "_static" / "vendor.js").write_text("Aa^Bb /home/vendor/x", encoding="utf-8")
    return tmp_path


def _png(words: str, wide: bool = False) -> bytes:
    info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    (info.add_itxt if wide else info.add_text)("Description", words)
    Image.new("L", (2, 2)).save(buffer, "png", pnginfo=info)
    return buffer.getvalue()


def _jpeg(words: str) -> bytes:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x010E] = words
    Image.new("L", (2, 2)).save(buffer, "jpeg", exif=exif)
    return buffer.getvalue()


def _zip(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def _inside(words: str) -> str:
    return f'<a href="data:text/csv;base64,{base64.b64encode(words.encode()).decode()}">CSV</a>'


PLACES: dict[str, tuple[str, Callable[[str], bytes]]] = {
    "a page": ("studies/a.html", lambda words: f"<p>{words}</p>".encode()),
    "code in colours": ("b.html", lambda words: "".join(f"<span>{one}</span>" for one in words).encode()),
    "codes of HTML": ("c.html", lambda words: "".join(f"&#{ord(one)};" for one in words).encode()),
    "an alt text": ("d.html", lambda words: f'<img alt="Sections of {words} *">'.encode()),
    "a table inside a link": ("e.html", lambda words: _inside(f"a,b\n1,{words}\n").encode()),
    "the search index": ("searchindex.js", lambda words: f'Search.setIndex({{"titles":["{words.lower()}"]}})'.encode()),
    "a source": ("_sources/a.ipynb.txt", lambda words: f'{{"source": ["# {words}"]}}'.encode()),
    "a table": ("_static/made/a.csv", lambda words: f"n,who\n1,{words}\n".encode()),
    "a table with numbers": ("_static/made/b.csv", lambda words: f"n,who,m\n1,{words},1\n".encode()),
    "a table of Excel": ("_static/made/c.csv", lambda words: f"who\tm\n{words}\t1\n".encode("utf-16")),
    "a note of a PNG": ("_static/made/a.png", _png),
    "a wide note of a PNG": ("_static/made/b.png", lambda words: _png(words, wide=True)),
    "a note of a JPEG": ("_static/made/a.jpeg", _jpeg),
    "an SVG": ("a.svg", lambda words: f'<svg><path d="M 1 2"/><!-- {words} --></svg>'.encode()),
    "a name in an SVG": ("b.svg", lambda words: f"<svg><g id='{words}'/></svg>".encode()),
    "a link in an SVG": ("c.svg", lambda words: f'<svg><a xlink:href="{words}.html"/></svg>'.encode()),
    "a style in an SVG": ("d.svg", lambda words: f"<svg><style><![CDATA[{words}]]></style></svg>".encode()),
    "an archive": ("a.zip", lambda words: _zip("a.csv", words.encode())),
    "a document": ("a.docx", lambda words: _zip("word/document.xml", f"<w:t>{words}</w:t>".encode())),
    "a PDF": ("a.pdf", lambda words: b"%PDF stream\n" + zlib.compress(words.encode()) + b"\nendstream"),
    "a packed table": ("a.csv.gz", lambda words: __import__("gzip").compress(words.encode())),
}
CANARIES = {
    "KAN-001": gate.SUBJECT,
    "kan-002": gate.SUBJECT,
    "Meyerbeer": gate.CELL,
    "70012346": gate.CELL,
    "2019-03-02": gate.DATE,
    "24.11.2018": gate.DATE,
    "Distelfink_Anna": gate.PLACE,
    "Zaunkoenig": gate.HEADER,
    "Kanarienvogel": gate.HEADER,
    "PID998877": gate.HEADER,
    "Nachtigall^Eva": "a person's name as DICOM writes it",
    "PatientName: Eva N": "a tag of DICOM",
    "(0010,0010) Patient's Name              PN: 'Eva N'": "a tag of DICOM",
    "Óscar^Éva": "a person's name as DICOM writes it",
    "\\/home\\/eva\\/scans": gate.PATH,
    "1.3.6.1.4.1.14519.5.2.1.5168.1900.104193": "a UID of DICOM",
    "date of birth: 1957-01-02": gate.DATE,
    "/home/eva/scans/x": gate.PATH,
}


def _plant(site: Path, place: str, words: str) -> None:
    name, made = PLACES[place]
    (site / name).parent.mkdir(parents=True, exist_ok=True)
    (site / name).write_bytes(made(words))


def test_a_site_without_identifiers_passes(project: Path, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate.search(site, project) == []
    assert main(["--root", str(project), "gate", str(site)]) == 0
    assert "no identifier found" in capsys.readouterr().out


@pytest.mark.parametrize("place", PLACES)
def test_an_id_is_found_in_every_kind_of_file(wanted: list[gate.Needle], site: Path, place: str) -> None:
    _plant(site, place, "KAN-001")
    (problem,) = gate.search(site, wanted=wanted)
    assert problem.file == PLACES[place][0]
    assert problem.what == "the id of a patient, K… (7 characters)".replace("K", problem.what[21])
    assert "numbers the patients" in problem.remedy
    assert "kan-001" not in str(problem).lower()


@pytest.mark.parametrize(("words", "kind"), CANARIES.items())
def test_every_kind_of_canary_is_found(wanted: list[gate.Needle], site: Path, words: str, kind: str) -> None:
    _plant(site, "a page", f"Figure of {words}, in grade low")
    found = gate.search(site, wanted=wanted)
    assert [problem.what.partition(", ")[0] for problem in found] == [kind]
    assert words not in str(found[0])


def test_a_short_id_is_found_where_subjects_stand(wanted: list[gate.Needle], site: Path) -> None:
    table = "<table><tr><th>n</th><th>Patient</th></tr><tr><td>1</td><td>{}</td></tr></table>"
    for i, page in enumerate([table.format(7), "<p>Case 7 failed</p>", "<p>17 cases, patient 17, patients: 7</p>"]):
        (site / f"{i}.html").write_text(page, encoding="utf-8")
    (site / "_static" / "made" / "b.csv").write_text("n,subject\n1,7\n", encoding="utf-8")
    assert [problem.file for problem in gate.search(site, wanted=wanted)] == ["0.html", "1.html", "_static/made/b.csv"]


def test_what_held_nothing_is_not_read_again_and_hides_nothing(
    project: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "results").mkdir(exist_ok=True)
    (site / "a.zip").write_bytes(_zip("a.csv", b"n,who\n1,nobody\n"))
    read: list[str] = []
    found = gate.Hay._found
    monkeypatch.setattr(gate.Hay, "_found", lambda hay, text: read.append(text) or found(hay, text))
    assert gate.search(site, project) == []
    once = len(read)
    assert gate.search(site, project) == []
    assert 0 < len(read) - once < once  # names, no contents
    assert not any("nobody" in text for text in read[once:])
    (site / "a.zip").write_bytes(_zip("b.csv", b"n,who\n1,KAN-001\n"))
    for _ in range(2):  # a finding is found again
        assert [one.file for one in gate.search(site, project)] == ["a.zip"]
    (site / "kan-002.html").write_bytes((site / "index.html").read_bytes())  # known content, a name of its own
    assert [one.file for one in gate.search(site, project)] == ["a.zip", "kan-002.html"]
    (site / "a.zip").unlink()
    (site / "kan-002.html").unlink()
    sheet = (project / "sheet.csv").read_text("utf-8")
    (project / "sheet.csv").write_text(sheet + "nobody,1,low,Loewe,70012348,2020-01-31,44\n", encoding="utf-8")
    (site / "b.zip").write_bytes(_zip("a.csv", b"n,who\n1,nobody\n"))  # clean before, now a patient
    assert [one.file for one in gate.search(site, project)] == ["b.zip"]
    (project / "sheet.csv").write_text(sheet, encoding="utf-8")


def test_names_of_files_and_of_the_machine(project: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "strahlenrechner.local")
    monkeypatch.setattr("getpass.getuser", lambda: "adebar")
    (site / "kan-001_ct.html").write_text("built by Adebar on strahlenrechner", encoding="utf-8")
    (site / "scan.nii.gz").write_bytes(b"")
    (site / "broken.png").write_bytes(b"no picture")
    (site / "p.html").write_text(f"see {project / 'data'}", encoding="utf-8")
    (site / "_static" / "vendor.js").write_text("kan-001", encoding="utf-8")  # theirs, but nobody's id stands in it
    kinds = {problem.what.partition(",")[0] for problem in gate.search(site, project)}
    assert kinds == {gate.SUBJECT, gate.MACHINE, gate.PATH, "a file of data", "an unreadable file"}


def test_the_command_fails_and_says_how_to_mend(project: Path, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _plant(site, "a page", "KAN-001 and KAN-002")
    assert main(["--root", str(project), "gate", str(site)]) == 1
    said = capsys.readouterr().err
    assert "must not be published: 1 finding" in said
    assert "and 1 more" in said
    assert "Remedy" in said
    assert main(["--root", str(project), "gate", str(site / "nowhere")]) == 1
    assert "make book" in capsys.readouterr().err


def test_a_study_that_was_never_brought_here_is_passed_over_but_not_one_with_results(
    tmp_path: Path,
) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies/mine.yaml").write_text(STUDY, encoding="utf-8")
    assert not [one for one in gate.looked_for(tmp_path) if one.kind == gate.SUBJECT]
    (tmp_path / "results/mine").mkdir(parents=True)
    with pytest.raises(RadsupportError, match=r"manifest\.csv"):
        gate.looked_for(tmp_path)


def test_everybody_is_known(project: Path) -> None:
    study = load_study("mine", folder=project / "studies")
    assert subjects_of(study, project) == {"KAN-001", "KAN-002", "7"}
