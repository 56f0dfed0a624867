"""Text of a study file or a table stays text, on pages of notebooks and on those that staging writes."""

from __future__ import annotations

import html
import io
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import plotly.graph_objects as go
import pytest
from helpers.site_folder import site_folder
from hypothesis import given
from hypothesis import strategies as st
from IPython.display import Markdown
from markdown_it import MarkdownIt
from matplotlib.text import Text
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from radsupport import plots
from radsupport.book import show, site, staging, text
from radsupport.book.runs import banner as words_on_top
from radsupport.book.show import figure_html, plotly_html, show_table, show_text
from radsupport.book.widgets import folded_sheets, slider_html
from radsupport.plots import style
from radsupport.plots.base import figures_of
from radsupport.study import load_study

EVIL = "<img src=x onerror=alert(1)> **b** $x$ {doc}`a` | </script> [l](http://h.org) &amp; _e_ <b>z</b>"
PLAIN = " ".join(EVIL.split())


class Reader(HTMLParser):
    """What a browser makes of HTML: its elements and the text that a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.seen: list[str] = []
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.seen += [value or "" for name, value in attrs if name in ("alt", "aria-label")]
        self.inside = tag if tag in ("script", "style") else self.inside
        assert "onerror" not in dict(attrs), (tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self.inside = "" if tag == self.inside else self.inside

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.seen.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.seen).split())


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path) -> Iterator[None]:
    text.forget(tmp_path)
    yield
    text.forget(Path())
    show.word_values({})
    show.save_figures_to(None)


def read(call: Any, *given: Any, **options: Any) -> Reader:
    """Return what is seen of what is shown: Markdown as CommonMark, which pages use for outputs."""
    parts = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(show, "display", lambda found, **_: parts.append(found))
        call(*given, **options)
    rendered = [MarkdownIt("commonmark").render(p.data) if isinstance(p, Markdown) else p.data for p in parts]
    return Reader("".join(rendered))


@pytest.mark.parametrize("sentence", ["{}", "**{}**", "- {}: 3 of 4 patients\n- b", "# {}", "a `code` of “{}”, {}."])
def test_known_text_in_a_sentence_is_read_as_it_is_written(sentence: str) -> None:
    text.know({"columns": {"a": {"levels": ["yes", EVIL]}}})
    page = read(show_text, sentence.format(*[EVIL] * sentence.count("{}")))
    assert PLAIN in page.words
    assert not {"img", "a", "b", "em"} & set(page.tags)


plain = st.text(st.sampled_from("ab1 <>*_`[]()&;#|$~\\-+.!\"'"), min_size=1, max_size=25)


@given(plain, st.sampled_from(["x {} y", "**{}** y", "- {}", "n = {}, P {}"]))
def test_any_text_of_the_data_is_literal(found: str, sentence: str) -> None:
    wanted = " ".join(found.split())
    page = Reader(MarkdownIt("commonmark").render(sentence.replace("{}", text.literal(wanted))))
    assert set(page.tags) <= {"p", "strong", "ul", "li"}
    assert wanted in page.words


@given(plain)
def test_no_text_makes_a_tag_even_where_nobody_knows_it(found: str) -> None:
    text.forget(Path())
    rendered = MarkdownIt("commonmark").render(text.sentence(f"a {found} <img src=x onerror=alert(1)> `<b>` {found}"))
    assert not {"img", "script", "b"} & set(Reader(rendered).tags)


def test_our_own_markup_and_code_stay() -> None:
    own = "**Bold**, `radsupport fetch <id>`, P < 0.05 and a list:\n\n- one\n- two"
    assert text.sentence(own) == own


def test_tables_captions_and_headers_show_text() -> None:
    table = pd.DataFrame({EVIL: [EVIL, "b"], "x": [1.0, 2.0]})
    for options in ({}, {"sortable": True}, {"filters": [EVIL]}, {"headers": {"x": EVIL}}):
        page = read(show_table, table, f"Of {EVIL}", **options)
        assert page.words.count(PLAIN) >= 3
        assert not {"img", "b"} & set(page.tags)
        assert page.tags.count("a") == 1  # the CSV
    empty = read(show_table, table.head(0), "c", empty=EVIL)
    assert "onerror" in empty.words
    assert "img" not in empty.tags


def test_figures_their_captions_alt_texts_and_names_show_text() -> None:
    names = ["one", "two $a$ and $b$"]
    points = pd.DataFrame({"group": ["$y$", names[1]] * 3, "value": [1.0, 2, 3, 4, 5, 6], "quantity": "<img> $x$"})
    drawn = plots.strips(points, facet="quantity", ylabel="$z$")
    page = Reader(figure_html(drawn, caption=EVIL))
    assert PLAIN in page.words
    assert "<img> $x$" in page.words
    assert page.tags.count("img") == 1
    written = [found for one in figures_of(drawn) for found in one.findobj(Text) if "$" in found.get_text()]
    assert written
    assert not any(found.get_parse_math() for found in written)
    figures_of(drawn)[0].savefig(io.BytesIO(), format="png")


def test_formulas_of_an_analyst_and_powers_on_an_axis_stay() -> None:
    drawn, ax = style.new_figure()
    ax[0].set_title("$R^2$")
    ax[0].set_yscale("log")
    points = pd.DataFrame({"group": ["$a$"] * 3 + ["b"] * 3, "value": [1.0, 20, 300, 4000, 5, 6]})
    plots.strips(points, ax=ax[0])
    ax[0].set_yscale("log")
    drawn.canvas.draw()
    assert ax[0].title.get_parse_math()
    powers = [label for label in ax[0].get_yticklabels() if "$" in label.get_text()]
    assert powers
    assert all(label.get_parse_math() for label in powers)


def test_interactive_pieces_show_text() -> None:
    flows = plots.sankey(pd.DataFrame({"source": [EVIL], "target": ["b"], "n": [3]}), title=EVIL)
    drawn = [*flows.data[0].node.label, *(note.text for note in flows.layout.annotations)]
    assert not any("<img" in words for words in drawn)
    assert sum(html.unescape(words.removeprefix("<b>").removesuffix("</b>")) == EVIL for words in drawn) == 2
    page = plotly_html(flows, caption=EVIL)
    assert "<img" not in page
    assert page.count("</script>") == 2
    assert PLAIN in Reader(page).words
    own = go.Figure(layout={"meta": {"alt_text": EVIL}})
    assert "<img" not in plotly_html(own)
    volume = [[[0.1, 0.2], [0.3, 0.4]]] * 2
    row = {"subject": EVIL, "panel": EVIL, "image": volume, "heat": volume, "mask": volume, "words": EVIL}
    slider = slider_html(pd.DataFrame([row]), EVIL, EVIL)
    assert slider.count("</script>") == 1
    assert Reader(slider).words.count(PLAIN) >= 4
    sections = pd.DataFrame([{"subject": EVIL, "image": volume[0], "mask": volume[0]}])
    folded = Reader(folded_sheets(sections, EVIL))
    assert folded.tags.count("img") == 1
    assert PLAIN in folded.words


def evil_study(root: Path) -> Any:
    """A study of which every free text says what nobody should obey."""
    study = load_study("hosny2018", folder=root / "studies")
    update = dict.fromkeys(("title", "question", "citation"), EVIL)
    cohorts = {key: one.model_copy(update={"name": f"{key} {EVIL}"}) for key, one in study.cohorts.items()}
    signatures = [one.model_copy(update={"name": f"{one.name} {EVIL}"}) for one in study.signatures]
    cautions = [type(study.cautions[0])(text=EVIL)]
    data = study.data.model_copy(update={"licence": EVIL})
    more = {"cohorts": cohorts, "signatures": signatures, "cautions": cautions, "data": data}
    return study.model_copy(update=update | more)


def test_banner_shows_text(root: Path) -> None:
    banner = Reader(words_on_top(evil_study(root)))
    assert PLAIN in banner.words
    assert "img" not in banner.tags


def test_the_compiled_site_shows_text(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, book = evil_study(root), site_folder(root, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(site, "load_study", lambda _: study)
    entry = {"value": 0.7, "n": 56, "ci_low": 0.5, "ci_high": 0.9}
    numbers = {"headline_train": entry, "headline_train_signature": {"value": EVIL}, f"auc_train_{EVIL}": entry}
    monkeypatch.setattr(site, "numbers_of", lambda _: numbers)
    monkeypatch.setattr(site, "_chapters", lambda *_: [])
    text.know(study.model_dump())
    shown = new_output("display_data", data={"text/markdown": text.sentence(f"**{EVIL}** of {EVIL}")})
    cells = [new_markdown_cell("# Title"), new_code_cell("f()", outputs=[shown])]
    (tmp_path / "results/hosny2018/notebooks").mkdir(parents=True)
    language = {"language_info": {"name": "python", "pygments_lexer": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=language), "results/hosny2018/notebooks/01_cohort.ipynb")
    site.build(book, ["hosny2018"], {"sts": f"{EVIL}; run `radsupport fetch sts`"}, tmp_path / "log")
    for name, least in (("index", 3), ("studies/hosny2018/index", 6), ("studies/hosny2018/01_cohort", 2)):
        page = (book / f"_build/html/{name}.html").read_text(encoding="utf-8")
        article = Reader(page[page.index("<article") : page.index("</article>")])
        assert article.words.replace("“", '"').count(PLAIN) >= least, (name, article.words)
        assert "img" not in article.tags
        whole = Reader(page)
        assert not [tag for tag in whole.tags if tag in ("b", "cause")]
        assert "Title" in whole.words or name != "studies/hosny2018/01_cohort"


def test_paths_are_those_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "mirror"
    elsewhere.mkdir()
    monkeypatch.setenv("RADSUPPORT_DATA", str(elsewhere))
    project = tmp_path / "my project"
    text.forget(project)
    same = "and/or 3/4 mg/dl, https://a.org/b/c, data/x/y.csv, 10 / 12"
    for found, wanted in {
        f"no such file {project}/data/mine/a b.nii.gz, expected": "no such file data/mine/a b.nii.gz, expected",
        f"[file {project}/results/mine/x.json]": "[file results/mine/x.json]",
        f"'{elsewhere}/sts/1.nii.gz'": "'sts/1.nii.gz'",
        "see /srv/hospital/pacs/1.nii.gz: damaged": "see …/1.nii.gz: damaged",
        r"in C:\Users\Jane\1.nii.gz": "in …/1.nii.gz",
        same: same,
    }.items():
        assert text.relative(found) == wanted
    table = pd.DataFrame({"subject": ["a"], "reason": [f"damaged: {project}/data/mine/1.nii.gz"]})
    table["where"] = pd.Categorical([f"{project}/data/mine"])
    page = read(show_table, table, f"Cases below {project}/data")
    assert str(tmp_path) not in page.words
    assert "damaged: data/mine/1.nii.gz" in page.words
    assert str(tmp_path) not in read(show_text, f"Written: {project}/results/a.csv").words
    output = new_output("stream", name="stderr", text=f"{project}/a/b.py:3: UserWarning: odd")
    monkeypatch.chdir(tmp_path)
    assert staging._readable(output)["text"] == "a/b.py:3: UserWarning: odd"


def test_a_real_study_shows_numbers_of_the_page_in_the_place_of_ids(tmp_path: Path) -> None:
    text.forget(tmp_path)
    text.hide(["STS_002", "Müller, Anna", "12", "<b>9</b>1"])
    assert text.sentence("Patient STS_002 and sts_002, not STS_0021 nor xSTS_002") == (
        "Patient No. 1 and No. 1, not STS_0021 nor xSTS_002"
    )
    assert text.sentence("12 of 22; case 12 of study a; MÜLLER,  Anna") == "12 of 22; case No. 2 of study a; No. 3"
    assert text.sentence("of <b>9</b>1.") == "of No. 4."
    assert text.relative("data/STS_002/STS_002_ct.nii.gz") == "data/No. 1/No. 1_ct.nii.gz"
    table = pd.DataFrame(
        {"subject": ["12", "12 *", "12, arterial *", "120"], "n": 12, "STS_002": ["12", "a", "STS_002", "b"]}
    )
    seen = text.shown(table)
    assert list(seen["subject"]) == ["No. 2", "No. 2 *", "No. 2, arterial *", "120"]
    assert list(seen.columns) == ["subject", "n", "No. 1"]
    assert list(seen["No. 1"]) == ["12", "a", "No. 1", "b"]
    text.know(pd.DataFrame({"subject": ["later_77"]}))
    assert text.relative("later_77") == "No. 5"
    key = text.numbers_given().set_index("number")["subject"]
    assert dict(key) == {
        "No. 1": "STS_002",
        "No. 2": "12",
        "No. 3": "Müller, Anna",
        "No. 4": "<b>9</b>1",
        "No. 5": "later_77",
    }
    text.forget(tmp_path)
    text.know(pd.DataFrame({"subject": ["synthetic_1"]}))
    assert text.relative("synthetic_1") == "synthetic_1"


def test_no_figure_names_a_real_patient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text.forget(tmp_path)
    text.hide(["STS_002", "3"])
    plane = [[0.1, 0.9], [0.4, 0.6]]
    slices = pd.DataFrame({"subject": ["STS_002 *", "3"], "image": [plane] * 2, "mask": [[[0, 1], [0, 1]]] * 2})
    show.save_figures_to(tmp_path, "02")
    drawn = plots.contact_sheet(slices)
    own, (ax,) = style.new_figure()
    ax.bar(["STS_002", "b"], [1, 2])
    ax.set_title("STS_002")
    show.show_figure(drawn, caption="Patient STS_002")
    show.show_figure(own, alt="Bars of STS_002")
    show.show_html(slider_html(pd.DataFrame([{"subject": "3", "panel": "a", "image": [plane] * 2, "heat": [plane] * 2,
                                              "mask": [plane] * 2, "words": "of STS_002"}]), "t"))  # fmt: skip
    show.save_figures_to(None)
    said = capsys.readouterr().out
    files = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.svg")}
    text.forget(tmp_path)
    assert len(files) == 2
    assert not any("STS_002" in one for one in (said, *files, *files.values()))
    assert all("No. 1" in one for one in files.values())
    assert "<!-- No. 2 -->" in next(iter(sorted(files.items())))[1]
