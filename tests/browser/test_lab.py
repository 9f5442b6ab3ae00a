"""The widgets of the notebooks, driven in JupyterLab as a reader does: by keyboard and mouse, in a real browser.

`make browser` after `make book`: the stages must have run. Of a notebook only those cells run that the widget needs,
found by the names that they share, so that a page of a minute is tried in seconds; `make test` runs the pages whole.
"""

import ast
import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from helpers import serving
from helpers.chat import NAMES
from helpers.inspection import explorer
from helpers.profile import ROOT
from helpers.run import Run
from helpers.serving.server import free_port

expect.set_options(timeout=20_000)  # another test file runs beside this one, on two cores
TOKEN = "of-this-test"
SETTINGS = {
    "notebook-extension/tracker": {"autoStartDefaultKernel": True, "windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
NAMED = ["label", "select-name", "button-name", "aria-input-field-name", "aria-toggle-field-name"]

RATED_ELSEWHERE = """from pathlib import Path
from helpers.improvement import ratings
ratings.folder = lambda run: Path({!r})"""
WATCHED = """from helpers.progress import Progress
with Progress() as seen:
    for n in (1, len(log) // 2, len(log)):
        seen.update(log[:n])"""


def names(source: str) -> tuple[set[str], set[str]]:
    """Names that a cell makes, and names that it uses."""
    made, used = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else made).add(node.id)
        elif isinstance(node, ast.alias):
            made.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.FunctionDef):
            made.add(node.name)
    return made, used


def needed(cells: list[str], last: str) -> list[str]:
    """The cell that ends on `last`, after those that it needs, in their order."""
    place = next(i for i, cell in enumerate(cells) if cell.rstrip().endswith(last))
    kept, wanted = [cells[place]], names(cells[place])[1]
    for cell in reversed(cells[:place]):
        made, used = names(cell)
        if made & wanted:
            kept.insert(0, cell)
            wanted = (wanted - made) | used
    return kept


def test_only_cells_that_are_needed_are_taken():
    cells = ["import a\nb = 1", "c = 2", "d = a.x(b)", "b = 5\nb", "print(d)", "for e in d:\n    e"]
    assert needed(cells, "print(d)") == [cells[0], cells[2], cells[4]]


