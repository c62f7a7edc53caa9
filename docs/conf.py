"""The documentation as a site: `make docs` builds it with Sphinx into build/docs."""

project = "rlexp"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "rlexp"
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
exclude_patterns = ["benchmarks/note.md"]
# Links into the repository itself are no pages, and Pygments does not know the language of diagrams.
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure"]
