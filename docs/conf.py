"""The site: the executed notebooks, the pages beside this file, and the API. `make docs` builds it, offline."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "defdetr-ref"
html_title = "Deformable DETR, written to be read"
html_theme = "furo"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "site_parts.docstrings",
    "site_parts.explorer",
    "site_parts.laboratory",
    "site_parts.mathjax",
    "site_parts.notebooks",
    "site_parts.results",
    "site_parts.source_links",
]
exclude_patterns = ["_build"]
nitpicky = True
# Types of other projects, whose documentation is not at hand offline, the axes' names in jaxtyping's annotations, and
# type variables.
nitpick_ignore_regex = [("py:.*", r"(?!defdetr).*"), ("py:class", r".*\.Any\w+")]

nb_execution_mode = "off"  # the notebooks are stored with their outputs, which the tests replay
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_inherit_docstrings = False  # nothing of PyTorch's own
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False
toc_object_entries_show_parents = "hide"
viewcode_line_numbers = True

html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("theme.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_show_search_summary = False  # they are fetched, which a page opened from disk may not do
copybutton_exclude = ".linenos, .gp"
