"""How `make site` makes a site of the pages. It loads nothing from anywhere else."""

project = "tierd"
html_title = "tierd"
root_doc = "docs/index"
extensions = ["myst_parser"]
include_patterns = ["docs/**", "ARCHITECTURE.md", "CHANGELOG.md"]
exclude_patterns = ["docs/conf.py"]
html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
nitpicky = True
# As GitHub names the headings of its pages: the links between them are for both.
myst_heading_anchors = 4
# The diagrams are drawn on GitHub; here their text is shown, since what draws them would be loaded from elsewhere.
suppress_warnings = ["misc.highlighting_failure"]
