"""Sphinx's settings for the site; `bash run_all.sh --report` lays out the pages and calls Sphinx.

Nothing is loaded from a network: formulas become MathML when the pages are built, and the theme
brings its fonts, styles and scripts.
"""

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

import matgan

project = "matgan"
author = copyright = "The matgan authors"
release = matgan.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "parts"]
default_role = "py:obj"
add_module_names = False
python_use_unqualified_type_names = True

# --- pages and notebooks --------------------------------------------------------------------------

nb_execution_mode = "off"  # what is shown is what the run saw
nb_merge_streams = True
nb_ipywidgets_js: dict = {}  # progress bars are left out, and nothing else asks for scripts
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_block"]
myst_heading_anchors = 3
suppress_warnings = [
    "myst.header",  # a notebook may start with ## after a #
    "mystnb.mime_type",
]

# --- API ------------------------------------------------------------------------------------------

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # a default that is computed would show paths of this machine
autodoc_typehints = "signature"
autodoc_default_options = {
    "members": True,
    "ignore-module-all": True,  # a name is described in the module that defines it
    "exclude-members": "set_fit_request, set_predict_request, set_score_request, "
    "set_transform_request",  # scikit-learn's own
}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_preprocess_types = False

# --- look -----------------------------------------------------------------------------------------

html_theme = "sphinx_book_theme"
html_title = "matgan"
html_static_path = ["_static"]
html_extra_path = ["extra"]
html_css_files = ["site.css"]
html_copy_source = html_use_index = html_domain_indices = False
html_context = {"default_mode": "auto"}
html_show_search_summary = False  # it asks a server for the pages' text
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the search stands in the sidebar
    "show_toc_level": 2,
    "home_page_in_toc": True,
}


def _within_site(app: Sphinx, name: str, content: list[str]) -> None:
    """Links that GitHub follows out of docs/ lead to a model's card here, or become their text."""
    if "/" in name:  # not of docs/: `matgan.study.site` wrote it
        return

    def led(link: re.Match) -> str:
        card = re.fullmatch(r"matgan/pretrained/(\w+\.md)", link[2])
        return f"[{link[1]}](models/{card[1]})" if card else link[1]

    content[0] = re.sub(r"\[([^\]]+)\]\(\.\./([^)\s]+)\)", led, content[0])


def _apart(code: re.Match) -> str:
    return f"{code[1]}\\ {code[2]}" if code[2] else code[1]


def _house_style(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list):
    """Docstrings before napoleon reads them: "name : what it is" is no type, prose no return type.

    A field with an indented description below it is numpy's own form and stays.
    """
    section, prose, out = "", False, []
    for line, below, next_below in zip(lines, [*lines, ""][1:], [*lines, "", ""][2:], strict=True):
        if line.endswith(":") and not below and next_below.startswith("    "):
            line += ":"  # what follows is code
        if below and set(below) == {"-"}:
            section, prose = line, False
        flat = line and not line.startswith((" ", "--")) and line != section
        described = re.match(r"    [A-Z-]", below)
        field = re.match(r"(\*{0,2}\w[\w, *]*) : (.*)", line)
        if section in ("Parameters", "Attributes") and field and not described:
            out += [field[1], f"    {field[2]}"]
        elif section == "Returns" and flat and (prose or not described):
            out += [f"    {line}"] if prose else [":", f"    {line}"]
            prose = True
        else:
            out.append(line)
    out = [re.sub(r"[|*]", r"\\\g<0>", line) for line in out]  # |F| and a* are mathematics
    lines[:] = [re.sub(r"(`[^`]+`)(\w?)", _apart, line) for line in out]  # `name`_low


def _mathml(display: str):
    def visit(self, node: nodes.Element) -> None:
        self.body.append(convert(node.astext(), display=display))
        raise nodes.SkipNode

    return visit, None


def setup(app: Sphinx) -> None:
    """MathML in place of a script, links within the site, docstrings in the house style."""
    app.add_html_math_renderer("mathml", _mathml("inline"), _mathml("block"))
    app.config.html_math_renderer = "mathml"
    app.connect("source-read", _within_site)
    app.connect("autodoc-process-docstring", _house_style, priority=400)