class Lab:
    """JupyterLab on a folder of its own, as `make lab` starts it, and one page of a browser on it."""

    def __init__(self, folder: Path, port: int, page):
        self.folder, self.port, self.page, self.elsewhere = folder, port, page, []

    def ask(self, path: str, method: str = "GET"):
        known = {"Authorization": f"token {TOKEN}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/{path}", headers=known, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or "null")

    def run(self, name: str, cells: list[str]):
        """Open a notebook of these cells, run all of them, and give the last cell."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        nbformat.write(notebook, self.folder / name)
        page = self.page
        page.goto(f"http://127.0.0.1:{self.port}/lab/tree/{name}?reset&token={TOKEN}")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
        # an earlier Run All would run one cell and forget the rest
        self.wait(lambda: any(k["execution_state"] == "idle" and k["connections"] for k in self.ask("kernels")))
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        last = page.locator(".jp-Notebook .jp-CodeCell").last
        expect(last.locator(".jp-InputArea-prompt")).to_have_text(f"[{len(cells)}]:", timeout=90_000)
        assert not page.locator("[data-mime-type='application/vnd.jupyter.error']").count(), page.inner_text("body")
        return last.locator(".jp-Cell-outputArea")

    def wait(self, done, seconds: int = 60) -> None:
        """Wait until `done()` is true; an address that does not answer yet counts as false."""
        for _ in range(seconds * 10):
            try:
                if done():
                    return
            except OSError:
                pass
            self.page.wait_for_timeout(100)
        pytest.fail(f"waited {seconds} s in vain; JupyterLab says: {(self.folder / 'lab.log').read_text()[-2000:]}")

    def close_kernels(self) -> None:
        for kernel in self.ask("kernels"):
            self.ask(f"kernels/{kernel['id']}", "DELETE")


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium, stay_here):
    """JupyterLab for all tests of this file. Nothing may be asked of another host."""
    folder, port = tmp_path_factory.mktemp("lab"), free_port()
    settings = folder / "settings"
    for name, values in SETTINGS.items():
        file = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    homes = {"JUPYTER_CONFIG_DIR": "config", "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "work"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"]
    env = os.environ | {variable: str(folder / name) for variable, name in homes.items()}
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    context = chromium.new_context(viewport={"width": 1400, "height": 1000})
    found = Lab(folder, port, context.new_page())
    stay_here(context, found.elsewhere)
    try:
        found.wait(lambda: found.ask("status"))
        yield found
    finally:
        context.close()
        server.terminate()
        server.wait(20)
    assert not found.elsewhere


@pytest.fixture(autouse=True)
def no_kernel_left(request):
    """Each test has a kernel of its own."""
    yield
    if "lab" in request.fixturenames:
        request.getfixturevalue("lab").close_kernels()


def cells(name: str, last: str) -> list[str]:
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    return needed([cell.source for cell in notebook.cells if cell.cell_type == "code"], last)


def unnamed(page) -> list[str]:
    """What a screen reader cannot name among the widgets of the page, but for the handles of sliders.

    ipywidgets 8 gives those no name; it stands beside them as a text. The explorers of the published site have one.
    """
    options = {"runOnly": NAMED, "resultTypes": ["violations"]}
    where = {"include": [[".jp-OutputArea .jupyter-widgets"]], "exclude": [[".noUi-handle"]]}
    found = Axe().run(page, context=where, options=options)
    return [n["html"][:200] for v in found.response["violations"] for n in v["nodes"]]


def test_the_data_explorer_shows_the_rows_of_a_code_and_turns_pages(lab):
    output = lab.run("02.ipynb", cells("02_data", "explorer.explorer(found)"))
    rows = [f for f in explorer.findings(Run.current().dir("data") / "dirty") if f["code"] == "crisis"]
    assert len(rows) > 5
    output.get_by_role("combobox").select_option("crisis")
    shown = output.locator(".widget-html-content")
    expect(shown).to_contain_text(f"{len(rows)} rows")
    expect(shown).to_contain_text(f"row {rows[0]['line']}: crisis")
    number = output.get_by_role("spinbutton")
    number.press("ArrowUp")
    number.press("Enter")
    expect(shown).to_contain_text(f"row {rows[5]['line']}: crisis")
    expect(shown).not_to_contain_text(f"row {rows[0]['line']}: crisis")
    assert not unnamed(lab.page)


def test_a_slider_of_page_4_changes_the_predicted_peak(lab):
    output = lab.run("04.ipynb", cells("04_vram", 'predicted"\n    )'))
    before = output.locator(".jp-OutputArea-output").last.inner_text()
    assert "GiB in tensors at the peak, predicted" in before
    handle = output.get_by_role("slider").first
    handle.focus()
    handle.press("ArrowRight")
    expect(output).not_to_contain_text(before.split("GiB")[0])
    number = lambda text: float(text.split(" GiB")[0].split()[-1])  # noqa: E731
    assert number(output.inner_text()) > number(before)
    assert not unnamed(lab.page)


def test_a_visitor_talks_to_the_served_model_and_the_server_ends_with_the_kernel(lab):
    output = lab.run("06.ipynb", cells("06_deploy", "chat.box"))
    said = output.locator(".widget-html-content").nth(1)
    expect(output).to_contain_text("12356")
    expect(said).to_contain_text(NAMES["assistant"])
    first = said.inner_text()
    field, button = output.get_by_role("textbox"), output.get_by_role("button")
    field.fill("我睡不着，老想着明天的考试。")
    field.press("Tab")
    lab.page.keyboard.press("Enter")
    expect(said.locator("p")).to_have_count(4, timeout=30_000)
    expect(button).to_be_enabled(timeout=30_000)
    assert (
        said.inner_text().startswith(first) and len(said.locator("p").last.inner_text()) > len(NAMES["assistant"]) + 2
    )
    expect(field).to_have_value("")
    assert not unnamed(lab.page)
    lab.close_kernels()
    serve = Run.current().profile.serve
    address = serve["server_name"], int(serve["server_port"])
    lab.wait(lambda: serving.is_free(*address), 10)  # the server ends with its notebook


def test_an_answer_is_rated_by_keyboard_and_the_choice_is_kept(lab, tmp_path):
    page_8 = [RATED_ELSEWHERE.format(str(tmp_path)), *cells("08_improve", '.sft["seed"]).box')]
    output = lab.run("08.ipynb", page_8)
    expect(output).to_contain_text("12356")
    expect(output).to_contain_text("0 finished")
    keys = output.get_by_label("keys")
    keys.press_sequentially("22222222=")
    expect(output).to_contain_text("1 finished")
    checked = output.locator("input[type=radio]:checked")
    count = checked.count()
    keys.press_sequentially("n")
    expect(checked).to_have_count(0)
    output.get_by_role("button", name="previous").click()
    expect(checked).to_have_count(count)
    assert not unnamed(lab.page)
    lab.close_kernels()
    again = lab.run("08_again.ipynb", page_8)
    expect(again).to_contain_text("1 finished")


def test_the_bar_of_a_training_run_moves_and_its_curve_is_drawn(lab):
    rows = Run.current().record("sft")["train_log"]
    log = [row | {"max_steps": rows[-1]["step"]} for row in rows]
    output = lab.run("03.ipynb", [f"log = {log!r}", WATCHED])
    expect(output.locator(".progress-bar")).to_have_attribute("style", re.compile("width: 100%"))
    expect(output).to_contain_text(f"{log[-1]['step']}/{log[-1]['max_steps']}")
    expect(output.locator("img")).to_have_count(1)
